//! Who waits for which key of a shard, in order of arrival.
//!
//! A blocking command that finds nothing leaves a [`Waiter`] under each key it waits for, while it
//! still holds their shards. Whoever makes such a key ready serves the waiters before it lets the
//! shards go, so nobody can come in between. One waiter may stand under several keys and is served
//! once: its state decides, not its places. The waiter's own connection takes it out of the queues
//! that did not serve it.
//!
//! Invariant: a queue is never empty, so keys that nobody waits for leave nothing behind.

use super::{KeyHash, SHARDS};
use crate::dispatch::blocking::{WaitFor, Waiter};
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Some of the shards.
#[derive(Clone, Debug)]
pub struct ShardSet([u64; WORDS]);

const WORDS: usize = SHARDS.div_ceil(64);
/// A word of a set of all shards.
const FULL_WORD: u64 = if SHARDS < 64 { (1 << (SHARDS % 64)) - 1 } else { u64::MAX };

impl Default for ShardSet {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl ShardSet {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, shard: usize) {
        self.0[shard / 64] |= 1 << (shard % 64);
    }

    /// Adds those of another set.
    #[inline]
    pub fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Whether a shard is among them.
    fn has(&self, shard: usize) -> bool {
        self.0[shard / 64] >> (shard % 64) & 1 == 1
    }

    /// Whether all are.
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|word| *word == FULL_WORD)
    }

    /// They, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..SHARDS).filter(|shard| self.has(*shard))
    }
}

/// The queues of one shard.
#[derive(Default)]
pub struct Waiters {
    /// Mostly nobody waits, so this is not there; it is never empty.
    queues: Option<Box<Queues>>,
}

/// By database and key.
type Queues = HashMap<(usize, Box<[u8]>), Queue, RandomState>;

#[derive(Default)]
struct Queue {
    waiters: VecDeque<Arc<Waiter>>,
    /// How many of them are also woken when the key goes.
    for_groups: usize,
}

/// A key that became ready while somebody waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyKey {
    /// Database number.
    pub db: usize,
    /// The key.
    pub key: Vec<u8>,
    /// Its hash.
    pub hash: KeyHash,
}

impl Waiters {
    /// Whether nobody waits here.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queues.is_none()
    }

    fn all(&self) -> impl Iterator<Item = (&(usize, Box<[u8]>), &Queue)> {
        self.queues.iter().flat_map(|queues| queues.iter())
    }

    fn of(&self, db: usize, key: &[u8]) -> Option<&Queue> {
        self.queues.as_ref()?.get(&(db, Box::from(key)))
    }

    /// How many keys somebody waits for, and how many of these somebody waits for to go as well.
    pub fn keys(&self) -> (usize, usize) {
        let keys = self.queues.as_ref().map_or(0, |queues| queues.len());
        (keys, self.all().filter(|(_, queue)| queue.for_groups > 0).count())
    }

    /// Whether anybody waits for a key.
    pub fn has(&self, db: usize, key: &[u8]) -> bool {
        self.of(db, key).is_some()
    }

    /// The keys of a database that somebody waits for.
    pub fn keys_of(&self, db: usize) -> impl Iterator<Item = &[u8]> {
        let of_db = self.all().filter(move |((number, _), _)| *number == db);
        of_db.map(|((_, key), _)| &**key)
    }

    /// Adds the shards that serving anyone here may need.
    pub fn add_shards(&self, shards: &mut ShardSet) {
        for waiter in self.all().flat_map(|(_, queue)| &queue.waiters) {
            shards.add_all(&waiter.shards);
        }
    }

    /// Puts a waiter at the end of a key's queue.
    pub fn add(&mut self, db: usize, key: &[u8], waiter: Arc<Waiter>) {
        let queues = self.queues.get_or_insert_default();
        let queue = queues.entry((db, Box::from(key))).or_default();
        queue.for_groups += usize::from(waiter.wants == WaitFor::Group);
        queue.waiters.push_back(waiter);
    }

    /// The waiter at a place of a key's queue.
    pub fn at(&self, db: usize, key: &[u8], place: usize) -> Option<Arc<Waiter>> {
        self.of(db, key)?.waiters.get(place).cloned()
    }

    /// Whether anybody waits for a key to go.
    pub fn for_groups(&self, db: usize, key: &[u8]) -> bool {
        self.of(db, key).is_some_and(|queue| queue.for_groups > 0)
    }

    /// Takes a waiter out of a key's queue, if it is there.
    pub fn remove(&mut self, db: usize, key: &[u8], waiter: &Arc<Waiter>) {
        let name = (db, Box::from(key));
        let Some(queues) = &mut self.queues else { return };
        let Some(queue) = queues.get_mut(&name) else { return };
        let found = queue.waiters.iter().position(|other| Arc::ptr_eq(other, waiter));
        if let Some(place) = found {
            queue.waiters.remove(place);
            queue.for_groups -= usize::from(waiter.wants == WaitFor::Group);
        }
        if queue.waiters.is_empty() {
            queues.remove(&name);
            if queues.is_empty() {
                self.queues = None;
            }
        }
    }
}
