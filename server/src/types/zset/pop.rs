//! Commands that take members from an end of a sorted set, and wait for one.

use super::commands::removed;
use super::{ZsetRef, remove_range, scored};
use crate::dispatch::blocking::{Otherwise, Unit, WaitFor, deadline_ms};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::types::several::several;
use larder_protocol::encode::Version;
use larder_protocol::{CommandError, Reply};
use smallvec::SmallVec;
use std::ops::Range;

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    /// The event of a pop from it.
    fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }

    /// The command that takes from it.
    fn command(self) -> &'static [u8] {
        match self {
            Self::Min => b"ZPOPMIN",
            Self::Max => b"ZPOPMAX",
        }
    }
}

type Popped = Vec<(Reply<'static>, f64)>;

/// Takes up to `count` members of a key; `None` when it is missing.
fn take(
    call: &mut Call<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<Popped>, CommandError> {
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(None) };
    let zset = ZsetRef::of(entry.view())?;
    let len = zset.len();
    let count = count.min(len);
    let ranks = if end == End::Min { 0..count } else { len - count..len };
    let mut popped = Vec::with_capacity(count);
    zset.each(ranks.clone(), end == End::Max, |member, score| {
        popped.push((member.to_owned_reply(), score));
    });
    if count == 0 {
        return Ok(Some(popped));
    }
    if count == len {
        entry.remove();
    } else {
        remove_range(&mut entry, ranks);
    }
    removed(call, key, end.event(), count, count == len);
    Ok(Some(popped))
}

fn pop<'c>(call: &'c mut Call<'_>, end: End) -> CommandResult<'c> {
    if call.args.len() > 3 {
        return Err(CommandError::SYNTAX);
    }
    let mut reader = call.args.reader(2);
    let count = reader
        .has_next()
        .then(|| reader.int_in_or(0..=i64::MAX, CommandError::NOT_POSITIVE) as usize);
    reader.finish()?;
    let (key, version) = (call.key(1), call.session.version);
    let popped = take(call, key, end, count.unwrap_or(1))?.unwrap_or_default();
    let version = if count.is_some() { version } else { Version::Resp2 };
    Ok(scored(version, popped.into_iter()))
}

/// ZPOPMIN key \[count\]
pub fn zpopmin<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    pop(call, End::Min)
}

/// ZPOPMAX key \[count\]
pub fn zpopmax<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    pop(call, End::Max)
}

/// Takes from the first sorted set that is there: one member beside its key, or up to `count`.
fn pop_first(
    call: &mut Call<'_>,
    keys: Range<usize>,
    end: End,
    count: Option<usize>,
) -> Result<Option<Reply<'static>>, CommandError> {
    for at in keys {
        let key = call.key(at);
        let Some(mut popped) = take(call, key, end, count.unwrap_or(1))? else { continue };
        let name = Reply::Owned(key.bytes.to_vec());
        if count.is_some() {
            let mut number = itoa::Buffer::new();
            let taken = number.format(popped.len()).as_bytes();
            call.effect(&[end.command(), key.bytes, taken]);
            let members = scored(Version::Resp3, popped.into_iter());
            return Ok(Some(Reply::Array(vec![name, members])));
        }
        call.effect(&[end.command(), key.bytes]);
        let Some((member, score)) = popped.pop() else { continue };
        return Ok(Some(Reply::Array(vec![name, member, Reply::Double(score)])));
    }
    Ok(None)
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
    call.wait_for(&keys, WaitFor::Zset, until_ms, Otherwise::NullArray)
}

fn blocking_pop<'c>(call: &'c mut Call<'_>, end: End) -> CommandResult<'c> {
    let last = call.args.len() - 1;
    let until_ms = deadline_ms(call, call.args.at(last), Unit::Seconds)?;
    pop_or_wait(call, 1..last, end, None, until_ms)
}

/// BZPOPMIN key \[key ...\] timeout
pub fn bzpopmin<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    blocking_pop(call, End::Min)
}

/// BZPOPMAX key \[key ...\] timeout
pub fn bzpopmax<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    blocking_pop(call, End::Max)
}

fn end_of(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if word.eq_ignore_ascii_case(b"min") => Ok(End::Min),
        word if word.eq_ignore_ascii_case(b"max") => Ok(End::Max),
        _ => Err(CommandError::SYNTAX),
    }
}

/// ZMPOP numkeys key \[key ...\] MIN | MAX \[COUNT count\]
pub fn zmpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (keys, end, count) = several(call, 1, end_of)?;
    Ok(pop_first(call, keys, end, Some(count))?.unwrap_or(Reply::NullArray))
}

/// BZMPOP timeout numkeys key \[key ...\] MIN | MAX \[COUNT count\]
pub fn bzmpop<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (keys, end, count) = several(call, 2, end_of)?;
    let until_ms = deadline_ms(call, call.args.at(1), Unit::Seconds)?;
    pop_or_wait(call, keys, end, Some(count), until_ms)
}
