//! The forms a value takes inside its entry's block, or behind a pointer in it.
//!
//! A string is an integer, bytes in the block, or a shared heap string. A small collection lies in
//! the block as bytes that its type packs; a large one is a boxed [`Object`] that the entry owns.

use crate::types::object::Object;
use bytes::Bytes;
use std::ptr;
use std::sync::Arc;

/// Largest raw string in bytes that is kept inside the entry's own block. Above it, a value is a
/// reference-counted heap string: replies can share it, and it is freed off the lock.
pub const INLINE_MAX_BYTES: usize = 1024;
/// Longest string in bytes that OBJECT ENCODING calls `embstr`, as in Redis.
const EMBEDDED_MAX_BYTES: usize = 44;
/// Bytes of the length in front of packed bytes: fixed, so that they can grow where they are.
pub(super) const PACKED_LEN_BYTES: usize = 4;

/// How an entry's payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A string that is a canonical 64-bit integer.
    Int = 0,
    /// A short string that has never been edited in place.
    Embedded = 1,
    /// A longer or edited string inside the block.
    Inline = 2,
    /// A string on the heap.
    Heap = 3,
    /// A small list.
    ListPacked = 4,
    /// A small hash.
    HashPacked = 5,
    /// A small hash whose fields have deadlines.
    HashPackedTtl = 6,
    /// A small set of integers.
    SetInts = 7,
    /// A small set.
    SetPacked = 8,
    /// A small sorted set.
    ZsetPacked = 9,
    /// A large collection, or any stream.
    Object = 10,
}

impl Kind {
    pub(super) fn of(bits: u32) -> Self {
        match bits {
            0 => Self::Int,
            1 => Self::Embedded,
            2 => Self::Inline,
            3 => Self::Heap,
            4 => Self::ListPacked,
            5 => Self::HashPacked,
            6 => Self::HashPackedTtl,
            7 => Self::SetInts,
            8 => Self::SetPacked,
            9 => Self::ZsetPacked,
            _ => Self::Object,
        }
    }

    /// Whether the value is a collection that lies in the entry's block.
    #[inline]
    pub fn is_packed(self) -> bool {
        (Self::ListPacked as u8..=Self::ZsetPacked as u8).contains(&(self as u8))
    }

    /// Whether the value is a string.
    #[inline]
    pub fn is_string(self) -> bool {
        self as u8 <= Self::Heap as u8
    }
}

/// A reference-counted heap string; cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct HeapString(pub(super) Arc<Vec<u8>>);

impl HeapString {
    /// The string as reply bytes that share this allocation.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }
}

impl AsRef<[u8]> for HeapString {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A value as it stands in an entry.
#[derive(Debug)]
pub enum Value<'a> {
    /// An integer-encoded string.
    Int(i64),
    /// A string inside the block.
    Bytes(&'a [u8]),
    /// A string on the heap.
    Heap(HeapString),
    /// A collection inside the block, as its type packs it.
    Packed(&'a [u8]),
    /// A collection on the heap.
    Object(&'a Object),
}

/// What an entry owned outside its block, given back so that it can be dropped off the lock.
#[derive(Debug)]
pub enum Detached {
    /// A heap string.
    String(HeapString),
    /// A collection.
    Object(Box<Object>),
}

/// A value to be stored.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// An integer-encoded string.
    Int(i64),
    /// A string as set by a client: `embstr` when short.
    Bytes(&'a [u8]),
    /// A string that was edited: `raw` whatever its length, as in Redis.
    Raw(Vec<u8>),
    /// An existing heap string, shared.
    Heap(HeapString),
    /// A small collection of a packed kind.
    Packed(Kind, &'a [u8]),
    /// A large collection.
    Object(Box<Object>),
}

impl<'a> NewValue<'a> {
    /// The most compact encoding of `bytes`: integer, embedded or raw.
    #[inline]
    pub fn string(bytes: &'a [u8]) -> Self {
        // The longest i64 has 20 characters; most strings are ruled out by their first byte.
        if bytes.len() <= 20
            && bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
            && let Some(number) = larder_protocol::number::parse_i64(bytes)
        {
            return Self::Int(number);
        }
        Self::Bytes(bytes)
    }

    pub(super) fn prepare(self) -> Prepared<'a> {
        match self {
            Self::Int(number) => Prepared::Int(number),
            Self::Bytes(bytes) if bytes.len() <= EMBEDDED_MAX_BYTES => {
                Prepared::Inline(Kind::Embedded, bytes)
            }
            Self::Bytes(bytes) if bytes.len() <= INLINE_MAX_BYTES => {
                Prepared::Inline(Kind::Inline, bytes)
            }
            Self::Bytes(bytes) => Prepared::Heap(HeapString(Arc::new(bytes.to_vec()))),
            Self::Raw(bytes) if bytes.len() <= INLINE_MAX_BYTES => Prepared::Edited(bytes),
            Self::Raw(bytes) => Prepared::Heap(HeapString(Arc::new(bytes))),
            Self::Heap(string) => Prepared::Heap(string),
            Self::Packed(kind, bytes) => {
                assert!(kind.is_packed(), "{kind:?} is not a packed kind");
                Prepared::Packed(kind, bytes)
            }
            Self::Object(object) => Prepared::Object(object),
        }
    }
}

/// A new value whose place is decided.
pub(super) enum Prepared<'a> {
    Int(i64),
    Inline(Kind, &'a [u8]),
    Edited(Vec<u8>),
    Heap(HeapString),
    Packed(Kind, &'a [u8]),
    Object(Box<Object>),
}

impl Prepared<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Int(_) => Kind::Int,
            Self::Inline(kind, _) | Self::Packed(kind, _) => *kind,
            Self::Edited(_) => Kind::Inline,
            Self::Heap(_) => Kind::Heap,
            Self::Object(_) => Kind::Object,
        }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Int(_) | Self::Heap(_) | Self::Object(_) => 8,
            Self::Packed(_, bytes) => PACKED_LEN_BYTES + bytes.len(),
            Self::Inline(_, bytes) => varint_bytes(bytes.len()) + bytes.len(),
            Self::Edited(bytes) => varint_bytes(bytes.len()) + bytes.len(),
        }
    }

