//! What a script does to the data: all of it at once, with the time standing still.

use larder_tests::{Server, compare};
use std::thread;

#[test]
fn keys_types_and_databases() {
    compare(
        r##"
        EVAL "redis.call('select',9) redis.call('set',KEYS[1],1) return redis.call('get',KEYS[1])" 1 a
        GET a
        SELECT 9
        GET a
        SELECT 0
        EVAL "redis.call('rpush',KEYS[1],1,2,3) return redis.call('lrange',KEYS[1],0,-1)" 1 l
        EVAL "return {redis.call('lpop',KEYS[1]), redis.call('blpop',KEYS[1],0), redis.call('llen',KEYS[1])}" 1 l
        =* ["1", ["l", "2"], :1]
        EVAL "return redis.call('blpop',KEYS[1],0)" 1 nothing
        =* nil*
        EVAL "return redis.call('xread','BLOCK',0,'STREAMS',KEYS[1],'$')" 1 stream
        EVAL "redis.call('set',KEYS[1],'x') redis.call('incr',KEYS[1])" 1 a
        GET a
        EVAL "local t = redis.call('time') redis.call('debug','sleep',0.01) return t[2] == redis.call('time')[2]" 0
        =* -ERR This Redis command is not allowed from script*
        EVAL "redis.call('set',KEYS[1],1,'px',1) return redis.call('exists',KEYS[1])" 1 short
        MULTI
        EVAL "return redis.call('incr','counter')" 0
        EVAL "return redis.call('incr',KEYS[1])" 1 counter
        EVAL "return redis.call('nosuch')" 0
        EXEC
        GET counter
        OBJECT FREQ counter
        "##,
    );
}

/// Two scripts that name no keys, each moving an amount between counters: the sum never changes.
#[test]
fn undeclared_keys_are_safe_across_threads() {
    let server = Server::with(&["--threads", "2"]);
    server.connect().run("MSET a 1000 b 1000 c 1000");
    let moves = [
        "redis.call('decr','a') redis.call('incr','b')",
        "redis.call('decr','b') redis.call('incr','c')",
        "redis.call('decr','c') redis.call('incr','a')",
        "local t = redis.call('mget','a','b','c') assert(t[1]+t[2]+t[3] == 3000, 'torn')",
    ];
    thread::scope(|scope| {
        for script in moves.iter().chain(&moves) {
            let mut conn = server.connect();
            scope.spawn(move || {
                for _ in 0..300 {
                    let reply = conn.call(&[b"EVAL", script.as_bytes(), b"0"]).to_string();
                    assert!(!reply.contains("torn"), "{reply}");
                }
            });
        }
    });
    let sum = "local t = redis.call('mget','a','b','c') return t[1]+t[2]+t[3]";
    let reply = server.connect().call(&[b"EVAL", sum.as_bytes(), b"0"]).to_string();
    assert_eq!(reply, ":3000");
}

/// Errors that scripts catch or not are counted once, as in Redis.
#[test]
fn statistics() {
    compare(
        r##"
        CONFIG RESETSTAT
        EVAL "return redis.call('select',99)" 0
        EVAL "return redis.pcall('select',99).err" 0
        EVAL "return redis.pcall('select',99)" 0
        EVAL "return redis.error_reply('MYCODE hello')" 0
        EVAL_RO "return redis.call('set','a',1)" 0
        @near 0 INFO errorstats
        =* *errorstat_ERR:count=4*errorstat_MYCODE:count=1*
        # Within a reply, those that the script made up.
        EVAL "return {redis.error_reply('MYCODE a'),{{err='MYCODE b'}},redis.pcall('select',99)}" 0
        INFO errorstats
        "##,
    );
}
