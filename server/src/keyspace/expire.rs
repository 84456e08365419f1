//! The deadline index of one database in one shard, and of the fields of one large hash.
//!
//! A min-heap of 64-bit items: 44 bits of deadline and the key's 20-bit tag. An item says "some key
//! with this tag may be due at this time"; the entry itself holds the truth. A key whose deadline
//! moved or went away leaves its item behind; such stale items are dropped when they come up, or all
//! at once when they outweigh half of the live ones. The vector grows by a quarter at a time, and
//! gives back what more than half of the keys have left. Together a key pays 8 bytes here, at most
//! 16 with slack and stale items, for an expiry that is found at its exact millisecond and never
//! sampled.

use crate::raw::{EntryRef, TAG_BITS};
use crate::types::hash::expiry as fields;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Stale items that are tolerated whatever the number of keys.
const STALE_FLOOR: usize = 16;

/// Whether a key with this deadline is gone: from the first millisecond after it, as in Redis.
#[inline]
pub fn is_due(deadline_ms: i64, now_ms: i64) -> bool {
    deadline_ms < now_ms
}

/// Whether there is still something of a key: it is not due, nor are all of its fields.
#[inline]
pub fn is_live(entry: EntryRef<'_>, now_ms: i64) -> bool {
    !entry.is_timed()
        || (entry.deadline_ms().is_none_or(|deadline| !is_due(deadline, now_ms))
            && !(entry.has_field_deadlines() && fields::all_due(entry, now_ms)))
}

/// The earliest deadline of any field of a key that is marked to have such fields.
#[inline]
pub fn next_field_ms(entry: EntryRef<'_>) -> Option<i64> {
    if entry.has_field_deadlines() { fields::next_deadline_ms(entry) } else { None }
}

/// Whether fields of a key are due.
#[inline]
pub fn has_due_fields(entry: EntryRef<'_>, now_ms: i64) -> bool {
    next_field_ms(entry).is_some_and(|deadline| is_due(deadline, now_ms))
}

/// Which keys are due when.
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<u64>>,
    volatile: usize,
}

/// Deadlines before the epoch count as 0, those beyond the year 2527 as that year: an item that
/// comes up too early is dropped or re-added after a look at the entry.
fn item(tag: u32, deadline_ms: i64) -> Reverse<u64> {
    let deadline = (deadline_ms.max(0) as u64).min((1 << (u64::BITS - TAG_BITS)) - 1);
    Reverse(deadline << TAG_BITS | u64::from(scattered(tag)))
}

fn tag_of(item: &Reverse<u64>) -> u32 {
    scattered(item.0 as u32 & ((1 << TAG_BITS) - 1))
}

/// A tag with its bits in reverse order, and back.
///
/// A table lies in the order of its tags. What is due together is taken in the order of the items,
/// and taken in the order of the tags it would leave all that remains at one end of a table that
/// shrinks meanwhile: a single run, gone through for every removal.
fn scattered(tag: u32) -> u32 {
    tag.reverse_bits() >> (u32::BITS - TAG_BITS)
}

impl Deadlines {
    /// How many keys have a deadline.
    pub fn volatile(&self) -> usize {
        self.volatile
    }

    /// Bytes of the heap.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<u64>()
    }

    /// The earliest time at which a key may be due.
    #[inline]
    pub fn next_ms(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse(item)| (item >> TAG_BITS) as i64)
    }

    /// Notes a key's deadline.
    #[inline]
    pub fn add(&mut self, tag: u32, deadline_ms: i64) {
        if self.heap.len() == self.heap.capacity() {
            self.heap.reserve_exact(self.heap.len() / 4 + 2);
        }
        self.heap.push(item(tag, deadline_ms));
        self.volatile += 1;
    }

    /// Notes that a key lost its deadline or went away; its item is left behind.
    #[inline]
    pub fn remove_one(&mut self) {
        self.volatile -= 1;
    }

    /// What `find` finds for the tag of the first item that is due and for which it finds anything.
    ///
    /// Items before it are dropped; its own stays, as another key of that tag may be due as well.
    pub fn first_due<T>(
        &mut self,
        now_ms: i64,
        mut find: impl FnMut(u32) -> Option<T>,
    ) -> Option<T> {
        while let Some(tag) = self.due(now_ms) {
            let found = find(tag);
            if found.is_some() {
                return found;
            }
            self.pop();
        }
        None
    }

    /// The tag of the first item that is due.
    fn due(&self, now_ms: i64) -> Option<u32> {
        let first = self.heap.peek()?;
        is_due((first.0 >> TAG_BITS) as i64, now_ms).then(|| tag_of(first))
    }

    /// Drops the first item.
    fn pop(&mut self) {
        self.heap.pop();
        if self.heap.is_empty() {
            self.heap.shrink_to_fit();
        }
    }

    /// Whether stale items or free places are so many that compaction pays.
    #[inline]
    pub fn is_wasteful(&self) -> bool {
        self.heap.len() > self.volatile + self.volatile / 2 + STALE_FLOOR
            || self.heap.capacity() > 2 * (self.volatile + STALE_FLOOR)
    }

    /// The tags of all items.
    pub(super) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        self.heap.iter().map(tag_of)
    }

    /// A random tag among the items; with the entries it tells, a sample of the volatile keys.
    pub(super) fn sample(&self, random: u64) -> Option<u32> {
        let items = self.heap.as_slice();
        let index = ((u128::from(random) * items.len() as u128) >> 64) as usize;
        items.get(index).map(tag_of)
    }

    /// About `count` deadlines spread over the index, stale ones included.
    pub fn sample_ms(&self, count: usize) -> impl Iterator<Item = i64> + '_ {
        let items = self.heap.as_slice();
        let stride = items.len().div_ceil(count.max(1)).max(1);
        items.iter().step_by(stride).map(|Reverse(item)| (item >> TAG_BITS) as i64)
    }

    /// Keeps one item for each tag and deadline for which `is_live` finds a key: it is given the
    /// tag and what tells whether a key's deadline is the item's.
    pub fn compact(&mut self, is_live: impl Fn(u32, &dyn Fn(i64) -> bool) -> bool) {
        let mut items = std::mem::take(&mut self.heap).into_vec();
        // A key that got its former deadline back has two items, both of them true.
        items.sort_unstable();
        items.dedup();
        items.retain(|known| {
            let tag = tag_of(known);
            is_live(tag, &|deadline_ms| item(tag, deadline_ms) == *known)
        });
        items.shrink_to_fit();
        self.heap = BinaryHeap::from(items);
    }
}
