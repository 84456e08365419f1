//! Packed sequences: small collections as one run of bytes.
//!
//! A sequence is `count: u32` and its elements in the encoding that Redis's listpack uses: an
//! integer in as few bytes as it needs or a string with its length, then the element's own length so
//! that it can be walked backwards. A listpack of a dump file therefore differs only in what stands
//! around the elements. Where the bytes lie is up to [`Splice`]: in a key's block, or in a vector.
//!
//! Invariant: the bytes are what this module wrote; they are never taken from outside unchecked.

use crate::raw::Splice;
use foldhash::fast::RandomState;
use larder_protocol::Reply;
use larder_protocol::number::parse_i64;
use larder_protocol::reply::Digits;
use larder_protocol::strings::Writer;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

/// A sequence without elements.
pub const EMPTY: &[u8] = &[0; COUNT_BYTES];
const COUNT_BYTES: usize = 4;
/// Bytes that a listpack has besides its elements: total length, count, terminator.
const LISTPACK_FRAME_BYTES: usize = 7;

/// An element's place; valid until the sequence changes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(usize);

/// An element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item<'a> {
    /// A string that is a canonical 64-bit integer.
    Int(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// What `bytes` are as an element.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Self {
        // The longest i64 has 20 characters; most strings are ruled out by their first byte.
        if bytes.len() <= 20
            && bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
            && let Some(number) = parse_i64(bytes)
        {
            return Self::Int(number);
        }
        Self::Bytes(bytes)
    }

    /// The reply that gives it.
    #[inline]
    pub fn reply(self) -> Reply<'a> {
        match self {
            Self::Int(number) => Reply::digits(number),
            Self::Bytes(bytes) => Reply::Bulk(bytes),
        }
    }

    /// Adds it to strings that are sent together.
    #[inline]
    pub fn push_to(self, strings: &mut Writer) {
        match self {
            Self::Int(number) => strings.push(Digits::new(number).as_bytes()),
            Self::Bytes(bytes) => strings.push(bytes),
        }
    }

    /// The reply that gives it and borrows nothing.
    pub fn to_owned_reply(self) -> Reply<'static> {
        self.reply().into_owned()
    }

    /// Whether it is this string.
    #[inline]
    pub fn is(self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(own) => own == bytes,
            Self::Int(number) => Digits::new(number).as_bytes() == bytes,
        }
    }

    /// How it stands to a string in byte order.
    pub fn cmp_bytes(self, bytes: &[u8]) -> Ordering {
        match self {
            Self::Bytes(own) => own.cmp(bytes),
            Self::Int(number) => Digits::new(number).as_bytes().cmp(bytes),
        }
    }

    /// Its bytes; built only for an integer.
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Int(number) => Cow::Owned(Digits::new(number).as_bytes().to_vec()),
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// Its length in bytes as a string.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(self) -> usize {
        match self {
            Self::Int(number) => Digits::new(number).as_bytes().len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Its value, if it is an integer.
    pub fn number(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            Self::Bytes(_) => None,
        }
    }
}

/// A packed sequence, to read.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    /// The sequence in `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The elements as a listpack has them, without what stands around them.
    pub fn elements(self) -> &'a [u8] {
        &self.0[COUNT_BYTES..]
    }

    /// How many elements it has.
    #[inline]
    pub fn len(self) -> usize {
        u32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]) as usize
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.len() == COUNT_BYTES
    }

    /// The size in bytes of a listpack of the same elements, as Redis's thresholds count it.
    #[inline]
    pub fn listpack_bytes(self) -> usize {
        self.0.len() - COUNT_BYTES + LISTPACK_FRAME_BYTES
    }

    /// The first element's place.
    #[inline]
    pub fn first(self) -> Option<At> {
        (!self.is_empty()).then_some(At(COUNT_BYTES))
    }

    /// The last element's place.
    #[inline]
    pub fn last(self) -> Option<At> {
        self.before(self.0.len())
    }

    /// The place after another one.
    #[inline]
    pub fn next(self, at: At) -> Option<At> {
        let next = self.end_of(at);
        (next < self.0.len()).then_some(At(next))
    }

    /// The place before another one.
    #[inline]
    pub fn previous(self, at: At) -> Option<At> {
        self.before(at.0)
    }

    /// The element that ends where `end` is.
    #[inline]
    fn before(self, end: usize) -> Option<At> {
        if end == COUNT_BYTES {
            return None;
        }
        Some(At(begin_of_last(&self.0[..end])))
    }

    /// Where the element at `at` ends, its back length included.
    #[inline]
    fn end_of(self, at: At) -> usize {
        let bytes = element_bytes(&self.0[at.0..]);
        at.0 + bytes + back_length_bytes(bytes)
    }

    /// The element at a place.
    #[inline]
    pub fn get(self, at: At) -> Item<'a> {
        decode(&self.0[at.0..])
    }

    /// The place of element `index`, from the nearer end.
    pub fn at(self, index: usize) -> Option<At> {
        let len = self.len();
        if index >= len {
            return None;
        }
        if index <= len / 2 {
            (0..index).try_fold(self.first()?, |at, _| self.next(at))
        } else {
            (index + 1..len).try_fold(self.last()?, |at, _| self.previous(at))
        }
    }

    /// The first element from `from` on that is `value`, looking at one and passing over `skip`.
    #[inline]
    pub fn find(self, value: &[u8], from: Option<At>, skip: usize) -> Option<At> {
        let wanted = Item::of(value);
        let mut at = from?;
        loop {
            if self.get(at) == wanted {
                return Some(at);
            }
            for _ in 0..=skip {
                at = self.next(at)?;
            }
        }
    }

    /// The elements with their places.
    #[inline]
    pub fn iter(self) -> Iter<'a> {
        Iter { packed: self, front: COUNT_BYTES, back: self.0.len() }
    }

    /// The elements from a position on.
    #[inline]
    pub fn items_from(self, index: usize) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let front = self.at(index).map_or(self.0.len(), |at| at.0);
        Iter { front, ..self.iter() }.map(|(_, item)| item)
    }

    /// The elements.
    pub fn items(self) -> impl DoubleEndedIterator<Item = Item<'a>> + use<'a> {
        self.iter().map(|(_, item)| item)
    }
}

