//! A group at a moment, for programs that run one.

use larder_replication::group::config::GroupConfig;
use std::net::SocketAddr;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    /// It takes writes.
    Primary,
    /// It follows the primary.
    Replica,
    /// It votes and holds no data.
    Witness,
}

/// One node of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub zone: String,
    /// What the group has agreed that it is.
    pub role: NodeRole,
    /// Where it takes connections of clients; a witness takes none.
    pub address: Option<SocketAddr>,
    /// Whether a new primary may be chosen from it and others, and it has all that the present one
    /// began with.
    pub in_sync: bool,
    /// Whether it runs.
    pub is_running: bool,
}

/// A group at a moment: the latest that any of its members knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// Grows with each change of the primary.
    pub epoch: u64,
    /// The primary's name.
    pub primary: Option<String>,
    /// All nodes by name.
    pub nodes: Vec<NodeView>,
    /// The zone without power.
    pub interrupted_zone: Option<String>,
    /// The number of the latest event.
    pub last_event: u64,
}

impl GroupView {
    /// The group of a configuration. Of each node by its name, `is_running` says whether it runs, and
    /// `is_in_sync` whether what it holds now is in sync: what it held in an earlier life may be so in
    /// a configuration that is remembered.
    pub(super) fn new(
        config: &GroupConfig,
        is_running: impl Fn(&str) -> bool,
        is_in_sync: impl Fn(&str) -> bool,
    ) -> Self {
        let node = |member: &larder_replication::group::config::Member| NodeView {
            id: member.id.0.clone(),
            zone: member.zone.0.clone(),
            role: match member.client_address {
                None => NodeRole::Witness,
                Some(_) if config.primary.as_ref() == Some(&member.id) => NodeRole::Primary,
                Some(_) => NodeRole::Replica,
            },
            address: member.client_address,
            in_sync: is_in_sync(&member.id.0),
            is_running: is_running(&member.id.0),
        };
        Self {
            epoch: config.epoch,
            primary: config.primary.as_ref().map(|id| id.0.clone()),
            nodes: config.members.values().map(node).collect(),
            interrupted_zone: config.interrupted.as_ref().map(|zone| zone.0.clone()),
            last_event: config.events.last().map_or(0, |event| event.number),
        }
    }

    /// A node by its name.
    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether the primary runs and all replicas are in sync with it.
    pub fn is_whole(&self) -> bool {
        let mut with_data = self.nodes.iter().filter(|node| node.role != NodeRole::Witness);
        self.primary.is_some() && with_data.all(|node| node.in_sync && node.is_running)
    }
}
