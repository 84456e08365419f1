//! Hashes some of whose fields have deadlines, as a command holds them.

use super::{Access, Occupied};
use crate::keyspace::Key;
use crate::keyspace::expire::{has_due_fields, is_live, next_field_ms};
use crate::keyspace::notify::Classes;
use crate::raw::Position;
use crate::types::hash::expiry::is_empty;

impl Access<'_> {
    /// Where a hash is, after removing its fields that are due, and itself when none is left.
    #[cold]
    pub(super) fn locate_hash(&mut self, key: Key<'_>, at: Position) -> Option<Position> {
        let (now_ms, keeps_due) = (self.now_ms, self.keeps_due);
        let entry = self.db_of(key).get(at);
        if !has_due_fields(entry, now_ms) {
            return Some(at);
        }
        if keeps_due {
            return is_live(entry, now_ms).then_some(at);
        }
        let mut names = Vec::new();
        let db = self.db_of(key);
        let before = db.size_bytes();
        let expired = db.expire_fields((key.hash.tag(), at), now_ms, usize::MAX, |name| {
            names.push(name.to_vec());
        });
        let after = db.size_bytes();
        let is_empty = is_empty(db.get(at));
        self.memory_delta += after as i64 - before as i64;
        self.tally.expired_fields += expired as u64;
        let db = self.db;
        for name in names {
            self.changes.effect(db, &[b"HDEL", key.bytes, &name]);
        }
        if expired > 0 {
            self.changes.event(Classes::HASH, "hexpired", db, key.bytes);
            self.touched(key);
        }
        if !is_empty {
            return Some(at);
        }
        let entry = self.take(key, at);
        self.garbage.entry(entry);
        self.changes.event(Classes::GENERIC, "del", db, key.bytes);
        None
    }
}

impl Occupied<'_, '_> {
    /// Runs changes that may give a hash its first field deadline, or move its earliest one.
    pub fn edit_fields<T>(&mut self, edit: impl FnOnce(&mut Self) -> T) -> T {
        let before = next_field_ms(self.view());
        let result = edit(self);
        self.note_fields(before);
        result
    }

    /// Brings the shard up to a hash whose earliest field deadline was `before`.
    pub(super) fn note_fields(&mut self, before: Option<i64>) {
        let (hash, at) = (self.key.hash, self.at);
        let db = self.db();
        let bytes = db.size_bytes();
        let after = db.note_fields(hash.tag(), at, before);
        let more = db.size_bytes() as i64 - bytes as i64;
        self.access.memory_delta += more;
        if let Some(deadline) = after {
            self.access.keyspace.note_deadline(hash.shard(), deadline);
        }
    }
}
