//! How the configuration changes: the group's state machine.
//!
//! Invariant: the result depends on the configuration and the change alone, so that all members come
//! to the same one. A change says what it was made from; if that is not so any more it is refused and
//! nothing changes.

use super::config::{GroupConfig, Incarnation, Member, NodeId, Zone};
use super::event::{Event, Source};
use super::voter::MAX_LEAP;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Events that are kept; older ones are forgotten.
const MAX_EVENTS: usize = 1000;
/// The longest text of an event that is taken, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// Members that a group may have: ElastiCache's six nodes, and as many witnesses.
pub const MAX_MEMBERS: usize = 12;

/// ElastiCache's name of the only node group of such a group.
const NODE_GROUP: &str = "0001";

/// Why there is another primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The one before was lost.
    Lost,
    /// The one before handed over.
    Planned,
    /// It is the same one, which needs a new epoch.
    Again,
    /// The one before was lost, and so was the memory of these, so that acknowledged writes may be.
    Cold(Vec<NodeId>),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The group begins.
    Found {
        /// Its name.
        name: String,
        /// Its members.
        members: Vec<Member>,
        /// Zones from the most to the least wanted.
        zone_order: Vec<Zone>,
        /// When.
        unix_ms: i64,
    },
    /// There is a primary of a new epoch.
    Elect {
        /// The epoch that ends.
        from: u64,
        /// The revision of the configuration that the choice was made from.
        revision: u64,
        /// The epoch that begins.
        to: u64,
        /// Its primary.
        primary: NodeId,
        /// Who is in sync with it.
        in_sync: BTreeMap<NodeId, Incarnation>,
        /// Why.
        why: Why,
        /// When.
        unix_ms: i64,
    },
    /// Other replicas are in sync.
    SetInSync {
        /// The epoch whose primary says so.
        epoch: u64,
        /// The revision of the configuration that it says so of.
        revision: u64,
        /// Who is.
        to: BTreeMap<NodeId, Incarnation>,
    },
    /// A zone loses its power.
    Interrupt {
        /// The zone.
        zone: Zone,
        /// For how long, in milliseconds.
        duration_ms: u64,
        /// When.
        unix_ms: i64,
    },
    /// It has it back.
    EndInterruption {
        /// Which interruption ends.
        number: u64,
        /// When.
        unix_ms: i64,
    },
    /// There is another member.
    Join {
        /// Who.
        member: Member,
        /// When.
        unix_ms: i64,
    },
    /// A member shall go.
    Leave {
        /// Who.
        id: NodeId,
    },
    /// It is gone.
    Left {
        /// Who.
        id: NodeId,
        /// When.
        unix_ms: i64,
    },
    /// Something happened.
    Note {
        /// To what.
        source: Source,
        /// What.
        message: String,
        /// When.
        unix_ms: i64,
    },
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It was made from something that is not so any more.
    #[error("the group has changed meanwhile")]
    Stale,
    /// It makes no sense for this group.
    #[error("{0}")]
    Senseless(String),
}

fn senseless(text: impl Into<String>) -> Refusal {
    Refusal::Senseless(text.into())
}

impl Change {
    /// ElastiCache's event of a call of TestFailover.
    pub fn test_failover(group: &str, unix_ms: i64) -> Self {
        let message = format!("Test Failover API called for node group {NODE_GROUP}");
        Self::Note { source: Source::ReplicationGroup(group.to_owned()), message, unix_ms }
    }
}

