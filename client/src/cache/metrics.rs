//! What happened, counted.
//!
//! Every cache counts for itself; a program that has a place for metrics gives an [`Observer`]. Keys
//! are never told, only the namespace.

use super::{Freshness, StaleReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Something that happened in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A fresh value came from this process's own memory.
    LocalHit,
    /// A fresh value came from a replica.
    ReplicaHit,
    /// A fresh value came from the primary.
    PrimaryHit,
    /// What was found said that there is no value.
    NegativeHit,
    /// A read went to another zone.
    CrossZone,
    /// Nothing fresh was found at the first look.
    Miss,
    /// A value was given although it was no longer fresh: another process loads it.
    StaleLoading,
    /// The same, because the load takes longer than the soft timeout.
    StaleSlow,
    /// The same, because the load failed.
    StaleFailed,
    /// The same, because a load failed lately.
    StaleThrottled,
    /// We may load.
    LeaseGranted,
    /// Another loads.
    LeaseBusy,
    /// What we loaded was not stored: an invalidation came in between.
    FillRefused,
    /// A value was loaded before it ran out.
    Early,
    /// A load began.
    Load,
    /// A load failed.
    LoadFailed,
    /// A load took too long.
    LoadTimeout,
    /// A load began without the cache, or beside another one.
    LoadUnshared,
    /// A value was too large to be stored, or had too many tags.
    TooLarge,
    /// Stored bytes could not be read.
    Undecodable,
    /// A request to the cache failed.
    CacheError,
    /// Requests to the cache are held back from now on.
    BreakerOpened,
    /// An invalidation could not be made and waits to be tried again.
    Queued,
    /// An invalidation was made again after a failover.
    Replayed,
    /// The primary is another one, or the same with another history. Several that come at once may
    /// count as one.
    Failover,
}

impl From<StaleReason> for Event {
    fn from(reason: StaleReason) -> Self {
        match reason {
            StaleReason::Loading => Self::StaleLoading,
            StaleReason::Slow => Self::StaleSlow,
            StaleReason::Failed => Self::StaleFailed,
            StaleReason::Throttled => Self::StaleThrottled,
        }
    }
}

const EVENTS: usize = Event::Failover as usize + 1;

/// A place for metrics.
pub trait Observer: Send + Sync + 'static {
    /// Something happened in the cache of a namespace.
    fn event(&self, namespace: &str, event: Event);

    /// A load took this long.
    fn load(&self, namespace: &str, took: Duration);
}

/// The counts of one cache.
pub(super) struct Counts {
    namespace: String,
    counts: [AtomicU64; EVENTS],
    load_micros: AtomicU64,
    observer: Option<Arc<dyn Observer>>,
}

impl Counts {
    pub(super) fn new(namespace: &str, observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            load_micros: AtomicU64::new(0),
            observer,
        }
    }

    pub(super) fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.event(&self.namespace, event);
        }
    }

    /// A value was given that is so up to date.
    pub(super) fn given(&self, freshness: Freshness) {
        if let Freshness::Stale { reason, .. } = freshness {
            self.count(reason.into());
        }
    }

    pub(super) fn load(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.load_micros.fetch_add(micros, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.load(&self.namespace, took);
        }
    }

    pub(super) fn snapshot(&self) -> Stats {
        Stats {
            counts: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            load_time: Duration::from_micros(self.load_micros.load(Ordering::Relaxed)),
        }
    }
}

/// The counts of a cache at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    counts: [u64; EVENTS],
    /// What all loads took together.
    pub load_time: Duration,
}

impl Stats {
    /// How often something happened.
    pub fn of(&self, event: Event) -> u64 {
        self.counts[event as usize]
    }

    /// Values that were given although they were no longer fresh, for whatever reason.
    pub fn stale(&self) -> u64 {
        use Event::{StaleFailed, StaleLoading, StaleSlow, StaleThrottled};
        [StaleLoading, StaleSlow, StaleFailed, StaleThrottled]
            .map(|event| self.of(event))
            .iter()
            .sum()
    }

    /// Fresh values that were found, wherever.
    pub fn hits(&self) -> u64 {
        self.of(Event::LocalHit) + self.of(Event::ReplicaHit) + self.of(Event::PrimaryHit)
    }
}
