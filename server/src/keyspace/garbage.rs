//! What was taken out of the keyspace and is still to be freed.
//!
//! The thread that took it out frees it after its locks. What takes long may go to the reaper
//! instead, where a command or a setting says so.

use super::shard::Db;
use crate::raw::{Detached, Entry, Value};

/// Steps of freeing above which a value takes long, as in Redis.
const STEPS: usize = 64;

/// Something that was taken out.
pub enum Removed {
    /// A key, by a command.
    Entry(Entry),
    /// A key that was due or had to make room.
    Dead(Entry),
    /// A value that another one replaced.
    Detached(Detached),
    /// All keys of a database in one shard.
    Database(Db),
}

impl Removed {
    /// Whether freeing it takes long.
    pub fn is_large(&self) -> bool {
        match self {
            Self::Entry(entry) | Self::Dead(entry) => is_large(entry),
            Self::Detached(Detached::Object(object)) => object.steps_to_free() > STEPS,
            Self::Detached(Detached::String(_)) => false,
            Self::Database(_) => true,
        }
    }

    /// How many keys and values it is.
    pub fn objects(&self) -> u64 {
        match self {
            Self::Entry(_) | Self::Dead(_) | Self::Detached(_) => 1,
            Self::Database(db) => db.len() as u64,
        }
    }
}

#[inline]
fn is_large(entry: &Entry) -> bool {
    match entry.view().value() {
        Value::Object(object) => object.steps_to_free() > STEPS,
        _ => false,
    }
}

/// What one command removed. Nearly always one small entry or nothing, so that is kept small.
#[derive(Default)]
pub(super) struct Garbage {
    entry: Option<Entry>,
    more: Vec<Removed>,
}

impl Garbage {
    /// Adds a key that a command removed.
    #[inline]
    pub(super) fn entry(&mut self, entry: Entry) {
        if is_large(&entry) {
            self.more.push(Removed::Entry(entry));
        } else if let Some(earlier) = self.entry.replace(entry) {
            self.more.push(Removed::Entry(earlier));
        }
    }

    /// Adds something else.
    pub(super) fn add(&mut self, removed: Removed) {
        self.more.push(removed);
    }

    /// Adds what another one has.
    pub(super) fn extend(&mut self, other: Self) {
        self.more.extend(other.entry.map(Removed::Entry));
        self.more.extend(other.more);
    }

    /// Whether there is anything that may be large.
    #[inline]
    pub(super) fn may_have_large(&self) -> bool {
        !self.more.is_empty()
    }

    /// Takes out what is large and wanted.
    pub(super) fn take_large(
        &mut self,
        mut is_wanted: impl FnMut(&Removed) -> bool,
    ) -> Vec<Removed> {
        let all = std::mem::take(&mut self.more).into_iter();
        let (taken, rest) = all.partition(|removed| removed.is_large() && is_wanted(removed));
        self.more = rest;
        taken
    }
}
