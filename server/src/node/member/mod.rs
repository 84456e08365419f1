//! What makes a node one that a group can fence, lead and move.
//!
//! A member does not know by itself whether it is a primary or whose replica it is: its group's
//! driver tells it, through [`DataNode`](larder_replication::group::data::DataNode). It starts
//! undecided: it refuses writes and lets nobody follow it, whatever its file says.
//!
//! ```text
//! data     what the driver may do: freeze, lead, follow, hold writes, hand over
//! acks     who has what of the log, of those who count
//! fence    whether the reply to a write may leave
//! link     what replicas and primaries of one group make sure of before data goes between them
//! lost     what a node alone has beyond a fork, kept in a file
//! relay    connections that go on at another node after a handover
//! handback relayed connections come back when that node hands over in turn
//! ticket   what lets a relayed connection in
//! ```
//!
//! Invariant: role, epoch and history change together, while all shards are held, so whoever holds a
//! shard sees one of each. And a reply to a write leaves only while the lease is held, which is asked
//! where replies are written to their sockets.

pub mod acks;
mod data;
mod fence;
mod handback;
pub(super) mod link;
mod lost;
pub mod relay;
pub mod ticket;

pub use data::MemberNode;
pub(crate) use fence::{Fence, Verdict};
pub(crate) use handback::Mark;
pub(crate) use link::PING_MS;
pub(super) use link::{PATIENCE, WAITS};

use super::failover;
use super::shared::Shared;
use acks::Acked;
use larder_protocol::CommandError;
use larder_replication::ReplicationId;
use larder_replication::group::config::{Incarnation, NodeId};
use larder_replication::group::data::{AckSets, Lease};
use larder_replication::group::network::{FaultyStream, Network};
use parking_lot::Mutex;
use relay::Relay;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// What a member tells its supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// Another member knows a later epoch than this one.
    HigherEpoch {
        /// The epoch.
        epoch: u64,
    },
    /// What this node alone had beyond the fork is in a file, and not in the data any more.
    LostWrites {
        /// The file: commands as the append-only file has them.
        path: PathBuf,
        /// The offset of the first byte.
        from: u64,
        /// The offset after the last one.
        to: u64,
        /// Whether all of it was there; otherwise the beginning is missing.
        is_whole: bool,
    },
    /// The file could not be written; the node keeps its data and tries again.
    LostWritesUnsaved {
        /// Why.
        reason: String,
    },
}

type OnEvent = dyn Fn(MemberEvent) + Send + Sync;
type OnFailover = dyn Fn(&failover::Request) -> Result<(), CommandError> + Send + Sync;

/// What makes a node a member of a group.
#[derive(Clone)]
pub struct MemberOptions {
    group: String,
    node: NodeId,
    lease: Arc<Lease>,
    secret: Arc<[u8]>,
    lost_writes_dir: PathBuf,
    beat: Duration,
    on_event: Option<Arc<OnEvent>>,
    on_failover: Option<Arc<OnFailover>>,
    network: Option<Network>,
}

impl MemberOptions {
    /// A member `node` of `group` that lets replies to writes leave while `lease` is held. The
    /// secret is what all members share; without one no connection is relayed at a handover.
    pub fn new(group: &str, node: NodeId, lease: Arc<Lease>, secret: &[u8]) -> Self {
        Self {
            group: group.to_owned(),
            node,
            lease,
            secret: Arc::from(secret),
            lost_writes_dir: PathBuf::from("."),
            beat: Duration::from_millis(256),
            on_event: None,
            on_failover: None,
            network: None,
        }
    }

    /// A network with faults that the node's link to its primary goes through.
    pub fn network(self, network: Network) -> Self {
        Self { network: Some(network), ..self }
    }

    /// The folder for files of writes that the group never got.
    pub fn lost_writes_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { lost_writes_dir: dir.into(), ..self }
    }

    /// How long a replica that gets nothing is silent between two acknowledgements; 256 ms unless told.
    pub fn beat(self, beat: Duration) -> Self {
        Self { beat, ..self }
    }

    /// Who is told of events. It is called on the node's threads, so it must be short.
    pub fn on_event(self, then: impl Fn(MemberEvent) + Send + Sync + 'static) -> Self {
        Self { on_event: Some(Arc::new(then)), ..self }
    }

    /// Who answers FAILOVER; without one it is refused. It must not wait for the failover.
    pub fn on_failover(
        self,
        then: impl Fn(&failover::Request) -> Result<(), CommandError> + Send + Sync + 'static,
    ) -> Self {
        Self { on_failover: Some(Arc::new(then)), ..self }
    }
}

