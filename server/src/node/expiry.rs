//! Active expiry: each connection thread clears the due keys, and due fields of hashes, of its stripe
//! of shards.
//!
//! A tick looks at one number per shard, its earliest deadline, and takes only the locks of shards
//! where something is due. A lock is held for a bounded batch and the thread serves its connections
//! between slices, so a million keys that fall due together delay nobody for long.

use super::shared::Shared;
use crate::clock::Tick;
use crate::connection::Thread;
use crate::keyspace::SHARDS;
use crate::keyspace::changes::Changes;
use crate::keyspace::expire::is_due;
use crate::keyspace::garbage::Removed;
use crate::keyspace::notify::Classes;
use crate::types::hash::expiry::is_empty;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How late a key may be found due by the clock; a fifth of the 100 ms that we promise.
const TICK: Duration = Duration::from_millis(20);
/// The same at a thread that serves nobody: a node at rest costs little.
const REST: Duration = Duration::from_millis(80);
/// The same while the node rests, unless something falls due sooner.
const RESTING_MS: i64 = 2048;
/// Keys and fields expired under one hold of a shard's lock: about 20 microseconds.
const BATCH: usize = 64;
/// Batches before the thread serves its connections again: about a millisecond.
const SLICE_BATCHES: usize = 32;

/// Expires the keys of shards `index`, `index + count`, ... until the runtime ends.
pub(super) async fn run(thread: Rc<Thread>, index: usize, count: usize) {
    let node = thread.node();
    loop {
        let serves = thread.load().connections.load(Ordering::Relaxed) > 0;
        let busy = if serves { TICK } else { REST };
        node.rest.pause(busy, || resting(&node, index, count)).await;
        // What goes is told by what is loaded.
        if node.loading.is_active() {
            continue;
        }
        if index == 0 {
            thread.executor().keep_memory();
        }
        if !node.active_expire.load(Ordering::Relaxed) {
            continue;
        }
        let now_ms = node.clock.unix_ms();
        // A replica's keys go when its primary says so.
        let is_paused = || node.pause.blocks(true, now_ms) || node.role.is_replica();
        if is_paused() {
            continue;
        }
        let mut started = node.clock.tick();
        let mut batches = 0;
        'stripe: for shard in (index..SHARDS).step_by(count) {
            while is_due(node.keyspace.next_deadline_ms(shard), now_ms) {
                // One that is in use for long is for the next tick.
                let Some(expired) = expire_batch(&node, shard, now_ms) else { break };
                hand_on(&thread, expired);
                batches += 1;
                if batches % SLICE_BATCHES == 0 {
                    count_time(&thread, started);
                    tokio::task::yield_now().await;
                    started = node.clock.tick();
                    // A pause may have begun meanwhile.
                    if is_paused() {
                        break 'stripe;
                    }
                }
            }
        }
        if batches % SLICE_BATCHES > 0 {
            count_time(&thread, started);
        }
    }
}

/// How long a stripe may be left alone while no command runs: nothing new falls due then.
fn resting(node: &Shared, index: usize, count: usize) -> Duration {
    let longest = Duration::from_millis(RESTING_MS as u64);
    if node.role.is_replica() || !node.active_expire.load(Ordering::Relaxed) {
        return longest;
    }
    let shards = (index..SHARDS).step_by(count);
    let next_ms = shards.map(|shard| node.keyspace.next_deadline_ms(shard)).min();
    let left_ms = next_ms.unwrap_or(i64::MAX).saturating_sub(node.clock.unix_ms());
    Duration::from_millis(left_ms.clamp(0, RESTING_MS) as u64).max(TICK)
}

fn count_time(thread: &Thread, started: Tick) {
    let mut executor = thread.executor();
    // The thread may not have served anybody since the settings changed.
    executor.begin_turn();
    let worked = executor.node().clock.since(started);
    executor.stats().expire_cycle_us.add(worked.as_micros() as u64);
    executor.note_latency("expire-cycle", started);
}

/// Counts what a batch took out, and tells those who waited for it.
fn hand_on(thread: &Thread, expired: Expired) {
    let mut executor = thread.executor();
    executor.stats().expired_keys.add(expired.keys);
    executor.stats().expired_fields.add(expired.fields);
    for (db, key) in expired.waited_for {
        executor.begin_turn();
        executor.serve_gone(db, &key);
    }
    executor.node().tracking.broadcast(executor.node());
    executor.node().log.wake_readers();
}

/// What a batch took out.
struct Expired {
    /// How many keys.
    keys: u64,
    /// How many fields of hashes.
    fields: u64,
    /// Databases and keys that somebody may wait for.
    waited_for: Vec<(usize, Vec<u8>)>,
}

/// Takes up to a batch of due keys and fields out of one shard.
fn expire_batch(node: &Shared, index: usize, now_ms: i64) -> Option<Expired> {
    let (mut removed, mut keys, mut fields) = (Vec::with_capacity(BATCH), 0, 0);
    let mut waited_for = Vec::new();
    let mut freed_bytes = 0;
    let mut shard = node.keyspace.lock_unless(index, || true)?;
    if node.role.is_replica() || node.role.holds_writes() {
        return None;
    }
    let mut changes = Changes::new(node.log.is_read(), node.wanted_events());
    changes.lazy_expire = node.config.load().lazyfree_lazy_expire;
    let has_waiters = !shard.waiters.is_empty();
    // Told at the end: the tables are in use until then.
    let mut watched = Vec::new();
    let has_watchers = !shard.watchers.is_empty();
    for number in 0..node.keyspace.databases() {
        let Some(db) = shard.existing_db_mut(number) else { break };
        let before = db.size_bytes();
        while keys + fields < BATCH
            && let Some(entry) = db.take_due(now_ms)
        {
            changes.expired(number, entry.view().key());
            if has_waiters {
                waited_for.push((number, entry.view().key().to_vec()));
            }
            if has_watchers {
                watched.push((number, entry.view().key().to_vec()));
            }
            removed.push(Removed::Dead(entry));
            keys += 1;
        }
        while keys + fields < BATCH
            && let Some(found) = db.find_due_fields(now_ms)
        {
            let key = db.get(found.1).key().to_vec();
            let expired = db.expire_fields(found, now_ms, BATCH - keys - fields, |field| {
                changes.effect(number, &[b"HDEL", &key, field]);
            });
            if expired > 0 {
                changes.event(Classes::HASH, "hexpired", number, &key);
                if has_watchers {
                    watched.push((number, key.clone()));
                }
            }
            if is_empty(db.get(found.1)) {
                changes.event(Classes::GENERIC, "del", number, &key);
                removed.push(Removed::Dead(db.remove(found.1)));
            }
            fields += expired;
        }
        freed_bytes += before as i64 - db.size_bytes() as i64;
    }
    for (number, key) in watched {
        shard.touch(number, node.keyspace.key(&key));
    }
    crate::propagate::publish(node, &mut changes);
    node.keyspace.refresh_deadline(index, &shard);
    node.keyspace.memory().add(-freed_bytes);
    drop(shard);
    if removed.iter().any(Removed::is_large) && changes.lazy_expire {
        node.reap(removed);
    }
    Some(Expired { keys: keys as u64, fields: fields as u64, waited_for })
}
