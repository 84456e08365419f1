//! Who waits for replicas: WAIT, `min-replicas-to-write`, and what ROLE and INFO tell of them.

use std::time::{Duration, Instant};

use larder_tests::{Redis, Server, eventually};

use crate::follower::Follower;
use crate::{replica_of, wait_up};

#[test]
fn wait_tells_how_many_have_it() {
    let primary = Server::start();
    let mut conn = primary.connect();
    conn.expect("WAIT 0 0", ":0");
    conn.expect("WAIT 1 20", ":0");
    let replicas = [replica_of(&primary), replica_of(&primary)];
    replicas.iter().for_each(wait_up);
    eventually("both are online", || {
        primary.info("slave0").contains("online") && primary.info("slave1").contains("online")
    });
    for round in 0..5 {
        conn.prepare(&format!("SET key {round}"));
        conn.expect("WAIT 2 10000", ":2");
    }
    replicas[0].signal("STOP");
    conn.prepare("SET key last");
    conn.expect("WAIT 2 100", ":1");
    conn.expect("WAIT 1 0", ":1");
    conn.send(b"WAIT 2 0\r\n");
    replicas[0].signal("CONT");
    assert_eq!(conn.reply().int(), 2, "without a timeout it waits as long as it takes");
}

#[test]
fn wait_asks_the_replicas() {
    let primary = Server::start();
    let mut follower = Follower::new(&primary);
    let mut conn = primary.connect();
    conn.send(b"SET key value\r\nWAIT 1 0\r\n");
    assert_eq!(follower.next(), "SET key value");
    assert_eq!(follower.next(), "REPLCONF GETACK *");
    assert_eq!(conn.reply().to_string(), "+OK");
    follower.acknowledge();
    assert_eq!(conn.reply().to_string(), ":1");
}

/// A message counts like a write.
#[test]
fn wait_covers_all_that_replicas_are_told() {
    for server in [Server::start(), Redis::with(&["--repl-diskless-sync-delay", "0"])] {
        let follower = Follower::new(&server);
        let mut conn = server.connect();
        conn.expect("PUBLISH channel message", ":0");
        conn.expect("WAIT 1 20", ":0");
        let mut other = server.connect();
        other.expect("WAIT 1 20", ":1");
        other.prepare("MULTI\nPUBLISH channel message");
        other.expect("EXEC", "[:0]");
        other.expect("WAIT 1 20", ":0");
        drop(follower);
    }
}

#[test]
fn those_who_wait_can_be_let_go() {
    let primary = Server::start();
    let follower = Follower::new(&primary);
    let (mut waiting, mut conn) = (primary.connect(), primary.connect());
    waiting.prepare("SET key value");
    let id = waiting.run("CLIENT ID").int();
    for (how, reply) in [("TIMEOUT", ":0"), ("ERROR", "-UNBLOCKED")] {
        waiting.send(b"WAIT 1 0\r\n");
        eventually("it waits", || primary.info("blocked_clients") == "1");
        assert_eq!(conn.run(&format!("CLIENT UNBLOCK {id} {how}")).int(), 1);
        let got = waiting.reply().to_string();
        assert!(got.starts_with(reply), "{got}");
    }
    waiting.send(b"WAIT 1 0\r\n");
    eventually("it waits", || primary.info("blocked_clients") == "1");
    drop(waiting);
    eventually("nobody waits", || primary.info("blocked_clients") == "0");
    drop(follower);
}

#[test]
fn nothing_waits_within_a_transaction() {
    let primary = Server::start();
    let _follower = Follower::new(&primary);
    let mut conn = primary.connect();
    conn.prepare("SET key value\nMULTI\nSET key other\nWAIT 1 0");
    conn.expect("EXEC", "[+OK, :0]");
}

#[test]
fn writes_need_enough_replicas_that_keep_up() {
    let primary = Server::with(&["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"]);
    let mut conn = primary.connect();
    let refused = "-NOREPLICAS Not enough good replicas to write.";
    conn.expect("SET key value", refused);
    let script = conn.run("EVAL \"redis.call('SET', KEYS[1], 'x')\" 1 key").to_string();
    assert!(script.starts_with(refused), "{script}");
    conn.expect("GET key", "nil");
    conn.prepare("MULTI");
    conn.expect("SET key value", refused);
    assert!(conn.run("EXEC").is_error("EXECABORT"));
    let mut follower = Follower::new(&primary);
    eventually("it counts", || primary.info("min_slaves_good_slaves") == "1");
    conn.expect("SET key value", "+OK");
    eventually("it lags", || conn.run("SET key value").to_string() == refused);
    assert_eq!(primary.info("min_slaves_good_slaves"), "0");
    follower.acknowledge();
    eventually("it is back", || conn.run("SET key value").to_string() == "+OK");
    conn.expect("CONFIG SET min-replicas-to-write 2", "+OK");
    conn.expect("SET key value", refused);
    conn.expect("CONFIG SET min-replicas-to-write 0", "+OK");
    conn.expect("SET key value", "+OK");
}

#[test]
fn role_and_info_tell_of_replicas() {
    let primary = Server::start();
    let mut conn = primary.connect();
    conn.expect("ROLE", "[\"master\", :0, []]");
    let mut follower = Follower::new(&primary);
    conn.prepare("SET key value");
    follower.next();
    follower.acknowledge();
    let offset = follower.offset;
    eventually("it acknowledged", || primary.info("slave0").contains(&format!("offset={offset}")));
    let role = conn.run("ROLE").to_string();
    assert_eq!(role, format!("[\"master\", :{offset}, [[\"127.0.0.1\", \"7777\", \"{offset}\"]]]"));
    let line = primary.info("slave0");
    let expected = format!("ip=127.0.0.1,port=7777,state=online,offset={offset},lag=");
    assert!(line.starts_with(&expected), "{line}");
    assert_eq!(primary.info("master_repl_offset"), offset.to_string());
    assert_eq!(primary.info("master_replid"), follower.replid);
    assert_eq!(primary.info("repl_backlog_first_byte_offset"), "1");
    assert_eq!(primary.info("repl_backlog_histlen"), offset.to_string());
    let list = conn.run("CLIENT LIST TYPE replica").text();
    assert!(list.lines().count() == 1 && list.contains(" flags=S "), "{list}");
}

#[test]
fn lags_are_told_in_bytes_and_milliseconds() {
    let primary = Server::start();
    let mut follower = Follower::new(&primary);
    let lag = || {
        let line = primary.info("replica0_lag");
        let words = line.strip_prefix("bytes=").and_then(|rest| rest.split_once(",milliseconds="));
        let (bytes, ms) = words.unwrap_or_else(|| panic!("{line}"));
        (bytes.parse::<u64>().expect("bytes"), ms.parse::<u64>().expect("milliseconds"))
    };
    assert_eq!(lag(), (0, 0));
    primary.connect().prepare("SET key value");
    let written = Instant::now();
    eventually("it is behind", || lag().0 > 0);
    std::thread::sleep(Duration::from_millis(500));
    // It says that it has what it had.
    follower.acknowledge();
    eventually("it is late", || lag().1 > 0);
    let (bytes, ms) = lag();
    // Both are cut to whole milliseconds.
    assert!((300..=written.elapsed().as_millis() as u64 + 1).contains(&ms), "{ms}");
    assert_eq!(follower.next(), "SET key value");
    assert_eq!(bytes, follower.offset);
    follower.acknowledge();
    eventually("it has everything", || lag() == (0, 0));
}
