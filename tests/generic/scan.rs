//! SCAN: its grammar beside Redis, and its guarantee (what stays is returned) while tables grow,
//! shrink and are emptied under it. Cursors are Larder's own, so they are never compared.

use std::collections::BTreeMap;

use larder_tests::{Conn, Rng, Server, compare};

/// One whole iteration: how often each key came.
fn iterate(
    conn: &mut Conn,
    options: &str,
    mut between: impl FnMut(usize),
) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    let mut cursor = "0".to_owned();
    for call in 0.. {
        let reply = conn.run(&format!("SCAN {cursor} {options}")).items();
        for key in reply[1].items() {
            *seen.entry(key.text()).or_default() += 1;
        }
        cursor = reply[0].text();
        assert!(cursor.parse::<u64>().is_ok(), "a cursor is a number: {cursor}");
        if cursor == "0" {
            break;
        }
        assert!(call < 1_000_000, "the iteration does not end");
        between(call);
    }
    seen
}

fn fill(conn: &mut Conn, prefix: &str, count: usize) {
    let mut bytes = Vec::new();
    for i in 0..count {
        bytes.extend(larder_tests::encode(&["SET", &format!("{prefix}{i}"), "v"]));
    }
    conn.send(&bytes);
    for _ in 0..count {
        assert_eq!(conn.reply().to_string(), "+OK");
    }
}

#[test]
fn grammar() {
    compare(
        r#"
        SCAN 0
        SCAN 0 COUNT 10
        SET one 1
        SCAN 0
        SCAN 0 MATCH o* COUNT 100
        SCAN 0 match x* count 100
        SCAN 0 TYPE string
        SCAN 0 TYPE STRING
        SCAN 0 TYPE hash
        SCAN 0 TYPE list COUNT 5 MATCH *
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 COUNT 9223372036854775807
        SCAN 0 COUNT 9223372036854775808
        SCAN 0 COUNT
        SCAN 0 MATCH
        SCAN 0 TYPE
        SCAN 0 BOGUS
        SCAN 0 BOGUS 1
        SCAN 0 COUNT 1 COUNT 100
        SCAN x
        @7 @kind SCAN -1
        @7 SCAN ""
        @7 SCAN " 0"
        SCAN 0x
        SCAN 18446744073709551616
        SCAN
        @kind SCAN 18446744073709551615
        @kind SCAN 12345
        "#,
    );
}

#[test]
fn every_key_comes_whatever_the_count() {
    let server = Server::start();
    let mut conn = server.connect();
    fill(&mut conn, "k", 1000);
    for count in [1, 2, 10, 100, 999, 1000, 1001, 100_000] {
        let seen = iterate(&mut conn, &format!("COUNT {count}"), |_| {});
        assert_eq!(seen.len(), 1000, "COUNT {count}");
    }
    let seen = iterate(&mut conn, "MATCH k99* COUNT 10", |_| {});
    assert_eq!(seen.len(), 11);
    assert!(iterate(&mut conn, "MATCH nothing", |_| {}).is_empty());
    assert_eq!(iterate(&mut conn, "TYPE string", |_| {}).len(), 1000);
    assert!(iterate(&mut conn, "TYPE zset", |_| {}).is_empty());
}

#[test]
fn what_stays_is_returned_while_the_table_grows() {
    let server = Server::start();
    let (mut conn, mut writer) = (server.connect(), server.connect());
    fill(&mut conn, "stays", 500);
    let seen = iterate(&mut conn, "COUNT 5", |call| {
        if call < 60 {
            fill(&mut writer, &format!("new{call}:"), 500);
        }
    });
    let stayed = seen.keys().filter(|key| key.starts_with("stays")).count();
    assert_eq!(stayed, 500, "keys were lost while the table grew");
}

#[test]
fn what_stays_is_returned_while_the_table_shrinks() {
    let server = Server::start();
    let (mut conn, mut writer) = (server.connect(), server.connect());
    fill(&mut conn, "stays", 200);
    fill(&mut conn, "goes", 20_000);
    let seen = iterate(&mut conn, "COUNT 7", |call| {
        for i in (call * 200)..((call + 1) * 200).min(20_000) {
            writer.run(&format!("DEL goes{i}"));
        }
    });
    let stayed = seen.keys().filter(|key| key.starts_with("stays")).count();
    assert_eq!(stayed, 200, "keys were lost while the table shrank");
}

#[test]
fn random_writes_never_hide_what_stays() {
    let server = Server::start();
    let (mut conn, mut writer) = (server.connect(), server.connect());
    let mut rng = Rng::new(7);
    fill(&mut conn, "stays", 300);
    for round in 0..10 {
        let count = 1 + rng.below(50);
        let seen = iterate(&mut conn, &format!("COUNT {count}"), |call| {
            if call < 100 {
                for _ in 0..30 {
                    let name = rng.below(3000);
                    let verb = if rng.below(2) == 0 { "SET" } else { "DEL" };
                    let value = if verb == "SET" { " v" } else { "" };
                    writer.run(&format!("{verb} other{name}{value}"));
                }
            }
        });
        let stayed = seen.keys().filter(|key| key.starts_with("stays")).count();
        assert_eq!(stayed, 300, "round {round}");
    }
}

#[test]
fn a_quiet_table_returns_each_key_once() {
    let server = Server::start();
    let mut conn = server.connect();
    fill(&mut conn, "k", 5000);
    let seen = iterate(&mut conn, "COUNT 10", |_| {});
    assert!(seen.values().all(|&times| times == 1), "a key came twice without a resize");
}

#[test]
fn scanning_sees_neither_the_dead_nor_other_databases() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare(
        "DEBUG SET-ACTIVE-EXPIRE 0\nSET lives 1\nSET dies 1 PX 1\nSELECT 1\nSET other 1\nSELECT 0",
    );
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(iterate(&mut conn, "", |_| {}).into_keys().collect::<Vec<_>>(), ["lives"]);
}

#[test]
fn a_stale_cursor_ends() {
    let server = Server::start();
    let mut conn = server.connect();
    fill(&mut conn, "k", 2000);
    let cursor = conn.run("SCAN 0 COUNT 100").items()[0].text();
    conn.expect("FLUSHALL", "+OK");
    let mut cursor = cursor;
    for _ in 0..10_000 {
        let reply = conn.run(&format!("SCAN {cursor} COUNT 100")).items();
        cursor = reply[0].text();
        assert!(reply[1].items().is_empty());
        if cursor == "0" {
            return;
        }
    }
    panic!("an empty data set is iterated without end");
}

#[test]
fn a_scan_lets_go_of_what_is_due() {
    compare(
        r#"
        DEBUG SET-ACTIVE-EXPIRE 0
        SET stays 1
        PSETEX goes 1 1
        RPUSH list 1
        PEXPIRE list 1
        @sleep 5
        DBSIZE
        @unordered SCAN 0 COUNT 1000
        DBSIZE
        "#,
    );
}
