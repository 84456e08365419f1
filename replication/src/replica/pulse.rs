//! When it is time: to tell the primary where we are, to give it up, to try again.

use std::time::Duration;

/// Between two signs of life of a replica, in milliseconds.
const BEAT_MS: u64 = 1000;
/// The first wait after a link that failed, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Rest,
    /// A sign of life.
    Sign,
    /// The primary has been silent for too long.
    Lost,
}

/// The signs of life on one link, in milliseconds of any clock that does not go back.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    heard_ms: u64,
    told_ms: u64,
    beat_ms: u64,
}

impl Pulse {
    /// A link that has just begun.
    pub fn new(now_ms: u64) -> Self {
        Self { heard_ms: now_ms, told_ms: now_ms, beat_ms: BEAT_MS }
    }

    /// The same with another time between two signs of life.
    pub fn with_beat(self, beat_ms: u64) -> Self {
        Self { beat_ms, ..self }
    }

    /// The primary sent something.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// We did.
    pub fn told(&mut self, now_ms: u64) {
        self.told_ms = now_ms;
    }

    /// What is due now, when the primary may be silent for `patience_ms`.
    pub fn beat(&self, now_ms: u64, patience_ms: u64) -> Beat {
        if now_ms.saturating_sub(self.heard_ms) > patience_ms {
            Beat::Lost
        } else if now_ms.saturating_sub(self.told_ms) >= self.beat_ms {
            Beat::Sign
        } else {
            Beat::Rest
        }
    }
}

/// How long to wait before the next attempt: twice as long each time, within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    bounds: (Duration, Duration),
}

impl Default for Backoff {
    fn default() -> Self {
        Self::between(WAITS.0, WAITS.1)
    }
}

impl Backoff {
    /// Waits from `first` to `longest`.
    pub fn between(first: Duration, longest: Duration) -> Self {
        Self { next: first, bounds: (first, longest) }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.bounds.1);
        wait
    }

    /// A link that stood begins anew.
    pub fn reset(&mut self) {
        self.next = self.bounds.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_given_each_second_and_patience_ends() {
        let mut pulse = Pulse::new(1000);
        assert_eq!(pulse.beat(1999, 60_000), Beat::Rest);
        assert_eq!(pulse.beat(2000, 60_000), Beat::Sign);
        pulse.told(2000);
        assert_eq!(pulse.beat(2999, 60_000), Beat::Rest);
        assert_eq!(pulse.beat(61_000, 60_000), Beat::Sign);
        assert_eq!(pulse.beat(61_001, 60_000), Beat::Lost);
        pulse.heard(61_000);
        assert_eq!(pulse.beat(61_001, 60_000), Beat::Sign);
        let quick = Pulse::new(1000).with_beat(100);
        assert_eq!((quick.beat(1099, 3000), quick.beat(1100, 3000)), (Beat::Rest, Beat::Sign));
    }

    #[test]
    fn waits_grow_within_bounds() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.wait().as_millis()).collect();
        assert_eq!(waits, [20, 40, 80, 160, 320, 640, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.wait().as_millis(), 20);
    }
}
