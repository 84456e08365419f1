//! Invalidations that are still owed to the cache.
//!
//! One that could not be made is tried again until it is; what it is about is not read from the cache
//! before. One that was made is remembered for a while, because a failover may undo it: replication
//! is asynchronous. Then it is made again at the new primary. The journal is bounded; what does not
//! fit turns into one invalidation of the whole namespace.

use super::key::Key;
use crate::routing::token::Token;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Invalidations that wait.
const PENDING: usize = 1024;
/// Invalidations that are remembered, and for how long.
const RECENT: usize = 16_384;
const REMEMBERED: Duration = Duration::from_secs(10);

/// What to invalidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owed {
    Value { key: Key, how: How },
    Tag(String),
    All,
}

/// How to invalidate a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct How {
    /// Nothing is stored for so long.
    pub(super) hold_ms: u64,
    /// Nothing older is stored.
    pub(super) version: u64,
    /// Keeps the value for those who take a stale one.
    pub(super) is_soft: bool,
}

/// How far what is in the cache can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Full,
    /// Only what has this, or else the primary.
    After(Option<Token>),
    /// Not at all: an invalidation is owed.
    None,
}

/// The invalidations that are owed, and those that may have to be made again.
#[derive(Default)]
pub(super) struct Journal {
    /// Whether there is anything to look at.
    is_busy: AtomicBool,
    state: Mutex<State>,
    /// Says that something waits.
    pub(super) wake: Arc<Notify>,
}

#[derive(Default)]
struct State {
    pending: VecDeque<Owed>,
    recent: VecDeque<(Instant, Owed)>,
    /// The last invalidation of each thing in `recent`.
    marks: HashMap<Owed, (Instant, Option<Token>)>,
    /// Whether `recent` could not hold all.
    overflowed: Option<Instant>,
    /// Whether what is in `recent` is being made again.
    is_replaying: bool,
}

impl Owed {
    /// What it is about, whatever the way.
    fn subject(&self) -> Self {
        match self {
            Self::Value { key, .. } => Self::Value { key: key.clone(), how: How::default() },
            other => other.clone(),
        }
    }
}

