//! Sets: unordered members without duplicates.
//!
//! A set of few integers is a sorted array ([`ints`]), another small one a packed sequence, both in
//! their key's own block; a large one is a table of [`Members`]. [`SetRef`] reads any of them;
//! [`SetValue`] is one that is being built, for new keys and for results; [`add`] and [`remove`]
//! change a stored one, with Redis's thresholds between the forms.

pub mod commands;
mod ints;
mod operations;
pub mod rdb;
pub mod table;

use super::members::Members;
use super::object::Object;
use super::packed::{self, Item, Packed};
use crate::config::Settings;
use crate::keyspace::access::Occupied;
use crate::raw::{EntryRef, Kind, NewValue};
use ints::Ints;
use larder_protocol::reply::Digits;
use larder_protocol::{CommandError, Reply};

/// A set of many members.
#[derive(Clone, Debug, Default)]
pub struct Set(Members);

impl Set {
    /// Bytes that it takes from the allocator, its own struct excluded.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// How many members it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty set has no key")]
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Places for members in its table.
    pub fn places(&self) -> usize {
        self.0.capacity()
    }

    fn add(&mut self, member: &[u8]) -> bool {
        if self.0.contains(member) {
            return false;
        }
        self.0.insert(member, NewValue::Bytes(b""), None);
        true
    }
}

/// A stored set, to read.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    /// Integers.
    Ints(Ints<'a>),
    /// A small one.
    Packed(Packed<'a>),
    /// A large one.
    Table(&'a Set),
}

impl<'a> SetRef<'a> {
    /// The set in an entry.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Result<Self, CommandError> {
        match entry.kind() {
            Kind::SetInts => Ok(Self::Ints(Ints::new(entry.packed()))),
            Kind::SetPacked => Ok(Self::Packed(Packed::new(entry.packed()))),
            Kind::Object => match entry.object() {
                Object::Set(set) => Ok(Self::Table(set)),
                _ => Err(CommandError::WRONG_TYPE),
            },
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// How many members it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty set has no key")]
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Packed(packed) => packed.len(),
            Self::Table(set) => set.len(),
        }
    }

    /// Whether a member is there.
    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Ints(ints) => {
                Item::of(member).number().is_some_and(|number| ints.contains(number))
            }
            Self::Packed(packed) => packed.find(member, packed.first(), 0).is_some(),
            Self::Table(set) => set.0.contains(member),
        }
    }

    /// Shows `visit` each member until it has seen enough and says false.
    pub fn each_while(self, mut visit: impl FnMut(Item<'a>) -> bool) {
        match self {
            Self::Ints(ints) => {
                let _ = ints.iter().all(|number| visit(Item::Int(number)));
            }
            Self::Packed(packed) => {
                let _ = packed.items().all(visit);
            }
            Self::Table(set) => {
                let _ = set.0.iter().all(|entry| visit(Item::Bytes(entry.key())));
            }
        }
    }

    /// Shows `visit` each member.
    pub fn each(self, mut visit: impl FnMut(Item<'a>)) {
        self.each_while(|member| {
            visit(member);
            true
        });
    }

    /// A member, each as likely as any other.
    pub fn random(self, rng: &mut fastrand::Rng) -> Option<Item<'a>> {
        match self {
            Self::Ints(ints) => Some(Item::Int(ints.get(rng.usize(..ints.len())))),
            Self::Packed(packed) => Some(packed.get(packed.at(rng.usize(..packed.len()))?)),
            Self::Table(set) => set.0.random(rng).map(|entry| Item::Bytes(entry.key())),
        }
    }
}

/// The thresholds between the forms.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    ints: usize,
    packed: usize,
    packed_bytes: usize,
}

/// Redis's own limit for a set of integers, whatever is configured.
const INTS_MAX: u64 = 1 << 30;

impl Thresholds {
    /// `set-max-intset-entries`, `set-max-listpack-entries` and `set-max-listpack-value`.
    pub fn of(settings: &Settings) -> Self {
        Self {
            ints: settings.set_max_intset_entries.min(INTS_MAX) as usize,
            packed: settings.set_max_listpack_entries as usize,
            packed_bytes: settings.set_max_listpack_value_bytes as usize,
        }
    }

    /// Whether integers and one more member that is none suit a packed set.
    fn suit_packed(self, ints: Ints<'_>, member: &[u8]) -> bool {
        let digits = |index: usize| Digits::new(ints.get(index)).as_bytes().len();
        let longest = match ints.len() {
            0 => 0,
            len => digits(0).max(digits(len - 1)),
        };
        ints.len() < self.packed && member.len().max(longest) <= self.packed_bytes
    }
}

/// A set that is being built.
#[derive(Debug)]
enum SetValue {
    Ints(Vec<u8>),
    Packed(Vec<u8>),
    Table(Set),
}

impl SetValue {
    /// The form for a set that begins with `first` and may have `hint` members.
    fn beginning(first: &[u8], hint: usize, thresholds: Thresholds) -> Self {
        if hint <= thresholds.ints && Item::of(first).number().is_some() {
            Self::Ints(ints::EMPTY.to_vec())
        } else if hint <= thresholds.packed {
            Self::Packed(packed::EMPTY.to_vec())
        } else {
            Self::Table(Set::default())
        }
    }