/// The elements of a packed sequence with their places, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    packed: Packed<'a>,
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (At, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let at = self.front;
        let (item, bytes) = decode_sized(&self.packed.0[at..]);
        self.front = at + bytes + back_length_bytes(bytes);
        Some((At(at), item))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let at = self.packed.before(self.back)?;
        self.back = at.0;
        Some((at, self.packed.get(at)))
    }
}

/// Adds an element at the end.
#[inline]
pub fn push_back(store: &mut impl Splice, value: &[u8]) {
    insert(store, None, value);
}

/// Adds an element at the beginning.
#[inline]
pub fn push_front(store: &mut impl Splice, value: &[u8]) {
    let first = Packed::new(store.as_ref()).first();
    insert(store, first, value);
}

/// Adds an element before a place, or at the end.
#[inline]
pub fn insert(store: &mut impl Splice, before: Option<At>, value: &[u8]) {
    let at = before.map_or(store.as_ref().len(), |at| at.0);
    put(store, at..at, value);
    add_to_count(store, 1);
}

/// Puts an element in place of some bytes.
#[inline]
fn put(store: &mut impl Splice, range: Range<usize>, value: &[u8]) {
    let item = Item::of(value);
    let (head, content) = match item {
        Item::Int(_) => (head(item), &[][..]),
        Item::Bytes(bytes) => (head(item), bytes),
    };
    let back = back_length(head.as_bytes().len() + content.len());
    store.splice(range, &[head.as_bytes(), content, back.as_bytes()]);
}

/// Adds elements, in this order, before a place or at the end.
#[inline]
pub fn insert_all(store: &mut impl Splice, before: Option<At>, values: &[&[u8]]) {
    let at = before.map_or(store.as_ref().len(), |at| at.0);
    let mut encoded = SmallVec::<[u8; 128]>::new();
    for value in values {
        encode(&mut encoded, value);
    }
    store.splice(at..at, &[&encoded]);
    add_to_count(store, values.len() as i64);
}

/// Puts another element in an element's place.
#[inline]
pub fn replace(store: &mut impl Splice, at: At, value: &[u8]) {
    let end = Packed::new(store.as_ref()).end_of(at);
    put(store, at.0..end, value);
}

/// Removes up to `count` elements from a place on.
pub fn remove(store: &mut impl Splice, at: At, count: usize) {
    let packed = Packed::new(store.as_ref());
    let (mut end, mut removed) = (at.0, 0);
    while removed < count && end < packed.0.len() {
        end = packed.end_of(At(end));
        removed += 1;
    }
    store.splice(at.0..end, &[]);
    add_to_count(store, -(removed as i64));
}

#[inline]
fn add_to_count(store: &mut impl Splice, difference: i64) {
    let count = Packed::new(store.as_ref()).len() as i64 + difference;
    // A sequence has less than 4 GB, hence fewer elements.
    store.splice(0..COUNT_BYTES, &[&(count as u32).to_le_bytes()]);
}

/// Bytes that `value` takes as an element, as Redis's thresholds count them.
pub fn encoded_bytes(value: &[u8]) -> usize {
    item_bytes(Item::of(value))
}

