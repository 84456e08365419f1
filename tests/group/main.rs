//! Groups of real processes: what a client sees while nodes die, stop and come back, and what the
//! group says of it.

mod clients;
mod commands;
mod load;
mod zones;

use std::time::{Duration, Instant};

use larder_tests::cluster::{Cluster, field};
use larder_tests::{cluster, eventually};
use load::{Load, Seen, done_unanswered, lost};

/// Replies leave when a majority has the write.
const QUORUM: &[&str] = &["--write-acks", "quorum"];

/// Waits until writers are at work.
fn warm_up() {
    std::thread::sleep(Duration::from_millis(500));
}

/// All addresses that lead to the primary, but for those of one node.
fn endpoints(cluster: &Cluster, but: usize) -> Vec<std::net::SocketAddr> {
    let others = cluster.nodes.iter().enumerate().filter(|(index, _)| *index != but);
    others.map(|(_, node)| node.primary_endpoint).collect()
}

/// Waits until some writers write again, and tells how long after the moment that was.
fn recovered(seen: &[Seen], moment: Instant) -> Duration {
    let first = seen.iter().filter_map(|seen| seen.first_after(moment)).min();
    first.expect("somebody writes again")
}

#[test]
fn the_death_of_the_primary_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let load = Load::start(4, &endpoints(&cluster, primary));
    warm_up();
    let killed = Instant::now();
    cluster.nodes[primary].kill();
    let next = cluster.wait_other_primary(primary);
    let promoted = killed.elapsed();
    warm_up();
    warm_up();
    let seen = load.stop();
    let again = seen.iter().filter_map(|seen| seen.first_after(killed + promoted)).min();
    println!("promoted after {promoted:?}, writing {again:?} later");
    assert!(again.is_some_and(|again| again < Duration::from_secs(20)), "{again:?}");
    assert_eq!(lost(&mut cluster.nodes[next].connect(), &seen), [""; 0]);
    assert!(recovered(&seen, killed) < Duration::from_secs(30));
    let survivor = (0..3).find(|index| ![primary, next].contains(index)).expect("three nodes");
    assert_eq!(cluster.nodes[next].info("sync_full"), "0", "the survivor went on where it was");
    let size = |index: usize| cluster.nodes[index].connect().run("DBSIZE").int();
    eventually("the survivor has everything", || size(survivor) == size(next));
    cluster.nodes[primary].launch();
    cluster.wait_whole();
    assert_eq!(lost(&mut cluster.nodes[primary].connect(), &seen), [""; 0]);
    assert_eq!(cluster.primary(), next, "who comes back is a replica");
}

/// The epoch that the latest of all members knows.
fn epoch(cluster: &Cluster) -> i64 {
    let known = cluster.nodes.iter().filter_map(cluster::Node::status);
    known.map(|status| field(&status, "epoch").int()).max().unwrap_or_default()
}

#[test]
fn a_primary_that_stood_still_acknowledges_nothing_afterwards() {
    let cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let load = Load::start(3, &endpoints(&cluster, primary));
    // This one goes on talking to the old primary.
    let direct = Load::start(1, &[cluster.nodes[primary].addr]);
    warm_up();
    cluster.nodes[primary].signal("STOP");
    let next = cluster.wait_other_primary(primary);
    warm_up();
    let resumed = Instant::now();
    cluster.nodes[primary].signal("CONT");
    cluster.wait_whole();
    let (seen, direct) = (load.stop(), direct.stop());
    let late = direct[0].acked.iter().filter(|(_, at)| *at > resumed).count();
    assert_eq!(late, 0, "it says READONLY from then on: {:?}", direct[0].failed.last());
    assert_eq!(lost(&mut cluster.nodes[next].connect(), &seen), [""; 0]);
    let role = || cluster.nodes[primary].connect().run("ROLE").items()[0].text();
    eventually("it follows the other one", || role() == "slave");
}

#[test]
fn a_planned_failover_under_load_fails_no_write() {
    let cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let everywhere: Vec<_> = cluster.nodes.iter().map(|node| node.primary_endpoint).collect();
    let load = Load::start(4, &everywhere);
    warm_up();
    let mut from = primary;
    for _ in 0..3 {
        cluster.nodes[from].connect().expect("GROUP FAILOVER", "+OK");
        from = cluster.wait_other_primary(from);
        cluster.wait_whole();
    }
    warm_up();
    let seen = load.stop();
    for seen in &seen {
        assert_eq!(seen.failed, [""; 0]);
        println!("longest pause {:?}", seen.longest_gap());
        assert!(seen.longest_gap() < Duration::from_secs(20), "{:?}", seen.longest_gap());
    }
    assert_eq!(lost(&mut cluster.nodes[from].connect(), &seen), [""; 0]);
    for node in &cluster.nodes {
        assert!(node.info("sync_full").parse::<u32>().is_ok_and(|full| full <= 2), "{}", node.id);
    }
}

