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

/// Reads all registers.
pub(super) fn registers(bytes: &[u8]) -> Registers {
    let mut registers = [0; REGISTERS];
    let groups = bytes.as_chunks::<GROUP_BYTES>().0;
    for (group, bytes) in registers.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
        *group = unpack(*bytes);
    }
    registers
}

/// Writes all registers.
pub(super) fn set(bytes: &mut [u8], registers: &Registers) {
    let groups = bytes.as_chunks_mut::<GROUP_BYTES>().0;
    for (bytes, group) in groups.iter_mut().zip(registers.as_chunks::<GROUP>().0) {
        *bytes = pack(*group);
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
