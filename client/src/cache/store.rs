//! The cache's commands and scripts, sent and understood.
//!
//! Nothing here knows the type of the values. Each request has a time limit, passes the breaker, and
//! waits for no failover: a cache that is slow is worth less than the database. What a value's tags
//! are is remembered, so that their generations are read together with it.

use super::breaker::{Breaker, Pass};
use super::builder::Options;
use super::envelope::Envelope;
use super::gather::Gatherer;
use super::key::{Key, Names, fence, lease};
use super::metrics::{Counts, Event};
use super::owed::Owed;
use super::ttl::millis;
use super::{Durability, Invalidation};
use crate::error::Error;
use crate::journal::{Journal, Trust};
use crate::net::{Answered, Beside, Call, Limits, Net};
use crate::routing::Target;
use crate::routing::token::Token;
use crate::script::Script;
use crate::topology::view::{Seen, View};
use crate::value::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static ACQUIRE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/cache/acquire.lua")));
static FILL: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/cache/fill.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/cache/release.lua")));
static INVALIDATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/cache/invalidate.lua")));
static DROP_TAG: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/cache/drop_tag.lua")));

/// Values whose tags are remembered.
const HINTS: u64 = 10_000;
/// How long a fence with a lowest version stays: no database is behind for longer.
const FENCE: Duration = Duration::from_secs(24 * 3600);

/// What one cache sends.
pub(super) struct Store {
    pub(super) net: Net,
    pub(super) names: Names,
    pub(super) options: Options,
    pub(super) breaker: Breaker,
    pub(super) counts: Counts,
    pub(super) journal: Journal<Owed>,
    gatherer: Arc<Gatherer>,
    /// The tags of values that have some.
    hints: moka::sync::Cache<Key, Arc<[String]>>,
    has_hints: AtomicBool,
}

/// A value as it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Begins with an [`Envelope`].
    pub(super) bytes: Vec<u8>,
    pub(super) node: Answered,
    /// The clock of the primary when it was found, in milliseconds.
    pub(super) now_ms: i64,
    /// Whether we hear of it when it changes.
    pub(super) is_followed: bool,
}

/// The answer to a wish to load.
#[derive(Debug)]
pub(super) enum Claim {
    /// There is a fresh value.
    Fresh(Found),
    /// We may load; there may be a value that is no longer fresh.
    Granted(Lease, Option<Found>),
    /// Another loads.
    Busy(Option<Found>),
    /// A load failed lately.
    Throttled(Found),
    /// Nothing may be stored for now.
    Closed,
}

/// The right to store one value.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    token: [u8; 16],
    /// When it was given, by the primary's clock.
    pub(super) started_ms: i64,
    /// Under which primary.
    pub(super) epoch: u64,
}

/// What to store.
pub(super) struct Filling {
    pub(super) fresh_ms: u64,
    pub(super) stale_ms: u64,
    pub(super) version: u64,
    pub(super) tags: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Store {
    pub(super) fn new(net: Net, names: Names, options: Options, counts: Counts) -> Self {
        let hints = moka::sync::Cache::builder().max_capacity(HINTS).build();
        let (breaker, journal) = (Breaker::default(), Journal::default());
        let (gatherer, has_hints) = (Arc::default(), AtomicBool::new(false));
        Self { net, names, options, breaker, counts, journal, gatherer, hints, has_hints }
    }

    fn write_limits(&self) -> Limits {
        Limits { response: self.options.write_timeout, failover: Duration::ZERO }
    }

    /// Sends one request, unless the breaker holds it back, and tells the breaker how it went.
    async fn guarded<T>(
        &self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let pass = self.pass()?;
        self.judged(pass, request.await)
    }

    fn pass(&self) -> Result<Pass<'_>, Error> {
        self.breaker.pass(Instant::now).ok_or(Error::NoPrimary)
    }

