//! One key with its value in one allocation.
//!
//! Layout, all lengths LEB128: `meta: u32 | deadline: i64 (if flagged) | key length | key | payload`.
//! The low byte of `meta` holds the [`Kind`], the deadline flag, a flag for a hash some of whose
//! fields have deadlines and a mark that snapshots turn over, the upper 24 bits the access field (LRU
//! time or LFU counter). The payload is an `i64`, or a length and the bytes, or a pointer
//! to a shared heap string or to an object. The block's size follows from its content through
//! [`block_bytes`](super::block_bytes), so nothing stores a capacity.
//!
//! Invariant: a block is always fully described by its own bytes; every change either fits the
//! block's size class and happens in place, or moves to a new block and frees the old one.

use super::block_bytes;
use super::value::{
    Detached, HeapString, Kind, NewValue, PACKED_LEN_BYTES, Value, packed_len, read_packed,
    read_slice, varint_bytes, write_slice,
};
use crate::types::object::Object;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Blocks are aligned so that the low four bits of their address are free for the table's tag.
const ALIGN: usize = 16;
const META_BYTES: usize = 4;
const DEADLINE_BYTES: usize = 8;
const KIND_MASK: u32 = 0x1f;
const MARK_FLAG: u32 = 0x20;
const DEADLINE_FLAG: u32 = 0x40;
const FIELDS_FLAG: u32 = 0x80;
const ACCESS_SHIFT: u32 = 8;
/// The access field has 24 bits.
const ACCESS_MASK: u32 = 0x00ff_ffff;

/// A read view of an entry.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    block: NonNull<u8>,
    borrow: PhantomData<&'a [u8]>,
}

impl<'a> EntryRef<'a> {
    /// # Safety
    /// `block` must be an entry's block or a copy of its content, alive and unchanged for `'a`.
    #[inline]
    pub(super) unsafe fn new(block: NonNull<u8>) -> Self {
        Self { block, borrow: PhantomData }
    }

    /// Where its content begins.
    #[inline]
    pub(super) fn content(self) -> *const u8 {
        self.block.as_ptr()
    }

    #[inline]
    fn meta(self) -> u32 {
        // SAFETY: each block begins with the meta word and is aligned for it.
        unsafe { self.block.cast::<u32>().read() }
    }

    #[inline]
    fn key_offset(self) -> usize {
        if self.meta() & DEADLINE_FLAG == 0 { META_BYTES } else { META_BYTES + DEADLINE_BYTES }
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        // SAFETY: the key slice follows the header in every block.
        unsafe { read_slice(self.block.as_ptr().add(self.key_offset())) }
    }

    #[inline]
    fn payload(self) -> *mut u8 {
        let key = self.key();
        // The distance is computed from the block so that the pointer may reach beyond the key.
        let offset = key.as_ptr().addr() - self.block.addr().get() + key.len();
        // SAFETY: the payload follows the key inside the same block.
        unsafe { self.block.as_ptr().add(offset) }
    }

    /// How the value is stored.
    #[inline]
    pub fn kind(self) -> Kind {
        Kind::of(self.meta() & KIND_MASK)
    }

    /// When the key expires, in milliseconds since the Unix epoch.
    #[inline]
    pub fn deadline_ms(self) -> Option<i64> {
        if self.meta() & DEADLINE_FLAG == 0 {
            return None;
        }
        // SAFETY: the flag says that the deadline follows the meta word.
        Some(unsafe { self.block.as_ptr().add(META_BYTES).cast::<i64>().read_unaligned() })
    }

    /// Whether the key or some of its fields have a deadline.
    #[inline]
    pub fn is_timed(self) -> bool {
        self.meta() & (DEADLINE_FLAG | FIELDS_FLAG) != 0
    }

    /// Whether it was marked as a hash some of whose fields have deadlines.
    #[inline]
    pub fn has_field_deadlines(self) -> bool {
        self.meta() & FIELDS_FLAG != 0
    }

    /// The mark by which a snapshot tells what it has from what it still lacks.
    #[inline]
    pub fn mark(self) -> bool {
        self.meta() & MARK_FLAG != 0
    }

