//! Sets in dump files: members one after the other, or one array of integers.

use super::ints::Ints;
use super::{Set, SetRef, SetValue, Thresholds};
use crate::raw::Kind;
use crate::types::object::Object;
use crate::types::packed::{self, Item, Packed};
use crate::types::rdb::{self, Built};
use larder_protocol::rdb::{Error, Reader, Writer, opcode};

/// Bytes of the two numbers in front of an array of integers.
const HEADER_BYTES: usize = 8;
const TWICE: &str = "a set that has a member twice";

/// Appends a set of integers.
pub fn put_ints(out: &mut Writer, bytes: &[u8]) {
    let (ints, width) = (Ints::new(bytes), u32::from(bytes[0]));
    out.joined(&[&width.to_le_bytes(), &(ints.len() as u32).to_le_bytes(), &bytes[1..]]);
}

/// Appends a small set.
pub fn put_packed(out: &mut Writer, packed: Packed<'_>) {
    out.length(packed.len() as u64);
    for item in packed.items() {
        match item {
            Item::Int(number) => out.int_string(number),
            Item::Bytes(bytes) => out.string(bytes),
        }
    }
}

/// Appends a large set.
pub fn put(out: &mut Writer, set: &Set) {
    out.length(set.len() as u64);
    set.0.iter().for_each(|member| out.string(member.key()));
}

/// Reads a set in any of its forms.
pub(in crate::types) fn read(
    reader: &mut Reader<'_>,
    kind: u8,
    thresholds: Thresholds,
) -> Result<Option<Built>, Error> {
    let value = match kind {
        opcode::SET => read_members(reader, thresholds)?,
        opcode::SET_INTSET => read_ints(reader, thresholds)?,
        _ => read_packed(reader, thresholds)?,
    };
    Ok(value.map(|value| match value {
        SetValue::Ints(bytes) => Built::Packed(Kind::SetInts, bytes),
        SetValue::Packed(bytes) => Built::Packed(Kind::SetPacked, bytes),
        SetValue::Table(set) => Built::object(Object::Set(set)),
    }))
}

fn read_members(
    reader: &mut Reader<'_>,
    thresholds: Thresholds,
) -> Result<Option<SetValue>, Error> {
    let (len, mut member) = (reader.length()?, Vec::new());
    let hint = usize::try_from(len).unwrap_or(usize::MAX);
    let mut value: Option<SetValue> = None;
    for _ in 0..len {
        reader.string_into(&mut member)?;
        let value = value.get_or_insert_with(|| SetValue::beginning(&member, hint, thresholds));
        if !value.add(&member, thresholds) {
            return Err(reader.corrupt(TWICE));
        }
    }
    Ok(value)
}

fn read_ints(reader: &mut Reader<'_>, thresholds: Thresholds) -> Result<Option<SetValue>, Error> {
    let offset = reader.offset();
    let bytes = reader.string()?;
    let bytes = ints_of(&bytes).map_err(|reason| rdb::at(offset, reason))?;
    let ints = Ints::new(&bytes);
    Ok(match ints.len() {
        0 => None,
        len if len <= thresholds.ints => Some(SetValue::Ints(bytes)),
        _ => Some(SetValue::Table(SetValue::Ints(bytes).table())),
    })
}

/// A set of integers as it is kept.
fn ints_of(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (header, array) =
        bytes.split_at_checked(HEADER_BYTES).ok_or("an array of integers without its header")?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let width = word(0);
    if !matches!(width, 2 | 4 | 8) {
        return Err("an array of integers of an unknown width");
    }
    if u64::from(word(4)) * u64::from(width) != array.len() as u64 {
        return Err("an array of integers of another length than it says");
    }
    let mut kept = Vec::with_capacity(1 + array.len());
    kept.push(width as u8);
    kept.extend_from_slice(array);
    let ints = Ints::new(&kept);
    if (1..ints.len()).any(|at| ints.get(at - 1) >= ints.get(at)) {
        return Err("an array of integers that is not in ascending order");
    }
    Ok(kept)
}

fn read_packed(reader: &mut Reader<'_>, thresholds: Thresholds) -> Result<Option<SetValue>, Error> {
    let bytes = rdb::read_listpack(reader)?;
    let packed = Packed::new(&bytes);
    if packed::has_duplicates(packed, 0) {
        return Err(reader.corrupt(TWICE));
    }
    Ok(match packed.len() {
        0 => None,
        len if len <= thresholds.packed => Some(SetValue::Packed(bytes)),
        _ => {
            let mut set = Set::default();
            SetRef::Packed(packed).each(|member| {
                set.add(&member.bytes());
            });
            Some(SetValue::Table(set))
        }
    })
}
