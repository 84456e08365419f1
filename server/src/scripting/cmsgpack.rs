//! The library `cmsgpack`: MessagePack and Lua values.
//!
//! Declared lengths are only trusted as far as there are bytes: nothing is allocated by them.

use super::convert::truncate;
use crate::raw::lua::{Function, Kind, Raise, Stack};

/// Nesting beyond which tables are packed as nil.
const PACK_DEPTH_MAX: usize = 16;
/// Nesting beyond which nothing is unpacked: each level takes a frame.
const UNPACK_DEPTH_MAX: usize = 1000;

/// Fills the table on top.
pub(super) fn add(stack: &mut Stack<'_>) {
    let functions: [(&str, Function); 4] = [
        ("pack", pack),
        ("unpack", unpack),
        ("unpack_one", unpack_one),
        ("unpack_limit", unpack_limit),
    ];
    for (name, function) in functions {
        stack.push_function(function);
        stack.set_field(-2, name);
    }
    let facts = [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ];
    for (name, text) in facts {
        stack.push_bytes(text.as_bytes());
        stack.set_field(-2, name);
    }
}

fn pack(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let count = stack.top();
    if count == 0 {
        return Err(stack.raise_argument(0, "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    let bytes_max = stack.bytes_left();
    for at in 1..=count {
        stack.push_copy(at);
        pack_value(stack, &mut out, bytes_max, 0)?;
        stack.pop(1);
    }
    stack.push_bytes(&out);
    Ok(1)
}

/// Appends the topmost value, which stays.
fn pack_value(
    stack: &mut Stack<'_>,
    out: &mut Vec<u8>,
    bytes_max: usize,
    depth: usize,
) -> Result<(), Raise> {
    if out.len() > bytes_max || !stack.reserve(6) {
        return Err(stack.raise_text("not enough memory"));
    }
    match stack.kind(-1) {
        Kind::String => pack_bytes(out, stack.bytes(-1).unwrap_or_default()),
        Kind::Boolean => out.push(if stack.truth(-1) { 0xc3 } else { 0xc2 }),
        Kind::Number => pack_number(out, stack.number(-1).unwrap_or_default()),
        Kind::Table if depth < PACK_DEPTH_MAX => pack_table(stack, out, bytes_max, depth + 1)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn pack_table(
    stack: &mut Stack<'_>,
    out: &mut Vec<u8>,
    bytes_max: usize,
    depth: usize,
) -> Result<(), Raise> {
    let (count, is_array) = survey(stack);
    if is_array {
        let length = stack.length(-1);
        pack_count(out, length, 0x90, 0xdc);
        for index in 1..=length {
            stack.get_item(-1, index as i32);
            pack_value(stack, out, bytes_max, depth)?;
            stack.pop(1);
        }
        return Ok(());
    }
    pack_count(out, count, 0x80, 0xde);
    stack.push_nil();
    while stack.next(-2) {
        stack.push_copy(-2);
        pack_value(stack, out, bytes_max, depth)?;
        stack.pop(1);
        pack_value(stack, out, bytes_max, depth)?;
        stack.pop(1);
    }
    Ok(())
}

/// How many keys the topmost table has, and whether they are the indexes from 1 on.
fn survey(stack: &mut Stack<'_>) -> (usize, bool) {
    let (mut count, mut max, mut is_array) = (0_usize, 0.0_f64, true);
    stack.push_nil();
    while stack.next(-2) {
        let index = match stack.kind(-2) {
            Kind::Number => stack
                .number(-2)
                .filter(|key| *key > 0.0 && key.fract() == 0.0 && *key <= f64::from(i32::MAX)),
            _ => None,
        };
        match index {
            Some(index) => max = max.max(index),
            None => is_array = false,
        }
        count += 1;
        stack.pop(1);
    }
    (count, is_array && max == count as f64)
}

fn pack_count(out: &mut Vec<u8>, count: usize, fixed: u8, sized: u8) {
    match count {
        0..=15 => out.push(fixed | count as u8),
        16..=0xffff => {
            out.push(sized);
            out.extend_from_slice(&(count as u16).to_be_bytes());
        }
        _ => {
            out.push(sized + 1);
            out.extend_from_slice(&(count as u32).to_be_bytes());
        }
    }
}

fn pack_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xdb);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

fn pack_number(out: &mut Vec<u8>, number: f64) {
    let integer = truncate(number);
    if number.is_finite() && integer as f64 == number {
        return pack_integer(out, integer);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn pack_integer(out: &mut Vec<u8>, integer: i64) {
    let bytes = integer.to_be_bytes();
    let (mark, len) = match integer {
        -32..=127 => return out.push(integer as u8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -128..=-33 => (0xd0, 1),
        -32768..=-129 => (0xd1, 2),
        -2_147_483_648..=-32769 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(mark);
    out.extend_from_slice(&bytes[8 - len..]);
}

fn unpack(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    unpack_some(stack, 0, 0)
}

fn optional_integer(stack: &mut Stack<'_>, at: i32) -> Result<i64, Raise> {
    match stack.kind(at) {
        Kind::None | Kind::Nil => Ok(0),
        _ => stack.check_integer(at),
    }
}

fn unpack_one(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let offset = optional_integer(stack, 2)?;
    keep_first(stack);
    unpack_some(stack, 1, offset)
}

fn unpack_limit(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let limit = stack.check_integer(2)?;
    let offset = optional_integer(stack, 3)?;
    keep_first(stack);
    unpack_some(stack, limit, offset)
}

fn keep_first(stack: &mut Stack<'_>) {
    if stack.top() > 1 {
        stack.set_top(1);
    }
}

/// Unpacks up to `limit` values from `offset` on, all when both are zero; the next offset comes
/// first unless all are asked for.
fn unpack_some(stack: &mut Stack<'_>, limit: i64, offset: i64) -> Result<i32, Raise> {
    let is_all = limit == 0 && offset == 0;
    let text = stack.check_bytes(1)?.to_vec();
    if offset < 0 || limit < 0 {
        return Err(stack.raise_text(format!(
            "Invalid request to unpack with offset of {} and limit of {}.",
            offset as i32,
            text.len() as i32
        )));
    }
    let Some(bytes) = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)) else {
        return Err(stack.raise_text(format!(
            "Start offset {} greater than input length {}.",
            offset as i32,
            text.len() as i32
        )));
    };
    let limit = if is_all { i64::from(i32::MAX) } else { limit };
    let mut cursor = Cursor { bytes };
    let mut count = 0;
    while !cursor.bytes.is_empty() && i64::from(count) < limit {
        match cursor.value(stack, 0) {
            Ok(()) => {}
            Err(Bad::Missing) => return Err(stack.raise_text("Missing bytes in input.")),
            Err(Bad::Format) => return Err(stack.raise_text("Bad data format in input.")),
            Err(Bad::TooLarge) => return Err(stack.raise_text("not enough memory")),
            Err(Bad::TooMany) => {
                return Err(stack.raise_text(
                    "stack overflow (too many return values at once; use unpack_one or \
                     unpack_limit instead.)",
                ));
            }
        }
        count += 1;
    }
    if !is_all {
        let left = cursor.bytes.len();
        let next = if left == 0 { -1.0 } else { (text.len() - left) as f64 };
        if !stack.reserve(1) {
            return Err(stack.raise_text("stack overflow (in function mp_unpack_full)"));
        }
        stack.push_number(next);
        stack.insert(2);
        count += 1;
    }
    Ok(count)
}

/// Why bytes cannot be unpacked.
enum Bad {
    Missing,
    Format,
    TooMany,
    TooLarge,
}

struct Cursor<'b> {
    bytes: &'b [u8],
}

impl<'b> Cursor<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], Bad> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Bad::Missing)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// An unsigned number of `len` bytes, at most 8.
    fn number(&mut self, len: usize) -> Result<u64, Bad> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> Result<i64, Bad> {
        let unused = 64 - len as u32 * 8;
        Ok((self.number(len)? << unused) as i64 >> unused)
    }

    /// Pushes the next value.
    fn value(&mut self, stack: &mut Stack<'_>, depth: usize) -> Result<(), Bad> {
        if depth > UNPACK_DEPTH_MAX || !stack.reserve(6) {
            return Err(Bad::TooMany);
        }
        if stack.bytes_left() == 0 {
            return Err(Bad::TooLarge);
        }
        let mark = self.take(1)?[0];
        match mark {
            0x00..=0x7f => stack.push_number(f64::from(mark)),
            0xe0..=0xff => stack.push_number(f64::from(mark as i8)),
            0xcc..=0xce => stack.push_number(self.number(1 << (mark - 0xcc))? as f64),
            // As a signed number, which is what Lua 5.1 is given.
            0xcf => stack.push_number(self.number(8)? as i64 as f64),
            0xd0..=0xd3 => stack.push_number(self.signed(1 << (mark - 0xd0))? as f64),
            0xc0 => stack.push_nil(),
            0xc2 | 0xc3 => stack.push_bool(mark == 0xc3),
            0xca => stack.push_number(f64::from(f32::from_bits(self.number(4)? as u32))),
            0xcb => stack.push_number(f64::from_bits(self.number(8)?)),
            0xa0..=0xbf => stack.push_bytes(self.take(usize::from(mark & 0x1f))?),
            0xd9..=0xdb => {
                let len = self.number(1 << (mark - 0xd9))? as usize;
                stack.push_bytes(self.take(len)?);
            }
            0x90..=0x9f => return self.array(stack, u64::from(mark & 0xf), depth),
            0x80..=0x8f => return self.map(stack, u64::from(mark & 0xf), depth),
            0xdc | 0xdd => {
                let len = self.number(2 << (mark - 0xdc))?;
                return self.array(stack, len, depth);
            }
            0xde | 0xdf => {
                let len = self.number(2 << (mark - 0xde))?;
                return self.map(stack, len, depth);
            }
            _ => return Err(Bad::Format),
        }
        Ok(())
    }

    fn array(&mut self, stack: &mut Stack<'_>, len: u64, depth: usize) -> Result<(), Bad> {
        stack.push_table(0, 0);
        for index in 1..=len {
            self.value(stack, depth + 1)?;
            // A length that is not there ends at the first missing item.
            stack.set_item(-2, i32::try_from(index).map_err(|_| Bad::TooMany)?);
        }
        Ok(())
    }

    fn map(&mut self, stack: &mut Stack<'_>, len: u64, depth: usize) -> Result<(), Bad> {
        stack.push_table(0, 0);
        for _ in 0..len {
            self.value(stack, depth + 1)?;
            self.value(stack, depth + 1)?;
            stack.set(-3);
        }
        Ok(())
    }
}
