//! GROUP, SENTINEL and FAILOVER as a member of a group answers them.

use super::duration_ms;
use crate::member::MemberOptions;
use crate::node::group::face::{Face, Request};
use crate::{Local, Node};
use larder_protocol::Reply;
use larder_replication::group::config::{GroupConfig, Incarnation, Member, NodeId, Zone};
use larder_replication::group::data::Lease;
use larder_replication::group::event::{Event, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

fn id(index: u16) -> NodeId {
    NodeId(format!("s-00{index}"))
}

/// Three nodes and a witness, the first node the primary.
fn config() -> GroupConfig {
    let member = |index: u16| Member {
        id: id(index),
        zone: Zone(["a", "b", "c", "a"][usize::from(index) - 1].to_owned()),
        client_address: (index < 4).then(|| ([127, 0, 0, 1], 7000 + index).into()),
        group_address: ([127, 0, 0, 1], 8000 + index).into(),
    };
    let event = |number: u64| Event {
        number,
        unix_ms: 1000 + number as i64,
        source: Source::CacheCluster("s-001".to_owned()),
        message: format!("Event {number}"),
    };
    GroupConfig {
        epoch: 7,
        revision: 7,
        primary: Some(id(1)),
        members: (1..=4).map(|index| (id(index), member(index))).collect(),
        in_sync: [(id(1), Incarnation(1)), (id(2), Incarnation(2))].into_iter().collect(),
        events: (3..=6).map(event).collect(),
        ..GroupConfig::default()
    }
}

/// A node that believes to be the third one of this group, and what it is asked for.
fn member(config: GroupConfig) -> (Node, Receiver<Request>) {
    let lease = Arc::new(Lease::default());
    let down_after = Duration::from_millis(1070);
    let (face, wishes) = Face::new("s".to_owned(), id(3), Arc::clone(&lease), down_after);
    let face = Arc::new(face);
    face.show(&Arc::new(config));
    let asked = Arc::clone(&face);
    let options = MemberOptions::new("s", id(3), lease, b"a secret of some length")
        .on_failover(move |told| asked.ask_failover(told));
    let node = Node::builder().member(options).start().expect("a node");
    assert!(node.shared().group.set(face).is_ok());
    (node, wishes)
}

fn call(local: &mut Local, line: &str) -> Reply<'static> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    local.call(&words)
}

