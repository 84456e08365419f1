//! Commands that wait: who is served, in which order, with what, and what ends a wait.

use larder_tests::{Conn, Redis, Server, compare, encode, eventually};
use std::time::Duration;

#[test]
fn a_list_that_is_there_is_popped_at_once() {
    compare(
        r#"
        RPUSH l 1 2 3 4 5 6
        RPUSH m 7 8
        BLPOP l 0
        BRPOP l 0
        BLPOP missing m l 1
        BRPOP missing m l 0.5
        BLMOVE l m LEFT RIGHT 0
        BRPOPLPUSH l m 0
        BLMPOP 0 2 missing m LEFT
        BLMPOP 0 1 m RIGHT COUNT 5
        EXISTS m
        LRANGE l 0 -1
        "#,
    );
}

#[test]
fn what_is_wrong_is_said_at_once() {
    compare(
        r#"
        SET s v
        BLPOP s 0
        BRPOP missing s 0
        BLMOVE s l LEFT LEFT 0
        BRPOPLPUSH s l 0
        BLMPOP 0 1 s LEFT
        BLMPOP 0 2 missing s LEFT
        BLPOP l -1
        BLPOP l x
        BLPOP l 1e3x
        BLPOP l nan
        BLPOP l 1e300
        = -ERR timeout is out of range
        BLPOP l 1e400
        = -ERR timeout is out of range
        BLPOP l -1e400
        BLPOP l 9223372036854775807
        = -ERR timeout is out of range
        BRPOP l x
        BLMOVE a b LEFT LEFT x
        BLMOVE a b LEFT LEFT -1
        BLMOVE a b UP LEFT 0
        BLMOVE a b LEFT UP 0
        BLMOVE a b UP LEFT x
        BRPOPLPUSH a b x
        BRPOPLPUSH a b -1
        BLMPOP x 1 a LEFT
        BLMPOP -1 1 a LEFT
        BLMPOP 0 0 a LEFT
        BLMPOP 0 -1 a LEFT
        BLMPOP 0 x a LEFT
        BLMPOP 0 2 a LEFT
        BLMPOP 0 9223372036854775807 a LEFT
        BLMPOP 0 1 a UP
        BLMPOP 0 1 a LEFT COUNT
        BLMPOP 0 1 a LEFT COUNT 0
        BLMPOP 0 1 a LEFT COUNT x
        BLMPOP 0 1 a LEFT COUNT 1 COUNT 1
        BLMPOP 0 1 a LEFT BOGUS
        BLPOP
        BLPOP l
        BRPOP l
        BLMOVE a b LEFT LEFT
        BRPOPLPUSH a b
        BLMPOP 0 1 a
        BLMPOP 0 1
        RPUSH l 1
        BLMOVE l s LEFT LEFT 0
        BRPOPLPUSH l s 0
        LRANGE l 0 -1
        "#,
    );
}

#[test]
fn a_wait_ends_with_its_timeout() {
    compare(
        r#"
        BLPOP l 0.01
        BRPOP l m n 0.01
        BLMOVE l m LEFT LEFT 0.01
        BRPOPLPUSH l m 0.01
        BLMPOP 0.01 2 l m LEFT COUNT 3
        BLPOP l 0.0001
        BLPOP l 1e-20
        RPUSH l 1
        LRANGE l 0 -1
        "#,
    );
}

#[test]
fn a_push_serves_who_waits() {
    compare(
        r#"
        @b @send BLPOP l 0
        RPUSH l 1
        @b @read
        EXISTS l
        @b @send BRPOP k l 0
        RPUSH l 1 2 3
        @b @read
        LRANGE l 0 -1
        DEL l
        @b @send BLMPOP 0 2 k l RIGHT COUNT 2
        LPUSH l 1 2 3
        @b @read
        LRANGE l 0 -1
        DEL l
        @b @send BLMOVE l m LEFT RIGHT 0
        RPUSH l a
        @b @read
        EXISTS l
        LRANGE m 0 -1
        @b @send BRPOPLPUSH l m 0
        RPUSH l b
        @b @read
        LRANGE m 0 -1
        @b @send BLPOP l l 0
        RPUSH l twice
        @b @read
        "#,
    );
}

