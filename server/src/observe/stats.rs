//! Counters of what threads did.
//!
//! Each thread that runs commands has a slot of its own and is the only one that writes it, so a
//! count is a plain load and store. Readers add the slots up; CONFIG RESETSTAT remembers the sums
//! as the new zero, so that no writer is disturbed.

use super::latency::Histogram;
use crate::commands;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the slot's own thread may call it.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The count.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One thread's counters.
        #[derive(Default)]
        pub struct ThreadStats {
            $($(#[$doc])* pub $name: Counter,)*
            /// The longest turns of connections.
            pub turns: Turns,
            commands: PerCommand,
        }

        /// Sums over all threads since the start or the last CONFIG RESETSTAT.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Totals {
            fn add(&mut self, slot: &ThreadStats) {
                $(self.$name = self.$name.wrapping_add(slot.$name.get());)*
            }

            fn since(&self, base: &Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(base.$name),)* }
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections,
    /// Connections refused because of `maxclients`.
    rejected_connections,
    /// Connections refused by protected mode.
    denied_connections,
    /// Commands run.
    commands_processed,
    /// Bytes read from connections.
    net_input_bytes,
    /// Bytes written to connections.
    net_output_bytes,
    /// Reads from sockets.
    reads,
    /// Writes to sockets.
    writes,
    /// Reads that found their key.
    keyspace_hits,
    /// Reads that did not.
    keyspace_misses,
    /// Keys removed because they were due.
    expired_keys,
    /// Fields of hashes removed because they were due.
    expired_fields,
    /// Keys evicted.
    evicted_keys,
    /// Changes to the data set.
    dirty,
    /// Error replies.
    error_replies,
    /// Connections closed because their query buffer was full.
    query_limit_disconnections,
    /// Connections closed because their output buffer was full.
    output_limit_disconnections,
    /// Connections closed because all clients together took too much memory.
    evicted_clients,
    /// Microseconds spent in active expiry.
    expire_cycle_us,
    /// Microseconds spent in the node's housekeeping.
    housekeeping_us,
}

/// The most that connections took in one turn, by one thread.
#[derive(Debug, Default)]
pub struct Turns {
    nanos: AtomicU64,
    commands: AtomicU64,
}

impl Turns {
    /// Notes a turn.
    #[inline]
    pub fn note(&self, nanos: u64, commands: u64) {
        if nanos > self.nanos.load(Ordering::Relaxed) {
            self.nanos.store(nanos, Ordering::Relaxed);
        }
        if commands > self.commands.load(Ordering::Relaxed) {
            self.commands.store(commands, Ordering::Relaxed);
        }
    }

    fn reset(&self) {
        self.nanos.store(0, Ordering::Relaxed);
        self.commands.store(0, Ordering::Relaxed);
    }
}

/// Counters of every command by its id.
struct PerCommand(Box<[CommandCounters]>);

impl Default for PerCommand {
    fn default() -> Self {
        Self(commands::all().iter().map(|_| CommandCounters::default()).collect())
    }
}

/// One command's counters in one thread.
#[derive(Default)]
pub struct CommandCounters {
    /// Calls that ran.
    pub calls: Counter,
    /// Nanoseconds they took.
    pub nanos: Counter,
    /// Calls refused before they ran.
    pub rejected: Counter,
    /// Calls that ran and failed.
    pub failed: Counter,
    /// Latencies of the calls, kept when `latency-tracking` is on.
    pub latencies: OnceLock<Box<Histogram>>,
}

/// One command's sums.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandTotals {
    /// Calls that ran.
    pub calls: u64,
    /// Nanoseconds they took.
    pub nanos: u64,
    /// Calls refused before they ran.
    pub rejected: u64,
    /// Calls that ran and failed.
    pub failed: u64,
}

impl ThreadStats {
    /// The counters of the command with this id.
    #[inline]
    pub fn command(&self, id: usize) -> &CommandCounters {
        &self.commands.0[id]
    }
}

/// Sums over several slots, or over a span of time.
#[derive(Default)]
struct Sums {
    totals: Totals,
    commands: Vec<CommandTotals>,
    /// Only of commands that ran: a histogram is large.
    latencies: HashMap<usize, Histogram>,
}

impl Sums {
    fn command(&self, id: usize) -> CommandTotals {
        self.commands.get(id).copied().unwrap_or_default()
    }