fn error(local: &mut Local, line: &str) -> String {
    match call(local, line) {
        Reply::Error(error) => error.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

/// The pairs of a map, as texts.
fn fields(reply: Reply<'_>) -> Vec<(String, String)> {
    let text = |reply: &Reply<'_>| match reply {
        Reply::Int(number) => number.to_string(),
        Reply::Null => "-".to_owned(),
        other => String::from_utf8_lossy(other.as_bytes().unwrap_or(b"?")).into_owned(),
    };
    match reply {
        Reply::Map(pairs) => pairs.iter().map(|(k, v)| (text(k), text(v))).collect(),
        other => panic!("{other:?} is no map"),
    }
}

fn items(reply: Reply<'static>) -> Vec<Reply<'static>> {
    match reply {
        Reply::Array(items) => items,
        other => panic!("{other:?} is no array"),
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

#[test]
fn durations() {
    let cases = [
        ("90", Some(90_000)),
        ("90s", Some(90_000)),
        ("500ms", Some(500)),
        ("5m", Some(300_000)),
        ("PT12H", Some(43_200_000)),
        ("", None),
        ("s", None),
        ("-1", None),
        ("5d", None),
        ("99999999999999999999", None),
        ("18446744073709551615h", None),
    ];
    for (text, expected) in cases {
        assert_eq!(duration_ms(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn outside_a_group_there_is_no_sentinel_and_no_group() {
    let node = Node::builder().start().expect("a node");
    let mut local = node.local();
    let unknown = "ERR unknown command 'SENTINEL', with args beginning with: 'masters' ";
    assert_eq!(error(&mut local, "SENTINEL masters"), unknown);
    assert!(error(&mut local, "GROUP NODES").contains("not a member of a replication group"));
    assert!(call(&mut local, "INFO group").as_bytes().is_none_or(<[u8]>::is_empty));
}

#[test]
fn nodes_and_status() {
    let (node, _wishes) = member(config());
    let mut local = node.local();
    let nodes: Vec<_> = items(call(&mut local, "GROUP NODES")).into_iter().map(fields).collect();
    let roles: Vec<&str> = nodes.iter().map(|node| field(node, "role")).collect();
    assert_eq!(roles, ["primary", "replica", "replica", "witness"]);
    let states: Vec<&str> = nodes.iter().map(|node| field(node, "state")).collect();
    assert_eq!(states, ["available", "available", "creating", "available"]);
    assert_eq!((field(&nodes[1], "port"), field(&nodes[3], "port")), ("7002", ""));
    let status = fields(call(&mut local, "GROUP INFO"));
    for (name, value) in
        [("name", "s"), ("epoch", "7"), ("primary", "s-001"), ("node", "s-003"), ("zone", "c")]
    {
        assert_eq!(field(&status, name), value, "{name}");
    }
    let info = call(&mut local, "INFO group");
    let info = info.as_bytes().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
    assert!(info.starts_with("# Group\r\ngroup_name:s\r\ngroup_node_id:s-003\r\n"), "{info}");
}

#[test]
fn events_by_count_and_number() {
    let (node, _wishes) = member(config());
    let mut local = node.local();
    let mut numbers = |line: &str| -> Vec<String> {
        let events = items(call(&mut local, line)).into_iter().map(fields);
        events.map(|event| field(&event, "number").to_owned()).collect()
    };
    assert_eq!(numbers("GROUP EVENTS"), ["3", "4", "5", "6"]);
    assert_eq!(numbers("GROUP EVENTS COUNT 1"), ["6"]);
    assert_eq!(numbers("GROUP EVENTS COUNT 0"), [""; 0]);
    assert_eq!(numbers("GROUP EVENTS AFTER 4"), ["5", "6"]);
    assert_eq!(numbers("GROUP EVENTS AFTER 99"), [""; 0]);
    assert_eq!(error(&mut local, "GROUP EVENTS AFTER"), "ERR syntax error");
    assert_eq!(error(&mut local, "GROUP EVENTS FROM 1"), "ERR syntax error");
    assert!(error(&mut local, "GROUP EVENTS COUNT -1").contains("must be positive"));
}

#[test]
fn wishes_reach_the_group_or_are_refused() {
    let (node, mut wishes) = member(config());
    let mut local = node.local();
    let zone = |name: &str| Zone(name.to_owned());
    for (line, request) in [
        ("GROUP FAILOVER", Request::Failover(None)),
        ("GROUP FAILOVER TO S-002", Request::Failover(Some(id(2)))),
        ("FAILOVER TO 127.0.0.1 7002", Request::Failover(Some(id(2)))),
        ("SENTINEL FAILOVER s", Request::Failover(None)),
        ("GROUP TEST-FAILOVER", Request::TestFailover),
        ("GROUP INTERRUPT-ZONE b 1m", Request::InterruptZone { zone: zone("b"), for_ms: 60_000 }),
        ("GROUP REMOVE-NODE s-003", Request::RemoveNode(id(3))),
        ("GROUP RESTART", Request::Restart),
    ] {
        assert_eq!(call(&mut local, line), Reply::Ok, "{line}");
        assert_eq!(wishes.try_recv(), Ok(request), "{line}");
    }
    for (line, part) in [
        ("GROUP FAILOVER TO s-001", "is the primary already"),
        ("GROUP FAILOVER TO s-003", "is not in sync"),
        ("GROUP FAILOVER TO s-004", "is a witness"),
        ("GROUP FAILOVER TO s-009", "has no node s-009"),
        ("GROUP FAILOVER FROM s-001", "syntax error"),
        ("FAILOVER TO 127.0.0.1 7009", "is not a replica"),
        ("FAILOVER ABORT", "is a member of the group"),
        ("GROUP INTERRUPT-ZONE z 1m", "no node in zone z"),
        ("GROUP INTERRUPT-ZONE a 1m", "has no majority"),
        ("GROUP INTERRUPT-ZONE b 13h", "a duration is"),
        ("GROUP REMOVE-NODE s-001", "is the primary"),
        ("GROUP ADD-NODE s-002=b@127.0.0.1:1", "has a node s-002 already"),
        ("GROUP ADD-NODE s-005=b@localhost:1", "by its IP addresses"),
        ("GROUP ADD-NODE s-005", "is no member"),
    ] {
        assert!(error(&mut local, line).contains(part), "{line}: {}", error(&mut local, line));
    }
    assert!(wishes.try_recv().is_err());
    assert_eq!(call(&mut local, "GROUP ADD-NODE s-005=b@127.0.0.1:1/127.0.0.1:2"), Reply::Ok);
    assert!(matches!(wishes.try_recv(), Ok(Request::AddNode(member)) if member.id == id(5)));
    while call(&mut local, "GROUP FAILOVER") == Reply::Ok {}
    assert!(error(&mut local, "GROUP FAILOVER").contains("is busy"), "wishes are bounded");
}

/// The fields of Redis 7.0's Sentinel, in its order.
const OF_ALL: &str = "name ip port runid flags link-pending-commands link-refcount last-ping-sent \
    last-ok-ping-reply last-ping-reply down-after-milliseconds";

#[test]
fn sentinel_describes_nodes_as_redis_does() {
    let (node, _wishes) = member(config());
    let mut local = node.local();
    let names = |fields: &[(String, String)]| -> String {
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.join(" ")
    };
    let primary = fields(call(&mut local, "SENTINEL MASTER S"));
    let expected = format!(
        "{OF_ALL} info-refresh role-reported role-reported-time config-epoch num-slaves \
         num-other-sentinels quorum failover-timeout parallel-syncs"
    );
    assert_eq!(names(&primary), expected);
    for (name, value) in [
        ("name", "s"),
        ("ip", "127.0.0.1"),
        ("port", "7001"),
        ("flags", "master"),
        ("config-epoch", "7"),
        ("num-slaves", "2"),
        ("num-other-sentinels", "2"),
        ("quorum", "3"),
    ] {
        assert_eq!(field(&primary, name), value, "{name}");
    }
    assert_eq!(field(&primary, "runid").len(), 40);
    assert_eq!(items(call(&mut local, "SENTINEL masters")).len(), 1);
    let replicas = items(call(&mut local, "SENTINEL REPLICAS s"));
    let replicas: Vec<_> = replicas.into_iter().map(fields).collect();
    let expected = format!(
        "{OF_ALL} info-refresh role-reported role-reported-time master-link-down-time \
         master-link-status master-host master-port slave-priority slave-repl-offset \
         replica-announced"
    );
    assert_eq!(names(&replicas[0]), expected);
    let shown: Vec<(&str, &str)> =
        replicas.iter().map(|r| (field(r, "name"), field(r, "flags"))).collect();
    let down = "s_down,slave,disconnected";
    assert_eq!(shown, [("127.0.0.1:7002", "slave"), ("127.0.0.1:7003", down)]);
    assert_eq!(items(call(&mut local, "SENTINEL slaves s")).len(), 2);
    let sentinels = items(call(&mut local, "SENTINEL SENTINELS s"));
    let sentinels: Vec<_> = sentinels.into_iter().map(fields).collect();
    let expected = format!("{OF_ALL} last-hello-message voted-leader voted-leader-epoch");
    assert_eq!(names(&sentinels[0]), expected);
    let ports: Vec<&str> = sentinels.iter().map(|s| field(s, "port")).collect();
    assert_eq!(ports, ["7001", "7002"], "itself it leaves out");
}

#[test]
fn sentinel_answers_clients() {
    let (node, _wishes) = member(config());
    let mut local = node.local();
    let address =
        Reply::array([Reply::Owned(b"127.0.0.1".to_vec()), Reply::Owned(b"7001".to_vec())]);
    assert_eq!(call(&mut local, "SENTINEL get-master-addr-by-name s"), address);
    assert_eq!(call(&mut local, "SENTINEL GET-MASTER-ADDR-BY-NAME t"), Reply::NullArray);
    for line in ["MASTER t", "REPLICAS t", "SENTINELS t", "CKQUORUM t", "FAILOVER t"] {
        let text = error(&mut local, &format!("SENTINEL {line}"));
        assert_eq!(text, "ERR No such master with that name", "{line}");
    }
    let enough = "OK 3 usable Sentinels. Quorum and failover authorization can be reached";
    assert_eq!(call(&mut local, "SENTINEL CKQUORUM s"), Reply::status(enough));
    let myid = call(&mut local, "SENTINEL MYID");
    assert_eq!(myid.as_bytes().map(<[u8]>::len), Some(40));
    assert!(error(&mut local, "SENTINEL NONE").contains("Try SENTINEL HELP"));
    let alone =
        GroupConfig { in_sync: [(id(1), Incarnation(1))].into_iter().collect(), ..config() };
    let (node, _wishes) = member(alone);
    let mut local = node.local();
    assert!(error(&mut local, "SENTINEL CKQUORUM s").starts_with("NOQUORUM 2 usable Sentinels."));
    assert!(error(&mut local, "SENTINEL FAILOVER s").starts_with("NOGOODSLAVE"));
}

#[test]
fn what_is_older_is_not_shown() {
    let (node, _wishes) = member(config());
    let face = Arc::clone(node.shared().group.get().expect("a face"));
    let older = Arc::new(GroupConfig { epoch: 6, revision: 6, ..config() });
    assert!(face.show(&older).is_none());
    assert_eq!(face.config().epoch, 7);
    let newer = Arc::new(GroupConfig { epoch: 8, revision: 8, ..config() });
    assert_eq!(face.show(&newer).map(|before| before.epoch), Some(7));
}
