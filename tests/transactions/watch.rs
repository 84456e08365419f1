//! What lets EXEC fail, and what does not.

use larder_tests::{compare, compare_with};

#[test]
fn changes_of_a_watched_key() {
    compare(
        "
        SET a 1
        WATCH a
        MULTI
        GET a
        EXEC
        WATCH a
        SET a 2
        MULTI
        GET a
        EXEC
        MULTI
        GET a
        EXEC
        WATCH a b c
        @b SET c 1
        MULTI
        GET a
        EXEC
        WATCH a
        WATCH b
        @b SET a 1
        UNWATCH
        MULTI
        GET a
        EXEC
        WATCH a
        @b SET a 1
        MULTI
        DISCARD
        MULTI
        GET a
        EXEC
        WATCH a
        @b GET a
        @b STRLEN a
        @b SETNX a x
        @b DEL nothing
        MULTI
        SET a own
        SET a again
        EXEC
        ",
    );
}

/// Each change by another client, after a setup; the reply of EXEC tells whether it counts.
#[test]
fn every_command_that_changes_a_key_counts() {
    let changes = [
        ("", "SET k v"),
        ("SET k v", "SET k v"),
        ("SET k v", "SET k w NX"),
        ("SET k v", "GETSET k v"),
        ("SET k v", "GETDEL k"),
        ("SET k v", "GETEX k"),
        ("SET k v", "GETEX k PERSIST"),
        ("SET k v EX 100", "GETEX k PERSIST"),
        ("SET k v", "GETEX k EX 100"),
        ("SET k v", "APPEND k x"),
        ("SET k v", "SETRANGE k 1 x"),
        ("SET k v", "SETBIT k 1 1"),
        ("SET k v", "BITFIELD k GET u8 0"),
        ("SET k v", "BITFIELD k SET u8 0 1"),
        ("SET k 1", "INCR k"),
        ("SET k 1", "INCRBYFLOAT k 0.5"),
        ("SET k v", "DEL k"),
        ("SET k v", "UNLINK k"),
        ("", "DEL k"),
        ("SET k v", "EXPIRE k 100"),
        ("SET k v", "EXPIRE k -1"),
        ("SET k v", "PERSIST k"),
        ("SET k v EX 100", "PERSIST k"),
        ("SET k v", "RENAME k l"),
        ("SET l v", "RENAME l k"),
        ("SET k v", "RENAMENX k l"),
        ("SET k v", "COPY k l"),
        ("SET l v", "COPY l k"),
        ("SET k v", "MOVE k 1"),
        ("SET k v", "TOUCH k"),
        ("SET k v", "OBJECT ENCODING k"),
        ("SET k v", "MSET a 1 k 2"),
        ("SET k v", "MSETNX a 1 k 2"),
        ("", "MSETNX k 2 b 1"),
        ("", "LPUSH k a"),
        ("", "LPUSHX k a"),
        ("RPUSH k a b", "LPOP k"),
        ("RPUSH k a b", "LPOP k 0"),
        ("RPUSH k a b", "LSET k 0 z"),
        ("RPUSH k a b", "LTRIM k 0 -1"),
        ("RPUSH k a b", "LREM k 0 z"),
        ("RPUSH k a b", "LREM k 0 a"),
        ("RPUSH k a b", "LINSERT k BEFORE z y"),
        ("RPUSH k a b", "LINSERT k BEFORE a y"),
        ("RPUSH k a b", "LMOVE k l LEFT LEFT"),
        ("RPUSH l a b", "LMOVE l k LEFT LEFT"),
        ("RPUSH k a b", "LMPOP 1 k LEFT"),
        ("RPUSH k a b", "SORT k ALPHA STORE k"),
        ("SADD k a", "SADD k a"),
        ("SADD k a", "SADD k b"),
        ("SADD k a", "SREM k b"),
        ("SADD k a b", "SPOP k"),
        ("SADD k a b", "SMOVE k l a"),
        ("SADD l a b", "SMOVE l k a"),
        ("SADD l a b", "SUNIONSTORE k l"),
        ("SADD k a b", "SINTERSTORE k l"),
        ("", "SINTERSTORE k l"),
        ("HSET k f v", "HSET k f v"),
        ("HSET k f v", "HSETNX k f v"),
        ("HSET k f v", "HDEL k g"),
        ("HSET k f v", "HDEL k f"),
        ("HSET k f 1", "HINCRBY k f 1"),
        ("HSET k f 1", "HINCRBYFLOAT k f 1"),
        ("ZADD k 1 a", "ZADD k 1 a"),
        ("ZADD k 1 a", "ZADD k 2 a"),
        ("ZADD k 1 a", "ZINCRBY k 0 a"),
        ("ZADD k 1 a", "ZREM k b"),
        ("ZADD k 1 a", "ZPOPMIN k"),
        ("ZADD k 1 a", "ZREMRANGEBYSCORE k 5 6"),
        ("ZADD k 1 a", "ZREMRANGEBYSCORE k 0 6"),
        ("ZADD l 1 a", "ZRANGESTORE k l 0 -1"),
        ("ZADD l 1 a", "ZUNIONSTORE k 1 l"),
        ("", "ZUNIONSTORE k 1 l"),
        ("", "GEOADD k 1 1 a"),
        ("", "PFADD k a"),
        ("PFADD k a", "PFADD k a"),
        ("PFADD k a", "PFCOUNT k"),
        ("PFADD k a b", "PFMERGE k l"),
        ("", "PFMERGE k l"),
        ("", "XADD k 1-1 f v"),
        ("XADD k 1-1 f v", "XADD k 1-2 f v"),
        ("XADD k 1-1 f v", "XDEL k 1-1"),
        ("XADD k 1-1 f v", "XDEL k 1-2"),
        ("XADD k 1-1 f v", "XTRIM k MAXLEN 0"),
        ("XADD k 1-1 f v", "XTRIM k MAXLEN 5"),
        ("XADD k 1-1 f v", "XSETID k 5-5"),
        ("XADD k 1-1 f v", "XGROUP CREATE k g 0"),
        ("", "XGROUP CREATE k g 0 MKSTREAM"),
        ("XGROUP CREATE k g 0 MKSTREAM", "XGROUP DESTROY k g"),
        ("XGROUP CREATE k g 0 MKSTREAM", "XGROUP SETID k g 1"),
        ("XGROUP CREATE k g 0 MKSTREAM", "XGROUP CREATECONSUMER k g c"),
        ("XGROUP CREATE k g 0 MKSTREAM", "XGROUP DELCONSUMER k g c"),
        ("XGROUP CREATE k g $ MKSTREAM", "XREADGROUP GROUP g c STREAMS k >"),
        ("SET k v", "FLUSHALL"),
        ("SET k v", "FLUSHDB"),
        ("", "FLUSHALL"),
        ("SET l v", "FLUSHDB"),
        ("SET k v", "SWAPDB 0 1"),
        ("", "SWAPDB 0 1"),
        ("SET l v", "SWAPDB 0 1"),
        ("SET k v", "SWAPDB 0 0"),
        ("SET k v", "BITOP NOT k k"),
        ("SET k v", "SET k v EX 100"),
    ];
    let mut script = String::new();
    for (setup, change) in changes {
        script.push_str("@b FLUSHALL\n@b SELECT 0\n");
        if !setup.is_empty() {
            script.push_str(&format!("@skip {setup}\n"));
        }
        // The mark names the change, so that a difference shows where it comes from.
        script.push_str(&format!(
            "WATCH k\n@skip @b {change}\nMULTI\nECHO \"{setup}; {change}\"\nEXEC\nUNWATCH\n"
        ));
    }
    compare(&script);
}

