//! `write-acks`: a write's reply waits until enough replicas have the write, and nothing else waits.

use std::time::{Duration, Instant};

use larder_tests::{Conn, Server, eventually};

use crate::follower::Follower;
use crate::{replica_of, wait_up};

const TOO_FEW: &str =
    "-NOREPLICAS The write is applied here, but too few replicas have it in time (write-acks)";

/// Whether nothing comes for a while.
fn waits(conn: &mut Conn) -> bool {
    conn.silent_for(Duration::from_millis(150))
}

#[test]
fn a_reply_waits_for_the_replica() {
    let primary = Server::with(&["--write-acks", "quorum", "--write-acks-timeout", "0"]);
    let mut follower = Follower::new(&primary);
    let (mut writer, mut reader) = (primary.connect(), primary.connect());
    writer.send(b"SET key value\r\nGET key\r\n");
    assert!(waits(&mut writer), "the replica has not said that it has it");
    reader.expect("GET key", "\"value\"");
    assert_eq!(follower.next(), "SET key value");
    assert_eq!(follower.next(), "REPLCONF GETACK *", "the primary asks");
    follower.acknowledge();
    assert_eq!(writer.reply().to_string(), "+OK");
    assert_eq!(writer.reply().to_string(), "\"value\"");
    writer.send(b"INCR n\r\n");
    assert!(waits(&mut writer), "the next one is not there yet");
    assert_eq!(follower.next(), "INCR n");
    follower.acknowledge();
    assert_eq!(writer.reply().int(), 1);
    writer.send(b"MULTI\r\nSET a 1\r\nSET b 1\r\n");
    (0..3).for_each(|_| assert!(!writer.reply().is_error("")));
    for line in ["EXEC", "EVAL \"return redis.call('INCR', 'n')\" 0"] {
        writer.send(format!("{line}\r\n").as_bytes());
        assert!(waits(&mut writer), "{line}");
        follower.acknowledge_all();
        assert!(!writer.reply().is_error(""), "{line}");
    }
}

#[test]
fn pipelines_flow_and_a_stock_replica_answers_at_once() {
    let primary = Server::with(&["--write-acks", "all", "--write-acks-timeout", "20000"]);
    let replicas = [replica_of(&primary), replica_of(&primary)];
    replicas.iter().for_each(wait_up);
    eventually("both are online", || primary.info("slave1").contains("online"));
    let mut conn = primary.connect();
    let began = Instant::now();
    for n in 1..=100 {
        assert_eq!(conn.run("INCR n").int(), n);
    }
    // A replica that is not asked tells once a second.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    conn.send("SET key value\r\n".repeat(20_000).as_bytes());
    for _ in 0..20_000 {
        assert_eq!(conn.reply().to_string(), "+OK");
    }
    replicas[1].signal("STOP");
    conn.send(b"SET key other\r\n");
    assert!(waits(&mut conn), "one of two is not enough");
    replicas[1].signal("CONT");
    assert_eq!(conn.reply().to_string(), "+OK");
}

#[test]
fn what_comes_too_late_is_an_error_in_its_place() {
    let primary = Server::with(&["--write-acks", "quorum", "--write-acks-timeout", "300"]);
    let mut conn = primary.connect();
    let lines =
        "PING\r\nSET key value\r\nGET key\r\nDEL none\r\nRPUSH l a b c\r\nLRANGE l 0 -1\r\n";
    conn.send(lines.as_bytes());
    let expected = ["+PONG", TOO_FEW, "\"value\"", ":0", TOO_FEW, "[\"a\", \"b\", \"c\"]"];
    for expected in expected {
        assert_eq!(conn.reply().to_string(), expected);
    }
    let mut waiting = primary.connect();
    waiting.send(b"BLPOP other 0\r\n");
    eventually("it waits", || primary.info("blocked_clients") == "1");
    conn.expect("RPUSH other a", TOO_FEW);
    assert_eq!(waiting.reply().to_string(), TOO_FEW, "it took what may be lost");
    conn.send(b"SET key value\r\nCONFIG SET write-acks primary\r\n");
    assert_eq!(conn.reply().to_string(), "+OK", "nobody wants it to wait any more");
    assert_eq!(conn.reply().to_string(), "+OK");
    conn.expect("SET key value", "+OK");
}

#[test]
fn a_wait_that_wrote_nothing_is_answered() {
    let acks = ["--write-acks", "quorum", "--write-acks-timeout", "300"];
    let primary = Server::with(&acks);
    let mut conn = primary.connect();
    conn.expect("SET key value", TOO_FEW);
    conn.expect("WAIT 1 10", ":0");
    conn.expect("BLPOP none 0.01", "nil-array");
    conn.expect("XREAD BLOCK 10 STREAMS none $", "nil-array");
    let port = primary.addr().port().to_string();
    let replica = Server::with(&[&acks[..], &["--replicaof", "127.0.0.1", &port]].concat());
    wait_up(&replica);
    let mut reader = replica.connect();
    reader.send(b"XREAD BLOCK 0 STREAMS stream $\r\n");
    eventually("it waits", || replica.info("blocked_clients") == "1");
    conn.expect("XADD stream 1-1 field value", "\"1-1\"");
    let read = reader.reply().to_string();
    assert!(read.contains("1-1"), "what a replica has it may tell: {read}");
    let mut waiting = primary.connect();
    waiting.send(b"BLPOP none 0\r\n");
    eventually("it waits", || primary.info("blocked_clients") == "1");
    conn.expect("REPLICAOF 127.0.0.1 1", "+OK");
    let turned_out = waiting.reply().to_string();
    assert!(turned_out.starts_with("-UNBLOCKED"), "{turned_out}");
}

#[test]
fn what_is_confirmed_in_another_role_is_not_that_write() {
    let primary = Server::with(&["--write-acks", "all", "--write-acks-timeout", "0"]);
    let next = Server::start();
    // Its history is longer.
    let mut elsewhere = Follower::new(&next);
    elsewhere.acknowledge();
    next.connect().expect(&format!("SET big {}", "x".repeat(100_000)), "+OK");
    let _silent = Follower::new(&primary);
    let mut writer = primary.connect();
    writer.send(b"SET key value\r\n");
    assert!(waits(&mut writer), "no replica has it");
    let mut conn = primary.connect();
    conn.expect(&format!("REPLICAOF 127.0.0.1 {}", next.addr().port()), "+OK");
    wait_up(&primary);
    let mut follower = Follower::new(&primary);
    follower.acknowledge_all();
    assert_eq!(writer.reply().to_string(), TOO_FEW);
    conn.expect("EXISTS key", ":0");
}
