//! The large form of a sorted set.
//!
//! Each member has a slot that it keeps for as long as it is there. Slots lie in pages and are found
//! by a hash index that grows by one bucket at a time, so that no ZADD pays for a rehash. The order
//! is a sequence of chunks of scores, each with its member's slot beside it: searching reads mostly
//! neighbouring scores, and a rank is a sum over the chunks' lengths.
//!
//! Invariants: every slot in use is in one bucket's chain and in one chunk; chunks are never empty;
//! `firsts` and `counts` mirror each chunk's first score and length, `groups` sums of `counts`.

use crate::types::members::hash_of;
use std::cmp::Ordering;
use std::ops::Range;

/// Slots in a page. Pages are filled one after the other, and only the last one ever moves.
const PAGE: usize = 512;
/// Members in a full chunk: so many scores are moved at most when one is added.
const CHUNK: usize = 256;
/// Bytes of a chunk's scores and slots.
const CHUNK_BYTES: usize = CHUNK * (size_of::<f64>() + size_of::<u32>());
/// Chunks whose members are counted together.
const GROUP: usize = 64;
/// No slot.
const NONE: u32 = u32::MAX;

/// A sorted set of many members.
#[derive(Debug)]
pub struct Zset {
    len: usize,
    pages: Vec<Vec<Slot>>,
    /// The first unused slot; each one's `next` is the one after it.
    free: u32,
    /// The first slot of each bucket's chain.
    buckets: Vec<u32>,
    order: Order,
    name_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    score: f64,
    /// `None` when nobody uses the slot.
    name: Option<Box<[u8]>>,
    hash: u32,
    next: u32,
}

#[derive(Debug, Default)]
struct Order {
    chunks: Vec<Chunk>,
    firsts: Vec<f64>,
    counts: Vec<u32>,
    groups: Vec<u32>,
}

#[derive(Debug)]
struct Chunk {
    scores: Vec<f64>,
    slots: Vec<u32>,
}

impl Chunk {
    fn new() -> Self {
        Self { scores: Vec::with_capacity(CHUNK), slots: Vec::with_capacity(CHUNK) }
    }
}

/// A place in the order.
#[derive(Clone, Copy, Debug)]
struct Spot {
    chunk: usize,
    at: usize,
}

