//! Larder as a primary: what its replicas get, and what it tells of them. Where it makes sense the
//! replica is a real `redis-server`.

mod acks;
mod follower;
mod full;
mod hostile;
mod partial;
mod quorum;
mod shutdown;
mod stream;

use std::time::{Duration, Instant};

use larder_tests::{Conn, Redis, Server, eventually};

/// A `redis-server` that follows `primary`.
fn replica_of(primary: &Server) -> Server {
    let port = primary.addr().port().to_string();
    Redis::with(&["--replicaof", "127.0.0.1", &port])
}

/// Waits until a replica's link is up.
fn wait_up(replica: &Server) {
    eventually("the replica's link is up", || replica.info("master_link_status") == "up");
}

/// Waits until a replica has everything that its primary has.
fn wait_caught_up(primary: &Server, replica: &Server) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (ours, theirs) =
            (primary.info("master_repl_offset"), replica.info("slave_repl_offset"));
        // A PING may come in between, but then both have it soon.
        if ours == theirs && replica.info("master_link_status") == "up" {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the primary is at {ours}, its replica at {theirs}; its log:\n{}",
            replica.log()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn digest(server: &Server) -> String {
    server.connect().run("DEBUG DIGEST").text()
}

/// Compares a replica with its primary, database by database, once it has everything.
#[track_caller]
fn assert_same(primary: &Server, replica: &Server) {
    wait_caught_up(primary, replica);
    let (ours, theirs) = (digest(primary), digest(replica));
    if ours != theirs {
        let found = difference(&mut primary.connect(), &mut replica.connect());
        panic!("the replica has other data: {found}\nits log:\n{}", replica.log());
    }
}

/// The first keys in which two servers differ.
fn difference(primary: &mut Conn, replica: &mut Conn) -> String {
    let keys = |conn: &mut Conn| {
        let mut keys: Vec<String> =
            conn.run("KEYS *").items().iter().map(|key| key.text()).collect();
        keys.sort();
        keys
    };
    let (ours, theirs) = (keys(primary), keys(replica));
    if ours != theirs {
        return format!("keys\n  {ours:?}\n  {theirs:?}");
    }
    let differ = ours.iter().find_map(|key| {
        let value = |conn: &mut Conn| conn.call(&["DEBUG", "DIGEST-VALUE", key]).to_string();
        let (here, there) = (value(primary), value(replica));
        (here != there).then(|| format!("{key}: {here}, {there}"))
    });
    differ.unwrap_or_else(|| "not in database 0".to_owned())
}
