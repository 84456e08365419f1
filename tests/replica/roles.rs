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

/// Whether a node is the primary and has `count` replicas that have everything.
fn leads(node: &Server, count: usize) -> bool {
    let mut conn = node.connect();
    node.info("role") == "master" && is_caught_up(&mut conn, count)
}

#[test]
fn a_promoted_replica_is_followed_without_a_full_sync() {
    let (first, second, third) = (stock(&[]), Server::start(), stock(&[]));
    first.connect().prepare("SET a 1\nSELECT 4\nRPUSH list x");
    attach(&second, &first);
    attach(&third, &first);
    eventually("both follow", || leads(&first, 2));
    second.connect().expect("REPLICAOF NO ONE", "+OK");
    second.connect().prepare("SELECT 4\nRPUSH list y\nEVAL \"redis.call('INCR', 'n')\" 0");
    attach(&third, &second);
    attach(&first, &second);
    eventually("both follow the other one", || leads(&second, 2));
    second.connect().prepare("RPUSH list z");
    eventually("both have all", || leads(&second, 2));
    let digest = |node: &Server| crate::digest(&mut node.connect());
    assert_eq!(digest(&first), digest(&second));
    assert_eq!(digest(&third), digest(&second));
    assert_eq!(
        (second.info("sync_full"), second.info("sync_partial_ok")),
        ("0".into(), "2".into())
    );
}

#[test]
fn failover_changes_places_and_loses_nothing() {
    let (first, second) = (stock(&[]), Server::start());
    let third = Server::start();
    first.connect().prepare("SET a 1");
    attach(&second, &first);
    attach(&third, &first);
    eventually("both follow", || leads(&first, 2));
    second.connect().expect("REPLICAOF NO ONE", "+OK");
    attach(&third, &second);
    attach(&first, &second);
    eventually("both follow the other one", || leads(&second, 2));
    let mut conn = second.connect();
    for (line, error) in [
        ("FAILOVER ABORT", "-ERR No failover in progress."),
        ("FAILOVER TO 127.0.0.1 1", "-ERR FAILOVER target HOST and PORT is not a replica."),
        ("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0"),
        ("FAILOVER TO", "-ERR syntax error"),
        (
            "FAILOVER FORCE",
            "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ),
    ] {
        conn.expect(line, error);
    }
    third.connect().expect("FAILOVER", "-ERR FAILOVER is not valid when server is a replica.");
    // To a Larder, while somebody writes: what was acknowledged is there.
    let port = third.addr().port();
    let mut writer = second.connect();
    let acknowledged = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut count = 0;
            while !writer.run("INCR counter").is_error("") {
                count += 1;
            }
            count
        });
        std::thread::sleep(Duration::from_millis(50));
        conn.expect(&format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT 20000"), "+OK");
        writer.join().expect("the writer")
    });
    eventually("the other one leads", || leads(&third, 1));
    third.connect().expect("GET counter", &format!("\"{acknowledged}\""));
    assert_eq!(second.info("master_failover_state"), "no-failover");
    // To a stock server, and back.
    attach(&first, &third);
    eventually("both follow", || leads(&third, 2));
    let port = first.addr().port();
    third.connect().expect(&format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT 20000"), "+OK");
    eventually("the stock server leads", || leads(&first, 1));
    // One that missed two changes in a row would sync anew.
    eventually("the other one knows", || {
        second.info("master_replid") == third.info("master_replid")
            && second.info("master_link_status") == "up"
    });
    let port = third.addr().port();
    first.connect().expect(&format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT 20000"), "+OK");
    eventually("and the other one again", || leads(&third, 1));
    for node in [&second, &third] {
        assert_eq!(node.info("sync_full"), "0");
    }
}
