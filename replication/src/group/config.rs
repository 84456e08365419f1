//! What the members of a group have agreed on: who they are, who is primary in which epoch, who is
//! in sync.
//!
//! The configuration is the state of a small state machine that consensus replicates. It changes by
//! [`Change`]s only, and each change says what it was made from, so that one that comes too late is
//! refused instead of undoing another.

use super::event::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// The name of a node, `<group>-001`: what it keeps over restarts and replacements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an availability zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Zone(pub String);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of a data set: new whenever a node starts without what it held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u128);

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Where it stands.
    pub zone: Zone,
    /// Where clients and replicas reach it; none for a witness, which votes and holds no data.
    pub client_address: Option<SocketAddr>,
    /// Where the other members reach it.
    pub group_address: SocketAddr,
}

/// What the group has agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// The group's name; empty until it is founded.
    pub name: String,
    /// Grows with each change of the primary.
    pub epoch: u64,
    /// Grows with each change of the primary, of who is in sync and of the members, so that a change
    /// that was made from an earlier one is known, also where everything looks as it did then.
    pub revision: u64,
    /// Grows with each change of the members.
    pub membership: u64,
    /// Who may acknowledge writes in this epoch, as long as it holds the lease.
    pub primary: Option<NodeId>,
    /// Whether that primary took over from one that handed over, so that nothing is lost.
    pub is_planned: bool,
    /// How many primaries took over from another one that was lost.
    pub failovers: u64,
    /// The data sets that a new primary may be chosen from: the primary's and those of its replicas
    /// that count for acknowledgements.
    pub in_sync: BTreeMap<NodeId, Incarnation>,
    /// All members.
    pub members: BTreeMap<NodeId, Member>,
    /// Zones from the most to the least wanted, for ties.
    pub zone_order: Vec<Zone>,
    /// The zone without power, if one is interrupted.
    pub interrupted: Option<Zone>,
    /// How many interruptions there were, the present one included.
    pub interruptions: u64,
    /// How long the present one lasts, in milliseconds.
    pub interruption_ms: u64,
    /// The member that shall go as soon as it is no more in sync.
    pub leaving: Option<NodeId>,
    /// The latest events, in order; bounded.
    pub events: Vec<Event>,
}

impl GroupConfig {
    /// The members that vote: all of them.
    pub fn voters(&self) -> usize {
        self.members.len()
    }

    /// How many votes are a majority.
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// The members that hold data.
    pub fn data_members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.client_address.is_some())
    }

    /// How many of the members that hold data are a majority of them; who is about to leave does not
    /// count.
    pub fn data_majority(&self) -> usize {
        let stays = |member: &&Member| self.leaving.as_ref() != Some(&member.id);
        self.data_members().filter(stays).count() / 2 + 1
    }
}
