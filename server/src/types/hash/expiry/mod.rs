//! Hashes some of whose fields have deadlines.
//!
//! A small one is a packed sequence of field, value and deadline, 0 for none. As in Redis it is
//! ordered: the earliest deadline first, among equal ones the newest first, fields without a deadline
//! at the end. What is due is therefore a run at the beginning. In a large one the members carry
//! their deadlines, and an index of the same kind as the keyspace's finds those that are due. The
//! shard's index holds the earliest deadline of either.

pub mod commands;
pub mod table;

use super::{FieldValue, Hash};
use crate::keyspace::access::Occupied;
use crate::keyspace::expire::{Deadlines, is_due};
use crate::raw::{EntryMut, EntryRef, Kind, NewValue, Splice, block_bytes};
use crate::types::members::tag_of;
use crate::types::object::Object;
use crate::types::packed::{self, At, Packed};
use larder_protocol::Reply;

/// Elements of a packed field: its name, its value, its deadline.
const PARTS: usize = 3;

/// A small hash with deadlines, to read from its first visible field on.
#[derive(Clone, Copy)]
pub struct Timed<'a> {
    packed: Packed<'a>,
    from: Option<At>,
    len: usize,
}

impl<'a> Timed<'a> {
    /// All fields in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let packed = Packed::new(bytes);
        Self { packed, from: packed.first(), len: packed.len() / PARTS }
    }

    /// The same without the fields that are due.
    pub fn as_of(mut self, now_ms: i64) -> Self {
        while let Some(at) = self.from
            && is_due(self.deadline_ms(at).unwrap_or(i64::MAX), now_ms)
        {
            self.from = self.after(at);
            self.len -= 1;
        }
        self
    }

    /// How many fields it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty hash has no key")]
    pub fn len(self) -> usize {
        self.len
    }

    /// Where a field is.
    fn find(self, field: &[u8]) -> Option<At> {
        self.packed.find(field, self.from, PARTS - 1)
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<FieldValue<'a>> {
        self.find(field).map(|at| self.value(at))
    }

    /// The deadline of a field, or that it has none.
    pub fn deadline_of(self, field: &[u8]) -> Option<Option<i64>> {
        self.find(field).map(|at| self.deadline_ms(at))
    }

    /// Shows `visit` each field with its value and its deadline.
    pub fn each(self, mut visit: impl FnMut(Reply<'a>, FieldValue<'a>, Option<i64>)) {
        let mut next = self.from;
        while let Some(at) = next {
            visit(self.packed.get(at).reply(), self.value(at), self.deadline_ms(at));
            next = self.after(at);
        }
    }

    fn part(self, at: At, number: usize) -> Option<At> {
        (0..number).try_fold(at, |at, _| self.packed.next(at))
    }

    fn after(self, at: At) -> Option<At> {
        self.part(at, PARTS)
    }

    fn value(self, at: At) -> FieldValue<'a> {
        FieldValue::Packed(self.packed.get(self.part(at, 1).unwrap_or(at)))
    }

    fn deadline_ms(self, at: At) -> Option<i64> {
        let deadline = self.packed.get(self.part(at, 2)?).number();
        deadline.filter(|ms| *ms != 0)
    }
}

/// Sets a field of a small hash, and takes its deadline unless that is to stay; tells whether it is
/// new.
pub(super) fn set_packed(
    store: &mut impl Splice,
    field: &[u8],
    value: &[u8],
    keeps_deadline: bool,
) -> bool {
    let timed = Timed::new(store.as_ref());
    let Some(at) = timed.find(field) else {
        packed::insert_all(store, None, &[field, value, b"0"]);
        return true;
    };
    if !keeps_deadline && timed.deadline_ms(at).is_some() {
        packed::remove(store, at, PARTS);
        packed::insert_all(store, None, &[field, value, b"0"]);
    } else if let Some(at) = timed.part(at, 1) {
        packed::replace(store, at, value);
    }
    false
}

/// Gives a field of a small hash another deadline, or none.
fn move_packed(store: &mut impl Splice, field: &[u8], deadline_ms: Option<i64>) {
    let timed = Timed::new(store.as_ref());
    let Some(at) = timed.find(field) else { return };
    let value = timed.value(at).bytes().into_owned();
    packed::remove(store, at, PARTS);
    let timed = Timed::new(store.as_ref());
    let mut before = deadline_ms.and(timed.from);
    while let Some(at) = before
        && timed.deadline_ms(at).is_some_and(|other| Some(other) < deadline_ms)
    {
        before = timed.after(at);
    }
    let deadline_ms = deadline_ms.unwrap_or(0);
    let digits = itoa::Buffer::new().format(deadline_ms).to_owned();
    packed::insert_all(store, before, &[field, &value, digits.as_bytes()]);
}

/// Removes a field of a small hash; tells whether it was there.
pub(super) fn remove_packed(store: &mut impl Splice, field: &[u8]) -> bool {
    let found = Timed::new(store.as_ref()).find(field);
    if let Some(at) = found {
        packed::remove(store, at, PARTS);
    }
    found.is_some()
}

/// The large form of a small hash.
pub(super) fn unpack(timed: Timed<'_>) -> Hash {
    let mut hash = Hash::default();
    timed.each(|field, value, deadline_ms| {
        let (field, value) = (field.as_bytes().map(<[u8]>::to_vec), value.bytes());
        let field = field.unwrap_or_default();
        hash.members.insert(&field, NewValue::string(&value), deadline_ms);
        hash.note(&field, None, deadline_ms);
    });
    hash
}

impl Hash {
    /// Bytes of the index of deadlines.
    #[inline]
    pub(super) fn index_bytes(&self) -> usize {
        match &self.deadlines {
            Some(index) => block_bytes(size_of::<Deadlines>()) + index.size_bytes(),
            None => 0,
        }
    }

