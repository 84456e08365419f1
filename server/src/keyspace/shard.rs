//! One shard: a table and deadline indexes for each database that was ever used in it.

use super::dataset::DataSet;
use super::expire::{Deadlines, has_due_fields, is_due, is_live, next_field_ms};
use super::snapshot::{Capture, Part, Piece};
use super::waiters::Waiters;
use super::watch::{Change, Watchers};
use super::{Key, KeyHash, Keyspace};
use crate::raw::{Entry, EntryMut, EntryRef, Position, Table};
use crate::types::hash::expiry as fields;
use std::sync::Arc;

/// Mean bytes of an entry from which its value mostly reaches into the second cache line.
const LONG_ENTRY_BYTES: usize = 80;

/// The keys of all databases whose hash falls into this shard.
///
/// Laid out so that what every command looks at is in the cache line of the shard's lock: whether
/// anybody waits or watches, and the table of the first database.
#[derive(Default)]
#[repr(C)]
pub struct Shard {
    /// Who waits for its keys.
    pub waiters: Waiters,
    /// Who watches its keys.
    pub watchers: Watchers,
    first: Db,
    /// Those from number 1 on that were ever used.
    others: Vec<Db>,
}

/// The part of one database that lies in one shard.
#[derive(Default)]
#[repr(C)]
pub struct Db {
    table: Table,
    /// Bytes of all entries, without the table and the indexes.
    entry_bytes: usize,
    /// The mark of those entries that no snapshot still lacks; without a snapshot, of all.
    mark: bool,
    /// What the running snapshot lacks of it.
    part: Option<Box<Part>>,
    deadlines: Deadlines,
    /// The earliest deadline in each hash some of whose fields have one.
    field_deadlines: Deadlines,
}

impl Shard {
    /// The databases that were used so far, from 0 on.
    pub fn databases(&self) -> impl Iterator<Item = &Db> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The same, to be changed.
    pub fn databases_mut(&mut self) -> impl Iterator<Item = &mut Db> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// A database, if it was ever used here.
    #[inline]
    pub fn db(&self, index: usize) -> Option<&Db> {
        pick(&self.first, &self.others, index)
    }

    /// A database, if it was ever used here.
    #[inline]
    pub fn existing_db_mut(&mut self, index: usize) -> Option<&mut Db> {
        match index.checked_sub(1) {
            None => Some(&mut self.first),
            Some(other) => self.others.get_mut(other),
        }
    }

    /// A database, made when it is used for the first time.
    #[inline]
    pub fn db_mut(&mut self, index: usize) -> &mut Db {
        match index.checked_sub(1) {
            None => &mut self.first,
            Some(other) => self.other_db_mut(other),
        }
    }

    #[inline(never)]
    fn other_db_mut(&mut self, other: usize) -> &mut Db {
        self.make(other + 1);
        &mut self.others[other]
    }

    fn make(&mut self, index: usize) {
        if index > self.others.len() {
            self.others.resize_with(index, Db::default);
        }
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, first: usize, second: usize) {
        let (low, high) = (first.min(second), first.max(second));
        self.make(high);
        match (low.checked_sub(1), high.checked_sub(1)) {
            (None, Some(other)) => std::mem::swap(&mut self.first, &mut self.others[other]),
            (Some(one), Some(other)) => self.others.swap(one, other),
            (_, None) => {}
        }
    }

    /// Tells those who watch a key that it was changed.
    #[inline(always)]
    pub fn touch(&mut self, db: usize, key: Key<'_>) {
        if !self.watchers.is_empty() {
            let is_there = self.db(db).is_some_and(|db| db.find(key).is_some());
            self.watchers.touch(db, key.bytes, is_there);
        }
    }

    /// Tells those who watch keys of a database that it is about to be emptied.
    pub fn touch_emptied(&mut self, keyspace: &Keyspace, db: usize) {
        let Some(emptied) = pick(&self.first, &self.others, db) else { return };
        self.watchers.touch_all(db, |key| match emptied.find(keyspace.key(key)) {
            Some(_) => Change::Gone,
            None => Change::None,
        });
    }

    /// Tells those who watch keys of a database that another one is about to take its place.
    pub fn touch_replaced(&mut self, keyspace: &Keyspace, db: usize, by: usize, now_ms: i64) {
        let (emptied, by) =
            (pick(&self.first, &self.others, db), pick(&self.first, &self.others, by));
        self.watchers.touch_all(db, |key| {
            let key = keyspace.key(key);
            let find = |db: Option<&Db>| {
                let db = db?;
                Some(is_live(db.get(db.find(key)?), now_ms))
            };
            Change::of(find(emptied).is_some(), find(by))
        });
    }

