//! The bitmap commands.
//!
//! What writes makes the string long enough first and then counts as a change when that made it
//! longer or when a bit is another one. A BITFIELD whose writes all failed may have made its string
//! longer: no event says so, as in Redis, but the log does.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::field::{Action, Overflow, Step, Type};
use super::{Operation, combine, count_range, get, position, set};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::access::Deadline;
use crate::keyspace::notify::Classes;
use crate::raw::NewValue;
use crate::types::string::{StringRef, overwrite};
use larder_protocol::number::parse_i64;
use larder_protocol::{ArgReader, CommandError, Reply};
use std::borrow::Cow;
use std::ops::Range;

/// SETBIT key offset value
pub fn setbit<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let offset = bit_offset(call, call.args.at(2))?;
    let bit = match call.args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::BIT_VALUE),
    };
    let (before, grew) = edit(call, key, offset / 8 + 1, |bytes| {
        let before = get(bytes, offset);
        set(bytes, offset, bit);
        before
    })?;
    if grew || before != bit {
        call.changed(Classes::STRING, "setbit", key);
    }
    Ok(Reply::from(before))
}

/// GETBIT key offset
pub fn getbit<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let offset = bit_offset(call, call.args.at(2))?;
    match call.db.find(key) {
        Some(entry) => Ok(Reply::from(get(&StringRef::of(entry)?.bytes(), offset))),
        None => Ok(Reply::Int(0)),
    }
}

/// BITCOUNT key \[start end \[BYTE | BIT\]\]
pub fn bitcount<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key) = (call.args, call.key(1));
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Int(0)) };
    let bytes = StringRef::of(entry)?.bytes();
    let bits = match args.len() {
        2 => 0..bytes.len() * 8,
        4 | 5 => {
            let (start, end) = (integer(args.at(2))?, integer(args.at(3))?);
            // Both count from the end: clipping to the first bit must not make them meet there.
            if start < 0 && end < 0 && start > end {
                return Ok(Reply::Int(0));
            }
            bit_range(bytes.len(), unit_bits(args.get(4))?, start, end)
        }
        _ => return Err(CommandError::SYNTAX),
    };
    Ok(Reply::Int(count_range(&bytes, bits) as i64))
}

/// BITPOS key bit \[start \[end \[BYTE | BIT\]\]\]
pub fn bitpos<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key) = (call.args, call.key(1));
    let wanted = match integer(args.at(2))? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::BIT_ARGUMENT),
    };
    let Some(entry) = call.db.find(key) else {
        return Ok(Reply::Int(if wanted { -1 } else { 0 }));
    };
    let bytes = StringRef::of(entry)?.bytes();
    if args.len() > 6 {
        return Err(CommandError::SYNTAX);
    }
    let (mut start, mut end, mut unit) = (0, -1, 8);
    if args.len() > 3 {
        start = integer(args.at(3))?;
        // Redis reads the unit before the end, so that is whose error shows.
        unit = unit_bits(args.get(5))?;
        if args.len() > 4 {
            end = integer(args.at(4))?;
        }
    }
    let bits = bit_range(bytes.len(), unit, start, end);
    let found = match position(&bytes, bits.clone(), wanted) {
        Some(at) => at as i64,
        // Without an end, the clear bits behind the string count.
        None if !wanted && args.len() < 5 && !bits.is_empty() => bytes.len() as i64 * 8,
        None => -1,
    };
    Ok(Reply::Int(found))
}

