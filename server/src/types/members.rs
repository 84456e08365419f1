//! A hash table inside a collection: members, each with a small value and perhaps a deadline.
//!
//! It is the keyspace's own table in small: one block per member, found by 20 bits of its hash, with
//! scan cursors that survive growth and places from which a member can be drawn at random.
//!
//! Invariant: `entry_bytes` is the sum of the blocks of all members.

use crate::raw::{Entry, EntryMut, EntryRef, NewValue, Position, TAG_BITS, Table};
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;

/// Seeded once per process, so that nobody can choose members that collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
/// Draws before members are gone through in order: a table of more than a bucket is at least a
/// quarter full.
const DRAWS: usize = 64;

/// Members and their values.
#[derive(Default)]
pub struct Members {
    table: Table,
    entry_bytes: usize,
}

/// A member's hash.
#[inline]
pub fn hash_of(member: &[u8]) -> u64 {
    HASHER.hash_one(member)
}

/// The table's part of a member's hash.
#[inline]
pub fn tag_of(member: &[u8]) -> u32 {
    (hash_of(member) >> (u64::BITS - TAG_BITS)) as u32
}

impl Members {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of the table and of all members.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.table.size_bytes() + self.entry_bytes
    }

    /// The table itself, to walk over with tags.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where a member is; valid until the next change.
    #[inline]
    pub fn position(&self, member: &[u8]) -> Option<Position> {
        self.table.find(tag_of(member), member)
    }

    /// The member at a position just found.
    #[inline]
    pub fn get(&self, at: Position) -> EntryRef<'_> {
        self.table.get(at)
    }

    /// A member with its value.
    #[inline]
    pub fn find(&self, member: &[u8]) -> Option<EntryRef<'_>> {
        Some(self.table.get(self.position(member)?))
    }

    /// Whether a member is there.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.position(member).is_some()
    }

    /// Adds a member that is not there.
    #[inline]
    pub fn insert(&mut self, member: &[u8], value: NewValue<'_>, deadline_ms: Option<i64>) {
        let entry = Entry::new(member, value, deadline_ms, 0);
        self.entry_bytes += entry.view().size_bytes();
        self.table.insert(tag_of(member), entry);
    }

    /// Changes the member at a position just found.
    #[inline]
    pub fn edit<T>(&mut self, at: Position, edit: impl FnOnce(&mut EntryMut<'_>) -> T) -> T {
        let mut entry = self.table.get_mut(at);
        let before = entry.view().size_bytes();
        let result = edit(&mut entry);
        self.entry_bytes = self.entry_bytes - before + entry.view().size_bytes();
        result
    }

    /// Takes the member at a position just found.
    #[inline]
    pub fn take(&mut self, at: Position) -> Entry {
        let entry = self.table.remove(at);
        self.entry_bytes -= entry.view().size_bytes();
        entry
    }

    /// Takes a member out.
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> Option<Entry> {
        let at = self.position(member)?;
        Some(self.take(at))
    }

    /// All members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.table.iter()
    }

    /// Shows `visit` members from `cursor` on until it saw `count` of them, or ten times as many
    /// places were looked at; gives the cursor to go on with, 0 at the end.
    ///
    /// What stays during a whole scan is shown once, however the table grows meanwhile.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(EntryRef<'_>)) -> u64 {
        let mut from = u32::try_from(cursor).ok().filter(|tag| *tag < 1 << TAG_BITS);
        let (mut shown, mut places) = (0, count.saturating_mul(10));
        while let Some(tag) = from {
            if shown >= count || places == 0 {
                return u64::from(tag);
            }
            places -= 1;
            from = self.table.scan(tag, |entry| {
                shown += 1;
                visit(entry);
            });
        }
        0
    }

    /// A member, each as likely as any other; `None` when there is none.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<EntryRef<'_>> {
        if self.is_empty() {
            return None;
        }
        (0..DRAWS)
            .find_map(|_| self.table.pick(random.u64(..)))
            .or_else(|| self.table.iter().nth(random.usize(..self.table.len())))
    }
}

impl Clone for Members {
    fn clone(&self) -> Self {
        let mut table = Table::default();
        for (tag, entry) in self.table.with_tags() {
            table.insert(tag, Entry::duplicate(entry, entry.key(), entry.deadline_ms()));
        }
        let entry_bytes = table.iter().map(EntryRef::size_bytes).sum();
        Self { table, entry_bytes }
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Members").field("len", &self.len()).finish_non_exhaustive()
    }
}
