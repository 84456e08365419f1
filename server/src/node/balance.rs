//! How many of the connection threads are in use.
//!
//! A thread that has work for most of the time wakes up seldom and finds much to do when it does;
//! two half-idle threads pay twice for waking up and pass hot shards back and forth. So connections
//! share one thread until it is busy and a core is free, then more. Whether more threads are worth it
//! nobody can know beforehand: where all clients want one shard, or take the free core themselves,
//! they only get into each other's way. So it is tried, and kept if more commands are served; a trial
//! that serves less ends at once.
//! Connections are passed on while they are at rest, between two commands; those that are idle stay
//! where they are and cost nothing.
//!
//! [`Balance::step`] only decides; the control thread measures and carries out.

use super::workers::Workers;
use crate::clock::Clock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A thread this busy over a whole tick needs help.
const BUSY: f64 = 0.9;
/// Free cores below which another thread would only take time from somebody.
const FREE_CORES: f64 = 0.5;
/// Threads are given up when the others could do the work at this load.
const CALM: f64 = 0.5;
/// Ticks for which a thread has to be busy before more are tried.
const BUSY_TICKS: usize = 3;
/// Ticks in which the connections change threads, which do not count.
const SETTLE_TICKS: usize = 1;
/// Ticks for which more threads are tried.
const TRIAL_TICKS: usize = 3;
/// More threads are kept when they serve so many times as many commands.
const GAIN: f64 = 1.15;
/// Ticks after a trial that failed until the next one: 10 s, doubled each time up to 80 s.
const REST_TICKS: u32 = 100;
const MAX_REST_TICKS: u32 = 800;
/// Ticks of calm before a thread is given up: 2 s, so that a pause in a burst moves nobody.
const CALM_TICKS: u32 = 20;

/// What a connection thread shows of itself.
#[derive(Debug, Default)]
pub struct Load {
    /// Connections it serves.
    pub connections: AtomicUsize,
    /// Tells it from the other threads; above 0 for a connection thread.
    pub id: usize,
    /// Whether a script keeps it for too long.
    pub stuck: AtomicBool,
    /// Connections it shall pass on.
    pub surplus: AtomicUsize,
    busy_nanos: AtomicU64,
    woken_nanos: AtomicU64,
    awake: AtomicBool,
}

impl Load {
    /// Of a thread that is told from others by `id`.
    pub fn new(id: usize) -> Self {
        Self { id, ..Self::default() }
    }

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
    /// Commands of the last ticks in which a thread was busy and the number of threads the same.
    busy_commands: VecDeque<u64>,
    trial: Option<Trial>,
    /// Ticks until more threads are tried again, and how many it were the last time.
    rest_ticks: u32,
    last_rest_ticks: u32,
}

/// More threads, on trial.
#[derive(Debug)]
struct Trial {
    threads_before: usize,
    /// Commands a tick before.
    before: u64,
    /// Commands of each tick since.
    since: Vec<u64>,
}

/// What the last tick showed.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// The load of each thread in use, from 0 to 1.
    pub busy: &'a [f64],
    /// Cores that nobody used.
    pub free_cores: f64,
    /// Commands that were served.
    pub commands: u64,
}

impl Balance {
    /// How many of `threads` to use after a tick.
    pub fn step(&mut self, tick: Tick<'_>, threads: usize) -> usize {
        let active = tick.busy.len();
        self.rest_ticks = self.rest_ticks.saturating_sub(1);
        if self.trial.is_some() {
            return self.judge(tick, active);
        }
        let total: f64 = tick.busy.iter().sum();
        if active > 1 && total < CALM * (active - 1) as f64 {
            self.calm_ticks += 1;
            if self.calm_ticks >= CALM_TICKS {
                self.calm_ticks = 0;
                return active - 1;
            }
            return active;
        }
        self.calm_ticks = 0;
        let needs_help = tick.busy.iter().any(|load| *load > BUSY);
        if !needs_help || tick.free_cores <= FREE_CORES || active == threads {
            self.busy_commands.clear();
            return active;
        }
        self.busy_commands.push_back(tick.commands);
        if self.busy_commands.len() > BUSY_TICKS {
            self.busy_commands.pop_front();
        }
        if self.busy_commands.len() < BUSY_TICKS || self.rest_ticks > 0 {
            return active;
        }
        let before = mean(self.busy_commands.drain(..));
        self.trial = Some(Trial { threads_before: active, before, since: Vec::new() });
        // Doubled, so that many cores are reached in few trials.
        (active * 2).min(threads)
    }

    /// Watches a trial and ends it: with the threads before, unless enough is gained by more.
    fn judge(&mut self, tick: Tick<'_>, active: usize) -> usize {
        let Some(trial) = &mut self.trial else { return active };
        trial.since.push(tick.commands);
        // What serves less than before is a burden, and not carried to the end.
        let is_worse = trial.since.len() > SETTLE_TICKS && tick.commands < trial.before;
        if !is_worse && trial.since.len() < SETTLE_TICKS + TRIAL_TICKS {
            return active;
        }
        let after = mean(trial.since.drain(SETTLE_TICKS..));
        let is_worth_it = after as f64 > trial.before as f64 * GAIN;
        let threads_before = trial.threads_before;
        self.trial = None;
        if is_worth_it {
            self.last_rest_ticks = 0;
            return active;
        }
        self.last_rest_ticks = (self.last_rest_ticks * 2).clamp(REST_TICKS, MAX_REST_TICKS);
        self.rest_ticks = self.last_rest_ticks;
        threads_before
    }
}