    /// The 24-bit access field: LRU time or LFU state, as the eviction policy reads it.
    #[inline]
    pub fn access(self) -> u32 {
        self.meta() >> ACCESS_SHIFT
    }

    /// The value.
    #[inline]
    pub fn value(self) -> Value<'a> {
        let payload = self.payload();
        match self.kind() {
            // SAFETY: an integer payload has eight bytes.
            Kind::Int => Value::Int(unsafe { payload.cast::<i64>().read_unaligned() }),
            Kind::Embedded | Kind::Inline => {
                // SAFETY: an inline payload is a length and the bytes.
                Value::Bytes(unsafe { read_slice(payload) })
            }
            Kind::Heap => Value::Heap(self.heap_string()),
            Kind::Object => Value::Object(self.object()),
            _ => Value::Packed(self.packed()),
        }
    }

    /// The bytes of a small collection, as its type packs them.
    ///
    /// # Panics
    /// When the kind is not a packed one.
    #[inline]
    pub fn packed(self) -> &'a [u8] {
        assert!(self.kind().is_packed(), "{:?} is not a packed kind", self.kind());
        // SAFETY: the payload of a packed kind is a length and the bytes.
        unsafe { read_packed(self.payload()) }
    }

    /// A large collection.
    ///
    /// # Panics
    /// When the kind is another.
    #[inline]
    pub fn object(self) -> &'a Object {
        assert!(self.kind() == Kind::Object, "{:?} is no object", self.kind());
        // SAFETY: the payload owns the box; a change to it needs the entry exclusively, which `'a`
        // excludes.
        unsafe { &*self.payload().cast::<*mut Object>().read_unaligned() }
    }

    /// The bytes of a string, in the block or on the heap; `None` for an integer-encoded
    /// one and for other types.
    #[inline]
    pub fn string_bytes(self) -> Option<&'a [u8]> {
        match self.kind() {
            // SAFETY: an inline payload is a length and the bytes.
            Kind::Embedded | Kind::Inline => Some(unsafe { read_slice(self.payload()) }),
            Kind::Heap => {
                let string = self.payload().cast::<*const Vec<u8>>();
                // SAFETY: the pointer owns one count, so the vector lives as long as the entry; a
                // change to either needs the entry exclusively, which `'a` excludes.
                Some(unsafe { &**string.read_unaligned() })
            }
            _ => None,
        }
    }

    pub(super) fn heap_string(self) -> HeapString {
        // SAFETY: a heap payload is a pointer that owns one count; the clone takes another one.
        unsafe {
            let raw = self.payload().cast::<*const Vec<u8>>().read_unaligned();
            Arc::increment_strong_count(raw);
            HeapString(Arc::from_raw(raw))
        }
    }

    /// Bytes of allocations besides the block; 0 for values inside it.
    fn heap_bytes(self) -> usize {
        match self.kind() {
            Kind::Heap => {}
            Kind::Object => return block_bytes(size_of::<Object>()) + self.object().size_bytes(),
            _ => return 0,
        }
        // SAFETY: as in `heap_string`; the vector lives as long as the entry.
        let capacity =
            unsafe { (*self.payload().cast::<*const Vec<u8>>().read_unaligned()).capacity() };
        block_bytes(capacity) + block_bytes(size_of::<Vec<u8>>() + 2 * size_of::<usize>())
    }

    /// Bytes that the block and what it owns take from the allocator.
    #[inline]
    pub fn size_bytes(self) -> usize {
        block_bytes(self.content_bytes()) + self.heap_bytes()
    }

    /// Bytes of the block that are in use.
    #[inline]
    pub(super) fn content_bytes(self) -> usize {
        let payload = self.payload();
        let payload_bytes = match self.kind() {
            Kind::Int | Kind::Heap | Kind::Object => 8,
            Kind::Embedded | Kind::Inline => {
                // SAFETY: an inline payload is a length and the bytes.
                let bytes = unsafe { read_slice(payload) };
                varint_bytes(bytes.len()) + bytes.len()
            }
            // SAFETY: the payload of a packed kind is a length and the bytes.
            _ => PACKED_LEN_BYTES + unsafe { read_packed(payload) }.len(),
        };
        payload.addr() - self.block.addr().get() + payload_bytes
    }
}

