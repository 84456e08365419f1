//! Bitmaps: strings seen as sequences of bits.
//!
//! Bit 0 is the highest bit of the first byte, and beyond the end of a string all bits are clear.
//! This file counts, finds and combines bits; [`field`] reads and writes integers among them.

pub mod commands;
mod field;
pub mod table;

use std::ops::Range;

const WORD_BYTES: usize = size_of::<u64>();

/// How BITOP combines strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

/// The bit at an offset.
fn get(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset / 8).is_some_and(|byte| byte & mask(offset) != 0)
}

/// Sets or clears the bit at an offset, which must lie within the bytes.
fn set(bytes: &mut [u8], offset: usize, bit: bool) {
    let byte = &mut bytes[offset / 8];
    *byte = if bit { *byte | mask(offset) } else { *byte & !mask(offset) };
}

/// The bit of an offset within its byte.
fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// How many bits are set.
fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    let in_words: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    in_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// How many bits of a range, which must lie within the bytes, are set.
fn count_range(bytes: &[u8], bits: Range<usize>) -> u64 {
    if bits.is_empty() {
        return 0;
    }
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    // Of the bytes at both ends, the bits outside are taken off again.
    let before = bytes[first] & !(0xff >> (bits.start % 8));
    let behind = bytes[last] & !(0xff << (7 - (bits.end - 1) % 8));
    count(&bytes[first..=last]) - u64::from(before.count_ones() + behind.count_ones())
}

/// The offset of the first bit of a range, which must lie within the bytes, that is as wanted.
fn position(bytes: &[u8], bits: Range<usize>, wanted: bool) -> Option<usize> {
    if bits.is_empty() {
        return None;
    }
    // A clear bit is a set one once all are turned around.
    let turn = if wanted { 0 } else { 0xff };
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    let head = (bytes[first] ^ turn) & (0xff >> (bits.start % 8));
    let found = if head != 0 {
        first * 8 + head.leading_zeros() as usize
    } else {
        let at = first + 1 + first_unlike(&bytes[first + 1..=last], turn)?;
        at * 8 + (bytes[at] ^ turn).leading_zeros() as usize
    };
    (found < bits.end).then_some(found)
}

/// The place of the first byte that is another one than `skip`.
fn first_unlike(bytes: &[u8], skip: u8) -> Option<usize> {
    let skip_word = u64::from_ne_bytes([skip; WORD_BYTES]);
    let (words, _) = bytes.as_chunks::<WORD_BYTES>();
    let skipped = words.iter().take_while(|word| u64::from_ne_bytes(**word) == skip_word).count();
    let from = skipped * WORD_BYTES;
    bytes[from..].iter().position(|byte| *byte != skip).map(|at| from + at)
}

/// Combines strings, of which there is at least one; the result is as long as the longest.
fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = Vec::with_capacity(len);
    let Some((first, others)) = sources.split_first() else { return result };
    result.extend_from_slice(first);
    result.resize(len, 0);
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for other in others {
        let (over, beyond) = result.split_at_mut(other.len());
        let pairs = over.iter_mut().zip(*other);
        match operation {
            Operation::And => {
                pairs.for_each(|(byte, with)| *byte &= with);
                beyond.fill(0);
            }
            Operation::Or => pairs.for_each(|(byte, with)| *byte |= with),
            Operation::Xor => pairs.for_each(|(byte, with)| *byte ^= with),
            // It has one source.
            Operation::Not => {}
        }
    }
    result
}

#[cfg(test)]
mod tests;
