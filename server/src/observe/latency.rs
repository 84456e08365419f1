//! How long things took: a histogram per command, and the monitor of rare slow events.
//!
//! [`Histogram`] is log-linear: each doubling of the value has 128 buckets, so a value is known to
//! better than one percent from a nanosecond to a second. The layout is that of an HDR histogram of
//! two significant digits, which is what Redis reports from, so the bounds that LATENCY HISTOGRAM
//! shows are the same. Buckets come into being a doubling at a time: a command's latencies seldom
//! spread over more than five.
//!
//! [`LatencyMonitor`] keeps, for each kind of event, the worst latency of each of the last seconds
//! in which one was above `latency-monitor-threshold`.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets per doubling.
const SUBS: usize = 1 << SUB_BITS;
const SUB_BITS: u32 = 7;
/// Doublings: values below `SUBS` together, then each power of two up to 2^29.
const OCTAVES: usize = 24;
/// Larger values count as this one: a second.
const MAX_NANOS: u64 = 1_000_000_000;
/// The first bound that LATENCY HISTOGRAM reports, in nanoseconds; each next one is the double.
const FIRST_BOUND_NANOS: u64 = 1024;

type Octave = Box<[AtomicU64; SUBS]>;

/// Counts of durations.
///
/// One thread records, any thread may read.
#[derive(Debug, Default)]
pub struct Histogram {
    octaves: [OnceLock<Octave>; OCTAVES],
}

/// Which bucket counts a value.
#[inline]
fn place(nanos: u64) -> (usize, usize) {
    let nanos = nanos.clamp(1, MAX_NANOS);
    match nanos.ilog2().checked_sub(SUB_BITS) {
        None => (0, nanos as usize),
        Some(above) => (above as usize + 1, (nanos >> above) as usize & (SUBS - 1)),
    }
}

/// The smallest and the largest value of a bucket.
fn bounds(octave: usize, sub: usize) -> (u64, u64) {
    match octave.checked_sub(1) {
        None => (sub as u64, sub as u64),
        Some(shift) => {
            let low = ((SUBS + sub) as u64) << shift;
            (low, low + (1 << shift) - 1)
        }
    }
}

impl Histogram {
    /// Counts a duration; only one thread may call it.
    #[inline]
    pub fn record(&self, nanos: u64) {
        let (octave, sub) = place(nanos);
        let counter = &self.octave(octave)[sub];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    #[inline]
    fn octave(&self, index: usize) -> &[AtomicU64; SUBS] {
        self.octaves[index].get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        self.combine(other, u64::wrapping_add);
    }

    /// Takes away the counts of an earlier state of the same histogram.
    pub fn subtract(&mut self, earlier: &Self) {
        self.combine(earlier, u64::saturating_sub);
    }

    fn combine(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        for (index, octave) in other.octaves.iter().enumerate() {
            let Some(theirs) = octave.get() else { continue };
            for (ours, theirs) in self.octave(index).iter().zip(theirs.iter()) {
                let sum = with(ours.load(Ordering::Relaxed), theirs.load(Ordering::Relaxed));
                ours.store(sum, Ordering::Relaxed);
            }
        }
    }

    /// The buckets in use, in ascending order: smallest value, largest value, count.
    fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let octaves = self.octaves.iter().enumerate();
        octaves.filter_map(|(index, octave)| Some((index, octave.get()?))).flat_map(
            |(index, octave)| {
                octave.iter().enumerate().filter_map(move |(sub, count)| {
                    let count = count.load(Ordering::Relaxed);
                    let (low, high) = bounds(index, sub);
                    (count > 0).then_some((low, high, count))
                })
            },
        )
    }

    /// How many durations were counted.
    pub fn calls(&self) -> u64 {
        self.buckets().map(|(_, _, count)| count).sum()
    }

    /// The duration in nanoseconds that `percentile` percent stay at or below; 0 when empty.
    pub fn percentile(&self, percentile: f64) -> u64 {
        let total = self.calls();
        let wanted = (percentile.clamp(0.0, 100.0) / 100.0 * total as f64 + 0.5) as u64;
        let wanted = wanted.max(1);
        let mut seen = 0;
        for (low, high, count) in self.buckets() {
            seen += count;
            if seen >= wanted {
                return if percentile == 0.0 { low } else { high };
            }
        }
        0
    }

    /// The distribution as LATENCY HISTOGRAM shows it: bounds in microseconds, each about twice the
    /// one before, with the number of durations up to there. Bounds that add nothing are left out.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut rows = Vec::new();
        let mut bound = FIRST_BOUND_NANOS;
        let mut seen = 0;
        let mut buckets = self.buckets().peekable();
        while buckets.peek().is_some() {
            // The bucket in which the bound lies belongs to it as a whole.
            let (octave, sub) = place(bound);
            let (_, top) =
                if bound < MAX_NANOS { bounds(octave, sub) } else { bounds(OCTAVES - 1, SUBS - 1) };
            let before = seen;
            while let Some((_, _, count)) = buckets.next_if(|(_, high, _)| *high <= top) {
                seen += count;
            }
            if seen > before {
                rows.push((top / 1000, seen));
            }
            bound *= 2;
        }
        rows
    }
}

/// Samples that are kept of one kind of event (as in Redis).
const SAMPLES: usize = 160;

/// The worst latency in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Seconds since the Unix epoch.
    pub time_s: i64,
    /// Milliseconds.
    pub latency_ms: u64,
}

