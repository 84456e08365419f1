//! Eviction: which key goes when memory is above `maxmemory`.
//!
//! The entry's 24-bit access field holds what the policy needs, in Redis's terms: the time of the
//! last access for LRU, or a logarithmic counter and the time of the last access for LFU. A victim is
//! the worst of a sample of neighbouring keys in a random shard, or in a few when they are small;
//! there is no list to maintain on a read and no lock besides the shard's own.
//!
//! Eviction runs before a command takes its locks and holds one shard at a time.

use super::notify::Classes;
use super::shard::{Db, Shard};
use super::{Keyspace, SHARDS};
use crate::config::{MaxmemoryPolicy, Settings};
use crate::raw::{EntryRef, Position};
use std::cmp::Ordering;

/// LRU time counts units of 128 ms, so 24 bits go round in 24 days.
const LRU_UNIT_SHIFT: u32 = 7;
const ACCESS_MASK: u32 = 0x00ff_ffff;
/// A new key's LFU counter, so that it is not evicted before it could be read (Redis's value).
const LFU_INIT: u32 = 5;
/// LFU time counts eighths of a minute, so 16 bits go round in 5.7 days. Counters decay by whole
/// minutes, as in Redis; the eighths are for the choice of victims.
const LFU_UNIT_MS: i64 = 60_000 >> LFU_MINUTE_SHIFT;
const LFU_MINUTE_SHIFT: u32 = 3;
/// Neighbours looked at for one sample that `maxmemory-samples` asks for. Redis keeps a pool of the
/// best candidates between samples; a wider sample of adjacent slots does the same for less.
const SAMPLE_FACTOR: usize = 4;
/// Victims that others may snatch away before an eviction counts as impossible.
const ATTEMPTS: usize = 8;

/// How an access is noted in an entry.
#[derive(Clone, Copy, Debug)]
pub enum Touch {
    /// Not at all (`CLIENT NO-TOUCH`); holds the field of new keys.
    None(u32),
    /// The time of the access.
    Lru(u32),
    /// A logarithmic counter.
    Lfu {
        /// Eighths of a minute since the epoch, 16 bits.
        time: u32,
        /// `lfu-log-factor`.
        log_factor: u32,
        /// `lfu-decay-time` in minutes.
        decay_min: u32,
        /// A random number for the counter's chance to grow.
        random: u32,
    },
}

impl Touch {
    /// How `settings` want an access at `now_ms` to be noted.
    #[inline]
    pub fn new(settings: &Settings, now_ms: i64, random: impl FnOnce() -> u32) -> Self {
        if settings.maxmemory_policy.is_lfu() {
            Self::Lfu {
                time: lfu_time(now_ms),
                log_factor: settings.lfu_log_factor,
                decay_min: settings.lfu_decay_time_min,
                random: random(),
            }
        } else {
            Self::Lru(lru_time(now_ms))
        }
    }

    /// The same for a client that leaves no trace.
    pub fn without_trace(self) -> Self {
        Self::None(self.fresh())
    }

    /// The access field of a new key.
    #[inline]
    pub fn fresh(self) -> u32 {
        match self {
            Self::None(access) | Self::Lru(access) => access,
            Self::Lfu { time, .. } => (time << 8) | LFU_INIT,
        }
    }

    /// The access field after an access, if it changes.
    #[inline]
    pub fn next(self, access: u32) -> Option<u32> {
        match self {
            Self::None(_) => None,
            Self::Lru(now) => (now != access).then_some(now),
            Self::Lfu { time, log_factor, decay_min, random } => {
                let mut counter = lfu_decayed(access, time, decay_min);
                if counter < 255 {
                    let base = counter.saturating_sub(LFU_INIT);
                    let odds = u64::from(base) * u64::from(log_factor) + 1;
                    // Mixed with the field so that the keys of one command differ in their luck.
                    let draw = u64::from((random ^ access).wrapping_mul(0x9e37_79b9));
                    if draw * odds <= u64::from(u32::MAX) {
                        counter += 1;
                    }
                }
                Some((time << 8) | counter)
            }
        }
    }
}

#[inline]
fn lru_time(now_ms: i64) -> u32 {
    (now_ms >> LRU_UNIT_SHIFT) as u32 & ACCESS_MASK
}

#[inline]
fn lfu_time(now_ms: i64) -> u32 {
    (now_ms / LFU_UNIT_MS) as u32 & 0xffff
}

