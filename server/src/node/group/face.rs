//! What a node's commands, metrics and INFO know of the node's group, and what they may ask of it.
//!
//! The supervisor of the member writes it, whoever answers a client reads it. Invariant: of two
//! configurations the face shows the later one, so no client sees the group go back in time on one
//! node.

use crate::config::PrimaryAddress;
use crate::node::failover;
use larder_protocol::CommandError;
use larder_replication::group::config::{GroupConfig, Member, NodeId, Zone};
use larder_replication::group::data::Lease;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Wishes that wait for the supervisor; a group does one thing at a time anyway.
const MAX_WISHES: usize = 16;

/// What a client may wish from a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Another primary: this one, or the replica that has most.
    Failover(Option<NodeId>),
    /// That the primary's node loses its power for a moment.
    TestFailover,
    /// That a zone loses its power for a time.
    InterruptZone {
        /// The zone.
        zone: Zone,
        /// How long.
        for_ms: u64,
    },
    /// Another member.
    AddNode(Member),
    /// One member less.
    RemoveNode(NodeId),
    /// That all nodes start anew, one after another.
    Restart,
}

impl Request {
    /// What an event calls it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Failover(None) => "Failover".to_owned(),
            Self::Failover(Some(id)) => format!("Failover to replica node {id}"),
            Self::TestFailover => "Test failover".to_owned(),
            Self::InterruptZone { zone, .. } => {
                format!("Power interruption of availability zone {zone}")
            }
            Self::AddNode(member) => format!("Addition of cache node {}", member.id),
            Self::RemoveNode(id) => format!("Removal of cache node {id}"),
            Self::Restart => "Restart of all cache nodes".to_owned(),
        }
    }
}

/// What the failovers of a group were like, as far as this member was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failovers {
    /// From the loss of the last primary to the next one.
    pub last: Duration,
    /// The longest.
    pub longest: Duration,
    /// All together.
    pub total: Duration,
}

impl Failovers {
    /// Counts one more.
    pub fn add(&mut self, took: Duration) {
        self.last = took;
        self.longest = self.longest.max(took);
        self.total += took;
    }
}

/// A group as one of its members shows it.
#[derive(Debug)]
pub struct Face {
    /// The group's name.
    pub name: String,
    /// This member.
    pub me: NodeId,
    /// Until when this node may acknowledge writes.
    pub lease: Arc<Lease>,
    /// For how long a primary may be silent before the others look for another one.
    pub down_after: Duration,
    config: RwLock<Arc<GroupConfig>>,
    failovers: Mutex<Failovers>,
    wishes: Sender<Request>,
}

impl Face {
    /// The face of a member, and what clients wish from it.
    pub fn new(
        name: String,
        me: NodeId,
        lease: Arc<Lease>,
        down_after: Duration,
    ) -> (Self, Receiver<Request>) {
        let (wishes, wished) = channel(MAX_WISHES);
        let face = Self {
            name,
            me,
            lease,
            down_after,
            config: RwLock::default(),
            failovers: Mutex::default(),
            wishes,
        };
        (face, wished)
    }

    /// What the group has agreed on, as far as this member knows.
    pub fn config(&self) -> Arc<GroupConfig> {
        Arc::clone(&self.config.read())
    }

    /// Shows what was agreed on since; gives what was shown before, or nothing if that was newer.
    pub fn show(&self, config: &Arc<GroupConfig>) -> Option<Arc<GroupConfig>> {
        let mut shown = self.config.write();
        if age(config) < age(&shown) {
            return None;
        }
        Some(std::mem::replace(&mut *shown, Arc::clone(config)))
    }

    /// What failovers there were.
    pub fn failovers(&self) -> Failovers {
        *self.failovers.lock()
    }

    /// Counts a failover.
    pub fn add_failover(&self, took: Duration) {
        self.failovers.lock().add(took);
    }

