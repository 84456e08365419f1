//! What is queued, refused, run and thrown away.

use larder_tests::{Redis, Server, compare, compare_with};

#[test]
fn queued_commands_run_as_one() {
    compare(
        "
        MULTI
        SET a 1
        INCR a
        LPUSH a x
        GET a
        HSET h f v g w
        HGETALL h
        ZADD z 1.5 m
        ZSCORE z m
        PING
        ECHO hello
        EXEC
        EXEC
        DISCARD
        GET a
        MULTI
        EXEC
        MULTI
        SET a 9
        DISCARD
        GET a
        ",
    );
}

#[test]
fn refused_commands_abort_the_transaction() {
    compare(
        "
        MULTI
        NOSUCHCOMMAND a
        SET a 1
        EXEC
        EXISTS a
        MULTI
        SET a
        EXEC
        MULTI
        CONFIG NOSUCH
        EXEC
        MULTI
        CLIENT
        DISCARD
        MULTI
        SET a 1
        EXEC extra
        PING
        MULTI
        DISCARD extra
        EXEC
        MULTI
        UNWATCH extra
        EXEC
        MULTI
        WATCH
        EXEC
        GET a
        ",
    );
}

#[test]
fn transactions_do_not_nest() {
    compare(
        "
        MULTI
        MULTI
        WATCH a
        SET a 1
        MULTI extra
        EXEC
        MULTI
        MULTI
        WATCH a
        SET a 2
        EXEC
        GET a
        DISCARD
        EXEC
        UNWATCH
        MULTI
        UNWATCH
        SET a 3
        EXEC
        ",
    );
}

#[test]
fn what_cannot_be_queued() {
    compare(
        "
        MULTI
        SHUTDOWN NOSAVE
        PING
        EXEC
        PING
        ",
    );
}

#[test]
fn errors_while_running_do_not_stop_the_rest() {
    compare(
        "
        SET s x
        MULTI
        INCR s
        LPUSH s 1
        SET t 1
        HINCRBY s f 1
        SELECT 99
        INCRBY t 9223372036854775807
        GET t
        EXEC
        GET t
        ",
    );
}

#[test]
fn commands_change_the_session_within_a_transaction() {
    compare(
        "
        SET a zero
        MULTI
        SELECT 3
        SET a three
        SELECT 4
        SET a four
        SWAPDB 3 4
        GET a
        SELECT 3
        GET a
        MOVE a 5
        SELECT 5
        GET a
        EXEC
        GET a
        SELECT 0
        GET a
        MULTI
        HSET h f v
        HGETALL h
        HELLO 3
        = +QUEUED
        HGETALL h
        HELLO 2
        = +QUEUED
        HGETALL h
        @skip EXEC
        HGETALL h
        MULTI
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT NO-EVICT ON
        CLIENT NO-EVICT OFF
        @skip EXEC
        ",
    );
}

#[test]
fn blocking_commands_do_not_wait() {
    compare(
        "
        MULTI
        BLPOP l 0
        BRPOP l 0
        BLMOVE l m LEFT RIGHT 0
        BRPOPLPUSH l m 0
        BLMPOP 0 1 l LEFT
        BZPOPMIN z 0
        BZPOPMAX z 0
        BZMPOP 0 1 z MIN
        XREAD BLOCK 0 STREAMS x $
        EXEC
        RPUSH l a b
        ZADD z 1 m
        MULTI
        BLPOP l 0
        BRPOP l 0
        BZPOPMIN z 0
        EXEC
        ",
    );
}

#[test]
fn who_waits_is_served_after_the_transaction() {
    compare(
        "
        @b @send BLPOP l 0
        MULTI
        RPUSH l one
        LLEN l
        RPUSH l two
        LRANGE l 0 -1
        EXEC
        @b @read
        LRANGE l 0 -1
        DEL l
        @b @send BLPOP l 0
        MULTI
        RPUSH l gone
        DEL l
        EXEC
        RPUSH l stays
        @b @read
        @b @send BLMOVE s d LEFT RIGHT 0
        MULTI
        RPUSH s x
        LRANGE d 0 -1
        EXEC
        @b @read
        LRANGE d 0 -1
        ",
    );
}

#[test]
fn commands_that_look_at_all_keys() {
    compare(
        "
        MSET a 1 b 2 c 3
        MULTI
        @unordered KEYS *
        DBSIZE
        SET d 4
        DBSIZE
        SCAN 0 COUNT 1000 MATCH d
        RANDOMKEY
        EXISTS a b c d e
        FLUSHDB
        DBSIZE
        RANDOMKEY
        MSET a 1 b 2
        FLUSHALL
        DBSIZE
        @kind EXEC
        DBSIZE
        MULTI
        DBSIZE
        SORT nothing BY w_* GET o_*
        KEYS *
        INFO keyspace
        EXEC
        ",
    );
}

