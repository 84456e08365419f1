//! Sorted sets: members ordered by score, and by name where scores are equal.
//!
//! A small sorted set is a packed sequence of members, each followed by its score, in order, in its
//! key's own block; a large one is a [`Zset`]. Ranks are what everything else is said in: a range of
//! scores, of names or of positions becomes a range of ranks ([`ranges`]), which [`ZsetRef`] reads
//! and [`remove_range`] removes.

pub mod commands;
mod operations;
mod ordered;
mod pop;
mod ranges;
pub mod rdb;
pub mod table;

pub use ordered::Zset;
pub use ranges::state_members;

use super::object::Object;
use super::packed::{self, At, Item, Packed};
use crate::config::Settings;
use crate::dispatch::call::Call;
use crate::keyspace::Key;
use crate::keyspace::access::Occupied;
use crate::raw::{EntryRef, Kind, NewValue, Splice};
use larder_protocol::encode::Version;
use larder_protocol::number::{MAX_F64_BYTES, parse_f64, push_f64};
use larder_protocol::{CommandError, Reply};
use std::cmp::Ordering;
use std::ops::Range;

/// A stored sorted set, to read.
#[derive(Clone, Copy)]
pub enum ZsetRef<'a> {
    /// A small one.
    Packed(Packed<'a>),
    /// A large one.
    Large(&'a Zset),
}

/// The score that a packed element is.
fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Int(score) => score as f64,
        Item::Bytes(text) => parse_f64(text).unwrap_or_default(),
    }
}

/// A packed member with its place and score.
fn pairs<'a>(packed: Packed<'a>) -> impl Iterator<Item = (At, Item<'a>, f64)> + use<'a> {
    let mut items = packed.iter();
    std::iter::from_fn(move || {
        let (at, member) = items.next()?;
        let (_, score) = items.next()?;
        Some((at, member, score_of(score)))
    })
}

/// The place and score of a packed member.
fn find_packed(packed: Packed<'_>, member: &[u8]) -> Option<(At, f64)> {
    let at = packed.find(member, packed.first(), 1)?;
    Some((at, score_of(packed.get(packed.next(at)?))))
}

impl<'a> ZsetRef<'a> {
    /// The sorted set in an entry.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Result<Self, CommandError> {
        match entry.kind() {
            Kind::ZsetPacked => Ok(Self::Packed(Packed::new(entry.packed()))),
            Kind::Object => match entry.object() {
                Object::Zset(zset) => Ok(Self::Large(zset)),
                _ => Err(CommandError::WRONG_TYPE),
            },
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// How many members it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty sorted set has no key")]
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len() / 2,
            Self::Large(zset) => zset.len(),
        }
    }

    /// A member's score.
    #[inline]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(packed) => Some(find_packed(packed, member)?.1),
            Self::Large(zset) => zset.score(member),
        }
    }

    /// A member's rank, the lowest score first, and its score.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            Self::Packed(packed) => pairs(packed)
                .enumerate()
                .find(|(_, (_, other, _))| other.is(member))
                .map(|(rank, (_, _, score))| (rank, score)),
            Self::Large(zset) => zset.rank(member),
        }
    }

    /// How many members are before: `before` holds for all members up to some rank, for none after.
    /// It is given a score and, for where scores do not decide, a comparison with the name.
    pub fn partition(self, before: impl Fn(f64, &dyn Fn(&[u8]) -> Ordering) -> bool) -> usize {
        match self {
            Self::Packed(packed) => pairs(packed)
                .take_while(|(_, member, score)| before(*score, &|name| member.cmp_bytes(name)))
                .count(),
            Self::Large(zset) => zset.partition(before),
        }
    }

    /// Shows `visit` the members of these ranks, in their order or backwards, until it says false.
    pub fn each_while(
        self,
        ranks: Range<usize>,
        backwards: bool,
        mut visit: impl FnMut(Item<'a>, f64) -> bool,
    ) {
        match self {
            _ if ranks.is_empty() => {}
            Self::Packed(packed) => {
                let mut at = packed.at(if backwards { 2 * ranks.end - 1 } else { 2 * ranks.start });
                for _ in ranks {
                    let Some(first) = at else { return };
                    let other = if backwards { packed.previous(first) } else { packed.next(first) };
                    let Some(second) = other else { return };
                    let (member, score) = if backwards { (second, first) } else { (first, second) };
                    if !visit(packed.get(member), score_of(packed.get(score))) {
                        return;
                    }
                    at = if backwards { packed.previous(second) } else { packed.next(second) };
                }
            }
            Self::Large(zset) => {
                let mut range = zset.range(ranks).map(|(name, score)| (Item::Bytes(name), score));
                let _ = if backwards {
                    range.rev().all(|(name, score)| visit(name, score))
                } else {
                    range.all(|(name, score)| visit(name, score))
                };
            }
        }
    }

    /// Shows `visit` the members of these ranks, in their order or backwards.
    pub fn each(self, ranks: Range<usize>, backwards: bool, mut visit: impl FnMut(Item<'a>, f64)) {
        self.each_while(ranks, backwards, |member, score| {
            visit(member, score);
            true
        });
    }

    /// The member of a rank, with its score.
    pub fn at(self, rank: usize) -> Option<(Item<'a>, f64)> {
        let mut found = None;
        if rank < self.len() {
            self.each(rank..rank + 1, false, |member, score| found = Some((member, score)));
        }
        found
    }
}

/// The thresholds between the two forms.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    entries: usize,
    value_bytes: usize,
}

impl Thresholds {
    /// `zset-max-listpack-entries` and `zset-max-listpack-value`.
    pub fn of(settings: &Settings) -> Self {
        Self {
            entries: settings.zset_max_listpack_entries as usize,
            value_bytes: settings.zset_max_listpack_value_bytes as usize,
        }
    }

