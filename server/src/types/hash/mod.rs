//! Hashes: fields and values under a key.
//!
//! A small hash is a packed sequence of fields, each followed by its value, in its key's own block; a
//! large one is a table of [`Members`] whose values are strings. [`HashRef`] reads either, [`set`]
//! and [`remove`] change either and turn the one into the other at Redis's thresholds. Fields with
//! deadlines are the matter of [`expiry`].

pub mod commands;
pub mod expiry;
pub mod rdb;
pub mod table;

use super::members::Members;
use super::object::Object;
use super::packed::{self, At, Item, Packed};
use super::string::StringRef;
use crate::config::Settings;
use crate::keyspace::access::Occupied;
use crate::keyspace::expire::Deadlines;
use crate::raw::{EntryRef, Kind, NewValue};
use expiry::Timed;
use larder_protocol::{CommandError, Reply};
use std::borrow::Cow;

/// A hash of many fields.
#[derive(Clone, Debug, Default)]
pub struct Hash {
    members: Members,
    /// Which fields are due when; there when any field has a deadline.
    deadlines: Option<Box<Deadlines>>,
}

impl Hash {
    /// Bytes that it takes from the allocator, its own struct excluded.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.members.size_bytes() + self.index_bytes()
    }

    /// How many fields it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty hash has no key")]
    #[inline]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Places for fields in its table.
    pub fn places(&self) -> usize {
        self.members.capacity()
    }

    /// Sets a field, and takes its deadline unless that is to stay; tells whether it is new.
    fn set(&mut self, field: &[u8], value: &[u8], keeps_deadline: bool) -> bool {
        let Some(at) = self.members.position(field) else {
            self.members.insert(field, NewValue::string(value), None);
            return true;
        };
        let before = self.members.get(at).deadline_ms();
        let after = before.filter(|_| keeps_deadline);
        self.members.edit(at, |entry| {
            entry.set_value(NewValue::string(value));
            if after != before {
                entry.set_deadline_ms(after);
            }
        });
        self.note(field, before, after);
        false
    }

    /// Removes a field; tells whether it was there.
    fn remove(&mut self, field: &[u8]) -> bool {
        let Some(entry) = self.members.remove(field) else { return false };
        self.note(field, entry.view().deadline_ms(), None);
        true
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
    /// A small one with deadlines.
    Timed(Timed<'a>),
    /// A large one.
    Table(&'a Hash),
    /// A large one without the fields that are due at this time.
    Partial(&'a Hash, i64),
}

/// The value in a table's entry.
fn value_of(entry: EntryRef<'_>) -> FieldValue<'_> {
    match StringRef::of(entry) {
        Ok(string) => FieldValue::Entry(string),
        Err(_) => unreachable!("the values of a hash are strings"),
    }
}

impl<'a> HashRef<'a> {
    /// The hash in an entry, as it is stored. Fields that are due are seldom in it, but where nothing
    /// may be removed they are: who only reads looks at it [`as_of`](Self::as_of) now.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Result<Self, CommandError> {
        match entry.kind() {
            Kind::HashPacked => Ok(Self::Packed(Packed::new(entry.packed()))),
            Kind::HashPackedTtl => Ok(Self::Timed(Timed::new(entry.packed()))),
            Kind::Object => match entry.object() {
                Object::Hash(hash) => Ok(Self::Table(hash)),
                _ => Err(CommandError::WRONG_TYPE),
            },
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// The same without the fields that are due.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn as_of(entry: EntryRef<'a>, now_ms: i64) -> Result<Self, CommandError> {
        Ok(match Self::of(entry)? {
            Self::Timed(timed) => Self::Timed(timed.as_of(now_ms)),
            Self::Table(hash) if hash.may_have_due(now_ms) => Self::Partial(hash, now_ms),
            other => other,
        })
    }

    /// How many fields it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty hash has no key")]
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len() / 2,
            Self::Timed(timed) => timed.len(),
            Self::Table(hash) => hash.len(),
            Self::Partial(hash, now_ms) => {
                let due = expiry::due(now_ms);
                hash.members.iter().filter(|entry| !due(*entry)).count()
            }
        }
    }

    /// The member of a large hash.
    #[inline]
    fn member(self, field: &[u8]) -> Option<EntryRef<'a>> {
        match self {
            Self::Table(hash) => hash.members.find(field),
            Self::Partial(hash, now_ms) => {
                hash.members.find(field).filter(|entry| !expiry::due(now_ms)(*entry))
            }
            Self::Packed(_) | Self::Timed(_) => None,
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
            Self::Timed(timed) => timed.get(field),
            Self::Table(_) | Self::Partial(..) => self.member(field).map(value_of),
        }
    }

    /// When a field expires, in milliseconds since the Unix epoch, or that it does not; `None` when
    /// it is not there.
    pub fn deadline_of(self, field: &[u8]) -> Option<Option<i64>> {
        match self {
            Self::Packed(_) => self.get(field).map(|_| None),
            Self::Timed(timed) => timed.deadline_of(field),
            Self::Table(_) | Self::Partial(..) => self.member(field).map(EntryRef::deadline_ms),
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
            Self::Timed(timed) => timed.each(|field, value, _| visit(field, value)),
            Self::Table(hash) => {
                let mut show =
                    |entry: EntryRef<'a>| visit(Reply::Bulk(entry.key()), value_of(entry));
                hash.members.iter().for_each(&mut show);
            }
            Self::Partial(hash, now_ms) => {
                let due = expiry::due(now_ms);
                let live = hash.members.iter().filter(|entry| !due(*entry));
                live.for_each(|entry| visit(Reply::Bulk(entry.key()), value_of(entry)));
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
        hash.set(pair[0], pair[1], false);
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
    let mut hash = Hash::default();
    match view.kind() {
        Kind::HashPacked => {
            let mut items = Packed::new(view.packed()).items();
            while let (Some(field), Some(value)) = (items.next(), items.next()) {
                hash.members.insert(&field.bytes(), NewValue::string(&value.bytes()), None);
            }
        }
        Kind::HashPackedTtl => hash = expiry::unpack(Timed::new(view.packed())),
        _ => return,
    }
    entry.set_value(NewValue::Object(Box::new(Object::Hash(hash))));
}

/// What becomes of a field's deadline when the field is set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    Clear,
    Keep,
}

/// Sets fields, each followed by its value; gives how many are new.
fn set(
    entry: &mut Occupied<'_, '_>,
    pairs: &[&[u8]],
    thresholds: Thresholds,
    deadlines: Old,
) -> usize {
    let view = entry.view();
    let (is_small, is_timed) = (view.kind().is_packed(), view.has_field_deadlines());
    if is_small && !thresholds.suit(pairs) {
        convert(entry);
    }
    let set = |entry: &mut Occupied<'_, '_>, pair: &[&[u8]]| {
        usize::from(set_one(entry, pair[0], pair[1], thresholds, deadlines == Old::Keep))
    };
    if is_timed {
        return entry.edit_fields(|entry| pairs.chunks_exact(2).map(|pair| set(entry, pair)).sum());
    }
    pairs.chunks_exact(2).map(|pair| set(entry, pair)).sum()
}

/// Sets a field; tells whether it is new.
#[inline]
fn set_one(
    entry: &mut Occupied<'_, '_>,
    field: &[u8],
    value: &[u8],
    thresholds: Thresholds,
    keeps_deadline: bool,
) -> bool {
    let (is_new, len) = match entry.view().kind() {
        Kind::HashPacked => entry.edit_packed(|store| {
            let is_new = set_packed(store, field, value);
            (is_new, Packed::new(store.as_ref()).len() / 2)
        }),
        Kind::HashPackedTtl => entry.edit_packed(|store| {
            let is_new = expiry::set_packed(store, field, value, keeps_deadline);
            (is_new, Timed::new(store.as_ref()).len())
        }),
        _ => {
            return entry.edit_object(|object| match object {
                Object::Hash(hash) => hash.set(field, value, keeps_deadline),
                _ => unreachable!("the type was looked at"),
            });
        }
    };
    if len as u64 > thresholds.entries {
        convert(entry);
    }
    is_new
}

/// Removes a field; tells whether it was there. To be called within [`Occupied::edit_fields`].
fn remove(entry: &mut Occupied<'_, '_>, field: &[u8]) -> bool {
    match entry.view().kind() {
        Kind::HashPacked => {
            let packed = Packed::new(entry.view().packed());
            let found: Option<At> = packed.find(field, packed.first(), 1);
            if let Some(at) = found {
                entry.edit_packed(|store| packed::remove(store, at, 2));
            }
            found.is_some()
        }
        Kind::HashPackedTtl => entry.edit_packed(|store| expiry::remove_packed(store, field)),
        _ => entry.edit_object(|object| match object {
            Object::Hash(hash) => hash.remove(field),
            _ => unreachable!("the type was looked at"),
        }),
    }
}

#[cfg(test)]
mod tests;
