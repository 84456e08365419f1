//! Memory as an executor sees it: what its thread changed, the room that a command needs, and who is
//! told of keys that went for it.

use super::call::Call;
use super::{Executor, Host, blocking, lock_for_waiters};
use crate::keyspace::access::Access;
use crate::keyspace::changes::Changes;
use crate::keyspace::evict::Touch;
use crate::keyspace::garbage::Removed;
use crate::keyspace::held::Held;
use crate::keyspace::memory::SLACK_BYTES;
use crate::keyspace::notify::Classes;
use crate::node::shared::Shared;
use std::sync::Arc;

impl Executor {
    /// How much of a difference in memory this thread may keep to itself.
    pub(super) fn memory_slack(&self) -> i64 {
        match self.settings.maxmemory_bytes {
            0 => SLACK_BYTES,
            // Two threads together stay well below a thousandth of the limit.
            limit => SLACK_BYTES.min((limit / 4096) as i64),
        }
    }

    /// Closes the largest clients while all of them are above `maxmemory-clients`.
    #[inline]
    pub fn evict_clients(&self) {
        let limit = self.settings.maxmemory_clients.clients_bytes(self.settings.maxmemory_bytes);
        if self.node.clients.are_over(limit) {
            let evicted = self.node.clients.evict(limit, self.node.keyspace.memory());
            self.meter.stats.evicted_clients.add(evicted);
        }
    }

    /// Adds what this thread kept to itself to the node's sum.
    pub fn flush_memory(&mut self) {
        self.node.keyspace.memory().add(std::mem::take(&mut self.memory_delta));
    }

    /// Evicts when memory is above the limit although no command asks for any: the limit was lowered.
    pub fn keep_memory(&mut self) {
        self.begin_turn();
        let limit = self.settings.maxmemory_bytes;
        if limit > 0 && self.node.keyspace.memory().used_bytes() > limit && !self.leaves_eviction()
        {
            self.make_room();
            self.node.tracking.broadcast(&self.node);
            self.node.log.wake_readers();
        }
    }

    /// Whether eviction is left to the primary.
    pub fn leaves_eviction(&self) -> bool {
        self.settings.replica_ignore_maxmemory && self.node.role.is_replica()
    }

    /// Evicts until memory is below the limit; tells whether it is.
    ///
    /// Bounded per call: a limit that was lowered by far is reached over many commands.
    #[cold]
    pub fn make_room(&mut self) -> bool {
        self.flush_memory();
        let node = Arc::clone(&self.node);
        if node.pause.blocks(true, self.now_ms()) {
            return true;
        }
        let started = node.clock.tick();
        let evicts = self.evict(&node);
        self.note_latency("eviction-cycle", started);
        let is_below = node.keyspace.memory().used_bytes() <= self.settings.maxmemory_bytes;
        let now_nanos = node.clock.monotonic_nanos();
        if is_below {
            node.pressure.end(now_nanos);
        } else {
            node.pressure.begin(now_nanos);
        }
        evicts
    }

    /// Evicts key by key; false when nothing is left to evict.
    fn evict(&mut self, node: &Arc<Shared>) -> bool {
        const EVICTIONS_MAX: usize = 10_000;
        let (memory, limit) = (node.keyspace.memory(), self.settings.maxmemory_bytes);
        // What clients are told of evicted keys takes memory until it is sent. Were it made room for,
        // each key that goes could cost another one.
        let buffers_bytes = memory.buffer_bytes();
        for _ in 0..EVICTIONS_MAX {
            if memory.data_bytes() + buffers_bytes <= limit || node.role.holds_writes() {
                return true;
            }
            let started = node.clock.tick();
            let random = &mut self.random;
            let is_lazy = self.settings.lazyfree_lazy_eviction;
            let evicted = node.keyspace.evict_one(
                &self.settings,
                self.meter.now_us.div_euclid(1000),
                &mut || random.u64(..),
                |db, key, class: Classes| {
                    let mut changes = Changes::new(node.log.is_read(), node.wanted_events());
                    changes.gone(db, key, is_lazy);
                    changes.event(class, "evicted", db, key);
                    crate::propagate::publish(node, &mut changes);
                },
            );
            let Some(evicted) = evicted else { return false };
            self.meter.stats.evicted_keys.add(1);
            self.serve_gone(evicted.db, evicted.entry.view().key());
            let removed = Removed::Dead(evicted.entry);
            if is_lazy && removed.is_large() {
                node.reap(vec![removed]);
            } else {
                drop(removed);
            }
            self.note_latency("eviction-del", started);
        }
        // Still above, but there was something to evict: commands go on, as in Redis.
        true
    }

    /// Serves those who wait for a key to go, after time or a lack of memory took it.
    pub fn serve_gone(&mut self, db: usize, key: &[u8]) {
        let node = Arc::clone(&self.node);
        let key = node.keyspace.key(key);
        let held = Held::One(key.hash.shard(), node.keyspace.lock(key.hash.shard()));
        if !held.has_waiters() {
            return;
        }
        let held = lock_for_waiters(&node, held);
        let mut changes = Changes::new(node.log.is_read(), node.wanted_events());
        changes.lazy_expire = self.settings.lazyfree_lazy_expire;
        let touch = Touch::new(&self.settings, self.now_ms(), || self.random.u32(..));
        let mut access = Access::new(&node.keyspace, held, db, self.now_ms(), touch, changes);
        access.signal(key);
        let now_us = self.meter.now_us;
        let (settings, meter, random) = (&*self.settings, &mut self.meter, &mut self.random);
        let host = Host { node: &node, settings, meter, random, now_us };
        blocking::serve_ready(host, &mut access);
        crate::propagate::publish(&node, &mut access.changes);
        self.meter.stats.dirty.add(access.changes.dirty);
        let (tally, memory_delta) = (access.tally, access.memory_delta());
        drop(access);
        self.settle(memory_delta, tally);
    }
}

/// Leaves to the reaper what takes long to free, where the command or a setting says so.
#[cold]
pub(super) fn reap(call: &mut Call<'_>) {
    let settings = call.settings;
    let by_command = match call.row.name {
        "unlink" => true,
        "del" => settings.lazyfree_lazy_user_del,
        _ => settings.lazyfree_lazy_server_del,
    };
    call.node.reap(call.db.take_large_garbage(|removed| match removed {
        Removed::Entry(_) | Removed::Detached(_) => by_command,
        Removed::Dead(_) => settings.lazyfree_lazy_expire,
        // A flush says itself who frees.
        Removed::Database(_) => false,
    }));
}