/// The first index below `len` for which `before` does not hold.
fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl Order {
    /// How many members stand before a spot.
    fn rank(&self, spot: Spot) -> usize {
        let group = spot.chunk / GROUP;
        let before = self.groups[..group].iter().sum::<u32>();
        (before + self.counts[group * GROUP..spot.chunk].iter().sum::<u32>()) as usize + spot.at
    }

    /// The spot of a rank that is not beyond the end.
    fn spot(&self, rank: usize) -> Spot {
        let mut at = rank;
        let mut pass = |count: &&u32| {
            let is_before = **count as usize <= at;
            if is_before {
                at -= **count as usize;
            }
            is_before
        };
        let group = self.groups.iter().take_while(&mut pass).count();
        let first = (group * GROUP).min(self.counts.len());
        let chunk = first + self.counts[first..].iter().take_while(&mut pass).count();
        Spot { chunk, at }
    }

    fn insert(&mut self, mut spot: Spot, score: f64, slot: u32) {
        if self.chunks.is_empty() || self.chunks[spot.chunk].scores.len() == CHUNK {
            spot = self.make_room(spot);
        }
        let chunk = &mut self.chunks[spot.chunk];
        chunk.scores.insert(spot.at, score);
        chunk.slots.insert(spot.at, slot);
        self.mirror(spot.chunk);
    }

    /// Splits a full chunk; behind the very last member a new one begins, so that what comes in order
    /// fills its chunks.
    fn make_room(&mut self, spot: Spot) -> Spot {
        let is_end = spot.chunk + 1 >= self.chunks.len() && spot.at >= CHUNK;
        let next = if self.chunks.is_empty() { 0 } else { spot.chunk + 1 };
        let mut chunk = Chunk::new();
        let split = CHUNK / 2;
        if next > 0 && !is_end {
            let full = &mut self.chunks[spot.chunk];
            chunk.scores.extend(full.scores.drain(split..));
            chunk.slots.extend(full.slots.drain(split..));
        }
        self.chunks.insert(next, chunk);
        self.firsts.insert(next, 0.0);
        self.counts.insert(next, 0);
        self.regroup(next);
        if next == 0 || is_end {
            return Spot { chunk: next, at: 0 };
        }
        self.mirror(spot.chunk);
        self.mirror(next);
        if spot.at <= split { spot } else { Spot { chunk: next, at: spot.at - split } }
    }

    fn mirror(&mut self, chunk: usize) {
        let of = &self.chunks[chunk];
        self.firsts[chunk] = of.scores.first().copied().unwrap_or_default();
        let (before, count) = (self.counts[chunk], of.scores.len() as u32);
        self.counts[chunk] = count;
        let group = &mut self.groups[chunk / GROUP];
        *group = *group - before + count;
    }

    /// Sums up the groups from that of a chunk on, after chunks have moved.
    fn regroup(&mut self, chunk: usize) {
        let group = chunk / GROUP;
        self.groups.truncate(group);
        let sums =
            self.counts[group * GROUP..].chunks(GROUP).map(|counts| counts.iter().sum::<u32>());
        self.groups.extend(sums);
    }

    /// Takes up to `count` members of one chunk, from a spot on.
    fn take(&mut self, spot: Spot, count: usize) -> Vec<u32> {
        let chunk = &mut self.chunks[spot.chunk];
        let range = spot.at..(spot.at + count).min(chunk.scores.len());
        chunk.scores.drain(range.clone());
        let taken = chunk.slots.drain(range).collect();
        self.settle(spot.chunk);
        taken
    }

    fn remove(&mut self, mut spot: Spot) {
        // What comes behind a chunk's last member is the next one's first.
        if spot.at == self.chunks[spot.chunk].scores.len() {
            spot = Spot { chunk: spot.chunk + 1, at: 0 };
        }
        let chunk = &mut self.chunks[spot.chunk];
        chunk.scores.remove(spot.at);
        chunk.slots.remove(spot.at);
        self.settle(spot.chunk);
    }

    /// Drops a chunk that became empty, or joins it with the next when both are nearly so.
    fn settle(&mut self, at: usize) {
        let len = self.chunks[at].scores.len();
        let next = self.chunks.get(at + 1).map_or(CHUNK, |next| next.scores.len());
        if len == 0 {
            self.drop_chunk(at);
        } else if len + next <= CHUNK / 2 {
            let next = self.drop_chunk(at + 1);
            self.chunks[at].scores.extend(next.scores);
            self.chunks[at].slots.extend(next.slots);
            self.mirror(at);
        } else {
            self.mirror(at);
        }
    }

    fn drop_chunk(&mut self, at: usize) -> Chunk {
        self.firsts.remove(at);
        self.counts.remove(at);
        self.regroup(at);
        self.chunks.remove(at)
    }

    fn size_bytes(&self) -> usize {
        self.chunks.len() * CHUNK_BYTES
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.firsts.capacity() * size_of::<f64>()
            + (self.counts.capacity() + self.groups.capacity()) * size_of::<u32>()
    }
}

impl Default for Zset {
    fn default() -> Self {
        Self {
            len: 0,
            pages: Vec::new(),
            free: NONE,
            buckets: vec![NONE],
            order: Order::default(),
            name_bytes: 0,
        }
    }
}

impl Clone for Zset {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        for (name, score) in self.range(0..self.len) {
            copy.upsert(name, |_| Some(score));
        }
        copy
    }
}

impl Zset {
    /// Buckets of its table.
    pub fn places(&self) -> usize {
        self.buckets.len()
    }

    /// How many members it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty sorted set has no key")]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes from the allocator, its own struct excluded.
    pub fn size_bytes(&self) -> usize {
        let full = self.pages.len().saturating_sub(1) * PAGE;
        let slots = full + self.pages.last().map_or(0, Vec::capacity);
        slots * size_of::<Slot>()
            + self.pages.capacity() * size_of::<Vec<Slot>>()
            + self.buckets.capacity() * size_of::<u32>()
            + self.order.size_bytes()
            + self.name_bytes
    }

