//! How long values are fresh.
//!
//! What is stored together must not run out together, so each time is varied. And shortly before a
//! value runs out some reader loads it anew: the more the load costs the earlier, and each reader
//! decides by lot, so that one is enough (XFetch).

use std::time::Duration;

/// How long a value is fresh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ttl {
    base: Duration,
    jitter: f64,
}

impl Ttl {
    /// This long, give or take a share of it: 0.1 is ten percent.
    pub fn jittered(base: Duration, jitter: f64) -> Self {
        Self { base, jitter: jitter.clamp(0.0, 1.0) }
    }

    /// Exactly this long.
    pub fn fixed(base: Duration) -> Self {
        Self { base, jitter: 0.0 }
    }

    /// The time for one value, in milliseconds.
    pub(super) fn draw_ms(&self) -> u64 {
        let factor = 1.0 + self.jitter * (2.0 * fastrand::f64() - 1.0);
        // Of what is no number nothing is left.
        ((millis(self.base) as f64 * factor) as u64).max(1)
    }
}

impl From<Duration> for Ttl {
    /// Give or take a tenth.
    fn from(base: Duration) -> Self {
        Self::jittered(base, 0.1)
    }
}

/// 30 years: as good as for ever, and no clock runs over.
pub(super) const LONGEST: Duration = Duration::from_millis(1_000_000_000_000);

/// Whole milliseconds, within what a server takes.
pub(super) fn millis(duration: Duration) -> u64 {
    duration.min(LONGEST).as_millis() as u64
}

/// Whether to load a value anew that is fresh for `left_ms` more.
pub(super) fn is_early(left_ms: i64, cost_ms: u32, beta: f64) -> bool {
    // Ten times the cost is drawn once in 22,026 reads.
    if beta <= 0.0 || (left_ms as f64) > f64::from(cost_ms) * beta * 10.0 {
        return false;
    }
    // 1 - f64() is never 0.
    let ahead = f64::from(cost_ms) * beta * -(1.0 - fastrand::f64()).ln();
    ahead >= left_ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range() {
        let ttl = Ttl::from(Duration::from_secs(300));
        let drawn: Vec<u64> = (0..1000).map(|_| ttl.draw_ms()).collect();
        assert!(drawn.iter().all(|ms| (270_000..=330_000).contains(ms)));
        assert!(drawn.iter().any(|ms| *ms < 280_000) && drawn.iter().any(|ms| *ms > 320_000));
        assert_eq!(Ttl::fixed(Duration::from_secs(1)).draw_ms(), 1000);
        for always in [Ttl::fixed(Duration::MAX), Ttl::from(Duration::MAX)] {
            assert!(always.draw_ms() >= 900_000_000_000);
        }
        assert_eq!(Ttl::jittered(Duration::MAX, f64::NAN).draw_ms(), 1);
    }

    #[test]
    fn costly_values_are_loaded_earlier() {
        let early = |left_ms, cost_ms, beta| {
            (0..10_000).filter(|_| is_early(left_ms, cost_ms, beta)).count()
        };
        assert_eq!(early(1000, 50, 0.0), 0);
        assert_eq!(early(60_000, 50, 1.0), 0);
        // e^-1 of them, when as much time is left as the load costs.
        assert!((3300..4100).contains(&early(50, 50, 1.0)));
        assert!(early(100, 50, 1.0) < early(100, 200, 1.0));
        assert_eq!(early(0, 50, 1.0), 10_000);
    }
}
