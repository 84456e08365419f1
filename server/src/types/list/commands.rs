//! The list commands.
//!
//! A pop states its effect in the form that names its key and waits for nobody; the removal of a key
//! that became empty follows from it.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::{End, Fill, ListRef};
use crate::dispatch::blocking::{Otherwise, Unit, WaitFor, deadline_ms};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::types::several::several;
use larder_protocol::number::parse_i64;
use larder_protocol::strings::Writer;
use larder_protocol::{CommandError, Reply, Strings};
use smallvec::SmallVec;
use std::ops::Range;

/// LPUSH key element \[element ...\]
pub fn lpush<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    push_all(call, End::Left, true)
}

/// RPUSH key element \[element ...\]
pub fn rpush<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    push_all(call, End::Right, true)
}

/// LPUSHX key element \[element ...\]
pub fn lpushx<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    push_all(call, End::Left, false)
}

/// RPUSHX key element \[element ...\]
pub fn rpushx<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    push_all(call, End::Right, false)
}

fn push_all<'c>(call: &'c mut Call<'_>, end: End, makes: bool) -> CommandResult<'c> {
    let key = call.key(1);
    let values: SmallVec<[&[u8]; 8]> = call.args.skip(2).iter().collect();
    let Some(len) = push(call, key, end, &values, makes)? else { return Ok(Reply::Int(0)) };
    call.db.changes.dirty += values.len() as u64 - 1;
    call.changed(Classes::LIST, push_event(end), key);
    Ok(Reply::from(len))
}

fn push_event(end: End) -> &'static str {
    if end == End::Left { "lpush" } else { "rpush" }
}

/// Adds elements to a list; gives its length, or nothing when it is missing and shall not be made.
fn push(
    call: &mut Call<'_>,
    key: Key<'_>,
    end: End,
    values: &[&[u8]],
    makes: bool,
) -> Result<Option<usize>, CommandError> {
    let fill = fill(call);
    match call.db.find_for_write(key) {
        Some(mut entry) => {
            ListRef::of(entry.view())?;
            Ok(Some(super::push(&mut entry, end, values, fill)))
        }
        None if makes => {
            super::with_new(values, end, fill, |value| call.db.insert(key, value, None));
            Ok(Some(values.len()))
        }
        None => Ok(None),
    }
}

fn fill(call: &Call<'_>) -> Fill {
    Fill(call.settings.list_max_listpack_size)
}

/// LPOP key \[count\]
pub fn lpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    pop(call, End::Left)
}

/// RPOP key \[count\]
pub fn rpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    pop(call, End::Right)
}

fn pop<'c>(call: &'c mut Call<'_>, end: End) -> CommandResult<'c> {
    let key = call.key(1);
    if call.args.len() > 3 {
        return Err(CommandError::wrong_arity(call.row.name));
    }
    let mut reader = call.args.reader(2);
    let count = reader
        .has_next()
        .then(|| reader.int_in_or(0..=i64::MAX, CommandError::NOT_POSITIVE) as usize);
    reader.finish()?;
    let Some(count) = count else { return take_one(call, key, end) };
    Ok(take(call, key, end, count)?.map_or(Reply::NullArray, Reply::from))
}

/// Takes the element at an end of a list, and says so; its reply, or null when the list is missing.
fn take_one<'c>(call: &mut Call<'_>, key: Key<'_>, end: End) -> CommandResult<'c> {
    let fill = fill(call);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Null) };
    let list = ListRef::of(entry.view())?;
    let element = list.end(end).map_or(Reply::Null, |item| item.to_owned_reply());
    let key_gone = list.len() == 1;
    if key_gone {
        entry.remove();
    } else {
        super::pop(&mut entry, end, fill);
    }
    removed(call, key, pop_event(end), 1, key_gone);
    Ok(element)
}

fn pop_event(end: End) -> &'static str {
    if end == End::Left { "lpop" } else { "rpop" }
}

/// Takes up to `count` elements from an end of a list, and says so; `None` when it is missing.
fn take(
    call: &mut Call<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<Strings>, CommandError> {
    let fill = fill(call);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(None) };
    let list = ListRef::of(entry.view())?;
    let len = list.len();
    let count = count.min(len);
    let mut taken = writer(list, count);
    if count == 0 {
        return Ok(Some(taken.finish()));
    }
    let range = match end {
        End::Left => 0..count,
        End::Right => len - count..len,
    };
    list.iter(end).take(count).for_each(|item| item.push_to(&mut taken));
    if count == len {
        entry.remove();
    } else {
        super::remove_range(&mut entry, range, fill);
    }
    removed(call, key, pop_event(end), count, count == len);
    Ok(Some(taken.finish()))
}