impl Journal {
    /// Remembers one that could not be made.
    pub(super) fn owe(&self, owed: Owed) {
        let mut state = self.state.lock();
        if state.pending.len() >= PENDING {
            state.pending.clear();
            state.pending.push_back(Owed::All);
        } else if !state.pending.contains(&owed) {
            state.pending.push_back(owed);
        }
        self.is_busy.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Remembers one that was made.
    pub(super) fn made(&self, owed: Owed, token: Option<Token>, now: Instant) {
        let mut state = self.state.lock();
        state.forget(now);
        if state.recent.len() >= RECENT {
            state.overflowed = Some(now);
            if let Some((_, oldest)) = state.recent.pop_front() {
                state.marks.remove(&oldest.subject());
            }
        }
        state.marks.insert(owed.subject(), (now, token));
        state.recent.push_back((now, owed));
        self.is_busy.store(true, Ordering::Release);
    }

    /// The first that waits; it stays until it is [`settled`](Self::settle).
    pub(super) fn first(&self) -> Option<Owed> {
        self.state.lock().pending.front().cloned()
    }

    /// One that waited was made.
    pub(super) fn settle(&self, owed: &Owed) {
        let mut state = self.state.lock();
        if let Some(place) = state.pending.iter().position(|waiting| waiting == owed) {
            state.pending.remove(place);
        }
    }

    /// Those to be made again after a failover. Until [`replayed`](Self::replayed) none of them is
    /// trusted.
    pub(super) fn replay(&self, now: Instant) -> Vec<Owed> {
        let mut state = self.state.lock();
        state.forget(now);
        if state.overflowed.is_some() {
            state.is_replaying = true;
            return vec![Owed::All];
        }
        let mut again: Vec<Owed> = Vec::new();
        for (_, owed) in &state.recent {
            again.push(owed.clone());
        }
        again.dedup();
        state.is_replaying = !again.is_empty();
        again
    }

    /// They were made again, or wait with the others.
    pub(super) fn replayed(&self) {
        self.state.lock().is_replaying = false;
    }

    /// How far a value can be trusted.
    pub(super) fn trust(&self, key: &[u8]) -> Trust {
        if !self.is_busy.load(Ordering::Acquire) {
            return Trust::Full;
        }
        let mut state = self.state.lock();
        state.forget(Instant::now());
        if state.pending.is_empty() && state.recent.is_empty() {
            self.is_busy.store(false, Ordering::Release);
            return Trust::Full;
        }
        let value = Owed::Value { key: key.to_vec(), how: How::default() };
        let all = state.trust(&Owed::All);
        if all == Trust::Full { state.trust(&value) } else { all }
    }

    /// How far values with a tag can be trusted.
    pub(super) fn trust_tag(&self, tag: &str) -> Trust {
        if !self.is_busy.load(Ordering::Acquire) {
            return Trust::Full;
        }
        self.state.lock().trust(&Owed::Tag(tag.to_owned()))
    }
}

impl State {
    fn trust(&self, subject: &Owed) -> Trust {
        let owed = self.pending.iter().any(|waiting| match (waiting, subject) {
            (Owed::Value { key, .. }, Owed::Value { key: wanted, .. }) => key == wanted,
            (waiting, subject) => waiting == subject,
        });
        let mark = self.marks.get(subject);
        if owed || (self.is_replaying && (mark.is_some() || self.overflowed.is_some())) {
            return Trust::None;
        }
        mark.map_or(Trust::Full, |(_, token)| Trust::After(*token))
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) > REMEMBERED;
        while self.recent.front().is_some_and(|(at, _)| is_old(*at)) && !self.is_replaying {
            if let Some((_, owed)) = self.recent.pop_front()
                && self.marks.get(&owed.subject()).is_some_and(|(at, _)| is_old(*at))
            {
                self.marks.remove(&owed.subject());
            }
        }
        if self.overflowed.is_some_and(is_old) {
            self.overflowed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str) -> Owed {
        Owed::Value { key: key.into(), how: How::default() }
    }

    #[test]
    fn what_is_owed_is_not_trusted_until_it_is_made() {
        let journal = Journal::default();
        assert_eq!(journal.trust(b"a"), Trust::Full);
        journal.owe(value("a"));
        journal.owe(value("a"));
        assert_eq!(journal.trust(b"a"), Trust::None);
        assert_eq!(journal.trust(b"b"), Trust::Full);
        let first = journal.first().unwrap();
        journal.settle(&first);
        journal.made(first, None, Instant::now());
        assert_eq!(journal.first(), None);
        assert_eq!(journal.trust(b"a"), Trust::After(None));
    }

    #[test]
    fn what_was_made_is_made_again_and_not_trusted_meanwhile() {
        let journal = Journal::default();
        let now = Instant::now();
        journal.made(Owed::Tag("t".to_owned()), None, now);
        journal.made(value("a"), None, now);
        assert_eq!(journal.replay(now).len(), 2);
        assert_eq!(journal.trust(b"a"), Trust::None);
        assert_eq!(journal.trust_tag("t"), Trust::None);
        assert_eq!(journal.trust(b"b"), Trust::Full);
        journal.replayed();
        assert_eq!(journal.trust(b"a"), Trust::After(None));
        assert!(journal.replay(now + REMEMBERED * 2).is_empty());
        assert_eq!(journal.trust(b"a"), Trust::Full);
    }

    #[test]
    fn what_does_not_fit_becomes_everything() {
        let journal = Journal::default();
        for number in 0..=PENDING {
            journal.owe(value(&number.to_string()));
        }
        assert_eq!(journal.first(), Some(Owed::All));
        assert_eq!(journal.trust(b"anything"), Trust::None);
        let journal = Journal::default();
        let now = Instant::now();
        for number in 0..=RECENT {
            journal.made(value(&number.to_string()), None, now);
        }
        assert_eq!(journal.replay(now), [Owed::All]);
        assert_eq!(journal.trust(b"anything"), Trust::None);
        journal.replayed();
    }
}