/// An entry outside a table: it owns its block.
pub struct Entry {
    block: NonNull<u8>,
}

// SAFETY: an entry is plain bytes and an atomically counted string; nothing in it is tied to a thread.
unsafe impl Send for Entry {}
// SAFETY: shared access only reads.
unsafe impl Sync for Entry {}

impl Entry {
    /// Builds an entry; `access` is the 24-bit access field.
    pub fn new(key: &[u8], value: NewValue<'_>, deadline_ms: Option<i64>, access: u32) -> Self {
        let value = value.prepare();
        let header = META_BYTES + if deadline_ms.is_some() { DEADLINE_BYTES } else { 0 };
        let key_bytes = varint_bytes(key.len()) + key.len();
        let block = allocate(header + key_bytes + value.payload_bytes());
        let mut meta = value.kind() as u32 | (access << ACCESS_SHIFT);
        // SAFETY: the block was allocated for exactly these parts.
        unsafe {
            if let Some(deadline) = deadline_ms {
                meta |= DEADLINE_FLAG;
                block.as_ptr().add(META_BYTES).cast::<i64>().write_unaligned(deadline);
            }
            block.cast::<u32>().write(meta);
            write_slice(block.as_ptr().add(header), key);
            value.write(block.as_ptr().add(header + key_bytes));
        }
        Self { block }
    }

    /// Views the entry.
    #[inline]
    pub fn view(&self) -> EntryRef<'_> {
        // SAFETY: the block is owned, so it lives and stays unchanged as long as the borrow.
        unsafe { EntryRef::new(self.block) }
    }

    /// Sets the mark of snapshots.
    #[inline]
    pub fn set_mark(&mut self, mark: bool) {
        let meta = self.view().meta() & !MARK_FLAG | if mark { MARK_FLAG } else { 0 };
        // SAFETY: the block begins with the meta word; it is owned.
        unsafe { self.block.cast::<u32>().write(meta) }
    }

    /// Gives the block away; the receiver must rebuild the entry to free it.
    #[inline]
    pub(super) fn into_block(self) -> NonNull<u8> {
        let block = self.block;
        std::mem::forget(self);
        block
    }

    /// # Safety
    /// `block` must come from `into_block` and have no other owner.
    #[inline]
    pub(super) unsafe fn from_block(block: NonNull<u8>) -> Self {
        Self { block }
    }

    /// The same entry under another key: value, deadline and access field move with it.
    pub fn renamed(self, key: &[u8]) -> Self {
        let view = self.view();
        let (content_bytes, header, payload) =
            (view.content_bytes(), view.key_offset(), view.payload());
        let payload_bytes = content_bytes - (payload.addr() - self.block.addr().get());
        let key_bytes = varint_bytes(key.len()) + key.len();
        let block = allocate(header + key_bytes + payload_bytes);
        // SAFETY: the new block was allocated for exactly these parts; the payload, pointer
        // included, moves as plain bytes, so the old block is freed without its payload.
        unsafe {
            ptr::copy_nonoverlapping(self.block.as_ptr(), block.as_ptr(), header);
            write_slice(block.as_ptr().add(header), key);
            let to = block.as_ptr().add(header + key_bytes);
            ptr::copy_nonoverlapping(payload.cast_const(), to, payload_bytes);
            free(self.into_block(), content_bytes);
        }
        Self { block }
    }

    /// A copy under another key with the deadline given; what lies on the heap is copied too.
    pub fn duplicate(view: EntryRef<'_>, key: &[u8], deadline_ms: Option<i64>) -> Self {
        let value = match view.value() {
            Value::Int(number) => NewValue::Int(number),
            Value::Bytes(bytes) if view.kind() == Kind::Embedded => NewValue::Bytes(bytes),
            Value::Bytes(bytes) => NewValue::Raw(bytes.to_vec()),
            Value::Heap(string) => NewValue::Raw(string.as_ref().to_vec()),
            Value::Packed(bytes) => NewValue::Packed(view.kind(), bytes),
            Value::Object(object) => NewValue::Object(Box::new(object.clone())),
        };
        Self::new(key, value, deadline_ms, view.access())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let view = self.view();
        let bytes = view.content_bytes();
        // SAFETY: the entry is going, and nobody looks at its payload again.
        drop(unsafe { detach(view) });
        // SAFETY: allocated by `allocate` for a content of the same size class.
        unsafe { free(self.block, bytes) }
    }
}