/// Room for `count` elements of a list.
fn writer(list: ListRef<'_>, count: usize) -> Writer {
    let bytes = list.bytes() as u64 * count as u64 / list.len() as u64;
    Strings::writer(count, bytes as usize)
}

/// Says that elements are gone, and perhaps the key with them.
fn removed(call: &mut Call<'_>, key: Key<'_>, event: &'static str, count: usize, key_gone: bool) {
    call.changed(Classes::LIST, event, key);
    call.db.changes.dirty += count as u64 - 1;
    if key_gone {
        let db = call.db.db();
        call.db.changes.event(Classes::GENERIC, "del", db, key.bytes);
    }
}

/// LLEN key
pub fn llen<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    match call.db.find(key) {
        Some(entry) => Ok(Reply::from(ListRef::of(entry)?.len())),
        None => Ok(Reply::Int(0)),
    }
}

/// LINDEX key index
pub fn lindex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, index) = (call.key(1), call.args.at(2));
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Null) };
    let list = ListRef::of(entry)?;
    let index = parse_i64(index).ok_or(CommandError::NOT_INTEGER)?;
    Ok(list.get(index).map_or(Reply::Null, |item| item.reply()))
}

/// LSET key index element
pub fn lset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args, fill) = (call.key(1), call.args, fill(call));
    let Some(mut entry) = call.db.find_for_write(key) else {
        return Err(CommandError::NO_SUCH_KEY);
    };
    let len = ListRef::of(entry.view())?.len() as i64;
    let mut index = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    if call.session.applies {
        // A primary that is a Redis has looked at the lower half alone.
        index = i64::from(index as i32);
    }
    let index = if index < 0 { index + len } else { index };
    // An index that is out of range still makes room for the value, as it does in Redis.
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if !super::replace(&mut entry, index, args.at(3), fill) {
        return Err(CommandError::OUT_OF_RANGE);
    }
    call.changed(Classes::LIST, "lset", key);
    Ok(Reply::Ok)
}

/// LINSERT key BEFORE | AFTER pivot element
pub fn linsert<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args, fill) = (call.key(1), call.args, fill(call));
    let after = match args.at(2) {
        word if word.eq_ignore_ascii_case(b"after") => 1,
        word if word.eq_ignore_ascii_case(b"before") => 0,
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    ListRef::of(entry.view())?;
    super::grow_for(&mut entry, &[args.at(4)], fill);
    let list = ListRef::of(entry.view())?;
    let (len, pivot) = (list.len(), args.at(3));
    let Some(index) = list.iter(End::Left).position(|item| item.is(pivot)) else {
        return Ok(Reply::Int(-1));
    };
    super::insert(&mut entry, index + after, args.at(4), fill);
    call.changed(Classes::LIST, "linsert", key);
    Ok(Reply::from(len + 1))
}

/// The positions from `start` to `end`, both inclusive, in a list of `len`.
fn range_of(len: usize, start: i64, end: i64) -> Range<usize> {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let (start, mut end) = (from_end(start), if end < 0 { end.saturating_add(len) } else { end });
    end = end.min(len - 1);
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

/// LRANGE key start stop
pub fn lrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let mut reader = call.args.reader(2);
    let (start, end) = (reader.int(), reader.int());
    reader.finish()?;
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Array(Vec::new())) };
    let list = ListRef::of(entry)?;
    let range = range_of(list.len(), start, end);
    let mut elements = writer(list, range.len());
    list.each_in(range, |item| item.push_to(&mut elements));
    Ok(Reply::from(elements.finish()))
}

