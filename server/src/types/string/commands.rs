//! The string commands.
//!
//! A change is counted and announced through [`Call::changed`]; a new deadline is announced as an
//! event of its own. Where the command as it came would mean something else later, the handler
//! states its effect: deadlines as points in time, sums as their result, reads not at all.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::options::{Condition, Lifetime, Options, Unit};
use super::{StringRef, check_length, lcs, overwrite};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::access::Deadline;
use crate::keyspace::notify::Classes;
use crate::raw::NewValue;
use larder_protocol::decimal;
use larder_protocol::number::parse_i64;
use larder_protocol::{CommandError, Reply};
use smallvec::SmallVec;

/// GET key
pub fn get<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    match call.db.find(key) {
        Some(entry) => Ok(StringRef::of(entry)?.reply()),
        None => Ok(Reply::Null),
    }
}

/// SET key value \[NX | XX\] \[GET\] \[EX s | PX ms | EXAT s | PXAT ms | KEEPTTL\]
pub fn set<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key) = (call.args, call.key(1));
    if args.len() > 3 {
        return set_with_options(call);
    }
    store(call, key, args.at(2), Deadline::Clear);
    call.effect(&[args.at(0), key.bytes, args.at(2)]);
    Ok(Reply::Ok)
}

fn set_with_options<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key, value) = (call.args, call.key(1), call.args.at(2));
    let options = Options::of_set(args)?;
    let deadline = match options.lifetime {
        Lifetime::Until(unit, amount) => Deadline::At(unit.deadline_ms(call, amount)?),
        Lifetime::Keep => Deadline::Keep,
        Lifetime::Unsaid | Lifetime::Persist => Deadline::Clear,
    };
    let previous = match options.get {
        true => Some(reply_that_stays(call, key)?),
        false => None,
    };
    if let Some(condition) = options.condition {
        let exists = call.db.find_for_write(key).is_some();
        if exists != (condition == Condition::Exists) {
            return Ok(previous.unwrap_or(Reply::Null));
        }
    }
    store(call, key, value, deadline);
    match (options.lifetime, deadline) {
        (Lifetime::Until(unit, _), Deadline::At(at)) if unit != Unit::PxAt => {
            set_until(call, key, value, at);
        }
        _ => set_without_get(call),
    }
    Ok(previous.unwrap_or(Reply::Ok))
}

/// SETNX key value
pub fn setnx<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let missing = call.db.find_for_write(key).is_none();
    if missing {
        store(call, key, call.args.at(2), Deadline::Clear);
    }
    Ok(Reply::from(missing))
}

/// SETEX key seconds value
pub fn setex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    set_for(call, Unit::Ex)
}

/// PSETEX key milliseconds value
pub fn psetex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    set_for(call, Unit::Px)
}

fn set_for<'c>(call: &'c mut Call<'_>, unit: Unit) -> CommandResult<'c> {
    let (key, value) = (call.key(1), call.args.at(3));
    let at = unit.deadline_ms(call, call.args.at(2))?;
    store(call, key, value, Deadline::At(at));
    set_until(call, key, value, at);
    Ok(Reply::Ok)
}

/// GETSET key value
pub fn getset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, value) = (call.key(1), call.args.at(2));
    let previous = reply_that_stays(call, key)?;
    store(call, key, value, Deadline::Clear);
    call.effect(&[b"SET", key.bytes, value]);
    Ok(previous)
}

/// GETDEL key
pub fn getdel<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let previous = reply_that_stays(call, key)?;
    if remove(call, key) {
        call.effect(&[b"DEL", key.bytes]);
    }
    Ok(previous)
}