/// BITOP AND | OR | XOR | NOT destkey key \[key ...\]
pub fn bitop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let operation = match call.args.at(1).to_ascii_lowercase().as_slice() {
        b"and" => Operation::And,
        b"or" => Operation::Or,
        b"xor" => Operation::Xor,
        b"not" => Operation::Not,
        _ => return Err(CommandError::SYNTAX),
    };
    if operation == Operation::Not && call.args.len() != 4 {
        return Err(CommandError::BITOP_NOT);
    }
    let destination = call.key(2);
    for key in call.keys().skip(1) {
        if let Some(entry) = call.db.find(key) {
            StringRef::of(entry)?;
        }
    }
    let sources: Vec<Cow<'_, [u8]>> = call
        .keys()
        .skip(1)
        .map(|key| match call.db.view(key) {
            Some(entry) => StringRef::of(entry).map(StringRef::bytes),
            None => Ok(Cow::default()),
        })
        .collect::<Result<_, _>>()?;
    let sources: Vec<&[u8]> = sources.iter().map(|source| &**source).collect();
    let result = combine(operation, &sources);
    let len = result.len();
    if len > 0 {
        call.db.set(destination, NewValue::Raw(result), Deadline::Clear);
        call.changed(Classes::STRING, "set", destination);
    } else if call.db.remove(destination) {
        call.changed(Classes::GENERIC, "del", destination);
    }
    Ok(Reply::from(len))
}

/// BITFIELD key \[GET type offset | \[OVERFLOW WRAP | SAT | FAIL\] SET type offset value | INCRBY
/// type offset increment ...\]
pub fn bitfield<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let steps = steps(call)?;
    let Some(last_bit) = last_written_bit(&steps) else { return read_fields(call, &steps) };
    let key = call.key(1);
    let (outcomes, grew) = edit(call, key, last_bit / 8 + 1, |bytes| {
        let run = |step: &Step| (step.action, step.run(bytes));
        steps.iter().map(run).collect::<Vec<_>>()
    })?;
    let mut changes = 0;
    let replies = outcomes.into_iter().map(|(action, outcome)| {
        let Some((before, after)) = outcome else { return Reply::Null };
        changes += u64::from(action != Action::Get && (grew || before != after));
        Reply::Int(if matches!(action, Action::Add(..)) { after } else { before })
    });
    let replies = replies.collect();
    if changes > 0 {
        call.changed(Classes::STRING, "setbit", key);
        call.db.changes.dirty += changes - 1;
    } else if grew {
        // All of it failed, and a string is there or longer all the same.
        call.db.changes.dirty += 1;
        call.db.touched(key);
    }
    Ok(Reply::Array(replies))
}

/// BITFIELD_RO key \[GET type offset ...\]
pub fn bitfield_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let steps = steps(call)?;
    if last_written_bit(&steps).is_some() {
        return Err(CommandError::BITFIELD_READ_ONLY);
    }
    read_fields(call, &steps)
}

fn read_fields<'c>(call: &'c mut Call<'_>, steps: &[Step]) -> CommandResult<'c> {
    let key = call.key(1);
    let bytes = match call.db.find(key) {
        Some(entry) => StringRef::of(entry)?.bytes(),
        None => Cow::default(),
    };
    Ok(Reply::array(steps.iter().map(|step| step.read(&bytes))))
}

/// The last bit that any of the steps may write, if one writes.
fn last_written_bit(steps: &[Step]) -> Option<usize> {
    steps.iter().filter(|step| step.action != Action::Get).map(|step| step.last_bit()).max()
}