    /// Tells those who watch keys of a database that a data set is about to take its place.
    pub fn touch_loaded(&mut self, keyspace: &Keyspace, db: usize, data: &DataSet, now_ms: i64) {
        let emptied = pick(&self.first, &self.others, db);
        self.watchers.touch_all(db, |key| {
            let key = keyspace.key(key);
            let was_there = emptied.is_some_and(|emptied| emptied.find(key).is_some());
            Change::of(was_there, data.has(db, key, now_ms))
        });
    }

    /// Puts other keys in the place of a database's; gives those that were there.
    pub fn exchange(&mut self, index: usize, by: Db) -> Db {
        std::mem::replace(self.db_mut(index), by)
    }

    /// Takes everything out of a database.
    pub fn take(&mut self, index: usize) -> Db {
        self.existing_db_mut(index).map(std::mem::take).unwrap_or_default()
    }
}

/// A database among the first and the others.
#[inline]
fn pick<'a>(first: &'a Db, others: &'a [Db], index: usize) -> Option<&'a Db> {
    match index.checked_sub(1) {
        None => Some(first),
        Some(other) => others.get(other),
    }
}

impl Db {
    /// The table, to read.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many keys there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many keys have a deadline.
    pub fn volatile(&self) -> usize {
        self.deadlines.volatile()
    }

    /// The index of the hashes some of whose fields have deadlines, to read.
    pub fn field_deadlines(&self) -> &Deadlines {
        &self.field_deadlines
    }

