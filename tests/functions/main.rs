//! Functions, to the letter of Redis: libraries, what they may do, and how they are moved.

use larder_tests::{Redis, Server, compare, compare_with};

#[test]
fn load_list_call_delete() {
    compare(
        r##"
        FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function(keys, args) return {keys[1], args[1]} end)"
        FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
        FUNCTION LOAD REPLACE "#!lua name=lib\nredis.register_function('g', function() return 'g' end)"
        FCALL f 0
        FCALL g 0
        FCALL G 0
        FCALL g
        FCALL g x
        FCALL g -1
        FCALL g 1
        FCALL_RO g 0
        FUNCTION LOAD "#!lua name=other\nredis.register_function{function_name='w', callback=function(k) return redis.call('set', k[1], 'v') end, description='writes'}"
        FUNCTION LOAD "#!lua name=third\nredis.register_function{function_name='r', callback=function(k) return redis.call('get', k[1]) end, flags={'no-writes'}}"
        FUNCTION LOAD "#!lua name=fourth\nredis.register_function{function_name='bad', callback=function(k) return redis.call('set', k[1], 1) end, flags={'no-writes'}}"
        FCALL w 1 a
        FCALL_RO w 1 a
        FCALL r 1 a
        FCALL_RO r 1 a
        FCALL bad 1 a
        @unordered FUNCTION LIST
        FUNCTION LIST LIBRARYNAME oth*
        FUNCTION LIST LIBRARYNAME OTHER WITHCODE
        FUNCTION LIST WITHCODE LIBRARYNAME nothing
        FUNCTION LIST LIBRARYNAME
        FUNCTION LIST nonsense
        FUNCTION STATS
        FUNCTION DELETE other
        FUNCTION DELETE other
        FUNCTION KILL
        FUNCTION FLUSH
        FUNCTION FLUSH NOW
        FUNCTION FLUSH SYNC
        FUNCTION FLUSH ASYNC
        FUNCTION LIST
        FUNCTION STATS
        FUNCTION NONSENSE
        FUNCTION HELP
        =* [*LIBRARYNAME*
        FUNCTION
        "##,
    );
}

/// On a replica nobody calls a function, so nothing but the next load frees what the last one took.
#[test]
fn what_was_replaced_or_refused_takes_no_memory() {
    let server = Server::with(&["--script-memory-limit", "4mb"]);
    let mut conn = server.connect();
    let library = |name: &str, function: &str| {
        format!(
            "#!lua name={name}\nlocal t = {{}} for i = 1, 5000 do t[i] = i .. 'x' end\n\
             redis.register_function('{function}', function() return t[1] end)"
        )
    };
    let mut load = |name: &str, function: &str| {
        let text = library(name, function);
        conn.call(&["FUNCTION", "LOAD", "REPLACE", &text]).to_string()
    };
    for _ in 0..100 {
        assert_eq!(load("a", "f"), "\"a\"");
        assert_eq!(load("b", "f"), "-ERR Function f already exists");
    }
    conn.expect("FCALL f 0", "\"1x\"");
}

#[test]
fn libraries_that_do_not_load() {
    compare(
        r##"
        FUNCTION LOAD "return 1"
        FUNCTION LOAD "#!lua name=x"
        FUNCTION LOAD "#!lua\nreturn 1"
        FUNCTION LOAD "#!lua name=x name=y\nreturn 1"
        FUNCTION LOAD "#!lua name=x other=y\nreturn 1"
        FUNCTION LOAD "#!lua name=\nreturn 1"
        FUNCTION LOAD "#!lua name=a-b\nreturn 1"
        FUNCTION LOAD "#!python name=x\nreturn 1"
        FUNCTION LOAD "#!lua name=x\nreturn return"
        FUNCTION LOAD "#!lua name=x\nreturn 1"
        FUNCTION LOAD "#!lua name=x\nerror('failed')"
        FUNCTION LOAD "#!lua name=x\nerror({err='MYERR failed'})"
        FUNCTION LOAD "#!lua name=x\nredis.call('ping')"
        FUNCTION LOAD "#!lua name=x\nreturn math.random()"
        FUNCTION LOAD "#!lua name=x\na = 1"
        FUNCTION LOAD "#!lua name=x\nredis.setresp(3)"
        FUNCTION LOAD "#!lua name=x\nredis.register_function()"
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a')"
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a', 1)"
        FUNCTION LOAD "#!lua name=x\nredis.register_function({}, function() end)"
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a b', function() end)"
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a', function() end, 1)"
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a', function() end) redis.register_function('a', function() end)"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a'}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{callback=function() end}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name=1.5, callback=function() end}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name={}, callback=function() end}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a', callback=1}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a', callback=function() end, description={}}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a', callback=function() end, flags=1}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a', callback=function() end, flags={'nonsense'}}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a', callback=function() end, nonsense=1}"
        FUNCTION LOAD "#!lua name=x\nredis.register_function{function_name='a', callback=function() end, [1]=1}"
        FUNCTION LOAD "#!lua name=x\nwhile true do end"
        FUNCTION LOAD NONSENSE "#!lua name=x\nreturn 1"
        FUNCTION LOAD REPLACE
        FUNCTION LIST
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a', function() return redis.register_function('b', function() end) end)"
        FUNCTION LOAD "#!lua name=y\nredis.register_function('a', function() end)"
        FCALL a 0
        "##,
    );
}

