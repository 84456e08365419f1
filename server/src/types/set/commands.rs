//! The set commands.
//!
//! What is drawn at random is logged as its result: SPOP as SREM, or as the removal of the key.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::operations::{self, Operation};
use super::{SetRef, SetValue, Thresholds, add, grow_for, owned, remove};
use crate::commands::generic::scan::{ScanOptions, parse_cursor};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::types::draw::{self, Wanted};
use crate::types::packed::Item;
use larder_protocol::{CommandError, Reply};

/// Members in one SREM that a SPOP is logged as.
const EFFECT_MEMBERS: usize = 1024;

/// SADD key member \[member ...\]
pub fn sadd<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, members) = (call.key(1), call.args.skip(2));
    let added = add_all(call, key, members.iter(), members.len())?;
    if added > 0 {
        call.changed(Classes::SET, "sadd", key);
        call.db.changes.dirty += added as u64 - 1;
    }
    Ok(Reply::from(added))
}

/// Adds members to a set that is made when it is missing; gives how many are new.
fn add_all<'m>(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: impl Iterator<Item = &'m [u8]>,
    count: usize,
) -> Result<usize, CommandError> {
    let thresholds = Thresholds::of(call.settings);
    let mut members = members.peekable();
    match call.db.find_for_write(key) {
        Some(mut entry) => {
            SetRef::of(entry.view())?;
            grow_for(&mut entry, count, thresholds);
            Ok(members.filter(|member| add(&mut entry, member, thresholds)).count())
        }
        None => {
            let first = members.peek().copied().unwrap_or_default();
            let mut value = SetValue::beginning(first, count, thresholds);
            let added = members.filter(|member| value.add(member, thresholds)).count();
            value.store(|value| call.db.insert(key, value, None));
            Ok(added)
        }
    }
}

/// SREM key member \[member ...\]
pub fn srem<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, members) = (call.key(1), call.args.skip(2));
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    SetRef::of(entry.view())?;
    let (mut gone, mut is_empty) = (0_u64, false);
    for member in members.iter() {
        gone += u64::from(remove(&mut entry, member));
        is_empty = SetRef::of(entry.view())?.len() == 0;
        if is_empty {
            break;
        }
    }
    if is_empty {
        entry.remove();
    }
    if gone > 0 {
        call.changed(Classes::SET, "srem", key);
        call.db.changes.dirty += gone - 1;
        key_gone(call, key, is_empty);
    }
    Ok(Reply::Int(gone as i64))
}

fn key_gone(call: &mut Call<'_>, key: Key<'_>, is_gone: bool) {
    if is_gone {
        let db = call.db.db();
        call.db.changes.event(Classes::GENERIC, "del", db, key.bytes);
    }
}

/// SMOVE source destination member
pub fn smove<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (source, destination, member) = (call.key(1), call.key(2), call.args.at(3));
    let Some(mut entry) = call.db.find_for_write(source) else { return Ok(Reply::Int(0)) };
    let is_member = SetRef::of(entry.view())?.contains(member);
    if let Some(mut entry) = call.db.find_for_write(destination) {
        SetRef::of(entry.view())?;
    }
    if source.bytes == destination.bytes || !is_member {
        return Ok(Reply::from(is_member));
    }
    let mut is_empty = false;
    if let Some(mut entry) = call.db.find_for_write(source) {
        remove(&mut entry, member);
        is_empty = SetRef::of(entry.view())?.len() == 0;
        if is_empty {
            entry.remove();
        }
    }
    call.changed(Classes::SET, "srem", source);
    key_gone(call, source, is_empty);
    if add_all(call, destination, std::iter::once(member), 1)? > 0 {
        call.changed(Classes::SET, "sadd", destination);
    }
    Ok(Reply::Int(1))
}

/// SISMEMBER key member
pub fn sismember<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, member) = (call.key(1), call.args.at(2));
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Int(0)) };
    Ok(Reply::from(SetRef::of(entry)?.contains(member)))
}

/// SMISMEMBER key member \[member ...\]
pub fn smismember<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, members) = (call.key(1), call.args.skip(2));
    let set = call.db.find(key).map(SetRef::of).transpose()?;
    let is_member = |member| Reply::from(set.is_some_and(|set| set.contains(member)));
    Ok(Reply::Array(members.iter().map(is_member).collect()))
}

/// SCARD key
pub fn scard<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Int(0)) };
    Ok(Reply::from(SetRef::of(entry)?.len()))
}

/// SMEMBERS key
pub fn smembers<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let mut members = Vec::new();
    if let Some(entry) = call.db.find(key) {
        let set = SetRef::of(entry)?;
        members.reserve(set.len());
        set.each(|member| members.push(member.reply()));
    }
    Ok(Reply::Set(members))
}

/// SPOP key \[count\]
pub fn spop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    if call.args.len() > 3 {
        return Err(CommandError::SYNTAX);
    }
    let mut reader = call.args.reader(2);
    let count = reader
        .has_next()
        .then(|| reader.int_in_or(0..=i64::MAX, CommandError::NOT_POSITIVE) as usize);
    reader.finish()?;
    let len = match call.db.find_for_write(key) {
        Some(mut entry) => SetRef::of(entry.view())?.len(),
        None if count.is_some() => return Ok(Reply::Set(Vec::new())),
        None => return Ok(Reply::Null),
    };
    match count {
        Some(0) => Ok(Reply::Set(Vec::new())),
        Some(count) if count >= len => Ok(Reply::Set(pop_all(call, key, len)?)),
        Some(count) => Ok(Reply::Set(pop_some(call, key, count, len)?)),
        None => Ok(pop_some(call, key, 1, len)?.pop().unwrap_or(Reply::Null)),
    }
}

