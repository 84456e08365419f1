//! A hash table inside a collection: members, each with a small value and perhaps a deadline.
//!
//! It is the keyspace's own table in small: one block per member, found by 20 bits of its hash. A
//! table that has become large is split in two by the next bit of its members' hashes, so that no
//! command pays for the growth of a whole collection. Tables are found by the leading bits of a hash
//! through a directory, and each takes its tags from the bits behind those. A place in the order of
//! hashes is therefore a scan's cursor, however tables are split meanwhile.
//!
//! Invariants: a directory of `2^n` places has `2^(n - depth)` neighbouring places for each table;
//! `entry_bytes` and `table_bytes` are the sums over all members and tables.

use crate::raw::{self, Entry, EntryMut, EntryRef, NewValue, TAG_BITS, Table};
use foldhash::quality::RandomState;
use smallvec::{SmallVec, smallvec};
use std::hash::BuildHasher;
use std::sync::LazyLock;

/// Seeded once per process, so that nobody can choose members that collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
/// Members at which a table is split: so many are moved at once.
const SPLIT: usize = 1024;
/// Bits of a hash that the directory may use.
const MAX_DEPTH: u32 = TAG_BITS;
/// Bits of a cursor: those that the directory and a table may use.
const CURSOR_BITS: u32 = MAX_DEPTH + TAG_BITS;
/// Draws before members are gone through in order.
const DRAWS: usize = 64;

/// Members and their values.
pub struct Members {
    tables: SmallVec<[Part; 1]>,
    /// The table of each prefix; empty as long as there is one table.
    directory: Vec<u32>,
    len: usize,
    entry_bytes: usize,
    table_bytes: usize,
    /// The most places that a table has had.
    places: usize,
}

/// One table.
#[derive(Default)]
struct Part {
    table: Table,
    /// Leading bits that all hashes in it have in common.
    depth: u32,
}

/// Where a member is; valid until the next change.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    table: usize,
    at: raw::Position,
}

/// A member's hash.
#[inline]
pub fn hash_of(member: &[u8]) -> u64 {
    HASHER.hash_one(member)
}

/// The first bits of a member's hash, for an index that finds members by them.
#[inline]
pub fn tag_of(member: &[u8]) -> u32 {
    (hash_of(member) >> (u64::BITS - TAG_BITS)) as u32
}

impl Part {
    /// The tag that a hash has in this table.
    #[inline]
    fn tag(&self, hash: u64) -> u32 {
        ((hash << self.depth) >> (u64::BITS - TAG_BITS)) as u32
    }
}

impl Default for Members {
    fn default() -> Self {
        Self {
            tables: smallvec![Part::default()],
            directory: Vec::new(),
            len: 0,
            entry_bytes: 0,
            table_bytes: 0,
            places: 0,
        }
    }
}