    /// Whether so many members, none longer than this, suit a small sorted set.
    fn suit(self, len: usize, longest_bytes: usize) -> bool {
        len <= self.entries && longest_bytes <= self.value_bytes
    }
}

/// A score as it is packed.
fn text_of(score: f64) -> Vec<u8> {
    let mut text = Vec::with_capacity(MAX_F64_BYTES);
    // A packed zero has no sign, as in Redis.
    push_f64(&mut text, if score == 0.0 { 0.0 } else { score });
    text
}

/// Adds a member that is not there, at its place in the order.
fn insert_packed(store: &mut impl Splice, member: &[u8], score: f64) {
    let packed = Packed::new(store.as_ref());
    let is_after = |other: Item<'_>, other_score: f64| {
        other_score > score
            || (other_score == score && other.cmp_bytes(member) == Ordering::Greater)
    };
    let last = packed.last().and_then(|at| Some((packed.previous(at)?, at)));
    let is_last =
        last.is_none_or(|(other, at)| !is_after(packed.get(other), score_of(packed.get(at))));
    let before = if is_last {
        None
    } else {
        pairs(packed).find(|(_, other, score)| is_after(*other, *score)).map(|(at, ..)| at)
    };
    packed::insert_all(store, before, &[member, &text_of(score)]);
}

/// Gives a packed member another score.
fn update_packed(store: &mut impl Splice, at: At, member: &[u8], score: f64) {
    packed::remove(store, at, 2);
    insert_packed(store, member, score);
}

fn large(object: &mut Object) -> &mut Zset {
    match object {
        Object::Zset(zset) => zset,
        _ => unreachable!("the type was looked at"),
    }
}

/// Makes a small sorted set a large one.
fn convert(entry: &mut Occupied<'_, '_>) {
    if entry.view().kind() != Kind::ZsetPacked {
        return;
    }
    let mut zset = Zset::default();
    for (_, member, score) in pairs(Packed::new(entry.view().packed())) {
        zset.upsert(&member.bytes(), |_| Some(score));
    }
    entry.set_value(NewValue::Object(Box::new(Object::Zset(zset))));
}

/// Gives a member the score that `decide` makes of the one it has; adds it when it has none. Nothing
/// happens when `decide` wants none.
fn upsert(
    entry: &mut Occupied<'_, '_>,
    member: &[u8],
    thresholds: Thresholds,
    decide: impl FnOnce(Option<f64>) -> Option<f64>,
) {
    if entry.view().kind() == Kind::ZsetPacked {
        let packed = Packed::new(entry.view().packed());
        let (len, old) = (packed.len() / 2, find_packed(packed, member));
        let Some(score) = decide(old.map(|(_, score)| score)) else { return };
        match old {
            Some((_, old)) if old == score => {}
            Some((at, _)) => {
                entry.edit_packed(|store| update_packed(store, at, member, score));
            }
            None if thresholds.suit(len + 1, member.len()) => {
                entry.edit_packed(|store| insert_packed(store, member, score));
            }
            None => {
                convert(entry);
                entry.edit_object(|object| large(object).upsert(member, |_| Some(score)));
            }
        }
        return;
    }
    entry.edit_object(|object| large(object).upsert(member, decide));
}

/// Removes a member; tells whether it was there.
fn remove(entry: &mut Occupied<'_, '_>, member: &[u8]) -> bool {
    if entry.view().kind() == Kind::ZsetPacked {
        let found = find_packed(Packed::new(entry.view().packed()), member);
        if let Some((at, _)) = found {
            entry.edit_packed(|store| packed::remove(store, at, 2));
        }
        return found.is_some();
    }
    entry.edit_object(|object| large(object).remove(member).is_some())
}

/// Removes the members of these ranks.
fn remove_range(entry: &mut Occupied<'_, '_>, ranks: Range<usize>) {
    if entry.view().kind() == Kind::ZsetPacked {
        if let Some(at) = Packed::new(entry.view().packed()).at(2 * ranks.start) {
            entry.edit_packed(|store| packed::remove(store, at, 2 * ranks.len()));
        }
        return;
    }
    entry.edit_object(|object| large(object).remove_range(ranks));
}

/// Stores members with their scores, each member once, under a key in place of what was there.
pub fn store(call: &mut Call<'_>, key: Key<'_>, mut members: Vec<(Vec<u8>, f64)>) {
    members.sort_by(|(name, score), (other, other_score)| {
        score.partial_cmp(other_score).unwrap_or(Ordering::Equal).then_with(|| name.cmp(other))
    });
    let longest_bytes = members.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let (mut packed, mut zset) = (packed::EMPTY.to_vec(), Zset::default());
    let value = if Thresholds::of(call.settings).suit(members.len(), longest_bytes) {
        for (name, score) in &members {
            packed::insert_all(&mut packed, None, &[name, &text_of(*score)]);
        }
        NewValue::Packed(Kind::ZsetPacked, &packed)
    } else {
        for (name, score) in &members {
            zset.upsert(name, |_| Some(*score));
        }
        NewValue::Object(Box::new(Object::Zset(zset)))
    };
    call.db.set(key, value, crate::keyspace::access::Deadline::Clear);
}

/// Members with their scores as a reply: flat in RESP2, in pairs in RESP3.
pub fn scored<'a>(version: Version, members: impl Iterator<Item = (Reply<'a>, f64)>) -> Reply<'a> {
    let pairs = members.map(|(member, score)| [member, Reply::Double(score)]);
    Reply::Array(match version {
        Version::Resp2 => pairs.flatten().collect(),
        Version::Resp3 => pairs.map(|pair| Reply::Array(pair.into())).collect(),
    })
}

#[cfg(test)]
mod tests;