#[test]
fn functions_see_the_same_lua() {
    compare(
        r##"
        FUNCTION LOAD "#!lua name=x\nlocal function double(n) return n * 2 end\nredis.register_function('d', function(k, a) return double(a[1]) end)\nredis.register_function('e', function(k, a) error('line four') end)\nredis.register_function('g', function(k, a) glob = 1 end)\nredis.register_function('u', function() return undefined end)\nredis.register_function('j', function() return cjson.encode({math.floor(1.5), KEYS and 1}) end)\nredis.register_function('c', function(k, a) return redis.call(unpack(a)) end)\nredis.register_function('v', function(k, a) redis.setresp(3) return redis.call('hgetall', k[1]) end)"
        FCALL d 0 21
        FCALL e 0
        FCALL g 0
        FCALL u 0
        FCALL j 0
        FCALL c 0 set a 1
        FCALL c 0 incr a
        FCALL c 0 nosuch
        FCALL c 0 lpush a 1
        FCALL c 0 function list
        HSET h f v
        FCALL v 1 h
        MULTI
        FCALL c 0 incr a
        EXEC
        COMMAND GETKEYS FCALL c 2 a b c
        "##,
    );
    compare_with(
        &["--maxmemory", "1"],
        r##"
        FUNCTION LOAD "#!lua name=x\nredis.register_function('a', function() return 1 end)"
        FUNCTION RESTORE x
        "##,
    );
}

/// What one server dumps the other restores.
#[test]
fn payloads_are_exchanged_with_redis() {
    let (server, redis) = (Server::start(), Redis::start());
    let library = "#!lua name=lib\nredis.register_function('f', function() return 'restored' end)";
    let long = format!("{library}\n--{}", "x".repeat(100_000));
    for text in [library, long.as_str()] {
        for (from, to) in [(&server, &redis), (&redis, &server)] {
            let (mut from, mut to) = (from.connect(), to.connect());
            from.run("FUNCTION FLUSH");
            to.run("FUNCTION FLUSH");
            from.call(&["FUNCTION", "LOAD", text]);
            let payload = from.call(&["FUNCTION", "DUMP"]);
            let larder_tests::Value::Bulk(payload) = payload else { panic!("{payload:?}") };
            // A newer format is refused by an older Redis; the version stands before the checksum.
            let reply = to.call(&[&b"FUNCTION"[..], b"RESTORE", &payload]).to_string();
            if reply.contains("version") {
                continue;
            }
            assert_eq!(reply, "+OK");
            assert_eq!(to.run("FCALL f 0").to_string(), "\"restored\"");
            let again = to.call(&[&b"FUNCTION"[..], b"RESTORE", &payload]).to_string();
            assert_eq!(again, "-ERR Library lib already exists");
            for policy in [&b"REPLACE"[..], b"FLUSH"] {
                let reply = to.call(&[&b"FUNCTION"[..], b"RESTORE", &payload, policy]);
                assert_eq!(reply.to_string(), "+OK");
            }
        }
    }
}

/// A payload that was tampered with is refused, and what was there stays.
#[test]
fn corrupt_payloads() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.call(&["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() end)"]);
    let larder_tests::Value::Bulk(payload) = conn.call(&["FUNCTION", "DUMP"]) else {
        panic!("no payload");
    };
    for at in 0..payload.len() {
        for bit in [1, 0x80] {
            let mut wrong = payload.clone();
            wrong[at] ^= bit;
            let reply = conn.call(&[&b"FUNCTION"[..], b"RESTORE", &wrong, b"REPLACE"]);
            assert!(reply.is_error("ERR DUMP payload"), "{at}: {reply:?}");
        }
        let cut = &payload[..at];
        assert!(conn.call(&[&b"FUNCTION"[..], b"RESTORE", cut, b"REPLACE"]).is_error("ERR"));
    }
    // With no checksum everything is looked at.
    for at in 0..payload.len() - 10 {
        let mut wrong = payload.clone();
        wrong[at] ^= 0xff;
        let len = wrong.len();
        wrong[len - 8..].fill(0);
        conn.call(&[&b"FUNCTION"[..], b"RESTORE", &wrong, b"REPLACE"]);
        conn.run("PING");
    }
    assert_eq!(conn.run("PING").to_string(), "+PONG");
}

/// A function that runs for too long: FUNCTION STATS shows it, FUNCTION KILL ends it.
#[test]
fn an_endless_function_can_be_killed() {
    for threads in ["1", "2"] {
        let server = Server::with(&["--threads", threads, "--busy-reply-threshold", "10"]);
        let mut witness = server.connect();
        let library =
            "#!lua name=l\nredis.register_function('f', function() while true do end end)";
        witness.call(&["FUNCTION", "LOAD", library]);
        let mut running = server.connect();
        running.send(b"FCALL f 0\r\n");
        // A reply that is ready when the function begins may be kept until it ends.
        std::thread::sleep(std::time::Duration::from_millis(100));
        larder_tests::eventually("busy", || witness.run("PING").is_error("BUSY"));
        let stats = witness.run("FUNCTION STATS").to_string();
        assert!(stats.contains("\"FCALL\"") && stats.contains("duration_ms"), "{stats}");
        assert!(witness.run("SCRIPT KILL").is_error("BUSY"));
        assert_eq!(witness.run("FUNCTION KILL").to_string(), "+OK");
        assert!(running.reply().to_string().contains("killed by user"));
        assert_eq!(witness.run("PING").to_string(), "+PONG");
    }
}

/// Each thread loads a library when it first needs it, and forgets it when it is replaced.
#[test]
fn a_replaced_library_is_new_on_every_thread() {
    let server = Server::with(&["--threads", "2"]);
    let mut conns: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for version in 0..5 {
        let text =
            format!("#!lua name=l\nredis.register_function('f', function() return {version} end)");
        conns[version % 8].call(&["FUNCTION", "LOAD", "REPLACE", &text]);
        for conn in &mut conns {
            assert_eq!(conn.run("FCALL f 0").int(), version as i64);
        }
    }
}