fn pop_all(
    call: &mut Call<'_>,
    key: Key<'_>,
    len: usize,
) -> Result<Vec<Reply<'static>>, CommandError> {
    let mut members = Vec::with_capacity(len);
    if let Some(entry) = call.db.view(key) {
        SetRef::of(entry)?.each(|member| members.push(member.to_owned_reply()));
    }
    call.db.remove(key);
    call.changed(Classes::SET, "spop", key);
    call.db.changes.dirty += len as u64 - 1;
    key_gone(call, key, true);
    call.effect_gone(key);
    Ok(members)
}

/// Takes `count` members out of a set of `len`, which has at least as many.
fn pop_some(
    call: &mut Call<'_>,
    key: Key<'_>,
    count: usize,
    len: usize,
) -> Result<Vec<Reply<'static>>, CommandError> {
    let mut rng = fastrand::Rng::with_seed(call.random());
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Vec::new()) };
    let mut popped: Vec<Vec<u8>> = Vec::new();
    while popped.len() < count
        && let Some(member) = SetRef::of(entry.view())?.random(&mut rng)
    {
        let member = member.bytes().into_owned();
        remove(&mut entry, &member);
        popped.push(member);
    }
    if count == len {
        entry.remove();
    }
    call.changed(Classes::SET, "spop", key);
    call.db.changes.dirty += count as u64 - 1;
    key_gone(call, key, count == len);
    if call.db.changes.logged {
        let members: Vec<&[u8]> = popped.iter().map(Vec::as_slice).collect();
        call.effects_of(&[b"SREM", key.bytes], &members, EFFECT_MEMBERS);
    }
    Ok(popped.into_iter().map(Reply::Owned).collect())
}

/// SRANDMEMBER key \[count\]
pub fn srandmember<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let mut rng = fastrand::Rng::with_seed(call.random());
    let wanted = match call.args.len() {
        2 => {
            let Some(entry) = call.db.find(key) else { return Ok(Reply::Null) };
            let member = SetRef::of(entry)?.random(&mut rng);
            return Ok(member.map_or(Reply::Null, |member| member.reply()));
        }
        3 => Wanted::read(call, 2)?,
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Array(Vec::new())) };
    let len = SetRef::of(entry)?.len();
    if let Some(SetRef::Table(set)) = call.db.view(key).map(SetRef::of).transpose()?
        && let Some(drawn) = draw::from_table(call, &set.0, wanted, &mut rng)
    {
        let drawn = drawn.into_iter().map(|entry| Reply::Owned(entry.key().to_vec()));
        return Ok(Reply::Array(drawn.collect()));
    }
    let positions = draw::positions(call, len, wanted);
    let Some(entry) = call.db.view(key) else { return Ok(Reply::Array(Vec::new())) };
    let mut members: Vec<Item<'_>> = Vec::with_capacity(len);
    SetRef::of(entry)?.each(|member| members.push(member));
    Ok(Reply::Array(owned(positions.into_iter().map(|at| members[at]).collect())))
}

/// SINTER key \[key ...\]
pub fn sinter<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    operations::reply(call, Operation::Inter)
}

/// SUNION key \[key ...\]
pub fn sunion<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    operations::reply(call, Operation::Union)
}

/// SDIFF key \[key ...\]
pub fn sdiff<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    operations::reply(call, Operation::Diff)
}

/// SINTERSTORE destination key \[key ...\]
pub fn sinterstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    operations::store(call, Operation::Inter, "sinterstore")
}

/// SUNIONSTORE destination key \[key ...\]
pub fn sunionstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    operations::store(call, Operation::Union, "sunionstore")
}

/// SDIFFSTORE destination key \[key ...\]
pub fn sdiffstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    operations::store(call, Operation::Diff, "sdiffstore")
}

/// SINTERCARD numkeys key \[key ...\] \[LIMIT limit\]
pub fn sintercard<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let mut reader = args.reader(1);
    let count = reader.int_in_or(1..=i64::MAX, CommandError::NUMKEYS_NOT_POSITIVE);
    reader.finish()?;
    if count > args.len() as i64 - 2 {
        return Err(CommandError::TOO_MANY_KEYS);
    }
    let mut limit = 0;
    let mut options = args.reader(2 + count as usize);
    while options.has_next() {
        if options.remaining() > 1 && options.keyword("limit") {
            limit = options.int_in_or(0..=i64::MAX, CommandError::NEGATIVE_LIMIT);
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    let keys: Vec<_> = call.keys().collect();
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    Ok(Reply::from(operations::count(call, &keys, limit)?))
}

/// SSCAN key cursor \[MATCH pattern\] \[COUNT count\]
pub fn sscan<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let cursor = parse_cursor(args.at(2)).ok_or(CommandError::INVALID_CURSOR)?;
    let reply = |cursor: u64, found| {
        Ok(Reply::Array(vec![Reply::digits(cursor as i64), Reply::Array(found)]))
    };
    let Some(entry) = call.db.find(key) else { return reply(0, Vec::new()) };
    let set = SetRef::of(entry)?;
    let options = ScanOptions::read(args.reader(3), false)?;
    let mut found = Vec::new();
    let next = match set {
        SetRef::Table(table) => table.0.scan(cursor.0, options.count, |entry| {
            if options.matches(entry.key()) {
                found.push(Reply::Owned(entry.key().to_vec()));
            }
        }),
        SetRef::Ints(_) | SetRef::Packed(_) => {
            set.each(|member| {
                if options.matches(&member.bytes()) {
                    found.push(member.reply());
                }
            });
            0
        }
    };
    reply(next, found)
}