/// GETEX key \[EX s | PX ms | EXAT s | PXAT ms | PERSIST\]
pub fn getex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let lifetime = Options::of_getex(call.args)?.lifetime;
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Null) };
    let volatile = entry.deadline_ms().is_some();
    StringRef::of(entry)?;
    match lifetime {
        Lifetime::Until(unit, amount) => {
            let at = unit.deadline_ms(call, amount)?;
            // Only an absolute deadline can lie behind us.
            if call.is_past(at) {
                let previous = reply_that_stays_uncounted(call, key)?;
                remove(call, key);
                call.effect_expired(key);
                return Ok(previous);
            }
            set_deadline(call, key, Some(at));
            call.changed(Classes::GENERIC, "expire", key);
            call.effect(&[b"PEXPIREAT", key.bytes, itoa::Buffer::new().format(at).as_bytes()]);
        }
        Lifetime::Persist if volatile => {
            set_deadline(call, key, None);
            call.changed(Classes::GENERIC, "persist", key);
            call.effect(&[b"PERSIST", key.bytes]);
        }
        Lifetime::Persist | Lifetime::Unsaid | Lifetime::Keep => {}
    }
    match call.db.view(key) {
        Some(entry) => Ok(StringRef::of(entry)?.reply()),
        None => Ok(Reply::Null),
    }
}

/// APPEND key value
pub fn append<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, key, value) = (call.node, call.key(1), call.args.at(2));
    let len = match call.db.find_for_write(key) {
        Some(mut entry) => {
            let len = StringRef::of(entry.view())?.len();
            check_length(node, len.saturating_add(value.len()))?;
            let mut outcome = Ok(());
            entry.edit(|bytes| outcome = overwrite(bytes, len, value));
            outcome?;
            len + value.len()
        }
        None => {
            call.db.insert(key, NewValue::string(value), None);
            value.len()
        }
    };
    call.changed(Classes::STRING, "append", key);
    Ok(Reply::from(len))
}

/// STRLEN key
pub fn strlen<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    match call.db.find(key) {
        Some(entry) => Ok(Reply::from(StringRef::of(entry)?.len())),
        None => Ok(Reply::Int(0)),
    }
}

/// SETRANGE key offset value
pub fn setrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, key, value) = (call.node, call.key(1), call.args.at(3));
    let offset = parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OFFSET_OUT_OF_RANGE)?;
    let end = offset.saturating_add(value.len());
    let len = match call.db.find_for_write(key) {
        Some(mut entry) => {
            let len = StringRef::of(entry.view())?.len();
            if value.is_empty() {
                return Ok(Reply::from(len));
            }
            check_length(node, end)?;
            let mut outcome = Ok(());
            entry.edit(|bytes| outcome = overwrite(bytes, offset, value));
            outcome?;
            len.max(end)
        }
        None if value.is_empty() => return Ok(Reply::Int(0)),
        None => {
            check_length(node, end)?;
            let mut bytes = Vec::new();
            overwrite(&mut bytes, offset, value)?;
            call.db.insert(key, NewValue::Raw(bytes), None);
            end
        }
    };
    call.changed(Classes::STRING, "setrange", key);
    Ok(Reply::from(len))
}

/// GETRANGE key start end, and SUBSTR, its first name
pub fn getrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let mut reader = call.args.reader(2);
    let (start, end) = (reader.int(), reader.int());
    reader.finish()?;
    match call.db.find(key) {
        Some(entry) => Ok(StringRef::of(entry)?.range_reply(start, end)),
        None => Ok(Reply::Bulk(b"")),
    }
}

/// MGET key \[key ...\]
pub fn mget<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    // What is due goes and accesses are noted first, so that then all values can be borrowed.
    for key in call.keys() {
        call.db.find(key);
    }
    let db = &call.db;
    let values = call.keys().map(|key| match db.view(key).map(StringRef::of) {
        Some(Ok(string)) => string.reply(),
        // Another type is as good as nothing, so that one key cannot spoil the others.
        Some(Err(_)) | None => Reply::Null,
    });
    Ok(Reply::Array(values.collect()))
}

/// MSET key value \[key value ...\]
pub fn mset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    check_pairs(call)?;
    store_pairs(call);
    Ok(Reply::Ok)
}