    /// Whether fields may be due.
    #[inline]
    pub(super) fn may_have_due(&self, now_ms: i64) -> bool {
        self.deadlines
            .as_ref()
            .and_then(|index| index.next_ms())
            .is_some_and(|deadline| is_due(deadline, now_ms))
    }

    /// Brings the index up to a field whose deadline was `before` and is `after`.
    #[inline]
    pub(super) fn note(&mut self, field: &[u8], before: Option<i64>, after: Option<i64>) {
        if before != after {
            self.move_item(field, before, after);
        }
    }

    fn move_item(&mut self, field: &[u8], before: Option<i64>, after: Option<i64>) {
        let index = self.deadlines.get_or_insert_default();
        if before.is_some() {
            index.remove_one();
        }
        if let Some(deadline) = after {
            index.add(tag_of(field), deadline);
        }
        if index.volatile() == 0 {
            self.deadlines = None;
        } else if index.is_wasteful() {
            let members = &self.members;
            index.compact(|tag, is_deadline| {
                let live = |entry: EntryRef<'_>| entry.deadline_ms().is_some_and(is_deadline);
                members.find_tag(tag, live).is_some()
            });
        }
    }

    /// Gives a field another deadline, or none.
    fn set_deadline(&mut self, field: &[u8], deadline_ms: Option<i64>) {
        let Some(at) = self.members.position(field) else { return };
        let before = self.members.get(at).deadline_ms();
        self.members.edit(at, |entry| entry.set_deadline_ms(deadline_ms));
        self.note(field, before, deadline_ms);
    }

    /// Removes up to `limit` due fields and shows their names to `gone`; gives their number.
    fn remove_due(&mut self, now_ms: i64, limit: usize, mut gone: impl FnMut(&[u8])) -> usize {
        let mut removed = 0;
        while removed < limit
            && let Some(index) = &mut self.deadlines
        {
            let members = &self.members;
            let Some(at) = index.first_due(now_ms, |tag| members.find_tag(tag, due(now_ms))) else {
                break;
            };
            let entry = self.members.take(at);
            gone(entry.view().key());
            self.note(entry.view().key(), entry.view().deadline_ms(), None);
            removed += 1;
        }
        removed
    }
}

/// Whether an entry's deadline has passed.
pub(super) fn due(now_ms: i64) -> impl Fn(EntryRef<'_>) -> bool {
    move |entry| entry.deadline_ms().is_some_and(|deadline| is_due(deadline, now_ms))
}

/// The earliest deadline of any field; of a large hash perhaps that of a field that has it no more.
pub fn next_deadline_ms(entry: EntryRef<'_>) -> Option<i64> {
    match entry.kind() {
        Kind::HashPackedTtl => {
            let timed = Timed::new(entry.packed());
            timed.deadline_ms(timed.from?)
        }
        Kind::Object => match entry.object() {
            Object::Hash(hash) => hash.deadlines.as_ref()?.next_ms(),
            _ => None,
        },
        _ => None,
    }
}

/// Whether every field of a hash is due.
pub fn all_due(entry: EntryRef<'_>, now_ms: i64) -> bool {
    match entry.kind() {
        Kind::HashPackedTtl => Timed::new(entry.packed()).as_of(now_ms).len == 0,
        Kind::Object => match entry.object() {
            Object::Hash(hash) => {
                hash.may_have_due(now_ms)
                    && hash.deadlines.as_ref().is_some_and(|index| index.volatile() == hash.len())
                    && hash.members.iter().all(due(now_ms))
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a hash with deadlines has lost its last field.
pub fn is_empty(entry: EntryRef<'_>) -> bool {
    match entry.kind() {
        Kind::Object => entry.object().len() == 0,
        _ => Packed::new(entry.packed()).is_empty(),
    }
}

/// Removes up to `limit` due fields of a hash and shows their names to `gone`; gives their number.
pub fn remove_due(
    entry: &mut EntryMut<'_>,
    now_ms: i64,
    limit: usize,
    mut gone: impl FnMut(&[u8]),
) -> usize {
    if entry.view().kind() == Kind::Object {
        return match entry.object_mut() {
            Object::Hash(hash) => hash.remove_due(now_ms, limit, gone),
            _ => 0,
        };
    }
    let timed = Timed::new(entry.view().packed());
    let (first, due) = (timed.from, timed.len - timed.as_of(now_ms).len);
    let removed = due.min(limit);
    timed.packed.items().step_by(PARTS).take(removed).for_each(|field| gone(&field.bytes()));
    if let Some(first) = first {
        packed::remove(&mut entry.packed_mut(), first, PARTS * removed);
    }
    removed
}

/// Gives a field that is there another deadline, or none; to be called within
/// [`Occupied::edit_fields`].
fn set_deadline(entry: &mut Occupied<'_, '_>, field: &[u8], deadline_ms: Option<i64>) {
    if entry.view().kind() == Kind::HashPacked {
        let plain = Packed::new(entry.view().packed());
        let mut timed = packed::EMPTY.to_vec();
        for (number, item) in plain.items().enumerate() {
            packed::push_back(&mut timed, &item.bytes());
            if number % 2 == 1 {
                packed::push_back(&mut timed, b"0");
            }
        }
        entry.set_value(NewValue::Packed(Kind::HashPackedTtl, &timed));
    }
    if entry.view().kind() == Kind::HashPackedTtl {
        entry.edit_packed(|store| move_packed(store, field, deadline_ms));
    } else {
        entry.edit_object(|object| match object {
            Object::Hash(hash) => hash.set_deadline(field, deadline_ms),
            _ => unreachable!("the type was looked at"),
        });
    }
}
