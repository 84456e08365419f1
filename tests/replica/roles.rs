//! Becoming a replica and a primary, and what clients of a replica may do.

use std::time::Duration;

use larder_tests::{Server, eventually};

use crate::{assert_same, attach, is_caught_up, stock};

const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";
const MASTER_DOWN: &str = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \
    'no'.";

#[test]
fn clients_of_a_replica_read_only() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    assert_same(&primary, &replica);
    let mut ours = replica.connect();
    ours.expect("SET a 1", READ_ONLY);
    ours.expect("DEL a", READ_ONLY);
    ours.expect("GET a", "nil");
    ours.expect("PUBLISH channel message", ":0");
    ours.expect("MULTI", "+OK");
    ours.expect("SET a 1", READ_ONLY);
    ours.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    let script = ours.run("EVAL \"return redis.call('SET', 'a', 1)\" 0");
    assert!(script.is_error("READONLY"), "{script}");
    ours.expect("EVAL_RO \"return redis.call('GET', 'a')\" 0", "nil");
    ours.expect("CONFIG SET replica-read-only no", "+OK");
    ours.expect("SET local 1", "+OK");
    primary.connect().prepare("SET a 1");
    eventually("the stream", || is_caught_up(&mut primary.connect(), 1));
    ours.expect("MGET a local", "[\"1\", \"1\"]");
    assert_eq!(replica.info("role"), "slave");
}

#[test]
fn stale_data_is_served_or_not() {
    let primary = stock(&[]);
    let replica = Server::with(&["--replica-serve-stale-data", "no"]);
    attach(&replica, &primary);
    let mut ours = replica.connect();
    eventually("the sync", || ours.run("GET a").to_string() == "nil");
    primary.signal("KILL");
    eventually("the link is down", || ours.run("GET a").is_error("MASTERDOWN"));
    ours.expect("GET a", MASTER_DOWN);
    ours.expect("PING", MASTER_DOWN);
    ours.expect("SET a 1", READ_ONLY);
    ours.expect("MULTI", "+OK");
    ours.expect("INFO", "+QUEUED");
    ours.expect("DISCARD", "+OK");
    assert_eq!(ours.run("INFO").kind(), '$');
    ours.expect("CONFIG SET replica-serve-stale-data yes", "+OK");
    ours.expect("GET a", "nil");
    ours.expect("REPLICAOF NO ONE", "+OK");
    ours.expect("SET a 1", "+OK");
}

#[test]
fn who_waits_is_turned_out() {
    let (primary, node) = (stock(&[]), Server::start());
    let mut waiting = node.connect();
    waiting.send(b"BLPOP list 0\r\n");
    eventually("it waits", || node.info("blocked_clients") == "1");
    attach(&node, &primary);
    let reply = waiting.reply();
    assert!(
        reply.is_error("UNBLOCKED force unblock from blocking operation, instance state changed"),
        "{reply}"
    );
    waiting.wait_closed();
}

#[test]
fn replicaof_says_what_redis_says() {
    let (primary, node) = (stock(&[]), Server::start());
    let port = primary.addr().port();
    let mut conn = node.connect();
    conn.expect("REPLICAOF NO ONE", "+OK");
    conn.expect("REPLICAOF 127.0.0.1 x", "-ERR Invalid master port");
    conn.expect("REPLICAOF 127.0.0.1 65536", "-ERR Invalid master port");
    conn.expect(&format!("SLAVEOF 127.0.0.1 {port}"), "+OK");
    conn.expect(
        &format!("REPLICAOF 127.0.0.1 {port}"),
        "+OK Already connected to specified master",
    );
    conn.expect("CONFIG GET replicaof", &format!("[\"replicaof\", \"127.0.0.1 {port}\"]"));
    eventually("the sync", || is_caught_up(&mut primary.connect(), 1));
    conn.expect("slaveof no one", "+OK");
    conn.expect("CONFIG GET replicaof", "[\"replicaof\", \"\"]");
    conn.expect("SET a 1", "+OK");
}

#[test]
fn a_sentinel_can_turn_a_node() {
    let primary = stock(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("larder.conf");
    std::fs::write(&file, "timeout 0\n").expect("a file");
    let node = Server::with(&[file.to_str().expect("a path")]);
    let port = primary.addr().port();
    let mut bystander = node.connect();
    let mut subscriber = node.connect();
    subscriber.run("SUBSCRIBE x");
    let mut sentinel = node.connect();
    let mut turn = |to: &str| {
        let words = [
            "MULTI",
            to,
            "CONFIG REWRITE",
            "CLIENT KILL TYPE normal",
            "CLIENT KILL TYPE pubsub",
            "EXEC",
        ];
        words.map(|line| sentinel.run(line)).last().cloned().expect("the reply of EXEC")
    };
    let replies = turn(&format!("SLAVEOF 127.0.0.1 {port}")).items();
    assert_eq!((replies[0].text(), replies[1].text()), ("OK".to_owned(), "OK".to_owned()));
    let text = || std::fs::read_to_string(&file).expect("the file");
    assert!(text().contains(&format!("replicaof 127.0.0.1 {port}")), "{}", text());
    bystander.wait_closed();
    subscriber.wait_closed();
    eventually("the sync", || is_caught_up(&mut primary.connect(), 1));
    turn("SLAVEOF NO ONE");
    assert!(!text().contains("replicaof"), "{}", text());
    node.connect().expect("SET a 1", "+OK");
}

#[test]
fn a_node_starts_as_a_replica_and_logs_in() {
    let primary = stock(&["--requirepass", "secret"]);
    let port = primary.addr().port().to_string();
    let mut theirs = primary.connect();
    theirs.prepare("AUTH secret\nACL SETUSER link on >word +psync +replconf +ping\nSET a 1");
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    std::thread::sleep(Duration::from_millis(300));
    let mut ours = replica.connect();
    ours.expect("GET a", "nil");
    ours.prepare("CONFIG SET masteruser link masterauth word");
    eventually("the sync", || is_caught_up(&mut theirs, 1));
    ours.expect("GET a", "\"1\"");
    assert!(theirs.run("CLIENT LIST TYPE replica").text().contains("user=link"));
}
