//! WAITAOF: who waits until what it wrote is on disks.

use larder_tests::{Server, eventually};

const FILE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "everysec"];

#[test]
fn arguments_are_looked_at() {
    let server = Server::start();
    let mut conn = server.connect();
    let range = "-ERR value is out of range, value must between 0 and 1";
    conn.expect("WAITAOF 2 0 0", range);
    conn.expect("WAITAOF -1 0 0", range);
    conn.expect("WAITAOF x 0 0", "-ERR value is not an integer or out of range");
    conn.expect("WAITAOF 0 x 1", "-ERR value is out of range, must be positive");
    conn.expect("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive");
    conn.expect("WAITAOF 0 0 -1", "-ERR timeout is negative");
    conn.expect("WAITAOF 0 0 0", "[:0, :0]");
    let without = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    conn.expect("WAITAOF 1 0 0", without);
    conn.prepare("MULTI\nSET key value\nWAITAOF 0 5 0");
    conn.expect("EXEC", "[+OK, [:0, :0]]");
    conn.prepare("REPLICAOF 127.0.0.1 1");
    assert!(conn.run("WAITAOF 0 0 0").to_string().starts_with("-ERR WAITAOF cannot be used with"));
}

#[test]
fn what_was_waited_for_survives_a_kill() {
    let mut server = Server::with(&FILE);
    let mut conn = server.connect();
    for round in 0..3 {
        conn.prepare(&format!("SET key {round}\nINCR count"));
        conn.expect("WAITAOF 1 0 0", "[:1, :0]");
    }
    conn.expect("WAITAOF 1 1 20", "[:1, :0]");
    server.signal("KILL");
    server.restart();
    server.connect().expect("MGET key count", "[\"2\", \"3\"]");
}

#[test]
fn a_file_that_is_never_synced_ends_no_wait() {
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "no"]);
    let (mut waiting, mut conn) = (server.connect(), server.connect());
    waiting.expect("WAITAOF 1 0 0", "[:1, :0]");
    waiting.prepare("SET key value");
    waiting.expect("WAITAOF 1 0 50", "[:0, :0]");
    waiting.send(b"WAITAOF 1 0 0\r\n");
    eventually("it waits", || server.info("blocked_clients") == "1");
    conn.prepare("CONFIG SET appendfsync always\nSET other value");
    assert_eq!(waiting.reply().to_string(), "[:1, :0]");
}

#[test]
fn a_file_that_ends_ends_the_wait() {
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "no"]);
    let (mut waiting, mut conn) = (server.connect(), server.connect());
    waiting.prepare("SET key value");
    waiting.send(b"WAITAOF 1 0 0\r\n");
    eventually("it waits", || server.info("blocked_clients") == "1");
    conn.prepare("CONFIG SET appendonly no");
    let reply = waiting.reply().to_string();
    assert!(reply.starts_with("-ERR WAITAOF cannot be used when numlocal"), "{reply}");
    // With its first base a new file has what was written before it, and it never syncs what came later.
    conn.prepare("CONFIG SET appendonly yes");
    waiting.expect("WAITAOF 1 0 0", "[:1, :0]");
    eventually("there is a base", || server.info("aof_rewrite_in_progress") == "0");
    conn.prepare("SET key later");
    waiting.expect("WAITAOF 1 0 0", "[:1, :0]");
    conn.expect("WAITAOF 1 0 50", "[:0, :0]");
}

#[test]
fn files_of_replicas_count() {
    let primary = Server::start();
    let mut conn = primary.connect();
    conn.prepare("SET before sync");
    let port = primary.addr().port().to_string();
    let follow = ["--replicaof", "127.0.0.1", &port];
    let replicas = [
        Server::with(&[follow.as_slice(), FILE.as_slice()].concat()),
        Server::with(&[follow.as_slice(), FILE.as_slice()].concat()),
        Server::with(&follow),
    ];
    eventually("all are online", || {
        primary.info("connected_slaves") == "3"
            && (0..3).all(|at| primary.info(&format!("slave{at}")).contains("online"))
    });
    conn.prepare("SET key value");
    conn.expect("WAITAOF 0 2 0", "[:0, :2]");
    conn.expect("WAITAOF 0 3 20", "[:0, :2]");
    conn.prepare("CONFIG SET appendonly yes");
    conn.expect("WAITAOF 1 2 0", "[:1, :2]");
    replicas[0].signal("STOP");
    conn.prepare("SET key other");
    conn.expect("WAITAOF 1 1 0", "[:1, :1]");
    conn.send(b"WAITAOF 0 2 0\r\n");
    replicas[0].signal("CONT");
    assert_eq!(conn.reply().to_string(), "[:1, :2]");
    // A primary that becomes a replica lets nobody wait.
    conn.prepare("SET key last");
    conn.send(b"WAITAOF 0 3 0\r\n");
    eventually("it waits", || primary.info("blocked_clients") == "1");
    primary.connect().prepare("REPLICAOF 127.0.0.1 1");
    assert!(conn.reply().to_string().starts_with("-UNBLOCKED"));
}
