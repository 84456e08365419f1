//! Whether the cache is worth asking.
//!
//! A cache that does not answer costs its time limit on every read. After half of at least twenty
//! requests of a second failed none is sent for a while; then one is, as a trial, and the while grows
//! with each trial that fails.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The span in which failures are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Fewer requests say nothing.
const FEWEST: u32 = 20;
/// How long it stays open at first, and at most.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Counts failures, and says whether to ask.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Whether anything but successes happened lately: a look at this is all that a success costs.
    is_alert: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    window: Option<Instant>,
    failures: u32,
    successes: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    rest: Duration,
    is_trying: bool,
}

/// Leave to send one request; says how it went, or was given up.
#[derive(Debug)]
#[must_use]
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    /// The trial that is over with this request.
    is_trial: bool,
}

impl Breaker {
    /// Whether a request may be sent. The time is asked for only if that depends on it.
    pub(super) fn pass(&self, now: impl FnOnce() -> Instant) -> Option<Pass<'_>> {
        if !self.is_alert.load(Ordering::Relaxed) {
            return Some(Pass { breaker: self, is_trial: false });
        }
        let mut state = self.state.lock();
        match &mut state.open {
            None => Some(Pass { breaker: self, is_trial: false }),
            Some(open) if !open.is_trying && now() >= open.until => {
                open.is_trying = true;
                Some(Pass { breaker: self, is_trial: true })
            }
            Some(_) => None,
        }
    }

    /// Whether requests are held back.
    pub(super) fn is_open(&self) -> bool {
        self.is_alert.load(Ordering::Relaxed) && self.state.lock().open.is_some()
    }

    fn succeeded(&self, is_trial: bool) {
        if !self.is_alert.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if is_trial {
            *state = State::default();
        } else {
            state.successes += 1;
        }
        if state.open.is_none() && state.failures == 0 {
            self.is_alert.store(false, Ordering::Relaxed);
        }
    }

    /// Whether it opens with this failure.
    fn failed(&self, is_trial: bool, now: Instant) -> bool {
        self.is_alert.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        if let Some(open) = &mut state.open {
            if is_trial {
                open.rest = (open.rest * 2).min(LONGEST_REST);
                open.until = now + open.rest;
                open.is_trying = false;
            }
            return false;
        }
        if state.window.is_none_or(|began| now.duration_since(began) > WINDOW) {
            *state = State { window: Some(now), ..State::default() };
        }
        state.failures += 1;
        let all = state.failures + state.successes;
        let opens = all >= FEWEST && state.failures * 2 >= all;
        if opens {
            let open = Open { until: now + FIRST_REST, rest: FIRST_REST, is_trying: false };
            *state = State { open: Some(open), ..State::default() };
        }
        opens
    }
}

impl Pass<'_> {
    pub(super) fn succeeded(mut self) {
        self.breaker.succeeded(self.is_trial);
        self.is_trial = false;
    }

    /// Whether the breaker opens with this failure.
    pub(super) fn failed(mut self, now: Instant) -> bool {
        let opens = self.breaker.failed(self.is_trial, now);
        self.is_trial = false;
        opens
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // A trial that was given up must not bar the next.
        if self.is_trial
            && let Some(open) = &mut self.breaker.state.lock().open
        {
            open.is_trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) -> bool {
        breaker.pass(|| now).is_some_and(|pass| pass.failed(now))
    }

    #[test]
    fn it_opens_at_half_of_twenty_and_closes_after_a_trial() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        assert!(!fail(&breaker, now));
        for _ in 0..10 {
            breaker.pass(|| now).unwrap().succeeded();
        }
        for _ in 0..8 {
            assert!(!fail(&breaker, now));
        }
        assert!(fail(&breaker, now), "10 of 20");
        assert!(breaker.pass(|| now).is_none() && breaker.is_open());
        now += FIRST_REST;
        let trial = breaker.pass(|| now).unwrap();
        assert!(breaker.pass(|| now).is_none(), "one trial at a time");
        trial.failed(now);
        now += FIRST_REST;
        assert!(breaker.pass(|| now).is_none(), "the rest has doubled");
        now += FIRST_REST;
        drop(breaker.pass(|| now).unwrap());
        breaker.pass(|| now).expect("a trial given up bars nobody").succeeded();
        assert!(!breaker.is_open() && breaker.pass(|| now).is_some());
    }

    #[test]
    fn old_failures_are_forgotten() {
        let breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..FEWEST - 1 {
            assert!(!fail(&breaker, now));
        }
        assert!(!fail(&breaker, now + WINDOW * 2));
        assert!(!breaker.is_open());
    }
}
