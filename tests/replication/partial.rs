//! Links that are cut: replicas go on where they were, unless they cannot.

use std::thread;
use std::time::Duration;

use larder_tests::{Server, eventually};

use crate::follower::{Follower, line};
use crate::full::ALL_TYPES;
use crate::{assert_same, replica_of, wait_caught_up, wait_up};

#[test]
fn a_link_that_was_cut_goes_on_where_it_was() {
    let primary = Server::start();
    let replica = replica_of(&primary);
    wait_up(&replica);
    for round in 1..=3 {
        primary.connect().prepare(ALL_TYPES);
        assert_eq!(primary.connect().run("CLIENT KILL TYPE replica").int(), 1);
        primary.connect().prepare("RPUSH list while down");
        eventually("it came back", || primary.info("sync_partial_ok") == round.to_string());
        assert_same(&primary, &replica);
        primary.connect().run("FLUSHALL");
    }
    assert_eq!(primary.info("sync_full"), "1");
}

#[test]
fn a_replica_that_was_killed_begins_anew() {
    let primary = Server::start();
    primary.connect().prepare(ALL_TYPES);
    let mut replica = replica_of(&primary);
    wait_up(&replica);
    primary.connect().prepare("INCR counter");
    replica.signal("KILL");
    replica.wait_exit();
    eventually("it is forgotten", || primary.info("connected_slaves") == "0");
    primary.connect().prepare("INCR counter");
    let replica = replica_of(&primary);
    wait_up(&replica);
    assert_same(&primary, &replica);
    assert_eq!(primary.info("sync_full"), "2");
}

#[test]
fn what_left_the_backlog_is_not_gone_on_with() {
    let primary = Server::with(&["--repl-backlog-size", "16kb"]);
    let follower = Follower::new(&primary);
    let (replid, offset) = (follower.replid.clone(), follower.offset);
    drop(follower);
    eventually("it is forgotten", || primary.info("connected_slaves") == "0");
    let ask = |replid: &str, offset: u64| {
        let mut conn = primary.connect();
        conn.expect("REPLCONF capa eof capa psync2", "+OK");
        conn.send(format!("PSYNC {replid} {offset}\r\n").as_bytes());
        line(&mut conn)
    };
    primary.connect().prepare("SET key value");
    assert_eq!(ask(&replid, offset + 1), format!("+CONTINUE {replid}"));
    let other = "0123456789012345678901234567890123456789";
    for (id, from) in [(other, offset + 1), (&replid, offset + 100_000), (&replid, 0)] {
        assert!(ask(id, from).starts_with("+FULLRESYNC "), "{id} {from}");
    }
    let mut conn = primary.connect();
    for _ in 0..40 {
        conn.call(&["SET", "key", &"x".repeat(1000)]);
    }
    assert!(ask(&replid, offset + 1).starts_with("+FULLRESYNC "));
    assert_eq!(primary.info("sync_partial_ok"), "1");
    assert_eq!(primary.info("sync_partial_err"), "4");
    primary.connect().run("CONFIG RESETSTAT");
    assert_eq!(primary.info("sync_partial_err"), "0");
}

#[test]
fn a_backlog_is_as_large_as_was_said_at_once() {
    let primary = Server::start();
    drop(Follower::new(&primary));
    eventually("it is forgotten", || primary.info("connected_slaves") == "0");
    let mut conn = primary.connect();
    for _ in 0..10 {
        conn.call(&["SET", "key", &"x".repeat(100_000)]);
    }
    assert!(primary.info("repl_backlog_histlen").parse::<u64>().expect("a number") > 1_000_000);
    conn.expect("CONFIG SET repl-backlog-size 16kb", "+OK");
    assert!(primary.info("repl_backlog_histlen").parse::<u64>().expect("a number") < 200_000);
}

#[test]
fn a_backlog_that_nobody_needs_goes() {
    let primary = Server::with(&["--repl-backlog-ttl", "1"]);
    let follower = Follower::new(&primary);
    let replid = follower.replid.clone();
    assert_eq!(primary.info("repl_backlog_active"), "1");
    drop(follower);
    eventually("it went", || primary.info("repl_backlog_active") == "0");
    assert_ne!(primary.info("master_replid"), replid, "nobody counts that history any more");
}

#[test]
fn a_replica_that_does_not_read_is_cut_and_memory_stays() {
    let primary = Server::with(&[
        "--client-output-buffer-limit",
        "replica 4mb 0 0",
        "--repl-backlog-size",
        "1mb",
    ]);
    let replica = replica_of(&primary);
    wait_up(&replica);
    let slow = Follower::new(&primary);
    assert_eq!(primary.info("connected_slaves"), "2");
    let before = primary.resident();
    let mut conn = primary.connect();
    let value = "x".repeat(100_000);
    let mut most = 0;
    for round in 0..1500 {
        conn.call(&["SET", "key", &value]);
        if round % 100 == 0 {
            most = most.max(primary.resident());
        }
    }
    eventually("the slow one is gone", || primary.info("connected_slaves") == "1");
    let grown = most.saturating_sub(before);
    assert!(grown < 40 << 20, "150 MB passed and the server grew by {grown} bytes");
    assert_same(&primary, &replica);
    drop(slow);
}

#[test]
fn one_that_says_nothing_any_more_is_let_go() {
    let primary = Server::with(&["--repl-timeout", "1", "--repl-ping-replica-period", "1"]);
    let mut silent = Follower::new(&primary);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(primary.info("connected_slaves"), "1");
    silent.conn.wait_closed();
    eventually("it is forgotten", || primary.info("connected_slaves") == "0");
}

#[test]
fn what_expired_while_the_primary_was_away_is_told() {
    let mut primary = Server::with(&["--save", "3600 1000000"]);
    let replica = replica_of(&primary);
    wait_up(&replica);
    let mut conn = primary.connect();
    conn.prepare("DEBUG SET-ACTIVE-EXPIRE 0\nSET stays 1");
    for number in 0..100 {
        conn.prepare(&format!("SELECT {}\nSET key:{number} x PX 10", number % 3));
    }
    std::thread::sleep(Duration::from_millis(50));
    wait_caught_up(&primary, &replica);
    assert_eq!(replica.info("db1"), "keys=33,expires=33,avg_ttl=0");
    primary.signal("TERM");
    assert!(primary.wait_exit().success());
    primary.restart();
    eventually("the replica is back", || primary.info("connected_slaves") == "1");
    assert_same(&primary, &replica);
    assert_eq!(primary.info("rdb_last_load_keys_expired"), "100");
    assert_eq!(
        (primary.info("sync_full"), primary.info("sync_partial_ok")),
        ("0".into(), "1".into())
    );
    replica.connect().expect("DBSIZE", ":1");
    assert!(!replica.connect().run("INFO keyspace").text().contains("db1"));
}