/// Takes what the entry owns besides its block.
///
/// # Safety
/// The payload must not be read again before it is overwritten.
#[inline]
pub(super) unsafe fn detach(view: EntryRef<'_>) -> Option<Detached> {
    match view.kind() {
        // SAFETY: a heap payload is a pointer that owns one count, which is taken over.
        Kind::Heap => Some(Detached::String(HeapString(unsafe {
            Arc::from_raw(view.payload().cast::<*const Vec<u8>>().read_unaligned())
        }))),
        // SAFETY: an object's payload is a pointer that owns its box, which is taken over.
        Kind::Object => Some(Detached::Object(unsafe {
            Box::from_raw(view.payload().cast::<*mut Object>().read_unaligned())
        })),
        _ => None,
    }
}

#[inline]
fn layout(content_bytes: usize) -> Layout {
    // A content is bounded by a key and an inline value, both below isize::MAX together.
    Layout::from_size_align(block_bytes(content_bytes), ALIGN)
        .expect("an entry fits the address space")
}

#[inline]
fn allocate(content_bytes: usize) -> NonNull<u8> {
    let layout = layout(content_bytes);
    // SAFETY: the layout is never empty: a block has at least its meta word.
    let block = unsafe { alloc(layout) };
    match NonNull::new(block) {
        Some(block) => block,
        None => handle_alloc_error(layout),
    }
}

/// # Safety
/// `block` must come from `allocate` with a content of the same size class.
#[inline]
unsafe fn free(block: NonNull<u8>, content_bytes: usize) {
    // SAFETY: by contract.
    unsafe { dealloc(block.as_ptr(), layout(content_bytes)) }
}

/// A write view of an entry inside a table.
///
/// Changes may move the block; the slot then points to the new one.
pub struct EntryMut<'a> {
    slot: &'a mut super::table::Slot,
}

impl<'a> EntryMut<'a> {
    #[inline]
    pub(super) fn new(slot: &'a mut super::table::Slot) -> Self {
        Self { slot }
    }

