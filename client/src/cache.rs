//! A cache of what a database holds.
//!
//! A read looks in this process's own memory if that is wished, then at the nearest node. What it
//! does not find it asks the primary for, who gives the right to load to one process at a time: the
//! lease. An invalidation takes the lease away together with the value, so that what was read from
//! the database before it cannot be stored after it. Values that are no longer fresh stay for a
//! while, for when the database fails or is slow. When the cache is down loads go on, within a limit.
//!
//! * [`builder`]: what a cache shall be
//! * `fetch`: a read, from the first look to the load
//! * `invalidate`: everything that makes values go away
//! * `batch`: many reads at once
//! * [`load`]: what loaders are given and give
//! * `store`, `envelope`, `compression`, [`key`], [`codec`], [`ttl`]: what is sent, and what stands in
//!   the data set
//! * `flight`, `gather`, `local`, `owed`, `breaker`: one load per key, one request for many reads, own
//!   memory, what is owed, when not to ask
//! * [`metrics`]: what happened

mod batch;
mod breaker;
pub mod builder;
pub mod codec;
mod compression;
mod envelope;
mod fetch;
mod flight;
mod gather;
mod invalidate;
pub mod key;
pub mod load;
mod local;
pub mod metrics;
mod owed;
mod store;
pub mod ttl;

#[cfg(all(test, feature = "embedded"))]
mod tests;

use crate::net::{Answered, Net};
use crate::routing::token::Token;
use crate::topology::pushes::Listener;
use builder::Options;
use codec::Codec;
use envelope::Envelope;
use flight::Flights;
use key::{CacheKey, Names};
use local::Local;
use metrics::{Counts, Event, Observer, Stats};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use store::{Found, Store};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

pub use fetch::Fetch;
pub use invalidate::Invalidate;

/// A cache. Clones are the same one.
pub struct Cache<K: ?Sized, V> {
    inner: Arc<Inner<V>>,
    key: PhantomData<fn(&K)>,
}

impl<K: ?Sized, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), key: PhantomData }
    }
}

/// What the clones and the tasks of a cache share.
struct Inner<V> {
    store: Store,
    codec: Arc<dyn Codec<V>>,
    local: Arc<Local<V>>,
    /// Keeps `local` among the listeners.
    _listener: Arc<dyn Listener>,
    flights: Flights<V>,
    loads: Semaphore,
    /// Whether the namespace is known to be ready for tags.
    is_prepared: AtomicBool,
    settling: std::sync::OnceLock<AbortHandle>,
}

impl<V> Drop for Inner<V> {
    fn drop(&mut self) {
        if let Some(settling) = self.settling.get() {
            settling.abort();
        }
    }
}

/// When an invalidation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When the primary has it. A failover right after it may undo it; then it is made again as soon
    /// as it is noticed, by the process that made it.
    Primary,
    /// When so many replicas have it too; [`Invalidation::replicas`] says how many had it in time.
    Replicas {
        /// How many.
        count: u64,
        /// How long to wait for them.
        timeout: Duration,
    },
}

/// What became of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalidation {
    /// Whether it could not be made and waits to be tried again; this process takes nothing that it
    /// is about from the cache meanwhile. Others may.
    pub is_queued: bool,
    /// From where on replicas have it: with [`Target::After`](crate::Target::After) another process
    /// reads what was written.
    pub token: Option<Token>,
    /// How many replicas have it, where that was asked for.
    pub replicas: Option<u64>,
}

/// How up to date a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It was.
    Stale {
        /// How long ago it was stored.
        age: Duration,
        /// Why there is nothing better.
        reason: StaleReason,
    },
}

/// Why a value is given that is no longer fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleReason {
    /// Another process loads it.
    Loading,
    /// The load takes longer than the soft timeout.
    Slow,
    /// The load failed.
    Failed,
    /// A load failed lately.
    Throttled,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// This process's own memory.
    Local,
    /// A node.
    Node(Answered),
    /// The loader.
    Loader,
}

/// A value with what is known about it.
#[derive(Debug)]
pub struct Fetched<V> {
    /// `None` when there is no such thing.
    pub value: Option<Arc<V>>,
    /// How up to date it is.
    pub freshness: Freshness,
    /// Where it came from.
    pub origin: Origin,
    /// No earlier than this it was true.
    as_of: Instant,
}

impl<V> Clone for Fetched<V> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            freshness: self.freshness,
            origin: self.origin.clone(),
            as_of: self.as_of,
        }
    }
}

impl<K: ?Sized, V> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let namespace = self.inner.store.names.namespace();
        out.debug_struct("Cache").field("namespace", &namespace).finish_non_exhaustive()
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + ?Sized,
    V: Send + Sync + 'static,
{
    fn new(
        net: Net,
        namespace: &str,
        codec: Arc<dyn Codec<V>>,
        options: Options,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let names = Names::new(namespace);
        let local = Arc::new(Local::new(names.clone(), options.local));
        let listener: Arc<dyn Listener> = Arc::clone(&local) as Arc<dyn Listener>;
        net.listen(&listener);
        let loads = Semaphore::new(options.loads);
        let counts = Counts::new(namespace, observer);
        let inner = Arc::new(Inner {
            store: Store::new(net, names, options, counts),
            codec,
            local,
            _listener: listener,
            flights: Flights::default(),
            loads,
            is_prepared: AtomicBool::new(false),
            settling: std::sync::OnceLock::new(),
        });
        let settling = tokio::spawn(crate::journal::settle(&inner));
        // It is set once, here.
        let _ = inner.settling.set(settling.abort_handle());
        Self { inner, key: PhantomData }
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.inner.store.counts.snapshot()
    }

    /// Whether requests to the cache are held back because too many failed.
    pub fn is_down(&self) -> bool {
        self.inner.store.breaker.is_open()
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// The value of what was found; `None` when it cannot be read.
    fn decode(&self, found: &Found) -> Option<(Option<Arc<V>>, i64)> {
        let envelope = Envelope::read(&found.bytes);
        let decoded = envelope.and_then(|envelope| {
            let left_ms = envelope.fresh_until_ms.saturating_sub(found.now_ms);
            if envelope.is_nothing {
                return Some((None, left_ms));
            }
            if envelope.codec != self.codec.id() {
                return None;
            }
            let bytes = compression::value(&envelope, self.store.options.most_bytes)?;
            let value = self.codec.decode(&bytes).ok()?;
            Some((Some(Arc::new(value)), left_ms))
        });
        if decoded.is_none() {
            self.store.counts.count(Event::Undecodable);
        }
        decoded
    }
}