#[test]
fn the_first_to_come_is_served_first() {
    compare(
        r#"
        @b @send BLPOP l 0
        @c @send BRPOP l 0
        RPUSH l 1 2 3
        @b @read
        @c @read
        LRANGE l 0 -1
        DEL l
        @b @send BLMPOP 0 1 l LEFT COUNT 10
        @c @send BLPOP l 0
        RPUSH l 1 2
        @b @read
        RPUSH l 3
        @c @read
        @b @send BLPOP l m 0
        @c @send BLPOP m l 0
        RPUSH m 1
        @b @read
        RPUSH m 2
        @c @read
        "#,
    );
}

#[test]
fn the_keys_are_looked_at_in_their_order() {
    compare(
        r#"
        @b @send BLPOP first second 0
        RPUSH second 2
        @b @read
        RPUSH second 2
        RPUSH first 1
        BLPOP first second 0
        BLPOP first second 0
        "#,
    );
}

#[test]
fn moves_serve_the_next_in_line() {
    compare(
        r#"
        @b @send BLMOVE a b LEFT RIGHT 0
        @c @send BLPOP b 0
        RPUSH a 1
        @b @read
        @c @read
        EXISTS a b
        @b @send BRPOPLPUSH l l 0
        RPUSH l 1
        @b @read
        LRANGE l 0 -1
        @b @send BLPOP d 0
        LMOVE l d LEFT LEFT
        @b @read
        "#,
    );
}

#[test]
fn a_target_of_another_type_stops_its_move_only() {
    compare(
        r#"
        SET t v
        @b @send BLMOVE s t LEFT LEFT 0
        @c @send BLMOVE s u LEFT LEFT 0
        RPUSH s 1
        @b @read
        @c @read
        LRANGE u 0 -1
        "#,
    );
}

#[test]
fn what_is_no_list_wakes_nobody() {
    compare(
        r#"
        @b @send BLPOP l 0
        SET l v
        DEL l
        SADD l member
        DEL l
        HSET l field value
        DEL l
        RPUSH l 1
        @b @read
        "#,
    );
}

#[test]
fn lists_come_in_other_ways() {
    compare(
        r#"
        @b @send BLPOP l 0
        RPUSH m 1
        RENAME m l
        @b @read
        @b @send BLPOP l 0
        RPUSH m 2
        COPY m l
        @b @read
        LRANGE m 0 -1
        @b @send BLPOP m{1} 0
        SELECT 1
        RPUSH m{1} 3
        SELECT 0
        RPUSH m{1} 4
        @b @read
        SELECT 1
        MOVE m{1} 0
        SELECT 0
        LRANGE m{1} 0 -1
        DEL m{1}
        @b @send BLPOP m{1} 0
        SELECT 1
        RPUSH m{1} 5
        MOVE m{1} 0
        @b @read
        SELECT 2
        RPUSH s 6
        SELECT 0
        @b @send BLPOP s 0
        SWAPDB 0 2
        @b @read
        "#,
    );
}

/// What came with another database is there before what the same transaction adds.
#[test]
fn keys_that_are_not_there_yet_have_their_turn_when_they_come() {
    let script: String = (0..8)
        .map(|round| {
            format!(
                r#"
                SELECT 1
                RPUSH there{round} 1
                SELECT 0
                @b @send BLMOVE new{round} taken LEFT RIGHT 0
                @c @send BLMOVE there{round} taken LEFT RIGHT 0
                MULTI
                SWAPDB 0 1
                RPUSH new{round} 2
                EXEC
                @b @read
                @c @read
                LRANGE taken 0 -1
                @b @send BLMOVE new{round} taken LEFT RIGHT 0
                @c @send BLMOVE newer{round} taken LEFT RIGHT 0
                MULTI
                FLUSHALL
                RPUSH newer{round} 3
                RPUSH new{round} 4
                EXEC
                @b @read
                @c @read
                LRANGE taken 0 -1
                FLUSHALL
                "#
            )
        })
        .collect();
    compare(&script);
}

