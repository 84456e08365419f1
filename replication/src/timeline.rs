//! When a history's offsets were reached, so that a distance in bytes can be told in milliseconds.
//!
//! Both ends of a link keep one: a primary of what it appended, a replica of what arrived. Between two
//! points the bytes are taken to have come evenly. What is older than the oldest point counts as that
//! old, so memory is bounded and a long lag is told as less than it is, never as none.

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
    /// When it was first seen to be the end, and when last.
    first_ms: i64,
    last_ms: i64,
}

impl Timeline {
    /// Notes where the history ends now.
    pub fn note(&self, offset: u64, now_ms: i64) {
        let mut points = self.points.lock();
        if points.back().is_some_and(|last| last.offset > offset || last.last_ms > now_ms) {
            // Another history, or another time.
            points.clear();
        }
        if let Some(last) = points.back_mut().filter(|last| last.offset == offset) {
            last.last_ms = now_ms;
            return;
        }
        let before = points.len().checked_sub(2).and_then(|index| points.get(index));
        let is_close = before.is_some_and(|before| now_ms - before.first_ms < SPACING_MS);
        if is_close {
            points.pop_back();
        } else if points.len() == POINTS {
            points.pop_front();
        }
        points.push_back(Point { offset, first_ms: now_ms, last_ms: now_ms });
    }

    /// For how long the history is longer than `offset`: 0 where it is not.
    pub fn behind_ms(&self, offset: u64, now_ms: i64) -> u64 {
        let points = self.points.lock();
        let next = points.partition_point(|point| point.offset <= offset);
        let Some(beyond) = points.get(next) else { return 0 };
        let since_ms = match next.checked_sub(1).and_then(|before| points.get(before)) {
            None => beyond.first_ms,
            Some(before) => {
                let share =
                    (offset - before.offset) as f64 / (beyond.offset - before.offset) as f64;
                before.last_ms + ((beyond.first_ms - before.last_ms) as f64 * share) as i64
            }
        };
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
        assert_eq!(timeline.behind_ms(100, 2500), 600, "the rest came after it was last the end");
        assert_eq!(timeline.behind_ms(150, 2500), 550);
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
        assert!(timeline.behind_ms(499, 999).abs_diff(500) <= 1);
    }
}
