//! How many bytes a node uses, counted where they are taken and given back.
//!
//! Entries are counted at the size of the block the allocator hands out, tables and indexes at
//! their capacity. Each critical section adds its difference here when it is worth a shared write,
//! so the figure is behind by at most [`SLACK_BYTES`] per thread.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Largest difference in bytes that a thread keeps to itself.
pub const SLACK_BYTES: i64 = 16 * 1024;

/// Bytes in use.
#[derive(Default)]
pub struct Memory {
    data: AtomicI64,
    buffers: AtomicI64,
    peak: AtomicU64,
}

impl Memory {
    /// Adds to the bytes of the data set, or takes from them.
    #[inline]
    pub fn add(&self, bytes: i64) {
        if bytes != 0 {
            self.data.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Adds to the bytes of connection buffers, or takes from them.
    pub fn add_buffers(&self, bytes: i64) {
        if bytes != 0 {
            self.buffers.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes of the data set: entries, tables, indexes, shards.
    pub fn data_bytes(&self) -> u64 {
        self.data.load(Ordering::Relaxed).max(0) as u64
    }

    /// Bytes of connection buffers.
    pub fn buffer_bytes(&self) -> u64 {
        self.buffers.load(Ordering::Relaxed).max(0) as u64
    }

    /// All bytes in use, as INFO's `used_memory`.
    #[inline]
    pub fn used_bytes(&self) -> u64 {
        self.data_bytes() + self.buffer_bytes()
    }

    /// The highest `used_bytes` seen so far; looking is what updates it.
    pub fn peak_bytes(&self) -> u64 {
        let used = self.used_bytes();
        self.peak.fetch_max(used, Ordering::Relaxed).max(used)
    }
}