/// What is known of one kind of event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Oldest first, at most 160.
    pub samples: VecDeque<Sample>,
    /// The worst latency since the last reset, in milliseconds.
    pub worst_ms: u64,
}

/// Slow events by kind.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<&'static str, Series>>,
}

impl LatencyMonitor {
    /// Notes that an event took `latency_ms`, if the monitor is on and that is long enough.
    ///
    /// `threshold_ms` is `latency-monitor-threshold`; 0 switches the monitor off.
    #[inline]
    pub fn record(&self, event: &'static str, latency_ms: u64, threshold_ms: u64, now_ms: i64) {
        if threshold_ms > 0 && latency_ms >= threshold_ms {
            self.add(event, latency_ms, now_ms.div_euclid(1000));
        }
    }

    #[cold]
    fn add(&self, event: &'static str, latency_ms: u64, time_s: i64) {
        let mut events = self.events.lock();
        let series = events.entry(event).or_default();
        series.worst_ms = series.worst_ms.max(latency_ms);
        match series.samples.back_mut() {
            Some(last) if last.time_s == time_s => {
                last.latency_ms = last.latency_ms.max(latency_ms);
            }
            _ => {
                if series.samples.len() == SAMPLES {
                    series.samples.pop_front();
                }
                series.samples.push_back(Sample { time_s, latency_ms });
            }
        }
    }

    /// All kinds of events seen, in the order of their names.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.events.lock().iter().map(|(name, series)| (*name, series.clone())).collect()
    }

    /// What is known of one kind, by its exact name.
    pub fn series(&self, event: &[u8]) -> Option<(&'static str, Series)> {
        let event = std::str::from_utf8(event).ok()?;
        self.events.lock().get_key_value(event).map(|(name, series)| (*name, series.clone()))
    }

    /// Forgets one kind of event, its name in any case; tells whether it was known.
    pub fn reset(&self, event: &[u8]) -> bool {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !name.as_bytes().eq_ignore_ascii_case(event));
        events.len() < before
    }

    /// Forgets everything; tells how many kinds were known.
    pub fn reset_all(&self) -> usize {
        std::mem::take(&mut *self.events.lock()).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gap_and_contain_their_values() {
        let mut next = 0;
        for octave in 0..OCTAVES {
            for sub in 0..SUBS {
                let (low, high) = bounds(octave, sub);
                assert_eq!(low, next, "octave {octave} bucket {sub}");
                assert!(high - low <= low / 100, "precision at {low}");
                next = high + 1;
            }
        }
        for value in [1, 127, 128, 255, 256, 257, 1024, 33_023, 999_999_999, MAX_NANOS] {
            let (octave, sub) = place(value);
            let (low, high) = bounds(octave, sub);
            assert!((low..=high).contains(&value), "{value} in {low}..={high}");
        }
        assert_eq!(place(u64::MAX), place(MAX_NANOS));
        assert_eq!(place(0), place(1));
    }

    #[test]
    fn percentiles_are_the_upper_ends_of_buckets() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        for micros in 1..=1000 {
            histogram.record(micros * 1000);
        }
        assert_eq!(histogram.calls(), 1000);
        for percentile in [1.0, 50.0, 99.0, 99.9, 100.0] {
            let exact = percentile * 10_000.0;
            let found = histogram.percentile(percentile) as f64;
            assert!(found >= exact && found < exact * 1.01, "p{percentile} = {found}");
        }
    }

    #[test]
    fn cumulative_bounds_are_those_of_redis() {
        let histogram = Histogram::default();
        for shift in 0..31 {
            histogram.record(1 << shift);
        }
        histogram.record(u64::MAX);
        let rows = histogram.cumulative();
        let bounds: Vec<u64> = rows.iter().map(|(micros, _)| *micros).collect();
        let expected = [
            1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454, 16_908, 33_816, 67_633,
            135_266, 270_532, 541_065, 1_073_741,
        ];
        assert_eq!(bounds, expected);
        assert_eq!(rows.first(), Some(&(1, 11)));
        assert_eq!(rows.last(), Some(&(1_073_741, 32)));
    }

    #[test]
    fn a_later_state_minus_an_earlier_one_is_what_came_between() {
        let histogram = Histogram::default();
        histogram.record(500);
        let mut earlier = Histogram::default();
        earlier.merge(&histogram);
        histogram.record(70_000);
        let mut between = Histogram::default();
        between.merge(&histogram);
        between.subtract(&earlier);
        assert_eq!(between.calls(), 1);
        assert_eq!(between.percentile(50.0), 70_143);
    }

    #[test]
    fn the_monitor_keeps_the_worst_of_each_second() {
        let monitor = LatencyMonitor::default();
        monitor.record("command", 500, 0, 1000);
        monitor.record("command", 99, 100, 1000);
        assert!(monitor.all().is_empty());
        for latency in [150, 300, 200] {
            monitor.record("command", latency, 100, 1999);
        }
        monitor.record("command", 120, 100, 2000);
        let (_, series) = monitor.series(b"command").expect("recorded");
        let samples: Vec<_> = series.samples.iter().map(|s| (s.time_s, s.latency_ms)).collect();
        assert_eq!(samples, [(1, 300), (2, 120)]);
        assert_eq!(series.worst_ms, 300);
        for second in 0..1000 {
            monitor.record("expire-cycle", 100, 100, second * 1000);
        }
        assert_eq!(monitor.series(b"expire-cycle").expect("recorded").1.samples.len(), SAMPLES);
        assert!(monitor.reset(b"COMMAND") && !monitor.reset(b"command"));
        assert_eq!(monitor.reset_all(), 1);
    }
}