/// LTRIM key start stop
pub fn ltrim<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, fill) = (call.key(1), fill(call));
    let mut reader = call.args.reader(2);
    let (start, end) = (reader.int(), reader.int());
    reader.finish()?;
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Ok) };
    let len = ListRef::of(entry.view())?.len();
    let keep = range_of(len, start, end);
    if keep.is_empty() {
        entry.remove();
    } else {
        if keep.end < len {
            super::remove_range(&mut entry, keep.end..len, fill);
        }
        if keep.start > 0 {
            super::remove_range(&mut entry, 0..keep.start, fill);
        }
    }
    let gone = len - keep.len();
    call.changed(Classes::LIST, "ltrim", key);
    call.db.changes.dirty = call.db.changes.dirty + gone as u64 - 1;
    if keep.is_empty() {
        let db = call.db.db();
        call.db.changes.event(Classes::GENERIC, "del", db, key.bytes);
    }
    Ok(Reply::Ok)
}

/// LREM key count element
pub fn lrem<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, fill, value) = (call.key(1), fill(call), call.args.at(3));
    let count = parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    let len = ListRef::of(entry.view())?.len();
    let from = if count < 0 { End::Right } else { End::Left };
    let most = if count == 0 { len } else { count.unsigned_abs() as usize };
    let gone = super::remove_equal(&mut entry, value, most, from, fill);
    if gone == len {
        entry.remove();
    }
    if gone > 0 {
        removed(call, key, "lrem", gone, gone == len);
        // The lowest number of all means all of them as well, and newer servers refuse it.
        let count: &[u8] = if count == i64::MIN { b"0" } else { call.args.at(2) };
        call.effect(&[b"LREM", key.bytes, count, value]);
    }
    Ok(Reply::from(gone))
}

/// LPOS key element \[RANK rank\] \[COUNT num-matches\] \[MAXLEN len\]
pub fn lpos<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, value) = (call.key(1), call.args.at(2));
    let (mut rank, mut count, mut longest) = (1, None, 0);
    let mut options = call.args.reader(3);
    while options.has_next() {
        let any = i64::MIN + 1..=i64::MAX;
        if options.keyword("rank") {
            rank = options.int_in(any, CommandError::NOT_ABOVE_LOWEST);
            if rank == 0 {
                options.fail(CommandError::RANK_ZERO);
            }
        } else if options.keyword("count") {
            count = Some(options.int_in_or(0..=i64::MAX, CommandError::NEGATIVE_COUNT));
        } else if options.keyword("maxlen") {
            longest = options.int_in_or(0..=i64::MAX, CommandError::NEGATIVE_MAXLEN);
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    let list = match call.db.find(key) {
        Some(entry) => ListRef::of(entry)?,
        None if count.is_some() => return Ok(Reply::Array(Vec::new())),
        None => return Ok(Reply::Null),
    };
    let (len, from) = (list.len(), if rank < 0 { End::Right } else { End::Left });
    let looked_at = if longest == 0 { len } else { longest as usize };
    let matches = list.iter(from).enumerate().take(looked_at);
    let mut places = matches
        .filter(|(_, item)| item.is(value))
        .skip(rank.unsigned_abs() as usize - 1)
        .map(|(place, _)| Reply::from(if from == End::Left { place } else { len - 1 - place }));
    Ok(match count {
        None => places.next().unwrap_or(Reply::Null),
        Some(0) => Reply::Array(places.collect()),
        Some(count) => Reply::Array(places.take(count as usize).collect()),
    })
}

fn end_of(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if word.eq_ignore_ascii_case(b"left") => Ok(End::Left),
        word if word.eq_ignore_ascii_case(b"right") => Ok(End::Right),
        _ => Err(CommandError::SYNTAX),
    }
}

/// LMOVE source destination LEFT | RIGHT LEFT | RIGHT
pub fn lmove<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (from, to) = (end_of(call.args.at(3))?, end_of(call.args.at(4))?);
    Ok(move_element(call, from, to)?.unwrap_or(Reply::Null))
}

/// RPOPLPUSH source destination
pub fn rpoplpush<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(move_element(call, End::Right, End::Left)?.unwrap_or(Reply::Null))
}

/// BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout
pub fn blmove<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let (from, to) = (end_of(args.at(3))?, end_of(args.at(4))?);
    let until_ms = deadline_ms(call, args.at(5), Unit::Seconds)?;
    match move_element(call, from, to)? {
        Some(element) => {
            call.effect(&[b"LMOVE", args.at(1), args.at(2), args.at(3), args.at(4)]);
            Ok(element)
        }
        None => call.wait_for(&[call.key(1)], WaitFor::List, until_ms, Otherwise::Null),
    }
}

