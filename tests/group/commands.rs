//! GROUP and SENTINEL as clients of a running group see them.

use larder_tests::{Server, eventually};

use crate::QUORUM;
use crate::cluster::{Cluster, field};

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
fn every_member_answers_as_a_sentinel() {
    let cluster = Cluster::start(QUORUM);
    cluster.wait_whole();
    for node in &cluster.nodes {
        let mut conn = node.connect();
        assert_eq!(conn.run("SENTINEL MYID").text().len(), 40);
        assert_eq!(conn.run("SENTINEL SENTINELS sessions").items().len(), cluster.nodes.len() - 1);
        assert_eq!(conn.run("SENTINEL SLAVES sessions").items().len(), cluster.nodes.len() - 1);
        assert!(conn.run("SENTINEL HELP").items().len() > 5);
        assert!(conn.run("SENTINEL SLAVES nobody").is_error(""));
        assert!(conn.run("GROUP TEST-FAILOVER now").is_error("ERR"));
        assert!(conn.run("GROUP INTERRUPT-ZONE a").is_error("ERR"));
        assert!(conn.run("GROUP INTERRUPT-ZONE a never").is_error("ERR"));
    }
}
