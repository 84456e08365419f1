//! A part of the cache in this process's own memory, kept true by what the nodes say.
//!
//! A node tells us when a key changes that we read with CLIENT CACHING YES. The word may come while
//! the reply is still on its way to whoever asked, so each read remembers how many changes there were
//! before it, and keeps what it read only if there was none since. When a link is lost words may be
//! lost with it, so all is forgotten.

use super::builder::LocalOptions;
use super::key::Names;
use crate::topology::pushes::Listener;
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Groups of keys that changes are counted in.
const GROUPS: usize = 1024;

/// A value kept here.
pub(super) struct Kept<V> {
    /// `None` says that there is no value.
    pub(super) value: Option<Arc<V>>,
    pub(super) fresh_until: Instant,
    pub(super) cost_ms: u32,
    pub(super) bytes: usize,
    /// The tags it has, with the generations it was stored under.
    pub(super) tags: Vec<(String, u64)>,
    /// How often all had been forgotten before it was read.
    pub(super) flushes: u64,
}

/// How many changes there were before a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    changes: u64,
    tag_changes: u64,
    pub(super) flushes: u64,
}

/// What is kept here, and who waits for changes.
pub(super) struct Local<V> {
    names: Names,
    max_age: Duration,
    values: Option<moka::sync::Cache<Vec<u8>, Arc<Kept<V>>, RandomState>>,
    /// Generations of tags that were read, until they change.
    tags: moka::sync::Cache<String, u64>,
    hasher: RandomState,
    /// How often keys of each group changed. Held while one of them is kept, so that nobody is given
    /// what a change would have kept out.
    changes: Vec<Mutex<u64>>,
    /// The same of tags.
    tag_changes: Mutex<u64>,
    /// How often all was forgotten.
    flushes: AtomicU64,
    waiters: Mutex<HashMap<Vec<u8>, Vec<Weak<Notify>>>>,
}

impl<V: Send + Sync + 'static> Local<V> {
    pub(super) fn new(names: Names, options: Option<LocalOptions>) -> Self {
        let max_age = options.map_or(Duration::ZERO, |options| options.max_age);
        let values = options.map(|options| {
            // One bound for both: a small value weighs what it may at most.
            let least = (options.bytes / options.entries.max(1)).max(1);
            moka::sync::Cache::builder()
                .max_capacity(options.bytes)
                .weigher(move |key: &Vec<u8>, kept: &Arc<Kept<V>>| {
                    let bytes = (key.len() + kept.bytes) as u64;
                    u32::try_from(bytes.max(least)).unwrap_or(u32::MAX)
                })
                .build_with_hasher(RandomState::default())
        });
        Self {
            names,
            max_age,
            values,
            tags: moka::sync::Cache::builder().max_capacity(10_000).build(),
            hasher: RandomState::default(),
            changes: (0..GROUPS).map(|_| Mutex::default()).collect(),
            tag_changes: Mutex::default(),
            flushes: AtomicU64::new(0),
            waiters: Mutex::default(),
        }
    }

    /// Whether values are kept.
    pub(super) fn is_on(&self) -> bool {
        self.values.is_some()
    }

    /// A fresh value.
    pub(super) fn get(&self, key: &[u8], now: Instant) -> Option<Arc<Kept<V>>> {
        let kept = self.values.as_ref()?.get(key)?;
        let is_current =
            |(tag, generation): &(String, u64)| self.tags.get(tag) == Some(*generation);
        let is_old = kept.flushes != self.flushes.load(Ordering::SeqCst);
        (!is_old && now < kept.fresh_until && kept.tags.iter().all(is_current)).then_some(kept)
    }

    /// How many changes there were; to be taken before a read is sent.
    pub(super) fn mark(&self, key: &[u8]) -> Mark {
        Mark {
            changes: *self.group(key).lock(),
            tag_changes: *self.tag_changes.lock(),
            flushes: self.flushes.load(Ordering::SeqCst),
        }
    }

    /// Keeps a value unless it or a tag changed since `mark`.
    pub(super) fn keep(&self, key: &[u8], mark: Mark, mut kept: Kept<V>) {
        let Some(values) = &self.values else { return };
        kept.fresh_until = kept.fresh_until.min(Instant::now() + self.max_age);
        let changes = self.group(key).lock();
        let tag_changes = (!kept.tags.is_empty()).then(|| self.tag_changes.lock());
        let is_same = *changes == mark.changes
            && tag_changes.as_ref().is_none_or(|changes| **changes == mark.tag_changes)
            && self.flushes.load(Ordering::SeqCst) == mark.flushes;
        if is_same {
            for (tag, generation) in &kept.tags {
                self.tags.insert(tag.clone(), *generation);
            }
            values.insert(key.to_vec(), Arc::new(kept));
        }
    }

    /// Forgets a value, and what is being read of it.
    pub(super) fn forget(&self, key: &[u8]) {
        // What is kept before this is taken away below, and nothing older is kept after it.
        *self.group(key).lock() += 1;
        if let Some(values) = &self.values {
            values.invalidate(key);
        }
    }

    /// Forgets the generation of a tag.
    pub(super) fn forget_tag(&self, tag: &str) {
        *self.tag_changes.lock() += 1;
        self.tags.invalidate(tag);
    }

    /// Forgets all.
    pub(super) fn forget_all(&self) {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        if let Some(values) = &self.values {
            values.invalidate_all();
        }
        self.tags.invalidate_all();
        let waiters: Vec<_> = self.waiters.lock().drain().collect();
        for waiting in waiters.into_iter().flat_map(|(_, waiting)| waiting) {
            wake(&waiting);
        }
    }

    /// Hears of it when a value or its lease changes, once it was read with CLIENT CACHING YES.
    pub(super) fn wait(&self, key: &[u8]) -> Waiting<'_, V> {
        let change = Arc::new(Notify::new());
        self.waiters.lock().entry(key.to_vec()).or_default().push(Arc::downgrade(&change));
        Waiting { local: self, key: key.to_vec(), change: Some(change) }
    }

    fn group(&self, key: &[u8]) -> &Mutex<u64> {
        let hash = self.hasher.hash_one(key);
        &self.changes[(hash % GROUPS as u64) as usize]
    }
}

