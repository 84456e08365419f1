//! Who follows this node: its replicas, what they have, and who waits for that.
//!
//! A connection that says PSYNC or SYNC becomes a [`link`]: from then on it sends the data set, if
//! the replica needs it ([`sync`]), and then the effect log, and hears how far the replica is.
//!
//! ```text
//! link    the connection of one replica
//! sync    one snapshot for all replicas that begin together
//! acks    who waits until replicas have what it wrote
//! tick    what happens now and then: PING, timeouts, limits
//! ```
//!
//! Nothing in here holds a shard, and no registry's lock is held while another one is taken, but for
//! the log's own.

pub mod acks;
pub mod link;
pub mod sync;
mod tick;

use crate::node::clients::{Client, Peer};
use crate::node::member::ticket::CHALLENGE_BYTES;
use larder_replication::Reader;
use larder_replication::group::card::Card;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use sync::{Feed, Gathering};

/// What a replica says of itself before it asks to be one, by REPLCONF.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// The port on which it listens.
    pub port: i64,
    /// The address at which it wants to be known, instead of the one it comes from.
    pub address: Option<String>,
    /// It finds the end of a data set by a mark, so that its size need not be known before.
    pub takes_mark: bool,
    /// It understands that the history's id changes.
    pub takes_new_id: bool,
    /// It wants a data set and no stream.
    pub only_data: bool,
    /// What it said as a member of a group, as which it was let in.
    pub card: Option<Card>,
    /// The challenge that a ticket of its has to answer.
    pub challenge: Option<Box<[u8; CHALLENGE_BYTES]>>,
}

/// What a connection asked for when it became a replica's.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// SYNC: everything, without a line about where that is.
    Everything,
    /// PSYNC: what comes after this, or everything.
    After {
        /// The history it has.
        replid: Vec<u8>,
        /// The offset of the byte it wants next.
        offset: i64,
    },
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// It waits for a data set, or takes one of unknown size.
    Waits,
    /// It takes a data set whose size it was told.
    Takes,
    /// It has the data and follows the log.
    Online,
}

impl Stage {
    /// The word that INFO shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waits => "wait_bgsave",
            Self::Takes => "send_bulk",
            Self::Online => "online",
        }
    }
}

/// One replica, as all threads know it.
pub struct Replica {
    /// Its connection.
    pub client: Arc<Client>,
    /// What it said of itself.
    pub announced: Announced,
    /// Whether it tells how far it is; one that came by SYNC does not.
    pub acknowledges: bool,
    stage: AtomicU8,
    /// The offset up to which it has everything.
    acked: AtomicU64,
    /// The same for its append-only file.
    synced: AtomicU64,
    /// Whether it said how far it is since a failover last asked.
    pub has_answered: AtomicBool,
    /// When it was last heard of, in milliseconds since the Unix epoch.
    heard_ms: AtomicI64,
    /// When it last took something of a data set.
    took_ms: AtomicI64,
    /// Whether it said anything since it has the data set: then it has loaded it.
    has_loaded: AtomicBool,
    /// Whether it shall be told that it is not forgotten.
    is_due_for_newline: AtomicBool,
    feed: Feed,
    reader: Mutex<Option<Arc<Reader>>>,
}

impl Replica {
    fn new(client: Arc<Client>, announced: Announced, acknowledges: bool, now_ms: i64) -> Self {
        Self {
            client,
            announced,
            acknowledges,
            stage: AtomicU8::new(Stage::Waits as u8),
            acked: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            has_answered: AtomicBool::new(false),
            heard_ms: AtomicI64::new(now_ms),
            took_ms: AtomicI64::new(now_ms),
            has_loaded: AtomicBool::new(false),
            is_due_for_newline: AtomicBool::new(false),
            feed: Feed::default(),
            reader: Mutex::new(None),
        }
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Waits,
            1 => Stage::Takes,
            _ => Stage::Online,
        }
    }

    fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Whether it follows the log.
    pub fn is_online(&self) -> bool {
        self.stage() == Stage::Online
    }

    /// The offset up to which it said that it has everything.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// The offset up to which its append-only file is on its disk, as far as it said.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Relaxed)
    }

    /// Seconds since it was last heard of, while it is online.
    pub fn lag_s(&self, now_ms: i64) -> i64 {
        let heard_s = self.heard_ms.load(Ordering::Relaxed).div_euclid(1000);
        if self.is_online() { (now_ms.div_euclid(1000) - heard_s).max(0) } else { 0 }
    }

    /// Milliseconds since it was last heard of.
    pub fn silent_ms(&self, now_ms: i64) -> u64 {
        now_ms.saturating_sub(self.heard_ms.load(Ordering::Relaxed)).max(0) as u64
    }

    /// What it said as a member, if it follows in this epoch.
    pub fn card_of(&self, epoch: u64) -> Option<&Card> {
        self.announced.card.as_ref().filter(|card| card.epoch == epoch)
    }

    /// Where it can be reached, as far as is known.
    pub fn address(&self) -> String {
        match (&self.announced.address, &self.client.peer) {
            (Some(address), _) => address.clone(),
            (None, Peer::Tcp(remote, _)) => remote.ip().to_canonical().to_string(),
            (None, Peer::Unix(path)) => path.clone(),
            (None, Peer::InProcess) => "local".to_owned(),
        }
    }

    /// Its name in the log file.
    pub fn name(&self) -> String {
        format!("{}:{}", self.address(), self.announced.port)
    }
}

/// The replicas of a node.
#[derive(Default)]
pub struct Replicas {
    all: Mutex<Vec<Arc<Replica>>>,
    count: AtomicUsize,
    /// How many keep up, by `min-replicas-max-lag`.
    good: AtomicUsize,
    gathering: Mutex<Gathering>,
    acks: acks::Acks,
    times: Mutex<tick::Times>,
    /// Replicas that were sent everything.
    pub full_syncs: AtomicU64,
    /// Replicas that went on where they were.
    pub partial_syncs: AtomicU64,
    /// Replicas that asked to go on and could not.
    pub refused_syncs: AtomicU64,
    /// Bytes sent to replicas.
    pub sent_bytes: AtomicU64,
}

impl Replicas {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        self.all.lock().clone()
    }

    /// How many are online and keep up.
    #[inline]
    pub fn good(&self) -> usize {
        self.good.load(Ordering::Relaxed)
    }

    /// How many are online and have everything up to an offset.
    pub fn acked(&self, offset: u64) -> usize {
        let has = |replica: &&Arc<Replica>| replica.is_online() && replica.acked() >= offset;
        self.all.lock().iter().filter(has).count()
    }

    /// How many are online and have everything up to an offset on their disks.
    pub fn synced(&self, offset: u64) -> usize {
        let has = |replica: &&Arc<Replica>| replica.is_online() && replica.synced() >= offset;
        self.all.lock().iter().filter(has).count()
    }

    /// Forgets what was counted: CONFIG RESETSTAT.
    pub fn reset_counts(&self) {
        let counts = [&self.full_syncs, &self.partial_syncs, &self.refused_syncs, &self.sent_bytes];
        counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    fn add(&self, replica: Arc<Replica>) {
        let mut all = self.all.lock();
        all.push(replica);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    fn remove(&self, replica: &Arc<Replica>) {
        let mut all = self.all.lock();
        all.retain(|other| !Arc::ptr_eq(other, replica));
        self.count.store(all.len(), Ordering::Relaxed);
    }
}
