//! Everything that makes values go away, or puts the right ones in their place.
//!
//! An invalidation belongs after the commit of the database: then no load that began later reads what
//! was before, and none that began earlier can store it. One that cannot be made is owed; the task
//! that settles debts also makes recent ones again after a failover.

use super::key::CacheKey;
use super::load::{Loaded, What, failed};
use super::metrics::Event;
use super::owed::{How, Owed};
use super::ttl::millis;
use super::{Cache, Durability, Inner, Invalidation};
use crate::error::Error;
use crate::journal::{Debtor, Journal};
use crate::net::Net;
use crate::routing::token::Token;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An invalidation that was described and not yet made; awaiting it makes it. Once that has begun it
/// is made in any case, also if whoever waits gives up.
#[must_use]
pub struct Invalidate<V> {
    inner: Arc<Inner<V>>,
    owed: Owed,
    durability: Durability,
}

impl<V> std::fmt::Debug for Invalidate<V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Invalidate").field("owed", &self.owed).finish_non_exhaustive()
    }
}

impl<V> Invalidate<V> {
    /// Stores nothing for so long: for loads that read a replica of the database.
    pub fn hold_off(mut self, time: Duration) -> Self {
        if let Owed::Value { how, .. } = &mut self.owed {
            how.hold_ms = millis(time);
        }
        self
    }

    /// Stores nothing of a version before this one, for a day: for databases that give versions,
    /// whatever their replicas' lag. Loaders have to give the version of what they load.
    pub fn min_version(mut self, version: u64) -> Self {
        if let Owed::Value { how, .. } = &mut self.owed {
            how.version = version;
        }
        self
    }

    /// Lets the value be given as a stale one until it is loaded anew.
    pub fn soft(mut self) -> Self {
        if let Owed::Value { how, .. } = &mut self.owed {
            how.is_soft = true;
        }
        self
    }

    /// When it is done, instead of the cache's own choice.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

impl<V: Send + Sync + 'static> IntoFuture for Invalidate<V> {
    type Output = Invalidation;
    type IntoFuture = Pin<Box<dyn Future<Output = Invalidation> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.inner.invalidate(self.owed, self.durability).await })
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + ?Sized,
    V: Send + Sync + 'static,
{
    /// Takes the value of a key away, and the lease of whoever loads it.
    pub fn invalidate(&self, key: &K) -> Invalidate<V> {
        self.invalidate_owed(self.owed(key))
    }

    /// Takes many away, one after the other, and all of them once it has begun.
    pub async fn invalidate_many<'k>(&self, keys: impl IntoIterator<Item = &'k K>) -> Invalidation
    where
        K: 'k,
    {
        let mut all = Invalidation { is_queued: false, token: None, replicas: None };
        let debt = |key| Debt { inner: &self.inner, owed: Some(self.owed(key)) };
        let mut debts = keys.into_iter().map(debt).collect::<Vec<_>>().into_iter();
        while let Some(debt) = debts.next() {
            let Some(owed) = debt.owed.clone() else { continue };
            // The last wait covers the others.
            let durability = match debts.len() {
                0 => self.inner.store.options.durability,
                _ => Durability::Primary,
            };
            let one = self.inner.invalidate(owed, durability).await;
            debt.paid();
            all.is_queued |= one.is_queued;
            all.token = one.token;
            all.replicas = one.replicas;
        }
        all
    }

    /// Takes all values with a tag away.
    pub fn drop_tag(&self, tag: &str) -> Invalidate<V> {
        self.invalidate_owed(Owed::Tag(tag.to_owned()))
    }

    /// Takes all values of the namespace away. It goes through the whole data set in small steps.
    pub fn clear(&self) -> Invalidate<V> {
        self.invalidate_owed(Owed::All)
    }

    /// Changes the database, then invalidates: whatever `change` gives, because one that fails may
    /// have been committed, and if it is dropped half way, too.
    ///
    /// # Errors
    /// What `change` says.
    pub async fn after_commit<T, E>(
        &self,
        key: &K,
        change: impl Future<Output = Result<T, E>>,
    ) -> Result<(T, Invalidation), E> {
        let owed = self.owed(key);
        let debt = Debt { inner: &self.inner, owed: Some(owed.clone()) };
        let changed = change.await;
        let done = self.inner.invalidate(owed, self.inner.store.options.durability).await;
        debt.paid();
        Ok((changed?, done))
    }

    /// Changes the database and puts what it holds now into the cache. Of several at once none or the
    /// last stays.
    ///
    /// # Errors
    /// What `change` says, and what cannot be encoded.
    pub async fn write_through<T, E>(
        &self,
        key: &K,
        change: impl Future<Output = Result<T, E>>,
    ) -> Result<(Option<Arc<V>>, Invalidation), Error>
    where
        T: Into<Loaded<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let inner = &self.inner;
        let owed = self.owed(key);
        let name = inner.store.names.value(key);
        let debt = Debt { inner, owed: Some(owed.clone()) };
        let lease = inner.store.seize(&name).await;
        let began = Instant::now();
        let changed = change.await;
        // What was there is wrong now, whether or not the new value gets in.
        inner.forget(&owed);
        let loaded = match changed {
            Ok(loaded) => loaded.into(),
            Err(error) => {
                inner.invalidate(owed, inner.store.options.durability).await;
                debt.paid();
                return Err(failed(error));
            }
        };
        let is_kept = loaded.is_kept && !matches!(loaded.what, What::NotModified);
        let (value, filling) = inner.filling(loaded, None, began.elapsed())?;
        if let (Ok(lease), Some(filling), true) = (lease, filling, is_kept)
            && inner.store.fill(&name, &lease, &filling).await.unwrap_or(false)
        {
            inner.forget(&owed);
            let token = inner.store.mark().await;
            inner.store.journal.made(owed.clone(), token, Instant::now());
            let replicas = inner.store.confirm(inner.store.options.durability).await;
            // After a failover nobody knows what is there.
            if inner.store.net.epoch() == lease.epoch {
                debt.paid();
                return Ok((value, Invalidation { is_queued: false, token, replicas }));
            }
        }
        // Another wrote at the same time, and nobody knows whose change was the last.
        let done = inner.invalidate(owed, inner.store.options.durability).await;
        debt.paid();
        Ok((value, done))
    }

    fn owed(&self, key: &K) -> Owed {
        let key = self.inner.store.names.value(key);
        let hold_ms = millis(self.inner.store.options.hold_off);
        Owed::Value { key, how: How { hold_ms, ..How::default() } }
    }

    fn invalidate_owed(&self, owed: Owed) -> Invalidate<V> {
        let durability = self.inner.store.options.durability;
        Invalidate { inner: Arc::clone(&self.inner), owed, durability }
    }
}

