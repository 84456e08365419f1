//! Lists: sequences with two ends.
//!
//! A small list is one packed sequence in its key's own block, a large one a [`List`] of packed
//! nodes. `list-max-listpack-size` bounds both: what a whole small list may hold and what a node may.
//! [`ListRef`] reads either; [`push`] and its neighbours change either and turn the one into the
//! other where Redis does.

pub mod commands;
mod ends;
mod quicklist;
pub mod rdb;
pub mod table;

pub use quicklist::List;

use super::object::Object;
use super::packed::{self, At, Item, Packed};
use crate::keyspace::access::Occupied;
use crate::raw::{EntryRef, Kind, NewValue, Splice};
use larder_protocol::CommandError;
use std::ops::Range;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The head.
    Left,
    /// The tail.
    Right,
}

/// How much a packed sequence may hold: `list-max-listpack-size`.
#[derive(Clone, Copy, Debug)]
pub struct Fill(pub i32);

/// The largest node whatever its number of elements.
const NODE_MAX_BYTES: usize = 8192;
/// Node sizes for `list-max-listpack-size` -1 to -5.
const LEVELS_BYTES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];

impl Fill {
    /// The largest size in bytes, if the setting is one of size.
    fn bytes(self) -> Option<usize> {
        let level = usize::try_from(-i64::from(self.0)).ok()?.checked_sub(1)?;
        Some(LEVELS_BYTES[level.min(LEVELS_BYTES.len() - 1)])
    }

    /// Whether a listpack of `bytes` and `count` elements is too much.
    #[inline]
    pub fn is_exceeded(self, bytes: usize, count: usize) -> bool {
        match self.bytes() {
            Some(limit) => bytes > limit,
            // At least one element, or nothing could ever be stored.
            None => bytes > NODE_MAX_BYTES || count > (self.0 as usize).max(1),
        }
    }

    /// Whether a large list of one node may become a small one: well below the limit, so that it
    /// does not go to and fro.
    fn allows_shrinking(self, bytes: usize, count: usize) -> bool {
        match self.bytes() {
            Some(limit) => bytes <= limit / 2,
            None => count <= (self.0 as usize).max(1) / 2,
        }
    }
}

/// A stored list, to read.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    /// A small one.
    Packed(Packed<'a>),
    /// A large one.
    Quick(&'a List),
}

impl<'a> ListRef<'a> {
    /// The list in an entry.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Result<Self, CommandError> {
        match entry.kind() {
            Kind::ListPacked => Ok(Self::Packed(Packed::new(entry.packed()))),
            Kind::Object => match entry.object() {
                Object::List(list) => Ok(Self::Quick(list)),
                _ => Err(CommandError::WRONG_TYPE),
            },
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// How many elements it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty list has no key")]
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len(),
            Self::Quick(list) => list.len(),
        }
    }

    /// About how many bytes its elements have together.
    pub fn bytes(self) -> usize {
        match self {
            Self::Packed(packed) => packed.elements().len(),
            Self::Quick(list) => list.size_bytes(),
        }
    }

    /// The element at a position that may count from the end.
    pub fn get(self, index: i64) -> Option<Item<'a>> {
        let index = if index < 0 { index + self.len() as i64 } else { index };
        let index = usize::try_from(index).ok()?;
        match self {
            Self::Packed(packed) => Some(packed.get(packed.at(index)?)),
            Self::Quick(list) => list.get(index),
        }
    }

    /// The element at an end.
    #[inline]
    pub fn end(self, end: End) -> Option<Item<'a>> {
        match self {
            Self::Packed(packed) => Some(packed.get(end_of(packed, end)?)),
            Self::Quick(list) => list.end(end),
        }
    }

    /// Shows `visit` the elements of a range of positions, which must lie within the list.
    #[inline]
    pub fn each_in(self, range: Range<usize>, visit: impl FnMut(Item<'a>)) {
        match self {
            Self::Packed(packed) => {
                packed.items_from(range.start).take(range.len()).for_each(visit);
            }
            Self::Quick(list) => list.each_in(range, visit),
        }
    }

    /// All elements from an end on.
    pub fn iter(self, from: End) -> Box<dyn Iterator<Item = Item<'a>> + 'a> {
        match (self, from) {
            (Self::Packed(packed), End::Left) => Box::new(packed.items()),
            (Self::Packed(packed), End::Right) => Box::new(packed.items().rev()),
            (Self::Quick(list), End::Left) => Box::new(list.iter_from(0)),
            (Self::Quick(list), End::Right) => Box::new(list.iter_back()),
        }
    }
}