    #[inline]
    fn slot(&self, slot: u32) -> &Slot {
        &self.pages[slot as usize / PAGE][slot as usize % PAGE]
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.pages[slot as usize / PAGE][slot as usize % PAGE]
    }

    #[inline]
    fn name(&self, slot: u32) -> &[u8] {
        self.slot(slot).name.as_deref().unwrap_or_default()
    }

    /// The bucket of a hash: those that were not split yet hold two.
    #[inline]
    fn bucket(&self, hash: u32) -> usize {
        let mask = self.buckets.len().next_power_of_two() - 1;
        let bucket = hash as usize & mask;
        if bucket < self.buckets.len() { bucket } else { bucket & (mask >> 1) }
    }

    #[inline]
    fn find(&self, name: &[u8], hash: u32) -> Option<u32> {
        let mut slot = self.buckets[self.bucket(hash)];
        while slot != NONE {
            let of = self.slot(slot);
            if of.hash == hash && of.name.as_deref() == Some(name) {
                return Some(slot);
            }
            slot = of.next;
        }
        None
    }

    /// A member's score.
    #[inline]
    pub fn score(&self, name: &[u8]) -> Option<f64> {
        Some(self.slot(self.find(name, hash_of(name) as u32)?).score)
    }

    /// A member's rank, the lowest score first, and its score.
    pub fn rank(&self, name: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(name)?;
        Some((self.order.rank(self.spot_of(score, name)), score))
    }

    /// The first spot whose member does not come before this score and name.
    fn spot_of(&self, score: f64, name: &[u8]) -> Spot {
        self.first_not(|other, slot| other < score || (other == score && self.name(slot) < name))
    }

    /// The first spot for whose member `before` does not hold; it holds up to some member.
    #[inline]
    fn first_not(&self, before: impl Fn(f64, u32) -> bool) -> Spot {
        let order = &self.order;
        let above = partition(order.chunks.len(), |chunk| {
            before(order.firsts[chunk], order.chunks[chunk].slots[0])
        });
        let Some(chunk) = above.checked_sub(1) else { return Spot { chunk: 0, at: 0 } };
        let of = &order.chunks[chunk];
        let at = partition(of.scores.len(), |at| before(of.scores[at], of.slots[at]));
        Spot { chunk, at }
    }

    /// How many members are before: `before` holds for all members up to some rank, for none after.
    /// It is given a score and, for where scores do not decide, a comparison with the name.
    pub fn partition(&self, before: impl Fn(f64, &dyn Fn(&[u8]) -> Ordering) -> bool) -> usize {
        let spot = self.first_not(|score, slot| before(score, &|other| self.name(slot).cmp(other)));
        self.order.rank(spot)
    }

    /// Gives a member the score that `decide` makes of the one it has; adds it when it has none.
    /// Nothing happens when `decide` wants none.
    #[inline]
    pub fn upsert(&mut self, name: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        let hash = hash_of(name) as u32;
        let Some(slot) = self.find(name, hash) else {
            if let Some(score) = decide(None) {
                self.add(name, hash, score);
            }
            return;
        };
        let old = self.slot(slot).score;
        let Some(score) = decide(Some(old)) else { return };
        if score == old {
            return;
        }
        self.order.remove(self.spot_of(old, name));
        self.slot_mut(slot).score = score;
        self.order.insert(self.spot_of(score, name), score, slot);
    }

    fn add(&mut self, name: &[u8], hash: u32, score: f64) {
        self.grow_index();
        let spot = self.spot_of(score, name);
        let bucket = self.bucket(hash);
        let next = self.buckets[bucket];
        let slot = self.place(Slot { score, name: Some(Box::from(name)), hash, next });
        self.buckets[bucket] = slot;
        self.order.insert(spot, score, slot);
        self.name_bytes += name.len();
        self.len += 1;
    }

    /// Adds a member that comes behind all others; false when it is there already.
    pub(super) fn push_last(&mut self, name: Box<[u8]>, score: f64) -> bool {
        let hash = hash_of(&name) as u32;
        if self.find(&name, hash).is_some() {
            return false;
        }
        self.grow_index();
        let last = self.order.chunks.len().saturating_sub(1);
        let at = self.order.chunks.last().map_or(0, |chunk| chunk.scores.len());
        let bucket = self.bucket(hash);
        let next = self.buckets[bucket];
        self.name_bytes += name.len();
        let slot = self.place(Slot { score, name: Some(name), hash, next });
        self.buckets[bucket] = slot;
        self.order.insert(Spot { chunk: last, at }, score, slot);
        self.len += 1;
        true
    }