/// An invalidation that is owed in any case: if whoever makes it is dropped, the journal does.
struct Debt<'i, V> {
    inner: &'i Inner<V>,
    owed: Option<Owed>,
}

impl<V> Debt<'_, V> {
    fn paid(mut self) {
        self.owed = None;
    }
}

impl<V> Drop for Debt<'_, V> {
    fn drop(&mut self) {
        if let Some(owed) = self.owed.take() {
            self.inner.store.journal.owe(owed);
        }
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    async fn invalidate(&self, owed: Owed, durability: Durability) -> Invalidation {
        // Who gives up waiting for it still wants it.
        let debt = Debt { inner: self, owed: Some(owed.clone()) };
        self.forget(&owed);
        let done = self.store.invalidate(owed.clone(), durability).await;
        // What was read while it was under way.
        self.forget(&owed);
        debt.paid();
        done
    }

    /// Forgets what this process holds of something.
    fn forget(&self, owed: &Owed) {
        match owed {
            Owed::Value { key, .. } => {
                self.local.forget(key);
                self.flights.detach(key);
            }
            Owed::Tag(tag) => {
                self.local.forget_tag(tag);
                self.flights.detach_all();
            }
            Owed::All => {
                self.local.forget_all();
                self.flights.detach_all();
            }
        }
    }
}

impl<V: Send + Sync + 'static> Debtor for Inner<V> {
    type Owed = Owed;

    fn journal(&self) -> &Journal<Owed> {
        &self.store.journal
    }

    fn net(&self) -> &Net {
        &self.store.net
    }

    fn make(&self, owed: &Owed) -> impl Future<Output = Result<Option<Token>, Error>> + Send {
        self.store.invalidate_now(owed)
    }

    fn is_settled(&self, owed: &Owed) {
        self.forget(owed);
    }

    fn fails_over(&self) {
        self.store.counts.count(Event::Failover);
    }

    fn begins_replay(&self, count: usize) {
        self.local.forget_all();
        for _ in 0..count {
            self.store.counts.count(Event::Replayed);
        }
    }
}
