//! What a command can do with the keys whose shards it holds.
//!
//! `Access` owns the shard locks of one command's lock plan. It hides keys that are due, keeps the
//! access fields that eviction reads, accounts memory, and collects what the command changed:
//! effects for the log, events for subscribers. What was taken out of the keyspace is dropped after
//! the locks.
//!
//! Fields of hashes that are due go like keys that are due: all of them at the first look at their
//! hash, so that no command sees one.
//!
//! Invariant: everything collected is handed on by dispatch before the locks are let go.

use super::changes::{Changes, Tally};
use super::evict::Touch;
use super::expire::{is_due, is_live, next_field_ms};
use super::garbage::{Garbage, Removed};
use super::held::{Held, Shards};
use super::lock::Cover;
use super::notify::Classes;
use super::shard::{Db, Shard};
use super::waiters::{ReadyKey, Waiters};
use super::{Key, KeyHash, Keyspace, SHARDS};
use crate::node::clients::Client;
use crate::raw::{Entry, EntryMut, EntryRef, NewValue, PackedMut, Position};
use crate::types::object::Object;
use std::sync::Arc;

mod databases;
mod fields;

/// When a stored key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Never.
    Clear,
    /// As before.
    Keep,
    /// At this time, in milliseconds since the Unix epoch.
    At(i64),
}

/// A command's hold on the keyspace.
pub struct Access<'k> {
    keyspace: &'k Keyspace,
    held: Held<'k>,
    db: usize,
    now_ms: i64,
    touch: Touch,
    /// Whether keys that are due are hidden but stay.
    keeps_due: bool,
    /// What was changed.
    pub changes: Changes,
    /// What was counted.
    pub tally: Tally,
    memory_delta: i64,
    /// Dropped after `held`, as the order of the fields says.
    garbage: Garbage,
}

/// What a command did with a hold that it was lent.
pub struct Lent {
    changes: Changes,
    tally: Tally,
    memory_delta: i64,
    garbage: Garbage,
}

impl<'k> Access<'k> {
    /// A hold on `held`, as of `now_ms`, speaking of database `db`.
    #[inline(always)]
    pub fn new(
        keyspace: &'k Keyspace,
        held: Held<'k>,
        db: usize,
        now_ms: i64,
        touch: Touch,
        changes: Changes,
    ) -> Self {
        Self {
            keyspace,
            held,
            db,
            now_ms,
            touch,
            keeps_due: false,
            changes,
            tally: Tally::default(),
            memory_delta: 0,
            garbage: Garbage::default(),
        }
    }

    /// Holds these shards, where it held none.
    #[inline(always)]
    pub(crate) fn hold(&mut self, held: Held<'k>) {
        debug_assert!(self.holds_nothing());
        self.held = held;
    }

    /// Whether anybody waits for a key of the shards it holds.
    #[inline(always)]
    pub(crate) fn has_waiters(&self) -> bool {
        self.held.has_waiters()
    }

