//! Who waits until replicas or disks have what it wrote: WAIT, WAITAOF, and replies that `write-acks`
//! holds back.
//!
//! A waiter is parked like one that waits for a key. Whoever hears of a replica's offset, or syncs the
//! append-only file, looks whether that ends a wait, and so does who begins one, since it may have
//! come in between.

use super::Replicas;
use crate::config::{Settings, WriteAcks};
use crate::dispatch::blocking::Waiter;
use crate::node::clients::Client;
use crate::node::shared::Shared;
use larder_protocol::{CommandError, Reply};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long a thread that waits goes without another question.
const LOOK: Duration = Duration::from_millis(5);

/// The offset that as many replicas have as the settings want; `acked` are those of replicas that are
/// online.
///
/// A replica that is gone does not count, unless `min-replicas-to-write` says how many there must be.
fn confirmed(settings: &Settings, acked: &mut [u64]) -> u64 {
    let replicas = acked.len().max(settings.min_replicas_to_write as usize).max(1);
    let needed = match settings.write_acks {
        WriteAcks::Primary => return u64::MAX,
        WriteAcks::Quorum => replicas.div_ceil(2),
        WriteAcks::All => replicas,
    };
    acked.sort_unstable_by(|one, other| other.cmp(one));
    acked.get(needed - 1).copied().unwrap_or(0)
}

/// Those who wait.
#[derive(Default)]
pub(super) struct Acks {
    waiting: Mutex<Vec<Arc<Waiter>>>,
    count: AtomicUsize,
    /// Clients whose connections hold replies back.
    holders: Mutex<Vec<Arc<Client>>>,
    /// The offset up to which as many replicas have everything as `write-acks` wants.
    confirmed: AtomicU64,
    /// The offset at which replicas were last asked on account of a reply.
    asked: AtomicU64,
    /// Threads that wait for `confirmed`.
    blocked: Mutex<()>,
    advanced: Condvar,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The offset that replicas must have.
    pub offset: u64,
    /// How many of them.
    pub replicas: u64,
    /// Where they must have it.
    pub place: Place,
}

/// Where what was written must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the data set: WAIT.
    Memory,
    /// In append-only files that are synced: WAITAOF.
    Disk {
        /// Whether this node's is one of them.
        here: bool,
    },
}

impl Awaited {
    /// The reply if the wait ended now, and whether it ends.
    pub fn state(self, node: &Shared) -> (Reply<'static>, bool) {
        let Place::Disk { here } = self.place else {
            let acked = node.replicas.acked(self.offset);
            return (Reply::Int(acked as i64), acked as u64 >= self.replicas);
        };
        let synced = node.aof.synced_offset();
        if here && synced.is_none() {
            return (Reply::Error(CommandError::WAITAOF_WITHOUT_FILE), true);
        }
        let is_synced = synced.is_some_and(|synced| synced >= self.offset);
        let others = node.replicas.synced(self.offset);
        let counts = vec![Reply::Int(i64::from(is_synced)), Reply::Int(others as i64)];
        (Reply::Array(counts), is_synced >= here && others as u64 >= self.replicas)
    }
}

impl Replicas {
    /// Lets somebody wait, and asks replicas how far they are.
    pub fn wait_for_acks(&self, node: &Shared, waiter: &Arc<Waiter>) {
        {
            let mut waiting = self.acks.waiting.lock();
            waiting.push(Arc::clone(waiter));
            self.acks.count.store(waiting.len(), Ordering::Relaxed);
        }
        node.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
        self.serve_acks(node);
    }

    /// The offset up to which replies need not wait.
    pub fn confirmed(&self) -> u64 {
        self.acks.confirmed.load(Ordering::Acquire)
    }