/// One who waits for a change.
pub(super) struct Waiting<'l, V> {
    local: &'l Local<V>,
    key: Vec<u8>,
    change: Option<Arc<Notify>>,
}

impl<V> Waiting<'_, V> {
    /// The next change since the wait began.
    pub(super) async fn changed(&self) {
        match &self.change {
            Some(change) => change.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl<V> Drop for Waiting<'_, V> {
    fn drop(&mut self) {
        self.change = None;
        let mut waiters = self.local.waiters.lock();
        if let Some(waiting) = waiters.get_mut(&self.key) {
            waiting.retain(|known| known.strong_count() > 0);
            if waiting.is_empty() {
                waiters.remove(&self.key);
            }
        }
    }
}

fn wake(waiting: &Weak<Notify>) {
    if let Some(waiting) = waiting.upgrade() {
        waiting.notify_one();
    }
}

impl<V: Send + Sync + 'static> Listener for Local<V> {
    fn invalidated(&self, keys: Option<&[&[u8]]>) {
        let Some(keys) = keys else { return self.forget_all() };
        for name in keys {
            if let Some(key) = self.names.value_of(name) {
                self.forget(key);
                let waiting = self.waiters.lock().remove(key);
                waiting.iter().flatten().for_each(wake);
            } else if let Some(tag) = self.names.tag_of(name) {
                self.forget_tag(tag);
            }
        }
    }

    fn link_lost(&self) {
        self.forget_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(value: u8) -> Kept<u8> {
        Kept {
            value: Some(Arc::new(value)),
            fresh_until: Instant::now() + Duration::from_secs(60),
            cost_ms: 1,
            bytes: 10,
            tags: Vec::new(),
            flushes: 0,
        }
    }

    fn local() -> Local<u8> {
        Local::new(Names::new("n"), Some(LocalOptions::default()))
    }

    #[test]
    fn a_change_during_the_read_keeps_the_value_out() {
        let local = local();
        let key = b"{n:1}";
        let mark = local.mark(key);
        local.keep(key, mark, kept(1));
        assert!(local.get(key, Instant::now()).is_some());
        let mark = local.mark(key);
        local.invalidated(Some(&[b"{n:1}#l"]));
        assert!(local.get(key, Instant::now()).is_none());
        local.keep(key, mark, kept(1));
        assert!(local.get(key, Instant::now()).is_none());
        local.invalidated(Some(&[b"{other:1}"]));
        local.keep(key, local.mark(key), kept(2));
        assert!(local.get(key, Instant::now()).is_some());
        local.link_lost();
        assert!(local.get(key, Instant::now()).is_none());
    }

    #[test]
    fn nobody_is_given_what_is_kept_amid_a_change() {
        let local = Arc::new(local());
        let row = Arc::new(AtomicU64::new(1));
        let tagged = |row: u64| Kept { tags: vec![("t".to_owned(), row)], ..kept(row as u8) };
        let reader = {
            let (local, row) = (Arc::clone(&local), Arc::clone(&row));
            std::thread::spawn(move || {
                while Arc::strong_count(&local) > 1 {
                    let mark = local.mark(b"{n:1}");
                    local.keep(b"{n:1}", mark, tagged(row.load(Ordering::SeqCst)));
                }
            })
        };
        for round in 0..200_000_u64 {
            let value = (row.fetch_add(1, Ordering::SeqCst) + 1) as u8;
            if round % 2 == 0 {
                local.forget(b"{n:1}");
            } else {
                local.forget_tag("t");
            }
            let got = local.get(b"{n:1}", Instant::now());
            let got = got.and_then(|kept| kept.value.as_deref().copied());
            assert!(got.is_none_or(|got| got == value), "{got:?} instead of {value}");
        }
        drop(local);
        reader.join().unwrap();
    }

    #[test]
    fn tags_that_change_hide_their_values() {
        let local = local();
        let key = b"{n:1}";
        let tagged = || Kept { tags: vec![("t".to_owned(), 5)], ..kept(1) };
        let mark = local.mark(key);
        local.keep(key, mark, tagged());
        assert!(local.get(key, Instant::now()).is_some());
        local.invalidated(Some(&[b"{n}#t:t"]));
        assert!(local.get(key, Instant::now()).is_none());
        local.keep(key, mark, tagged());
        assert!(local.get(key, Instant::now()).is_none(), "the tag changed during the read");
    }

    #[test]
    fn old_values_are_not_given() {
        let local = local();
        let key = b"{n:1}";
        local.keep(key, local.mark(key), kept(1));
        assert!(local.get(key, Instant::now() + Duration::from_secs(61)).is_none());
    }
}