    /// Views the entry.
    #[inline]
    pub fn view(&self) -> EntryRef<'_> {
        // SAFETY: the slot is occupied and exclusively borrowed through `self`.
        unsafe { EntryRef::new(self.slot.block()) }
    }

    /// Turns the write view into a read view of the same lifetime.
    #[inline]
    pub fn into_view(self) -> EntryRef<'a> {
        // SAFETY: the exclusive borrow of the slot is given up for a shared one of the same length.
        unsafe { EntryRef::new(self.slot.block()) }
    }

    /// Sets the 24-bit access field.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let meta = self.view().meta() & !(ACCESS_MASK << ACCESS_SHIFT) | (access << ACCESS_SHIFT);
        // SAFETY: the block begins with the meta word; we hold it exclusively.
        unsafe { self.slot.block().cast::<u32>().write(meta) }
    }

    /// Sets the mark of snapshots.
    #[inline]
    pub fn set_mark(&mut self, mark: bool) {
        let meta = self.view().meta() & !MARK_FLAG | if mark { MARK_FLAG } else { 0 };
        // SAFETY: the block begins with the meta word; we hold it exclusively.
        unsafe { self.slot.block().cast::<u32>().write(meta) }
    }

    /// Marks a hash some of whose fields have deadlines, or takes the mark away.
    pub fn set_field_deadlines(&mut self, has: bool) {
        let meta = self.view().meta() & !FIELDS_FLAG | if has { FIELDS_FLAG } else { 0 };
        // SAFETY: the block begins with the meta word; we hold it exclusively.
        unsafe { self.slot.block().cast::<u32>().write(meta) }
    }

    /// Adds or takes the deadline, moving the block only when its size class changes.
    pub fn set_deadline_ms(&mut self, deadline_ms: Option<i64>) {
        let view = self.view();
        let block = self.slot.block();
        let (old_bytes, from) = (view.content_bytes(), view.key_offset());
        let to = META_BYTES + if deadline_ms.is_some() { DEADLINE_BYTES } else { 0 };
        let new_bytes = old_bytes - from + to;
        let meta = view.meta();
        let target = if from == to || block_bytes(old_bytes) == block_bytes(new_bytes) {
            block
        } else {
            allocate(new_bytes)
        };
        // SAFETY: both blocks hold at least their content; `copy` allows overlap; the payload,
        // pointer included, moves as plain bytes, so the old block is freed without its payload.
        unsafe {
            if from != to || target != block {
                ptr::copy(block.as_ptr().add(from), target.as_ptr().add(to), old_bytes - from);
            }
            let flag = if deadline_ms.is_some() { DEADLINE_FLAG } else { 0 };
            target.cast::<u32>().write(meta & !DEADLINE_FLAG | flag);
            if let Some(deadline) = deadline_ms {
                target.as_ptr().add(META_BYTES).cast::<i64>().write_unaligned(deadline);
            }
            if target != block {
                free(block, old_bytes);
                self.slot.set_block(target);
            }
        }
    }

    /// Replaces the value and keeps key, deadline and access field.
    ///
    /// Gives back what the old value had on the heap, so that it can be dropped off the lock.
    #[inline]
    pub fn set_value(&mut self, value: NewValue<'_>) -> Option<Detached> {
        let value = value.prepare();
        let view = self.view();
        let block = self.slot.block();
        let old_bytes = view.content_bytes();
        let prefix = view.payload().addr() - block.addr().get();
        let new_bytes = prefix + value.payload_bytes();
        let meta = view.meta() & !KIND_MASK | value.kind() as u32;
        // SAFETY: the payload is overwritten below.
        let old = unsafe { detach(view) };
        // SAFETY: the target holds the prefix and the payload; a new value never borrows from the
        // entry, which is exclusively borrowed here.
        unsafe {
            let target = if block_bytes(old_bytes) == block_bytes(new_bytes) {
                block
            } else {
                let target = allocate(new_bytes);
                ptr::copy_nonoverlapping(block.as_ptr(), target.as_ptr(), prefix);
                free(block, old_bytes);
                self.slot.set_block(target);
                target
            };
            target.cast::<u32>().write(meta);
            value.write(target.as_ptr().add(prefix));
        }
        old
    }

    /// Edits the value as a raw string; afterwards its encoding is `raw`.
    ///
    /// A heap string that no reply shares is edited where it is. When `edit` panics, the entry is
    /// whole: a heap string is as far as the edit came, any other value as before.
    pub fn edit(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        let view = self.view();
        if view.kind() == Kind::Heap {
            // Not through `value()`: the count that it takes would make the string a shared one.
            let mut taken = TakenString::new(view.payload());
            edit(Arc::make_mut(&mut taken.string));
            return;
        }
        let mut bytes = match view.value() {
            Value::Int(number) => number.to_string().into_bytes(),
            Value::Bytes(bytes) => bytes.to_vec(),
            Value::Heap(string) => string.as_ref().to_vec(),
            Value::Packed(_) | Value::Object(_) => panic!("a collection is not edited as a string"),
        };
        edit(&mut bytes);
        self.set_value(NewValue::Raw(bytes));
    }

    /// A small collection, to change.
    ///
    /// # Panics
    /// When the kind is not a packed one.
    pub fn packed_mut(&mut self) -> PackedMut<'_> {
        let kind = self.view().kind();
        assert!(kind.is_packed(), "{kind:?} is not a packed kind");
        PackedMut { slot: &mut *self.slot }
    }

    /// A large collection, to change.
    ///
    /// # Panics
    /// When the kind is another.
    pub fn object_mut(&mut self) -> &mut Object {
        let view = self.view();
        assert!(view.kind() == Kind::Object, "{:?} is no object", view.kind());
        // SAFETY: the payload owns the box, and the entry is exclusively borrowed.
        unsafe { &mut *view.payload().cast::<*mut Object>().read_unaligned() }
    }
}

