//! What a cache shall be.
//!
//! The defaults are for a web application in front of a relational database; the crate's README says
//! why each is what it is.

use super::codec::{Codec, MessagePack};
use super::key::CacheKey;
use super::metrics::Observer;
use super::ttl::{LONGEST, Ttl};
use super::{Cache, Durability};
use crate::net::Net;
use crate::routing::Target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// What a cache shall be.
#[must_use]
pub struct CacheBuilder<K: ?Sized, V> {
    net: Net,
    namespace: String,
    codec: Arc<dyn Codec<V>>,
    options: Options,
    observer: Option<Arc<dyn Observer>>,
    key: PhantomData<fn(&K)>,
}

/// What does not depend on the type of the values.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) ttl: Ttl,
    pub(super) negative_ttl: Ttl,
    pub(super) stale_for: Duration,
    pub(super) throttle: Duration,
    pub(super) soft_timeout: Option<Duration>,
    pub(super) hard_timeout: Duration,
    pub(super) lease_wait: Duration,
    pub(super) early: f64,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) target: Target,
    pub(super) loads: usize,
    pub(super) hold_off: Duration,
    pub(super) durability: Durability,
    pub(super) most_bytes: usize,
    pub(super) compress_from: Option<usize>,
    pub(super) local: Option<LocalOptions>,
    pub(super) fail_when_down: bool,
}

/// The limits of a cache's part in this process's own memory.
#[derive(Clone, Copy, Debug)]
pub struct LocalOptions {
    /// Values at most.
    pub entries: u64,
    /// Bytes at most, as they are stored.
    pub bytes: u64,
    /// How old a value may become here, whatever is heard of it.
    pub max_age: Duration,
}

impl Default for LocalOptions {
    /// 10,000 values, 64 MiB, 30 seconds.
    fn default() -> Self {
        Self { entries: 10_000, bytes: 64 << 20, max_age: Duration::from_secs(30) }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ttl: Ttl::from(Duration::from_secs(300)),
            negative_ttl: Ttl::from(Duration::from_secs(10)),
            stale_for: Duration::from_secs(3600),
            throttle: Duration::from_secs(30),
            soft_timeout: Some(Duration::from_millis(100)),
            hard_timeout: Duration::from_secs(5),
            lease_wait: Duration::from_secs(2),
            early: 1.0,
            read_timeout: Duration::from_millis(100),
            write_timeout: Duration::from_millis(250),
            target: Target::default(),
            loads: 64,
            hold_off: Duration::ZERO,
            durability: Durability::Primary,
            most_bytes: 1 << 20,
            compress_from: None,
            local: None,
            fail_when_down: false,
        }
    }
}

impl<K: ?Sized, V> std::fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = out.debug_struct("CacheBuilder");
        shown.field("namespace", &self.namespace).field("options", &self.options).finish()
    }
}

impl Net {
    /// A cache of what a database holds, under a name of its own. Values are written down with
    /// serde.
    pub fn cache<K, V>(&self, namespace: &str) -> CacheBuilder<K, V>
    where
        K: CacheKey + ?Sized,
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.cache_with(namespace, MessagePack)
    }

    /// The same with another way of writing values down.
    pub fn cache_with<K, V>(&self, namespace: &str, codec: impl Codec<V>) -> CacheBuilder<K, V>
    where
        K: CacheKey + ?Sized,
        V: Send + Sync + 'static,
    {
        CacheBuilder {
            net: self.clone(),
            // A brace would end the part of the key that chooses its slot.
            namespace: namespace.replace(['{', '}'], "_"),
            codec: Arc::new(codec),
            options: Options::default(),
            observer: None,
            key: PhantomData,
        }
    }
}

impl<K, V> CacheBuilder<K, V>
where
    K: CacheKey + ?Sized,
    V: Send + Sync + 'static,
{
    /// How long a value is fresh: 300 seconds give or take a tenth unless it is set.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.options.ttl = ttl.into();
        self
    }

    /// How long it is remembered that there is no value: 10 seconds unless it is set.
    pub fn negative_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.options.negative_ttl = ttl.into();
        self
    }

    /// How long a value that is no longer fresh is kept for when the database fails or is slow: an
    /// hour unless it is set. Zero switches stale values off.
    pub fn stale_for(mut self, time: Duration) -> Self {
        self.options.stale_for = time;
        self
    }

    /// How long nobody loads a value again after a load failed and a stale value was given instead:
    /// 30 seconds unless it is set.
    pub fn throttle(mut self, time: Duration) -> Self {
        self.options.throttle = time;
        self
    }

    /// How long a reader waits for a load when there is a stale value to give: 100 ms unless it is
    /// set; `None` waits. The load goes on.
    pub fn soft_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.soft_timeout = timeout.map(|timeout| timeout.min(LONGEST));
        self
    }

    /// How long a load may take, the wait for its turn included: 5 seconds unless it is set.
    pub fn hard_timeout(mut self, timeout: Duration) -> Self {
        self.options.hard_timeout = timeout.min(LONGEST);
        self
    }

    /// How long to wait for another process's load before loading too: 2 seconds unless it is set.
    pub fn lease_wait(mut self, time: Duration) -> Self {
        self.options.lease_wait = time.min(LONGEST);
        self
    }

    /// How eagerly values are loaded before they run out: 1 unless it is set, 0 never.
    pub fn early(mut self, beta: f64) -> Self {
        self.options.early = beta;
        self
    }

    /// How long a read of the cache may take: 100 ms unless it is set. Longer is a miss.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.options.read_timeout = timeout;
        self
    }

    /// How long a write to the cache may take: 250 ms unless it is set.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// Where reads go: to the nearest node that is at most a second behind, unless it is set.
    pub fn target(mut self, target: Target) -> Self {
        self.options.target = target;
        self
    }

    /// How many loads this process has under way at most: 64 unless it is set.
    pub fn loads(mut self, most: usize) -> Self {
        self.options.loads = most.max(1);
        self
    }

    /// How long after an invalidation nothing is stored: for loads that read a replica of the
    /// database, the lag that it may have. Zero unless it is set.
    pub fn hold_off(mut self, time: Duration) -> Self {
        self.options.hold_off = time;
        self
    }

    /// When an invalidation is done: when the primary has it, unless it is set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// The largest value that is stored, in bytes: 1 MiB unless it is set. Larger ones are given to
    /// whoever asked and counted.
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.options.most_bytes = bytes;
        self
    }

    /// Compresses values of so many bytes and more with LZ4, where that makes them smaller; none unless
    /// it is set. Other processes need the feature `compression` too before the first of them does so:
    /// without it they take such values for missing.
    #[cfg(feature = "compression")]
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.options.compress_from = Some(bytes);
        self
    }

    /// Keeps values in this process's own memory too, for as long as nobody changes them.
    pub fn local(mut self, options: LocalOptions) -> Self {
        let max_age = options.max_age.min(LONGEST);
        self.options.local = Some(LocalOptions { max_age, ..options });
        self
    }

    /// Fails when the cache is down, instead of loading.
    pub fn fail_when_down(mut self, fail: bool) -> Self {
        self.options.fail_when_down = fail;
        self
    }

    /// Who is told what happens.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The cache. Has to be called in a tokio runtime.
    pub fn build(self) -> Cache<K, V> {
        Cache::new(self.net, &self.namespace, self.codec, self.options, self.observer)
    }
}
