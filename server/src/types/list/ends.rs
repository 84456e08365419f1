//! Bytes that grow and shrink at both ends: a node of a large list.
//!
//! The block has room in front of the bytes as well as behind them, and a change moves whichever side
//! of it is shorter. So an element comes or goes at the head as cheaply as at the tail, where a vector
//! would move all others.

use crate::raw::Splice;
use std::ops::Range;

/// Some bytes in a block with room at both ends.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    block: Vec<u8>,
    /// Where the bytes begin; they reach to the end of what the vector has.
    begin: usize,
}

impl Ends {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { block: bytes, begin: 0 }
    }

    /// What the block takes, room included.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// Gives back the room. An allocator may leave a block that shrinks by less than half where it
    /// is, so it is copied.
    pub(super) fn fit(&mut self) {
        if self.block.capacity() > self.as_ref().len() {
            *self = Self::new(self.as_ref().to_vec());
        }
    }

    /// Makes room for at least so many bytes in front: half of what there is, so that all the bytes
    /// are seldom moved.
    #[cold]
    fn make_room(&mut self, bytes: usize) {
        let (room, old_bytes) = (bytes.max(self.as_ref().len() / 2), self.block.len());
        self.block.resize(old_bytes + room, 0);
        self.block.copy_within(self.begin..old_bytes, self.begin + room);
        self.begin += room;
    }
}

impl AsRef<[u8]> for Ends {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.block[self.begin..]
    }
}

impl Splice for Ends {
    #[inline]
    fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        let inserted: usize = parts.iter().map(|part| part.len()).sum();
        let is_at_head = range.start < self.as_ref().len() - range.end;
        if inserted == range.len() || !is_at_head {
            let range = self.begin + range.start..self.begin + range.end;
            return Splice::splice(&mut self.block, range, parts);
        }
        if self.begin + range.len() < inserted {
            self.make_room(inserted);
        }
        let (begin, end) = (self.begin, self.begin + range.end);
        self.begin = begin + range.len() - inserted;
        self.block.copy_within(begin..begin + range.start, self.begin);
        let mut at = end - inserted;
        for part in parts {
            self.block[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_vector(
            steps in proptest::collection::vec(
                (any::<usize>(), any::<usize>(), proptest::collection::vec(any::<u8>(), 0..20)),
                1..100,
            )
        ) {
            let (mut ends, mut model) = (Ends::new(Vec::new()), Vec::<u8>::new());
            for (start, len, part) in steps {
                let start = start % (model.len() + 1);
                let end = start + len % (model.len() - start + 1).min(24);
                let (first, second) = part.split_at(part.len() / 2);
                ends.splice(start..end, &[first, second]);
                model.splice(start..end, part);
                prop_assert_eq!(ends.as_ref(), &model[..]);
            }
            ends.fit();
            prop_assert_eq!((ends.as_ref(), ends.begin), (&model[..], 0));
        }
    }

    #[test]
    fn the_head_comes_and_goes_without_a_new_block() {
        let mut ends = Ends::new(vec![7; 1000]);
        ends.splice(0..0, &[b"abc"]);
        let (capacity, begin) = (ends.capacity(), ends.begin);
        for _ in 0..1000 {
            ends.splice(0..0, &[b"xyz"]);
            ends.splice(0..3, &[]);
        }
        assert_eq!((ends.capacity(), ends.begin), (capacity, begin));
        assert_eq!(&ends.as_ref()[..4], b"abc\x07");
    }
}
