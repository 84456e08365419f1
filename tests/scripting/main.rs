//! Scripts, to the letter of Redis: what they may do, what they get and give, and how they fail.
//!
//! Most tests are lists of scripts that run beside a real Redis, one a line.

mod busy;
mod caching;
mod effects;
mod held;
mod hostile;
mod libraries;
mod sandbox;

use larder_tests::{Server, compare};

/// Runs each line as a script without keys on both servers, which are to answer the same.
#[track_caller]
fn evaluates(scripts: &str) {
    let quoted = |script: &str| {
        let script = script.trim().replace('\\', "\\\\").replace('"', "\\\"");
        format!("EVAL \"{script}\" 0")
    };
    let lines: Vec<String> =
        scripts.lines().filter(|line| !line.trim().is_empty()).map(quoted).collect();
    compare(&lines.join("\n"));
}

#[test]
fn errors_and_statuses_repeat_bytes_as_they_came() {
    compare(
        r##"
        "\xff\xfe" "\x80" a
        OBJECT "\xff" a
        LATENCY GRAPH "\xff"
        CLIENT KILL TYPE "\xff"
        REPLCONF "\xff" 1
        EXPIRE a 1 "\xff"
        PFDEBUG "\xff" a
        EVAL "return redis.status_reply('\xff')" 0
        EVAL "return {ok='\xff'}" 0
        EVAL "return redis.error_reply('\xff')" 0
        EVAL "return redis.error_reply('A \xff')" 0
        EVAL "return {err='A \xff'}" 0
        EVAL "return redis.pcall('\xff')" 0
        EVAL "error('\xff')" 0
        EVAL "error({err='A \xff'})" 0
        EVAL "\xff" 0
        EVAL "#!\xff\n" 0
        FUNCTION DELETE "\xff"
        XADD s 1-1 a 1
        XREADGROUP GROUP "\xff" c STREAMS s >
        XPENDING s "\xff"
        XGROUP DESTROY "\xff" g
        XGROUP CREATECONSUMER s "\xff" c
        XGROUP CREATE s g 0
        XCLAIM s g c 0 1-1 "\xff"
        ACL SETUSER u "\xff"
        ACL SETUSER u "(\xff"
        ACL SETUSER "\xff" on nopass +auth
        AUTH "\xff" x
        "##,
    );
}

#[test]
fn replies_and_errors() {
    evaluates(
        r##"
        return 1
        return 'x'
        return {1,2,{3,'a'},false,nil,5}
        return redis.call('set','a','1')
        return redis.call('get','a')
        return redis.call('get','nokey')
        return {err='ERR foo'}
        return {err='foo'}
        return {err='ERR ends a line\r\n'}
        return {1,{err='ERR ends lines\n\n'},{err='\r\nfoo'}}
        return {ok='fine'}
        return redis.call('incr','a')
        return redis.call('lpush','a','x')
        return redis.call('nosuch')
        return redis.call('get')
        return redis.call()
        return redis.call({})
        return redis.pcall('lpush','a','x')
        local ok,e=pcall(redis.call,'lpush','a','x') return {ok,e}
        local ok,e=pcall(function() error('hi') end) return {ok,e}
        local ok,e=pcall(function() error({err='hi'}) end) return {ok,e}
        error('boom')
        error({err='boom'})
        error()
        error(nil)
        error({err='My boom', x=1})
        return redis.error_reply('My Err')
        return redis.error_reply('-My Err')
        return redis.error_reply('MYERR')
        return redis.error_reply('')
        return redis.status_reply('X')
        return redis.status_reply()
        return redis.sha1hex('')
        return redis.sha1hex()
        return redis.sha1hex(1)
        return redis.log(1)
        return redis.log('x','y')
        return redis.log(9,'y')
        return redis.setresp(4)
        return redis.setresp()
        redis.setresp(3) return redis.call('debug','protocol','map')
        return redis.set_repl(9)
        return redis.acl_check_cmd('get','x')
        return redis.acl_check_cmd('foo')
        return redis.acl_check_cmd()
        return redis.breakpoint()
        return redis.replicate_commands()
        return redis.LOG_WARNING
        return 3.99
        return -3.99
        return 1e300
        return 0/0
        return {double=3.5}
        return {map={a=1}}
        return {set={a=true}}
        return {big_number='12\r\n3'}
        return {verbatim_string={format='txt',string='hey'}}
        return {{err='x y'},{ok='z'}}
        syntax error here
        return redis.call('select','99')
        return redis.call('eval','return 1',0)
        return redis.call('config','get','x')
        return redis.call('config')
        return redis.call('config','foo')
        return redis.call('multi')
        return redis.call('hset','h','f',0.1) + 0
        redis.call('set','n',1e100) return redis.call('get','n')
        redis.call('set','n',-0.5) return redis.call('get','n')
        return #KEYS
        return string.rep('a?',100000):len()
        return #redis
        return redis.foo
        return redis.foo()
        return ARGV[1]
        redis.call('set','x',1) redis.call('nosuch')
        return redis.pcall('nosuch').err
        return redis.pcall('set','x')['err']
        return {redis.call('mget','a','nokey')}
        redis.setresp(3) return redis.call('get','nokey')
        redis.setresp(3) return redis.call('zscore','z','a')
        return redis.call('zadd','z',1.5,'a') and redis.call('zscore','z','a')
        redis.setresp(3) return redis.call('zscore','z','a')
        redis.setresp(3) return redis.call('smembers','s')
        redis.setresp(3) return true
        redis.setresp(3) return false
        return true
        return {true,false}
        "##,
    );
}

