//! Sessions that clients may resume: `tls-session-cache-size` of them, each for
//! `tls-session-cache-timeout` seconds.
//!
//! The oldest goes first when a new one finds no place. Invariant: each key in the map stands in the
//! queue, so that the queue's length bounds the map's.

use crate::clock::Clock;
use parking_lot::Mutex;
use rustls::server::StoresServerSessions;
use std::collections::{HashMap, VecDeque};
use std::fmt;

/// What stands for the size 0, which in Redis means no limit.
const SIZE_MAX: usize = 1 << 20;

/// The sessions of one context.
pub(super) struct Sessions {
    clock: Clock,
    size: usize,
    timeout_ms: i64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// When a session ends in milliseconds since the Unix epoch, and its secrets.
    by_key: HashMap<Vec<u8>, (i64, Vec<u8>)>,
    oldest_first: VecDeque<Vec<u8>>,
}

impl Sessions {
    /// No sessions yet.
    pub(super) fn new(clock: &Clock, size: u32, timeout_s: u32) -> Self {
        let size = if size == 0 { SIZE_MAX } else { SIZE_MAX.min(size as usize) };
        let timeout_ms = i64::from(timeout_s) * 1000;
        Self { clock: clock.clone(), size, timeout_ms, inner: Mutex::default() }
    }

    fn live(&self, found: Option<(i64, Vec<u8>)>) -> Option<Vec<u8>> {
        found.filter(|(until_ms, _)| self.clock.unix_ms() < *until_ms).map(|(_, value)| value)
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let until_ms = self.clock.unix_ms().saturating_add(self.timeout_ms);
        let mut inner = self.inner.lock();
        if inner.by_key.insert(key.clone(), (until_ms, value)).is_none() {
            inner.oldest_first.push_back(key);
        }
        while inner.oldest_first.len() > self.size {
            if let Some(oldest) = inner.oldest_first.pop_front() {
                inner.by_key.remove(&oldest);
            }
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let found = self.inner.lock().by_key.get(key).cloned();
        self.live(found)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut inner = self.inner.lock();
        let (until_ms, value) = inner.by_key.get_mut(key)?;
        // Its place in the queue stays, and so does its key, with nothing to find.
        let found = (std::mem::take(until_ms), std::mem::take(value));
        drop(inner);
        self.live(Some(found))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_by_age_and_by_number() {
        let clock = Clock::manual(1_000_000);
        let sessions = Sessions::new(&clock, 2, 10);
        let name = |number: u8| vec![number];
        for number in 0..3 {
            assert!(sessions.put(name(number), vec![number; 3]));
        }
        assert_eq!(sessions.get(&name(0)), None, "the oldest made room");
        assert_eq!(sessions.get(&name(1)), Some(vec![1; 3]));
        assert_eq!(sessions.take(&name(1)), Some(vec![1; 3]));
        assert_eq!(sessions.take(&name(1)), None, "it is taken once");
        clock.advance(9_999);
        assert!(sessions.get(&name(2)).is_some());
        clock.advance(1);
        assert_eq!(sessions.get(&name(2)), None);
        assert!(sessions.inner.lock().by_key.len() <= 2);
    }
}