    /// Exchanges what it holds for what `more` makes of it.
    #[cold]
    pub(crate) fn hold_for_waiters(&mut self, more: impl FnOnce(Held<'k>) -> Held<'k>) {
        self.held = more(std::mem::replace(&mut self.held, Held::None));
    }

    /// Hides keys that are due without removing them: the data set must not change now.
    ///
    /// Only for commands that write nothing.
    pub fn keep_due(&mut self) {
        self.keeps_due = true;
    }

    /// Counts nothing as due: whoever decides about that says so by commands.
    pub fn keep_live(&mut self) {
        self.now_ms = i64::MIN;
    }

    /// Moves on to a later instant, unless nothing counts as due.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        if self.now_ms != i64::MIN {
            self.now_ms = now_ms;
        }
    }

    /// The keyspace behind it.
    pub fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }

    /// The instant before which deadlines are due, in milliseconds since the Unix epoch.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Whether it holds no shard, so that the command may lock some itself.
    pub fn holds_nothing(&self) -> bool {
        matches!(self.held, Held::None)
    }

    /// Whether it holds the shards of these keys, for whose waiters it has what it needs.
    #[inline]
    pub(crate) fn holds(&self, keys: &[(usize, KeyHash)]) -> bool {
        keys.iter().all(|(_, hash)| self.held.holds(hash.shard())) && !self.held.has_waiters()
    }

    /// Whether it holds all shards.
    pub fn holds_all(&self) -> bool {
        self.held.holds_all()
    }

    /// Lets go of what it holds, and then holds all shards.
    pub(crate) fn hold_all(&mut self) {
        self.held = Held::None;
        self.held = self.keyspace.lock_all();
    }

    /// Takes shards, given in ascending order, and those that their waiters may need.
    pub(crate) fn cover(&mut self, shards: &[usize], may_begin_anew: bool) -> Cover {
        let covered = self.held.cover(self.keyspace, shards, may_begin_anew);
        if covered != Cover::Held || !self.held.has_waiters() {
            return covered;
        }
        loop {
            let shards = self.held.with_waiters_shards();
            if shards.iter().all(|shard| self.held.holds(*shard)) {
                return Cover::Held;
            }
            match self.held.cover(self.keyspace, &shards, may_begin_anew) {
                Cover::Held => {}
                not_held => return not_held,
            }
        }
    }

    /// Takes all shards.
    pub(crate) fn cover_all(&mut self, may_begin_anew: bool) -> Cover {
        self.held.cover_all(self.keyspace, may_begin_anew)
    }

    /// The database that the methods speak of.
    #[inline]
    pub fn db(&self) -> usize {
        self.db
    }

    /// Runs `body` with another database selected.
    pub fn in_db<T>(&mut self, db: usize, body: impl FnOnce(&mut Self) -> T) -> T {
        let own = std::mem::replace(&mut self.db, db);
        let result = body(self);
        self.db = own;
        result
    }

    /// How the command's accesses are noted.
    pub fn touch(&self) -> Touch {
        self.touch
    }

    /// Notes the accesses from here on in another way.
    pub fn set_touch(&mut self, touch: Touch) {
        self.touch = touch;
    }

    /// The bytes of memory that the command added, negative when it freed.
    #[inline]
    pub fn memory_delta(&self) -> i64 {
        self.memory_delta
    }

    #[inline(always)]
    fn shard(&mut self, index: usize) -> &mut Shard {
        self.held.shard_mut(index)
    }

    /// Those who wait for keys of a held shard.
    pub fn waiters(&mut self, key: KeyHash) -> &mut Waiters {
        &mut self.shard(key.shard()).waiters
    }

    /// Notes that a key is worth a look for those who wait for it.
    ///
    /// A key that comes, goes or changes its type is noted by itself; a stream that grew is not.
    #[inline]
    pub fn signal(&mut self, key: Key<'_>) {
        let db = self.db;
        let waiters = self.waiters(key.hash);
        if !waiters.is_empty() && waiters.has(db, key.bytes) {
            self.changes.add_ready(ReadyKey { db, key: key.bytes.to_vec(), hash: key.hash });
        }
    }

    /// Tells those who watch a key that it was changed.
    #[inline]
    pub fn touched(&mut self, key: Key<'_>) {
        let db = self.db;
        self.shard(key.hash.shard()).touch(db, key);
    }

    /// Lets a client watch a key; false when it does already.
    pub(crate) fn watch(&mut self, key: Key<'_>, client: &Arc<Client>) -> bool {
        let is_there = self.contains(key);
        let db = self.db;
        let shard = self.shard(key.hash.shard());
        let was_due = !is_there && shard.db(db).is_some_and(|db| db.find(key).is_some());
        shard.watchers.add(db, key.bytes, client, was_due)
    }

    /// Ends a client's watch of a key; tells whether the key is due now and was not when it began.
    pub(crate) fn unwatch(&mut self, key: Key<'_>, client: &Arc<Client>) -> bool {
        let (db, now_ms) = (self.db, self.now_ms);
        let shard = self.shard(key.hash.shard());
        let was_due = shard.watchers.remove(db, key.bytes, client).unwrap_or(true);
        let is_due_now = || {
            let db = shard.db(db)?;
            Some(!is_live(db.get(db.find(key)?), now_ms))
        };
        !was_due && is_due_now().unwrap_or(false)
    }

    /// The same hold for a command that runs within this one, speaking of database `db`.
    ///
    /// What it changes and counts goes on from here, and comes back by [`end`](Self::end) and
    /// [`take_back`](Self::take_back).
    #[inline(always)]
    pub fn lend(&mut self, db: usize, touch: Touch) -> Access<'_> {
        let changes = std::mem::take(&mut self.changes);
        let held = self.held.lend();
        let mut lent = Access::new(self.keyspace, held, db, self.now_ms, touch, changes);
        lent.keeps_due = self.keeps_due;
        lent
    }

    /// As [`lend`](Self::lend), with shards that this one does not hold.
    pub fn with(&mut self, held: Held<'k>) -> Access<'k> {
        let changes = std::mem::take(&mut self.changes);
        let (keyspace, db) = (self.keyspace, self.db);
        let mut lent = Access::new(keyspace, held, db, self.now_ms, self.touch, changes);
        lent.keeps_due = self.keeps_due;
        lent
    }

    /// Ends the use of what was lent; gives what the user did.
    pub fn end(mut self) -> Lent {
        Lent {
            changes: std::mem::take(&mut self.changes),
            tally: self.tally,
            memory_delta: std::mem::take(&mut self.memory_delta),
            garbage: std::mem::take(&mut self.garbage),
        }
    }

    /// Adds what the user of a lent hold did.
    pub fn take_back(&mut self, lent: Lent) {
        let Lent { changes, tally, memory_delta, garbage } = lent;
        self.changes = changes;
        self.tally.hits += tally.hits;
        self.tally.misses += tally.misses;
        self.tally.expired += tally.expired;
        self.tally.expired_fields += tally.expired_fields;
        self.memory_delta += memory_delta;
        self.garbage.extend(garbage);
    }

    #[inline(always)]
    fn db_of(&mut self, key: Key<'_>) -> &mut Db {
        let db = self.db;
        self.shard(key.hash.shard()).db_mut(db)
    }

    /// Where a key is, after removing it if it is due.
    #[inline(always)]
    fn locate(&mut self, key: Key<'_>) -> Option<Position> {
        let now_ms = self.now_ms;
        let db = self.db_of(key);
        let at = db.find(key)?;
        let entry = db.get(at);
        if !entry.is_timed() {
            return Some(at);
        }
        if entry.deadline_ms().is_some_and(|deadline| is_due(deadline, now_ms)) {
            if !self.keeps_due {
                self.expire(key, at);
            }
            return None;
        }
        if entry.has_field_deadlines() { self.locate_hash(key, at) } else { Some(at) }
    }

    #[cold]
    fn expire(&mut self, key: Key<'_>, at: Position) {
        let entry = self.take(key, at);
        self.garbage.add(Removed::Dead(entry));
        self.tally.expired += 1;
        let db = self.db;
        self.changes.expired(db, key.bytes);
        self.touched(key);
    }

    fn take(&mut self, key: Key<'_>, at: Position) -> Entry {
        let db = self.db_of(key);
        let before = db.size_bytes();
        let entry = db.remove(at);
        let after = db.size_bytes();
        self.memory_delta += after as i64 - before as i64;
        self.signal(key);
        entry
    }

    #[inline]
    fn count(&mut self, key: Key<'_>, found: bool) {
        if found {
            self.tally.hits += 1;
        } else {
            self.tally.misses += 1;
            let db = self.db;
            self.changes.event(Classes::KEY_MISS, "keymiss", db, key.bytes);
        }
    }

    /// Looks a key up to read it: counts a hit or a miss and notes the access.
    #[inline]
    pub fn find(&mut self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let at = self.locate(key);
        self.count(key, at.is_some());
        let at = at?;
        let touch = self.touch;
        let db = self.db_of(key);
        if let Some(access) = touch.next(db.get(at).access()) {
            db.set_access(at, access);
        }
        Some(db.get(at))
    }

    /// Looks a key up to tell something about it: counts, but leaves the access time alone.
    #[inline]
    pub fn find_untouched(&mut self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let at = self.locate(key);
        self.count(key, at.is_some());
        let at = at?;
        Some(self.db_of(key).get(at))
    }

    /// As [`find_untouched`](Self::find_untouched), but a miss is no event.
    pub fn find_unannounced(&mut self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let at = self.locate(key);
        let counter = if at.is_some() { &mut self.tally.hits } else { &mut self.tally.misses };
        *counter += 1;
        let at = at?;
        Some(self.db_of(key).get(at))
    }

    /// Looks a key up without any trace.
    #[inline]
    pub fn peek(&mut self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let at = self.locate(key)?;
        Some(self.db_of(key).get(at))
    }

    /// Views a key that was just looked up: changes nothing, so several views may stand side by
    /// side. What is due is not there, but stays where it is.
    #[inline]
    pub fn view(&self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let db = self.held.shard(key.hash.shard()).db(self.db)?;
        let entry = db.get(db.find(key)?);
        is_live(entry, self.now_ms).then_some(entry)
    }

    /// Whether a key exists; leaves no trace.
    #[inline]
    pub fn contains(&mut self, key: Key<'_>) -> bool {
        self.locate(key).is_some()
    }

    /// Looks a key up to change it: notes the access, counts nothing.
    #[inline]
    pub fn find_for_write<'a>(&'a mut self, key: Key<'a>) -> Option<Occupied<'a, 'k>> {
        let at = self.locate(key)?;
        let touch = self.touch;
        let db = self.db_of(key);
        if let Some(access) = touch.next(db.get(at).access()) {
            db.set_access(at, access);
        }
        Some(Occupied { key, at, access: self })
    }

    /// Stores a value under a key, whether it exists or not.
    #[inline]
    pub fn set(&mut self, key: Key<'_>, value: NewValue<'_>, deadline: Deadline) {
        match self.find_for_write(key) {
            Some(mut entry) => {
                match deadline {
                    Deadline::Keep => {}
                    Deadline::Clear => entry.set_deadline_ms(None),
                    Deadline::At(at) => entry.set_deadline_ms(Some(at)),
                }
                entry.set_value(value);
            }
            None => self.insert(
                key,
                value,
                match deadline {
                    Deadline::At(at) => Some(at),
                    Deadline::Clear | Deadline::Keep => None,
                },
            ),
        }
    }

    /// Stores a value under a key that does not exist.
    #[inline]
    pub fn insert(&mut self, key: Key<'_>, value: NewValue<'_>, deadline_ms: Option<i64>) {
        let entry = Entry::new(key.bytes, value, deadline_ms, self.touch.fresh());
        self.insert_entry(key, entry);
    }

    /// Stores an entry under its key, which does not exist.
    pub fn insert_entry(&mut self, key: Key<'_>, entry: Entry) {
        let db = self.db_of(key);
        let before = db.size_bytes();
        let at = db.insert(key.hash, entry);
        let after = db.size_bytes();
        let entry = db.get(at);
        let deadlines = [entry.deadline_ms(), next_field_ms(entry)];
        self.memory_delta += after as i64 - before as i64;
        for deadline in deadlines.into_iter().flatten() {
            self.keyspace.note_deadline(key.hash.shard(), deadline);
        }
        let db = self.db;
        self.changes.event(Classes::NEW, "new", db, key.bytes);
        self.signal(key);
    }

    /// Removes a key; tells whether it was there.
    #[inline]
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        match self.locate(key) {
            Some(at) => {
                let entry = self.take(key, at);
                self.garbage.entry(entry);
                true
            }
            None => false,
        }
    }

    /// Takes a key's entry out.
    pub fn extract(&mut self, key: Key<'_>) -> Option<Entry> {
        let at = self.locate(key)?;
        Some(self.take(key, at))
    }

    /// Shows `visit` shard `index`: the held one, or locked for the visit. One that a slow script keeps
    /// is passed over, and the command that walks will be answered BUSY.
    pub fn walk<T: Default>(&mut self, index: usize, visit: impl FnOnce(&mut Shard) -> T) -> T {
        match &mut self.held {
            Held::None => {
                let shard = self.keyspace.lock_or_give_up(index);
                shard.map_or_else(T::default, |mut shard| visit(&mut shard))
            }
            _ => visit(self.shard(index)),
        }
    }

    /// Number of keys in the selected database, those that are due included, as in Redis.
    pub fn len(&mut self) -> usize {
        let db = self.db;
        (0..SHARDS).map(|index| self.walk(index, |shard| shard.db(db).map_or(0, Db::len))).sum()
    }

    /// Whether the selected database has no key.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Whether anything was removed that may take long to free.
    #[inline]
    pub fn may_have_large_garbage(&self) -> bool {
        self.garbage.may_have_large()
    }

    /// Takes what was removed, takes long to free and is wanted, for a thread that may spend the time.
    pub fn take_large_garbage(&mut self, is_wanted: impl FnMut(&Removed) -> bool) -> Vec<Removed> {
        self.garbage.take_large(is_wanted)
    }
}