/// Bytes of which a part can be exchanged for others.
pub trait Splice: AsRef<[u8]> {
    /// Puts `parts`, one after the other, in place of a range of the bytes.
    ///
    /// # Panics
    /// When the range does not lie within the bytes.
    fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]);
}

impl Splice for Vec<u8> {
    #[inline]
    fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        let (old_bytes, tail_bytes) = (self.len(), self.len() - range.end);
        let inserted: usize = parts.iter().map(|part| part.len()).sum();
        let to = range.start + inserted;
        if to > range.end {
            self.resize(to + tail_bytes, 0);
        }
        if to != range.end {
            self.copy_within(range.end..old_bytes, to);
        }
        self.truncate(to + tail_bytes);
        let mut at = range.start;
        for part in parts {
            self[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }
}

/// A small collection inside its entry's block, to change.
pub struct PackedMut<'a> {
    slot: &'a mut super::table::Slot,
}

impl AsRef<[u8]> for PackedMut<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the slot is occupied and borrowed through `self`.
        unsafe { EntryRef::new(self.slot.block()) }.packed()
    }
}

impl Splice for PackedMut<'_> {
    #[inline]
    fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        let block = self.slot.block();
        let bytes = self.as_ref();
        assert!(range.start <= range.end && range.end <= bytes.len(), "a range within the bytes");
        let inserted: usize = parts.iter().map(|part| part.len()).sum();
        let tail_bytes = bytes.len() - range.end;
        let new_len = bytes.len() - range.len() + inserted;
        let start = bytes.as_ptr().addr() - block.addr().get();
        let (old_bytes, new_bytes) = (start + bytes.len(), start + new_len);
        // SAFETY: both blocks hold at least their content; `copy` allows overlap; no part lies in
        // the block, which is exclusively borrowed here.
        unsafe {
            let moves = block_bytes(old_bytes) != block_bytes(new_bytes);
            let target = if moves { allocate(new_bytes) } else { block };
            let tail = block.as_ptr().add(start + range.end);
            if moves {
                ptr::copy_nonoverlapping(block.as_ptr(), target.as_ptr(), start + range.start);
            }
            if moves || inserted != range.len() {
                ptr::copy(tail, target.as_ptr().add(start + range.start + inserted), tail_bytes);
            }
            let len = target.as_ptr().add(start - PACKED_LEN_BYTES);
            len.cast::<u32>().write_unaligned(packed_len(new_len));
            let mut at = target.as_ptr().add(start + range.start);
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            if moves {
                free(block, old_bytes);
                self.slot.set_block(target);
            }
        }
    }
}

/// A heap string that an edit took out of its entry; it goes back at the end, be that a panic.
struct TakenString {
    payload: *mut *const Vec<u8>,
    string: ManuallyDrop<Arc<Vec<u8>>>,
}

impl TakenString {
    /// Takes over the count that the heap payload at `payload` owns; nobody may look at the entry
    /// until this is dropped, which its exclusive borrow sees to.
    fn new(payload: *mut u8) -> Self {
        let payload = payload.cast::<*const Vec<u8>>();
        // SAFETY: a heap payload is a pointer that owns one count.
        let string = unsafe { Arc::from_raw(payload.read_unaligned()) };
        Self { payload, string: ManuallyDrop::new(string) }
    }
}

impl Drop for TakenString {
    fn drop(&mut self) {
        // SAFETY: the string is taken only here; the payload gets back a pointer that owns a count.
        unsafe {
            let string = ManuallyDrop::take(&mut self.string);
            self.payload.write_unaligned(Arc::into_raw(string));
        }
    }
}
