//! The hash commands.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::{HashRef, Old, Thresholds, expiry, remove, set, with_new};
use crate::commands::generic::scan::{ScanOptions, parse_cursor};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::raw::EntryRef;
use crate::types::draw::{self, Wanted};
use larder_protocol::decimal::{self, AddError};
use larder_protocol::number::parse_i64;
use larder_protocol::{CommandError, Reply, Version};
use smallvec::SmallVec;

/// HSET key field value \[field value ...\]
pub fn hset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::from(set_all(call)?))
}

/// HMSET key field value \[field value ...\]
pub fn hmset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    set_all(call)?;
    Ok(Reply::Ok)
}

fn set_all(call: &mut Call<'_>) -> Result<usize, CommandError> {
    if !call.args.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(call.row.name));
    }
    let key = call.key(1);
    let pairs: SmallVec<[&[u8]; 16]> = call.args.skip(2).iter().collect();
    let added = store(call, key, &pairs, Old::Clear)?;
    call.changed(Classes::HASH, "hset", key);
    call.db.changes.dirty += pairs.len() as u64 / 2 - 1;
    Ok(added)
}

/// The hash of the key at argument 1, to read.
pub(super) fn found<'c>(call: &'c mut Call<'_>) -> Result<Option<HashRef<'c>>, CommandError> {
    let (key, now_ms) = (call.key(1), call.db.now_ms());
    call.db.find(key).map(|entry| HashRef::as_of(entry, now_ms)).transpose()
}

/// Sets fields of a hash that is made when it is missing; gives how many are new.
pub(super) fn store(
    call: &mut Call<'_>,
    key: Key<'_>,
    pairs: &[&[u8]],
    deadlines: Old,
) -> Result<usize, CommandError> {
    let thresholds = Thresholds::of(call.settings);
    match call.db.find_for_write(key) {
        Some(mut entry) => {
            HashRef::of(entry.view())?;
            Ok(set(&mut entry, pairs, thresholds, deadlines))
        }
        None => Ok(with_new(pairs, thresholds, |value| call.db.insert(key, value, None))),
    }
}

/// HSETNX key field value
pub fn hsetnx<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, field, value) = (call.key(1), call.args.at(2), call.args.at(3));
    if let Some(mut entry) = call.db.find_for_write(key)
        && HashRef::of(entry.view())?.get(field).is_some()
    {
        return Ok(Reply::Int(0));
    }
    store(call, key, &[field, value], Old::Clear)?;
    call.changed(Classes::HASH, "hset", key);
    Ok(Reply::Int(1))
}

/// HGET key field
pub fn hget<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let field = call.args.at(2);
    Ok(found(call)?.and_then(|hash| hash.get(field)).map_or(Reply::Null, |value| value.reply()))
}

/// HMGET key field \[field ...\]
pub fn hmget<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let fields = call.args.skip(2);
    let hash = found(call)?;
    let value = |field| hash?.get(field).map(|value| value.reply());
    Ok(Reply::Array(fields.iter().map(|field| value(field).unwrap_or(Reply::Null)).collect()))
}

/// HDEL key field \[field ...\]
pub fn hdel<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, fields) = (call.key(1), call.args.skip(2));
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    HashRef::of(entry.view())?;
    let gone = entry.edit_fields(|entry| {
        fields.iter().map(|field| u64::from(remove(entry, field))).sum::<u64>()
    });
    let is_empty = HashRef::of(entry.view())?.len() == 0;
    if is_empty {
        entry.remove();
    }
    if gone > 0 {
        call.changed(Classes::HASH, "hdel", key);
        call.db.changes.dirty += gone - 1;
        if is_empty {
            let db = call.db.db();
            call.db.changes.event(Classes::GENERIC, "del", db, key.bytes);
        }
    }
    Ok(Reply::Int(gone as i64))
}

/// HLEN key
pub fn hlen<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::from(found(call)?.map_or(0, HashRef::len)))
}