#[test]
fn arguments() {
    compare(
        r##"
        EVAL
        EVAL "return 1"
        EVAL "return 1" x
        EVAL "return 1" -1
        EVAL "return 1" 1
        EVAL "return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}" 2 a b c d
        EVAL "return {#KEYS,#ARGV}" 0 c d e
        EVALSHA x 0
        EVALSHA 0000000000000000000000000000000000000000 0
        EVALSHA 0000000000000000000000000000000000000000 -1
        EVALSHA zz00000000000000000000000000000000000000 0
        EVAL_RO "return redis.call('get','a')" 0
        EVAL_RO "return redis.call('set','a',1)" 0
        EVAL_RO "return redis.call('publish','a',1)" 0
        =* -ERR *
        COMMAND GETKEYS EVAL "return 1" 2 a b c
        COMMAND GETKEYS EVALSHA 00 1 a b c
        "##,
    );
}

#[test]
fn what_the_first_line_says() {
    compare(
        r##"
        EVAL "#!lua\nreturn 1" 0
        EVAL "#!lua flags=no-writes\nreturn redis.call('set','a',1)" 0
        EVAL "#!lua flags=no-writes,allow-oom\nreturn 1" 0
        EVAL "#!lua flags=\nreturn 1" 0
        EVAL "#!lua flags=nonsense\nreturn 1" 0
        EVAL "#!lua name=x\nreturn 1" 0
        EVAL "#!python\nreturn 1" 0
        EVAL "#!lua" 0
        EVAL "#!\nreturn 1" 0
        EVAL "#!lua\nerror('the second line')" 0
        EVAL_RO "#!lua\nreturn 1" 0
        EVAL_RO "#!lua flags=no-writes\nreturn 1" 0
        CONFIG SET maxmemory 1
        EVAL "#!lua\nreturn 1" 0
        EVAL "#!lua flags=allow-oom\nreturn redis.call('set','a',1)" 0
        EVAL "return redis.call('set','a',1)" 0
        EVAL "return redis.call('get','a')" 0
        EVAL "redis.call('del','a') return redis.call('set','a',1)" 0
        CONFIG SET maxmemory 0
        CONFIG SET min-replicas-to-write 1
        EVAL "#!lua\nreturn 1" 0
        EVAL "#!lua flags=no-writes\nreturn 1" 0
        EVAL "return 1" 0
        EVAL "return redis.call('set','a',1)" 0
        CONFIG SET min-replicas-to-write 0
        REPLICAOF 127.0.0.1 1
        EVAL "#!lua\nreturn 1" 0
        EVAL_RO "#!lua\nreturn 1" 0
        EVAL "#!lua flags=no-writes\nreturn 1" 0
        EVAL "return redis.call('set','a',1)" 0
        CONFIG SET replica-serve-stale-data no
        EVAL "return 1" 0
        EVAL "#!lua flags=no-writes\nreturn 1" 0
        EVAL "#!lua flags=no-writes,allow-stale\nreturn 1" 0
        EVAL "#!lua flags=no-writes,allow-stale\nreturn redis.call('get','a')" 0
        CONFIG SET replica-serve-stale-data yes
        REPLICAOF NO ONE
        "##,
    );
}

#[test]
fn numbers_and_formats_as_redis_writes_them_since_7_2() {
    let server = Server::start();
    let mut conn = server.connect3();
    let stored =
        |number: &str| format!("redis.call('set','n',{number}) return redis.call('get','n')");
    let verbatim =
        |format: &str| format!("return {{verbatim_string={{format={format},string='hi'}}}}");
    for (script, reply) in [
        (stored("-0.0"), "$1\r\n0\r\n"),
        (stored("0/0"), "$4\r\n-nan\r\n"),
        (stored("-(0/0)"), "$3\r\nnan\r\n"),
        (stored("-1/0"), "$4\r\n-inf\r\n"),
        (stored("5e22"), "$23\r\n49999999999999996000000\r\n"),
        (verbatim("'toolong'"), "=6\r\ntoo:hi\r\n"),
        (verbatim("'t'"), "=6\r\nt  :hi\r\n"),
        (verbatim("''"), "=6\r\n   :hi\r\n"),
        (verbatim("3"), "*0\r\n"),
    ] {
        assert_eq!(conn.raw(&format!("EVAL \"{script}\" 0")), reply, "{script}");
    }
}
