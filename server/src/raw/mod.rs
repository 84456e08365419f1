//! The only unsafe code of the server: the packed entry and the table that indexes it.
//!
//! Both trade a typed layout for bytes. An [`entry`] keeps a header, an optional deadline, the key
//! and a small value in one allocation behind a thin pointer; the [`table`] keeps those pointers in
//! cache-line buckets and hides part of the key's hash in the pointer bits that a process never uses.
//! What leaves this module is safe: views borrow from the table, owners free what they own.
#![allow(unsafe_code)]

mod copies;
mod entry;
pub mod lua;
mod table;
mod value;

pub use copies::Copies;
pub use entry::{Entry, EntryMut, EntryRef, PackedMut, Splice};
pub use table::{Position, TAG_BITS, Table};
pub use value::{Detached, HeapString, INLINE_MAX_BYTES, Kind, NewValue, Value};

#[cfg(test)]
mod collection_tests;
#[cfg(test)]
mod tests;

/// Size in bytes of the block an allocator with mimalloc's size classes hands out for `bytes`.
///
/// Sixteen-byte steps up to 64 bytes, then four steps to each doubling. Entries are allocated at
/// exactly this size, so that a value may grow into the slack of its block and `used_memory`
/// counts what the process really pays.
#[inline]
pub fn block_bytes(bytes: usize) -> usize {
    if bytes <= 64 {
        return (bytes + 15) & !15;
    }
    let step = 1usize << ((bytes - 1).ilog2() - 2);
    (bytes + step - 1) & !(step - 1)
}