/// Reads what BITFIELD is to do.
fn steps(call: &Call<'_>) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut reader = call.args.reader(2);
    while reader.has_next() {
        let left = reader.remaining() - 1;
        if left >= 2 && reader.keyword("get") {
            let (kind, offset) = field(call, &mut reader)?;
            steps.push(Step { action: Action::Get, kind, offset });
        } else if left >= 3 && reader.keyword("set") {
            let (kind, offset) = field(call, &mut reader)?;
            steps.push(Step { action: Action::Set(reader.int(), overflow), kind, offset });
        } else if left >= 3 && reader.keyword("incrby") {
            let (kind, offset) = field(call, &mut reader)?;
            steps.push(Step { action: Action::Add(reader.int(), overflow), kind, offset });
        } else if left >= 1 && reader.keyword("overflow") {
            overflow = match reader.next().to_ascii_lowercase().as_slice() {
                b"wrap" => Overflow::Wrap,
                b"sat" => Overflow::Saturate,
                b"fail" => Overflow::Fail,
                _ => return Err(CommandError::BITFIELD_OVERFLOW),
            };
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    reader.finish()?;
    Ok(steps)
}

/// Reads a type and an offset, which counts in integers of that type when a `#` stands before it.
fn field(call: &Call<'_>, reader: &mut ArgReader<'_>) -> Result<(Type, usize), CommandError> {
    let kind = field_type(reader.next()).ok_or(CommandError::BITFIELD_TYPE)?;
    let offset = match reader.next() {
        [b'#', index @ ..] => {
            let index = parse_i64(index).ok_or(CommandError::BIT_OFFSET)?;
            check_offset(call, index.checked_mul(kind.bits.into()))?
        }
        offset => bit_offset(call, offset)?,
    };
    Ok((kind, offset))
}

fn field_type(text: &[u8]) -> Option<Type> {
    let (sign, bits) = text.split_first()?;
    let (signed, most) = match sign {
        b'i' => (true, 64),
        b'u' => (false, 63),
        _ => return None,
    };
    let bits = parse_i64(bits).filter(|bits| (1..=most).contains(bits))?;
    Some(Type { signed, bits: bits as u32 })
}

/// The offset of a bit that a string may have.
fn bit_offset(call: &Call<'_>, text: &[u8]) -> Result<usize, CommandError> {
    check_offset(call, parse_i64(text))
}

fn check_offset(call: &Call<'_>, offset: Option<i64>) -> Result<usize, CommandError> {
    let offset = offset.and_then(|offset| usize::try_from(offset).ok());
    let limit_bytes = call.settings.proto_max_bulk_len_bytes;
    offset.filter(|offset| ((offset / 8) as u64) < limit_bytes).ok_or(CommandError::BIT_OFFSET)
}

fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::NOT_INTEGER)
}

/// How many bits the unit of a range has; a byte when none is given.
fn unit_bits(unit: Option<&[u8]>) -> Result<i64, CommandError> {
    match unit {
        Some(unit) if unit.eq_ignore_ascii_case(b"bit") => Ok(1),
        Some(unit) if !unit.eq_ignore_ascii_case(b"byte") => Err(CommandError::SYNTAX),
        _ => Ok(8),
    }
}

/// The bits from `start` to `end`, both inclusive and in units, of a string of `len` bytes; below
/// zero they count from the end.
fn bit_range(len: usize, unit_bits: i64, start: i64, end: i64) -> Range<usize> {
    let units = len as i64 * 8 / unit_bits;
    let from_end = |at: i64| if at < 0 { (units + at).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(units - 1));
    if start > end { 0..0 } else { (start * unit_bits) as usize..((end + 1) * unit_bits) as usize }
}

/// Changes the string under a key, made at least `len` bytes long; tells also whether it grew.
fn edit<T>(
    call: &mut Call<'_>,
    key: Key<'_>,
    len: usize,
    change: impl FnOnce(&mut [u8]) -> T,
) -> Result<(T, bool), CommandError> {
    let grow_and_change = |bytes: &mut Vec<u8>| {
        overwrite(bytes, len.max(bytes.len()), b"")?;
        Ok(change(bytes))
    };
    match call.db.find_for_write(key) {
        Some(mut entry) => {
            let grows = StringRef::of(entry.view())?.len() < len;
            let mut outcome = Err(CommandError::STRING_TOO_LONG);
            entry.edit(|bytes| outcome = grow_and_change(bytes));
            Ok((outcome?, grows))
        }
        None => {
            let mut bytes = Vec::new();
            let outcome = grow_and_change(&mut bytes)?;
            call.db.insert(key, NewValue::Raw(bytes), None);
            Ok((outcome, true))
        }
    }
}