#[test]
fn a_wait_ends_with_client_unblock_and_with_its_connection() {
    compare(
        r#"
        @skip @b CLIENT ID
        @b CLIENT SETNAME waiting
        @b @send BLPOP l 0
        CLIENT UNBLOCK 999999
        @skip CLIENT KILL SKIPME yes
        @b @read
        RPUSH l 1
        LRANGE l 0 -1
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect();
    for (how, reply) in [
        ("", "nil-array"),
        (" TIMEOUT", "nil-array"),
        (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ] {
        let mut waiting = server.connect();
        let id = waiting.run("CLIENT ID").int();
        waiting.send(b"BLPOP l 0\r\n");
        while conn.run(&format!("CLIENT UNBLOCK {id}{how}")).int() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waiting.reply().to_string(), reply);
        waiting.expect("PING", "+PONG");
    }
    conn.expect("RPUSH l 1", ":1");
    conn.expect("LLEN l", ":1");
}

#[test]
fn what_expires_within_a_transaction_serves_nobody() {
    let args = ["--enable-debug-command", "yes"];
    for server in [Server::with(&args), Redis::with(&args)] {
        let (mut waiting, mut conn) = (server.connect(), server.connect());
        conn.expect("DEBUG SET-ACTIVE-EXPIRE 0", "+OK");
        let id = waiting.run("CLIENT ID").int();
        waiting.send(b"BRPOP list 0\r\n");
        eventually("it waits", || server.info("blocked_clients") == "1");
        conn.prepare("MULTI\nRPUSH list a\nPEXPIRE list 50\nDEBUG SLEEP 0.1");
        // For EXEC it is one instant, for who comes after it another one.
        conn.expect("EXEC", "[:1, :1, +OK]");
        assert_eq!(server.info("blocked_clients"), "1");
        conn.prepare("RPUSH list b");
        assert_eq!(waiting.reply().to_string(), r#"["list", "b"]"#);
        conn.expect(&format!("CLIENT UNBLOCK {id}"), ":0");
        conn.expect("EXISTS list", ":0");
    }
}

#[test]
fn commands_behind_a_wait_wait_too() {
    let server = Server::start();
    let mut conn = server.connect();
    let mut waiting = server.connect();
    waiting.send(b"BLPOP l 0\r\nSET after 1\r\nPING\r\n");
    while server.info("blocked_clients") != "1" {
        std::thread::sleep(Duration::from_millis(1));
    }
    conn.expect("EXISTS after", ":0");
    conn.prepare("RPUSH l 1");
    assert_eq!(waiting.reply().to_string(), "[\"l\", \"1\"]");
    assert_eq!(waiting.reply().to_string(), "+OK");
    assert_eq!(waiting.reply().to_string(), "+PONG");
    assert_eq!(server.info("blocked_clients"), "0");
}

#[test]
fn waits_for_a_million_keys_leave_nothing() {
    const CLIENTS: usize = 20;
    const KEYS: usize = 50_000;
    let server = Server::start();
    let mut conn = server.connect();
    let round = |conn: &mut Conn| {
        let mut waiting: Vec<Conn> = (0..CLIENTS).map(|_| server.connect()).collect();
        for (number, waiting) in waiting.iter_mut().enumerate() {
            let keys = (0..KEYS).map(|key| format!("{number}:{key}").into_bytes());
            let args = [b"BLPOP".to_vec()].into_iter().chain(keys).chain([b"0".to_vec()]);
            waiting.send(&encode(&args.collect::<Vec<_>>()));
        }
        let all = (CLIENTS * KEYS).to_string();
        eventually("all wait", || server.info("total_blocking_keys") == all);
        // Some are served, the others hang up.
        for (number, waiting) in waiting.iter_mut().enumerate().take(CLIENTS / 3) {
            conn.expect(&format!("RPUSH {number}:{} x", KEYS - 1), ":1");
            waiting.reply();
        }
        drop(waiting);
        eventually("no key is waited for", || server.info("total_blocking_keys") == "0");
        eventually("nobody waits", || server.info("blocked_clients") == "0");
        assert_eq!(conn.run("DBSIZE").int(), 0);
        server.resident()
    };
    let first = round(&mut conn);
    let second = round(&mut conn);
    // The first round's memory serves the second.
    assert!(second < first + (first / 4).max(32 << 20), "{first} {second}");
}