/// HSTRLEN key field
pub fn hstrlen<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let field = call.args.at(2);
    let value = found(call)?.and_then(|hash| hash.get(field));
    Ok(Reply::from(value.map_or(0, |value| value.bytes().len())))
}

/// HEXISTS key field
pub fn hexists<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let field = call.args.at(2);
    Ok(Reply::from(found(call)?.is_some_and(|hash| hash.get(field).is_some())))
}

/// HKEYS key
pub fn hkeys<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut fields = Vec::new();
    if let Some(hash) = found(call)? {
        hash.each(|field, _| fields.push(field));
    }
    Ok(Reply::Array(fields))
}

/// HVALS key
pub fn hvals<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut values = Vec::new();
    if let Some(hash) = found(call)? {
        hash.each(|_, value| values.push(value.reply()));
    }
    Ok(Reply::Array(values))
}

/// HGETALL key
pub fn hgetall<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut pairs = Vec::new();
    if let Some(hash) = found(call)? {
        pairs.reserve(hash.len());
        hash.each(|field, value| pairs.push((field, value.reply())));
    }
    Ok(Reply::map(pairs))
}

/// HINCRBY key field increment
pub fn hincrby<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, field) = (call.key(1), call.args.at(2));
    let increment = parse_i64(call.args.at(3)).ok_or(CommandError::NOT_INTEGER)?;
    let current = match call.db.find_for_write(key) {
        Some(mut entry) => match HashRef::of(entry.view())?.get(field) {
            Some(value) => parse_i64(&value.bytes()).ok_or(CommandError::HASH_NOT_INTEGER)?,
            None => 0,
        },
        None => 0,
    };
    let sum = current.checked_add(increment).ok_or(CommandError::INCR_OVERFLOW)?;
    store(call, key, &[field, itoa::Buffer::new().format(sum).as_bytes()], Old::Keep)?;
    call.changed(Classes::HASH, "hincrby", key);
    Ok(Reply::Int(sum))
}

/// HINCRBYFLOAT key field increment
pub fn hincrbyfloat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, field, increment) = (call.key(1), call.args.at(2), call.args.at(3));
    // The increment is looked at first, whatever the field holds.
    match decimal::add(b"0", increment) {
        Err(AddError::IncrementNotFloat) => return Err(CommandError::NOT_FLOAT),
        Err(AddError::IncrementInfinite) => return Err(CommandError::VALUE_NAN_OR_INF),
        _ => {}
    }
    let current = match call.db.find_for_write(key) {
        Some(mut entry) => {
            let hash = HashRef::of(entry.view())?;
            let value = hash.get(field).map(|value| value.bytes().into_owned());
            value.map(|value| (value, hash.deadline_of(field).flatten().is_some()))
        }
        None => None,
    };
    let (current, is_timed) = current.unwrap_or_else(|| (b"0".to_vec(), false));
    let sum = decimal::add(&current, increment).map_err(|error| match error {
        AddError::CurrentNotFloat => CommandError::HASH_NOT_FLOAT,
        _ => CommandError::NAN_OR_INF,
    })?;
    store(call, key, &[field, &sum], Old::Keep)?;
    call.changed(Classes::HASH, "hincrbyfloat", key);
    if is_timed {
        call.effect(&[b"HSETEX", key.bytes, b"KEEPTTL", b"FIELDS", b"1", field, &sum]);
    } else {
        call.effect(&[b"HSET", key.bytes, field, &sum]);
    }
    Ok(Reply::Owned(sum))
}