#[test]
fn reset_and_quit_end_it() {
    compare(
        "
        WATCH a
        MULTI
        SET a 1
        RESET
        = +RESET
        EXEC
        = -ERR EXEC without MULTI
        GET a
        MULTI
        SET a 1
        QUIT
        GET a
        ",
    );
}

#[test]
fn a_transaction_waits_for_the_end_of_a_pause() {
    compare(
        "
        MULTI
        SET a 1
        @b CLIENT PAUSE 100000 WRITE
        @send EXEC
        @b GET a
        @b CLIENT UNPAUSE
        @read
        @b GET a
        MULTI
        GET a
        @b CLIENT PAUSE 100000 WRITE
        EXEC
        MULTI
        @send SET a 2
        @b CLIENT UNPAUSE
        @read
        EXEC
        ",
    );
}

#[test]
fn memory_that_is_short_refuses_what_needs_it() {
    compare(
        "
        SET big 1
        MULTI
        SET a 1
        @b CONFIG SET maxmemory 1
        EXEC
        GET a
        MULTI
        GET a
        EXEC
        MULTI
        DISCARD
        MULTI
        WATCH a
        MULTI
        EXEC
        WATCH a
        MULTI
        @b CONFIG SET maxmemory 0
        GET a
        @b CONFIG SET maxmemory 1
        EXEC
        RESET
        = +RESET
        @b CONFIG SET maxmemory 0
        ",
    );
}

#[test]
fn others_see_that_a_client_is_in_a_transaction() {
    compare(
        "
        @kind @b CLIENT ID
        CLIENT LIST
        =* *flags=N *multi=-1 *flags=N *
        @b MULTI
        @b SET a 1
        @b SET a 2
        CLIENT LIST
        =* *flags=x *multi=2 *
        @b EXEC
        @b WATCH a
        SET a 3
        CLIENT LIST
        =* *flags=d *multi=-1 *
        @b UNWATCH
        @b MULTI
        @b CLIENT INFO
        @b EXEC
        =* *flags=x *multi=1 *
        # What will not run is not kept.
        @b MULTI
        @b SET a 1
        @b NOSUCHCOMMAND
        @b SET a 2
        CLIENT LIST
        =* *flags=x *multi=1 *
        @b EXEC
        @b WATCH a
        @b MULTI
        SET a 4
        @b SET a 5
        CLIENT LIST
        =* *flags=xd *multi=0 *
        @b EXEC
        ",
    );
}

#[test]
fn the_slow_log_and_the_counters_see_the_commands() {
    compare_with(
        &["--slowlog-log-slower-than", "0"],
        "
        SLOWLOG RESET
        MULTI
        SET a 1
        INCR a
        LPUSH a x
        EXEC
        SLOWLOG LEN
        CONFIG RESETSTAT
        MULTI
        SET a 1
        LPUSH a x
        EXEC
        GET a
        NOSUCH
        INFO commandstats
        =* *cmdstat_set:calls=1,*cmdstat_lpush:calls=1,*failed_calls=1*cmdstat_exec:calls=1,*
        INFO errorstats
        ",
    );
}

#[test]
fn a_refused_exec_aborts_without_multi_too() {
    compare_with(
        &["--requirepass", "secret"],
        "
        EXEC
        AUTH secret
        EXEC x
        EXEC
        WATCH a
        EXEC x y
        @b AUTH secret
        @b SET a 1
        MULTI
        PING
        EXEC
        ACL SETUSER default -exec
        EXEC
        = -EXECABORT Transaction discarded because of: NOPERM User default has no permissions to run the 'exec' command
        ACL SETUSER default +exec
        INFO errorstats
        ",
    );
    let server = Server::start();
    let mut conn = server.connect();
    conn.run("SUBSCRIBE news");
    let because = "EXECABORT Transaction discarded because of: Can't execute 'exec': only ";
    assert!(conn.run("EXEC").is_error(because));
}

#[test]
fn replies_that_are_not_wanted() {
    let input =
        b"MULTI\r\nPING\r\nCLIENT REPLY SKIP\r\nECHO a\r\nEXEC\r\nECHO skipped\r\nECHO b\r\n\
        MULTI\r\nCLIENT REPLY OFF\r\nECHO c\r\nEXEC\r\nECHO d\r\nMULTI\r\nECHO e\r\n\
        CLIENT REPLY ON\r\nECHO f\r\nEXEC\r\nECHO g\r\n";
    let [ours, theirs] = [Server::start(), Redis::start()].map(|server| {
        let mut conn = server.connect();
        conn.send(input);
        let end = b"$1\r\ng\r\n";
        String::from_utf8_lossy(&conn.read_until(end)).into_owned()
    });
    assert_eq!(ours, theirs);
}
