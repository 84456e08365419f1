//! How long to wait before the next try: full jitter, so that many clients do not come at once.

use std::time::Duration;

/// The range of the first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The range that later waits grow to.
const LAST: Duration = Duration::from_secs(1);

/// The waits between tries.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next wait, anywhere in a range that doubles from try to try.
    pub(crate) fn next(&mut self) -> Duration {
        let range = FIRST.saturating_mul(1 << self.tries.min(10)).min(LAST);
        self.tries = self.tries.saturating_add(1);
        range.mul_f64(fastrand::f64())
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_differ() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST);
        assert!(waits.iter().all(|wait| *wait <= LAST));
        assert!(waits.iter().skip(10).any(|wait| *wait > LAST / 2));
        assert!(waits.iter().skip(10).any(|wait| *wait < LAST / 2));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