    fn as_ref(&self) -> SetRef<'_> {
        match self {
            Self::Ints(bytes) => SetRef::Ints(Ints::new(bytes)),
            Self::Packed(bytes) => SetRef::Packed(Packed::new(bytes)),
            Self::Table(set) => SetRef::Table(set),
        }
    }

    fn table(&self) -> Set {
        let mut set = Set::default();
        self.as_ref().each(|member| {
            set.add(&member.bytes());
        });
        set
    }

    /// Adds a member; false when it was there.
    fn add(&mut self, member: &[u8], thresholds: Thresholds) -> bool {
        match self {
            Self::Ints(bytes) => {
                if let Some(number) = Item::of(member).number() {
                    let added = ints::add(bytes, number);
                    if Ints::new(bytes).len() > thresholds.ints {
                        *self = Self::Table(self.table());
                    }
                    return added;
                }
                if thresholds.suit_packed(Ints::new(bytes), member) {
                    *self = Self::Packed(packed_ints(Ints::new(bytes)));
                } else {
                    *self = Self::Table(self.table());
                }
                self.add(member, thresholds)
            }
            Self::Packed(bytes) => {
                let packed = Packed::new(bytes);
                if packed.find(member, packed.first(), 0).is_some() {
                    return false;
                }
                if packed.len() < thresholds.packed && member.len() <= thresholds.packed_bytes {
                    packed::push_back(bytes, member);
                    return true;
                }
                let mut set = self.table();
                let added = set.add(member);
                *self = Self::Table(set);
                added
            }
            Self::Table(set) => set.add(member),
        }
    }

    /// Hands the value to `store`.
    fn store(self, store: impl FnOnce(NewValue<'_>)) {
        match self {
            Self::Ints(bytes) => store(NewValue::Packed(Kind::SetInts, &bytes)),
            Self::Packed(bytes) => store(NewValue::Packed(Kind::SetPacked, &bytes)),
            Self::Table(set) => store(NewValue::Object(Box::new(Object::Set(set)))),
        }
    }
}

fn packed_ints(ints: Ints<'_>) -> Vec<u8> {
    let mut bytes = packed::EMPTY.to_vec();
    ints.iter().for_each(|number| packed::push_back(&mut bytes, Digits::new(number).as_bytes()));
    bytes
}

/// What an entry's set is as a value of its own, to be changed to another form.
fn taken(entry: EntryRef<'_>) -> SetValue {
    match entry.kind() {
        Kind::SetInts => SetValue::Ints(entry.packed().to_vec()),
        Kind::SetPacked => SetValue::Packed(entry.packed().to_vec()),
        _ => unreachable!("a large set changes where it is"),
    }
}

/// Makes a stored set a table if `more` members may be too many for its form.
fn grow_for(entry: &mut Occupied<'_, '_>, more: usize, thresholds: Thresholds) {
    let is_too_much = match entry.view().kind() {
        Kind::SetInts => more > thresholds.ints,
        Kind::SetPacked => more > thresholds.packed,
        _ => false,
    };
    if is_too_much {
        let table = taken(entry.view()).table();
        entry.set_value(NewValue::Object(Box::new(Object::Set(table))));
    }
}

/// Adds a member to a stored set; false when it was there.
fn add(entry: &mut Occupied<'_, '_>, member: &[u8], thresholds: Thresholds) -> bool {
    let view = entry.view();
    match view.kind() {
        Kind::Object => entry.edit_object(|object| match object {
            Object::Set(set) => set.add(member),
            _ => unreachable!("the type was looked at"),
        }),
        Kind::SetInts
            if Ints::new(view.packed()).len() < thresholds.ints
                && Item::of(member).number().is_some() =>
        {
            let number = Item::of(member).number().unwrap_or_default();
            entry.edit_packed(|store| ints::add(store, number))
        }
        Kind::SetPacked
            if Packed::new(view.packed()).len() < thresholds.packed
                && member.len() <= thresholds.packed_bytes =>
        {
            let packed = Packed::new(view.packed());
            if packed.find(member, packed.first(), 0).is_some() {
                return false;
            }
            entry.edit_packed(|store| packed::push_back(store, member));
            true
        }
        _ => {
            if SetRef::of(view).is_ok_and(|set| set.contains(member)) {
                return false;
            }
            let mut value = taken(entry.view());
            value.add(member, thresholds);
            value.store(|value| entry.set_value(value));
            true
        }
    }
}

/// Removes a member from a stored set; tells whether it was there.
fn remove(entry: &mut Occupied<'_, '_>, member: &[u8]) -> bool {
    let view = entry.view();
    match view.kind() {
        Kind::SetInts => {
            let Some(number) = Item::of(member).number() else { return false };
            let found = Ints::new(view.packed()).search(number);
            if let Ok(index) = found {
                entry.edit_packed(|store| ints::remove_at(store, index));
            }
            found.is_ok()
        }
        Kind::SetPacked => {
            let packed = Packed::new(view.packed());
            let found = packed.find(member, packed.first(), 0);
            if let Some(at) = found {
                entry.edit_packed(|store| packed::remove(store, at, 1));
            }
            found.is_some()
        }
        _ => entry.edit_object(|object| match object {
            Object::Set(set) => set.0.remove(member).is_some(),
            _ => unreachable!("the type was looked at"),
        }),
    }
}

/// The reply that gives members and borrows nothing.
fn owned(members: Vec<Item<'_>>) -> Vec<Reply<'static>> {
    members.into_iter().map(Item::to_owned_reply).collect()
}

#[cfg(test)]
mod tests;