    /// # Safety
    /// `at` must be valid for writes of `payload_bytes()` bytes, none of which `self` borrows.
    pub(super) unsafe fn write(self, at: *mut u8) {
        match self {
            // SAFETY: the caller vouches for eight writable bytes.
            Self::Int(number) => unsafe { at.cast::<i64>().write_unaligned(number) },
            Self::Heap(string) => {
                // SAFETY: the caller vouches for eight writable bytes; the entry now owns the count.
                unsafe { at.cast::<*const Vec<u8>>().write_unaligned(Arc::into_raw(string.0)) }
            }
            Self::Object(object) => {
                // SAFETY: the caller vouches for eight writable bytes; the entry now owns the box.
                unsafe { at.cast::<*mut Object>().write_unaligned(Box::into_raw(object)) }
            }
            Self::Packed(_, bytes) => {
                let len = packed_len(bytes.len());
                // SAFETY: the caller vouches for length and bytes.
                unsafe {
                    at.cast::<u32>().write_unaligned(len);
                    ptr::copy_nonoverlapping(bytes.as_ptr(), at.add(PACKED_LEN_BYTES), bytes.len());
                }
            }
            // SAFETY: the caller vouches for length and bytes.
            Self::Inline(_, bytes) => unsafe { write_slice(at, bytes) },
            // SAFETY: as above.
            Self::Edited(bytes) => unsafe { write_slice(at, &bytes) },
        }
    }
}

/// The length of packed bytes as it is stored.
pub(super) fn packed_len(bytes: usize) -> u32 {
    // Types turn to objects at thresholds far below; a client cannot send 4 GB in one command.
    u32::try_from(bytes).expect("a packed collection has less than 4 GB")
}

/// # Safety
/// `at` must point to a length and as many packed bytes, alive for `'a` and not written meanwhile.
#[inline]
pub(super) unsafe fn read_packed<'a>(at: *const u8) -> &'a [u8] {
    // SAFETY: by contract.
    unsafe {
        let len = at.cast::<u32>().read_unaligned() as usize;
        std::slice::from_raw_parts(at.add(PACKED_LEN_BYTES), len)
    }
}

#[inline]
pub(super) fn varint_bytes(value: usize) -> usize {
    if value < 0x80 { 1 } else { (value.ilog2() as usize) / 7 + 1 }
}

/// # Safety
/// `at` must be valid for writes of `varint_bytes(bytes.len()) + bytes.len()` bytes outside `bytes`.
#[inline]
pub(super) unsafe fn write_slice(mut at: *mut u8, bytes: &[u8]) {
    let mut rest = bytes.len();
    while rest >= 0x80 {
        // SAFETY: within the range the caller vouches for.
        unsafe {
            at.write((rest as u8) | 0x80);
            at = at.add(1);
        }
        rest >>= 7;
    }
    // SAFETY: as above; the ranges do not overlap by contract.
    unsafe {
        at.write(rest as u8);
        ptr::copy_nonoverlapping(bytes.as_ptr(), at.add(1), bytes.len());
    }
}

/// # Safety
/// `at` must point to what `write_slice` wrote, alive for `'a` and not written meanwhile.
#[inline]
pub(super) unsafe fn read_slice<'a>(mut at: *const u8) -> &'a [u8] {
    // SAFETY: a well-formed length of at most ten bytes followed by that many bytes.
    unsafe {
        let first = at.read();
        at = at.add(1);
        let mut len = usize::from(first & 0x7f);
        if first & 0x80 != 0 {
            let mut shift = 7;
            loop {
                let next = at.read();
                at = at.add(1);
                len |= usize::from(next & 0x7f) << shift;
                if next & 0x80 == 0 {
                    break;
                }
                shift += 7;
            }
        }
        std::slice::from_raw_parts(at, len)
    }
}