    /// Lets a client be told when replicas got on, and asks them unless they are asked.
    pub fn hold(&self, node: &Shared, client: &Arc<Client>, offset: u64) {
        if !client.awaits_replicas.swap(true, Ordering::AcqRel) {
            self.acks.holders.lock().push(Arc::clone(client));
        }
        let asked = self.acks.asked.load(Ordering::Relaxed);
        // One question at a time: what it comes too early for is asked when it is answered.
        if asked < offset && asked <= self.confirmed() {
            // The answer is about what came before the question.
            self.acks.asked.store(node.log.offset(), Ordering::Relaxed);
            node.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
            node.log.wake_readers();
        }
    }

    /// Wakes the connections that hold replies back; those that still do come back.
    pub fn wake_holders(&self) {
        for client in std::mem::take(&mut *self.acks.holders.lock()) {
            client.awaits_replicas.store(false, Ordering::Release);
            client.wake();
        }
    }

    /// Finds out how far enough replicas are, after one got on, came or went.
    pub fn count_confirmed(&self, settings: &Settings) {
        let mut acked: Vec<u64> = self
            .all
            .lock()
            .iter()
            .filter(|replica| replica.is_online())
            .map(|replica| replica.acked())
            .collect();
        self.set_confirmed(confirmed(settings, &mut acked));
    }

    /// Notes how far enough replicas are.
    pub(super) fn set_confirmed(&self, confirmed: u64) {
        if self.acks.confirmed.swap(confirmed, Ordering::AcqRel) != confirmed {
            self.wake_holders();
            let _guard = self.acks.blocked.lock();
            self.acks.advanced.notify_all();
        }
    }

    /// Blocks the thread until enough replicas have everything up to an offset; false when they do
    /// not in time.
    pub(crate) fn wait_confirmed(&self, node: &Shared, offset: u64, timeout: Duration) -> bool {
        if self.confirmed() >= offset {
            return true;
        }
        node.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
        node.log.wake_readers();
        let started = node.clock.tick();
        let mut guard = self.acks.blocked.lock();
        while self.confirmed() < offset {
            let Some(left) = timeout.checked_sub(node.clock.since(started)) else { return false };
            // What is asked for may be answered by one that did not have it all.
            let look = left.min(LOOK);
            if self.acks.advanced.wait_for(&mut guard, look).timed_out() {
                node.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
                node.log.wake_readers();
            }
        }
        true
    }

    /// Ends the waits that can end.
    pub fn serve_acks(&self, node: &Shared) {
        if self.acks.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut waiting = self.acks.waiting.lock();
        waiting.retain(|waiter| match waiter.awaited().map(|awaited| awaited.state(node)) {
            Some((reply, true)) => {
                waiter.end_with(reply);
                false
            }
            Some((_, false)) => true,
            None => false,
        });
        self.acks.count.store(waiting.len(), Ordering::Relaxed);
    }

    /// Forgets somebody who waits no more.
    pub fn forget_acks(&self, waiter: &Arc<Waiter>) {
        let mut waiting = self.acks.waiting.lock();
        waiting.retain(|other| !Arc::ptr_eq(other, waiter));
        self.acks.count.store(waiting.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_half_of_all_nodes() {
        let confirmed = |write_acks, min_replicas_to_write, acked: &[u64]| {
            let settings = Settings { write_acks, min_replicas_to_write, ..Settings::default() };
            confirmed(&settings, &mut acked.to_vec())
        };
        use WriteAcks::{All, Primary, Quorum};
        assert_eq!(confirmed(Primary, 0, &[]), u64::MAX);
        assert_eq!(confirmed(Quorum, 0, &[]), 0, "alone it has no quorum");
        assert_eq!(confirmed(Quorum, 0, &[5]), 5);
        assert_eq!(confirmed(Quorum, 0, &[5, 9]), 9, "one of two, with the primary");
        assert_eq!(confirmed(Quorum, 0, &[5, 9, 7]), 7);
        assert_eq!(confirmed(Quorum, 3, &[5]), 0, "two of the three are missing");
        assert_eq!(confirmed(Quorum, 3, &[5, 9]), 5);
        assert_eq!(confirmed(All, 0, &[5, 9, 7]), 5);
        assert_eq!(confirmed(All, 4, &[5, 9, 7]), 0);
    }
}