    fn judged<T>(&self, pass: Pass<'_>, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Err(error) if error.is_failover() => {
                self.counts.count(Event::CacheError);
                if pass.failed(Instant::now()) {
                    self.counts.count(Event::BreakerOpened);
                    tracing::warn!(namespace = self.names.namespace(), %error, "the cache is down");
                }
            }
            _ => pass.succeeded(),
        }
        result
    }

    /// Reads a value where `target` says, with CLIENT CACHING YES if changes are to be heard of.
    /// `None` when there is none, or none that can be trusted.
    pub(super) async fn get(
        &self,
        key: &[u8],
        target: Target,
        is_followed: bool,
    ) -> Result<Option<Found>, Error> {
        let view = self.net.view();
        let (target, since) = match self.journal.trust_key(key, || view.epoch) {
            Trust::Full => (target, None),
            // Beside what the reader wants.
            Trust::After(Some(token)) => (target, Some(token)),
            Trust::After(None) => (Target::Primary, None),
            Trust::None => return Ok(None),
        };
        let node = self.net.choose(&view, target, since)?;
        let is_primary = view.primary().is_some_and(|primary| std::ptr::eq(primary, node));
        let pass = if is_primary { Some(self.pass()?) } else { None };
        let read = self.read_from(node, key, is_followed).await;
        let bytes = match pass {
            Some(pass) => self.judged(pass, read)?,
            // A replica that fails says nothing about the cache.
            None => read.ok().flatten(),
        };
        if self.net.is_near(node) == Some(false) {
            self.counts.count(Event::CrossZone);
        }
        Ok(bytes.map(|bytes| Found {
            bytes,
            node: node.into(),
            now_ms: crate::topology::member::now_ms()
                + view.primary().map_or(0, |primary| primary.clock_ahead_ms),
            is_followed: is_followed && node.data.is_tracking(),
        }))
    }

    /// Reads a value with the generations of its tags; `None` for one that a tag hides.
    async fn read_from(
        &self,
        node: &Seen,
        key: &[u8],
        is_followed: bool,
    ) -> Result<Option<Vec<u8>>, Error> {
        let limit = self.options.read_timeout;
        let has_hints = self.has_hints.load(Ordering::Relaxed);
        let hint = if has_hints { self.hints.get(key) } else { None };
        let tags = hint.unwrap_or_default();
        if !tags.is_empty() || is_followed {
            return Box::pin(self.read_tagged(node, key, tags, is_followed)).await;
        }
        let found = self.gatherer.get(&node.data, key, limit).await?.into_bytes()?;
        let Some(bytes) = found else { return Ok(None) };
        let Some(envelope) = Envelope::read(&bytes) else { return Ok(None) };
        if !envelope.has_tags() {
            return Ok(Some(bytes));
        }
        let tags = self.remember_tags(key, &envelope);
        let now = Box::pin(self.generations(node, &tags, false)).await?;
        Ok(self.is_shown(&envelope, &now).then_some(bytes))
    }

    /// Reads a value together with the generations of the tags that it is believed to have.
    async fn read_tagged(
        &self,
        node: &Seen,
        key: &[u8],
        tags: Arc<[String]>,
        is_followed: bool,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut names = vec![key.to_vec()];
        names.extend(tags.iter().map(|tag| self.names.tag(tag)));
        let mut values = self.read_many(node, &names, is_followed).await?.into_iter();
        let Some(bytes) = values.next().unwrap_or_default().into_bytes()? else { return Ok(None) };
        let Some(envelope) = Envelope::read(&bytes) else { return Ok(None) };
        let mut now: Vec<Option<u64>> = values.map(generation).collect();
        if !envelope.tags().map(|(tag, _)| tag).eq(tags.iter().map(|tag| &**tag)) {
            let tags = self.remember_tags(key, &envelope);
            now = self.generations(node, &tags, is_followed).await?;
        }
        Ok(self.is_shown(&envelope, &now).then_some(bytes))
    }

    fn remember_tags(&self, key: &[u8], envelope: &Envelope<'_>) -> Arc<[String]> {
        let tags: Arc<[String]> = envelope.tags().map(|(tag, _)| tag.to_owned()).collect();
        if tags.is_empty() {
            self.hints.invalidate(key);
        } else {
            self.hints.insert(key.to_vec(), Arc::clone(&tags));
            self.has_hints.store(true, Ordering::Relaxed);
        }
        tags
    }

    /// MGET.
    async fn read_many(
        &self,
        node: &Seen,
        names: &[Key],
        is_followed: bool,
    ) -> Result<Vec<Value>, Error> {
        let limit = self.options.read_timeout;
        let mut commands = redis::Pipeline::with_capacity(2);
        if is_followed && node.data.is_tracking() {
            commands.cmd("CLIENT").arg("CACHING").arg("YES");
        }
        commands.cmd("MGET").arg(names);
        let values = node.data.send_all(&commands, limit).await?.pop();
        values.unwrap_or_default().checked()?.into_array()
    }

    async fn generations(
        &self,
        node: &Seen,
        tags: &[String],
        is_followed: bool,
    ) -> Result<Vec<Option<u64>>, Error> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<Key> = tags.iter().map(|tag| self.names.tag(tag)).collect();
        let values = self.read_many(node, &names, is_followed).await?;
        Ok(values.into_iter().map(generation).collect())
    }

    /// Whether the tags of a value are those it was stored under.
    fn is_shown(&self, envelope: &Envelope<'_>, now: &[Option<u64>]) -> bool {
        let mut count = 0;
        let trust = |tag: &str| self.journal.trust_tag(tag, || self.net.epoch());
        let same = envelope.tags().all(|(tag, stored)| {
            let current = now.get(count).copied().flatten();
            count += 1;
            // A replica may not have heard of a drop that we made.
            current == Some(stored) && trust(tag) == Trust::Full
        });
        same && count == now.len()
    }

    /// Whether the primary tells of changes.
    pub(super) fn is_told(&self) -> bool {
        self.net.view().primary().is_some_and(|primary| primary.data.is_tracking())
    }

    /// A value that was read at the primary, unless a tag hides it.
    async fn shown(&self, view: &View, found: Found) -> Result<Option<Found>, Error> {
        let Some(envelope) = Envelope::read(&found.bytes) else { return Ok(None) };
        if !envelope.has_tags() {
            return Ok(Some(found));
        }
        let tags: Vec<String> = envelope.tags().map(|(tag, _)| tag.to_owned()).collect();
        let trust = |tag: &String| self.journal.trust_tag(tag, || view.epoch);
        if tags.iter().any(|tag| trust(tag) == Trust::None) {
            return Ok(None);
        }
        let primary = view.primary().ok_or(Error::NoPrimary)?;
        let now = self.guarded(self.generations(primary, &tags, false)).await?;
        let same = envelope.tags().map(|(_, stored)| Some(stored)).eq(now);
        Ok(same.then_some(found))
    }

    /// Asks the primary for a value, or for the right to load it; with `anyway` also for a fresh one.
    pub(super) async fn acquire(
        &self,
        key: &[u8],
        anyway: bool,
        beside: Beside,
    ) -> Result<Claim, Error> {
        let epoch = self.net.epoch();
        if self.journal.trust_key(key, || epoch) == Trust::None {
            return Ok(Claim::Closed);
        }
        let claim = self.acquire_once(key, anyway, beside).await?;
        let view = &*self.net.view();
        // Another primary may have answered before what was taken away was taken away there too.
        if view.epoch != epoch && self.journal.trust_key(key, || view.epoch) != Trust::Full {
            return Ok(Claim::Closed);
        }
        Ok(match claim {
            Claim::Fresh(found) => match self.shown(view, found).await? {
                Some(found) => Claim::Fresh(found),
                // What a tag hides is gone, however fresh.
                None => match self.acquire_once(key, true, beside).await? {
                    Claim::Granted(lease, _) => Claim::Granted(lease, None),
                    Claim::Busy(_) => Claim::Busy(None),
                    _ => Claim::Closed,
                },
            },
            Claim::Granted(lease, Some(found)) => {
                Claim::Granted(lease, self.shown(view, found).await?)
            }
            Claim::Busy(Some(found)) => Claim::Busy(self.shown(view, found).await?),
            Claim::Throttled(found) => match self.shown(view, found).await? {
                Some(found) => Claim::Throttled(found),
                None => Claim::Closed,
            },
            other => other,
        })
    }

    async fn acquire_once(&self, key: &[u8], anyway: bool, beside: Beside) -> Result<Claim, Error> {
        let mut token = [0; 16];
        fastrand::fill(&mut token);
        let epoch = self.net.epoch();
        // The loader's time, and one second for what comes after it.
        let lease_ms = (millis(self.options.hard_timeout) + 1000).to_string();
        let anyway: &[u8] = if anyway { b"1" } else { b"0" };
        let (lease_key, fence_key) = (lease(key), fence(key));
        let call = Call::Script {
            script: &ACQUIRE,
            keys: &[key, &lease_key, &fence_key],
            args: &[&token, lease_ms.as_bytes(), anyway],
        };
        let answering = self.net.answer_beside(call, Target::Primary, self.write_limits(), beside);
        let answer = self.guarded(answering).await?;
        let mut parts = answer.value.into_array()?.into_iter();
        let mut part = || parts.next().unwrap_or_default();
        let state = part().as_int()?;
        let bytes = part().into_bytes()?;
        let now_ms = part().as_int()?;
        let node = answer.node;
        let found = bytes.map(|bytes| Found { bytes, node, now_ms, is_followed: false });
        match (state, found) {
            (1, Some(found)) => Ok(Claim::Fresh(found)),
            (2, found) => Ok(Claim::Granted(Lease { token, started_ms: now_ms, epoch }, found)),
            (3, found) => Ok(Claim::Busy(found)),
            (4, Some(found)) => Ok(Claim::Throttled(found)),
            (5, _) => Ok(Claim::Closed),
            _ => Err(Error::Reply("what the acquire script gives")),
        }
    }

    /// Stores a value under a lease. Whether it was stored.
    pub(super) async fn fill(
        &self,
        key: &[u8],
        lease_held: &Lease,
        filling: &Filling,
    ) -> Result<bool, Error> {
        let epoch = self.net.epoch();
        if lease_held.epoch != epoch || self.journal.trust_key(key, || epoch) == Trust::None {
            self.counts.count(Event::FillRefused);
            return Ok(false);
        }
        let mut names = vec![lease(key), fence(key)];
        if !filling.tags.is_empty() {
            names.push(self.names.last_drop());
            names.extend(filling.tags.iter().map(|tag| self.names.tag(tag)));
        }
        let mut keys = vec![key];
        keys.extend(names.iter().map(Vec::as_slice));
        let numbers = [filling.fresh_ms.to_string(), filling.stale_ms.to_string()];
        let started = lease_held.started_ms.to_string();
        let args: [&[u8]; 6] = [
            &lease_held.token,
            numbers[0].as_bytes(),
            numbers[1].as_bytes(),
            &filling.version.to_be_bytes(),
            started.as_bytes(),
            &filling.body,
        ];
        let call = Call::Script { script: &FILL, keys: &keys, args: &args };
        let answering = self.net.answer(call, Target::Primary, self.write_limits());
        let is_stored = self.guarded(answering).await?.value.as_int()? == 1;
        if !is_stored {
            self.counts.count(Event::FillRefused);
        }
        Ok(is_stored)
    }

    /// Gives a lease back; with `throttle` nobody gets it for so long.
    pub(super) async fn release(&self, key: &[u8], lease_held: &Lease, throttle: Duration) {
        let millis = millis(throttle).to_string();
        let lease_key = lease(key);
        let call = Call::Script {
            script: &RELEASE,
            keys: &[&lease_key],
            args: &[&lease_held.token, millis.as_bytes()],
        };
        let answering = self.net.answer(call, Target::Primary, self.write_limits());
        // A lease that stays runs out.
        let _ = self.guarded(answering).await;
    }

    /// Takes the lease on a value from whoever has it.
    pub(super) async fn seize(&self, key: &[u8]) -> Result<Lease, Error> {
        let mut token = [0; 16];
        fastrand::fill(&mut token);
        let epoch = self.net.epoch();
        let lease_ms = (millis(self.options.hard_timeout) + 1000).to_string();
        let lease_key = lease(key);
        let call = Call::Command(&[b"SET", &lease_key, &token, b"PX", lease_ms.as_bytes()]);
        let answering = self.net.answer(call, Target::Primary, self.write_limits());
        self.guarded(answering).await?;
        Ok(Lease { token, started_ms: self.net.server_now_ms(), epoch })
    }

    /// Makes one invalidation, or owes it.
    pub(super) async fn invalidate(&self, owed: Owed, durability: Durability) -> Invalidation {
        let epoch = self.net.epoch();
        let error = match self.invalidate_now(&owed).await {
            Ok(token) => {
                self.journal.made(owed.clone(), token, Instant::now());
                let replicas = self.confirm(durability).await;
                if self.net.epoch() == epoch {
                    return Invalidation { is_queued: false, token, replicas };
                }
                // What was made before the failover may be undone, and what was made again after it
                // was perhaps without this.
                Error::NoPrimary
            }
            Err(error) => error,
        };
        tracing::warn!(namespace = self.names.namespace(), %error, "an invalidation waits");
        self.counts.count(Event::Queued);
        self.journal.owe(owed);
        Invalidation { is_queued: true, token: None, replicas: None }
    }

    /// How many replicas have what was written, where that is asked for.
    pub(super) async fn confirm(&self, durability: Durability) -> Option<u64> {
        match durability {
            Durability::Primary => None,
            Durability::Replicas { count, timeout } => {
                Some(self.net.wait_replicas(count, timeout).await.unwrap_or_default())
            }
        }
    }

    /// Makes one invalidation. The breaker has no say: it is owed in any case.
    pub(super) async fn invalidate_now(&self, owed: &Owed) -> Result<Option<Token>, Error> {
        match owed {
            Owed::Value { key, how } if how.hold_ms == 0 && how.version == 0 && !how.is_soft => {
                let call = Call::Command(&[b"DEL", key, &lease(key)]);
                self.placed(call).await
            }
            Owed::Value { key, how } => {
                let stays = match (how.version, how.hold_ms) {
                    (0, hold_ms) => hold_ms,
                    (_, hold_ms) => millis(FENCE).max(hold_ms),
                };
                let (hold, stays) = (how.hold_ms.to_string(), stays.to_string());
                let soft: &[u8] = if how.is_soft { b"1" } else { b"0" };
                let call = Call::Script {
                    script: &INVALIDATE,
                    keys: &[key, &lease(key), &fence(key)],
                    args: &[hold.as_bytes(), &how.version.to_be_bytes(), stays.as_bytes(), soft],
                };
                self.placed(call).await
            }
            Owed::Tag(tag) => {
                let keys = [self.names.last_drop(), self.names.tag(tag)];
                let call =
                    Call::Script { script: &DROP_TAG, keys: &[&keys[0], &keys[1]], args: &[] };
                self.placed(call).await
            }
            Owed::All => self.clear().await,
        }
    }

    /// Deletes all values and leases of the namespace. Twice: what was stored meanwhile under a lease
    /// from before is found by the second pass, and no such lease is left by then.
    async fn clear(&self) -> Result<Option<Token>, Error> {
        self.sweep().await?;
        self.sweep().await?;
        Ok(self.mark().await)
    }

    /// How far the primary is.
    pub(super) async fn mark(&self) -> Option<Token> {
        self.placed(Call::Command(&[b"PING"])).await.ok()?
    }

    /// Sends a call to the primary; gives the place that its effects have in the history at the latest.
    async fn placed(&self, call: Call<'_>) -> Result<Option<Token>, Error> {
        let limits = self.write_limits();
        Ok(self.net.answer_beside(call, Target::Primary, limits, Beside::Offset).await?.token)
    }

    async fn sweep(&self) -> Result<(), Error> {
        let limits = self.write_limits();
        let pattern = self.names.pattern();
        let mut cursor = Some(b"0".to_vec());
        while let Some(at) = cursor {
            let (next, names) = self.net.scan(&at, &pattern, limits).await?;
            cursor = next;
            // A fence holds for longer than what it keeps out.
            let doomed = names.iter().filter_map(Value::as_bytes);
            let doomed = doomed.filter(|name| !name.ends_with(b"#f"));
            let command: Vec<&[u8]> = [&b"UNLINK"[..]].into_iter().chain(doomed).collect();
            if command.len() > 1 {
                let call = Call::Command(&command);
                self.net.answer(call, Target::Primary, limits).await?;
            }
        }
        Ok(())
    }

    /// Sees to it that the namespace has the mark of its last drop, without which no value with a tag
    /// is stored. One that is missing stands for now: loads that began earlier are not stored.
    pub(super) async fn prepare_tags(&self) -> Result<(), Error> {
        let limits = self.write_limits();
        let asking = self.net.answer(Call::Command(&[b"TIME"]), Target::Primary, limits);
        let time = self.guarded(asking).await?.value;
        let now = crate::topology::member::server_ms(time).ok_or(Error::Reply("a time"))?;
        // Loads that begin in the same millisecond may be stored.
        let (mark, last) = ((now - 1).to_string(), self.names.last_drop());
        let call = Call::Command(&[b"SET", &last, mark.as_bytes(), b"NX"]);
        self.guarded(self.net.answer(call, Target::Primary, limits)).await?;
        Ok(())
    }

    /// The same as [`get`](Self::get) for many, by one MGET; tags are not looked at. What this process
    /// took away lately is not either: only the primary knows whether it is there again.
    pub(super) async fn get_many(
        &self,
        keys: &[Key],
        target: Target,
    ) -> Result<Vec<Option<Found>>, Error> {
        let view = self.net.view();
        let node = self.net.choose(&view, target, None)?;
        let is_trusted = |key: &Key| self.journal.trust_key(key, || view.epoch) == Trust::Full;
        let trusted: Vec<bool> = keys.iter().map(is_trusted).collect();
        let values = self.guarded(self.read_many(node, keys, false)).await?;
        let now_ms = crate::topology::member::now_ms()
            + view.primary().map_or(0, |primary| primary.clock_ahead_ms);
        let found = |(value, is_trusted): (Value, bool)| {
            let bytes = value.into_bytes().ok().flatten().filter(|_| is_trusted)?;
            Some(Found { bytes, node: node.into(), now_ms, is_followed: false })
        };
        Ok(values.into_iter().zip(trusted).map(found).collect())
    }
}

fn generation(value: Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}
