//! Commands that are kept for later: those of a transaction until it runs.
//!
//! All arguments lie in one buffer, one behind the other, so keeping a command of a few small
//! arguments costs no allocation of its own.

use crate::args::Args;
use crate::parser::{MAX_OFFSET, Span};
use std::ops::Range;

/// The arguments of several commands.
#[derive(Clone, Debug, Default)]
pub struct KeptArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl KeptArgs {
    /// Room for some arguments.
    #[must_use]
    pub fn with_capacity(bytes: usize, args: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(args) }
    }

    /// Keeps a command; gives its place, or nothing when the buffer would exceed 4 GiB.
    pub fn push(&mut self, args: Args<'_>) -> Option<Range<usize>> {
        let added: usize = args.iter().map(<[u8]>::len).sum();
        if self.bytes.len().checked_add(added)? > MAX_OFFSET {
            return None;
        }
        let first = self.spans.len();
        for arg in args {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(arg);
            self.spans.push(Span::new(start, self.bytes.len()));
        }
        Some(first..self.spans.len())
    }

    /// A kept command.
    #[inline]
    #[must_use]
    pub fn at(&self, place: Range<usize>) -> Args<'_> {
        Args::from_spans(&self.bytes, self.spans.get(place).unwrap_or_default())
    }

    /// Forgets all commands and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_back_as_they_were() {
        let mut kept = KeptArgs::default();
        let first: [&[u8]; 3] = [b"SET", b"", b"value"];
        let second: [&[u8]; 1] = [b"PING"];
        let places = [&first[..], &second[..], &[]].map(|slices| {
            let place = kept.push(Args::from_slices(slices));
            place.expect("there is room")
        });
        let of = |place: &Range<usize>| kept.at(place.clone()).iter().collect::<Vec<_>>();
        assert_eq!(of(&places[0]), first);
        assert_eq!(of(&places[1]), second);
        assert!(of(&places[2]).is_empty() && of(&(3..9)).is_empty());
        assert!(kept.memory_bytes() >= 12);
        kept.clear();
        assert!(kept.at(0..1).is_empty());
    }
}
