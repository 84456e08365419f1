//! The table of one shard: pointers to entries in cache-line buckets.
//!
//! A bucket is 64 bytes and holds eight slots. A slot is an entry's address with 20 bits of the
//! key's hash, the *tag*, in the 16 upper and 4 lower bits that an aligned user-space address leaves
//! free. A key's home bucket is `tag * buckets >> 20`, for any number of buckets: the table grows
//! by a quarter, not by doubling, stays between 70 and 87 % full, and can move its slots to a larger
//! array without looking at a single entry. A full bucket overflows into the next one.
//!
//! Since home buckets are ordered by tag, "all keys whose tag lies in a range" is a meaningful
//! position that survives growth and shrinking: that is what SCAN cursors are made of.
//!
//! Invariant: for an entry in bucket `p` with home `h`, all buckets from `h` to before `p` are full.

use super::entry::{Entry, EntryMut, EntryRef};
use smallvec::SmallVec;
use std::ops::RangeInclusive;
use std::ptr::{self, NonNull};

/// Bits of a key's hash that the table keeps in a slot.
pub const TAG_BITS: u32 = 20;
const SLOTS: usize = 8;
/// Slots in use per bucket, on average, before the table grows: one in eight stays empty, so that
/// an unsuccessful search ends soon.
const MAX_LOAD: usize = 7;
/// The table shrinks when fewer than this many slots per bucket are in use, to `SHRUNK_LOAD`.
const MIN_LOAD: usize = 2;
const SHRUNK_LOAD: usize = 5;
/// Buckets that an entry may be away from its home in a table that has just shrunk.
const MAX_SHIFT: usize = 16;
const LOW_BITS: u32 = 4;
const HIGH_SHIFT: u32 = 48;
const TAG_MASK: usize = (0xffff << HIGH_SHIFT) | 0xf;

/// An occupied or empty place in a bucket.
#[derive(Clone, Copy)]
pub(super) struct Slot(*mut u8);

impl Slot {
    const EMPTY: Self = Self(ptr::null_mut());

    #[inline]
    fn new(block: NonNull<u8>, tag: u32) -> Self {
        // Holds on x86-64 and aarch64 Linux unless a process asks for wider addresses.
        assert_eq!(
            block.addr().get() & TAG_MASK,
            0,
            "an entry's address leaves no room for its tag"
        );
        Self(block.as_ptr().map_addr(|addr| addr | spread(tag)))
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    fn tag(self) -> u32 {
        let addr = self.0.addr();
        (((addr >> HIGH_SHIFT) << LOW_BITS) | (addr & 0xf)) as u32
    }

    /// The entry's block; the slot must be occupied.
    #[inline]
    pub(super) fn block(self) -> NonNull<u8> {
        let block = self.0.map_addr(|addr| addr & !TAG_MASK);
        // SAFETY: an occupied slot holds a non-null address besides its tag.
        unsafe { NonNull::new_unchecked(block) }
    }

    /// Points the slot to another block of the same key.
    #[inline]
    pub(super) fn set_block(&mut self, block: NonNull<u8>) {
        *self = Self::new(block, self.tag());
    }
}

#[inline]
fn spread(tag: u32) -> usize {
    ((tag as usize >> LOW_BITS) << HIGH_SHIFT) | (tag as usize & 0xf)
}

/// Fetches the cache line after the one that `block` begins in; a hint, whatever lies there.
#[inline]
fn prefetch_second_line(block: NonNull<u8>) {
    let line = block.as_ptr().wrapping_add(size_of::<Bucket>());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches nothing that a program could see, at no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket([Slot; SLOTS]);

impl Bucket {
    const EMPTY: Self = Self([Slot::EMPTY; SLOTS]);

    /// One bit for each slot whose tag bits are `want`, without a branch; an empty slot looks as if
    /// it had tag 0.
    #[inline]
    fn candidates(&self, want: usize) -> u32 {
        let tags = self.0.iter().map(|slot| u32::from(slot.0.addr() & TAG_MASK == want));
        tags.enumerate().fold(0, |bits, (index, same)| bits | same << index)
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.0.iter().fold(true, |full, slot| full & !slot.is_empty())
    }
}

/// Where a key is in a table; valid until the table changes.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    bucket: usize,
    slot: usize,
}

/// A hash table of entries, addressed by tag and key.
#[derive(Default)]
pub struct Table {
    buckets: Box<[Bucket]>,
    len: usize,
    /// It tries to shrink when fewer entries are left.
    shrinks_below: usize,
}

// SAFETY: the table owns its entries, which are Send; slots are only reached through `&self` or `&mut self`.
unsafe impl Send for Table {}

impl Table {
    /// A table that grows only beyond so many entries.
    pub fn with_capacity(entries: usize) -> Self {
        let mut table = Self::default();
        table.replace(vec![Bucket::EMPTY; entries.div_ceil(MAX_LOAD)]);
        table
    }