/// As [`encoded_bytes`] for what is known to be a string or an integer.
#[inline]
pub fn item_bytes(item: Item<'_>) -> usize {
    let own = match item {
        Item::Bytes(bytes) => string_header_bytes(bytes.len()) + bytes.len(),
        Item::Int(0..=127) => 1,
        Item::Int(-4096..=4095) => 2,
        Item::Int(-0x8000..=0x7fff) => 3,
        Item::Int(-0x80_0000..=0x7f_ffff) => 4,
        Item::Int(-0x8000_0000..=0x7fff_ffff) => 5,
        Item::Int(_) => 9,
    };
    own + back_length_bytes(own)
}

fn string_header_bytes(len: usize) -> usize {
    match len {
        0..64 => 1,
        64..4096 => 2,
        _ => 5,
    }
}

/// The sequence of a listpack's elements, of which each was looked at.
pub fn from_elements(count: usize, elements: &[u8]) -> Vec<u8> {
    let mut store = Vec::with_capacity(COUNT_BYTES + elements.len());
    // A listpack has less than 4 GB, hence fewer elements.
    store.extend_from_slice(&(count as u32).to_le_bytes());
    store.extend_from_slice(elements);
    store
}

/// Appends an element to elements that have no count in front.
pub fn append(elements: &mut Vec<u8>, item: Item<'_>) {
    let start = elements.len();
    elements.extend_from_slice(head(item).as_bytes());
    if let Item::Bytes(bytes) = item {
        elements.extend_from_slice(bytes);
    }
    let back = back_length(elements.len() - start);
    elements.extend_from_slice(back.as_bytes());
}

/// Whether any two elements are equal, looking at one and passing over `skip`.
pub fn has_duplicates(packed: Packed<'_>, skip: usize) -> bool {
    /// Elements up to which comparing each with each is the quickest.
    const FEW: usize = 16;
    let looked_at = || packed.items().step_by(skip + 1);
    if packed.len() / (skip + 1) <= FEW {
        return looked_at()
            .enumerate()
            .any(|(at, item)| looked_at().take(at).any(|one| one == item));
    }
    let mut known = HashSet::<Item<'_>, RandomState>::default();
    !looked_at().all(|item| known.insert(item))
}

fn encode<const N: usize>(to: &mut SmallVec<[u8; N]>, value: &[u8]) {
    let start = to.len();
    let item = Item::of(value);
    to.extend_from_slice(head(item).as_bytes());
    if let Item::Bytes(bytes) = item {
        to.extend_from_slice(bytes);
    }
    to.extend_from_slice(back_length(to.len() - start).as_bytes());
}

/// A few bytes in front of or behind an element's content.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    bytes: [u8; 9],
    len: u8,
}

