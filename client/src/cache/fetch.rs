//! A read, from the first look to the load.

use super::compression;
use super::envelope::{self, Envelope, LONGEST_TAG, MOST_TAGS, NOTHING, PACKED};
use super::flight::{Flight, Joined, Progress};
use super::key::{CacheKey, Key};
use super::load::{Job, LoadContext, Loaded, Loading, What, job};
use super::local::Kept;
use super::metrics::Event;
use super::store::{Claim, Filling, Found, Lease};
use super::ttl::{is_early, millis};
use super::{Cache, Fetched, Freshness, Inner, Origin, StaleReason};
use crate::error::Error;
use crate::journal::Trust;
use crate::net::Beside;
use crate::routing::Target;
use crate::routing::token::Token;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::Instrument as _;

/// Flights that brought what was too old for whoever waited, before it loads alone.
const JOINS: usize = 4;
/// How often to look for another's load where nobody tells of changes, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LATER_LOOK: Duration = Duration::from_millis(100);
/// The same where the node tells: its word may be lost, or the other process.
const TOLD_LOOK: Duration = Duration::from_millis(500);
/// How long readers gather before a load that nothing but the process itself shares.
const GATHER: Duration = Duration::from_millis(1);

/// A read that was described and not yet sent; awaiting it sends it.
#[must_use]
pub struct Fetch<V, J> {
    inner: Arc<Inner<V>>,
    key: Key,
    load: J,
    target: Target,
    is_bypassing: bool,
}

impl<V, J> std::fmt::Debug for Fetch<V, J> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fetch").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + ?Sized,
    V: Send + Sync + 'static,
{
    /// The value of a key, from the cache or from `loader`, which runs in a task of its own. `None`
    /// says that there is none, which is remembered too.
    ///
    /// # Errors
    /// What the loader says, when there is no value to give instead.
    #[allow(private_interfaces)]
    pub fn fetch<L, F, T, E>(
        &self,
        key: &K,
        loader: L,
    ) -> Fetch<V, impl FnOnce(Option<Arc<V>>) -> Loading<V> + Send + 'static + use<K, V, L, F, T, E>>
    where
        K: ToOwned,
        K::Owned: Send + 'static,
        L: FnOnce(LoadContext<K::Owned, V>) -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Fetch {
            inner: Arc::clone(&self.inner),
            key: self.inner.store.names.value(key),
            load: job(key.to_owned(), loader),
            target: self.inner.store.options.target,
            is_bypassing: false,
        }
    }
}

impl<V, J> Fetch<V, J>
where
    V: Send + Sync + 'static,
    J: FnOnce(Option<Arc<V>>) -> Loading<V> + Send + 'static,
{
    /// Reads where `target` says.
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Reads from a node that has a write: what one wrote oneself, in whatever process.
    pub fn after(self, token: Token) -> Self {
        self.target(Target::After(token))
    }

    /// Loads without a look at the cache and stores nothing: inside a transaction of the database,
    /// whose own changes nobody else may see.
    pub fn in_transaction(mut self, is_inside: bool) -> Self {
        self.is_bypassing = is_inside;
        self
    }

    /// The value with what is known about it.
    ///
    /// # Errors
    /// What the loader says, when there is no value to give instead.
    pub async fn detail(self) -> Result<Fetched<V>, Error> {
        match self.look() {
            Ok(fetched) => Ok(fetched),
            Err(fetch) => fetch.send().await,
        }
    }

    /// A look at the nodes, and what comes after it.
    fn send(self) -> impl Future<Output = Result<Fetched<V>, Error>> + Send {
        self.inner.fetch(self.key, self.load, self.target, self.is_bypassing)
    }

    /// A look into the process's own memory.
    fn look(self) -> Result<Fetched<V>, Self> {
        let inner = &self.inner;
        let is_near = matches!(self.target, Target::Nearest { .. }) && !self.is_bypassing;
        if !is_near || !inner.local.is_on() {
            return Err(self);
        }
        let now = Instant::now();
        let Some(kept) = inner.local.get(&self.key, now) else { return Err(self) };
        let left = kept.fresh_until.saturating_duration_since(now);
        let left_ms = i64::try_from(millis(left)).unwrap_or(i64::MAX);
        if is_early(left_ms, kept.cost_ms, inner.store.options.early)
            || inner.store.journal.trust_key(&self.key, || inner.store.net.epoch()) == Trust::None
        {
            return Err(self);
        }
        inner.store.counts.count(Event::LocalHit);
        if kept.value.is_none() {
            inner.store.counts.count(Event::NegativeHit);
        }
        Ok(Fetched {
            value: kept.value.clone(),
            freshness: Freshness::Fresh,
            origin: Origin::Local,
            as_of: now,
        })
    }
}

