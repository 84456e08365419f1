//! How many of the connection threads are in use.
//!
//! A thread that has work for most of the time wakes up seldom and finds much to do when it does;
//! two half-idle threads pay twice for waking up and pass hot shards back and forth. So connections
//! share one thread until it is busy and a core is free, then more. Connections are passed on while
//! they are at rest, between two commands; those that are idle stay where they are and cost nothing.
//!
//! [`Balance::step`] only decides; the control thread measures and carries out.

use super::workers::Workers;
use crate::clock::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A thread this busy over a whole tick needs help.
const BUSY: f64 = 0.9;
/// Free cores below which another thread would only take time from somebody.
const FREE_CORES: f64 = 0.5;
/// Threads are given up when the others could do the work at this load.
const CALM: f64 = 0.5;
/// Ticks of calm before a thread is given up: 2 s, so that a pause in a burst moves nobody.
const CALM_TICKS: u32 = 20;

/// What a connection thread shows of itself.
#[derive(Debug, Default)]
pub struct Load {
    /// Connections it serves.
    pub connections: AtomicUsize,
    /// Connections it shall pass on.
    pub surplus: AtomicUsize,
    busy_nanos: AtomicU64,
    woken_nanos: AtomicU64,
    awake: AtomicBool,
}

impl Load {
    /// The thread begins to work.
    pub fn wake(&self, clock: &Clock) {
        self.woken_nanos.store(clock.monotonic_nanos(), Ordering::Relaxed);
        self.awake.store(true, Ordering::Release);
    }

    /// The thread begins to wait.
    pub fn sleep(&self, clock: &Clock) {
        self.awake.store(false, Ordering::Relaxed);
        let worked = clock.monotonic_nanos() - self.woken_nanos.load(Ordering::Relaxed);
        self.busy_nanos.fetch_add(worked, Ordering::Release);
    }

    /// Nanoseconds of work up to `now_nanos`.
    fn busy_nanos(&self, now_nanos: u64) -> u64 {
        let done = self.busy_nanos.load(Ordering::Acquire);
        if self.awake.load(Ordering::Acquire) {
            done + now_nanos.saturating_sub(self.woken_nanos.load(Ordering::Relaxed))
        } else {
            done
        }
    }

    /// Whether a connection shall be passed on; the caller does it.
    #[inline]
    pub fn take_surplus(&self) -> bool {
        // Written by the control thread; one connection too many or too few does not matter.
        let surplus = self.surplus.load(Ordering::Relaxed);
        if surplus == 0 {
            return false;
        }
        self.surplus.store(surplus - 1, Ordering::Relaxed);
        true
    }
}

/// The decision about the number of threads, from tick to tick.
#[derive(Debug, Default)]
pub struct Balance {
    calm_ticks: u32,
}

impl Balance {
    /// How many of `threads` to use, when `busy` tells the load of those in use now.
    pub fn step(&mut self, busy: &[f64], threads: usize, free_cores: f64) -> usize {
        let active = busy.len();
        let total: f64 = busy.iter().sum();
        if active > 1 && total < CALM * (active - 1) as f64 {
            self.calm_ticks += 1;
            if self.calm_ticks >= CALM_TICKS {
                self.calm_ticks = 0;
                return active - 1;
            }
            return active;
        }
        self.calm_ticks = 0;
        let needs_help = busy.iter().any(|load| *load > BUSY);
        if needs_help && free_cores > FREE_CORES {
            // Doubled, so that many cores are reached in a few ticks.
            return (active * 2).min(threads);
        }
        active
    }
}

/// Measures the threads and carries decisions out, tick by tick.
#[derive(Default)]
pub(super) struct Balancer {
    balance: Balance,
    last_nanos: u64,
    last_busy: Vec<u64>,
    last_idle_ticks: Option<u64>,
}

impl Balancer {
    /// Looks at the last tick and spreads the connections anew if that is due.
    pub(super) fn tick(&mut self, workers: &Workers, clock: &Clock) {
        let now_nanos = clock.monotonic_nanos();
        let elapsed = (now_nanos - self.last_nanos).max(1) as f64;
        let loads = workers.loads();
        let totals: Vec<u64> = loads.iter().map(|load| load.busy_nanos(now_nanos)).collect();
        self.last_busy.resize(totals.len(), 0);
        let active = workers.active();
        let busy: Vec<f64> = totals
            .iter()
            .zip(&self.last_busy)
            .take(active)
            .map(|(total, last)| total.saturating_sub(*last) as f64 / elapsed)
            .collect();
        let idle_ticks = idle_ticks();
        let free_cores = match (idle_ticks, self.last_idle_ticks) {
            // The kernel counts in hundredths of a second.
            (Some(now), Some(last)) => now.saturating_sub(last) as f64 * 1e7 / elapsed,
            // Nobody says, so we assume that the machine is ours.
            _ => f64::INFINITY,
        };
        (self.last_nanos, self.last_busy, self.last_idle_ticks) = (now_nanos, totals, idle_ticks);
        let wanted = self.balance.step(&busy, loads.len(), free_cores);
        if wanted != active {
            tracing::debug!(wanted, active, ?busy, free_cores, "changing the threads in use");
            workers.spread(wanted);
        }
    }
}

/// Hundredths of a second that all cores together were idle since the machine started.
fn idle_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().next()?.split_ascii_whitespace().nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_added_only_for_a_busy_thread_and_a_free_core() {
        let mut balance = Balance::default();
        assert_eq!(balance.step(&[0.5], 8, 4.0), 1);
        assert_eq!(balance.step(&[0.95], 8, 0.1), 1);
        assert_eq!(balance.step(&[0.95], 8, 4.0), 2);
        assert_eq!(balance.step(&[0.3, 0.95], 8, 4.0), 4);
        assert_eq!(balance.step(&[0.95; 6], 8, 4.0), 8);
        assert_eq!(balance.step(&[1.0; 8], 8, 4.0), 8);
    }

    #[test]
    fn a_thread_is_given_up_after_a_calm_while_only() {
        let mut balance = Balance::default();
        for _ in 1..CALM_TICKS {
            assert_eq!(balance.step(&[0.1, 0.1], 2, 1.0), 2);
        }
        assert_eq!(balance.step(&[0.1, 0.1], 2, 1.0), 1);
        for _ in 1..CALM_TICKS {
            assert_eq!(balance.step(&[0.1, 0.1], 2, 1.0), 2);
        }
        assert_eq!(balance.step(&[0.4, 0.4], 2, 1.0), 2, "a burst in between begins anew");
        assert_eq!(balance.step(&[0.1, 0.1], 2, 1.0), 2);
    }
}
