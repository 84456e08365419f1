//! LZF, by which long strings are packed: runs of bytes, and copies of what came before.
//!
//! A control byte below 32 announces a run of one byte more than it says. Any other holds the
//! length of a copy in its upper three bits (7: one more byte of length follows) and, with the byte
//! after it, how far back the copy begins.

use std::fmt;

/// The packed bytes do not make what they were said to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Largest run of bytes that one control byte announces.
const RUN_MAX: usize = 32;
/// Farthest that a copy reaches back.
const BACK_MAX: usize = 1 << 13;
/// Shortest and longest copy.
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;
/// Bits of the index of places: it fits the first-level cache.
const INDEX_BITS: u32 = 13;

/// Packs strings; what it remembers of one is worth nothing for the next, but its room is.
pub struct Compressor {
    /// The last place of three bytes of each hash, counted over all strings.
    places: Box<[u32]>,
    /// The place of the string's first byte.
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { places: vec![0; 1 << INDEX_BITS].into_boxed_slice(), base: 1 }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Appends the packed form of `bytes` to `out`, unless that would be more than `max` bytes; tells
    /// whether it did. `out` is as before when it did not.
    pub fn compress(&mut self, bytes: &[u8], max: usize, out: &mut Vec<u8>) -> bool {
        let (start, len) = (out.len(), bytes.len());
        // Places beyond 32 bits are not told apart, so all are forgotten before.
        let Ok(places) = u32::try_from(len) else { return false };
        let Some(next_base) = self.base.checked_add(places) else {
            self.places.fill(0);
            self.base = 1;
            return places < u32::MAX - 1 && self.compress(bytes, max, out);
        };
        let base = std::mem::replace(&mut self.base, next_base);
        let (mut at, mut run) = (0, 0);
        while at + COPY_MIN <= len {
            let hash = hash_of(&bytes[at..]);
            let before = std::mem::replace(&mut self.places[hash], base + at as u32);
            let back = at.wrapping_sub((before.wrapping_sub(base)) as usize);
            let is_copy = before >= base
                && back <= BACK_MAX
                && bytes[at - back..][..COPY_MIN] == bytes[at..][..COPY_MIN];
            if !is_copy {
                at += 1;
                continue;
            }
            push_run(out, &bytes[run..at]);
            let longest = COPY_MAX.min(len - at);
            let same = bytes[at..at + longest].iter().zip(&bytes[at - back..]);
            let count = same.take_while(|(one, other)| one == other).count();
            push_copy(out, back - 1, count);
            if out.len() - start > max {
                out.truncate(start);
                return false;
            }
            at += count;
            run = at;
        }
        push_run(out, &bytes[run..]);
        let fits = out.len() - start <= max;
        if !fits {
            out.truncate(start);
        }
        fits
    }
}

fn hash_of(bytes: &[u8]) -> usize {
    let three = u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2]);
    (three.wrapping_mul(0x9e37_79b1) >> (u32::BITS - INDEX_BITS)) as usize
}

fn push_run(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(RUN_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn push_copy(out: &mut Vec<u8>, back: usize, count: usize) {
    let (high, low, length) = ((back >> 8) as u8, back as u8, count - 2);
    if length < 7 {
        out.extend_from_slice(&[(length as u8) << 5 | high, low]);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (length - 7) as u8, low]);
    }
}

/// Unpacks to exactly `len` bytes, which is only a claim until they are there; what was in `out` is
/// replaced.
///
/// # Errors
/// The bytes make something else.
pub fn decompress(packed: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.clear();
    // Three bytes make 264 at most.
    if len / COPY_MAX > packed.len() {
        return Err(Malformed);
    }
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        if usize::from(control) < RUN_MAX {
            let (run, after) = rest.split_at_checked(usize::from(control) + 1).ok_or(Malformed)?;
            rest = after;
            out.extend_from_slice(run);
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                let (&more, after) = rest.split_first().ok_or(Malformed)?;
                rest = after;
                count += usize::from(more);
            }
            let (&low, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
            let from = out.len().checked_sub(back).ok_or(Malformed)?;
            copy(out, from, count + 2);
        }
        if out.len() > len {
            return Err(Malformed);
        }
    }
    if out.len() == len { Ok(()) } else { Err(Malformed) }
}

/// Appends `count` bytes from a place on; the copy may reach into itself.
fn copy(out: &mut Vec<u8>, from: usize, count: usize) {
    let mut left = count;
    while left > 0 {
        let step = left.min(out.len() - from);
        out.extend_from_within(from..from + step);
        left -= step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpacked(packed: &[u8], len: usize) -> Result<Vec<u8>, Malformed> {
        let mut out = b"what was there".to_vec();
        decompress(packed, len, &mut out).map(|()| out)
    }

    #[test]
    fn runs_and_copies() {
        // "ab", then eight bytes from two before.
        let packed = [1, b'a', b'b', 6 << 5, 1];
        assert_eq!(unpacked(&packed, 10), Ok(b"ababababab".to_vec()));
        for wrong in [&packed[..4], &[32, 0][..], &[5, b'x'][..]] {
            assert!(unpacked(wrong, 10).is_err());
        }
        assert!(unpacked(&packed, 9).is_err());
        assert!(unpacked(&packed, usize::MAX).is_err());
    }

    #[test]
    fn what_repeats_becomes_short() {
        let (mut compressor, mut out) = (Compressor::default(), Vec::new());
        let text = b"all work and no play ".repeat(100);
        assert!(compressor.compress(&text, text.len() - 4, &mut out));
        assert!(out.len() < 60, "{} bytes", out.len());
        assert_eq!(unpacked(&out, text.len()), Ok(text));
        let noise: Vec<u8> = (0..200_u32).map(|at| (at * 77 + at * at) as u8).collect();
        let mut kept = b"kept".to_vec();
        assert!(!compressor.compress(&noise, 100, &mut kept));
        assert_eq!(kept, b"kept");
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(
            strings in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(b'a'), 0..4_u8, any::<u8>()], 0..2000),
                1..5,
            ),
            base in prop_oneof![Just(1_u32), Just(u32::MAX - 1500)],
        ) {
            let mut compressor = Compressor { base, ..Compressor::default() };
            for bytes in strings {
                let mut out = Vec::new();
                prop_assert!(compressor.compress(&bytes, usize::MAX, &mut out));
                prop_assert_eq!(unpacked(&out, bytes.len()), Ok(bytes));
            }
        }

        #[test]
        fn anything_is_unpacked_or_refused(packed: Vec<u8>, len in 0..3000_usize) {
            let _ = unpacked(&packed, len);
        }
    }
}