impl Drop for Access<'_> {
    #[inline]
    fn drop(&mut self) {
        // Otherwise dispatch has counted it: a command that panics changed what it changed.
        if std::thread::panicking() {
            self.keyspace.memory().add(self.memory_delta);
        }
    }
}

/// An existing key that a command may change.
pub struct Occupied<'a, 'k> {
    key: Key<'a>,
    at: Position,
    access: &'a mut Access<'k>,
}

impl<'a> Occupied<'a, '_> {
    #[inline]
    fn db(&mut self) -> &mut Db {
        let db = self.access.db;
        self.access.shard(self.key.hash.shard()).db_mut(db)
    }

    /// Views the entry.
    #[inline]
    pub fn view(&mut self) -> EntryRef<'_> {
        let at = self.at;
        self.db().get(at)
    }

    /// Views the entry for as long as the access is borrowed.
    #[inline]
    pub fn into_view(self) -> EntryRef<'a> {
        let db = self.access.db;
        self.access.shard(self.key.hash.shard()).db_mut(db).get(self.at)
    }

    #[inline]
    fn change<T>(&mut self, change: impl FnOnce(&mut EntryMut<'_>) -> T) -> T {
        let at = self.at;
        let db = self.db();
        // A change touches neither the table nor its indexes.
        let before = db.entry_bytes();
        let result = db.change(at, change);
        let after = db.entry_bytes();
        self.access.memory_delta += after as i64 - before as i64;
        result
    }

    /// Replaces the value.
    #[inline]
    pub fn set_value(&mut self, value: NewValue<'_>) {
        let (was, fields) = (self.view().kind(), next_field_ms(self.view()));
        if let Some(old) = self.change(|entry| entry.set_value(value)) {
            self.access.garbage.add(Removed::Detached(old));
        }
        if fields.is_some() {
            self.note_fields(fields);
        }
        // Strings wake nobody, unless they take the place of something that somebody waits for.
        if !was.is_string() || !self.view().kind().is_string() {
            self.access.signal(self.key);
        }
    }

    /// Edits the value as a raw string.
    pub fn edit(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        self.change(|entry| entry.edit(edit));
    }

    /// Edits a small collection where it lies.
    ///
    /// # Panics
    /// When the value is of no packed kind.
    #[inline]
    pub fn edit_packed<T>(&mut self, edit: impl FnOnce(&mut PackedMut<'_>) -> T) -> T {
        self.change(|entry| edit(&mut entry.packed_mut()))
    }

    /// Edits a large collection.
    ///
    /// # Panics
    /// When the value is no object.
    #[inline]
    pub fn edit_object<T>(&mut self, edit: impl FnOnce(&mut Object) -> T) -> T {
        self.change(|entry| edit(entry.object_mut()))
    }

    /// Removes the key.
    pub fn remove(self) {
        let entry = self.access.take(self.key, self.at);
        self.access.garbage.entry(entry);
    }

    /// Sets or takes the deadline.
    pub fn set_deadline_ms(&mut self, deadline_ms: Option<i64>) {
        let (key, at) = (self.key, self.at);
        let db = self.db();
        let before = db.size_bytes();
        db.set_deadline(key.hash, at, deadline_ms);
        let after = db.size_bytes();
        self.access.memory_delta += after as i64 - before as i64;
        if let Some(deadline) = deadline_ms {
            self.access.keyspace.note_deadline(key.hash.shard(), deadline);
        }
    }

    /// Sets the 24-bit access field.
    pub fn set_access(&mut self, access: u32) {
        let at = self.at;
        self.db().set_access(at, access);
    }
}