#[test]
fn a_rolling_restart_loses_nothing() {
    let cluster = Cluster::start(QUORUM);
    let primary = cluster.primary();
    let everywhere: Vec<_> = cluster.nodes.iter().map(|node| node.primary_endpoint).collect();
    let before: Vec<String> = cluster.nodes.iter().map(|node| node.info("run_id")).collect();
    let load = Load::start(4, &everywhere);
    warm_up();
    cluster.nodes[primary].connect().expect("GROUP RESTART", "+OK");
    eventually("all nodes are new", || {
        let is_new = |(node, before): (&cluster::Node, &String)| {
            node.status().is_some() && node.try_info("run_id").is_some_and(|now| now != *before)
        };
        cluster.nodes.iter().zip(&before).all(is_new)
    });
    cluster.wait_whole();
    warm_up();
    let seen = load.stop();
    for seen in &seen {
        println!("longest pause {:?}, failed {:?}", seen.longest_gap(), seen.failed);
        // A connection ends with the node that it leads to, once: who left as the primary. One that
        // comes between the handover and the news of it is refused.
        let is_known = |failed: &String| failed == "closed" || failed.starts_with("-READONLY");
        assert!(seen.failed.iter().all(is_known), "{:?}", seen.failed);
        assert!(seen.failed.len() <= 2, "{:?}", seen.failed);
        assert!(seen.longest_gap() < Duration::from_secs(20), "{:?}", seen.longest_gap());
    }
    let next = cluster.primary();
    assert_ne!(next, primary, "it handed over before it ended");
    let mut conn = cluster.nodes[next].connect();
    assert_eq!(lost(&mut conn, &seen), [""; 0]);
    assert_eq!(done_unanswered(&mut conn, &seen), [""; 0], "a client may try these again");
}

#[test]
fn a_group_that_was_ended_as_a_whole_starts_again() {
    let mut cluster = Cluster::start(&["--appendonly", "yes"]);
    let primary = cluster.primary();
    cluster.nodes[primary].connect().expect("SET kept yes", "+OK");
    eventually("all have it", || {
        cluster.nodes.iter().all(|node| node.connect().run("DBSIZE").to_string() == ":1")
    });
    let before = epoch(&cluster);
    for node in &cluster.nodes {
        node.signal("TERM");
    }
    for node in &mut cluster.nodes {
        assert!(node.wait_exit(), "{} ends in peace:\n{}", node.id, node.log());
    }
    cluster.nodes.iter_mut().for_each(cluster::Node::launch);
    eventually("another epoch: none is used twice", || epoch(&cluster) > before);
    cluster.wait_whole();
    let primary = cluster.primary();
    cluster.nodes[primary].connect().expect("GET kept", "\"yes\"");
}

/// Kills all processes, starts them again and waits until they are a group again.
fn kill_all(cluster: &mut Cluster) {
    let before = epoch(cluster);
    cluster.nodes.iter_mut().for_each(cluster::Node::kill);
    cluster.nodes.iter_mut().for_each(cluster::Node::launch);
    eventually("another epoch: none is used twice", || epoch(cluster) > before);
    cluster.wait_whole();
}

#[test]
fn a_group_whose_processes_all_died_starts_again() {
    let mut cluster = Cluster::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let primary = cluster.primary();
    cluster.nodes[primary].connect().expect("SET kept yes", "+OK");
    eventually("all have it", || {
        cluster.nodes.iter().all(|node| node.connect().run("DBSIZE").to_string() == ":1")
    });
    kill_all(&mut cluster);
    let primary = cluster.primary();
    cluster.nodes[primary].connect().expect("GET kept", "\"yes\"");
    cluster.nodes[primary].connect().expect("SET kept still", "+OK");
    // Without files all data is gone, and the group is there all the same.
    let mut cluster = Cluster::start(QUORUM);
    kill_all(&mut cluster);
    let primary = cluster.primary();
    cluster.nodes[primary].connect().expect("SET kept yes", "+OK");
}

#[test]
fn a_witness_votes_and_holds_nothing() {
    let mut cluster = Cluster::with_witness(4, QUORUM);
    let witness = &cluster.nodes[3];
    let mut conn = witness.connect();
    let address = conn.run("SENTINEL get-master-addr-by-name sessions").items()[1].text();
    let primary = cluster.primary();
    assert_eq!(address, cluster.nodes[primary].addr.port().to_string());
    assert!(conn.run("SET a 1").is_error(""), "it holds no data");
    let mut through = larder_tests::Conn::tcp(witness.primary_endpoint).expect("an endpoint");
    through.expect("SET a 1", "+OK");
    cluster.nodes[primary].kill();
    let next = cluster.wait_other_primary(primary);
    assert!(next < 3, "a witness is never primary");
    eventually("its endpoint leads there", || {
        larder_tests::Conn::tcp(cluster.nodes[3].primary_endpoint).is_ok_and(|mut conn| {
            conn.try_send(b"GET a\r\n").is_ok()
                && conn.try_reply().is_ok_and(|reply| reply.value.text() == "1")
        })
    });
}