    /// Puts a slot where one is unused, or behind all others.
    fn place(&mut self, slot: Slot) -> u32 {
        if self.free != NONE {
            let at = self.free;
            let unused = self.slot_mut(at);
            let next = unused.next;
            *unused = slot;
            self.free = next;
            return at;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::new());
        }
        let full = (self.pages.len() - 1) * PAGE;
        let page = self.pages.last_mut().expect("one was just made");
        page.push(slot);
        (full + page.len() - 1) as u32
    }

    /// Adds a bucket when there are as many members as buckets, and splits the one it shared with.
    fn grow_index(&mut self) {
        if self.len < self.buckets.len() {
            return;
        }
        let new = self.buckets.len();
        let half = (new + 1).next_power_of_two() / 2;
        let (mut low, mut high) = (NONE, NONE);
        let mut slot = self.buckets[new - half];
        while slot != NONE {
            let of = self.slot_mut(slot);
            let next = of.next;
            let chain = if of.hash as usize & half == 0 { &mut low } else { &mut high };
            of.next = *chain;
            *chain = slot;
            slot = next;
        }
        self.buckets[new - half] = low;
        self.buckets.push(high);
    }

    /// Takes a slot out of its chain and frees it.
    fn release(&mut self, slot: u32) {
        let bucket = self.bucket(self.slot(slot).hash);
        let next = self.slot(slot).next;
        if self.buckets[bucket] == slot {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while self.slot(before).next != slot {
                before = self.slot(before).next;
            }
            self.slot_mut(before).next = next;
        }
        let free = self.free;
        let unused = self.slot_mut(slot);
        unused.next = free;
        let name = unused.name.take();
        self.free = slot;
        self.name_bytes -= name.map_or(0, |name| name.len());
        self.len -= 1;
    }

    /// Takes a member out; gives its score.
    pub fn remove(&mut self, name: &[u8]) -> Option<f64> {
        let slot = self.find(name, hash_of(name) as u32)?;
        let score = self.slot(slot).score;
        self.order.remove(self.spot_of(score, name));
        self.release(slot);
        Some(score)
    }

    /// Takes out the members of these ranks.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        let mut left = ranks.len();
        while left > 0 {
            let taken = self.order.take(self.order.spot(ranks.start), left);
            left -= taken.len();
            taken.into_iter().for_each(|slot| self.release(slot));
        }
    }

    /// The members of these ranks, which exist, with their scores.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        let from = self.order.spot(ranks.start);
        // A few members mostly lie in one chunk, and a search for their end is spared.
        let end = from.at + ranks.len();
        let is_within = self.order.counts.get(from.chunk).is_some_and(|len| end <= *len as usize);
        let to = if is_within { Spot { at: end, ..from } } else { self.order.spot(ranks.end) };
        // The last chunk is cut at its end first: it may also be the first.
        (from.chunk..self.order.chunks.len().min(to.chunk + 1)).flat_map(move |index| {
            let chunk = &self.order.chunks[index];
            let begin = if index == from.chunk { from.at } else { 0 };
            let end = if index == to.chunk { to.at } else { chunk.scores.len() };
            (begin..end).map(move |at| (self.name(chunk.slots[at]), chunk.scores[at]))
        })
    }

    /// Shows `visit` up to `count` slots' members from `cursor` on; gives the cursor to go on with, 0
    /// at the end. What stays during a whole scan is shown once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        let end = (self.pages.len().saturating_sub(1) * PAGE
            + self.pages.last().map_or(0, Vec::len)) as u64;
        // Slots that nobody uses count too: a scan's step takes bounded time.
        let until = cursor.saturating_add(count as u64).min(end);
        for slot in cursor..until {
            let slot = self.slot(slot as u32);
            if let Some(name) = &slot.name {
                visit(name, slot.score);
            }
        }
        if until >= end { 0 } else { until }
    }
}
