//! The data set: an array of shards, each a mutex around the tables of all databases.
//!
//! A key's hash picks its shard with the upper bits and its place in the table with the next ones.
//! The hash does not depend on the database, so MOVE and COPY between databases stay in one shard.
//! Commands reach shards only through [`access::Access`], which holds the locks of a lock plan.
//!
//! Invariants: several shards are locked in ascending order only ([`lock`] knows the one exception); no
//! shard lock is held while waiting for anything but a higher shard; memory is accounted in the same critical section that
//! changes it.

pub mod access;
pub mod changes;
pub mod dataset;
pub mod evict;
pub mod expire;
pub mod garbage;
pub mod held;
pub mod lock;
pub mod memory;
pub mod notify;
pub mod scan;
pub mod shard;
pub mod snapshot;
pub mod tracking;
pub(crate) mod wait;
pub mod waiters;
pub mod watch;

#[cfg(test)]
mod tests;

use crate::raw::TAG_BITS;
use crate::sync::Mutex;
use crossbeam_utils::CachePadded;
use foldhash::quality::RandomState;
use lock::Escalation;
use memory::Memory;
use shard::{Db, Shard};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};

/// Bits of a key's hash that pick its shard.
///
/// Few where schedules are tried: each lock is a place where another thread may come in.
pub const SHARD_BITS: u32 = if cfg!(feature = "shuttle") { 3 } else { 10 };
/// Shards per node: enough that two threads seldom meet, few enough to lock all of them quickly.
pub const SHARDS: usize = 1 << SHARD_BITS;

/// A key's hash under this keyspace's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Which shard holds the key.
    #[inline]
    pub fn shard(self) -> usize {
        (self.0 >> (u64::BITS - SHARD_BITS)) as usize
    }

    /// What the shard's table keeps of the hash.
    #[inline]
    pub fn tag(self) -> u32 {
        (self.0 >> (u64::BITS - SHARD_BITS - TAG_BITS)) as u32 & ((1 << TAG_BITS) - 1)
    }
}

/// A key that a command named, hashed once.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its hash.
    pub hash: KeyHash,
}

/// All databases of a node.
pub struct Keyspace {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Earliest deadline in each shard, readable without its lock; `i64::MAX` when there is none.
    /// Written under the shard's lock.
    next_deadlines: Box<[AtomicI64]>,
    hasher: RandomState,
    databases: usize,
    memory: Memory,
    escalation: Escalation,
}

impl Keyspace {
    /// An empty keyspace of `databases` databases with a fresh hash seed.
    pub fn new(databases: usize) -> Self {
        let shards: Box<[_]> = (0..SHARDS).map(|_| CachePadded::default()).collect();
        let next_deadlines: Box<[_]> = (0..SHARDS).map(|_| AtomicI64::new(i64::MAX)).collect();
        let memory = Memory::default();
        memory.add((size_of_val(&*shards) + size_of_val(&*next_deadlines)) as i64);
        Self {
            shards,
            next_deadlines,
            hasher: RandomState::default(),
            databases,
            memory,
            escalation: Escalation::default(),
        }
    }

    /// What an empty keyspace takes.
    pub fn startup_bytes(&self) -> u64 {
        (size_of_val(&*self.shards) + size_of_val(&*self.next_deadlines)) as u64
    }

    /// How many databases there are.
    pub fn databases(&self) -> usize {
        self.databases
    }

    /// What the data set takes.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Hashes a key.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        Key { bytes, hash: KeyHash(hasher.finish()) }
    }

    /// The earliest deadline of a shard as last written; `i64::MAX` when it has none.
    #[inline]
    pub(crate) fn next_deadline_ms(&self, shard: usize) -> i64 {
        self.next_deadlines[shard].load(Ordering::Relaxed)
    }

    /// Notes a deadline that was added to a locked shard.
    #[inline]
    pub(crate) fn note_deadline(&self, shard: usize, deadline_ms: i64) {
        if deadline_ms < self.next_deadline_ms(shard) {
            self.next_deadlines[shard].store(deadline_ms, Ordering::Relaxed);
        }
    }

    /// Recomputes the earliest deadline of a locked shard.
    pub(crate) fn refresh_deadline(&self, index: usize, shard: &Shard) {
        let next = shard.databases().filter_map(Db::next_deadline_ms).min().unwrap_or(i64::MAX);
        self.next_deadlines[index].store(next, Ordering::Relaxed);
    }
}