    fn add(&mut self, slot: &ThreadStats) {
        self.totals.add(slot);
        self.commands.resize(commands::all().len(), CommandTotals::default());
        for (id, sum) in self.commands.iter_mut().enumerate() {
            let counters = slot.command(id);
            sum.add(counters);
            if let Some(latencies) = counters.latencies.get() {
                self.latencies.entry(id).or_default().merge(latencies);
            }
        }
    }
}

impl CommandTotals {
    fn add(&mut self, counters: &CommandCounters) {
        self.calls += counters.calls.get();
        self.nanos += counters.nanos.get();
        self.rejected += counters.rejected.get();
        self.failed += counters.failed.get();
    }
}

/// The slots of all threads.
#[derive(Default)]
pub struct Stats {
    slots: Mutex<Slots>,
    /// What all sums were at the last reset.
    base: Mutex<Sums>,
}

#[derive(Default)]
struct Slots {
    live: Vec<Arc<ThreadStats>>,
    /// Of threads and in-process handles that are gone.
    retired: Sums,
}

impl Stats {
    /// A slot for the calling thread.
    pub fn new_slot(&self) -> Arc<ThreadStats> {
        let slot = Arc::new(ThreadStats::default());
        self.slots.lock().live.push(Arc::clone(&slot));
        slot
    }

    /// Keeps a slot's counts and forgets the slot.
    pub fn retire(&self, slot: &Arc<ThreadStats>) {
        let mut slots = self.slots.lock();
        slots.live.retain(|live| !Arc::ptr_eq(live, slot));
        slots.retired.add(slot);
    }

    /// Sums of the counters.
    pub fn totals(&self) -> Totals {
        self.raw_totals().since(&self.base.lock().totals)
    }

    /// Changes to the data set since the start, which no reset touches.
    pub fn dirty(&self) -> u64 {
        self.raw_totals().dirty
    }

    /// Nanoseconds of the longest turn of a connection, and the commands of the one with most.
    pub fn longest_turns(&self) -> (u64, u64) {
        let slots = self.slots.lock();
        let most = |of: fn(&Turns) -> &AtomicU64| {
            let all = slots.live.iter().map(|slot| of(&slot.turns).load(Ordering::Relaxed));
            all.max().unwrap_or(0)
        };
        (most(|turns| &turns.nanos), most(|turns| &turns.commands))
    }

    fn raw_totals(&self) -> Totals {
        let slots = self.slots.lock();
        let mut totals = slots.retired.totals;
        for slot in &slots.live {
            totals.add(slot);
        }
        totals
    }

    /// Sums of one command's counters.
    pub fn command(&self, id: usize) -> CommandTotals {
        let raw = self.raw_command(id);
        let base = self.base.lock().command(id);
        CommandTotals {
            calls: raw.calls.wrapping_sub(base.calls),
            nanos: raw.nanos.wrapping_sub(base.nanos),
            rejected: raw.rejected.wrapping_sub(base.rejected),
            failed: raw.failed.wrapping_sub(base.failed),
        }
    }

    fn raw_command(&self, id: usize) -> CommandTotals {
        let slots = self.slots.lock();
        let mut totals = slots.retired.command(id);
        for slot in &slots.live {
            totals.add(slot.command(id));
        }
        totals
    }

    /// One command's latencies.
    pub fn latencies(&self, id: usize) -> Histogram {
        let mut sum = self.raw_latencies(id);
        if let Some(base) = self.base.lock().latencies.get(&id) {
            sum.subtract(base);
        }
        sum
    }

    fn raw_latencies(&self, id: usize) -> Histogram {
        let slots = self.slots.lock();
        let mut sum = Histogram::default();
        if let Some(retired) = slots.retired.latencies.get(&id) {
            sum.merge(retired);
        }
        for slot in &slots.live {
            if let Some(latencies) = slot.command(id).latencies.get() {
                sum.merge(latencies);
            }
        }
        sum
    }

    /// Starts all sums from zero.
    pub fn reset(&self) {
        let ids = 0..commands::all().len();
        let fresh = Sums {
            totals: self.raw_totals(),
            commands: ids.clone().map(|id| self.raw_command(id)).collect(),
            latencies: ids
                .map(|id| (id, self.raw_latencies(id)))
                .filter(|(_, latencies)| latencies.calls() > 0)
                .collect(),
        };
        *self.base.lock() = fresh;
        self.slots.lock().live.iter().for_each(|slot| slot.turns.reset());
    }
}
