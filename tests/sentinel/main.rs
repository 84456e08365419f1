//! Stock Sentinels, unmodified, look after plain Larder nodes: they find the replicas, promote one when
//! the primary is killed, turn it into a replica when it comes back, and move the primary on request.

use std::time::{Duration, Instant};

use larder_tests::{Conn, Redis, Server, Value, eventually};

/// Milliseconds of silence after which a Sentinel takes a node for dead: several times the second after
/// which it connects again to a node whose clients another Sentinel has killed.
const DOWN_AFTER_MS: u64 = 3000;
/// How long a failover may take on a loaded machine; Sentinels that vote at once begin anew after
/// `failover-timeout` times two.
const FAILOVER: Duration = Duration::from_secs(60);

/// A primary, two replicas, and three Sentinels that know all of them and each other.
struct Watched {
    nodes: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    fn start() -> Self {
        let primary = Server::with(&["--repl-ping-replica-period", "1"]);
        let port = primary.addr().port().to_string();
        let follow = ["--repl-ping-replica-period", "1", "--replicaof", "127.0.0.1", &port];
        let nodes = vec![primary, Server::with(&follow), Server::with(&follow)];
        eventually("both replicas are online", || {
            ["slave0", "slave1"].iter().all(|name| {
                let text = nodes[0].connect().run("INFO replication").text();
                text.lines().any(|line| line.starts_with(name) && line.contains("state=online"))
            })
        });
        let lines = format!(
            "sentinel monitor main 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds main {DOWN_AFTER_MS}\n\
             sentinel failover-timeout main 6000\n\
             sentinel parallel-syncs main 2\n"
        );
        let sentinels = (0..3).map(|_| Redis::sentinel(&lines)).collect::<Vec<_>>();
        let watched = Self { nodes, sentinels };
        within(FAILOVER, "the Sentinels know the replicas and each other", || {
            watched.sentinels.iter().all(|sentinel| {
                let mut conn = sentinel.connect();
                let usable = conn.run("SENTINEL CKQUORUM main").to_string();
                usable.starts_with("+OK 3 usable")
                    && conn.run("SENTINEL REPLICAS main").items().len() == 2
            })
        });
        watched
    }

    /// The port that a Sentinel names as the primary's.
    fn named(&self, sentinel: usize) -> u16 {
        let mut conn = self.sentinels[sentinel].connect();
        let address = conn.run("SENTINEL GET-MASTER-ADDR-BY-NAME main").items();
        address[1].text().parse().expect("a port")
    }

    fn at(&self, port: u16) -> &Server {
        self.nodes.iter().find(|node| node.addr().port() == port).expect("one of the nodes")
    }

    /// The port of the primary, which is not `old`, once all is at rest: all Sentinels name it and lead no
    /// failover, it takes writes, and every other node that lives follows it.
    ///
    /// On a busy machine a second Sentinel may lead a failover of its own behind the first one's, so a
    /// primary that is named is not yet the one that stays.
    fn settled(&self, old: u16) -> u16 {
        let mut found = 0;
        within(FAILOVER, "another node is the primary and all others follow it", || {
            found = self.named(0);
            found != old
                && (0..3).all(|sentinel| self.named(sentinel) == found)
                && (0..3).all(|sentinel| self.flags(sentinel) == "master")
                && self.at(found).connect().run("SET probe 1").to_string() == "+OK"
                && self.nodes.iter().all(|node| node.addr().port() == found || follows(node, found))
        });
        found
    }

    /// Whether a Sentinel has heard from both replicas that they are replicas.
    fn replicas_are_known(&self, sentinel: usize) -> bool {
        let replicas = self.sentinels[sentinel].connect().run("SENTINEL REPLICAS main").items();
        let says = |replica: &Value| replica.field("role-reported").map(|role| role.text());
        replicas.len() == 2 && replicas.iter().all(|one| says(one).as_deref() == Some("slave"))
    }

    fn flags(&self, sentinel: usize) -> String {
        let mut conn = self.sentinels[sentinel].connect();
        conn.run("SENTINEL MASTER main").field("flags").expect("flags").text()
    }
}

/// Whether a node follows the primary at that port, or is not there to ask.
fn follows(node: &Server, primary: u16) -> bool {
    let Ok(mut conn) = Conn::tcp(node.addr()) else { return true };
    let reply = conn.run("INFO replication");
    // A Sentinel that turns a node into a replica kills its clients, this one among them.
    let text = if reply == Value::Closed { String::new() } else { reply.text() };
    text.contains(&format!("\r\nmaster_port:{primary}\r\n"))
        && text.contains("\r\nmaster_link_status:up\r\n")
}

fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not in {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn write(conn: &mut Conn, keys: std::ops::Range<u32>) {
    for key in keys {
        conn.expect(&format!("SET key:{key} {key}"), "+OK");
    }
}

#[test]
fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let mut watched = Watched::start();
    let old = watched.nodes[0].addr().port();
    let mut conn = watched.nodes[0].connect();
    write(&mut conn, 0..100);
    assert!(conn.run("WAIT 2 5000").int() == 2);
    watched.nodes[0].signal("KILL");
    watched.nodes[0].wait_exit();
    let new = watched.settled(old);
    let mut conn = watched.at(new).connect();
    for key in 0..100 {
        conn.expect(&format!("GET key:{key}"), &format!("\"{key}\""));
    }
    write(&mut conn, 100..200);
    assert_eq!(watched.at(new).info("sync_full"), "0", "the survivor went on where it was");
    assert_eq!(conn.run("WAIT 1 5000").int(), 1);
    watched.nodes[0].restart();
    watched.settled(old);
    let mut back = watched.nodes[0].connect();
    eventually("it has what was written meanwhile", || {
        back.run("GET key:199").to_string() == "\"199\""
    });
    back.expect("SET key x", "-READONLY You can't write against a read only replica.");
}

#[test]
fn on_request_the_primary_is_moved() {
    let watched = Watched::start();
    let old = watched.nodes[0].addr().port();
    let mut writer = watched.nodes[0].connect();
    write(&mut writer, 0..10);
    // One after the other Sentinel may lead it.
    let mut primary = old;
    for sentinel in [0, 1] {
        within(FAILOVER, "no failover is under way", || {
            (0..3).all(|sentinel| watched.flags(sentinel) == "master")
        });
        // One that still takes the old primary for one would make the next primary a replica again.
        within(FAILOVER, "the Sentinels know who is a replica", || {
            (0..3).all(|sentinel| watched.replicas_are_known(sentinel))
        });
        within(FAILOVER, "the failover begins", || {
            let mut conn = watched.sentinels[sentinel].connect();
            conn.run("SENTINEL FAILOVER main").to_string() == "+OK"
        });
        primary = watched.settled(primary);
    }
    let mut conn = watched.at(primary).connect();
    for key in 0..10 {
        conn.expect(&format!("GET key:{key}"), &format!("\"{key}\""));
    }
    // Who was connected to the old primary is closed, so that it asks for the new one.
    writer.send(b"PING\r\n");
    assert_eq!(writer.reply(), Value::Closed, "connections of the old primary end");
}
