//! The sparse encoding: runs of registers that have the same rank.
//!
//! ```text
//! 00llllll            l+1 registers of rank 0
//! 01llllll llllllll   l+1 registers of rank 0
//! 1rrrrrll            l+1 registers of rank r+1
//! ```
//! Which of the possible encodings of the same registers comes out depends on the order in which they
//! were raised, so [`raise`] splits and joins runs exactly where Redis does. A long run of zeros cut
//! off after its first byte reads as if a zero followed, as it does there.

use super::{HEADER_BYTES, REGISTERS, Registers, invalidate_cardinality};
use larder_protocol::CommandError;
use smallvec::SmallVec;

const LONG_ZEROS: u8 = 0x40;
const RANKED: u8 = 0x80;
const ZEROS_MAX_LEN: usize = 64;
const RANKED_MAX_LEN: usize = 4;
const RANK_MAX: u8 = 32;
/// How many runs from the one before a change are looked at to join them.
const JOINED_RUNS: usize = 5;

/// Registers of one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Their rank.
    pub rank: u8,
    /// How many there are.
    pub len: usize,
    /// Bytes that it is encoded in.
    bytes: usize,
}

/// What became of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// It was as high already.
    No,
    /// It was raised.
    Yes,
    /// It cannot be raised in this encoding.
    TooLong,
}

impl Run {
    /// The run that begins at `at`, where there must be a byte.
    fn at(bytes: &[u8], at: usize) -> Self {
        let first = bytes[at];
        let low = usize::from(first & 0x3f);
        if first & RANKED != 0 {
            let len = usize::from(first & 3) + 1;
            Self { rank: (first >> 2 & 0x1f) + 1, len, bytes: 1 }
        } else if first & LONG_ZEROS == 0 {
            Self { rank: 0, len: low + 1, bytes: 1 }
        } else {
            let second = bytes.get(at + 1).copied().unwrap_or(0);
            Self { rank: 0, len: (low << 8 | usize::from(second)) + 1, bytes: 2 }
        }
    }

    fn is_ranked(self) -> bool {
        self.rank > 0
    }

    /// Its name in what PFDEBUG DECODE prints.
    pub(super) fn text(self) -> String {
        match (self.rank, self.bytes) {
            (0, 1) => format!("z:{}", self.len),
            (0, _) => format!("Z:{}", self.len),
            (rank, _) => format!("v:{rank},{}", self.len),
        }
    }
}

/// The runs in order.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let run = (at < bytes.len()).then(|| Run::at(bytes, at))?;
        at += run.bytes;
        Some(run)
    })
}

/// Raises each of `registers` to that of the runs. With `obeys`, what follows the last register is
/// passed over where Redis did so, up to 7.2.
///
/// # Errors
/// The runs are of more registers than there are, or of fewer; some may have been raised.
pub(super) fn merge(
    registers: &mut Registers,
    bytes: &[u8],
    obeys: bool,
) -> Result<(), CommandError> {
    let mut index = 0_usize;
    for run in runs(bytes) {
        if obeys && run.is_ranked() && index + run.len > REGISTERS {
            break;
        }
        let own = registers.get_mut(index..index + run.len);
        let own = own.ok_or(CommandError::CORRUPT_HYPERLOGLOG)?;
        if run.is_ranked() {
            own.iter_mut().for_each(|own| *own = run.rank.max(*own));
        }
        index += run.len;
    }
    if index == REGISTERS { Ok(()) } else { Err(CommandError::CORRUPT_HYPERLOGLOG) }
}

/// Appends a run of registers of rank 0.
pub(super) fn push_zeros(bytes: &mut impl Extend<u8>, len: usize) {
    match len {
        0 => {}
        1..=ZEROS_MAX_LEN => bytes.extend([len as u8 - 1]),
        _ => bytes.extend([((len - 1) >> 8) as u8 | LONG_ZEROS, (len - 1) as u8]),
    }
}

/// Appends a run of registers of a rank above 0.
fn push_ranked(bytes: &mut impl Extend<u8>, rank: u8, len: usize) {
    if len > 0 {
        bytes.extend([RANKED | (rank - 1) << 2 | (len - 1) as u8]);
    }
}

/// Raises a register of a sparse HyperLogLog, `hll`, unless that makes it longer than `max_bytes`.
///
/// # Errors
/// The runs end before the register; nothing has changed.
pub(super) fn raise(
    hll: &mut Vec<u8>,
    index: usize,
    rank: u8,
    max_bytes: u64,
) -> Result<Raised, CommandError> {
    if rank > RANK_MAX {
        return Ok(Raised::TooLong);
    }
    let (mut at, mut before, mut first) = (HEADER_BYTES, HEADER_BYTES, 0);
    let run = loop {
        if at >= hll.len() {
            return Err(CommandError::CORRUPT_HYPERLOGLOG);
        }
        let run = Run::at(hll, at);
        if index < first + run.len {
            break run;
        }
        (before, at, first) = (at, at + run.bytes, first + run.len);
    };
    if run.rank >= rank {
        return Ok(Raised::No);
    }
    // At most a long run of zeros on each side.
    let mut parts = SmallVec::<[u8; 5]>::new();
    let (left, right) = (index - first, first + run.len - 1 - index);
    if run.is_ranked() {
        push_ranked(&mut parts, run.rank, left);
        push_ranked(&mut parts, rank, 1);
        push_ranked(&mut parts, run.rank, right);
    } else {
        push_zeros(&mut parts, left);
        push_ranked(&mut parts, rank, 1);
        push_zeros(&mut parts, right);
    }
    let len = hll.len() + parts.len() - run.bytes;
    if parts.len() > run.bytes && len as u64 > max_bytes {
        return Ok(Raised::TooLong);
    }
    let end = hll.len().min(at + run.bytes);
    hll.splice(at..end, parts);
    // One byte more when the run was cut off.
    hll.truncate(len);
    join(hll, before);
    invalidate_cardinality(hll);
    Ok(Raised::Yes)
}

/// Joins neighbours of the same rank, from the run at `at` on.
fn join(hll: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_RUNS {
        if at >= hll.len() {
            return;
        }
        let run = Run::at(hll, at);
        // Only a byte that begins a run is looked at: runs with a rank have one.
        let next = (run.is_ranked() && at + 1 < hll.len()).then(|| Run::at(hll, at + 1));
        match next {
            Some(next) if next.rank == run.rank && next.len + run.len <= RANKED_MAX_LEN => {
                let mut joined = SmallVec::<[u8; 1]>::new();
                push_ranked(&mut joined, run.rank, run.len + next.len);
                hll.splice(at..at + 2, joined);
            }
            _ => at += run.bytes,
        }
    }
}