    /// Asks for what FAILOVER was told. The group knows when to give up by itself.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and an address at which the group has no node.
    pub fn ask_failover(&self, told: &failover::Request) -> Result<(), CommandError> {
        let is_at = |member: &&Member, target: &PrimaryAddress| {
            member.client_address.is_some_and(|address| {
                address.port() == target.port && address.ip().to_string() == target.host
            })
        };
        let config = self.config();
        let target = told.target.as_ref().map(|target| {
            let member = config.members.values().find(|member| is_at(member, target));
            member.map(|member| member.id.clone()).ok_or(CommandError::FAILOVER_NOT_A_REPLICA)
        });
        self.ask(Request::Failover(target.transpose()?))
    }

    /// Asks for something, if it can be.
    ///
    /// # Errors
    /// What is known to be impossible, and more wishes than a group can take.
    pub fn ask(&self, request: Request) -> Result<(), CommandError> {
        possible(&self.config(), &request).map_err(CommandError::custom)?;
        let busy = "ERR the group is busy with what was asked of it before";
        self.wishes.try_send(request).map_err(|_| CommandError::from_static(busy))
    }
}

/// Which of two configurations is the later one.
pub(super) fn age(config: &GroupConfig) -> (u64, u64) {
    (config.revision, config.events.last().map_or(0, |event| event.number))
}

/// Whether a group as it is could do it; if not, why.
///
/// # Errors
/// The text for the client.
pub fn possible(config: &GroupConfig, request: &Request) -> Result<(), String> {
    let unknown = |id: &NodeId| format!("ERR the group has no node {id}");
    match request {
        Request::Failover(target) => {
            let primary = config.primary.as_ref().ok_or("ERR the group has no primary now")?;
            let Some(target) = target else {
                return has_other(config, primary);
            };
            let member = config.members.get(target).ok_or_else(|| unknown(target))?;
            if member.client_address.is_none() {
                return Err(format!("ERR {target} is a witness and holds no data"));
            }
            if target == primary {
                return Err(format!("ERR {target} is the primary already"));
            }
            if !config.in_sync.contains_key(target) {
                return Err(format!("ERR {target} is not in sync with the primary"));
            }
            Ok(())
        }
        Request::TestFailover => {
            let primary = config.primary.as_ref().ok_or("ERR the group has no primary now")?;
            has_other(config, primary)
        }
        Request::InterruptZone { zone, .. } => can_interrupt(config, zone),
        Request::AddNode(member) => {
            if config.members.contains_key(&member.id) {
                return Err(format!("ERR the group has a node {} already", member.id));
            }
            Ok(())
        }
        Request::RemoveNode(id) => {
            config.members.get(id).ok_or_else(|| unknown(id))?;
            if config.primary.as_ref() == Some(id) {
                return Err(format!("ERR {id} is the primary; GROUP FAILOVER first"));
            }
            Ok(())
        }
        Request::Restart => {
            let primary = config.primary.as_ref().ok_or("ERR the group has no primary now")?;
            has_other(config, primary)
        }
    }
}

fn has_other(config: &GroupConfig, primary: &NodeId) -> Result<(), String> {
    if config.in_sync.keys().any(|id| id != primary) {
        return Ok(());
    }
    Err("ERR no replica is in sync with the primary".to_owned())
}

/// One zone at a time, and never so many voters that nobody could decide any more.
fn can_interrupt(config: &GroupConfig, zone: &Zone) -> Result<(), String> {
    if let Some(other) = &config.interrupted {
        return Err(format!("ERR zone {other} is interrupted already"));
    }
    let inside = config.members.values().filter(|member| member.zone == *zone).count();
    if inside == 0 {
        return Err(format!("ERR the group has no node in zone {zone}"));
    }
    if (config.members.len() - inside) * 2 <= config.members.len() {
        return Err(format!("ERR without zone {zone} the group has no majority"));
    }
    Ok(())
}