/// A read under way.
pub struct Fetching<V>(State<V>);

enum State<V> {
    Found(Option<Fetched<V>>),
    Sent(Pin<Box<dyn Future<Output = Result<Fetched<V>, Error>> + Send>>),
}

impl<V> std::fmt::Debug for Fetching<V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fetching").finish_non_exhaustive()
    }
}

impl<V, J> IntoFuture for Fetch<V, J>
where
    V: Send + Sync + 'static,
    J: FnOnce(Option<Arc<V>>) -> Loading<V> + Send + 'static,
{
    type Output = Result<Option<Arc<V>>, Error>;
    type IntoFuture = Fetching<V>;

    fn into_future(self) -> Fetching<V> {
        Fetching(match self.look() {
            Ok(fetched) => State::Found(Some(fetched)),
            Err(fetch) => State::Sent(Box::pin(fetch.send())),
        })
    }
}

impl<V> Future for Fetching<V> {
    type Output = Result<Option<Arc<V>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Polled again after its end it has nothing.
            State::Found(fetched) => Poll::Ready(Ok(fetched.take().and_then(|found| found.value))),
            State::Sent(sent) => {
                sent.as_mut().poll(cx).map(|result| result.map(|fetched| fetched.value))
            }
        }
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    async fn fetch(
        self: Arc<Self>,
        key: Key,
        load: impl FnOnce(Option<Arc<V>>) -> Loading<V> + Send + 'static,
        target: Target,
        is_bypassing: bool,
    ) -> Result<Fetched<V>, Error> {
        // What a hit does not need is boxed: its future stays small, and so does its cost.
        if is_bypassing {
            return Box::pin(self.load_alone(Box::new(load))).await;
        }
        match self.read(&key, target).await {
            Ok(Some((fetched, is_early))) => {
                if is_early && !self.flights.has(&key) {
                    self.refresh(key, Box::new(load));
                }
                return Ok(fetched);
            }
            Ok(None) => {}
            Err(error) if self.store.options.fail_when_down && error.is_failover() => {
                return Err(error);
            }
            Err(_) => {}
        }
        self.store.counts.count(Event::Miss);
        Box::pin(self.join(key, Box::new(load))).await
    }

    /// A look at a node: a fresh value, and whether to load it early.
    async fn read(&self, key: &[u8], target: Target) -> Result<Option<(Fetched<V>, bool)>, Error> {
        let is_followed = self.local.is_on();
        let mark = is_followed.then(|| self.local.mark(key));
        let as_of = Instant::now();
        let Some(found) = self.store.get(key, target, is_followed).await? else {
            return Ok(None);
        };
        let Some((value, left_ms)) = self.decode(&found) else { return Ok(None) };
        if left_ms <= 0 {
            return Ok(None);
        }
        if let Some(mark) = mark.filter(|_| found.is_followed) {
            self.keep(key, mark, &found, &value, left_ms);
        }
        let cost_ms = Envelope::read(&found.bytes).map_or(0, |envelope| envelope.cost_ms);
        let early = is_early(left_ms, cost_ms, self.store.options.early);
        Ok(Some((self.hit(value, found, as_of), early)))
    }

    /// A fresh value that a node had.
    fn hit(&self, value: Option<Arc<V>>, found: Found, as_of: Instant) -> Fetched<V> {
        let is_primary = found.node.is_primary;
        let counts = &self.store.counts;
        counts.count(if is_primary { Event::PrimaryHit } else { Event::ReplicaHit });
        if value.is_none() {
            counts.count(Event::NegativeHit);
        }
        Fetched { value, freshness: Freshness::Fresh, origin: Origin::Node(found.node), as_of }
    }

    fn keep(
        &self,
        key: &[u8],
        mark: super::local::Mark,
        found: &Found,
        value: &Option<Arc<V>>,
        left_ms: i64,
    ) {
        let Some(envelope) = Envelope::read(&found.bytes) else { return };
        let tags: Vec<(String, u64)> =
            envelope.tags().map(|(tag, generation)| (tag.to_owned(), generation)).collect();
        let left = Duration::from_millis(left_ms.unsigned_abs());
        let kept = Kept {
            value: value.clone(),
            fresh_until: Instant::now() + left,
            cost_ms: envelope.cost_ms,
            bytes: found.bytes.len(),
            tags,
            flushes: mark.flushes,
        };
        self.local.keep(key, mark, kept);
    }

    /// Loads a value anew that is still fresh, in the background.
    fn refresh(self: &Arc<Self>, key: Key, load: Job<V>) {
        if let Joined::Pilot(flight, _) = self.flights.join(&key) {
            self.store.counts.count(Event::Early);
            let pilot = Pilot { inner: Arc::clone(self), key, flight };
            tokio::spawn(pilot.fly(load, None, true));
        }
    }

    /// Waits for the flight of a key, or flies it.
    async fn join(self: Arc<Self>, key: Key, load: Job<V>) -> Result<Fetched<V>, Error> {
        let mut load = Some(load);
        for _ in 0..JOINS {
            let joined = Instant::now();
            let mut progress = match self.flights.join(&key) {
                Joined::Pilot(flight, progress) => {
                    let Some(load) = load.take() else { return Err(Error::LoaderPanic) };
                    let pilot = Pilot { inner: Arc::clone(&self), key: key.clone(), flight };
                    tokio::spawn(pilot.fly(load, None, false));
                    return self.arrive(joined, progress).await.unwrap_or(Err(Error::LoaderPanic));
                }
                Joined::Passenger(progress) => progress,
            };
            if let Some(landed) = self.arrive(joined, progress.clone()).await {
                return landed;
            }
            if !matches!(*progress.borrow_and_update(), Progress::Stale(_)) {
                // It brought what was too old for us.
                continue;
            }
            // There is a stale value, from before we came: is it still there?
            let as_of = Instant::now();
            let claim = match self.store.acquire(&key, false, Beside::Nothing).await {
                Ok(Claim::Fresh(found)) => match self.decode(&found) {
                    Some((value, _)) => return Ok(self.hit(value, found, as_of)),
                    None => continue,
                },
                Ok(Claim::Busy(Some(found))) => match self.decode(&found) {
                    Some((value, _)) => {
                        let fetched = stale(value, &found, StaleReason::Loading, as_of);
                        self.store.counts.given(fetched.freshness);
                        return Ok(fetched);
                    }
                    None => continue,
                },
                Err(_) => continue,
                // Its end may have been missed.
                Ok(Claim::Busy(None)) => None,
                Ok(claim) => Some((claim, as_of)),
            };
            let Some(load) = load.take() else { return Err(Error::LoaderPanic) };
            let (flight, progress) = self.flights.replace(&key);
            let pilot = Pilot { inner: Arc::clone(&self), key: key.clone(), flight };
            tokio::spawn(pilot.fly(load, claim, false));
            return self.arrive(joined, progress).await.unwrap_or(Err(Error::LoaderPanic));
        }
        let Some(load) = load.take() else { return Err(Error::LoaderPanic) };
        self.load_alone(load).await
    }

    /// Waits for a flight; `None` when it has nothing for one who joined at `joined`, or when the
    /// stale value that there is may be too old.
    async fn arrive(
        &self,
        joined: Instant,
        mut progress: watch::Receiver<Progress<V>>,
    ) -> Option<Result<Fetched<V>, Error>> {
        let soft = self.store.options.soft_timeout;
        let mut waiting_since = None;
        loop {
            let fallback = match &*progress.borrow_and_update() {
                Progress::Flying => None,
                Progress::Stale(found) if found.as_of < joined => return None,
                Progress::Stale(found) => Some(found.clone()),
                Progress::Landed(Ok(found)) if found.as_of < joined => return None,
                Progress::Landed(result) => return Some(result.clone()),
            };
            let changed = match (fallback, soft) {
                (Some(fallback), Some(soft)) => {
                    let since = *waiting_since.get_or_insert_with(Instant::now);
                    let end = tokio::time::Instant::from_std(since + soft);
                    match tokio::time::timeout_at(end, progress.changed()).await {
                        Ok(changed) => changed,
                        Err(_) => {
                            self.store.counts.count(Event::StaleSlow);
                            return Some(Ok(late(fallback)));
                        }
                    }
                }
                _ => progress.changed().await,
            };
            if changed.is_err() {
                return Some(Err(Error::LoaderPanic));
            }
        }
    }

    /// Loads for one reader alone.
    async fn load_alone(self: &Arc<Self>, load: Job<V>) -> Result<Fetched<V>, Error> {
        self.store.counts.count(Event::LoadUnshared);
        let as_of = Instant::now();
        let (loaded, _) = self.run(load, None).await?;
        let value = match loaded.what {
            What::Value(value) => Some(value),
            What::Nothing => None,
            What::NotModified => return Err(Error::Unmodified),
        };
        Ok(Fetched { value, freshness: Freshness::Fresh, origin: Origin::Loader, as_of })
    }

    /// Runs a loader: within the limit on loads, within its time, in a task whose panic is an error.
    /// Gives what it took as well.
    pub(super) async fn run(
        self: &Arc<Self>,
        load: Job<V>,
        before: Option<Arc<V>>,
    ) -> Result<(Loaded<V>, Duration), Error> {
        let limit = self.store.options.hard_timeout;
        let end = tokio::time::Instant::now() + limit;
        let counts = &self.store.counts;
        let Ok(turn) = tokio::time::timeout_at(end, self.loads.acquire()).await else {
            counts.count(Event::LoadTimeout);
            return Err(Error::Overloaded);
        };
        let _turn = turn.map_err(|_| Error::Overloaded)?;
        counts.count(Event::Load);
        let began = Instant::now();
        let span = tracing::debug_span!("load", namespace = self.store.names.namespace());
        let mut loading =
            AbortOnDrop(tokio::spawn(async move { load(before).await }.instrument(span)));
        let result = tokio::time::timeout_at(end, &mut loading.0).await;
        let took = began.elapsed();
        counts.load(took);
        match result {
            Ok(Ok(Ok(loaded))) => Ok((loaded, took)),
            Ok(Ok(Err(error))) => {
                counts.count(Event::LoadFailed);
                Err(error)
            }
            Ok(Err(_)) => {
                counts.count(Event::LoadFailed);
                Err(Error::LoaderPanic)
            }
            Err(_) => {
                counts.count(Event::LoadTimeout);
                Err(Error::LoaderTimeout(limit))
            }
        }
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What came of the wish for a value.
pub(super) enum Turn<V> {
    /// A value: a fresh one, or a stale one that is not for us to load.
    Found(Fetched<V>),
    /// We may load, as of a moment; there may be a value that is no longer fresh.
    Granted(Lease, Option<Found>, Instant),
    /// To be loaded without being stored.
    Refused,
}

/// Who flies a flight.
struct Pilot<V: Send + Sync + 'static> {
    inner: Arc<Inner<V>>,
    key: Key,
    flight: Arc<Flight<V>>,
}

