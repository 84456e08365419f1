//! When a history's offsets were reached, so that a distance in bytes can be told in milliseconds.
//!
//! Both ends of a link keep one: a primary of what it is about to send, a replica of what arrived. All
//! bytes between two points count as come with the later one, so a lag is told as a few milliseconds
//! less than it is. What is older than the oldest point counts as that old, so memory is bounded, and a
//! long lag is told as less than it is too.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// Points that are kept: with ten a second, of more than a minute and a half.
const POINTS: usize = 1024;
/// Points that are closer together are one.
const SPACING_MS: i64 = 10;

/// Offsets and when they were reached; times are in milliseconds of one clock.
#[derive(Debug, Default)]
pub struct Timeline {
    points: Mutex<VecDeque<Point>>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    offset: u64,
    /// When it was first seen to be the end.
    since_ms: i64,
}

impl Timeline {
    /// Notes where the history ends now.
    pub fn note(&self, offset: u64, now_ms: i64) {
        let mut points = self.points.lock();
        if points.back().is_some_and(|last| last.offset > offset || last.since_ms > now_ms) {
            // Another history, or another time.
            points.clear();
        }
        if points.back().is_some_and(|last| last.offset == offset) {
            return;
        }
        let before = points.len().checked_sub(2).and_then(|index| points.get(index));
        let is_close = before.is_some_and(|before| now_ms - before.since_ms < SPACING_MS);
        if is_close {
            points.pop_back();
        } else if points.len() == POINTS {
            points.pop_front();
        }
        points.push_back(Point { offset, since_ms: now_ms });
    }

    /// For how long the history is longer than `offset`: 0 where it is not.
    pub fn behind_ms(&self, offset: u64, now_ms: i64) -> u64 {
        let points = self.points.lock();
        let next = points.partition_point(|point| point.offset <= offset);
        let since_ms = points.get(next).map_or(now_ms, |beyond| beyond.since_ms);
        now_ms.saturating_sub(since_ms).max(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_time() {
        let timeline = Timeline::default();
        assert_eq!(timeline.behind_ms(0, 1000), 0, "nothing is known");
        timeline.note(100, 1000);
        assert_eq!(timeline.behind_ms(100, 1500), 0);
        assert_eq!(timeline.behind_ms(99, 1500), 500, "at least since then");
        timeline.note(100, 1900);
        timeline.note(200, 2000);
        assert_eq!(timeline.behind_ms(99, 2500), 1500);
        assert_eq!(timeline.behind_ms(100, 2500), 500);
        assert_eq!(timeline.behind_ms(150, 2500), 500, "it came with what came after it");
        assert_eq!(timeline.behind_ms(200, 2500), 0);
        assert_eq!(timeline.behind_ms(u64::MAX, 2500), 0);
    }

    #[test]
    fn it_is_bounded_and_begins_anew_with_another_history() {
        let timeline = Timeline::default();
        for step in 0..10_000 {
            timeline.note(step, step as i64 * 100);
        }
        assert_eq!(timeline.points.lock().len(), POINTS);
        let oldest_ms = (POINTS as u64 - 1) * 100;
        assert_eq!(timeline.behind_ms(0, 999_900), oldest_ms, "no older point is kept");
        timeline.note(5, 1_000_000);
        assert_eq!(timeline.behind_ms(4, 1_000_100), 100);
        // A clock that was set back.
        timeline.note(6, 500);
        assert_eq!(timeline.behind_ms(5, 600), 100);
    }

    #[test]
    fn points_that_are_close_are_one() {
        let timeline = Timeline::default();
        for step in 0..1000 {
            timeline.note(step, step as i64);
        }
        assert!(timeline.points.lock().len() <= 120);
        let behind_ms = timeline.behind_ms(499, 999);
        assert!((500 - SPACING_MS as u64..=500).contains(&behind_ms), "{behind_ms}");
        // What comes after a while is a point of its own, whatever follows soon.
        timeline.note(2000, 5000);
        timeline.note(2001, 5001);
        timeline.note(2002, 5009);
        assert_eq!(timeline.behind_ms(999, 5100), 100);
    }
}