#[inline]
fn lfu_decayed(access: u32, time: u32, decay_min: u32) -> u32 {
    let counter = access & 0xff;
    // Minutes that began since, as Redis counts them.
    let since = (time | 0x1_0000) - (access >> 8 >> LFU_MINUTE_SHIFT << LFU_MINUTE_SHIFT);
    let elapsed = (since & 0xffff) >> LFU_MINUTE_SHIFT;
    match elapsed.checked_div(decay_min) {
        Some(periods) => counter.saturating_sub(periods),
        None => counter,
    }
}

/// Milliseconds since an entry was last accessed, for OBJECT IDLETIME.
pub fn idle_ms(access: u32, now_ms: i64) -> i64 {
    i64::from(lru_time(now_ms).wrapping_sub(access) & ACCESS_MASK) << LRU_UNIT_SHIFT
}

/// The access field of an entry that was last accessed `idle_ms` ago.
pub fn access_for_idle(idle_ms: i64, now_ms: i64) -> u32 {
    // Rounded up: it counts as idle for no less.
    let units = idle_ms.saturating_add((1 << LRU_UNIT_SHIFT) - 1) >> LRU_UNIT_SHIFT;
    lru_time(now_ms).wrapping_sub(units as u32) & ACCESS_MASK
}

/// The LFU counter of an entry, for OBJECT FREQ.
pub fn frequency(access: u32, now_ms: i64, settings: &Settings) -> u32 {
    decayed(access, now_ms, settings.lfu_decay_time_min)
}

/// The LFU counter of an entry, given `lfu-decay-time`.
pub fn decayed(access: u32, now_ms: i64, decay_min: u32) -> u32 {
    lfu_decayed(access, lfu_time(now_ms), decay_min)
}

/// The access field of an entry with this LFU counter.
pub fn access_for_frequency(frequency: u8, now_ms: i64) -> u32 {
    lfu_time(now_ms) << 8 | u32::from(frequency)
}

/// A key that was evicted.
pub struct Evicted {
    /// Database number.
    pub db: usize,
    /// The entry, to be dropped off the lock.
    pub entry: crate::raw::Entry,
}

/// The worst key of the shards that were looked at and let go.
#[derive(Default)]
struct Candidate {
    score: u64,
    shard: usize,
    db: usize,
    key: Vec<u8>,
}

/// The worst key of a shard so far, as score, database and place.
struct Worst {
    found: Option<(u64, usize, Position)>,
    /// How many deserve it like the one that was found.
    ties: u32,
    draw: fastrand::Rng,
}

impl Worst {
    /// All that deserve it alike have the same chance. By place the newest would go, as a new key
    /// takes the place of the last victim.
    fn consider(&mut self, score: u64, number: usize, at: Position) {
        match self.found.map(|(worst, ..)| score.cmp(&worst)) {
            Some(Ordering::Less) => return,
            Some(Ordering::Equal) => self.ties += 1,
            Some(Ordering::Greater) | None => self.ties = 1,
        }
        if self.draw.u32(..self.ties) == 0 {
            self.found = Some((score, number, at));
        }
    }
}

impl Keyspace {
    /// Takes one victim, if the policy finds any; `publish` is called while its shard is locked.
    ///
    /// A shard of many keys gives the whole sample; small ones are looked at one after the other
    /// until the sample is full, so that keys of a small database compete with more than the few
    /// that share their shard.
    pub fn evict_one(
        &self,
        settings: &Settings,
        now_ms: i64,
        random: &mut impl FnMut() -> u64,
        mut publish: impl FnMut(usize, &[u8], Classes),
    ) -> Option<Evicted> {
        let policy = settings.maxmemory_policy;
        let samples = match policy {
            MaxmemoryPolicy::Noeviction => return None,
            MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom => 1,
            _ => settings.maxmemory_samples as usize * SAMPLE_FACTOR,
        };
        let score = |entry: EntryRef<'_>| score(entry, policy, now_ms, settings);
        let mut best: Option<Candidate> = None;
        for _ in 0..ATTEMPTS {
            let start = random() as usize % SHARDS;
            let mut seen = 0;
            for offset in 0..SHARDS {
                let index = (start + offset) % SHARDS;
                let mut shard = self.lock(index);
                let mut worst =
                    Worst { found: None, ties: 0, draw: fastrand::Rng::with_seed(random()) };
                for (number, db) in shard.databases().enumerate().filter(|(_, db)| !db.is_empty()) {
                    sample(db, policy, samples, random, |at, entry| {
                        seen += 1;
                        worst.consider(score(entry), number, at);
                    });
                }
                let better = |(score, ..): &(u64, usize, Position)| {
                    best.as_ref().is_none_or(|best| *score > best.score)
                };
                let worst = worst.found.filter(better);
                let is_full = seen >= samples || offset + 1 == SHARDS;
                match worst {
                    Some((_, number, at)) if is_full => {
                        return Some(self.evict(&mut shard, number, at, publish));
                    }
                    Some((score, number, at)) => {
                        let best = best.get_or_insert_default();
                        best.key.clear();
                        best.key.extend_from_slice(shard.db(number)?.get(at).key());
                        (best.score, best.shard, best.db) = (score, index, number);
                    }
                    None => {}
                }
                if is_full {
                    break;
                }
            }
            let candidate = best.take()?;
            let mut shard = self.lock(candidate.shard);
            let found = shard.db(candidate.db).and_then(|db| {
                let at = db.find(self.key(&candidate.key))?;
                let entry = db.get(at);
                let may_go = !policy.is_volatile() || entry.deadline_ms().is_some();
                (may_go && score(entry) == candidate.score).then_some(at)
            });
            // Otherwise somebody was faster, or wants the key after all.
            if let Some(at) = found {
                return Some(self.evict(&mut shard, candidate.db, at, &mut publish));
            }
        }
        None
    }

