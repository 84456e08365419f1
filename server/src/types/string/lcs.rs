//! The longest common subsequence of two byte strings.
//!
//! The classic table holds, for each pair of prefixes, the length of their common subsequence. In
//! a row of it, neighbours differ by 0 or 1, so a row is kept as one bit a column and computed from
//! the row above sixty-four columns at a time: an addition carries the effect of a match to the
//! right. The same bits are all that is needed to walk back from the end and find the matches.
//!
//! Among several longest subsequences the walk finds the one that Redis finds: where bytes differ
//! it drops the last byte of the first string only if dropping that of the second would cost length.

/// Columns in a word of a row.
const WORD_BITS: usize = u64::BITS as usize;

/// Which bytes of the second string equal a given byte: one row of bits for each byte value that
/// occurs in the first string.
struct Masks {
    /// Where the row of a byte value begins, or `NONE`.
    starts: [usize; 256],
    bits: Vec<u64>,
    words: usize,
}

impl Masks {
    const NONE: usize = usize::MAX;

    fn new(a: &[u8], b: &[u8]) -> Self {
        let words = b.len().div_ceil(WORD_BITS);
        let mut starts = [Self::NONE; 256];
        let mut distinct = 0;
        for &byte in a {
            let start = &mut starts[usize::from(byte)];
            if *start == Self::NONE {
                *start = distinct * words;
                distinct += 1;
            }
        }
        let mut bits = vec![0; distinct * words];
        for (column, &byte) in b.iter().enumerate() {
            let start = starts[usize::from(byte)];
            if start != Self::NONE {
                bits[start + column / WORD_BITS] |= 1 << (column % WORD_BITS);
            }
        }
        Self { starts, bits, words }
    }

    /// The row of a byte that occurs in the first string.
    fn row(&self, byte: u8) -> &[u64] {
        let start = self.starts[usize::from(byte)];
        &self.bits[start..start + self.words]
    }
}

/// Computes a row from the one above it; a bit is 0 where the length grows by one at that column.
#[inline]
fn advance(above: &[u64], mask: &[u64], row: &mut [u64]) {
    let mut carry = false;
    for ((&above, &mask), word) in above.iter().zip(mask).zip(row) {
        let (sum, first) = above.overflowing_add(above & mask);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        *word = sum | (above & !mask);
    }
}

/// How many columns of a row grow. Bits beyond the last column stay 1.
fn length_of(row: &[u64]) -> usize {
    row.iter().map(|word| word.count_zeros() as usize).sum()
}

/// The length of the longest common subsequence.
pub(super) fn length(a: &[u8], b: &[u8]) -> usize {
    let masks = Masks::new(a, b);
    let mut row = vec![u64::MAX; masks.words];
    let mut next = row.clone();
    for &byte in a {
        advance(&row, masks.row(byte), &mut next);
        std::mem::swap(&mut row, &mut next);
    }
    length_of(&row)
}

/// Adjacent bytes of both strings that match each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it begins in the first string.
    pub(super) a: usize,
    /// Where it begins in the second string.
    pub(super) b: usize,
    /// How many bytes match.
    pub(super) len: usize,
}

/// The runs of a longest common subsequence, from the last to the first.
///
/// Keeps one bit for each pair of bytes: a 32nd of the table of lengths by which the caller has
/// judged whether the strings are too long.
pub(super) fn runs(a: &[u8], b: &[u8]) -> Vec<Run> {
    let masks = Masks::new(a, b);
    let words = masks.words;
    // A row of ones stands for the empty prefix; row `i` follows from the first `i` bytes of `a`.
    let mut rows = vec![u64::MAX; (a.len() + 1) * words];
    for (index, &byte) in a.iter().enumerate() {
        let (done, rest) = rows.split_at_mut((index + 1) * words);
        advance(&done[index * words..], masks.row(byte), &mut rest[..words]);
    }

    let mut runs: Vec<Run> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            match runs.last_mut() {
                Some(run) if run.a == i + 1 && run.b == j + 1 => {
                    *run = Run { a: i, b: j, len: run.len + 1 };
                }
                _ => runs.push(Run { a: i, b: j, len: 1 }),
            }
        } else if rows[i * words + (j - 1) / WORD_BITS] >> ((j - 1) % WORD_BITS) & 1 == 0 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    runs
}

/// The bytes of a subsequence of `a` that `runs` found.
pub(super) fn bytes(a: &[u8], runs: &[Run]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(runs.iter().map(|run| run.len).sum());
    for run in runs.iter().rev() {
        bytes.extend_from_slice(&a[run.a..run.a + run.len]);
    }
    bytes
}
