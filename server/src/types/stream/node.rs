//! A node: some neighbouring entries as one run of bytes.
//!
//! In front stand the fields of the first entry, which mostly are those of all others: such an
//! entry holds its values only. An entry is a byte of flags and sizes, its ID as the difference
//! from the node's, its parts as a packed sequence encodes them, and its own length, so that it is
//! found from its end. A deleted one is marked and stays.
//!
//! Nodes fill up exactly where Redis's do, which `~` trimming shows; so each knows how long Redis's
//! listpack of the same entries would be.

use super::id::StreamId;
use crate::raw::block_bytes;
use crate::types::packed::{self, Item};
use larder_protocol::{Args, Reply};

const DELETED: u8 = 1;
const SAME_FIELDS: u8 = 2;
/// Shifts of the codes for how many bytes the two parts of an ID take.
const MS_SHIFT: u32 = 2;
const SEQ_SHIFT: u32 = 5;
/// How many bytes a code stands for.
const CODE_BYTES: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 8];
/// Bytes of a listpack besides its elements: length, count, end.
const LISTPACK_FRAME_BYTES: usize = 7;
/// Listpack elements of an entry besides fields and values: flags, two parts of the ID, count.
const FIXED_ELEMENTS: usize = 4;

/// Some entries, the first of which gives its ID to the node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The ID of its first entry, deleted or not.
    pub(super) first: StreamId,
    /// How many of its entries are not deleted.
    pub(super) live: u32,
    /// How many entries it has, deleted ones included.
    pub(super) entries: u32,
    /// Where the entries begin in `data`.
    begin: u32,
    /// Bytes of Redis's listpack, without its two counters.
    listpack_bytes: u32,
    data: Vec<u8>,
}

/// An entry of a stream, to read.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its ID.
    pub id: StreamId,
    /// Where it begins in its node.
    at: usize,
    flags: u8,
    /// How many fields it has.
    len: usize,
    /// Its fields, if they are those of the node.
    names: &'a [u8],
    /// Its fields and values, or its values only; what follows is in it as well.
    parts: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Whether it was deleted.
    #[inline]
    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    /// Whether its fields are those of the node.
    pub(super) fn has_same_fields(&self) -> bool {
        self.flags & SAME_FIELDS != 0
    }

    /// Fields and values by turns.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let (mut names, mut parts) = (self.names, self.parts);
        let same = self.has_same_fields();
        (0..2 * self.len).map(move |index| {
            let from = if same && index % 2 == 0 { &mut names } else { &mut parts };
            let item = packed::decode(from);
            *from = &from[packed::element_bytes(from)..];
            item
        })
    }

    /// The reply that gives it: its ID, then fields and values.
    pub fn reply(&self) -> Reply<'a> {
        let mut items = Vec::with_capacity(2 * self.len);
        items.extend(self.items().map(Item::reply));
        Reply::Array(vec![self.id.reply(), Reply::Array(items)])
    }
}

impl Node {
    /// A node that has a first entry of these fields and values.
    pub(super) fn new(id: StreamId, pairs: Args<'_>, capacity: usize) -> Self {
        let mut node = Self {
            first: id,
            live: 0,
            entries: 0,
            begin: 0,
            listpack_bytes: 0,
            data: Vec::with_capacity(capacity),
        };
        let fields = pairs.len() / 2;
        let mut bytes = LISTPACK_FRAME_BYTES + int_bytes(fields as i64) + int_bytes(0);
        push_item(&mut node.data, Item::Int(fields as i64));
        for field in pairs.iter().step_by(2) {
            bytes += push_item(&mut node.data, Item::of(field));
        }
        node.begin = node.data.len() as u32;
        node.listpack_bytes = bytes as u32;
        node.push(id, pairs);
        node
    }

    /// Adds an entry with an ID above all others.
    #[inline]
    pub(super) fn push(&mut self, id: StreamId, pairs: Args<'_>) {
        let same = self.has_fields(pairs);
        let ms = id.ms - self.first.ms;
        let seq = if ms == 0 { id.seq - self.first.seq } else { id.seq };
        let (ms_code, seq_code) = (code_of(ms), code_of(seq));
        let start = self.data.len();
        let flags = if same { SAME_FIELDS } else { 0 };
        self.data.push(flags | ms_code << MS_SHIFT | seq_code << SEQ_SHIFT);
        self.data.extend_from_slice(&ms.to_le_bytes()[..CODE_BYTES[usize::from(ms_code)]]);
        self.data.extend_from_slice(&seq.to_le_bytes()[..CODE_BYTES[usize::from(seq_code)]]);
        let fields = pairs.len() / 2;
        let (mut bytes, mut elements) = (int_bytes(i64::from(flags)), FIXED_ELEMENTS - 1 + fields);
        if !same {
            bytes += push_item(&mut self.data, Item::Int(fields as i64));
            elements += fields + 1;
        }
        let (from, step) = if same { (1, 2) } else { (0, 1) };
        for part in pairs.iter().skip(from).step_by(step) {
            bytes += push_item(&mut self.data, Item::of(part));
        }
        let back = packed::back_length(self.data.len() - start);
        self.data.extend_from_slice(back.as_bytes());
        // Redis writes both parts of the ID as plain differences.
        bytes += int_bytes(ms as i64) + int_bytes(id.seq.wrapping_sub(self.first.seq) as i64);
        self.listpack_bytes += (bytes + int_bytes(elements as i64)) as u32;
        self.live += 1;
        self.entries += 1;
    }