    /// How many entries there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the bucket array.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// How many entries fit before the table grows.
    pub fn capacity(&self) -> usize {
        self.buckets.len() * MAX_LOAD
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        home(tag, self.buckets.len())
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    /// Where `key` is.
    #[inline]
    pub fn find(&self, tag: u32, key: &[u8]) -> Option<Position> {
        self.search(tag, key, false)
    }

    /// Where `key` is, in a table most of whose entries reach into a second cache line: that is
    /// fetched together with the first.
    #[inline]
    pub fn find_long(&self, tag: u32, key: &[u8]) -> Option<Position> {
        self.search(tag, key, true)
    }

    #[inline(always)]
    fn search(&self, tag: u32, key: &[u8], is_long: bool) -> Option<Position> {
        if self.buckets.is_empty() {
            return None;
        }
        let want = spread(tag);
        let mut at = self.home(tag);
        loop {
            let bucket = &self.buckets[at];
            let mut candidates = bucket.candidates(want);
            while candidates != 0 {
                let slot = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                if bucket.0[slot].is_empty() {
                    continue;
                }
                if is_long {
                    prefetch_second_line(bucket.0[slot].block());
                }
                // SAFETY: the slot is occupied and the table is borrowed for the comparison.
                let view = unsafe { EntryRef::new(bucket.0[slot].block()) };
                if view.key() == key {
                    return Some(Position { bucket: at, slot });
                }
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Views the entry at a position that `find` gave.
    #[inline]
    pub fn get(&self, at: Position) -> EntryRef<'_> {
        let slot = self.buckets[at.bucket].0[at.slot];
        assert!(!slot.is_empty(), "a position is used only until the table changes");
        // SAFETY: the slot is occupied; the table is borrowed as long as the view.
        unsafe { EntryRef::new(slot.block()) }
    }

    /// A write view of the entry at a position that `find` gave.
    #[inline]
    pub fn get_mut(&mut self, at: Position) -> EntryMut<'_> {
        let slot = &mut self.buckets[at.bucket].0[at.slot];
        assert!(!slot.is_empty(), "a position is used only until the table changes");
        EntryMut::new(slot)
    }

    /// Adds an entry whose key is not in the table.
    #[inline]
    pub fn insert(&mut self, tag: u32, entry: Entry) -> Position {
        if self.len >= self.capacity() {
            let buckets = self.buckets.len();
            let larger = (buckets + 1).max(buckets + buckets / 4);
            if let Some(fresh) = self.resized(larger, usize::MAX) {
                self.replace(fresh);
            }
        }
        self.len += 1;
        place(&mut self.buckets, Slot::new(entry.into_block(), tag), usize::MAX)
            .expect("a table below its capacity has a free place")
    }

    /// Takes the entry at a position that `find` gave.
    pub fn remove(&mut self, at: Position) -> Entry {
        let was_full = self.buckets[at.bucket].is_full();
        let slot = std::mem::replace(&mut self.buckets[at.bucket].0[at.slot], Slot::EMPTY);
        assert!(!slot.is_empty(), "a position is used only until the table changes");
        self.len -= 1;
        if was_full {
            self.close_gap(at);
        }
        if self.len < self.shrinks_below {
            self.shrink();
        }
        // SAFETY: the slot owned the block and no longer refers to it.
        unsafe { Entry::from_block(slot.block()) }
    }

    /// Pulls overflowed entries back over a gap in a bucket that was full.
    fn close_gap(&mut self, mut gap: Position) {
        let buckets = self.buckets.len();
        let distance = |from: usize, to: usize| (to + buckets - from) % buckets;
        let mut at = self.next(gap.bucket);
        while at != gap.bucket {
            let full = self.buckets[at].is_full();
            let behind = distance(gap.bucket, at);
            let moved = self.buckets[at].0.iter().position(|slot| {
                !slot.is_empty() && distance(home(slot.tag(), buckets), at) >= behind
            });
            if let Some(slot) = moved {
                self.buckets[gap.bucket].0[gap.slot] = self.buckets[at].0[slot];
                self.buckets[at].0[slot] = Slot::EMPTY;
                gap = Position { bucket: at, slot };
            }
            if !full {
                return;
            }
            at = self.next(at);
        }
    }

    /// Gives back buckets, unless what is left would be crowded: removal in the order of tags, as by
    /// those who scan and delete, leaves entries whose homes are all in one part of the table. Then
    /// half of them have to go before the next try.
    #[cold]
    fn shrink(&mut self) {
        match self.resized(self.len / SHRUNK_LOAD + 1, MAX_SHIFT) {
            Some(fresh) => self.replace(fresh),
            None => self.shrinks_below = self.len / 2,
        }
    }

    /// The slots in an array of so many buckets, none further than `max_shift` from its home.
    fn resized(&self, buckets: usize, max_shift: usize) -> Option<Vec<Bucket>> {
        let mut fresh = vec![Bucket::EMPTY; buckets];
        for slot in self.buckets.iter().flat_map(|bucket| bucket.0).filter(|slot| !slot.is_empty())
        {
            place(&mut fresh, slot, max_shift)?;
        }
        Some(fresh)
    }

    fn replace(&mut self, buckets: Vec<Bucket>) {
        // The last bucket stays: a table that comes and goes with one entry does not allocate.
        self.shrinks_below = if buckets.len() > 1 { buckets.len() * MIN_LOAD } else { 0 };
        self.buckets = buckets.into_boxed_slice();
    }

    /// Takes all entries out and hands them to `visit`.
    pub fn take_all(&mut self, mut visit: impl FnMut(Entry)) {
        (self.len, self.shrinks_below) = (0, 0);
        for bucket in std::mem::take(&mut self.buckets) {
            for slot in bucket.0.into_iter().filter(|slot| !slot.is_empty()) {
                // SAFETY: the table owned the block; its array of slots is gone.
                visit(unsafe { Entry::from_block(slot.block()) });
            }
        }
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.with_tags().map(|(_, entry)| entry)
    }

    /// All entries with their tags.
    pub fn with_tags(&self) -> impl Iterator<Item = (u32, EntryRef<'_>)> {
        self.buckets.iter().flat_map(|bucket| bucket.0).filter(|slot| !slot.is_empty()).map(
            |slot| {
                // SAFETY: the slot is occupied; the table is borrowed as long as the views.
                (slot.tag(), unsafe { EntryRef::new(slot.block()) })
            },
        )
    }

    /// Shows `visit` the entries from tag `from` up to the end of its home bucket's range.
    ///
    /// Gives the tag to go on with, or `None` at the end of the table.
    pub fn scan(&self, from: u32, mut visit: impl FnMut(EntryRef<'_>)) -> Option<u32> {
        let buckets = self.buckets.len();
        if buckets == 0 {
            return None;
        }
        let home = self.home(from);
        // The first tag of the next bucket, rounded up.
        let end = (((home + 1) << TAG_BITS).div_ceil(buckets)) as u32;
        self.each_in_run(home, |_, slot| {
            if (from..end).contains(&slot.tag()) {
                // SAFETY: the slot is occupied; the table is borrowed during the visit.
                visit(unsafe { EntryRef::new(slot.block()) });
            }
        });
        (end < 1 << TAG_BITS).then_some(end)
    }

    /// As [`scan`](Self::scan), for entries that may be changed.
    pub fn scan_mut(&mut self, from: u32, mut visit: impl FnMut(EntryMut<'_>)) -> Option<u32> {
        let buckets = self.buckets.len();
        if buckets == 0 {
            return None;
        }
        let home = self.home(from);
        let end = (((home + 1) << TAG_BITS).div_ceil(buckets)) as u32;
        // A run is one bucket, seldom a few.
        let mut found = SmallVec::<[Position; 4 * SLOTS]>::new();
        self.each_in_run(home, |at, slot| {
            if (from..end).contains(&slot.tag()) {
                found.push(at);
            }
        });
        found.into_iter().for_each(|at| visit(self.get_mut(at)));
        (end < 1 << TAG_BITS).then_some(end)
    }

    /// The position of an entry with exactly this tag that satisfies `wanted`.
    pub fn find_tag(&self, tag: u32, wanted: impl FnMut(EntryRef<'_>) -> bool) -> Option<Position> {
        self.find_in(tag..=tag, wanted)
    }

    /// The position of an entry whose tag is in a range and that satisfies `wanted`.
    pub fn find_in(
        &self,
        tags: RangeInclusive<u32>,
        mut wanted: impl FnMut(EntryRef<'_>) -> bool,
    ) -> Option<Position> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut found = None;
        for home in self.home(*tags.start())..=self.home(*tags.end()) {
            self.each_in_run(home, |at, slot| {
                // SAFETY: the slot is occupied; the table is borrowed during the visit.
                if tags.contains(&slot.tag()) && wanted(unsafe { EntryRef::new(slot.block()) }) {
                    found = Some(at);
                }
            });
        }
        found
    }

    /// Visits the occupied slots from bucket `home` to the first one that is not full.
    fn each_in_run(&self, home: usize, mut visit: impl FnMut(Position, Slot)) {
        let mut at = home;
        loop {
            for (index, slot) in self.buckets[at].0.iter().enumerate() {
                if !slot.is_empty() {
                    visit(Position { bucket: at, slot: index }, *slot);
                }
            }
            if !self.buckets[at].is_full() {
                return;
            }
            at = self.next(at);
            if at == home {
                return;
            }
        }
    }

    /// How many places it has for entries.
    #[inline]
    pub fn places(&self) -> usize {
        self.buckets.len() * SLOTS
    }

    /// The entry in a place, numbered from 0; `None` when nothing is there or there is no such place.
    pub fn at(&self, place: usize) -> Option<EntryRef<'_>> {
        let slot = self.buckets.get(place / SLOTS)?.0[place % SLOTS];
        // SAFETY: the slot is occupied; the table is borrowed as long as the view.
        (!slot.is_empty()).then(|| unsafe { EntryRef::new(slot.block()) })
    }

    /// Shows `visit` up to `count` entries in neighbouring buckets from a random place on.
    ///
    /// Hashes scatter keys over the buckets, so neighbours are as good a sample as any.
    pub fn sample(&self, random: u64, count: usize, mut visit: impl FnMut(Position, EntryRef<'_>)) {
        let buckets = self.buckets.len();
        if buckets == 0 {
            return;
        }
        let start = ((u128::from(random) * buckets as u128) >> 64) as usize;
        let mut seen = 0;
        for offset in 0..buckets {
            let bucket = (start + offset) % buckets;
            for (slot, occupant) in self.buckets[bucket].0.iter().enumerate() {
                if !occupant.is_empty() {
                    // SAFETY: the slot is occupied; the table is borrowed during the visit.
                    visit(Position { bucket, slot }, unsafe { EntryRef::new(occupant.block()) });
                    seen += 1;
                    if seen == count {
                        return;
                    }
                }
            }
        }
    }
}

#[inline]
fn home(tag: u32, buckets: usize) -> usize {
    (tag as usize * buckets) >> TAG_BITS
}

/// Puts an occupied slot into the first free place from its home on, at most `max_shift` buckets
/// further; there must be one somewhere.
#[inline]
fn place(buckets: &mut [Bucket], slot: Slot, max_shift: usize) -> Option<Position> {
    let mut bucket = home(slot.tag(), buckets.len());
    let mut shift = 0;
    loop {
        if let Some(free) = buckets[bucket].0.iter().position(|slot| slot.is_empty()) {
            buckets[bucket].0[free] = slot;
            return Some(Position { bucket, slot: free });
        }
        if shift == max_shift {
            return None;
        }
        shift += 1;
        bucket = if bucket + 1 == buckets.len() { 0 } else { bucket + 1 };
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for slot in self.buckets.iter().flat_map(|bucket| bucket.0).filter(|slot| !slot.is_empty())
        {
            // SAFETY: the table owns the blocks of its slots and forgets them now.
            drop(unsafe { Entry::from_block(slot.block()) });
        }
    }
}
