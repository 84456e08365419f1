//! Sorted sets in dump files: members with their scores.

use super::{Thresholds, Zset, pairs, text_of};
use crate::raw::Kind;
use crate::types::list::rdb::item_of;
use crate::types::object::Object;
use crate::types::packed::{self, Item, Packed};
use crate::types::rdb::{self, Built};
use larder_protocol::number::parse_f64;
use larder_protocol::rdb::{Error, Reader, Writer, opcode, ziplist};
use std::cmp::Ordering;

const TWICE: &str = "a sorted set that has a member twice";
const NO_SCORE: &str = "a sorted set with a score that is no number";
const ODD: &str = "a sorted set with a member that has no score";

/// A member with its score.
type Scored = (Box<[u8]>, f64);

/// Appends a large sorted set, the highest score first as in Redis: there each member is put in
/// front of all others.
pub fn put(out: &mut Writer, zset: &Zset) {
    out.length(zset.len() as u64);
    for (member, score) in zset.range(0..zset.len()).rev() {
        out.string(member);
        out.double(score);
    }
}

/// Reads a sorted set in any of its forms.
pub(in crate::types) fn read(
    reader: &mut Reader<'_>,
    kind: u8,
    thresholds: Thresholds,
) -> Result<Option<Built>, Error> {
    let offset = reader.offset();
    let result = match kind {
        opcode::ZSET | opcode::ZSET_2 => build(read_members(reader, kind)?, thresholds),
        _ => {
            let bytes = match kind {
                opcode::ZSET_ZIPLIST => read_ziplist(reader)?,
                _ => rdb::read_listpack(reader)?,
            };
            keep_or_build(bytes, thresholds)
        }
    };
    result.map_err(|reason| rdb::at(offset, reason))
}

fn read_members(reader: &mut Reader<'_>, kind: u8) -> Result<Vec<Scored>, Error> {
    let (len, mut members, mut name) = (reader.length()?, Vec::new(), Vec::new());
    for _ in 0..len {
        reader.string_into(&mut name)?;
        let score = if kind == opcode::ZSET_2 { reader.double()? } else { reader.text_double()? };
        members.push((Box::from(&*name), score));
    }
    Ok(members)
}

fn read_ziplist(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let offset = reader.offset();
    let (bytes, mut elements) = (reader.string()?, Vec::new());
    let count = ziplist::each(&bytes, |element| {
        packed::append(&mut elements, item_of(element));
        Ok(())
    });
    let count = count.map_err(|reason| rdb::at(offset, reason))?;
    Ok(packed::from_elements(count, &elements))
}

/// A packed sequence as it is, if it is in order and not too long.
fn keep_or_build(bytes: Vec<u8>, thresholds: Thresholds) -> Result<Option<Built>, &'static str> {
    let packed = Packed::new(&bytes);
    if !packed.len().is_multiple_of(2) {
        return Err(ODD);
    }
    if !packed.items().skip(1).step_by(2).all(is_score) {
        return Err(NO_SCORE);
    }
    if packed.is_empty() {
        return Ok(None);
    }
    if packed.len() / 2 <= thresholds.entries && is_ordered(packed) {
        if packed::has_duplicates(packed, 1) {
            return Err(TWICE);
        }
        return Ok(Some(Built::Packed(Kind::ZsetPacked, bytes)));
    }
    let members = pairs(packed).map(|(_, member, score)| (Box::from(&*member.bytes()), score));
    build(members.collect(), thresholds)
}

fn is_score(item: Item<'_>) -> bool {
    match item {
        Item::Int(_) => true,
        Item::Bytes(text) => parse_f64(text).is_some_and(|score| !score.is_nan()),
    }
}

fn is_ordered(packed: Packed<'_>) -> bool {
    let mut last: Option<(Item<'_>, f64)> = None;
    pairs(packed).all(|(_, member, score)| {
        let before = last.replace((member, score));
        before.is_none_or(|(other, other_score)| {
            other_score < score
                || (other_score == score && other.cmp_bytes(&member.bytes()) == Ordering::Less)
        })
    })
}

/// A sorted set of members in any order.
fn build(mut members: Vec<Scored>, thresholds: Thresholds) -> Result<Option<Built>, &'static str> {
    if members.is_empty() {
        return Ok(None);
    }
    if members.iter().any(|(_, score)| score.is_nan()) {
        return Err(NO_SCORE);
    }
    // Mostly they come the highest first.
    members.reverse();
    members.sort_by(|(name, score), (other, other_score)| {
        score.partial_cmp(other_score).unwrap_or(Ordering::Equal).then_with(|| name.cmp(other))
    });
    let longest_bytes = members.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    if thresholds.suit(members.len(), longest_bytes) {
        let mut elements = Vec::new();
        for (name, score) in &members {
            packed::append(&mut elements, Item::of(name));
            packed::append(&mut elements, Item::of(&text_of(*score)));
        }
        let bytes = packed::from_elements(2 * members.len(), &elements);
        if packed::has_duplicates(Packed::new(&bytes), 1) {
            return Err(TWICE);
        }
        return Ok(Some(Built::Packed(Kind::ZsetPacked, bytes)));
    }
    let mut zset = Zset::default();
    for (name, score) in members {
        if !zset.push_last(name, score) {
            return Err(TWICE);
        }
    }
    Ok(Some(Built::object(Object::Zset(zset))))
}
