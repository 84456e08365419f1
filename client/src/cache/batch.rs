//! Many reads at once: one MGET, one pipeline for the rights to load, one query to the database.

use super::envelope::Envelope;
use super::fetch::Turn;
use super::key::{CacheKey, Key};
use super::load::{Loaded, What, failed};
use super::metrics::Event;
use super::store::{Claim, Found, Lease};
use super::{Cache, Inner, StaleReason};
use crate::error::Error;
use crate::net::Beside;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

/// Keys that are asked for together at most.
const MOST: usize = 10_000;

/// One key of a batch.
struct Wanted<K> {
    key: K,
    name: Key,
}

/// What is known of the keys of a batch after the look into the cache.
struct Sorted<K, V> {
    done: HashMap<K, Option<Arc<V>>>,
    /// To be loaded and stored.
    granted: Vec<(Wanted<K>, Lease)>,
    /// Loaded by others.
    busy: Vec<Wanted<K>>,
    /// To be loaded only.
    closed: Vec<Wanted<K>>,
}

/// What a loader of many gave.
type Loads<K, V> = Result<HashMap<K, Loaded<V>>, Error>;

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The values of many keys. What is missing is loaded by one call of `loader`, which gives what
    /// there is; what it leaves out is remembered as missing. What others load is waited for, and
    /// loaded by a second call if they take too long. Stale values are given only for what another
    /// loads. Of more than 10,000 keys as many are looked for at a time.
    ///
    /// # Errors
    /// What the loader says.
    pub async fn fetch_many<L, F, T, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: L,
    ) -> Result<HashMap<K, Option<Arc<V>>>, Error>
    where
        L: Fn(Vec<K>) -> F,
        F: Future<Output = Result<HashMap<K, T>, E>> + Send,
        T: Into<Loaded<V>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let inner = &self.inner;
        let load = |keys| {
            let loading = loader(keys);
            async move {
                let found = loading.await.map_err(failed)?;
                Ok(found.into_iter().map(|(key, found)| (key, found.into())).collect())
            }
        };
        let mut wanted: Vec<Wanted<K>> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for key in keys {
            if seen.insert(key.clone()) {
                wanted.push(Wanted { name: inner.store.names.value(&key), key });
            }
        }
        let (mut done, mut wanted) = (HashMap::with_capacity(wanted.len()), wanted.into_iter());
        loop {
            let some: Vec<_> = wanted.by_ref().take(MOST).collect();
            if some.is_empty() {
                return Ok(done);
            }
            done.extend(inner.fetch_some(some, &load).await?);
        }
    }
}

/// What a loader gave for a key; what it left out is nothing.
fn value_of<V>(loaded: Option<Loaded<V>>) -> Result<Option<Arc<V>>, Error> {
    match loaded.map(|loaded| loaded.what) {
        Some(What::Value(value)) => Ok(Some(value)),
        Some(What::NotModified) => Err(Error::Unmodified),
        Some(What::Nothing) | None => Ok(None),
    }
}

/// Rights to load. What they are for is loaded by the task of whoever asked: if it is gone before
/// anything came of the load, they are given back, so that nobody waits for it.
struct Leases<V: Send + Sync + 'static> {
    inner: Arc<Inner<V>>,
    held: Vec<(Key, Lease)>,
}

impl<V: Send + Sync + 'static> Leases<V> {
    /// Something came of the load.
    fn used(mut self) {
        self.held.clear();
    }

    async fn give_back(mut self) {
        self.inner.release_all(&self.held).await;
        self.held.clear();
    }
}

