//! The latest bytes of the log, for replicas that are behind.
//!
//! Full blocks never change and are shared with whoever sends them; the last block grows. A block
//! goes when the rest is enough for the backlog's size and no reader needs it any more.
//!
//! Invariant: the blocks and the tail are the bytes from `start` to `end` without a gap.

use crate::reader::Piece;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::ops::Range;

/// Largest block: what a socket takes at once, more or less.
const BLOCK_BYTES: u64 = 64 * 1024;
/// Smallest block.
const SMALL_BLOCK_BYTES: u64 = 1024;
/// Blocks that a backlog of its size has at least.
const BLOCKS: u64 = 16;

#[derive(Debug)]
pub(crate) struct Backlog {
    /// Bytes that it keeps even when nobody needs them.
    size: u64,
    blocks: VecDeque<Block>,
    tail: BytesMut,
    start: u64,
    end: u64,
}

#[derive(Debug)]
struct Block {
    start: u64,
    bytes: Bytes,
}

impl Backlog {
    /// An empty one that begins at an offset.
    pub(crate) fn new(size: u64, offset: u64) -> Self {
        let tail = BytesMut::new();
        Self { size, blocks: VecDeque::new(), tail, start: offset, end: offset }
    }

    /// The offsets of its bytes.
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn resize(&mut self, size: u64, needed_from: u64) {
        self.size = size;
        self.trim(needed_from);
    }

    /// Memory of its bytes and blocks.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let held = self.end - self.start - self.tail.len() as u64;
        held + (self.tail.capacity() + self.blocks.len() * size_of::<Block>()) as u64
    }

    /// Adds bytes; true when a block was filled, so that a look at the readers is due.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> bool {
        let free = self.tail.capacity() - self.tail.len();
        if bytes.len() <= free {
            self.tail.extend_from_slice(bytes);
            self.end += bytes.len() as u64;
            return false;
        }
        self.append_over(bytes, free);
        true
    }

    #[cold]
    fn append_over(&mut self, bytes: &[u8], free: usize) {
        let (now, rest) = bytes.split_at(free);
        self.tail.extend_from_slice(now);
        self.end += now.len() as u64;
        let block = (self.size / BLOCKS).clamp(SMALL_BLOCK_BYTES, BLOCK_BYTES) as usize;
        let mut full = std::mem::replace(&mut self.tail, BytesMut::with_capacity(block));
        if !full.is_empty() {
            let start = self.end - full.len() as u64;
            self.blocks.push_back(Block { start, bytes: full.split().freeze() });
        }
        // A frame that is larger than a block gets one of its own.
        if rest.len() > block {
            self.blocks.push_back(Block { start: self.end, bytes: Bytes::copy_from_slice(rest) });
        } else {
            self.tail.extend_from_slice(rest);
        }
        self.end += rest.len() as u64;
    }

    /// Lets blocks go that are beyond its size, and that nobody needs who is at `needed_from` or
    /// later.
    pub(crate) fn trim(&mut self, needed_from: u64) {
        while let Some(first) = self.blocks.front() {
            let next = first.start + first.bytes.len() as u64;
            if self.end - next < self.size || next > needed_from {
                return;
            }
            self.start = next;
            self.blocks.pop_front();
        }
    }

    /// Gives up to about `max` bytes from an offset on to `take`; tells the offset after them, or
    /// nothing when they are not there any more.
    pub(crate) fn read(
        &self,
        from: u64,
        max: usize,
        mut take: impl FnMut(Piece<'_>),
    ) -> Option<u64> {
        if !(self.start..=self.end).contains(&from) {
            return None;
        }
        let until = self.end.min(from.saturating_add(max as u64));
        let mut at = from;
        let first = self.blocks.partition_point(|block| block.start <= from).saturating_sub(1);
        for block in self.blocks.iter().skip(first) {
            let end = block.start + block.bytes.len() as u64;
            if at >= until {
                return Some(at);
            }
            if at < end {
                let to = end.min(until);
                let range = (at - block.start) as usize..(to - block.start) as usize;
                take(Piece::Shared(block.bytes.slice(range)));
                at = to;
            }
        }
        if at < until {
            let tail_start = self.end - self.tail.len() as u64;
            let range = (at - tail_start) as usize..(until - tail_start) as usize;
            take(Piece::Latest(&self.tail[range]));
            at = until;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(backlog: &Backlog, from: u64, max: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let end = backlog.read(from, max, |piece| bytes.extend_from_slice(piece.as_slice()))?;
        assert_eq!(end, from + bytes.len() as u64);
        Some(bytes)
    }

    fn numbered(range: Range<u64>) -> Vec<u8> {
        range.map(|offset| (offset % 251) as u8).collect()
    }

    #[test]
    fn every_byte_that_is_kept_can_be_read_from_everywhere() {
        let mut backlog = Backlog::new(20_000, 7);
        let mut end = 7u64;
        for round in 0..2000u64 {
            let len = if round % 97 == 0 { 5000 } else { round % 113 };
            if backlog.append(&numbered(end..end + len)) {
                backlog.trim(u64::MAX);
            }
            end += len;
            assert_eq!(backlog.range().end, end);
            let start = backlog.range().start;
            assert!(end - start >= 20_000.min(end - 7), "round {round}: too little is kept");
            assert!(end - start <= 20_000 + 6300, "round {round}: too much is kept");
            for from in [start, start + (end - start) / 3, end] {
                assert_eq!(all(&backlog, from, usize::MAX), Some(numbered(from..end)));
                let until = end.min(from + 100);
                assert_eq!(all(&backlog, from, 100), Some(numbered(from..until)));
            }
        }
        let start = backlog.range().start;
        assert_eq!(all(&backlog, start - 1, 10), None);
        assert_eq!(all(&backlog, end + 1, 10), None);
    }

    #[test]
    fn what_a_reader_needs_stays() {
        let mut backlog = Backlog::new(16 * 1024, 0);
        for _ in 0..100 {
            backlog.append(&[b'x'; 1000]);
            backlog.trim(5000);
        }
        assert!(backlog.range().start <= 5000 && backlog.range().end == 100_000);
        backlog.trim(99_000);
        assert!(backlog.range().start > 80_000);
        backlog.resize(1024, u64::MAX);
        assert!(backlog.range().start > 95_000 && backlog.memory_bytes() < 8 * 1024);
    }
}