    /// The deadline index of the keys, to read.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// The earliest deadline that may be due, in milliseconds since the Unix epoch.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.next_ms().into_iter().chain(self.field_deadlines.next_ms()).min()
    }

    /// Bytes that entries, table and index take.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.entry_bytes + self.overhead_bytes()
    }

    /// Bytes that entries take.
    #[inline]
    pub fn entry_bytes(&self) -> usize {
        self.entry_bytes
    }

    /// Bytes of table and indexes.
    #[inline]
    pub fn overhead_bytes(&self) -> usize {
        self.table.size_bytes() + self.deadlines.size_bytes() + self.field_deadlines.size_bytes()
    }

    /// Where a key is.
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Option<Position> {
        if self.entry_bytes > self.table.len() * LONG_ENTRY_BYTES {
            self.table.find_long(key.hash.tag(), key.bytes)
        } else {
            self.table.find(key.hash.tag(), key.bytes)
        }
    }

    /// The entry at a position just found.
    #[inline]
    pub fn get(&self, at: Position) -> EntryRef<'_> {
        self.table.get(at)
    }

    /// Notes an access in the entry at a position just found.
    #[inline]
    pub fn set_access(&mut self, at: Position, access: u32) {
        self.table.get_mut(at).set_access(access);
    }

    /// Changes an entry's value.
    #[inline]
    pub fn change<T>(&mut self, at: Position, change: impl FnOnce(&mut EntryMut<'_>) -> T) -> T {
        let mut entry = self.table.get_mut(at);
        if entry.view().mark() != self.mark {
            preserve(&mut self.part, entry.view());
            entry.set_mark(self.mark);
        }
        let before = entry.view().size_bytes();
        change(&mut Measured { entry, before, entry_bytes: &mut self.entry_bytes }.entry)
    }

    /// Changes an entry's deadline.
    pub fn set_deadline(&mut self, hash: KeyHash, at: Position, deadline_ms: Option<i64>) {
        let before = self.table.get(at).deadline_ms();
        if before == deadline_ms {
            return;
        }
        self.change(at, |entry| entry.set_deadline_ms(deadline_ms));
        if before.is_some() {
            self.deadlines.remove_one();
        }
        if let Some(deadline) = deadline_ms {
            self.deadlines.add(hash.tag(), deadline);
        }
        self.compact_deadlines();
    }

    /// Adds an entry under a key that is not there.
    pub fn insert(&mut self, hash: KeyHash, mut entry: Entry) -> Position {
        entry.set_mark(self.mark);
        self.entry_bytes += entry.view().size_bytes();
        if let Some(deadline) = entry.view().deadline_ms() {
            self.deadlines.add(hash.tag(), deadline);
        }
        let fields = fields::next_deadline_ms(entry.view());
        let at = self.table.insert(hash.tag(), entry);
        if let Some(deadline) = fields {
            self.table.get_mut(at).set_field_deadlines(true);
            self.field_deadlines.add(hash.tag(), deadline);
        }
        at
    }

    /// Takes all entries out and hands them to `visit`.
    pub fn take_all(mut self, visit: impl FnMut(Entry)) {
        self.table.take_all(visit);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, at: Position) -> Entry {
        let entry = self.table.remove(at);
        if entry.view().mark() != self.mark {
            preserve(&mut self.part, entry.view());
        }
        self.entry_bytes -= entry.view().size_bytes();
        if entry.view().deadline_ms().is_some() {
            self.deadlines.remove_one();
            self.compact_deadlines();
        }
        if entry.view().has_field_deadlines() {
            self.field_deadlines.remove_one();
            self.compact_field_deadlines();
        }
        entry
    }

    /// Brings mark and index up to a key whose earliest field deadline was `before`; gives the
    /// present one.
    pub fn note_fields(&mut self, tag: u32, at: Position, before: Option<i64>) -> Option<i64> {
        let after = fields::next_deadline_ms(self.table.get(at));
        if before != after {
            self.table.get_mut(at).set_field_deadlines(after.is_some());
            if before.is_some() {
                self.field_deadlines.remove_one();
            }
            if let Some(deadline) = after {
                self.field_deadlines.add(tag, deadline);
            }
            self.compact_field_deadlines();
        }
        after
    }

    /// Removes up to `limit` due fields of the hash at a position and shows their names to `gone`;
    /// gives their number. The hash stays, be it empty.
    pub fn expire_fields(
        &mut self,
        (tag, at): (u32, Position),
        now_ms: i64,
        limit: usize,
        gone: impl FnMut(&[u8]),
    ) -> usize {
        let before = next_field_ms(self.table.get(at));
        let removed = self.change(at, |entry| fields::remove_due(entry, now_ms, limit, gone));
        self.note_fields(tag, at, before);
        removed
    }

    /// A hash with fields that are due, if there is one.
    pub fn find_due_fields(&mut self, now_ms: i64) -> Option<(u32, Position)> {
        let table = &self.table;
        self.field_deadlines.first_due(now_ms, |tag| {
            let at = table.find_tag(tag, |entry| has_due_fields(entry, now_ms))?;
            Some((tag, at))
        })
    }

    /// Takes one entry that is due, if there is one.
    pub fn take_due(&mut self, now_ms: i64) -> Option<Entry> {
        let due = |entry: EntryRef<'_>| {
            entry.deadline_ms().is_some_and(|deadline| is_due(deadline, now_ms))
        };
        let table = &self.table;
        let at = self.deadlines.first_due(now_ms, |tag| table.find_tag(tag, due))?;
        Some(self.remove(at))
    }

    /// Begins a snapshot of what it holds now, as database `number`.
    pub(super) fn cut(&mut self, capture: &Arc<Capture>, number: usize) {
        if !self.is_empty() {
            self.mark = !self.mark;
            self.part = Some(Box::new(Part::new(capture, number)));
        }
    }

    /// Takes into `piece` what the running snapshot lacks, until that is full; tells whether nothing
    /// is lacking any more.
    pub(super) fn walk(&mut self, piece: &mut Piece) -> bool {
        let Some(part) = &mut self.part else { return true };
        let (table, mark) = (&mut self.table, self.mark);
        let is_walked = part.walk(piece, |tag, part, piece| {
            table.scan_mut(tag, |mut entry| {
                if entry.view().mark() != mark {
                    part.take(piece, entry.view());
                    entry.set_mark(mark);
                }
            })
        });
        if is_walked {
            self.part = None;
        }
        is_walked
    }

    /// Takes into `piece` what writers left for the running snapshot.
    pub(super) fn collect(&mut self, piece: &mut Piece) {
        if let Some(part) = &mut self.part {
            part.take_left(piece);
        }
    }

    /// What is left when the running snapshot was given what it lacks: it, or nothing.
    ///
    /// To be called, under the shard's lock, for a database that is taken out as a whole.
    pub fn surrender(self) -> Option<Self> {
        match self.part.as_ref().map(|part| Arc::clone(part.capture())) {
            Some(capture) => capture.adopt(self),
            None => Some(self),
        }
    }

    #[inline]
    fn compact_deadlines(&mut self) {
        if self.deadlines.is_wasteful() {
            let table = &self.table;
            // Asked item by item: a few volatile keys among many others must not cost a walk over
            // the table.
            self.deadlines.compact(|tag, is_deadline| {
                let live = |entry: EntryRef<'_>| entry.deadline_ms().is_some_and(&is_deadline);
                table.find_tag(tag, live).is_some()
            });
        }
    }

    fn compact_field_deadlines(&mut self) {
        if self.field_deadlines.is_wasteful() {
            let table = &self.table;
            self.field_deadlines.compact(|tag, is_deadline| {
                let live = |entry: EntryRef<'_>| next_field_ms(entry).is_some_and(is_deadline);
                table.find_tag(tag, live).is_some()
            });
        }
    }
}

/// Leaves an entry that is about to change or to go to the snapshot that lacks it.
#[cold]
fn preserve(part: &mut Option<Box<Part>>, entry: EntryRef<'_>) {
    if let Some(part) = part {
        part.preserve(entry);
    }
}

/// An entry under change; its size is counted anew at the end, be that a panic.
struct Measured<'a> {
    entry: EntryMut<'a>,
    before: usize,
    entry_bytes: &'a mut usize,
}

impl Drop for Measured<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.entry_bytes = *self.entry_bytes - self.before + self.entry.view().size_bytes();
    }
}
