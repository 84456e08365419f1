//! What one command leaves for the log.
//!
//! The frames lie one behind the other in one buffer, so that a command with many effects takes no
//! more allocations than one with few.

use crate::log::FrameKind;
use larder_protocol::encode::encode_command;

/// Encoded effects in order, each with the database that it speaks of.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// The database of each, where it ends, and what it is.
    ends: Vec<(usize, usize, FrameKind)>,
}

impl Frames {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets them, but keeps their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The memory they lie in.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<(usize, usize, FrameKind)>()
    }

    /// Adds a command.
    pub fn push<'a>(&mut self, db: usize, command: impl ExactSizeIterator<Item = &'a [u8]>) {
        encode_command(&mut self.bytes, command);
        self.ends.push((db, self.bytes.len(), FrameKind::Effect));
    }

    /// Adds a command that only replicas are told.
    pub fn push_control<'a>(
        &mut self,
        db: usize,
        command: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        encode_command(&mut self.bytes, command);
        self.ends.push((db, self.bytes.len(), FrameKind::Control));
    }

    /// Adds a command that is encoded.
    pub fn push_encoded(&mut self, db: usize, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push((db, self.bytes.len(), FrameKind::Effect));
    }

    /// Each with its database, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &[u8], FrameKind)> {
        (0..self.ends.len()).map(|index| {
            let (db, end, kind) = self.ends[index];
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
            (db, &self.bytes[start..end], kind)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_order_and_their_databases() {
        let mut frames = Frames::default();
        assert!(frames.is_empty());
        frames.push(1, [&b"DEL"[..], b"k"].into_iter());
        frames.push_encoded(0, b"PING\r\n");
        frames.push_control(2, [&b"PING"[..]].into_iter());
        let expected: [(usize, &[u8], FrameKind); 3] = [
            (1, b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n", FrameKind::Effect),
            (0, b"PING\r\n", FrameKind::Effect),
            (2, b"*1\r\n$4\r\nPING\r\n", FrameKind::Control),
        ];
        assert_eq!(frames.iter().collect::<Vec<_>>(), expected);
        assert_eq!(frames.len(), 3);
    }
}
