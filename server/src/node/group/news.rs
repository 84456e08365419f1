//! What a member tells its clients when the group changed: events on a channel of their own, and
//! Sentinel's messages, by which client libraries learn of a new primary.
//!
//! The messages follow from what the group was and what it is; each member tells its own clients, so
//! nothing of it goes over the network.

use larder_replication::group::config::{GroupConfig, Member, NodeId};
use larder_replication::group::event::{Event, Source};
use std::net::SocketAddr;

/// The channel of events.
pub const EVENTS: &str = "__group__:events";

/// A message to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel.
    pub channel: &'static str,
    /// What is said.
    pub text: String,
}

impl Message {
    fn new(channel: &'static str, text: String) -> Self {
        Self { channel, text }
    }
}

/// The events that came since.
pub fn events_since<'c>(old: &GroupConfig, new: &'c GroupConfig) -> &'c [Event] {
    let last = old.events.last().map_or(0, |event| event.number);
    let first = new.events.partition_point(|event| event.number <= last);
    new.events.get(first..).unwrap_or_default()
}

/// An event as its channel tells it: number, milliseconds since the Unix epoch, kind and name of its
/// source, and what happened.
pub fn line(event: &Event) -> String {
    let (kind, id) = match &event.source {
        Source::ReplicationGroup(id) => ("replication-group", id),
        Source::CacheCluster(id) => ("cache-cluster", id),
    };
    format!("{} {} {kind} {id} {}", event.number, event.unix_ms, event.message)
}

/// All messages about a change of the group of this name.
pub fn messages(name: &str, old: &GroupConfig, new: &GroupConfig) -> Vec<Message> {
    let mut out: Vec<Message> =
        events_since(old, new).iter().map(|event| Message::new(EVENTS, line(event))).collect();
    if old.epoch != new.epoch {
        out.push(Message::new("+new-epoch", new.epoch.to_string()));
    }
    let primary = address(new, new.primary.as_ref());
    if let Some(to) = primary {
        switch(name, address(old, old.primary.as_ref()), to, &mut out);
        for member in new.members.values().filter(|member| new.primary.as_ref() != Some(&member.id))
        {
            replica(name, old, new, member, to, &mut out);
        }
    }
    out
}

/// Where a node is, in Sentinel's words: its address, once more in parts, and that of the primary.
fn place(name: &str, at: SocketAddr, primary: SocketAddr) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!("slave {at} {ip} {port} @ {name} {} {}", primary.ip(), primary.port())
}

fn switch(name: &str, from: Option<SocketAddr>, to: SocketAddr, out: &mut Vec<Message>) {
    let Some(from) = from.filter(|from| *from != to) else { return };
    let of = |at: SocketAddr| format!("{} {}", at.ip(), at.port());
    out.push(Message::new("+failover-end", format!("master {name} {}", of(from))));
    out.push(Message::new("+switch-master", format!("{name} {} {}", of(from), of(to))));
}

fn replica(
    name: &str,
    old: &GroupConfig,
    new: &GroupConfig,
    member: &Member,
    primary: SocketAddr,
    out: &mut Vec<Message>,
) {
    let Some(at) = member.client_address else { return };
    let was_in_sync = old.in_sync.contains_key(&member.id);
    let is_in_sync = new.in_sync.contains_key(&member.id);
    let channel = match (was_in_sync, is_in_sync) {
        _ if !old.members.contains_key(&member.id) => "+slave",
        (true, false) => "+sdown",
        (false, true) => "-sdown",
        _ => return,
    };
    out.push(Message::new(channel, place(name, at, primary)));
}

fn address(config: &GroupConfig, id: Option<&NodeId>) -> Option<SocketAddr> {
    config.members.get(id?)?.client_address
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_replication::group::config::{Incarnation, Zone};

    fn config(primary: &str, in_sync: &[&str]) -> GroupConfig {
        let member = |index: u16| {
            let id = NodeId(format!("s-00{index}"));
            let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let member = Member {
                id: id.clone(),
                zone: Zone("a".to_owned()),
                client_address: (index < 4).then(|| at(7000 + index)),
                group_address: at(8000 + index),
            };
            (id, member)
        };
        GroupConfig {
            epoch: 3,
            primary: Some(NodeId(primary.to_owned())),
            members: (1..=4).map(member).collect(),
            in_sync: in_sync.iter().map(|id| (NodeId((*id).to_owned()), Incarnation(1))).collect(),
            ..GroupConfig::default()
        }
    }

    fn event(number: u64) -> Event {
        let source = Source::CacheCluster("s-001".to_owned());
        Event { number, unix_ms: 5, source, message: format!("Event {number}") }
    }

    fn texts(old: &GroupConfig, new: &GroupConfig) -> Vec<String> {
        let all = messages("s", old, new);
        all.into_iter().map(|message| format!("{}: {}", message.channel, message.text)).collect()
    }

    #[test]
    fn nothing_new_is_nothing_to_tell() {
        let config = config("s-001", &["s-001", "s-002"]);
        assert_eq!(texts(&config, &config), Vec::<String>::new());
    }

    #[test]
    fn a_failover_is_told_as_sentinel_tells_it() {
        let old = config("s-001", &["s-001", "s-002", "s-003"]);
        let new = GroupConfig { epoch: 4, ..config("s-002", &["s-002", "s-003"]) };
        let expected = [
            "+new-epoch: 4",
            "+failover-end: master s 127.0.0.1 7001",
            "+switch-master: s 127.0.0.1 7001 127.0.0.1 7002",
            "+sdown: slave 127.0.0.1:7001 127.0.0.1 7001 @ s 127.0.0.1 7002",
        ];
        assert_eq!(texts(&old, &new), expected);
        let back = GroupConfig { epoch: 4, ..config("s-002", &["s-001", "s-002", "s-003"]) };
        let expected = ["-sdown: slave 127.0.0.1:7001 127.0.0.1 7001 @ s 127.0.0.1 7002"];
        assert_eq!(texts(&new, &back), expected);
    }

    #[test]
    fn each_event_is_told_once_and_in_order() {
        let mut old = config("s-001", &["s-001"]);
        old.events = vec![event(1), event(2)];
        let new = GroupConfig { events: vec![event(2), event(3), event(4)], ..old.clone() };
        let expected = [
            "__group__:events: 3 5 cache-cluster s-001 Event 3",
            "__group__:events: 4 5 cache-cluster s-001 Event 4",
        ];
        assert_eq!(texts(&old, &new), expected);
        assert_eq!(texts(&new, &old), Vec::<String>::new());
    }
}
