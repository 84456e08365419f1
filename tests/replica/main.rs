//! A node as the replica of another one: a stock server, a Larder, or somebody who means no good.

#[path = "../differential/exceptions.rs"]
#[allow(dead_code, reason = "what random commands answer is of no matter here")]
mod exceptions;
#[path = "../differential/generate.rs"]
#[allow(dead_code, reason = "the same")]
mod generate;
#[path = "../differential/pool.rs"]
#[allow(dead_code, reason = "the same")]
mod pool;
#[path = "../differential/rows.rs"]
#[allow(dead_code, reason = "the same")]
mod rows;

mod hostile;
mod roles;
mod soak;
mod streams;
mod syncs;

use larder_tests::{Conn, Redis, Server, eventually};

/// A stock primary that does not wait for more replicas before it sends its data.
fn stock(args: &[&str]) -> Server {
    let prompt = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];
    Redis::with(&[&prompt, args].concat())
}

/// Makes a node the replica of another one.
fn attach(replica: &Server, primary: &Server) {
    let port = primary.addr().port();
    replica.connect().expect(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK");
}

/// One field of INFO replication.
fn field(conn: &mut Conn, name: &str) -> String {
    let text = conn.run("INFO replication").text();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_default().to_owned()
}

/// Whether all replicas of a primary, `count` of them, have everything it sent.
fn is_caught_up(primary: &mut Conn, count: usize) -> bool {
    let offset = format!("offset={},", field(primary, "master_repl_offset"));
    (0..count).all(|index| {
        let line = field(primary, &format!("slave{index}"));
        line.contains("state=online") && line.contains(&offset)
    })
}

/// Waits until the only replica of a primary has everything, and compares the data.
fn assert_same(primary: &Server, replica: &Server) {
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    eventually("the replica catches up", || {
        is_caught_up(&mut theirs, 1)
            && field(&mut ours, "master_link_status") == "up"
            && field(&mut ours, "slave_repl_offset") == field(&mut theirs, "master_repl_offset")
    });
    assert_eq!(digest(&mut ours), digest(&mut theirs), "the data sets differ");
}

fn digest(conn: &mut Conn) -> String {
    conn.run("DEBUG DIGEST").text()
}