/// The value of a new list.
pub(super) fn with_new<T>(
    values: &[&[u8]],
    end: End,
    fill: Fill,
    store: impl FnOnce(NewValue<'_>) -> T,
) -> T {
    let bytes = values.iter().map(|value| value.len()).sum::<usize>();
    if fill.is_exceeded(bytes, values.len()) {
        let mut list = List::default();
        values.iter().for_each(|value| list.push(end, value, fill));
        return store(NewValue::Object(Box::new(Object::List(list))));
    }
    let mut packed = packed::EMPTY.to_vec();
    push_packed(&mut packed, end, values);
    store(NewValue::Packed(Kind::ListPacked, &packed))
}

/// The value of a list that takes the place of another value: a small one whenever it fits a node.
pub fn with_result<T>(values: &[&[u8]], fill: Fill, store: impl FnOnce(NewValue<'_>) -> T) -> T {
    let mut list = List::default();
    values.iter().for_each(|value| list.push(End::Right, value, fill));
    if let Some(packed) = list.single_node()
        && !fill.is_exceeded(Packed::new(packed).listpack_bytes(), list.len())
    {
        return store(NewValue::Packed(Kind::ListPacked, packed));
    }
    store(NewValue::Object(Box::new(Object::List(list))))
}

fn push_packed(store: &mut impl Splice, end: End, values: &[&[u8]]) {
    match end {
        End::Right => packed::insert_all(store, None, values),
        End::Left => {
            let first = Packed::new(store.as_ref()).first();
            match values {
                [value] => packed::insert(store, first, value),
                _ => {
                    let reversed: Vec<&[u8]> = values.iter().rev().copied().collect();
                    packed::insert_all(store, first, &reversed);
                }
            }
        }
    }
}

/// Makes a small list a large one if `values` would be too much for it.
fn grow_for(entry: &mut Occupied<'_, '_>, values: &[&[u8]], fill: Fill) {
    let view = entry.view();
    if view.kind() != Kind::ListPacked {
        return;
    }
    let packed = Packed::new(view.packed());
    let bytes = packed.listpack_bytes() + values.iter().map(|value| value.len()).sum::<usize>();
    if fill.is_exceeded(bytes, packed.len() + values.len()) {
        let list = List::from_packed(view.packed().to_vec());
        entry.set_value(NewValue::Object(Box::new(Object::List(list))));
    }
}

/// Makes a large list that has become small a small one.
fn shrink(entry: &mut Occupied<'_, '_>, fill: Fill) {
    let view = entry.view();
    if view.kind() != Kind::Object {
        return;
    }
    let Object::List(list) = view.object() else { return };
    if let Some(packed) = list.single_node()
        && fill.allows_shrinking(Packed::new(packed).listpack_bytes(), list.len())
    {
        let packed = packed.to_vec();
        entry.set_value(NewValue::Packed(Kind::ListPacked, &packed));
    }
}

/// Changes a list by the one or the other closure, as it is stored.
#[inline]
fn edit<T>(
    entry: &mut Occupied<'_, '_>,
    small: impl FnOnce(&mut crate::raw::PackedMut<'_>) -> T,
    large: impl FnOnce(&mut List) -> T,
) -> T {
    if entry.view().kind() == Kind::ListPacked {
        return entry.edit_packed(small);
    }
    entry.edit_object(|object| match object {
        Object::List(list) => large(list),
        _ => unreachable!("the type was looked at"),
    })
}

/// Adds elements at an end, one after the other; gives the length.
#[inline]
pub fn push(entry: &mut Occupied<'_, '_>, end: End, values: &[&[u8]], fill: Fill) -> usize {
    grow_for(entry, values, fill);
    edit(
        entry,
        |packed| {
            push_packed(packed, end, values);
            Packed::new(packed.as_ref()).len()
        },
        |list| {
            values.iter().for_each(|value| list.push(end, value, fill));
            list.len()
        },
    )
}

/// Removes a range of positions, which must lie within the list; gives how many are left.
pub fn remove_range(entry: &mut Occupied<'_, '_>, range: Range<usize>, fill: Fill) -> usize {
    let left = take_out(entry, range);
    shrink(entry, fill);
    left
}

/// Removes the element at an end of a list that has several.
pub fn pop(entry: &mut Occupied<'_, '_>, end: End, fill: Fill) {
    edit(entry, |store| remove_end(store, end), |list| list.pop(end));
    shrink(entry, fill);
}

/// The place of the element at an end.
#[inline]
fn end_of(packed: Packed<'_>, end: End) -> Option<At> {
    match end {
        End::Left => packed.first(),
        End::Right => packed.last(),
    }
}

fn remove_end(store: &mut impl Splice, end: End) {
    if let Some(at) = end_of(Packed::new(store.as_ref()), end) {
        packed::remove(store, at, 1);
    }
}

/// Takes the element at one end, which is `element`, and adds it at an end of the same list. A list
/// of one element stays as it is, and so keeps its deadline.
pub fn rotate(entry: &mut Occupied<'_, '_>, from: End, to: End, element: &[u8], fill: Fill) {
    let len = ListRef::of(entry.view()).map_or(0, ListRef::len);
    if len > 1 {
        edit(entry, |store| remove_end(store, from), |list| list.pop(from));
        push(entry, to, &[element], fill);
    }
    shrink(entry, fill);
}

fn take_out(entry: &mut Occupied<'_, '_>, range: Range<usize>) -> usize {
    edit(
        entry,
        |store| {
            if let Some(at) = Packed::new(store.as_ref()).at(range.start) {
                packed::remove(store, at, range.len());
            }
            Packed::new(store.as_ref()).len()
        },
        |list| {
            list.remove_range(range.clone());
            list.len()
        },
    )
}

/// Removes up to `count` elements that equal `value`, looking from an end on.
fn remove_equal(
    entry: &mut Occupied<'_, '_>,
    value: &[u8],
    count: usize,
    from: End,
    fill: Fill,
) -> usize {
    let removed = edit(
        entry,
        |store| remove_equal_packed(store, value, count, from),
        |list| list.remove_equal(value, count, from),
    );
    shrink(entry, fill);
    removed
}

fn remove_equal_packed(store: &mut impl Splice, value: &[u8], count: usize, from: End) -> usize {
    let packed = Packed::new(store.as_ref());
    let wanted = Item::of(value);
    let found = packed.iter().filter(|(_, item)| *item == wanted).map(|(at, _)| at);
    let mut found: Vec<At> = match from {
        End::Left => found.take(count).collect(),
        End::Right => {
            let back = packed.iter().rev().filter(|(_, item)| *item == wanted);
            let mut found: Vec<At> = back.map(|(at, _)| at).take(count).collect();
            found.reverse();
            found
        }
    };
    // Last first, so that the places before stay where they are.
    found.reverse();
    found.iter().for_each(|at| packed::remove(store, *at, 1));
    found.len()
}

/// Puts an element in another one's place; false when there is none.
fn replace(entry: &mut Occupied<'_, '_>, index: usize, value: &[u8], fill: Fill) -> bool {
    grow_for(entry, &[value], fill);
    let replaced = edit(
        entry,
        |store| match Packed::new(store.as_ref()).at(index) {
            Some(at) => {
                packed::replace(store, at, value);
                true
            }
            None => false,
        },
        |list| list.replace(index, value, fill),
    );
    if replaced {
        shrink(entry, fill);
    }
    replaced
}

/// Adds an element before the one at a position, or at the end.
fn insert(entry: &mut Occupied<'_, '_>, index: usize, value: &[u8], fill: Fill) {
    edit(
        entry,
        |store| {
            let at = Packed::new(store.as_ref()).at(index);
            packed::insert(store, at, value);
        },
        |list| list.insert(index, value, fill),
    );
}

#[cfg(test)]
mod tests;
