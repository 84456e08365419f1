//! Whether the node is a primary, or whose replica it is and how its link does.
//!
//! Commands ask with one relaxed load; who must not be mistaken asks again while holding a shard.
//! Invariant: the role changes only while all shards are held, and with it the epoch, so whoever
//! holds a shard sees one role from beginning to end.

use crate::config::PrimaryAddress;
use larder_replication::Timeline;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use tokio::sync::Notify;

/// How far a replica's link to its primary is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It shall connect.
    #[default]
    Connect,
    /// It connects.
    Connecting,
    /// It agrees with its primary on how to go on.
    Handshake,
    /// It takes the whole data set.
    Sync,
    /// It follows the stream.
    Connected,
}

impl Stage {
    /// The word in the reply of ROLE.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }
}

/// What INFO and ROLE show of a replica's link.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// The primary, as REPLICAOF named it.
    pub primary: PrimaryAddress,
    /// How far the link is.
    pub stage: Stage,
    /// Milliseconds since the primary last sent something; none while the link is down.
    pub silent_ms: Option<i64>,
    /// The full sync that is under way.
    pub sync: Option<SyncView>,
    /// Offset of what was received; at least that of what was applied.
    pub read_offset: u64,
    /// For how many milliseconds something waits to be applied that arrived: 0 while nothing does.
    pub lag_ms: u64,
    /// Milliseconds since the link went down; none while it is up or was never.
    pub down_ms: Option<i64>,
    /// Whether a data set that was received is being loaded.
    pub is_loading: bool,
}

/// A full sync that is under way.
#[derive(Clone, Copy, Debug)]
pub struct SyncView {
    /// Bytes that it has; 0 while or when that is unknown.
    pub total_bytes: u64,
    /// Bytes that arrived.
    pub read_bytes: u64,
    /// Milliseconds since the last of them.
    pub silent_ms: i64,
}

/// The node is a replica, or does not know whose it will be.
const REPLICA: u8 = 1;
/// A group decides about its role.
const MEMBER: u8 = 2;
/// Writes wait for what the group decides.
const HOLDS: u8 = 4;

/// A node's role.
#[derive(Debug, Default)]
pub struct Role {
    /// What is not so with a primary that belongs to nobody: one load tells commands all of it.
    flags: AtomicU8,
    is_connected: AtomicBool,
    epoch: AtomicU64,
    link: Mutex<Link>,
    changed: Notify,
    /// When the primary last sent something, in milliseconds since the Unix epoch.
    last_io_ms: AtomicI64,
    /// When the stream's offsets arrived.
    arrivals: Timeline,
    read_offset: AtomicU64,
    sync_read_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Link {
    primary: Option<PrimaryAddress>,
    stage: Stage,
    down_since_ms: Option<i64>,
    sync_total_bytes: u64,
    is_loading: bool,
    /// Whether data and offset cannot be trusted to fit, so that a full sync is due.
    is_broken: bool,
}

/// What a link's task has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The role's epoch; an older one has no say.
    pub epoch: u64,
    /// The primary to follow; none when there is nothing to do.
    pub primary: Option<PrimaryAddress>,
}

/// What gates ask.
impl Role {
    /// Whether the node is a replica.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & REPLICA != 0
    }

    /// Whether it is a primary about which no group decides.
    #[inline]
    pub fn is_free_primary(&self) -> bool {
        self.flags.load(Ordering::Relaxed) == 0
    }

    /// Whether writes wait for what the group decides.
    #[inline]
    pub fn holds_writes(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HOLDS != 0
    }

    /// Whether it is a replica whose link is down.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.is_replica() && !self.is_connected.load(Ordering::Relaxed)
    }

    /// Which role it is: grows with each change.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The primary that it follows.
    pub fn primary(&self) -> Option<PrimaryAddress> {
        self.link.lock().primary.clone()
    }

    /// How the link does; none on a primary. `offset` is that of what was applied.
    pub fn link(&self, now_ms: i64, offset: u64) -> Option<LinkView> {
        let link = self.link.lock();
        // Nobody, for a member that waits for its group to say whom it follows.
        let nobody = || self.is_replica().then(PrimaryAddress::default);
        let primary = link.primary.clone().or_else(nobody)?;
        let silent_ms = (now_ms - self.last_io_ms.load(Ordering::Relaxed)).max(0);
        let is_up = link.stage == Stage::Connected;
        let sync = (link.stage == Stage::Sync).then(|| SyncView {
            total_bytes: link.sync_total_bytes,
            read_bytes: self.sync_read_bytes.load(Ordering::Relaxed),
            silent_ms,
        });
        Some(LinkView {
            primary,
            stage: link.stage,
            silent_ms: is_up.then_some(silent_ms),
            sync,
            read_offset: self.read_offset.load(Ordering::Relaxed).max(offset),
            lag_ms: self.arrivals.behind_ms(offset, now_ms),
            down_ms: link.down_since_ms.filter(|_| !is_up).map(|since| (now_ms - since).max(0)),
            is_loading: link.is_loading,
        })
    }
}