impl<V: Send + Sync + 'static> Drop for Leases<V> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        // Without a runtime they run out.
        if !held.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let inner = Arc::clone(&self.inner);
            runtime.spawn(async move { inner.release_all(&held).await });
        }
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// The values of keys that differ.
    async fn fetch_some<K, F>(
        self: &Arc<Self>,
        wanted: Vec<Wanted<K>>,
        load: impl Fn(Vec<K>) -> F,
    ) -> Result<HashMap<K, Option<Arc<V>>>, Error>
    where
        K: Clone + Eq + Hash + Send + 'static,
        F: Future<Output = Loads<K, V>> + Send,
    {
        let Sorted { mut done, granted, busy, closed } = self.sort(wanted).await;
        done.extend(self.load_all(granted, closed, &load).await?);
        // What nothing comes of is loaded on its own.
        let waited = join_all(busy.into_iter().map(async |wanted| {
            match self.claim(&wanted.name, None, false).await {
                Ok(Turn::Found(fetched)) => Ok((vec![(wanted.key, fetched.value)], None)),
                Ok(Turn::Granted(lease, ..)) => {
                    let loaded = self.load_all(vec![(wanted, lease)], vec![], &load).await;
                    Ok((loaded?.into_iter().collect(), None))
                }
                Ok(Turn::Refused) | Err(_) => Ok((vec![], Some(wanted))),
            }
        }));
        let mut late = Vec::new();
        for waited in waited.await {
            let (found, refused) = waited?;
            done.extend(found);
            late.extend(refused);
        }
        if !late.is_empty() {
            self.store.counts.count(Event::LoadUnshared);
            done.extend(self.load_all(vec![], late, &load).await?);
        }
        Ok(done)
    }

    /// Gives rights to load back, all at once.
    async fn release_all(&self, leases: &[(Key, Lease)]) {
        let release = async |(name, lease): &(Key, Lease)| {
            self.store.release(name, lease, Duration::ZERO).await;
        };
        join_all(leases.iter().map(release)).await;
    }

    /// Looks for keys in the cache, and asks for the right to load what is not there.
    async fn sort<K: Eq + Hash>(&self, wanted: Vec<Wanted<K>>) -> Sorted<K, V> {
        let mut sorted =
            Sorted { done: HashMap::new(), granted: vec![], busy: vec![], closed: vec![] };
        let names: Vec<Key> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
        let found = self.store.get_many(&names, self.store.options.target).await;
        let mut found = found.unwrap_or_default().into_iter();
        let mut missing = Vec::new();
        for wanted in wanted {
            let found = found.next().flatten();
            match found.as_ref().and_then(|found| self.fresh(found)) {
                Some(value) => {
                    let is_primary = found.is_some_and(|found| found.node.is_primary);
                    let event = if is_primary { Event::PrimaryHit } else { Event::ReplicaHit };
                    self.store.counts.count(event);
                    sorted.done.insert(wanted.key, value);
                }
                None => missing.push(wanted),
            }
        }
        missing.iter().for_each(|_| self.store.counts.count(Event::Miss));
        // What is fresh and cannot be read is loaded as if it were not.
        for anyway in [false, true] {
            // All at once: the link makes one pipeline of them.
            let claims = join_all(
                missing
                    .iter()
                    .map(|wanted| self.store.acquire(&wanted.name, anyway, Beside::Nothing)),
            )
            .await;
            let claimed = missing.into_iter().zip(claims);
            let unread = claimed.filter_map(|(wanted, claim)| {
                self.sort_claim(wanted, claim.unwrap_or(Claim::Closed), &mut sorted)
            });
            missing = unread.collect();
        }
        sorted.closed.extend(missing);
        sorted
    }

    /// Sorts one key by what came of the wish to load it; gives one back that is fresh and cannot be
    /// read.
    fn sort_claim<K: Eq + Hash>(
        &self,
        wanted: Wanted<K>,
        claim: Claim,
        sorted: &mut Sorted<K, V>,
    ) -> Option<Wanted<K>> {
        match claim {
            Claim::Fresh(found) => match self.decode(&found) {
                Some((value, _)) => drop(sorted.done.insert(wanted.key, value)),
                None => return Some(wanted),
            },
            Claim::Granted(lease, _) => sorted.granted.push((wanted, lease)),
            Claim::Busy(Some(found)) => {
                self.sort_stale(wanted, &found, StaleReason::Loading, sorted);
            }
            Claim::Throttled(found) => {
                self.sort_stale(wanted, &found, StaleReason::Throttled, sorted);
            }
            Claim::Busy(None) => sorted.busy.push(wanted),
            Claim::Closed => sorted.closed.push(wanted),
        }
        None
    }

    /// A value that is no longer fresh and not for us to load.
    fn sort_stale<K: Eq + Hash>(
        &self,
        wanted: Wanted<K>,
        found: &Found,
        reason: StaleReason,
        sorted: &mut Sorted<K, V>,
    ) {
        match self.decode(found) {
            Some((value, _)) => {
                self.store.counts.count(reason.into());
                sorted.done.insert(wanted.key, value);
            }
            None => sorted.closed.push(wanted),
        }
    }

    /// A fresh value without tags: whether those still hold only the primary is asked.
    fn fresh(&self, found: &Found) -> Option<Option<Arc<V>>> {
        let has_tags = Envelope::read(&found.bytes)?.has_tags();
        let (value, left_ms) = self.decode(found)?;
        (left_ms > 0 && !has_tags).then_some(value)
    }

    /// Loads keys, and stores those that there are leases for.
    async fn load_all<K, F>(
        self: &Arc<Self>,
        granted: Vec<(Wanted<K>, Lease)>,
        closed: Vec<Wanted<K>>,
        load: impl Fn(Vec<K>) -> F,
    ) -> Result<HashMap<K, Option<Arc<V>>>, Error>
    where
        K: Clone + Eq + Hash + Send + 'static,
        F: Future<Output = Loads<K, V>> + Send,
    {
        let mut done = HashMap::new();
        let wanted = granted.iter().map(|(wanted, _)| wanted).chain(&closed);
        let missing: Vec<K> = wanted.map(|wanted| wanted.key.clone()).collect();
        if missing.is_empty() {
            return Ok(done);
        }
        let held = granted.iter().map(|(wanted, lease)| (wanted.name.clone(), lease.clone()));
        let leases = Leases { inner: Arc::clone(self), held: held.collect() };
        let filled = async {
            let (mut loaded, took) = self.run_many(load(missing)).await?;
            self.fill_many(granted, &mut loaded, took, &mut done).await?;
            Ok(loaded)
        };
        let mut loaded = match filled.await {
            Ok(loaded) => loaded,
            Err(error) => {
                leases.give_back().await;
                return Err(error);
            }
        };
        leases.used();
        for wanted in closed {
            let value = value_of(loaded.remove(&wanted.key))?;
            done.insert(wanted.key, value);
        }
        Ok(done)
    }

    /// Runs a loader of many as one load.
    async fn run_many<K: Send + 'static>(
        self: &Arc<Self>,
        loading: impl Future<Output = Loads<K, V>> + Send,
    ) -> Result<(HashMap<K, Loaded<V>>, Duration), Error> {
        let limit = self.store.options.hard_timeout;
        let counts = &self.store.counts;
        let began = Instant::now();
        let run = async {
            let _turn = self.loads.acquire().await.map_err(|_| Error::Overloaded)?;
            counts.count(Event::Load);
            loading.await
        };
        let result = tokio::time::timeout(limit, run).await;
        let took = began.elapsed();
        counts.load(took);
        match result {
            Ok(Ok(loaded)) => Ok((loaded, took)),
            Ok(Err(error)) => {
                counts.count(Event::LoadFailed);
                Err(error)
            }
            Err(_) => {
                counts.count(Event::LoadTimeout);
                Err(Error::LoaderTimeout(limit))
            }
        }
    }

    /// Stores what was loaded under leases.
    async fn fill_many<K: Eq + Hash>(
        &self,
        granted: Vec<(Wanted<K>, Lease)>,
        loaded: &mut HashMap<K, Loaded<V>>,
        took: Duration,
        done: &mut HashMap<K, Option<Arc<V>>>,
    ) -> Result<(), Error> {
        let mut fills = Vec::new();
        for (wanted, lease) in granted {
            let loaded = loaded.remove(&wanted.key).unwrap_or_else(Loaded::nothing);
            let is_kept = loaded.is_kept;
            let (value, filling) = self.filling(loaded, None, took)?;
            fills.push((wanted.name, lease, filling.filter(|_| is_kept)));
            done.insert(wanted.key, value);
        }
        join_all(fills.iter().map(async |(name, lease, filling)| match filling {
            // What is not stored is loaded again by the next who asks.
            Some(filling) => drop(self.store.fill(name, lease, filling).await),
            None => self.store.release(name, lease, Duration::ZERO).await,
        }))
        .await;
        Ok(())
    }
}