    /// Whether an entry's fields are those of the node.
    #[inline]
    fn has_fields(&self, pairs: Args<'_>) -> bool {
        let (len, mut names) = self.names();
        pairs.len() / 2 == len
            && pairs.iter().step_by(2).all(|field| {
                let name = packed::decode(names);
                names = &names[packed::element_bytes(names)..];
                name.is(field)
            })
    }

    /// How many fields the node has, and the packed fields.
    #[inline]
    fn names(&self) -> (usize, &[u8]) {
        let names = &self.data[packed::element_bytes(&self.data)..];
        (packed::decode(&self.data).number().unwrap_or(0) as usize, names)
    }

    /// The size in bytes of Redis's listpack of the same entries.
    #[inline]
    pub(super) fn listpack_bytes(&self) -> usize {
        let counters =
            int_bytes(i64::from(self.live)) + int_bytes(i64::from(self.entries - self.live));
        self.listpack_bytes as usize + counters
    }

    /// Bytes that it takes from the allocator.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        block_bytes(self.data.capacity())
    }

    /// How many fields the node has, and the fields.
    pub(super) fn fields(&self) -> (usize, impl Iterator<Item = Item<'_>>) {
        let (len, mut names) = self.names();
        let items = (0..len).map(move |_| {
            let item = packed::decode(names);
            names = &names[packed::element_bytes(names)..];
            item
        });
        (len, items)
    }

    /// Gives the slack back: it does not grow any more.
    pub(super) fn shrink(&mut self) {
        // A copy, because an allocator may leave a block that shrinks where it is.
        if self.heap_bytes() > block_bytes(self.data.len()) {
            self.data = self.data.as_slice().to_vec();
        }
    }

    /// Marks an entry as deleted.
    pub(super) fn delete(&mut self, at: usize) {
        self.data[at] |= DELETED;
        self.live -= 1;
        if self.live == 0 {
            self.data = Vec::new();
        }
    }

    /// Whether all its entries were deleted, and their bytes with them.
    #[inline]
    pub(super) fn is_hollow(&self) -> bool {
        self.live == 0
    }

    /// Its entries, deleted ones included.
    #[inline]
    pub(super) fn entries(&self) -> Entries<'_> {
        let (len, names) = if self.is_hollow() { (0, &[][..]) } else { self.names() };
        let (front, back) = if self.is_hollow() { (0, 0) } else { (self.begin, self.data.len()) };
        Entries { node: self, len, names, front: front as usize, back }
    }
}

/// The entries of a node, from either end.
pub(super) struct Entries<'a> {
    node: &'a Node,
    len: usize,
    names: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Entries<'a> {
    #[inline]
    fn at(&self, at: usize) -> Entry<'a> {
        let data = &self.node.data;
        let flags = data[at];
        let ms_bytes = CODE_BYTES[usize::from(flags >> MS_SHIFT & 7)];
        let seq_bytes = CODE_BYTES[usize::from(flags >> SEQ_SHIFT)];
        let ms = little_endian(&data[at + 1..][..ms_bytes]);
        let seq = little_endian(&data[at + 1 + ms_bytes..][..seq_bytes]);
        let first = self.node.first;
        let id = match ms {
            0 => StreamId { seq: first.seq + seq, ..first },
            _ => StreamId { ms: first.ms + ms, seq },
        };
        let mut parts = &data[at + 1 + ms_bytes + seq_bytes..];
        let mut len = self.len;
        if flags & SAME_FIELDS == 0 {
            len = packed::decode(parts).number().unwrap_or(0) as usize;
            parts = &parts[packed::element_bytes(parts)..];
        }
        Entry { id, at, flags, len, names: self.names, parts }
    }

    /// Where an entry ends, its back length included.
    #[inline]
    fn end_of(&self, entry: &Entry<'_>) -> usize {
        let parts = if entry.has_same_fields() { entry.len } else { 2 * entry.len };
        let mut rest = entry.parts;
        for _ in 0..parts {
            rest = &rest[packed::element_bytes(rest)..];
        }
        let end = self.node.data.len() - rest.len();
        end + packed::back_length_bytes(end - entry.at)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.front >= self.back {
            return None;
        }
        let entry = self.at(self.front);
        self.front = self.end_of(&entry);
        Some(entry)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = packed::begin_of_last(&self.node.data[..self.back]);
        Some(self.at(self.back))
    }
}

impl Entry<'_> {
    /// Where it begins in its node.
    pub(super) fn place(&self) -> usize {
        self.at
    }
}

/// Adds a part; gives its size in bytes as a listpack's element.
#[inline]
fn push_item(data: &mut Vec<u8>, item: Item<'_>) -> usize {
    data.extend_from_slice(packed::head(item).as_bytes());
    if let Item::Bytes(bytes) = item {
        data.extend_from_slice(bytes);
    }
    packed::item_bytes(item)
}

/// Bytes of an integer as a listpack's element.
#[inline]
fn int_bytes(number: i64) -> usize {
    packed::item_bytes(Item::Int(number))
}

/// The code for as many bytes as a number needs.
#[inline]
fn code_of(number: u64) -> u8 {
    match number {
        0 => 0,
        _ => (number.ilog2() as u8 / 8 + 1).min(7),
    }
}

#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
