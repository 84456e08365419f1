//! Hashes: fields and values under a key.
//!
//! A small hash is a packed sequence of fields, each followed by its value, in its key's own block; a
//! large one is a table of [`Members`] whose values are strings. [`HashRef`] reads either, [`set`]
//! and [`remove`] change either and turn the one into the other at Redis's thresholds.

pub mod commands;
pub mod table;

#[cfg(test)]
mod tests;

use super::members::Members;
use super::object::Object;
use super::packed::{self, At, Item, Packed};
use super::string::StringRef;
use crate::config::Settings;
use crate::keyspace::access::Occupied;
use crate::raw::{EntryRef, Kind, NewValue};
use larder_protocol::{CommandError, Reply};
use std::borrow::Cow;

/// A hash of many fields.
#[derive(Clone, Debug, Default)]
pub struct Hash(Members);

impl Hash {
    /// Bytes that it takes from the allocator, its own struct excluded.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// How many fields it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty hash has no key")]
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Sets a field; tells whether it is new.
    fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        match self.0.position(field) {
            Some(at) => {
                self.0.edit(at, |entry| entry.set_value(NewValue::string(value)));
                false
            }
            None => {
                self.0.insert(field, NewValue::string(value), None);
                true
            }
        }
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
pub enum FieldValue<'a> {
    /// Of a small hash.
    Packed(Item<'a>),
    /// Of a large one.
    Entry(StringRef<'a>),
}

impl<'a> FieldValue<'a> {
    /// The reply that gives it.
    #[inline]
    pub fn reply(self) -> Reply<'a> {
        match self {
            Self::Packed(item) => item.reply(),
            Self::Entry(string) => string.reply(),
        }
    }

    /// Its bytes.
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Packed(item) => item.bytes(),
            Self::Entry(string) => string.bytes(),
        }
    }
}

/// A stored hash, to read.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    /// A small one.
    Packed(Packed<'a>),
    /// A large one.
    Table(&'a Hash),
}

/// The value in a table's entry.
fn value_of(entry: EntryRef<'_>) -> FieldValue<'_> {
    match StringRef::of(entry) {
        Ok(string) => FieldValue::Entry(string),
        Err(_) => unreachable!("the values of a hash are strings"),
    }
}

impl<'a> HashRef<'a> {
    /// The hash in an entry.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Result<Self, CommandError> {
        match entry.kind() {
            Kind::HashPacked => Ok(Self::Packed(Packed::new(entry.packed()))),
            Kind::Object => match entry.object() {
                Object::Hash(hash) => Ok(Self::Table(hash)),
                _ => Err(CommandError::WRONG_TYPE),
            },
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// How many fields it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty hash has no key")]
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len() / 2,
            Self::Table(hash) => hash.len(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(self, field: &[u8]) -> Option<FieldValue<'a>> {
        match self {
            Self::Packed(packed) => {
                let at = packed.find(field, packed.first(), 1)?;
                Some(FieldValue::Packed(packed.get(packed.next(at)?)))
            }
            Self::Table(hash) => hash.0.find(field).map(value_of),
        }
    }

    /// Shows `visit` each field with its value.
    pub fn each(self, mut visit: impl FnMut(Reply<'a>, FieldValue<'a>)) {
        match self {
            Self::Packed(packed) => {
                let mut items = packed.items();
                while let (Some(field), Some(value)) = (items.next(), items.next()) {
                    visit(field.reply(), FieldValue::Packed(value));
                }
            }
            Self::Table(hash) => {
                hash.0.iter().for_each(|entry| visit(Reply::Bulk(entry.key()), value_of(entry)));
            }
        }
    }
}

/// The thresholds between the two forms.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    entries: u64,
    value_bytes: u64,
}

impl Thresholds {
    /// `hash-max-listpack-entries` and `hash-max-listpack-value`.
    pub fn of(settings: &Settings) -> Self {
        Self {
            entries: settings.hash_max_listpack_entries,
            value_bytes: settings.hash_max_listpack_value_bytes,
        }
    }

    /// Whether these fields and values suit a small hash.
    fn suit(self, pairs: &[&[u8]]) -> bool {
        (pairs.len() / 2) as u64 <= self.entries
            && pairs.iter().all(|part| part.len() as u64 <= self.value_bytes)
    }
}

/// The value of a new hash, from fields each followed by its value; gives how many fields it has.
fn with_new(pairs: &[&[u8]], thresholds: Thresholds, store: impl FnOnce(NewValue<'_>)) -> usize {
    if thresholds.suit(pairs) {
        let mut packed = packed::EMPTY.to_vec();
        for pair in pairs.chunks_exact(2) {
            set_packed(&mut packed, pair[0], pair[1]);
        }
        store(NewValue::Packed(Kind::HashPacked, &packed));
        return Packed::new(&packed).len() / 2;
    }
    let mut hash = Hash::default();
    pairs.chunks_exact(2).for_each(|pair| {
        hash.set(pair[0], pair[1]);
    });
    let len = hash.len();
    store(NewValue::Object(Box::new(Object::Hash(hash))));
    len
}

fn set_packed(store: &mut impl crate::raw::Splice, field: &[u8], value: &[u8]) -> bool {
    let packed = Packed::new(store.as_ref());
    match packed.find(field, packed.first(), 1).and_then(|at| packed.next(at)) {
        Some(at) => {
            if !packed.get(at).is(value) {
                packed::replace(store, at, value);
            }
            false
        }
        None => {
            packed::insert_all(store, None, &[field, value]);
            true
        }
    }
}

/// Makes a small hash a large one.
fn convert(entry: &mut Occupied<'_, '_>) {
    let view = entry.view();
    if view.kind() != Kind::HashPacked {
        return;
    }
    let mut hash = Hash::default();
    {
        let mut items = Packed::new(view.packed()).items();
        while let (Some(field), Some(value)) = (items.next(), items.next()) {
            hash.0.insert(&field.bytes(), NewValue::string(&value.bytes()), None);
        }
    }
    entry.set_value(NewValue::Object(Box::new(Object::Hash(hash))));
}

/// Sets fields, each followed by its value; gives how many are new.
fn set(entry: &mut Occupied<'_, '_>, pairs: &[&[u8]], thresholds: Thresholds) -> usize {
    if entry.view().kind() == Kind::HashPacked && !thresholds.suit(pairs) {
        convert(entry);
    }
    let mut added = 0;
    for pair in pairs.chunks_exact(2) {
        let (field, value) = (pair[0], pair[1]);
        if entry.view().kind() == Kind::HashPacked {
            let (is_new, len) = entry.edit_packed(|store| {
                let is_new = set_packed(store, field, value);
                (is_new, Packed::new(store.as_ref()).len() / 2)
            });
            added += usize::from(is_new);
            if len as u64 > thresholds.entries {
                convert(entry);
            }
        } else {
            added += usize::from(entry.edit_object(|object| match object {
                Object::Hash(hash) => hash.set(field, value),
                _ => unreachable!("the type was looked at"),
            }));
        }
    }
    added
}

/// Removes a field; tells whether it was there.
fn remove(entry: &mut Occupied<'_, '_>, field: &[u8]) -> bool {
    if entry.view().kind() == Kind::HashPacked {
        let packed = Packed::new(entry.view().packed());
        let found: Option<At> = packed.find(field, packed.first(), 1);
        if let Some(at) = found {
            entry.edit_packed(|store| packed::remove(store, at, 2));
        }
        return found.is_some();
    }
    entry.edit_object(|object| match object {
        Object::Hash(hash) => hash.0.remove(field).is_some(),
        _ => unreachable!("the type was looked at"),
    })
}
