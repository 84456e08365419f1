//! GROUP and SENTINEL as clients of a running group see them, beside a stock Sentinel.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use larder_tests::{Conn, Server, Value, eventually};
use tempfile::TempDir;

use crate::QUORUM;
use crate::cluster::{Cluster, field};

/// A stock Sentinel that watches one primary.
struct Sentinel {
    child: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Sentinel {
    fn watching(name: &str, primary: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = probe.local_addr().expect("a bound socket");
        drop(probe);
        let conf = dir.path().join("sentinel.conf");
        let (ip, port) = (primary.ip(), primary.port());
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} {ip} {port} 1\n",
            addr.port(),
            dir.path().display()
        );
        fs::write(&conf, text).expect("a configuration");
        let child = Command::new("redis-server")
            .arg(&conf)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let sentinel = Self { child, addr, _dir: dir };
        eventually("the Sentinel knows the replicas", || {
            Conn::tcp(addr).is_ok_and(|mut conn| {
                let replicas = conn.run(&format!("SENTINEL REPLICAS {name}")).items();
                let is_known = |replica: &&Value| {
                    field(replica, "flags").text() == "slave"
                        && field(replica, "master-host").text() != "?"
                };
                replicas.iter().filter(is_known).count() == 2
            })
        });
        sentinel
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn names(map: &Value) -> Vec<String> {
    map.items().chunks(2).map(|pair| pair[0].text()).collect()
}

#[test]
fn sentinel_replies_have_the_shape_of_a_stock_sentinels() {
    let cluster = Cluster::start(&[]);
    let primary = cluster.primary();
    let stock = Sentinel::watching("sessions", cluster.nodes[primary].addr);
    let mut theirs = Conn::tcp(stock.addr).expect("the Sentinel listens");
    for node in &cluster.nodes {
        let mut ours = node.connect();
        for line in [
            "SENTINEL GET-MASTER-ADDR-BY-NAME sessions",
            "SENTINEL GET-MASTER-ADDR-BY-NAME nobody",
            "SENTINEL MASTER nobody",
            "SENTINEL REPLICAS nobody",
            "SENTINEL SLAVES nobody",
            "SENTINEL SENTINELS nobody",
            "SENTINEL CKQUORUM nobody",
            "SENTINEL FAILOVER nobody",
        ] {
            assert_eq!(ours.raw(line), theirs.raw(line), "{line}");
        }
        let (mine, stock) =
            (ours.run("SENTINEL MASTER sessions"), theirs.run("SENTINEL MASTER sessions"));
        assert_eq!(names(&mine), names(&stock));
        for name in ["name", "ip", "port", "flags", "role-reported", "num-slaves"] {
            assert_eq!(field(&mine, name), field(&stock, name), "{name}");
        }
        let (mine, stock) = (ours.run("SENTINEL MASTERS"), theirs.run("SENTINEL MASTERS"));
        assert_eq!(mine.items().len(), stock.items().len());
        let replicas = |conn: &mut Conn| {
            let mut items = conn.run("SENTINEL REPLICAS sessions").items();
            items.sort_by_key(|item| field(item, "name").text());
            items
        };
        for (mine, stock) in replicas(&mut ours).iter().zip(replicas(&mut theirs)) {
            assert_eq!(names(mine), names(&stock));
            for name in ["name", "ip", "port", "flags", "master-host", "master-port"] {
                assert_eq!(field(mine, name), field(&stock, name), "{name}");
            }
        }
        assert_eq!(ours.run("SENTINEL SENTINELS sessions").items().len(), 2);
        assert_eq!(ours.run("SENTINEL MYID").text().len(), 40);
        let quorum = ours.run("SENTINEL CKQUORUM sessions").to_string();
        assert!(quorum.starts_with("+OK 3 usable Sentinels."), "{quorum}");
        assert!(ours.run("SENTINEL HELP").items().len() > 10);
        assert!(ours.run("SENTINEL MONITOR a b 1 1").is_error("ERR unknown subcommand"));
        // RESP3 has maps for these.
        assert_eq!(ours.run("HELLO 3").kind(), '%');
        assert_eq!(ours.run("SENTINEL MASTER sessions").kind(), '%');
    }
}

#[test]
fn a_node_without_a_group_knows_no_sentinel() {
    let server = Server::start();
    let mut conn = server.connect();
    let unknown = conn.run("SENTINEL MASTERS").to_string();
    assert!(unknown.starts_with("-ERR unknown command 'SENTINEL'"), "{unknown}");
    let none = "-ERR This node is not a member of a replication group";
    for line in ["GROUP NODES", "GROUP STATUS", "GROUP INFO", "GROUP EVENTS", "GROUP RESTART"] {
        conn.expect(line, none);
    }
    assert!(conn.run("GROUP HELP").items().len() > 10);
}

#[test]
fn what_a_client_is_told_of_a_failover() {
    let cluster = Cluster::start(QUORUM);
    let from = cluster.primary();
    let mut listener = cluster.other(from).connect();
    listener.run("SUBSCRIBE +switch-master");
    let mut events = cluster.other(from).connect();
    events.run("SUBSCRIBE __group__:events");
    let target = (0..3).find(|index| *index != from).expect("three nodes");
    let id = &cluster.nodes[target].id;
    cluster.nodes[from].connect().expect(&format!("GROUP FAILOVER TO {id}"), "+OK");
    let port = |index: usize| cluster.nodes[index].addr.port();
    let expected = format!("sessions 127.0.0.1 {} 127.0.0.1 {}", port(from), port(target));
    assert_eq!(listener.reply().items()[2].text(), expected);
    let text = format!(
        "Failover from primary node {} to replica node {id} completed",
        cluster.nodes[from].id
    );
    let told = |conn: &mut Conn| loop {
        let line = conn.reply().items()[2].text();
        if line.ends_with(&text) {
            return line;
        }
    };
    let (first, second) = (told(&mut events), told(&mut events));
    assert!(first.contains(" cache-cluster "), "{first}");
    assert!(second.contains(" replication-group sessions "), "{second}");
    cluster.wait_whole();
    for node in &cluster.nodes {
        eventually("each node knows", || {
            cluster.events(node).iter().filter(|message| **message == text).count() == 2
        });
        let nodes = node.connect().run("GROUP NODES").items();
        let primaries = nodes.iter().filter(|node| field(node, "role").text() == "primary");
        let primaries: Vec<String> = primaries.map(|node| field(node, "id").text()).collect();
        assert_eq!(primaries, std::slice::from_ref(id));
        assert_eq!(node.info("group_role"), if node.id == *id { "primary" } else { "replica" });
        assert_eq!(node.info("availability_zone"), node.info("group_zone"));
    }
}

#[test]
fn a_test_failover_tells_what_elasticache_tells() {
    let cluster = Cluster::start(QUORUM);
    let from = cluster.primary();
    cluster.nodes[from].connect().expect("SET a 1", "+OK");
    let asked = cluster.other(from);
    let before = cluster.events(asked).len();
    asked.connect().expect("GROUP TEST-FAILOVER", "+OK");
    let to = cluster.wait_other_primary(from);
    let (old, new) = (&cluster.nodes[from].id, &cluster.nodes[to].id);
    let failover = format!("Failover from primary node {old} to replica node {new} completed");
    let expected = [
        "Test Failover API called for node group 0001".to_owned(),
        failover.clone(),
        failover,
        format!("Recovering cache nodes {old}"),
        format!("Finished recovery for cache nodes {old}"),
    ];
    let mut events = Vec::new();
    eventually("all events are there", || {
        events = cluster.events(asked);
        events.len() >= before + expected.len()
    });
    assert_eq!(events[before..], expected);
    cluster.wait_whole();
    cluster.nodes[to].connect().expect("GET a", "\"1\"");
}

#[test]
fn a_zone_is_interrupted_and_comes_back() {
    let cluster = Cluster::start(QUORUM);
    let from = cluster.primary();
    let zone = cluster.nodes[from].info("availability_zone");
    cluster.nodes[from].connect().expect("SET a 1", "+OK");
    let asked = cluster.other(from);
    asked.connect().expect(&format!("GROUP INTERRUPT-ZONE {zone} 8s"), "+OK");
    let to = cluster.wait_other_primary(from);
    let status = asked.status().expect("it answers");
    assert_eq!(field(&status, "interrupted-zone").text(), zone);
    let other = asked.info("availability_zone");
    let refused = asked.connect().run(&format!("GROUP INTERRUPT-ZONE {other} 1s")).to_string();
    assert!(refused.contains("is interrupted already"), "{refused}");
    cluster.nodes[to].connect().expect("GET a", "\"1\"");
    assert!(Conn::tcp(cluster.nodes[from].addr).is_err(), "the node has no power");
    std::thread::sleep(Duration::from_secs(1));
    assert!(Conn::tcp(cluster.nodes[from].addr).is_err(), "its place is not refilled meanwhile");
    eventually("the node is back in its zone", || {
        let nodes = asked.connect().run("GROUP NODES").items();
        let node = nodes.iter().find(|node| field(node, "id").text() == cluster.nodes[from].id);
        node.is_some_and(|node| {
            field(node, "state").text() == "available" && field(node, "zone").text() == zone
        })
    });
    cluster.wait_whole();
    assert_eq!(cluster.primary(), to, "who comes back is a replica");
    cluster.nodes[from].connect().expect("GET a", "\"1\"");
}

#[test]
fn what_comes_to_nothing_is_told() {
    let cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let target = (0..3).find(|index| *index != primary).expect("three nodes");
    // It stands still, so it never has everything.
    cluster.nodes[target].signal("STOP");
    let id = &cluster.nodes[target].id;
    let mut conn = cluster.nodes[primary].connect();
    conn.expect("SET a 1", "+OK");
    conn.expect(&format!("GROUP FAILOVER TO {id}"), "+OK");
    conn.expect("SET a 2", "+OK");
    let text = format!("Failover to replica node {id} not completed");
    eventually("an event tells it", || {
        cluster.events(&cluster.nodes[primary]).iter().any(|message| message.starts_with(&text))
    });
    cluster.nodes[target].signal("CONT");
    cluster.wait_whole();
    assert_eq!(cluster.primary(), primary);
}

#[test]
fn members_come_and_go() {
    let cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let mut conn = cluster.nodes[primary].connect();
    conn.expect("GROUP ADD-NODE sessions-009=d@/127.0.0.1:1", "+OK");
    let known = |id: &str| {
        let nodes = cluster.nodes[primary].connect().run("GROUP NODES").items();
        nodes.iter().any(|node| field(node, "id").text() == id)
    };
    eventually("there is one more", || known("sessions-009"));
    conn.expect("GROUP REMOVE-NODE sessions-009", "+OK");
    eventually("it is gone", || !known("sessions-009"));
    let own = &cluster.nodes[primary].id;
    let refused = conn.run(&format!("GROUP REMOVE-NODE {own}")).to_string();
    assert!(refused.contains("is the primary"), "{refused}");
}

#[test]
fn a_node_that_is_added_follows_and_may_lead() {
    let mut cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    cluster.nodes[primary].connect().expect("SET a 1", "+OK");
    let peer = cluster.add("a");
    cluster.nodes[primary].connect().expect(&format!("GROUP ADD-NODE {peer}"), "+OK");
    let id = cluster.nodes[3].id.clone();
    let is_in_sync = |node: &crate::cluster::Node| {
        let status = node.status();
        status.is_some_and(|status| {
            field(&status, "in-sync").items().iter().any(|one| one.text() == id)
        })
    };
    eventually("it is in sync", || cluster.nodes.iter().all(is_in_sync));
    cluster.nodes[3].connect().expect("GET a", "\"1\"");
    assert_eq!(cluster.primary(), primary, "nobody is elected for that");
    cluster.nodes[primary].connect().expect(&format!("GROUP FAILOVER TO {id}"), "+OK");
    eventually("it leads", || cluster.nodes[3].connect().run("SET a 2").to_string() == "+OK");
    assert_eq!(cluster.primary(), 3);
}

#[test]
fn every_member_answers_as_a_sentinel() {
    let cluster = Cluster::start(QUORUM);
    cluster.wait_whole();
    for node in &cluster.nodes {
        let mut conn = node.connect();
        assert_eq!(conn.run("SENTINEL MYID").text().len(), 40);
        let role = Conn::tcp(node.sentinel).expect("it listens").run("ROLE").items();
        assert_eq!(
            (role[0].text(), role[1].items()[0].text()),
            ("sentinel".into(), "sessions".into())
        );
        assert_eq!(conn.run("SENTINEL SENTINELS sessions").items().len(), cluster.nodes.len() - 1);
        assert_eq!(conn.run("SENTINEL SLAVES sessions").items().len(), cluster.nodes.len() - 1);
        assert!(conn.run("SENTINEL HELP").items().len() > 5);
        assert!(conn.run("SENTINEL SLAVES nobody").is_error(""));
        assert!(conn.run("GROUP TEST-FAILOVER now").is_error("ERR"));
        assert!(conn.run("GROUP INTERRUPT-ZONE a").is_error("ERR"));
        assert!(conn.run("GROUP INTERRUPT-ZONE a never").is_error("ERR"));
    }
}
