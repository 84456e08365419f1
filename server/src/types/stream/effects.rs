//! What a command on a group is logged as: the least that has the same effect whenever it runs.

use super::StreamId;
use super::group::{Group, Pending};
use crate::dispatch::call::Call;
use crate::keyspace::Key;
use larder_protocol::encode::encode_command;

/// The effects of a command on a group, collected while its stream is being changed.
pub(super) struct Effects<'a> {
    is_logged: bool,
    key: Key<'a>,
    group: &'a [u8],
    frames: Vec<Vec<u8>>,
}

impl<'a> Effects<'a> {
    /// None yet, on a group of a key.
    pub(super) fn new(call: &Call<'_>, key: Key<'a>, group: &'a [u8]) -> Self {
        Self { is_logged: call.db.changes.logged, key, group, frames: Vec::new() }
    }

    fn add(&mut self, command: &[&[u8]]) {
        if self.is_logged {
            let mut frame = Vec::new();
            encode_command(&mut frame, command.iter().copied());
            self.frames.push(frame);
        }
    }

    /// An entry is pending as stated, with the consumer of this name, and the group has read up to
    /// `last_id`.
    pub(super) fn claimed(
        &mut self,
        id: StreamId,
        name: &[u8],
        pending: Pending,
        last_id: StreamId,
    ) {
        if !self.is_logged {
            return;
        }
        let (id, last_id) = (id.text(), last_id.text());
        let time = pending.delivered_ms.to_string();
        let deliveries = (pending.deliveries as i64).to_string();
        self.add(&[
            b"XCLAIM",
            self.key.bytes,
            self.group,
            name,
            b"0",
            id.as_bytes(),
            b"TIME",
            time.as_bytes(),
            b"RETRYCOUNT",
            deliveries.as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last_id.as_bytes(),
        ]);
    }

    /// The group has read as far as it says.
    pub(super) fn group_read(&mut self, group: &Group) {
        // A count that went round is none that Redis takes, even from its primary.
        let read = group.entries_read.filter(|read| *read >= 0).unwrap_or(-1).to_string();
        let id = group.last_id.text();
        let (key, name) = (self.key.bytes, self.group);
        self.add(&[b"XGROUP", b"SETID", key, name, id.as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
    }

    /// A consumer came into being.
    pub(super) fn consumer_created(&mut self, name: &[u8]) {
        self.add(&[b"XGROUP", b"CREATECONSUMER", self.key.bytes, self.group, name]);
    }

    /// States them. What one command did to its groups is seen as a whole elsewhere as well.
    pub(super) fn state(self, call: &mut Call<'_>) {
        let db = call.db.db();
        let changes = &mut call.db.changes;
        for frame in &self.frames {
            changes.nested |= changes.has_effects();
            changes.frame(db, frame);
        }
    }
}
