//! Strings: bytes under a key, whatever their encoding.
//!
//! A string that reads as a 64-bit integer is stored as one, a short one lies in its entry's block,
//! a long one on the heap ([`crate::raw`] decides). This room hides that: [`StringRef`] reads any of
//! them as bytes, as a number, or as a reply, and [`overwrite`] edits the bytes of one that grows.
//! Who may call what is in [`commands`].
//!
//! Invariant: a reply never copies a string that it can borrow, and never holds its shard for a
//! large one.

pub mod commands;
mod lcs;
mod options;
pub mod rdb;
pub mod table;

use crate::node::shared::Shared;
use crate::raw::{EntryRef, Value};
use larder_protocol::number::parse_i64;
use larder_protocol::reply::Digits;
use larder_protocol::{CommandError, Reply};
use std::borrow::Cow;
use std::ops::Range;

/// Heap strings of at least this many bytes are shared with the reply: the socket may take long to
/// drain them, and a copy would cost more than the reference.
const SHARED_MIN_BYTES: usize = 16 * 1024;
/// `proto-max-bulk-len` cannot be set lower, so up to here no limit has to be looked up.
const LIMIT_MIN_BYTES: usize = 1024 * 1024;
/// Up to this size a string that grows doubles its room; beyond, it gets this much ahead.
const GROWTH_STEP_BYTES: usize = 1024 * 1024;

/// A stored string, to read.
#[derive(Clone, Copy)]
pub struct StringRef<'a>(EntryRef<'a>);

/// What a string consists of.
enum Content<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> StringRef<'a> {
    /// The string in an entry.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Result<Self, CommandError> {
        if entry.kind().is_string() { Ok(Self(entry)) } else { Err(CommandError::WRONG_TYPE) }
    }

    #[inline]
    fn content(self) -> Content<'a> {
        // A heap string's value counts a reference, so its bytes are asked for first.
        match self.0.string_bytes() {
            Some(bytes) => Content::Bytes(bytes),
            None => match self.0.value() {
                Value::Int(number) => Content::Int(number),
                _ => unreachable!("every other string has bytes"),
            },
        }
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        match self.content() {
            Content::Int(number) => Digits::new(number).as_bytes().len(),
            Content::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it has no byte.
    pub fn is_empty(self) -> bool {
        matches!(self.content(), Content::Bytes(b""))
    }

    /// Its bytes; built only for an integer.
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self.content() {
            Content::Int(number) => Cow::Owned(number.to_string().into_bytes()),
            Content::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// Its value as an integer.
    ///
    /// # Errors
    /// The bytes are no canonical 64-bit integer.
    #[inline]
    pub fn integer(self) -> Result<i64, CommandError> {
        match self.content() {
            Content::Int(number) => Ok(number),
            Content::Bytes(bytes) => parse_i64(bytes).ok_or(CommandError::NOT_INTEGER),
        }
    }

    /// The reply that gives it, borrowed from the entry or shared with it.
    #[inline]
    pub fn reply(self) -> Reply<'a> {
        match self.content() {
            Content::Int(number) => Reply::digits(number),
            Content::Bytes(bytes) if bytes.len() < SHARED_MIN_BYTES => Reply::Bulk(bytes),
            Content::Bytes(_) => self.reply_that_stays(),
        }
    }

    /// The reply that gives it and is not disturbed when the entry changes.
    pub fn reply_that_stays(self) -> Reply<'static> {
        match self.0.value() {
            Value::Int(number) => Reply::digits(number),
            Value::Bytes(bytes) => Reply::Owned(bytes.to_vec()),
            Value::Heap(string) => Reply::shared(string.to_bytes()),
            Value::Packed(_) | Value::Object(_) => unreachable!("a string was looked at"),
        }
    }

    /// The reply that gives the part between two positions, both inclusive; below zero they count
    /// from the end.
    pub fn range_reply(self, start: i64, end: i64) -> Reply<'a> {
        let Some(range) = range_of(self.len(), start, end) else { return Reply::Bulk(b"") };
        match self.content() {
            Content::Int(number) => Reply::Owned(Digits::new(number).as_bytes()[range].to_vec()),
            Content::Bytes(bytes) if range.len() < SHARED_MIN_BYTES => Reply::Bulk(&bytes[range]),
            Content::Bytes(bytes) => match self.0.value() {
                Value::Heap(string) => Reply::shared(string.to_bytes().slice(range)),
                _ => Reply::Bulk(&bytes[range]),
            },
        }
    }
}

/// The positions from `start` to `end`, both inclusive, in something of `len` items; `None` when
/// there are none.
fn range_of(len: usize, start: i64, end: i64) -> Option<Range<usize>> {
    // No string comes near this length, so the sums below cannot overflow.
    let len = i64::try_from(len).ok()?;
    let from_end = |position: i64| if position < 0 { (len + position).max(0) } else { position };
    // Both count from the end: clipping to the first byte must not make them meet there.
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    (start <= end).then(|| start as usize..end as usize + 1)
}

/// Refuses a string that would be longer than `proto-max-bulk-len`.
fn check_length(node: &Shared, bytes: usize) -> Result<(), CommandError> {
    if bytes > LIMIT_MIN_BYTES && bytes as u64 > node.config.load().proto_max_bulk_len_bytes {
        return Err(CommandError::STRING_TOO_LONG);
    }
    Ok(())
}

/// Writes `value` into `bytes` from `offset` on; a gap before it is filled with zeros.
///
/// The caller has checked the length. Memory that cannot be had leaves the bytes as they were.
pub(super) fn overwrite(
    bytes: &mut Vec<u8>,
    offset: usize,
    value: &[u8],
) -> Result<(), CommandError> {
    let end = offset.checked_add(value.len()).ok_or(CommandError::STRING_TOO_LONG)?;
    let more = end.saturating_sub(bytes.len());
    let reserved = if end < GROWTH_STEP_BYTES {
        bytes.try_reserve(more)
    } else if end > bytes.capacity() {
        bytes.try_reserve_exact(more.saturating_add(GROWTH_STEP_BYTES))
    } else {
        Ok(())
    };
    reserved.map_err(|_| CommandError::STRING_TOO_LONG)?;
    if more > value.len() {
        bytes.resize(offset, 0);
    }
    let (over, beyond) = value.split_at(value.len() - more.min(value.len()));
    bytes[offset..offset + over.len()].copy_from_slice(over);
    bytes.extend_from_slice(beyond);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