impl<V: Send + Sync + 'static> Drop for Pilot<V> {
    fn drop(&mut self) {
        self.inner.flights.leave(&self.key, &self.flight);
    }
}

impl<V: Send + Sync + 'static> Pilot<V> {
    /// Gets the value, and tells everybody on board.
    async fn fly(self, load: Job<V>, claim: Option<(Claim, Instant)>, is_early: bool) {
        let result = self.get(load, claim, is_early).await;
        if let (Ok(fetched), false) = (&result, is_early) {
            self.inner.store.counts.given(fetched.freshness);
        }
        // Off the board first: who comes now starts anew.
        self.inner.flights.leave(&self.key, &self.flight);
        self.flight.send_replace(Progress::Landed(result));
    }

    async fn get(
        &self,
        load: Job<V>,
        claim: Option<(Claim, Instant)>,
        is_early: bool,
    ) -> Result<Fetched<V>, Error> {
        let store = &self.inner.store;
        if !self.inner.is_prepared.load(Ordering::Relaxed) {
            let is_prepared = store.prepare_tags().await.is_ok();
            self.inner.is_prepared.store(is_prepared, Ordering::Relaxed);
        }
        match self.inner.claim(&self.key, claim, is_early).await {
            Ok(Turn::Found(fetched)) => Ok(fetched),
            Ok(Turn::Granted(lease, before, as_of)) => {
                store.counts.count(Event::LeaseGranted);
                self.load(load, lease, before, as_of).await
            }
            Err(error) if store.options.fail_when_down => Err(error),
            Ok(Turn::Refused) | Err(_) => self.load_unstored(load).await,
        }
    }

    /// Loads under a lease, and stores.
    async fn load(
        &self,
        load: Job<V>,
        lease: Lease,
        before: Option<Found>,
        as_of: Instant,
    ) -> Result<Fetched<V>, Error> {
        let inner = &self.inner;
        let store = &inner.store;
        let known = before.as_ref().and_then(|found| inner.decode(found));
        let is_over = known.as_ref().is_some_and(|(_, left_ms)| *left_ms <= 0);
        let value = known.as_ref().and_then(|(value, _)| value.clone());
        let fallback = before.as_ref().filter(|_| known.is_some());
        let fallback =
            fallback.map(|found| stale(value.clone(), found, StaleReason::Failed, as_of));
        if let Some(fallback) = &fallback {
            // What is fresh still may be over before the load is.
            self.flight.send_replace(Progress::Stale(fallback.clone()));
        }
        let started = Instant::now();
        let loaded = inner.run(load, value).await;
        let filling = loaded.and_then(|(loaded, took)| {
            let is_kept = loaded.is_kept;
            let (value, filling) = inner.filling(loaded, before.as_ref(), took)?;
            Ok((value, filling.filter(|_| is_kept)))
        });
        match filling {
            Ok((value, filling)) => Ok(self.fill(value, filling, lease, started).await),
            Err(error) => {
                tracing::debug!(namespace = store.names.namespace(), %error, "a load failed");
                let throttle = if is_over { store.options.throttle } else { Duration::ZERO };
                store.release(&self.key, &lease, throttle).await;
                fallback.ok_or(error)
            }
        }
    }

    /// Stores what was loaded under a lease, or gives that back.
    async fn fill(
        &self,
        value: Option<Arc<V>>,
        filling: Option<Filling>,
        lease: Lease,
        started: Instant,
    ) -> Fetched<V> {
        let store = &self.inner.store;
        let sent = Instant::now();
        let is_stored = match filling {
            Some(filling) => store.fill(&self.key, &lease, &filling).await.unwrap_or(false),
            None => {
                store.release(&self.key, &lease, Duration::ZERO).await;
                false
            }
        };
        // What was stored was true when it was: nothing invalidated it before.
        let as_of = if is_stored { sent } else { started };
        Fetched { value, freshness: Freshness::Fresh, origin: Origin::Loader, as_of }
    }

    /// Loads without the cache, for those who are on board when the load begins.
    async fn load_unstored(&self, load: Job<V>) -> Result<Fetched<V>, Error> {
        tokio::time::sleep(GATHER).await;
        self.inner.load_alone(load).await
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// The value of a key, or the right to load it. What another loads is waited for: the node tells
    /// of changes, and it is asked again now and then.
    pub(super) async fn claim(
        &self,
        key: &[u8],
        first: Option<(Claim, Instant)>,
        is_early: bool,
    ) -> Result<Turn<V>, Error> {
        let store = &self.store;
        let give_up = tokio::time::Instant::now() + store.options.lease_wait;
        let (mut first, mut anyway, mut pause) = (first, is_early, FIRST_LOOK);
        loop {
            // Before the question: a change after it is heard of.
            let change = self.local.wait(key);
            let (claim, as_of) = match first.take() {
                Some(claim) => claim,
                None => {
                    let as_of = Instant::now();
                    (store.acquire(key, anyway, Beside::Changes).await?, as_of)
                }
            };
            let (found, reason) = match claim {
                Claim::Granted(lease, before) => return Ok(Turn::Granted(lease, before, as_of)),
                Claim::Closed => return Ok(Turn::Refused),
                Claim::Fresh(found) => (Some(found), None),
                Claim::Busy(found) => (found, Some(StaleReason::Loading)),
                Claim::Throttled(found) => (Some(found), Some(StaleReason::Throttled)),
            };
            let value = found.as_ref().and_then(|found| self.decode(found));
            match (found, value, reason) {
                (Some(found), Some((value, left_ms)), _) if left_ms > 0 => {
                    return Ok(Turn::Found(self.hit(value, found, as_of)));
                }
                (Some(found), Some((value, _)), Some(reason)) => {
                    return Ok(Turn::Found(stale(value, &found, reason, as_of)));
                }
                (_, _, Some(StaleReason::Throttled)) => return Ok(Turn::Refused),
                // What cannot be read is loaded, however fresh.
                (_, _, None) if !anyway => {
                    anyway = true;
                    continue;
                }
                _ => {}
            }
            let now = tokio::time::Instant::now();
            if now >= give_up {
                return Ok(Turn::Refused);
            }
            store.counts.count(Event::LeaseBusy);
            let wait = if store.is_told() { TOLD_LOOK } else { pause };
            let _ = tokio::time::timeout_at(give_up.min(now + wait), change.changed()).await;
            pause = (pause * 2).min(LATER_LOOK);
        }
    }

    /// What to store for what was loaded; nothing for what is too large.
    pub(super) fn filling(
        &self,
        loaded: Loaded<V>,
        before: Option<&Found>,
        took: Duration,
    ) -> Result<(Option<Arc<V>>, Option<Filling>), Error> {
        let options = &self.store.options;
        let Loaded { what, ttl, mut tags, version, .. } = loaded;
        let cost_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let (value, flags, payload) = match what {
            What::Value(value) => {
                let mut payload = Vec::new();
                self.codec.encode(&value, &mut payload)?;
                (Some(value), 0, payload)
            }
            What::Nothing => (None, NOTHING, Vec::new()),
            What::NotModified => {
                let found = before.ok_or(Error::Unmodified)?;
                let (value, _) = self.decode(found).ok_or(Error::Unmodified)?;
                let envelope = Envelope::read(&found.bytes).ok_or(Error::Unmodified)?;
                if tags.is_empty() {
                    tags = envelope.tags().map(|(tag, _)| tag.to_owned()).collect();
                }
                let nothing = if value.is_none() { NOTHING } else { 0 };
                let packed = if envelope.is_packed { PACKED } else { 0 };
                (value, nothing | packed, envelope.payload.to_vec())
            }
        };
        // Without one of them it would outlive a drop of that one.
        let are_all = tags.len() <= MOST_TAGS && tags.iter().all(|tag| tag.len() <= LONGEST_TAG);
        let mut body = envelope::body(flags, self.codec.id(), cost_ms, &tags);
        if !are_all || body.len() + payload.len() > options.most_bytes {
            self.store.counts.count(Event::TooLarge);
            return Ok((value, None));
        }
        // Not twice.
        let least = options.compress_from.filter(|_| flags & PACKED == 0);
        compression::append(&mut body, &payload, least);
        let own = if value.is_none() { options.negative_ttl } else { options.ttl };
        // That there is nothing is not worth remembering for longer than it is believed.
        let stale_ms = if value.is_none() { 0 } else { millis(options.stale_for) };
        let fresh_ms = ttl.unwrap_or(own).draw_ms();
        Ok((value, Some(Filling { fresh_ms, stale_ms, version, tags, body })))
    }
}

fn stale<V>(
    value: Option<Arc<V>>,
    found: &Found,
    reason: StaleReason,
    as_of: Instant,
) -> Fetched<V> {
    let stored =
        Envelope::read(&found.bytes).map_or(found.now_ms, |envelope| envelope.stored_at_ms);
    let age = Duration::from_millis(found.now_ms.saturating_sub(stored).max(0).unsigned_abs());
    let freshness = Freshness::Stale { age, reason };
    Fetched { value, freshness, origin: Origin::Node(found.node.clone()), as_of }
}

/// A stale value that is given because the load is slow.
fn late<V>(fallback: Fetched<V>) -> Fetched<V> {
    let freshness = match fallback.freshness {
        Freshness::Stale { age, .. } => Freshness::Stale { age, reason: StaleReason::Slow },
        fresh => fresh,
    };
    Fetched { freshness, ..fallback }
}