impl GroupConfig {
    /// Applies a change.
    ///
    /// # Errors
    /// The change is refused; the configuration stays as it was.
    pub fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::Found { name, members, zone_order, unix_ms } => {
                self.found(name, members, zone_order, *unix_ms)
            }
            Change::Elect { from, revision, to, primary, in_sync, why, unix_ms } => {
                if self.revision != *revision {
                    return Err(Refusal::Stale);
                }
                self.elect((*from, *to), primary, in_sync, why, *unix_ms)
            }
            Change::SetInSync { epoch, revision, to } => self.set_in_sync(*epoch, *revision, to),
            Change::Interrupt { zone, duration_ms, unix_ms } => {
                self.interrupt(zone, *duration_ms, *unix_ms)
            }
            Change::EndInterruption { number, unix_ms } => self.end_interruption(*number, *unix_ms),
            Change::Join { member, unix_ms } => self.join(member, *unix_ms),
            Change::Leave { id } => self.leave(id),
            Change::Left { id, unix_ms } => self.left(id, *unix_ms),
            Change::Note { source, message, unix_ms } => {
                let (Source::ReplicationGroup(about) | Source::CacheCluster(about)) = source;
                if message.len().max(about.len()) > MAX_TEXT_BYTES {
                    return Err(senseless("the text of an event is too long"));
                }
                self.note(source.clone(), message.clone(), *unix_ms);
                Ok(())
            }
        }
    }

    fn found(
        &mut self,
        name: &str,
        members: &[Member],
        zone_order: &[Zone],
        unix_ms: i64,
    ) -> Result<(), Refusal> {
        if !self.members.is_empty() {
            return Err(Refusal::Stale);
        }
        if members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(senseless(format!("a group has 1 to {MAX_MEMBERS} members")));
        }
        self.name = name.to_owned();
        self.members = members.iter().map(|one| (one.id.clone(), one.clone())).collect();
        self.zone_order = zone_order.to_vec();
        self.has_other_members();
        self.note_group(format!("Replication group {name} created"), unix_ms);
        Ok(())
    }

    fn elect(
        &mut self,
        (from, to): (u64, u64),
        primary: &NodeId,
        in_sync: &BTreeMap<NodeId, Incarnation>,
        why: &Why,
        unix_ms: i64,
    ) -> Result<(), Refusal> {
        if self.epoch != from || to <= from || to - from > MAX_LEAP {
            return Err(Refusal::Stale);
        }
        let is_data = |id: &NodeId| {
            self.members.get(id).is_some_and(|member| member.client_address.is_some())
        };
        if !in_sync.contains_key(primary) || !in_sync.keys().all(is_data) {
            return Err(Refusal::Stale);
        }
        let old = self.primary.replace(primary.clone());
        self.epoch = to;
        self.revision += 1;
        self.in_sync = in_sync.clone();
        self.is_planned = matches!(why, Why::Planned | Why::Again);
        let old = old.filter(|old| old != primary);
        if let Some(old) = &old {
            let text =
                format!("Failover from primary node {old} to replica node {primary} completed");
            self.note_node(primary, text.clone(), unix_ms);
            self.note_group(text, unix_ms);
            self.failovers += u64::from(!self.is_planned);
        }
        if let Why::Cold(lost) = why {
            let lost: Vec<&str> = lost.iter().map(|id| id.0.as_str()).collect();
            let text = format!(
                "Acknowledged writes may be lost: cache nodes {} came back without their data",
                lost.join(", ")
            );
            self.note_group(text, unix_ms);
        }
        Ok(())
    }

    fn set_in_sync(
        &mut self,
        epoch: u64,
        revision: u64,
        to: &BTreeMap<NodeId, Incarnation>,
    ) -> Result<(), Refusal> {
        if self.epoch == epoch && self.in_sync == *to {
            return Ok(());
        }
        if self.epoch != epoch || self.revision != revision {
            return Err(Refusal::Stale);
        }
        let has_primary = self.primary.as_ref().is_some_and(|id| to.contains_key(id));
        if !has_primary || !to.keys().all(|id| self.members.contains_key(id)) {
            return Err(Refusal::Stale);
        }
        self.in_sync = to.clone();
        self.revision += 1;
        Ok(())
    }

    fn interrupt(&mut self, zone: &Zone, duration_ms: u64, unix_ms: i64) -> Result<(), Refusal> {
        if let Some(other) = &self.interrupted {
            return Err(senseless(format!("zone {other} is interrupted, and only one may be")));
        }
        let within = self.members.values().filter(|member| member.zone == *zone).count();
        if within == 0 {
            return Err(senseless(format!("no node of the group is in zone {zone}")));
        }
        if self.members.len() - within < self.majority() {
            return Err(senseless(format!(
                "without zone {zone} the group has no majority of its members"
            )));
        }
        self.interrupted = Some(zone.clone());
        self.interruptions += 1;
        self.interruption_ms = duration_ms;
        self.note_group(format!("Power of availability zone {zone} interrupted"), unix_ms);
        Ok(())
    }

    fn end_interruption(&mut self, number: u64, unix_ms: i64) -> Result<(), Refusal> {
        if self.interruptions != number {
            return Err(Refusal::Stale);
        }
        let zone = self.interrupted.take().ok_or(Refusal::Stale)?;
        self.note_group(format!("Power of availability zone {zone} restored"), unix_ms);
        Ok(())
    }

    fn join(&mut self, member: &Member, unix_ms: i64) -> Result<(), Refusal> {
        if self.members.contains_key(&member.id) {
            return Err(senseless(format!("{} is a member already", member.id)));
        }
        if self.members.is_empty() || self.members.len() >= MAX_MEMBERS {
            return Err(senseless(format!("a group has 1 to {MAX_MEMBERS} members")));
        }
        self.members.insert(member.id.clone(), member.clone());
        self.has_other_members();
        let text = format!("Added cache node {} in availability zone {}", member.id, member.zone);
        self.note_node(&member.id, text, unix_ms);
        Ok(())
    }

    fn leave(&mut self, id: &NodeId) -> Result<(), Refusal> {
        if !self.members.contains_key(id) {
            return Err(senseless(format!("{id} is no member")));
        }
        if self.primary.as_ref() == Some(id) {
            return Err(senseless(format!("{id} is the primary: fail over to another node first")));
        }
        if self.leaving.as_ref().is_some_and(|leaving| leaving != id) {
            return Err(senseless("another member is about to leave"));
        }
        self.leaving = Some(id.clone());
        Ok(())
    }

    fn left(&mut self, id: &NodeId, unix_ms: i64) -> Result<(), Refusal> {
        if self.leaving.as_ref() != Some(id) || self.in_sync.contains_key(id) {
            return Err(Refusal::Stale);
        }
        self.leaving = None;
        self.members.remove(id);
        self.has_other_members();
        self.note_node(id, format!("Removed cache node {id}"), unix_ms);
        Ok(())
    }

    fn has_other_members(&mut self) {
        self.membership += 1;
        self.revision += 1;
    }

    fn note_node(&mut self, id: &NodeId, message: String, unix_ms: i64) {
        self.note(Source::CacheCluster(id.0.clone()), message, unix_ms);
    }

    fn note_group(&mut self, message: String, unix_ms: i64) {
        self.note(Source::ReplicationGroup(self.name.clone()), message, unix_ms);
    }

    fn note(&mut self, source: Source, message: String, unix_ms: i64) {
        let number = self.events.last().map_or(0, |event| event.number) + 1;
        // The clocks of those who propose differ; events are in order all the same.
        let before_ms = self.events.last().map_or(i64::MIN, |event| event.unix_ms);
        self.events.push(Event { number, unix_ms: unix_ms.max(before_ms), source, message });
        if self.events.len() > MAX_EVENTS {
            self.events.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(index: u16, zone: &str) -> Member {
        Member {
            id: NodeId(format!("s-00{index}")),
            zone: Zone(zone.to_owned()),
            client_address: Some(([127, 0, 0, 1], 7000 + index).into()),
            group_address: ([127, 0, 0, 1], 8000 + index).into(),
        }
    }

    fn founded() -> GroupConfig {
        let mut config = GroupConfig::default();
        let members = vec![member(1, "a"), member(2, "b"), member(3, "c")];
        let zone_order = ["a", "b", "c"].map(|zone| Zone(zone.to_owned())).to_vec();
        let found = Change::Found { name: "s".to_owned(), members, zone_order, unix_ms: 1 };
        config.apply(&found).unwrap();
        assert_eq!(config.apply(&found), Err(Refusal::Stale));
        config
    }

    fn elect(from: u64, to: u64, index: u16, why: Why) -> Change {
        let primary = NodeId(format!("s-00{index}"));
        let in_sync = [(primary.clone(), Incarnation(1))].into();
        Change::Elect {
            from,
            revision: 1 + u64::from(from > 0),
            to,
            primary,
            in_sync,
            why,
            unix_ms: 2,
        }
    }

    fn texts(config: &GroupConfig) -> Vec<String> {
        config.events.iter().map(|event| format!("{}: {}", event.source, event.message)).collect()
    }

    #[test]
    fn of_two_elections_from_one_epoch_one_counts() {
        let mut config = founded();
        config.apply(&elect(0, 1, 1, Why::Lost)).unwrap();
        config.apply(&elect(1, 5, 2, Why::Lost)).unwrap();
        assert_eq!(config.apply(&elect(1, 4, 3, Why::Lost)), Err(Refusal::Stale));
        assert_eq!(config.apply(&elect(5, 5, 3, Why::Lost)), Err(Refusal::Stale));
        assert_eq!((config.epoch, config.primary.as_ref().unwrap().0.as_str()), (5, "s-002"));
        let text = "Failover from primary node s-001 to replica node s-002 completed";
        let expected = [
            "replication-group s: Replication group s created".to_owned(),
            format!("cache-cluster s-002: {text}"),
            format!("replication-group s: {text}"),
        ];
        assert_eq!(texts(&config), expected);
        assert_eq!(config.failovers, 1);
    }

    #[test]
    fn who_is_in_sync_changes_from_what_it_was() {
        let mut config = founded();
        config.apply(&elect(0, 1, 1, Why::Lost)).unwrap();
        let one: BTreeMap<_, _> = [(NodeId("s-001".to_owned()), Incarnation(1))].into();
        let mut two = one.clone();
        two.insert(NodeId("s-002".to_owned()), Incarnation(2));
        let set = |epoch, revision, to: &BTreeMap<_, _>| Change::SetInSync {
            epoch,
            revision,
            to: to.clone(),
        };
        assert_eq!(config.apply(&set(2, 2, &two)), Err(Refusal::Stale));
        config.apply(&set(1, 2, &two)).unwrap();
        config.apply(&set(1, 2, &two)).expect("the same again, as after a lost answer");
        config.apply(&set(1, 3, &one)).unwrap();
        assert_eq!(config.apply(&set(1, 2, &two)), Err(Refusal::Stale), "it was so before, too");
        let without_primary = [(NodeId("s-002".to_owned()), Incarnation(2))].into();
        assert_eq!(config.apply(&set(1, 4, &without_primary)), Err(Refusal::Stale));
    }

    #[test]
    fn one_zone_at_a_time_and_never_the_majority() {
        let mut config = founded();
        config.members.insert(NodeId("s-004".to_owned()), member(4, "a"));
        let interrupt = |zone: &str| Change::Interrupt {
            zone: Zone(zone.to_owned()),
            duration_ms: 60_000,
            unix_ms: 3,
        };
        assert!(config.apply(&interrupt("a")).is_err(), "two of four are no majority");
        assert!(config.apply(&interrupt("x")).is_err());
        config.apply(&interrupt("b")).unwrap();
        assert!(config.apply(&interrupt("c")).is_err());
        let end = |number| Change::EndInterruption { number, unix_ms: 4 };
        assert_eq!(config.apply(&end(2)), Err(Refusal::Stale));
        config.apply(&end(1)).unwrap();
        assert_eq!(config.apply(&end(1)), Err(Refusal::Stale));
        assert_eq!(config.interrupted, None);
    }

    #[test]
    fn who_leaves_is_not_in_sync_any_more() {
        let mut config = founded();
        config.apply(&elect(0, 1, 1, Why::Lost)).unwrap();
        assert!(config.apply(&Change::Leave { id: NodeId("s-001".to_owned()) }).is_err());
        let id = NodeId("s-003".to_owned());
        config.in_sync.insert(id.clone(), Incarnation(3));
        config.apply(&Change::Leave { id: id.clone() }).unwrap();
        let left = Change::Left { id: id.clone(), unix_ms: 5 };
        assert_eq!(config.apply(&left), Err(Refusal::Stale));
        config.in_sync.remove(&id);
        config.apply(&left).unwrap();
        assert_eq!(config.members.len(), 2);
    }

    #[test]
    fn what_an_event_is_about_is_bounded_as_its_text_is() {
        let mut config = founded();
        let before = config.clone();
        let source = Source::CacheCluster("s".repeat(MAX_TEXT_BYTES + 1));
        let note = Change::Note { source, message: String::new(), unix_ms: 3 };
        assert!(config.apply(&note).is_err());
        assert_eq!(config, before);
    }

    #[test]
    fn no_election_leaps_to_the_last_epoch() {
        let mut config = founded();
        assert_eq!(config.apply(&elect(0, u64::MAX, 1, Why::Lost)), Err(Refusal::Stale));
        config.apply(&elect(0, 1, 1, Why::Lost)).unwrap();
    }

    #[test]
    fn events_are_numbered_and_bounded() {
        let mut config = founded();
        for unix_ms in (0..2000).rev() {
            let source = Source::CacheCluster("s-001".to_owned());
            config.apply(&Change::Note { source, message: "x".to_owned(), unix_ms }).unwrap();
        }
        assert_eq!(config.events.len(), MAX_EVENTS);
        assert_eq!(config.events.last().map(|event| event.number), Some(2001));
        assert!(config.events.is_sorted_by_key(|event| event.unix_ms));
    }
}
