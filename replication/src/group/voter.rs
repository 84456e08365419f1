//! What a member promised, and when it last heard of the primary: the two things that keep two
//! primaries from acknowledging at once.
//!
//! ```text
//!            renewal of an epoch not below the promise
//!          +-----------------------------------------+
//!          v                                         |
//!      confident --- no renewal for `patience` ---> willing --- promise ---> bound
//!          ^                                                                   |
//!          +------------- a configuration of an epoch not below it ------------+
//! ```
//!
//! A primary acknowledges while a majority renewed its lease a lease's time ago or less, by the time
//! at which it *asked* them. A member helps to elect another one only when it was *asked* longer ago
//! than that, and from its promise on it renews no lower epoch. Any two majorities share a member, so
//! when a majority has promised no lease of a lower epoch is left and none can be had.
//!
//! The promise must be on disk before anybody hears of it. A start counts as a renewal, since nobody
//! remembers what was renewed before it.

/// Epochs grow by a few with each election. One that is further ahead than this nobody came to: what
/// says so is damaged, and following it would leave no epoch to elect anybody in.
pub const MAX_LEAP: u64 = 1 << 32;

/// An epoch that another member names, or the known one where it cannot be.
pub fn credible(epoch: u64, known: u64) -> u64 {
    if epoch.saturating_sub(known) < MAX_LEAP { epoch } else { known }
}

/// One member's part in elections. Times are nanoseconds of its own clock.
#[derive(Clone, Copy, Debug)]
pub struct Voter {
    promised: u64,
    renewed_nanos: u64,
    patience_nanos: u64,
}

impl Voter {
    /// A member that starts, with what it promised in its lives before.
    pub fn new(promised: u64, patience_nanos: u64, now_nanos: u64) -> Self {
        Self { promised, renewed_nanos: now_nanos, patience_nanos }
    }

    /// The epoch it promised: it renews no lower one.
    pub fn promised(&self) -> u64 {
        self.promised
    }

    /// When it last heard of a primary, or of a new one.
    pub fn heard_nanos(&self) -> u64 {
        self.renewed_nanos
    }

    /// Renews the lease of an epoch; `known` is that of the configuration it has.
    pub fn renew(&mut self, epoch: u64, known: u64, now_nanos: u64) -> bool {
        let is_current = epoch >= self.promised && epoch >= known;
        if is_current {
            self.renewed_nanos = self.renewed_nanos.max(now_nanos);
        }
        is_current
    }

    /// Whether it would help to elect another primary.
    pub fn is_willing(&self, now_nanos: u64) -> bool {
        now_nanos.saturating_sub(self.renewed_nanos) > self.patience_nanos
    }

    /// After how many nanoseconds it will be, if it hears of no primary.
    pub fn left_nanos(&self, now_nanos: u64) -> u64 {
        (self.renewed_nanos + self.patience_nanos + 1).saturating_sub(now_nanos)
    }

    /// Whether it may promise an epoch now.
    pub fn may_promise(&self, epoch: u64, known: u64, now_nanos: u64) -> bool {
        let is_next = epoch > self.promised && epoch > known && epoch - known <= MAX_LEAP;
        is_next && self.is_willing(now_nanos)
    }

    /// Notes a promise that is on disk.
    pub fn promise(&mut self, epoch: u64) {
        self.promised = self.promised.max(epoch);
    }

    /// A configuration of another epoch is in force: its primary gets the time to be heard of.
    pub fn settle(&mut self, now_nanos: u64) {
        self.renewed_nanos = self.renewed_nanos.max(now_nanos);
    }
}

/// Until when a primary may acknowledge, given when it last asked those members, itself included, that
/// renewed its lease then; 0 for not at all.
pub fn lease_end(asked_nanos: &mut [u64], majority: usize, lease_nanos: u64) -> u64 {
    asked_nanos.sort_unstable_by(|one, other| other.cmp(one));
    match majority.checked_sub(1).and_then(|last| asked_nanos.get(last)) {
        Some(asked) => asked.saturating_add(lease_nanos),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hears_of_the_primary_promises_nothing() {
        let mut voter = Voter::new(0, 100, 1000);
        assert!(!voter.may_promise(1, 0, 1100), "a start counts as a renewal");
        assert!(voter.may_promise(1, 0, 1101));
        assert!(voter.renew(0, 0, 1101));
        assert!(!voter.may_promise(1, 0, 1201));
        assert_eq!((voter.left_nanos(1102), voter.left_nanos(1202)), (100, 0));
        assert!(voter.is_willing(1202));
    }

    #[test]
    fn who_promised_renews_no_lower_epoch() {
        let mut voter = Voter::new(3, 100, 0);
        assert!(!voter.may_promise(3, 2, 500), "it is given once");
        assert!(voter.may_promise(4, 2, 500));
        voter.promise(4);
        assert!(!voter.renew(3, 2, 501));
        assert!(voter.is_willing(501));
        assert!(voter.renew(4, 2, 502), "the primary knows of the election before this one does");
        assert!(!voter.renew(4, 5, 503), "this one knows of a later one");
        assert!(!voter.is_willing(602));
    }

    #[test]
    fn time_that_goes_back_changes_nothing() {
        let mut voter = Voter::new(0, 100, 1000);
        voter.renew(1, 1, 900);
        assert!(!voter.is_willing(1100));
        assert!(!voter.is_willing(0));
    }

    #[test]
    fn a_lease_counts_from_when_the_majority_was_asked() {
        assert_eq!(lease_end(&mut [900, 700, 800], 2, 50), 850);
        assert_eq!(lease_end(&mut [900], 2, 50), 0, "no majority");
        assert_eq!(lease_end(&mut [900, 900, 100, 100, 100], 3, 50), 150);
    }

    /// The rule that all stands on: with any renewals and clocks that differ by as much as they may,
    /// no lease is held when a majority is willing.
    #[test]
    fn no_majority_is_willing_while_a_lease_is_held() {
        let mut random = fastrand::Rng::with_seed(7);
        let (lease, patience) = (1000u64, 1000 + 1000 / 50);
        for _ in 0..20_000 {
            // Each member's clock is a bit faster or slower than the primary's, and shifted.
            let speed: Vec<f64> = (0..3).map(|_| 1.0 + (random.f64() - 0.5) / 50.0).collect();
            let clock = |member: usize, real: f64| (1_000_000.0 + real * speed[member]) as u64;
            let mut voters: Vec<Voter> =
                (0..3).map(|member| Voter::new(0, patience, clock(member, 0.0))).collect();
            let mut asked = [None; 3];
            for round in 0..5 {
                let sent = f64::from(round) * 300.0;
                for member in 0..3 {
                    if random.bool() {
                        let arrives = sent + random.f64() * 250.0;
                        voters[member].renew(1, 1, clock(member, arrives));
                        asked[member] = Some(sent);
                    }
                }
            }
            let mut known: Vec<u64> = asked.iter().flatten().map(|at| *at as u64).collect();
            let end = lease_end(&mut known, 2, lease);
            if end == 0 {
                continue;
            }
            let willing =
                (0..3).filter(|&member| voters[member].is_willing(clock(member, end as f64 - 1.0)));
            assert!(willing.count() < 2);
        }
    }
}