impl std::fmt::Debug for MemberOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, node, lost_writes_dir, beat, .. } = self;
        let mut shown = f.debug_struct("MemberOptions");
        shown.field("group", group).field("node", node).field("lost_writes_dir", lost_writes_dir);
        shown.field("beat", beat);
        shown.finish_non_exhaustive()
    }
}

/// A node's place in its group.
pub struct Membership {
    options: MemberOptions,
    incarnation: Incarnation,
    /// The epoch in which it leads; 0 while it does not.
    leads: AtomicU64,
    /// The epoch in which it led last: acknowledgements of that epoch count.
    led: AtomicU64,
    /// Whether there is somebody to relay connections to, for those who only look.
    relays: AtomicBool,
    /// Whether clients know already that it is not held; nobody has to be told then.
    is_fenced: AtomicBool,
    /// Somebody waits for the lease.
    awaits_lease: Notify,
    state: Mutex<State>,
    sets: Mutex<AckSets>,
    acked: Mutex<Acked>,
}

/// What changes while all shards are held.
#[derive(Default)]
struct State {
    /// The latest epoch that the driver spoke of.
    epoch: u64,
    /// The latest epoch of which the data has all that its primary began with.
    data_epoch: u64,
    /// The epoch of the stream that the data is part of, and the offset from which on it has all that
    /// makes it one of that epoch.
    joins: (u64, u64),
    /// The member whose replica this node is to be.
    follows: Option<NodeId>,
    /// Where connections go after a handover.
    relay: Option<Arc<Relay>>,
    /// Until when writes wait, by the monotonic clock in nanoseconds.
    held: Option<u64>,
    /// Whether they wait for a handover, and not for the lease.
    is_handover: bool,
    /// The history whose end was kept in a file, and that end.
    kept: Option<(ReplicationId, u64)>,
    /// Whether it was told that a file cannot be written.
    is_unsaved: bool,
}

impl Membership {
    pub(super) fn new(options: MemberOptions) -> Self {
        let mut life = [0; 16];
        // Two lives must not share a number; without the system's randomness nothing else works.
        if getrandom::fill(&mut life).is_err() {
            life = u128::from(fastrand::u64(..)).to_le_bytes();
        }
        Self {
            options,
            incarnation: Incarnation(u128::from_le_bytes(life)),
            leads: AtomicU64::new(0),
            led: AtomicU64::new(0),
            relays: AtomicBool::new(false),
            is_fenced: AtomicBool::new(true),
            awaits_lease: Notify::new(),
            state: Mutex::default(),
            sets: Mutex::default(),
            acked: Mutex::default(),
        }
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.options.group
    }

    /// This node's name in it.
    pub fn node(&self) -> &NodeId {
        &self.options.node
    }

    /// The epoch in which this node leads.
    #[inline]
    pub fn leads(&self) -> Option<u64> {
        Some(self.leads.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// Whether it leads and holds the lease.
    pub fn is_in_charge(&self, node: &Shared) -> bool {
        let is_held =
            self.leads().is_some() && self.options.lease.is_held(node.clock.boottime_nanos());
        if is_held && self.is_fenced.load(Ordering::Relaxed) {
            self.is_fenced.store(false, Ordering::Relaxed);
        }
        is_held
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.options.secret
    }

    /// Puts a connection to the primary under the faults of the network, where there are such.
    pub(super) fn through_network(
        &self,
        socket: TcpStream,
    ) -> Result<FaultyStream<TcpStream>, TcpStream> {
        let primary = self.state.lock().follows.clone();
        match (&self.options.network, primary) {
            (Some(network), Some(primary)) => Ok(network.wrap(self.node(), &primary, socket)),
            _ => Err(socket),
        }
    }

    fn tell(&self, event: MemberEvent) {
        if let Some(then) = &self.options.on_event {
            then(event);
        }
    }

    /// What a command that would change the role is answered.
    pub fn refusal(&self) -> CommandError {
        CommandError::custom(format!(
            "ERR this node is a member of the group {}, which decides who is primary",
            self.options.group
        ))
    }

    /// FAILOVER, as far as the group has it.
    ///
    /// # Errors
    /// The group's, or that there is nobody to ask.
    pub fn failover(&self, request: &failover::Request) -> Result<(), CommandError> {
        match &self.options.on_failover {
            Some(then) => then(request),
            None => Err(self.refusal()),
        }
    }
}

impl Shared {
    /// The node's place in a group, if it has one.
    #[inline]
    pub fn member(&self) -> Option<&Membership> {
        self.member.as_deref()
    }
}

#[cfg(test)]
mod tests;