/// BRPOPLPUSH source destination timeout
pub fn brpoplpush<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let until_ms = deadline_ms(call, args.at(3), Unit::Seconds)?;
    match move_element(call, End::Right, End::Left)? {
        Some(element) => {
            call.effect(&[b"RPOPLPUSH", args.at(1), args.at(2)]);
            Ok(element)
        }
        None => call.wait_for(&[call.key(1)], WaitFor::List, until_ms, Otherwise::Null),
    }
}

/// Moves an element from argument 1 to argument 2; nothing when the source is missing.
fn move_element(
    call: &mut Call<'_>,
    from: End,
    to: End,
) -> Result<Option<Reply<'static>>, CommandError> {
    let (source, destination, fill) = (call.key(1), call.key(2), fill(call));
    let Some(mut entry) = call.db.find_for_write(source) else { return Ok(None) };
    let list = ListRef::of(entry.view())?;
    let Some(element) = list.get(if from == End::Left { 0 } else { -1 }) else { return Ok(None) };
    let element = element.bytes().into_owned();
    let event = if from == End::Left { "lpop" } else { "rpop" };
    if source.bytes == destination.bytes {
        super::rotate(&mut entry, from, to, &element, fill);
        let db = call.db.db();
        call.db.changes.event(Classes::LIST, push_event(to), db, source.bytes);
        removed(call, source, event, 1, false);
        return Ok(Some(Reply::Owned(element)));
    }
    push(call, destination, to, &[&element], true)?;
    let db = call.db.db();
    call.db.changes.event(Classes::LIST, push_event(to), db, destination.bytes);
    call.db.touched(destination);
    take_one(call, source, from)?;
    Ok(Some(Reply::Owned(element)))
}

/// LMPOP numkeys key \[key ...\] LEFT | RIGHT \[COUNT count\]
pub fn lmpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (keys, end, count) = several(call, 1, end_of)?;
    Ok(pop_first(call, keys, end, Some(count))?.unwrap_or(Reply::NullArray))
}

/// BLMPOP timeout numkeys key \[key ...\] LEFT | RIGHT \[COUNT count\]
pub fn blmpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (keys, end, count) = several(call, 2, end_of)?;
    let until_ms = deadline_ms(call, call.args.at(1), Unit::Seconds)?;
    pop_or_wait(call, keys, end, Some(count), until_ms)
}

/// BLPOP key \[key ...\] timeout
pub fn blpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    blocking_pop(call, End::Left)
}

/// BRPOP key \[key ...\] timeout
pub fn brpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    blocking_pop(call, End::Right)
}

fn blocking_pop<'c>(call: &'c mut Call<'_>, end: End) -> CommandResult<'c> {
    let last = call.args.len() - 1;
    let until_ms = deadline_ms(call, call.args.at(last), Unit::Seconds)?;
    pop_or_wait(call, 1..last, end, None, until_ms)
}

fn pop_or_wait<'c>(
    call: &'c mut Call<'_>,
    keys: Range<usize>,
    end: End,
    count: Option<usize>,
    until_ms: Option<i64>,
) -> CommandResult<'c> {
    if let Some(reply) = pop_first(call, keys.clone(), end, count)? {
        return Ok(reply);
    }
    let keys: SmallVec<[Key<'_>; 4]> = keys.map(|at| call.key(at)).collect();
    call.wait_for(&keys, WaitFor::List, until_ms, Otherwise::NullArray)
}

/// Takes from the first list that is there: one element beside its key, or an array of up to `count`.
fn pop_first(
    call: &mut Call<'_>,
    keys: Range<usize>,
    end: End,
    count: Option<usize>,
) -> Result<Option<Reply<'static>>, CommandError> {
    for at in keys {
        let key = call.key(at);
        let name: &[u8] = if end == End::Left { b"LPOP" } else { b"RPOP" };
        let elements = match count {
            Some(count) => {
                let Some(taken) = take(call, key, end, count)? else { continue };
                let mut number = itoa::Buffer::new();
                call.effect(&[name, key.bytes, number.format(taken.len()).as_bytes()]);
                Reply::from(taken)
            }
            None => {
                let element = take_one(call, key, end)?.into_owned();
                if matches!(element, Reply::Null) {
                    continue;
                }
                call.effect(&[name, key.bytes]);
                element
            }
        };
        return Ok(Some(Reply::Array(vec![Reply::Owned(key.bytes.to_vec()), elements])));
    }
    Ok(None)
}
