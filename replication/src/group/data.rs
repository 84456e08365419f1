//! What the group needs of the node that it decides about, and what the node needs of the group.

use super::config::{Incarnation, Member, NodeId};
use crate::ReplicationId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of which history a node holds. Of two, the one with the greater `(epoch, offset)` holds
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataPosition {
    /// The life of the data set.
    pub incarnation: Incarnation,
    /// The latest epoch of which it holds all that the primary had when it began to lead; for a life
    /// that was part of no epoch before, all that the primary had when it let this one in. A replica
    /// that goes on in an epoch is part of an earlier one until it has got so far: who is at the same
    /// offset and was never behind may hold writes there that this one lacks.
    pub epoch: u64,
    /// The history.
    pub replid: ReplicationId,
    /// The place in it.
    pub offset: u64,
}

/// A replica as its primary sees it. Only one whose link was made in the primary's epoch counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its name, as it said it in the handshake.
    pub id: NodeId,
    /// The life of its data set, as it said.
    pub incarnation: Incarnation,
    /// What it acknowledged.
    pub acked_offset: u64,
    /// Milliseconds since it last acknowledged anything.
    pub silent_ms: u64,
}

/// Who has to have a write before its reply leaves: a majority of *each* of these sets, the primary
/// itself included. There is one more while a change of who is in sync is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckSets(pub Vec<AckSet>);

/// Who counts, in which life; in any where none is named. A replica that lost its memory and was given
/// all data again is not the one that the group counts on, until the group says so: what it
/// acknowledges is no help to an election that asks who kept what.
pub type AckSet = BTreeMap<NodeId, Option<Incarnation>>;

/// Until when a primary may let replies to writes leave; 0 for not at all. In nanoseconds of the
/// clock that goes on while the machine sleeps (CLOCK_BOOTTIME).
///
/// Written by the driver, read where a reply is flushed.
#[derive(Debug, Default)]
pub struct Lease(AtomicU64);

impl Lease {
    /// Whether it is held at a time. At its last nanosecond it is not.
    #[inline]
    pub fn is_held(&self, boottime_nanos: u64) -> bool {
        boottime_nanos < self.0.load(Ordering::Acquire)
    }

    /// When it ends.
    pub fn end_nanos(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Holds it until then, or gives it up with 0.
    pub fn set_end(&self, boottime_nanos: u64) {
        self.0.store(boottime_nanos, Ordering::Release);
    }
}

/// The node as the group sees it: all a driver may do to data. None of it waits for a network or a
/// disk; each takes effect before it returns.
pub trait DataNode: Send + Sync + 'static {
    /// What it holds.
    fn position(&self) -> DataPosition;

    /// Ends whatever the node does as a primary or replica: its link is cut, writes are refused with
    /// -READONLY. From the return on nothing more is applied, and nothing beyond the position that
    /// is returned was or will be acknowledged to a primary of an older epoch.
    fn freeze(&self) -> DataPosition;

    /// Becomes the primary of `epoch`: the history gets a new name, the backlog stays, so that who
    /// follows can go on. Writes are let in and replies let out only under the lease.
    fn lead(&self, epoch: u64, in_sync: &AckSets);

    /// Follows the primary of `epoch`, as far as it can by going on where it is. What the node alone
    /// has beyond the fork is kept in a file that an event names.
    fn follow(&self, epoch: u64, primary: &Member);

    /// Says who counts for acknowledgements from now on.
    fn set_in_sync(&self, in_sync: &AckSets);

    /// The replicas whose links were made in this epoch.
    fn followers(&self) -> Vec<Follower>;

    /// Holds new writes back (true), or lets them go on (false): they wait, nobody is told. With true
    /// it returns the offset at which everything ends that was let in before.
    fn hold_writes(&self, hold: bool) -> u64;

    /// After a handover: writes that wait and connections that come to rest are passed on to the
    /// new primary instead of being refused.
    fn hand_over(&self, epoch: u64, primary: &Member);

    /// Whether replies to writes wait for who counts.
    fn awaits_acks(&self) -> bool;
}