/// MSETNX key value \[key value ...\]
pub fn msetnx<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    check_pairs(call)?;
    if call.keys().any(|key| call.db.find_for_write(key).is_some()) {
        return Ok(Reply::Int(0));
    }
    store_pairs(call);
    Ok(Reply::Int(1))
}

fn check_pairs(call: &Call<'_>) -> Result<(), CommandError> {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(call.row.name));
    }
    Ok(())
}

fn store_pairs(call: &mut Call<'_>) {
    let values = call.args.skip(2).iter().step_by(2);
    for (key, value) in call.keys().zip(values) {
        store(call, key, value, Deadline::Clear);
    }
}

/// INCR key
pub fn incr<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    add(call, 1)
}

/// DECR key
pub fn decr<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    add(call, -1)
}

/// INCRBY key increment
pub fn incrby<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let increment = parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    add(call, increment)
}

/// DECRBY key decrement
pub fn decrby<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let decrement = parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let increment = decrement.checked_neg().ok_or(CommandError::DECR_OVERFLOW)?;
    add(call, increment)
}

#[inline]
fn add<'c>(call: &'c mut Call<'_>, increment: i64) -> CommandResult<'c> {
    let key = call.key(1);
    let sum = match call.db.find_for_write(key) {
        Some(mut entry) => {
            let number = StringRef::of(entry.view())?.integer()?;
            let sum = number.checked_add(increment).ok_or(CommandError::INCR_OVERFLOW)?;
            entry.set_value(NewValue::Int(sum));
            sum
        }
        None => {
            call.db.insert(key, NewValue::Int(increment), None);
            increment
        }
    };
    call.changed(Classes::STRING, "incrby", key);
    Ok(Reply::Int(sum))
}

/// INCRBYFLOAT key increment
pub fn incrbyfloat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, increment) = (call.key(1), call.args.at(2));
    let sum = match call.db.find_for_write(key) {
        Some(mut entry) => {
            let sum = decimal::add(&StringRef::of(entry.view())?.bytes(), increment)?;
            entry.set_value(NewValue::Bytes(&sum));
            sum
        }
        None => {
            let sum = decimal::add(b"0", increment)?;
            call.db.insert(key, NewValue::Bytes(&sum), None);
            sum
        }
    };
    call.changed(Classes::STRING, "incrbyfloat", key);
    call.effect(&[b"SET", key.bytes, &sum, b"KEEPTTL"]);
    Ok(Reply::Owned(sum))
}