/// HRANDFIELD key \[count \[WITHVALUES\]\]
pub fn hrandfield<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key) = (call.args, call.key(1));
    if args.len() == 2 {
        let Some(len) = found(call)?.map(HashRef::len) else { return Ok(Reply::Null) };
        let drawn = draw(call, key, len, Wanted::Repeated(1), false)?;
        return Ok(drawn.into_iter().next().map_or(Reply::Null, |(field, _)| field));
    }
    let wanted = Wanted::read(call, 2)?;
    let with_values = match args.len() {
        3 => false,
        4 if args.at(3).eq_ignore_ascii_case(b"withvalues") => true,
        _ => return Err(CommandError::SYNTAX),
    };
    let half = i64::MAX as usize / 2;
    if with_values && matches!(wanted, Wanted::Different(n) | Wanted::Repeated(n) if n > half) {
        return Err(CommandError::VALUE_OUT_OF_RANGE);
    }
    let Some(len) = found(call)?.map(HashRef::len) else { return Ok(Reply::Array(Vec::new())) };
    let nested = call.session.version == Version::Resp3;
    let drawn = draw(call, key, len, wanted, with_values)?;
    Ok(Reply::Array(match (with_values, nested) {
        (false, _) => drawn.into_iter().map(|(field, _)| field).collect(),
        (true, true) => {
            drawn.into_iter().map(|(field, value)| Reply::Array(vec![field, value])).collect()
        }
        (true, false) => drawn.into_iter().flat_map(|(field, value)| [field, value]).collect(),
    }))
}

type Pair = (Reply<'static>, Reply<'static>);

/// Draws fields of a hash of `len`; values only when they are wanted.
fn draw(
    call: &mut Call<'_>,
    key: Key<'_>,
    len: usize,
    wanted: Wanted,
    with_values: bool,
) -> Result<Vec<Pair>, CommandError> {
    let mut rng = fastrand::Rng::with_seed(call.random());
    let now_ms = call.db.now_ms();
    if let Some(HashRef::Table(hash)) =
        call.db.view(key).map(|entry| HashRef::as_of(entry, now_ms)).transpose()?
        && let Some(entries) = draw::from_table(call, &hash.members, wanted, &mut rng)
    {
        let pair = |entry: EntryRef<'_>| {
            let value = if with_values { super::value_of(entry).reply() } else { Reply::Null };
            (Reply::Owned(entry.key().to_vec()), value.into_owned())
        };
        return Ok(entries.into_iter().map(pair).collect());
    }
    let positions = draw::positions(call, len, wanted);
    let Some(entry) = call.db.view(key) else { return Ok(Vec::new()) };
    let mut pairs = Vec::with_capacity(len);
    HashRef::as_of(entry, now_ms)?.each(|field, value| {
        pairs.push((field, if with_values { value.reply() } else { Reply::Null }));
    });
    Ok(positions
        .into_iter()
        .filter_map(|at| pairs.get(at).cloned())
        .map(|(field, value)| (field.into_owned(), value.into_owned()))
        .collect())
}

/// HSCAN key cursor \[MATCH pattern\] \[COUNT count\]
pub fn hscan<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let cursor = parse_cursor(args.at(2)).ok_or(CommandError::INVALID_CURSOR)?;
    let reply = |cursor: u64, found| {
        Ok(Reply::Array(vec![Reply::digits(cursor as i64), Reply::Array(found)]))
    };
    let now_ms = call.db.now_ms();
    let Some(hash) = found(call)? else { return reply(0, Vec::new()) };
    let options = ScanOptions::read(args.reader(3), false)?;
    let mut found = Vec::new();
    let next = match hash {
        HashRef::Packed(_) | HashRef::Timed(_) => {
            hash.each(|field, value| {
                if field.as_bytes().is_some_and(|name| options.matches(name)) {
                    found.extend([field, value.reply()]);
                }
            });
            0
        }
        HashRef::Table(table) | HashRef::Partial(table, _) => {
            let due = expiry::due(now_ms);
            table.members.scan(cursor.0, options.count, |entry| {
                if options.matches(entry.key()) && !due(entry) {
                    let value = super::value_of(entry).reply();
                    found.extend([Reply::Owned(entry.key().to_vec()), value.into_owned()]);
                }
            })
        }
    };
    reply(next, found)
}