    /// Takes a victim out of its locked shard.
    fn evict(
        &self,
        shard: &mut Shard,
        number: usize,
        at: Position,
        mut publish: impl FnMut(usize, &[u8], Classes),
    ) -> Evicted {
        let db = shard.db_mut(number);
        let before = db.size_bytes();
        let entry = db.remove(at);
        let after = db.size_bytes();
        self.memory().add(after as i64 - before as i64);
        shard.touch(number, self.key(entry.view().key()));
        publish(number, entry.view().key(), Classes::EVICTED);
        Evicted { db: number, entry }
    }
}

/// Shows `consider` up to `samples` keys of a database that the policy lets go.
fn sample(
    db: &Db,
    policy: MaxmemoryPolicy,
    samples: usize,
    random: &mut impl FnMut() -> u64,
    mut consider: impl FnMut(Position, EntryRef<'_>),
) {
    match policy {
        MaxmemoryPolicy::AllkeysRandom => {
            // The last of some neighbours: the first would always be a bucket's first.
            let (table, draw) = (db.table(), random());
            let mut last = None;
            table.sample(draw, 1 + draw as usize % 8, |at, _| last = Some(at));
            if let Some(at) = last {
                consider(at, table.get(at));
            }
        }
        _ if policy.is_volatile() => sample_volatile(db, samples, random, consider),
        _ => db.table().sample(random(), samples, consider),
    }
}

/// Shows `consider` volatile keys of a random sample of the deadline index.
fn sample_volatile(
    db: &Db,
    samples: usize,
    random: &mut impl FnMut() -> u64,
    mut consider: impl FnMut(Position, EntryRef<'_>),
) {
    if db.volatile() == 0 {
        return;
    }
    let (table, index) = (db.table(), db.deadlines());
    let volatile = |tag| table.find_tag(tag, |entry| entry.deadline_ms().is_some());
    if db.volatile() <= samples {
        // Draws would mostly meet the same few again.
        index.tags().filter_map(volatile).for_each(|at| consider(at, table.get(at)));
        return;
    }
    // Stale items find nothing, hence some more draws than samples.
    let draws = (0..samples * 2).filter_map(|_| index.sample(random()));
    let mut found = draws.filter_map(volatile).take(samples).peekable();
    if found.peek().is_some() {
        found.for_each(|at| consider(at, table.get(at)));
    } else if let Some(at) = index.tags().find_map(volatile) {
        // Few volatile keys behind many stale items: any is better than a command refused.
        consider(at, table.get(at));
    }
}

/// How much an entry deserves to go; the highest goes.
fn score(entry: EntryRef<'_>, policy: MaxmemoryPolicy, now_ms: i64, settings: &Settings) -> u64 {
    match policy {
        MaxmemoryPolicy::VolatileTtl => u64::MAX - entry.deadline_ms().unwrap_or(0).max(0) as u64,
        MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => {
            // A counter ages steadily here, by one in each decay time, where a read finds it decayed
            // at the turn of a minute: a key read once must not become the equal of a new one from
            // one second to the next. Without decay, time only tells equally rare keys apart.
            let unseen = lfu_time(now_ms).wrapping_sub(entry.access() >> 8) & 0xffff;
            let step = match u64::from(settings.lfu_decay_time_min) {
                0 => 1 << 16,
                minutes => minutes << LFU_MINUTE_SHIFT,
            };
            u64::from(255 - (entry.access() & 0xff)) * step + u64::from(unseen)
        }
        _ => idle_ms(entry.access(), now_ms) as u64,
    }
}
