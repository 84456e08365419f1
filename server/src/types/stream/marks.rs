//! What a stream remembers of its past: enough to tell how far behind a group is, most of the time.
//!
//! The number of entries ever added before an ID is known at the stream's ends. Between them it is
//! only known by counting along, which groups do, and not after a deletion ahead of them.

use super::StreamId;

/// A stream's length and what is known of its past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// How many entries there are.
    pub len: u64,
    /// The highest ID that was ever generated or set.
    pub last_id: StreamId,
    /// The ID of the first entry there is; the lowest when there is none.
    pub first_id: StreamId,
    /// The highest ID of a deleted entry.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
}

impl Marks {
    /// Notes a new entry.
    #[inline]
    pub(super) fn added(&mut self, id: StreamId) {
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
    }

    /// Whether an entry may have been deleted from `start` on.
    pub fn has_deleted_from(&self, start: StreamId) -> bool {
        self.len > 0
            && self.max_deleted_id != StreamId::MIN
            && self.first_id <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    /// How many entries were ever added up to an ID, if that can be told.
    pub fn added_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.entries_added as i64;
        if self.entries_added == 0 {
            return Some(0);
        }
        if id == self.last_id || (self.len == 0 && id < self.last_id) {
            return Some(added);
        }
        let has_no_gap =
            self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        if id > self.last_id || !has_no_gap || id > self.first_id {
            return None;
        }
        let before = added.wrapping_sub(self.len as i64);
        Some(if id == self.first_id { before.wrapping_add(1) } else { before })
    }

    /// What a group has read after it was given the entry of this ID. The count goes round, as Redis's.
    pub fn read_after(&self, id: StreamId, read: Option<i64>) -> Option<i64> {
        match read {
            Some(read) if !self.has_deleted_from(id) => known(read.wrapping_add(1)),
            _ if self.entries_added > 0 => self.added_up_to(id),
            read => read,
        }
    }

    /// How many entries come after what a group has read, if that can be told.
    pub fn lag(&self, last_id: StreamId, read: Option<i64>) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match read {
            Some(read) if !self.has_deleted_from(last_id) => Some(read),
            _ => self.added_up_to(last_id),
        };
        read.map(|read| (self.entries_added as i64).wrapping_sub(read))
    }
}

/// A count of entries read as commands and dumps write it, where -1 stands for one that is not known.
pub(super) fn known(read: i64) -> Option<i64> {
    (read != -1).then_some(read)
}
