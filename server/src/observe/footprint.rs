//! Where a node's memory goes: what INFO memory, MEMORY STATS and MEMORY DOCTOR tell.
//!
//! The figures are those of the node's own accounting, in which every entry, table, index and
//! connection buffer counts at the size the allocator gave; the operating system adds what the
//! process has in memory. An allocator is not asked for figures of its own, so "allocated" is the
//! accounting, and "active" and "resident" are the process.

use super::process;
use crate::keyspace::access::Access;
use crate::keyspace::shard::Shard;
use crate::keyspace::{Keyspace, SHARDS};
use crate::node::shared::Shared;
use parking_lot::Mutex;

/// One database's share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseFootprint {
    /// Keys, those that are due included.
    pub keys: u64,
    /// Keys with a deadline.
    pub volatile: u64,
    /// Hashes some of whose fields have a deadline.
    pub with_field_deadlines: u64,
    /// Bytes of the tables that find keys.
    pub table_bytes: u64,
    /// Bytes of the indexes that find deadlines.
    pub index_bytes: u64,
    /// Sum and number of the sampled deadlines, for the mean remaining time.
    deadlines: (i128, u64),
}

impl DatabaseFootprint {
    /// Milliseconds that a volatile key has left, on average over a sample; 0 without one.
    pub fn mean_ttl_ms(&self, now_ms: i64) -> i64 {
        let (sum, sampled) = self.deadlines;
        if sampled == 0 || self.volatile == 0 {
            return 0;
        }
        let mean = sum / i128::from(sampled) - i128::from(now_ms);
        i64::try_from(mean.max(0)).unwrap_or(i64::MAX)
    }
}

/// Where the memory of a node goes.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    /// All bytes in use.
    pub used_bytes: u64,
    /// The most that were in use.
    pub peak_bytes: u64,
    /// What an empty node uses.
    pub startup_bytes: u64,
    /// Buffers of connections.
    pub buffer_bytes: u64,
    /// Bytes of the process that are in memory.
    pub resident_bytes: u64,
    /// All databases, empty ones included.
    pub databases: Vec<DatabaseFootprint>,
    /// Keys that clients wait for, and those of them that a client waits to see go.
    pub waited_for: (usize, usize),
}

/// What shards tell, all together.
#[derive(Clone, Debug)]
struct Seen {
    databases: Vec<DatabaseFootprint>,
    waited_for: (usize, usize),
}

/// What was last seen of a node's shards by one who must not wait for a slow script.
#[derive(Debug, Default)]
pub struct LastSeen(Mutex<Option<Seen>>);

/// Deadlines that are looked at in each shard of a database to estimate the mean remaining time.
const DEADLINES_PER_SHARD: usize = 4;

impl Footprint {
    /// Looks at a node, one shard at a time; `last` is what was last seen of it, and all that is known
    /// while a slow script keeps a shard.
    pub fn new(node: &Shared, last: &LastSeen) -> Self {
        let mut seen = Seen::nothing(&node.keyspace);
        let is_whole = (0..SHARDS).all(|shard| {
            let shard = node.keyspace.lock_unless(shard, || node.scripts.slow.any());
            shard.inspect(|shard| seen.add(shard)).is_some()
        });
        let mut last = last.0.lock();
        if is_whole {
            *last = Some(seen.clone());
        } else if let Some(last) = &*last {
            seen = last.clone();
        }
        Self::of(&node.keyspace, seen)
    }

    /// The same by a command, which may hold shards.
    pub fn within(access: &mut Access<'_>) -> Self {
        let keyspace = access.keyspace();
        let mut seen = Seen::nothing(keyspace);
        (0..SHARDS).for_each(|shard| access.walk(shard, |shard| seen.add(shard)));
        Self::of(keyspace, seen)
    }

    fn of(keyspace: &Keyspace, seen: Seen) -> Self {
        let memory = keyspace.memory();
        Self {
            used_bytes: memory.used_bytes(),
            peak_bytes: memory.peak_bytes(),
            startup_bytes: keyspace.startup_bytes(),
            buffer_bytes: memory.buffer_bytes(),
            resident_bytes: process::resident_bytes(),
            databases: seen.databases,
            waited_for: seen.waited_for,
        }
    }

    /// Databases that hold keys, with their numbers.
    pub fn used_databases(&self) -> impl Iterator<Item = (usize, &DatabaseFootprint)> {
        self.databases.iter().enumerate().filter(|(_, db)| db.keys > 0)
    }

    /// Number of keys.
    pub fn keys(&self) -> u64 {
        self.databases.iter().map(|db| db.keys).sum()
    }

    /// Bytes that are neither key nor value.
    pub fn overhead_bytes(&self) -> u64 {
        let tables: u64 = self.databases.iter().map(|db| db.table_bytes + db.index_bytes).sum();
        self.startup_bytes + self.buffer_bytes + tables
    }

    /// Bytes of keys and values.
    pub fn dataset_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.overhead_bytes())
    }

    /// What is in use beyond an empty node; never 0, so that shares of it can be told.
    fn net_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.startup_bytes).max(1)
    }

    /// Keys and values in percent of what an empty node does not use.
    pub fn dataset_percent(&self) -> f64 {
        self.dataset_bytes() as f64 * 100.0 / self.net_bytes() as f64
    }

    /// What is in use in percent of the peak.
    pub fn peak_percent(&self) -> f64 {
        self.used_bytes as f64 * 100.0 / self.peak_bytes.max(1) as f64
    }

    /// Bytes for each key, overhead included; 0 without keys.
    pub fn bytes_per_key(&self) -> u64 {
        self.net_bytes().checked_div(self.keys()).unwrap_or(0)
    }

    /// How much larger the process is than what the accounting knows.
    pub fn fragmentation_ratio(&self) -> f64 {
        self.resident_bytes as f64 / self.used_bytes.max(1) as f64
    }

    /// The same as a difference, negative while pages are swapped out or not yet touched.
    pub fn fragmentation_bytes(&self) -> i64 {
        let difference = i128::from(self.resident_bytes) - i128::from(self.used_bytes);
        i64::try_from(difference).unwrap_or(i64::MAX)
    }
}

impl Seen {
    fn nothing(keyspace: &Keyspace) -> Self {
        let databases = vec![DatabaseFootprint::default(); keyspace.databases()];
        Self { databases, waited_for: (0, 0) }
    }

    fn add(&mut self, shard: &Shard) {
        let (keys, on_nokey) = shard.waiters.keys();
        self.waited_for.0 += keys;
        self.waited_for.1 += on_nokey;
        for (footprint, db) in self.databases.iter_mut().zip(shard.databases()) {
            footprint.keys += db.len() as u64;
            footprint.volatile += db.volatile() as u64;
            footprint.with_field_deadlines += db.field_deadlines().volatile() as u64;
            let table_bytes = db.table().size_bytes();
            footprint.table_bytes += table_bytes as u64;
            footprint.index_bytes += (db.overhead_bytes() - table_bytes) as u64;
            for deadline in db.deadlines().sample_ms(DEADLINES_PER_SHARD) {
                footprint.deadlines.0 += i128::from(deadline);
                footprint.deadlines.1 += 1;
            }
        }
    }
}