fn mean(commands: impl ExactSizeIterator<Item = u64>) -> u64 {
    let count = commands.len().max(1) as u64;
    commands.sum::<u64>() / count
}

/// Measures the threads and carries decisions out, tick by tick.
#[derive(Default)]
pub(super) struct Balancer {
    balance: Balance,
    last_nanos: u64,
    last_busy: Vec<u64>,
    /// What [`idle_ticks`] said last, and when.
    last_idle: Option<(u64, u64)>,
    last_commands: u64,
}

impl Balancer {
    /// Looks at the last tick and spreads the connections anew if that is due.
    pub(super) fn tick(&mut self, workers: &Workers, clock: &Clock, commands_processed: u64) {
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
        // The kernel takes longer to say it than all else here does, so it is asked when it matters.
        let may_need_help = busy.iter().any(|load| *load > BUSY / 2.0);
        let idle_ticks = may_need_help.then(idle_ticks).flatten();
        let free_cores = match (idle_ticks, self.last_idle) {
            // It counts in hundredths of a second.
            (Some(now), Some((last, at_nanos))) => {
                now.saturating_sub(last) as f64 * 1e7
                    / now_nanos.saturating_sub(at_nanos).max(1) as f64
            }
            // Nobody says, so we assume that the machine is ours.
            _ => f64::INFINITY,
        };
        (self.last_nanos, self.last_busy) = (now_nanos, totals);
        self.last_idle = idle_ticks.map(|ticks| (ticks, now_nanos)).or(self.last_idle);
        let commands = commands_processed.saturating_sub(self.last_commands);
        self.last_commands = commands_processed;
        let wanted = self.balance.step(Tick { busy: &busy, free_cores, commands }, loads.len());
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

    fn step(
        balance: &mut Balance,
        busy: &[f64],
        threads: usize,
        free: f64,
        commands: u64,
    ) -> usize {
        balance.step(Tick { busy, free_cores: free, commands }, threads)
    }

    /// Steps with all threads in use busy, until their number changes; gives the ticks it took.
    fn until_change(balance: &mut Balance, active: usize, commands: u64) -> (usize, u32) {
        for ticks in 1..10_000 {
            let wanted = step(balance, &vec![1.0; active], 8, 4.0, commands);
            if wanted != active {
                return (wanted, ticks);
            }
        }
        (active, u32::MAX)
    }

    #[test]
    fn threads_are_tried_only_for_a_busy_thread_and_a_free_core() {
        let mut balance = Balance::default();
        for _ in 0..10 {
            assert_eq!(step(&mut balance, &[0.5], 8, 4.0, 100), 1);
            assert_eq!(step(&mut balance, &[0.95], 8, 0.1, 100), 1);
            assert_eq!(step(&mut balance, &[0.95], 1, 4.0, 100), 1);
        }
        assert_eq!(until_change(&mut balance, 1, 100), (2, BUSY_TICKS as u32));
    }

    #[test]
    fn threads_that_serve_more_are_kept() {
        let mut balance = Balance::default();
        assert_eq!(until_change(&mut balance, 1, 100).0, 2);
        let trial = (SETTLE_TICKS + TRIAL_TICKS + BUSY_TICKS) as u32;
        assert_eq!(until_change(&mut balance, 2, 190), (4, trial));
        assert_eq!(until_change(&mut balance, 4, 350), (8, trial));
        assert_eq!(until_change(&mut balance, 8, 600), (8, u32::MAX));
    }

    #[test]
    fn threads_that_serve_no_more_are_given_up_and_tried_less_and_less() {
        let mut balance = Balance::default();
        let trial = (SETTLE_TICKS + TRIAL_TICKS) as u32;
        assert_eq!(until_change(&mut balance, 1, 100), (2, BUSY_TICKS as u32));
        for rest in [REST_TICKS, 2 * REST_TICKS, 4 * REST_TICKS, MAX_REST_TICKS, MAX_REST_TICKS] {
            assert_eq!(until_change(&mut balance, 2, 105), (1, trial));
            assert_eq!(until_change(&mut balance, 1, 100), (2, rest));
        }
    }

    #[test]
    fn a_trial_that_serves_less_is_cut_short() {
        let mut balance = Balance::default();
        assert_eq!(until_change(&mut balance, 1, 100), (2, BUSY_TICKS as u32));
        assert_eq!(until_change(&mut balance, 2, 90), (1, SETTLE_TICKS as u32 + 1));
        assert_eq!(until_change(&mut balance, 1, 100), (2, REST_TICKS));
    }

    #[test]
    fn a_thread_is_given_up_after_a_calm_while_only() {
        let mut balance = Balance::default();
        let mut calm = |busy: f64| step(&mut balance, &[busy, busy], 2, 1.0, 10);
        for _ in 1..CALM_TICKS {
            assert_eq!(calm(0.1), 2);
        }
        assert_eq!(calm(0.1), 1);
        for _ in 1..CALM_TICKS {
            assert_eq!(calm(0.1), 2);
        }
        assert_eq!(calm(0.4), 2, "a burst in between begins anew");
        assert_eq!(calm(0.1), 2);
    }
}
