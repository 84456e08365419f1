//! HyperLogLogs: approximate cardinalities kept in strings.
//!
//! The bytes are Redis's, bit by bit: a header of 16 bytes (`HYLL`, the encoding, the cardinality that
//! was last computed) and 16384 registers, packed to six bits each ([`dense`]) or as runs of equal
//! ones ([`sparse`]). A client can store any bytes as a string, so everything here takes them as a
//! stranger's: what [`Encoding::of`] let pass may still be corrupt, which the functions then say.

pub mod commands;
mod dense;
mod estimate;
mod hash;
mod selftest;
mod sparse;
pub mod table;

use larder_protocol::CommandError;

/// How many registers there are.
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of an element's hash that choose its register.
const INDEX_BITS: u32 = 14;
/// Bits of the hash in which a register counts zeros.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
/// Where the cardinality stands, low byte first; its highest bit says that it is out of date.
const CARDINALITY_AT: usize = 8;
const OUT_OF_DATE: u8 = 0x80;

/// The registers as one byte each.
type Registers = [u8; REGISTERS];

/// How the registers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Dense = 0,
    Sparse = 1,
}

impl Encoding {
    /// The encoding that a string's header tells.
    ///
    /// # Errors
    /// The string is no HyperLogLog.
    fn of(bytes: &[u8]) -> Result<Self, CommandError> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
            return Err(CommandError::NOT_HYPERLOGLOG);
        }
        match bytes[ENCODING_AT] {
            0 if bytes.len() == HEADER_BYTES + dense::BYTES => Ok(Self::Dense),
            1 => Ok(Self::Sparse),
            _ => Err(CommandError::NOT_HYPERLOGLOG),
        }
    }
}

/// A HyperLogLog without elements.
fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = Encoding::Sparse as u8;
    sparse::push_zeros(&mut bytes, REGISTERS);
    bytes
}

/// Adds an element; tells whether a register changed. A sparse one that would become longer than
/// `sparse_max_bytes` becomes dense.
///
/// # Errors
/// The bytes are no HyperLogLog, or a corrupt one.
fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_max_bytes: u64) -> Result<bool, CommandError> {
    let (index, rank) = hash::register(element);
    raise(bytes, index, rank, sparse_max_bytes)
}

/// Raises a register; tells whether it was lower.
fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    rank: u8,
    sparse_max_bytes: u64,
) -> Result<bool, CommandError> {
    if Encoding::of(bytes)? == Encoding::Sparse {
        match sparse::raise(bytes, index, rank, sparse_max_bytes)? {
            sparse::Raised::No => return Ok(false),
            sparse::Raised::Yes => return Ok(true),
            sparse::Raised::TooLong => make_dense(bytes)?,
        }
    }
    Ok(dense::raise(&mut bytes[HEADER_BYTES..], index, rank))
}

/// Changes a sparse one to a dense one; the header stays.
fn make_dense(bytes: &mut Vec<u8>) -> Result<(), CommandError> {
    if Encoding::of(bytes)? == Encoding::Dense {
        return Ok(());
    }
    let mut registers = [0; REGISTERS];
    sparse::merge(&mut registers, &bytes[HEADER_BYTES..], false)?;
    set_dense(bytes, &registers);
    Ok(())
}

/// Replaces the registers by these, densely encoded; the rest of the header stays.
fn set_dense(bytes: &mut Vec<u8>, registers: &Registers) {
    bytes[ENCODING_AT] = Encoding::Dense as u8;
    bytes.resize(HEADER_BYTES + dense::BYTES, 0);
    dense::set(&mut bytes[HEADER_BYTES..], registers);
}

/// Raises each of `registers` to that of a HyperLogLog; `obeys` a primary that takes broken ones.
fn merge(registers: &mut Registers, bytes: &[u8], obeys: bool) -> Result<(), CommandError> {
    match Encoding::of(bytes)? {
        Encoding::Dense => {
            let others = dense::registers(&bytes[HEADER_BYTES..]);
            registers.iter_mut().zip(&others).for_each(|(own, other)| *own = *other.max(own));
            Ok(())
        }
        Encoding::Sparse => sparse::merge(registers, &bytes[HEADER_BYTES..], obeys),
    }
}

/// Estimates how many elements were added.
fn count(bytes: &[u8]) -> Result<u64, CommandError> {
    let mut histogram = estimate::Histogram::default();
    match Encoding::of(bytes)? {
        Encoding::Dense => histogram.add_all(&dense::registers(&bytes[HEADER_BYTES..])),
        Encoding::Sparse => {
            let mut total = 0;
            for run in sparse::runs(&bytes[HEADER_BYTES..]) {
                histogram.add(run.rank, run.len);
                total += run.len;
            }
            if total != REGISTERS {
                return Err(CommandError::CORRUPT_HYPERLOGLOG);
            }
        }
    }
    Ok(histogram.estimate())
}

/// The cardinality in the header, unless it is out of date.
fn cardinality(bytes: &[u8]) -> Option<u64> {
    let (_, cardinality) = bytes[..HEADER_BYTES].split_last_chunk()?;
    Some(u64::from_le_bytes(*cardinality)).filter(|cardinality| cardinality >> 63 == 0)
}

fn set_cardinality(bytes: &mut [u8], cardinality: u64) {
    bytes[CARDINALITY_AT..HEADER_BYTES].copy_from_slice(&cardinality.to_le_bytes());
}

fn invalidate_cardinality(bytes: &mut [u8]) {
    bytes[HEADER_BYTES - 1] |= OUT_OF_DATE;
}

#[cfg(test)]
mod tests;