impl Members {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the tables and of all members.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        let tables = if self.tables.spilled() { self.tables.capacity() } else { 0 };
        self.entry_bytes
            + self.table_bytes
            + tables * size_of::<Part>()
            + self.directory.capacity() * size_of::<u32>()
    }

    /// How many members fit before a table grows or is split.
    pub fn capacity(&self) -> usize {
        self.tables.iter().map(|part| part.table.capacity()).sum()
    }

    /// Bits of a hash that the directory uses.
    #[inline]
    fn depth(&self) -> u32 {
        if self.directory.is_empty() { 0 } else { self.directory.len().ilog2() }
    }

    /// The table in which a hash belongs.
    #[inline]
    fn table_of(&self, hash: u64) -> usize {
        if self.directory.is_empty() {
            return 0;
        }
        self.directory[(hash >> (u64::BITS - self.depth())) as usize] as usize
    }

    /// Where a member is.
    #[inline]
    pub fn position(&self, member: &[u8]) -> Option<Position> {
        let hash = hash_of(member);
        let table = self.table_of(hash);
        let part = &self.tables[table];
        let at = part.table.find(part.tag(hash), member)?;
        Some(Position { table, at })
    }

    /// Where a member is that satisfies `wanted` and whose hash has these first bits.
    pub fn find_tag(&self, tag: u32, wanted: impl FnMut(EntryRef<'_>) -> bool) -> Option<Position> {
        let hash = u64::from(tag) << (u64::BITS - TAG_BITS);
        let table = self.table_of(hash);
        let part = &self.tables[table];
        let first = part.tag(hash);
        let last = first | ((1 << part.depth) - 1);
        let at = part.table.find_in(first..=last, wanted)?;
        Some(Position { table, at })
    }

    /// The member at a position just found.
    #[inline]
    pub fn get(&self, at: Position) -> EntryRef<'_> {
        self.tables[at.table].table.get(at.at)
    }

    /// A member with its value.
    #[inline]
    pub fn find(&self, member: &[u8]) -> Option<EntryRef<'_>> {
        Some(self.get(self.position(member)?))
    }

    /// Whether a member is there.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.position(member).is_some()
    }

    /// Adds a member that is not there.
    #[inline]
    pub fn insert(&mut self, member: &[u8], value: NewValue<'_>, deadline_ms: Option<i64>) {
        self.add(hash_of(member), Entry::new(member, value, deadline_ms, 0));
    }

    fn add(&mut self, hash: u64, entry: Entry) {
        let mut table = self.table_of(hash);
        while self.tables[table].table.len() >= SPLIT && self.tables[table].depth < MAX_DEPTH {
            self.split(table, hash);
            table = self.table_of(hash);
        }
        self.len += 1;
        self.entry_bytes += entry.view().size_bytes();
        let part = &mut self.tables[table];
        let before = part.table.size_bytes();
        part.table.insert(part.tag(hash), entry);
        self.table_bytes += part.table.size_bytes() - before;
        self.places = self.places.max(part.table.places());
    }

    /// Splits the table to which a hash belongs in two.
    #[cold]
    fn split(&mut self, table: usize, hash: u64) {
        let depth = self.tables[table].depth;
        if depth == self.depth() {
            self.directory = match self.directory.as_slice() {
                [] => vec![0, 0],
                places => places.iter().flat_map(|place| [*place, *place]).collect(),
            };
        }
        let mut old = std::mem::take(&mut self.tables[table].table);
        self.table_bytes -= old.size_bytes();
        // As it goes on growing, each half will need about what the whole had.
        let half = || Part { table: Table::with_capacity(SPLIT * 5 / 8), depth: depth + 1 };
        let (mut low, mut high) = (half(), half());
        old.take_all(|entry| {
            let hash = hash_of(entry.view().key());
            let part = if hash << depth >> (u64::BITS - 1) == 0 { &mut low } else { &mut high };
            part.table.insert(part.tag(hash), entry);
        });
        self.table_bytes += low.table.size_bytes() + high.table.size_bytes();
        // The upper half of the old table's places go to the new one.
        let new = self.tables.len() as u32;
        let span = self.directory.len() >> depth;
        let first = (hash >> (u64::BITS - self.depth())) as usize / span * span;
        self.directory[first + span / 2..first + span].fill(new);
        self.tables[table] = low;
        self.tables.push(high);
    }

    /// Changes the member at a position just found.
    #[inline]
    pub fn edit<T>(&mut self, at: Position, edit: impl FnOnce(&mut EntryMut<'_>) -> T) -> T {
        let mut entry = self.tables[at.table].table.get_mut(at.at);
        let before = entry.view().size_bytes();
        let result = edit(&mut entry);
        self.entry_bytes = self.entry_bytes - before + entry.view().size_bytes();
        result
    }

    /// Takes the member at a position just found.
    #[inline]
    pub fn take(&mut self, at: Position) -> Entry {
        let table = &mut self.tables[at.table].table;
        let before = table.size_bytes();
        let entry = table.remove(at.at);
        self.table_bytes = self.table_bytes - before + table.size_bytes();
        self.len -= 1;
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
        self.tables.iter().flat_map(|part| part.table.iter())
    }

    /// Shows `visit` members from `cursor` on until it saw `count` of them, or ten times as many
    /// places were looked at; gives the cursor to go on with, 0 at the end.
    ///
    /// What stays during a whole scan is shown at least once, however the tables grow meanwhile.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(EntryRef<'_>)) -> u64 {
        let (mut cursor, mut shown, mut places) = (cursor, 0, count.saturating_mul(10));
        while cursor < 1 << CURSOR_BITS {
            if shown >= count || places == 0 {
                return cursor;
            }
            places -= 1;
            let hash = cursor << (u64::BITS - CURSOR_BITS);
            let part = &self.tables[self.table_of(hash)];
            let next = part.table.scan(part.tag(hash), |entry| {
                shown += 1;
                visit(entry);
            });
            // The bits of a cursor behind those that this table's tags have.
            let rest = CURSOR_BITS - TAG_BITS - part.depth;
            let first = cursor >> (CURSOR_BITS - part.depth) << (CURSOR_BITS - part.depth);
            cursor = match next {
                Some(tag) => first | u64::from(tag) << rest,
                None => first + (1 << (CURSOR_BITS - part.depth)),
            };
        }
        0
    }

    /// A member, each as likely as any other; `None` when there is none.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<EntryRef<'_>> {
        if self.is_empty() {
            return None;
        }
        for _ in 0..DRAWS {
            // Every table is drawn from as if it had as many places as the largest ever had.
            let part = &self.tables[random.usize(..self.tables.len())];
            if let Some(entry) = part.table.at(random.usize(..self.places)) {
                return Some(entry);
            }
        }
        let mut rank = random.usize(..self.len);
        for part in &self.tables {
            if rank < part.table.len() {
                return part.table.iter().nth(rank);
            }
            rank -= part.table.len();
        }
        None
    }
}

impl Clone for Members {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        for entry in self.iter() {
            let duplicate = Entry::duplicate(entry, entry.key(), entry.deadline_ms());
            copy.add(hash_of(entry.key()), duplicate);
        }
        copy
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Members").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
