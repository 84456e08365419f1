//! Groups in this process: what they do when nodes die, stand still, are cut off or lose their zone.

use super::timing::Timing;
use crate::config::{DirectiveOptions, WriteAcks};
use crate::{Group, Local, Reply};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

mod handover;

/// More patient than a group in one process is otherwise: a busy machine must not cost a primary its
/// place where a test counts the events.
const TIMING: Timing =
    Timing { lease: Duration::from_millis(600), heartbeat: Duration::from_millis(60) };

fn group() -> Group {
    let group = Group::builder().name("s").write_acks(WriteAcks::Quorum).timing(TIMING).start();
    group.expect("a group of three nodes")
}

/// A client that sends lines and reads lines.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self(BufReader::new(stream))
    }

    /// The first line of a reply; nothing when the connection ended.
    fn say(&mut self, line: &str) -> Option<String> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).ok()?;
        self.hear()
    }

    fn hear(&mut self) -> Option<String> {
        let mut reply = String::new();
        match self.0.read_line(&mut reply) {
            Ok(1..) => Some(reply.trim_end().to_owned()),
            _ => None,
        }
    }
}

/// Says one line at an address over and over, each time on a new connection, until it is accepted.
fn insist(at: SocketAddr, line: &str) -> String {
    for _ in 0..2000 {
        let reply = TcpStream::connect(at).ok().and_then(|_| Client::new(at).say(line));
        match reply {
            Some(reply) if !reply.starts_with('-') => return reply,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    panic!("{line} is never accepted at {at}");
}

fn local(group: &Group, id: &str) -> Local {
    group.local(id).unwrap_or_else(|| panic!("{id} does not run"))
}

fn full_syncs(group: &Group, id: &str) -> u64 {
    let info = local(group, id).call(&[b"INFO", b"stats"]);
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    let full = info.lines().find_map(|line| line.strip_prefix("sync_full:")?.parse().ok());
    full.expect("INFO counts them")
}

/// What happened after an event, once the last recovery is told.
fn messages(group: &Group, after: u64) -> Vec<String> {
    let told = || {
        let events = group.events().into_iter().filter(|event| event.number > after);
        events.map(|event| event.message).collect::<Vec<String>>()
    };
    let is_over = |told: &[String]| told.last().is_some_and(|last| last.starts_with("Finished"));
    group.wait_until(|_| is_over(&told())).expect("the recovery is told");
    told()
}

#[test]
fn a_group_is_there_when_it_has_started() {
    let group = group();
    let view = group.view();
    assert!(view.is_whole());
    assert_eq!(view.primary.as_deref(), Some("s-001"), "the first one, in the first zone");
    let zones: Vec<&str> = view.nodes.iter().map(|node| node.zone.as_str()).collect();
    assert_eq!(zones, ["a", "b", "c"]);
    assert_eq!(insist(group.primary_endpoint(), "SET a 1"), "+OK");
    let role = Client::new(group.reader_endpoint()).say("ROLE").expect("a replica answers");
    assert_eq!(role, "*5", "that of a replica has five parts");
    let refused = Client::new(view.nodes[1].address.expect("an address")).say("SET a 2");
    assert!(refused.is_some_and(|reply| reply.starts_with("-READONLY")));
}

#[test]
fn the_death_of_the_primary_is_survived_and_its_place_refilled() {
    let group = group();
    let before = group.view().last_event;
    let mut client = Client::new(group.primary_endpoint());
    for number in 0..100 {
        assert_eq!(client.say(&format!("SET k{number} v")).as_deref(), Some("+OK"));
    }
    group.kill("s-001").expect("it is there");
    assert_eq!(client.say("SET k v"), None, "the connection ends with the primary");
    let view = group.wait_until(|view| view.primary.as_deref() != Some("s-001"));
    let next = view.expect("another one").primary.expect("another one");
    assert_eq!(insist(group.primary_endpoint(), "DBSIZE"), ":100");
    let other = if next == "s-002" { "s-003" } else { "s-002" };
    group.wait_until(|view| view.node(other).is_some_and(|node| node.in_sync)).expect("it follows");
    let view = group.wait_whole().expect("the place is refilled");
    assert_eq!(view.node("s-001").map(|node| node.zone.as_str()), Some("a"));
    assert_eq!(view.primary.as_ref(), Some(&next), "who comes back is a replica");
    assert_eq!(full_syncs(&group, &next), 1, "only the one that lost its data needed all");
    assert_eq!(messages(&group, before), failed_over(&next));
}

/// The events of the loss of s-001, from the change of the primary on.
fn failed_over(next: &str) -> Vec<String> {
    let failover = format!("Failover from primary node s-001 to replica node {next} completed");
    vec![
        failover.clone(),
        failover,
        "Recovering cache nodes s-001".to_owned(),
        "Finished recovery for cache nodes s-001".to_owned(),
    ]
}

#[test]
fn a_primary_that_is_cut_off_falls_silent_first() {
    let group = group();
    let mut beside = Client::new(group.view().nodes[0].address.expect("an address"));
    assert_eq!(beside.say("SET a 1").as_deref(), Some("+OK"));
    group.isolate("s-001").expect("it is there");
    // Its client is not cut off: it hears nothing more, or that the node is no primary.
    let late = beside.say("SET a 2");
    assert_ne!(late.as_deref(), Some("+OK"));
    group.wait_until(|view| view.primary.as_deref() != Some("s-001")).expect("another one");
    assert_eq!(insist(group.primary_endpoint(), "SET a 3"), "+OK");
    group.heal();
    group.wait_whole().expect("it follows by itself");
    let has_it = || local(&group, "s-001").get(b"a").as_deref() == Some(&b"3"[..]);
    group.wait_until(|_| has_it()).expect("it gets what was written meanwhile");
}

#[test]
fn a_primary_that_stood_still_does_not_know_and_says_nothing() {
    let group = group();
    let mut beside = Client::new(group.view().nodes[0].address.expect("an address"));
    assert_eq!(beside.say("SET a 1").as_deref(), Some("+OK"));
    group.pause("s-001").expect("it is there");
    group.wait_until(|view| view.primary.as_deref() != Some("s-001")).expect("another one");
    assert_eq!(insist(group.primary_endpoint(), "SET a 2"), "+OK");
    group.resume("s-001").expect("it is there");
    let late = beside.say("SET a 3");
    assert!(late.is_none_or(|reply| reply.starts_with('-')));
    group.wait_whole().expect("it follows by itself");
    let has_it = || local(&group, "s-001").get(b"a").as_deref() == Some(&b"2"[..]);
    group.wait_until(|_| has_it()).expect("it gets what was written meanwhile");
}

#[test]
fn a_zone_without_power_is_refilled_when_it_has_power_again() {
    let group = group();
    insist(group.primary_endpoint(), "SET a 1");
    let before = group.view().last_event;
    group.interrupt_zone("a", Duration::from_millis(2500)).expect("one zone may be interrupted");
    let view = group.wait_until(|view| view.primary.as_deref() != Some("s-001"));
    let view = view.expect("another primary");
    assert_eq!(view.interrupted_zone.as_deref(), Some("a"));
    let refused = group.interrupt_zone("b", Duration::from_secs(1));
    assert!(refused.is_err_and(|error| error.to_string().contains("interrupted already")));
    assert_eq!(insist(group.primary_endpoint(), "GET a"), "$1");
    std::thread::sleep(Duration::from_millis(500));
    assert!(group.view().node("s-001").is_some_and(|node| !node.is_running));
    let view = group.wait_whole().expect("the zone is back");
    assert_eq!(view.interrupted_zone, None);
    assert_eq!(view.node("s-001").map(|node| node.zone.as_str()), Some("a"));
    let told = messages(&group, before);
    let at = |text: &str| told.iter().position(|message| message.starts_with(text));
    let (failover, recovering, finished) = (
        at("Failover from primary node s-001"),
        at("Recovering cache nodes s-001"),
        at("Finished"),
    );
    assert!(failover.is_some() && failover < recovering && recovering < finished, "{told:?}");
}

#[test]
fn a_test_failover_is_told_in_order() {
    let group = group();
    let before = group.view().last_event;
    group.test_failover().expect("there are replicas");
    let view = group.wait_until(|view| view.primary.as_deref() != Some("s-001"));
    let next = view.expect("another one").primary.expect("another one");
    group.wait_whole().expect("the node is back");
    let mut expected = vec!["Test Failover API called for node group 0001".to_owned()];
    expected.extend(failed_over(&next));
    assert_eq!(messages(&group, before), expected);
}

#[test]
fn all_nodes_restart_one_after_another() {
    let group = group();
    insist(group.primary_endpoint(), "SET a 1");
    let run_id = |id: &str| {
        let info = group.local(id)?.call(&[b"INFO", b"server"]);
        let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
        info.lines().find_map(|line| line.strip_prefix("run_id:").map(str::to_owned))
    };
    let ids = ["s-001", "s-002", "s-003"];
    let before = ids.map(run_id);
    group.restart().expect("there are replicas");
    group
        .wait_until(|view| {
            let is_new = |(id, before): (&&str, &Option<String>)| {
                let now = run_id(id);
                now.is_some() && now != *before
            };
            view.is_whole() && ids.iter().zip(&before).all(is_new)
        })
        .expect("all are new");
    assert_eq!(insist(group.primary_endpoint(), "GET a"), "$1", "nothing is lost");
}

#[test]
fn who_leads_by_the_time_it_restarts_hands_over_first() {
    let group = group();
    group.restart().expect("there are replicas");
    // The first one that restarts is away, and s-003 is the next one.
    group.failover(Some("s-003")).expect("it is in sync");
    let last = "Recovering cache nodes s-001";
    group
        .wait_until(|view| {
            view.is_whole() && group.events().iter().any(|event| event.message == last)
        })
        .expect("all restart");
    assert_eq!(group.observer.config().failovers, 0, "none was lost: {:?}", group.events());
}

#[test]
fn groups_live_beside_each_other() {
    let two = Group::builder().name("two").zones(["x", "y"]).start().expect("a group");
    let one = group();
    assert_eq!(two.view().nodes.len(), 3, "two nodes and a witness");
    insist(one.primary_endpoint(), "SET a 1");
    assert_eq!(insist(two.primary_endpoint(), "DBSIZE"), ":0");
    two.kill("two-001").expect("it is there");
    two.wait_until(|view| view.primary.as_deref() == Some("two-002")).expect("the replica");
    assert_eq!(one.primary().as_deref(), Some("s-001"));
}

#[test]
fn a_group_in_a_folder_starts_again_where_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || {
        let group = Group::builder().name("kept").appendonly(true).folder(folder.path()).start();
        group.expect("a group")
    };
    let group = start();
    insist(group.primary_endpoint(), "SET a 1");
    let epoch = group.view().epoch;
    group.shutdown();
    let group = start();
    assert!(group.view().epoch > epoch, "an epoch is never used twice");
    assert_eq!(insist(group.primary_endpoint(), "GET a"), "$1");
}

#[test]
fn sentinel_and_group_answer_on_every_node() {
    let group = group();
    let mut subscriber = Client::new(group.view().nodes[2].address.expect("an address"));
    subscriber.say("SUBSCRIBE +switch-master").expect("it subscribes");
    for _ in 0..5 {
        subscriber.hear();
    }
    group.failover(Some("s-002")).expect("it hands over");
    let mut heard = String::new();
    while !heard.starts_with("s 127.0.0.1") {
        heard = subscriber.hear().expect("a message");
    }
    let port = |index: usize| group.view().nodes[index].address.expect("an address").port();
    assert_eq!(heard, format!("s 127.0.0.1 {} 127.0.0.1 {}", port(0), port(1)));
    let expected = port(1).to_string();
    for id in ["s-001", "s-002", "s-003"] {
        let knows = |reply: Reply<'_>| match reply {
            Reply::Array(parts) => {
                parts.get(1).and_then(Reply::as_bytes) == Some(expected.as_bytes())
            }
            _ => false,
        };
        let ask = [&b"SENTINEL"[..], b"GET-MASTER-ADDR-BY-NAME", b"s"];
        group.wait_until(|_| knows(local(&group, id).call(&ask))).expect("each node knows");
    }
}

#[test]
fn endpoints_keep_out_whom_protected_mode_keeps_out() {
    let group = group();
    let admits = |ip: [u8; 4]| group.observer.admits(ip.into());
    assert!(admits([127, 0, 0, 1]) && !admits([10, 0, 0, 1]));
    for id in ["s-001", "s-002", "s-003"] {
        let said = local(&group, id).call(&[b"CONFIG", b"SET", b"protected-mode", b"no"]);
        assert_eq!(said, Reply::Ok);
    }
    assert!(admits([10, 0, 0, 1]));
}
