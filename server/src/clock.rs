//! The only reader of time.
//!
//! Commands see one instant each, taken here. The wall clock decides deadlines, as in Redis; the
//! monotonic clock measures durations. A manual clock stands still until it is told to move, so
//! that tests of expiry need not wait.

use nix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall-clock and monotonic time; clones share it.
#[derive(Clone, Debug)]
pub struct Clock {
    ticks: quanta::Clock,
    manual_us: Option<Arc<AtomicI64>>,
}

/// A point of monotonic time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u64);

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self { ticks: quanta::Clock::new(), manual_us: None }
    }

    /// A wall clock that only [`advance`](Self::advance) moves; durations stay real.
    pub fn manual(unix_ms: i64) -> Self {
        let manual_us = Some(Arc::new(AtomicI64::new(unix_ms.saturating_mul(1000))));
        Self { ticks: quanta::Clock::new(), manual_us }
    }

    /// Moves a manual clock, also backwards; a system clock stays as it is.
    pub fn advance(&self, by_ms: i64) {
        if let Some(manual) = &self.manual_us {
            manual.fetch_add(by_ms.saturating_mul(1000), Ordering::SeqCst);
        }
    }

    /// Microseconds since the Unix epoch.
    #[inline]
    pub fn unix_us(&self) -> i64 {
        match &self.manual_us {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_micros() as i64,
                // A clock set before 1970.
                Err(before) => -(before.duration().as_micros() as i64),
            },
        }
    }

    /// Whether only [`advance`](Self::advance) moves the wall clock.
    #[inline]
    pub fn is_manual(&self) -> bool {
        self.manual_us.is_some()
    }

    /// Milliseconds since the Unix epoch.
    #[inline]
    pub fn unix_ms(&self) -> i64 {
        self.unix_us().div_euclid(1000)
    }

    /// The monotonic clock.
    #[inline]
    pub fn tick(&self) -> Tick {
        Tick(self.ticks.raw())
    }

    /// Nanoseconds of the monotonic clock.
    #[inline]
    pub fn monotonic_nanos(&self) -> u64 {
        self.ticks.delta_as_nanos(0, self.ticks.raw())
    }

    /// Nanoseconds of the clock that goes on while the machine sleeps. A lease that somebody else
    /// counts on must not outlive a pause of this machine.
    pub fn boottime_nanos(&self) -> u64 {
        // Linux has had this clock since 2.6.39; a lease that nobody can judge is over.
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(u64::MAX, |time| Duration::from(time).as_nanos() as u64)
    }

    /// Nanoseconds between two ticks.
    #[inline]
    pub fn nanos_between(&self, from: Tick, to: Tick) -> u64 {
        self.ticks.delta_as_nanos(from.0, to.0)
    }

    /// Time since a tick.
    pub fn since(&self, from: Tick) -> Duration {
        Duration::from_nanos(self.nanos_between(from, self.tick()))
    }
}