#[test]
fn streams_with_consumers() {
    compare(
        "
        XADD k 1-1 f v
        XADD k 2-1 f v
        XGROUP CREATE k g 0
        WATCH k
        @b XREADGROUP GROUP g c STREAMS k >
        MULTI
        ECHO XREADGROUP
        EXEC
        WATCH k
        @b XACK k g 1-1
        MULTI
        ECHO XACK
        EXEC
        WATCH k
        @b XCLAIM k g d 0 2-1
        MULTI
        ECHO XCLAIM
        EXEC
        WATCH k
        @b XAUTOCLAIM k g e 0 0
        MULTI
        ECHO XAUTOCLAIM
        EXEC
        ",
    );
}

#[test]
fn keys_that_expire() {
    compare(
        "
        DEBUG SET-ACTIVE-EXPIRE 0
        SET a 1 PX 20
        WATCH a
        @sleep 30
        MULTI
        ECHO expired
        EXEC
        SET a 1 PX 20
        @sleep 30
        WATCH a
        MULTI
        ECHO stale
        EXEC
        SET a 1 PX 20
        @sleep 30
        WATCH a
        @b GET a
        MULTI
        ECHO stale_and_looked_at
        EXEC
        SET a 1 PX 20
        @sleep 30
        WATCH a
        @b FLUSHALL
        MULTI
        ECHO stale_and_flushed
        EXEC
        SET a 1 PX 20
        WATCH a
        @sleep 30
        @b GET a
        MULTI
        ECHO expired_and_looked_at
        EXEC
        SET a 1 PX 20
        @sleep 30
        WATCH a
        @b SET a 2
        MULTI
        ECHO stale_and_set
        EXEC
        DEBUG SET-ACTIVE-EXPIRE 1
        SET a 1 PX 20
        WATCH a
        @sleep 250
        MULTI
        ECHO expired_by_the_server
        EXEC
        ",
    );
}

#[test]
fn databases_that_change_places() {
    compare(
        "
        DEBUG SET-ACTIVE-EXPIRE 0
        SET both 1
        SET here 1
        SELECT 1
        SET both 1
        SET there 1
        SELECT 0
        WATCH none
        @b SWAPDB 0 1
        MULTI
        ECHO none
        EXEC
        WATCH there
        @b SWAPDB 0 1
        MULTI
        ECHO there
        EXEC
        WATCH both
        @b SWAPDB 0 1
        MULTI
        ECHO both
        EXEC
        SELECT 1
        WATCH here
        @b SWAPDB 0 1
        MULTI
        ECHO here
        EXEC
        SET stale 1 PX 1
        @sleep 10
        SELECT 0
        WATCH stale
        @b SWAPDB 0 1
        MULTI
        ECHO stale_comes
        EXEC
        SELECT 1
        WATCH stale
        @b SWAPDB 0 1
        MULTI
        ECHO stale_again
        EXEC
        SELECT 5
        WATCH x
        @b SET x 1
        MULTI
        ECHO another_database
        EXEC
        ",
    );
}

#[test]
fn keys_that_are_evicted() {
    compare_with(
        &["--maxmemory-policy", "allkeys-random"],
        "
        SET a 1
        WATCH a
        @b CONFIG SET maxmemory 1
        @b PING
        @b CONFIG SET maxmemory 0
        MULTI
        ECHO evicted
        EXEC
        EXISTS a
        ",
    );
}

#[test]
fn a_client_that_goes_leaves_no_watch() {
    compare(
        "
        @b WATCH a
        @b QUIT
        SET a 1
        @b WATCH a
        @b MULTI
        @b GET a
        @b EXEC
        WATCH a
        RESET
        = +RESET
        @b SET a 2
        MULTI
        @skip EXEC
        ",
    );
}