/// LCS key1 key2 \[LEN\] \[IDX\] \[MINMATCHLEN n\] \[WITHMATCHLEN\]
pub fn lcs<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let keys = [call.key(1), call.key(2)];
    for key in keys {
        call.db.find(key);
    }
    let [a, b] = keys.map(|key| match call.db.view(key) {
        Some(entry) => StringRef::of(entry).map(StringRef::bytes),
        None => Ok(b"".into()),
    });
    let (Ok(a), Ok(b)) = (a, b) else { return Err(CommandError::LCS_NOT_STRINGS) };

    let (mut want_len, mut want_runs, mut want_run_len) = (false, false, false);
    let mut run_min_len = 0;
    let mut options = call.args.reader(3);
    while options.has_next() {
        if options.keyword("len") {
            want_len = true;
        } else if options.keyword("idx") {
            want_runs = true;
        } else if options.keyword("withmatchlen") {
            want_run_len = true;
        } else if options.keyword("minmatchlen") {
            run_min_len = usize::try_from(options.int()).unwrap_or(0);
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    if want_len && want_runs {
        return Err(CommandError::LCS_LEN_AND_IDX);
    }
    check_lcs_size(call, a.len(), b.len())?;

    if want_len {
        return Ok(Reply::from(lcs::length(&a, &b)));
    }
    let runs = lcs::runs(&a, &b);
    if !want_runs {
        return Ok(Reply::Owned(lcs::bytes(&a, &runs)));
    }
    let len: usize = runs.iter().map(|run| run.len).sum();
    let matches = runs.iter().filter(|run| run.len >= run_min_len).map(|run| {
        let range = |start| Reply::array([start, start + run.len - 1]);
        let mut parts = vec![range(run.a), range(run.b)];
        if want_run_len {
            parts.push(Reply::from(run.len));
        }
        Reply::Array(parts)
    });
    Ok(Reply::map([("matches", Reply::array(matches)), ("len", Reply::from(len))]))
}

/// Refuses strings whose table of lengths Redis would refuse; we need a small part of it.
fn check_lcs_size(call: &Call<'_>, a: usize, b: usize) -> Result<(), CommandError> {
    const CELL_BYTES: u64 = 4;
    const LEN_MAX: u64 = u32::MAX as u64 - 1;
    let (a, b) = (a as u64, b as u64);
    if a >= LEN_MAX || b >= LEN_MAX {
        return Err(CommandError::LCS_STRING_TOO_LONG);
    }
    let table_bytes = ((a + 1) * (b + 1)).checked_mul(CELL_BYTES);
    if table_bytes.is_none_or(|bytes| bytes > call.node.config.load().proto_max_bulk_len_bytes) {
        return Err(CommandError::LCS_MEMORY);
    }
    Ok(())
}

/// Stores a value and says so.
#[inline]
fn store(call: &mut Call<'_>, key: Key<'_>, value: &[u8], deadline: Deadline) {
    call.db.set(key, NewValue::string(value), deadline);
    call.changed(Classes::STRING, "set", key);
    if let Deadline::At(_) = deadline {
        let db = call.db.db();
        call.db.changes.event(Classes::GENERIC, "expire", db, key.bytes);
    }
}

/// The effect of storing a value with a deadline.
fn set_until(call: &mut Call<'_>, key: Key<'_>, value: &[u8], at_ms: i64) {
    let at_ms = itoa::Buffer::new().format(at_ms).to_owned();
    call.effect(&[b"SET", key.bytes, value, b"PXAT", at_ms.as_bytes()]);
}

/// The effect of a SET: the command as it came, but a replica has nobody to answer to.
fn set_without_get(call: &mut Call<'_>) {
    if call.db.changes.logged {
        let is_get = |at: usize, arg: &[u8]| at >= 3 && arg.eq_ignore_ascii_case(b"get");
        let args = call.args.iter().enumerate().filter(|(at, arg)| !is_get(*at, arg));
        let command: SmallVec<[&[u8]; 8]> = args.map(|(_, arg)| arg).collect();
        call.effect(&command);
    }
}

/// Removes a key and tells of it; whether there was one.
fn remove(call: &mut Call<'_>, key: Key<'_>) -> bool {
    let is_removed = call.db.remove(key);
    if is_removed {
        call.changed(Classes::GENERIC, "del", key);
    }
    is_removed
}

fn set_deadline(call: &mut Call<'_>, key: Key<'_>, deadline_ms: Option<i64>) {
    if let Some(mut entry) = call.db.find_for_write(key) {
        entry.set_deadline_ms(deadline_ms);
    }
}

/// The string under a key, or null, for a command that goes on to change it; counted as a read.
fn reply_that_stays(call: &mut Call<'_>, key: Key<'_>) -> CommandResult<'static> {
    match call.db.find(key) {
        Some(entry) => Ok(StringRef::of(entry)?.reply_that_stays()),
        None => Ok(Reply::Null),
    }
}

/// As `reply_that_stays`, after the read was counted.
fn reply_that_stays_uncounted(call: &mut Call<'_>, key: Key<'_>) -> CommandResult<'static> {
    match call.db.view(key) {
        Some(entry) => Ok(StringRef::of(entry)?.reply_that_stays()),
        None => Ok(Reply::Null),
    }
}
