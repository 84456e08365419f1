//! How long memory has been above `maxmemory`: what INFO tells as the time that eviction exceeded.
//!
//! It begins when a command finds memory above the limit and eviction does not bring it below, and
//! ends when memory is seen below again, by a command or by the housekeeping.

use std::sync::atomic::{AtomicU64, Ordering};

/// The time above the limit, now and in sum.
#[derive(Debug, Default)]
pub struct Pressure {
    /// Since when memory is above the limit, in nanoseconds of the monotonic clock; 0 while it is not.
    since_nanos: AtomicU64,
    /// Nanoseconds of the times that are over.
    total_nanos: AtomicU64,
}

impl Pressure {
    /// Memory stays above the limit.
    pub fn begin(&self, now_nanos: u64) {
        let now_nanos = now_nanos.max(1);
        // Fails when it has begun before.
        let _ =
            self.since_nanos.compare_exchange(0, now_nanos, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Memory is below the limit.
    pub fn end(&self, now_nanos: u64) {
        if self.since_nanos.load(Ordering::Relaxed) == 0 {
            return;
        }
        let since_nanos = self.since_nanos.swap(0, Ordering::Relaxed);
        if since_nanos != 0 {
            let lasted = now_nanos.saturating_sub(since_nanos);
            self.total_nanos.fetch_add(lasted, Ordering::Relaxed);
        }
    }

    /// Milliseconds that it lasts by now; 0 while memory is below the limit.
    pub fn current_ms(&self, now_nanos: u64) -> u64 {
        match self.since_nanos.load(Ordering::Relaxed) {
            0 => 0,
            since_nanos => now_nanos.saturating_sub(since_nanos) / 1_000_000,
        }
    }

    /// Milliseconds in sum, those of now included.
    pub fn total_ms(&self, now_nanos: u64) -> u64 {
        self.total_nanos.load(Ordering::Relaxed) / 1_000_000 + self.current_ms(now_nanos)
    }

    /// Starts from zero.
    pub fn reset(&self) {
        self.since_nanos.store(0, Ordering::Relaxed);
        self.total_nanos.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up() {
        let pressure = Pressure::default();
        let ms = |ms: u64| ms * 1_000_000;
        pressure.end(ms(5));
        pressure.begin(ms(10));
        pressure.begin(ms(20));
        assert_eq!((pressure.current_ms(ms(30)), pressure.total_ms(ms(30))), (20, 20));
        pressure.end(ms(40));
        assert_eq!((pressure.current_ms(ms(50)), pressure.total_ms(ms(50))), (0, 30));
        pressure.begin(ms(60));
        assert_eq!((pressure.current_ms(ms(65)), pressure.total_ms(ms(65))), (5, 35));
        pressure.reset();
        assert_eq!((pressure.current_ms(ms(70)), pressure.total_ms(ms(70))), (0, 0));
    }
}
