//! The dense encoding: six bits a register, the lowest bits of each byte first.
//!
//! Four registers fill three bytes, so these are read and written as one number.

use super::{REGISTERS, Registers};

const REGISTER_BITS: usize = 6;
const REGISTER_MASK: u32 = (1 << REGISTER_BITS) - 1;
const GROUP: usize = 4;
const GROUP_BYTES: usize = GROUP * REGISTER_BITS / 8;
/// Bytes of all registers.
pub(super) const BYTES: usize = REGISTERS * REGISTER_BITS / 8;

/// All registers in order.
pub(super) fn registers(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.as_chunks::<GROUP_BYTES>().0.iter().flat_map(|bytes| unpack(*bytes))
}

/// Appends registers.
pub(super) fn push(bytes: &mut Vec<u8>, registers: &Registers) {
    bytes.reserve_exact(BYTES);
    for group in registers.as_chunks().0 {
        bytes.extend_from_slice(&pack(*group));
    }
}

/// Raises a register; tells whether it was lower.
pub(super) fn raise(bytes: &mut [u8], index: usize, rank: u8) -> bool {
    let group = &mut bytes.as_chunks_mut::<GROUP_BYTES>().0[index / GROUP];
    let mut registers = unpack(*group);
    let register = &mut registers[index % GROUP];
    let lower = *register < rank;
    if lower {
        *register = rank;
        *group = pack(registers);
    }
    lower
}

fn unpack([a, b, c]: [u8; GROUP_BYTES]) -> [u8; GROUP] {
    let group = u32::from_le_bytes([a, b, c, 0]);
    std::array::from_fn(|at| (group >> (at * REGISTER_BITS) & REGISTER_MASK) as u8)
}

fn pack(registers: [u8; GROUP]) -> [u8; GROUP_BYTES] {
    let group = registers
        .iter()
        .rev()
        .fold(0, |group, register| group << REGISTER_BITS | u32::from(*register) & REGISTER_MASK);
    let [a, b, c, _] = group.to_le_bytes();
    [a, b, c]
}