/// Changes, made by who holds all shards.
impl Role {
    /// Becomes the replica of a primary, or of another one.
    pub fn set_primary(&self, primary: PrimaryAddress, now_ms: i64) {
        self.follow(Some(primary), now_ms);
    }

    /// Follows nobody, and is no primary: a member before its group decides.
    pub fn set_undecided(&self, now_ms: i64) {
        self.follow(None, now_ms);
    }

    fn follow(&self, primary: Option<PrimaryAddress>, now_ms: i64) {
        let mut link = self.link.lock();
        let (was_up, down_since_ms) = (link.stage == Stage::Connected, link.down_since_ms);
        let is_broken = self.is_replica() && link.is_broken;
        *link = Link { primary, is_broken, ..Link::default() };
        link.down_since_ms = if was_up { Some(now_ms) } else { down_since_ms };
        self.is_connected.store(false, Ordering::Relaxed);
        self.set(REPLICA, true);
        self.turn();
    }

    /// Becomes a primary.
    pub fn unset_primary(&self) {
        *self.link.lock() = Link::default();
        self.is_connected.store(false, Ordering::Relaxed);
        self.set(REPLICA, false);
        self.turn();
    }

    /// Belongs to a group from now on.
    pub fn set_member(&self) {
        self.set(MEMBER, true);
    }

    /// Lets writes wait, or not any more.
    pub fn set_holds_writes(&self, holds: bool) {
        self.set(HOLDS, holds);
    }

    fn set(&self, flag: u8, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }

    fn turn(&self) {
        self.read_offset.store(0, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// What the link's task tells and asks.
impl Role {
    /// What there is to do.
    pub fn task(&self) -> Task {
        let link = self.link.lock();
        Task { epoch: self.epoch(), primary: link.primary.clone() }
    }

    /// Waits until the role is another one than in `epoch`.
    pub async fn changed(&self, epoch: u64) {
        loop {
            // Made before the epoch is read: from then on it sees every change.
            let changed = self.changed.notified();
            if self.epoch() != epoch {
                return;
            }
            changed.await;
        }
    }

    /// Changes the link of `epoch`, unless the role is another one meanwhile.
    fn change(&self, epoch: u64, change: impl FnOnce(&mut Link)) {
        let mut link = self.link.lock();
        if self.epoch() == epoch {
            change(&mut link);
            let is_connected = link.primary.is_some() && link.stage == Stage::Connected;
            self.is_connected.store(is_connected, Ordering::Relaxed);
        }
    }

    /// Notes how far the link is.
    pub fn set_stage(&self, epoch: u64, stage: Stage, now_ms: i64) {
        self.last_io_ms.store(now_ms, Ordering::Relaxed);
        self.change(epoch, |link| {
            if link.stage == Stage::Connected && stage != Stage::Connected {
                link.down_since_ms = Some(now_ms);
            }
            link.stage = stage;
            link.is_loading = false;
            link.sync_total_bytes = 0;
        });
        self.sync_read_bytes.store(0, Ordering::Relaxed);
    }

    /// Notes that a data set begins to arrive and is loaded as it does.
    pub fn set_loading(&self, epoch: u64, total_bytes: u64) {
        self.change(epoch, |link| {
            link.is_loading = true;
            link.sync_total_bytes = total_bytes;
        });
    }

    /// Whether the next sync has to be a full one.
    pub fn is_broken(&self) -> bool {
        self.link.lock().is_broken
    }

    /// Notes whether data and offset can be trusted to fit.
    pub fn set_broken(&self, epoch: u64, is_broken: bool) {
        self.change(epoch, |link| link.is_broken = is_broken);
    }

    /// Notes that the primary sent something: `bytes` of a data set, or the stream up to `offset`.
    pub fn note_io(&self, now_ms: i64, progress: Progress) {
        self.last_io_ms.store(now_ms, Ordering::Relaxed);
        match progress {
            Progress::Sync(bytes) => {
                self.sync_read_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Progress::Stream(offset) => {
                self.read_offset.store(offset, Ordering::Relaxed);
                self.arrivals.note(offset, now_ms);
            }
        }
    }
}

/// What a primary sent.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// So many bytes of a data set.
    Sync(u64),
    /// The stream up to this offset.
    Stream(u64),
}
