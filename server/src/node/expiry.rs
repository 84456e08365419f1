//! Active expiry: each connection thread clears the due keys of its stripe of shards.
//!
//! A tick looks at one number per shard, its earliest deadline, and takes only the locks of shards
//! where something is due. A lock is held for a bounded batch and the thread serves its connections
//! between slices, so a million keys that fall due together delay nobody for long.

use super::shared::Shared;
use crate::clock::Tick;
use crate::connection::Thread;
use crate::keyspace::SHARDS;
use crate::keyspace::access::Changes;
use crate::keyspace::expire::is_due;
use crate::keyspace::notify::Classes;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How late a key may be found due by the clock; a fifth of the 100 ms that we promise.
const TICK: Duration = Duration::from_millis(20);
/// Keys expired under one hold of a shard's lock: about 20 microseconds.
const BATCH_KEYS: usize = 64;
/// Batches before the thread serves its connections again: about a millisecond.
const SLICE_BATCHES: usize = 32;

/// Expires the keys of shards `index`, `index + count`, ... until the runtime ends.
pub(super) async fn run(thread: Rc<Thread>, index: usize, count: usize) {
    let node = thread.node();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !node.active_expire.load(Ordering::Relaxed) {
            continue;
        }
        let now_ms = node.clock.unix_ms();
        let is_paused = || node.pause.blocks(true, now_ms);
        if is_paused() {
            continue;
        }
        let mut started = node.clock.tick();
        let mut batches = 0;
        'stripe: for shard in (index..SHARDS).step_by(count) {
            while is_due(node.keyspace.next_deadline_ms(shard), now_ms) {
                settle(&thread, expire_batch(&node, shard, now_ms));
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

fn count_time(thread: &Thread, started: Tick) {
    let executor = thread.executor();
    let worked = executor.node().clock.since(started);
    executor.stats().expire_cycle_us.add(worked.as_micros() as u64);
}

/// Counts what a batch took out, and serves who waited for it to go.
fn settle(thread: &Thread, expired: Expired) {
    let mut executor = thread.executor();
    executor.stats().expired_keys.add(expired.keys);
    for (db, key) in expired.waited_for {
        executor.begin_turn();
        executor.serve_gone(db, &key);
    }
}

/// What a batch took out.
struct Expired {
    /// How many keys.
    keys: u64,
    /// Databases and keys that somebody may wait for.
    waited_for: Vec<(usize, Vec<u8>)>,
}

/// Takes up to a batch of due keys out of one shard.
fn expire_batch(node: &Shared, index: usize, now_ms: i64) -> Expired {
    let mut waited_for = Vec::new();
    let mut removed = Vec::with_capacity(BATCH_KEYS);
    let mut changes = Changes::new(node.log.is_read(), node.notifier.wanted());
    let mut freed_bytes = 0;
    let mut shard = node.keyspace.lock(index);
    let has_waiters = !shard.waiters.is_empty();
    for number in 0..node.keyspace.databases() {
        let Some(db) = shard.existing_db_mut(number) else { break };
        let before = db.size_bytes();
        while removed.len() < BATCH_KEYS
            && let Some(entry) = db.take_due(now_ms)
        {
            changes.effect(number, &[b"DEL", entry.view().key()]);
            changes.event(Classes::EXPIRED, "expired", number, entry.view().key());
            if has_waiters {
                waited_for.push((number, entry.view().key().to_vec()));
            }
            removed.push(entry);
        }
        freed_bytes += before as i64 - db.size_bytes() as i64;
    }
    crate::propagate::publish(node, &mut changes);
    node.keyspace.refresh_deadline(index, &shard);
    drop(shard);
    node.keyspace.memory().add(-freed_bytes);
    Expired { keys: removed.len() as u64, waited_for }
}