impl Frame {
    fn new(first: u8, rest: &[u8]) -> Self {
        let mut bytes = [first, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[1..=rest.len()].copy_from_slice(rest);
        Self { bytes, len: 1 + rest.len() as u8 }
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What stands in front of a string's bytes; for an integer it is the whole element.
#[inline]
pub fn head(item: Item<'_>) -> Frame {
    match item {
        Item::Int(number) => {
            let bytes = number.to_le_bytes();
            match number {
                0..=127 => Frame::new(number as u8, &[]),
                -4096..=4095 => Frame::new(0xc0 | (number >> 8) as u8 & 0x1f, &bytes[..1]),
                -0x8000..=0x7fff => Frame::new(0xf1, &bytes[..2]),
                -0x80_0000..=0x7f_ffff => Frame::new(0xf2, &bytes[..3]),
                -0x8000_0000..=0x7fff_ffff => Frame::new(0xf3, &bytes[..4]),
                _ => Frame::new(0xf4, &bytes),
            }
        }
        Item::Bytes(bytes) => match (bytes.len(), string_header_bytes(bytes.len())) {
            (len, 1) => Frame::new(0x80 | len as u8, &[]),
            (len, 2) => Frame::new(0xe0 | (len >> 8) as u8, &[len as u8]),
            (len, _) => Frame::new(0xf0, &(len as u32).to_le_bytes()),
        },
    }
}

/// What stands behind an element of `bytes`, so that it is found from its end.
#[inline]
pub fn back_length(bytes: usize) -> Frame {
    let groups = back_length_bytes(bytes);
    let mut frame = Frame { bytes: [0; 9], len: groups as u8 };
    for (at, group) in (0..groups).rev().enumerate() {
        let more = if at == 0 { 0 } else { 0x80 };
        frame.bytes[at] = (bytes >> (7 * group)) as u8 & 0x7f | more;
    }
    frame
}

/// Where the element begins whose back length ends where `bytes` do.
#[inline]
pub fn begin_of_last(bytes: &[u8]) -> usize {
    let (mut length, mut shift, mut at) = (0, 0, bytes.len());
    loop {
        at -= 1;
        length |= usize::from(bytes[at] & 0x7f) << shift;
        if bytes[at] & 0x80 == 0 {
            return at - length;
        }
        shift += 7;
    }
}

/// Bytes of the element at the beginning of `bytes`, without its back length.
#[inline]
pub fn element_bytes(bytes: &[u8]) -> usize {
    match bytes[0] {
        0..0x80 => 1,
        first @ 0x80..0xc0 => 1 + usize::from(first & 0x3f),
        0xc0..0xe0 => 2,
        first @ 0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(bytes[1])),
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        _ => 5 + u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize,
    }
}

/// Bytes that an element's length takes behind it.
#[inline]
pub fn back_length_bytes(bytes: usize) -> usize {
    match bytes {
        0..128 => 1,
        128..16383 => 2,
        16383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The element at the beginning of `bytes`.
#[inline]
pub fn decode(bytes: &[u8]) -> Item<'_> {
    decode_sized(bytes).0
}

/// The element at the beginning of `bytes`, and the bytes that it takes without its back length.
#[inline]
fn decode_sized(bytes: &[u8]) -> (Item<'_>, usize) {
    let string = |header: usize, len: usize| (Item::Bytes(&bytes[header..][..len]), header + len);
    let int = |end: usize| (Item::Int(little_endian(&bytes[1..end])), end);
    match bytes[0] {
        first @ 0..0x80 => (Item::Int(i64::from(first)), 1),
        first @ 0x80..0xc0 => string(1, usize::from(first & 0x3f)),
        first @ 0xc0..0xe0 => {
            let bits = i64::from(first & 0x1f) << 8 | i64::from(bytes[1]);
            (Item::Int(if bits >= 4096 { bits - 8192 } else { bits }), 2)
        }
        first @ 0xe0..=0xef => string(2, usize::from(first & 0x0f) << 8 | usize::from(bytes[1])),
        0xf1 => int(3),
        0xf2 => int(4),
        0xf3 => int(5),
        0xf4 => int(9),
        _ => string(5, u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize),
    }
}

fn little_endian(bytes: &[u8]) -> i64 {
    let unsigned = bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let unused = u64::BITS - 8 * bytes.len() as u32;
    // Shifted to the top and back, the sign bit fills what the encoding left out.
    ((unsigned << unused) as i64) >> unused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            (0..5000_usize).prop_map(|len| vec![b'x'; len]),
            any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            any::<i32>().prop_map(|number| number.to_string().into_bytes()),
            (-5000..5000_i64).prop_map(|number| number.to_string().into_bytes()),
        ]
    }

    fn all(store: &[u8]) -> Vec<Vec<u8>> {
        Packed::new(store).items().map(|item| item.bytes().into_owned()).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_vector(steps in proptest::collection::vec((0..4_u8, any::<usize>(), value()), 1..60)) {
            let (mut store, mut model) = (EMPTY.to_vec(), Vec::<Vec<u8>>::new());
            for (step, index, value) in steps {
                let index = index % (model.len() + 1);
                let at = Packed::new(&store).at(index);
                match (step, at) {
                    (0, _) => {
                        insert(&mut store, at, &value);
                        model.insert(index, value);
                    }
                    (1, Some(at)) => {
                        replace(&mut store, at, &value);
                        model[index] = value;
                    }
                    (2, Some(at)) => {
                        remove(&mut store, at, 2);
                        model.drain(index..(index + 2).min(model.len()));
                    }
                    _ => {
                        push_front(&mut store, &value);
                        model.insert(0, value.clone());
                        let found = Packed::new(&store).find(&value, Packed::new(&store).first(), 0);
                        prop_assert_eq!(found, Packed::new(&store).first());
                    }
                }
                prop_assert_eq!(Packed::new(&store).len(), model.len());
                prop_assert_eq!(&all(&store), &model);
                let backwards: Vec<_> =
                    Packed::new(&store).items().rev().map(|item| item.bytes().into_owned()).collect();
                prop_assert!(backwards.iter().eq(model.iter().rev()));
                let bytes: usize = model.iter().map(|value| encoded_bytes(value)).sum();
                prop_assert_eq!(Packed::new(&store).listpack_bytes(), bytes + LISTPACK_FRAME_BYTES);
            }
        }
    }

    #[test]
    fn integers_take_as_few_bytes_as_they_need() {
        for (text, bytes) in [
            ("0", 2),
            ("127", 2),
            ("128", 3),
            ("-4096", 3),
            ("4095", 3),
            ("4096", 4),
            ("-32768", 4),
            ("32768", 5),
            ("8388607", 5),
            ("8388608", 6),
            ("2147483648", 10),
            ("-9223372036854775808", 10),
            ("9223372036854775808", 21),
            ("-0", 4),
            ("01", 4),
        ] {
            assert_eq!(encoded_bytes(text.as_bytes()), bytes, "{text}");
        }
    }
}
