//! The commands on a stream's entries: XLEN, XRANGE, XREVRANGE, XDEL, XSETID.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::{Stream, StreamId, edit};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::notify::Classes;
use larder_protocol::{Args, CommandError, Reply};

/// XLEN key
pub fn xlen<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    match call.db.find(key) {
        Some(entry) => Ok(Reply::from(Stream::of(entry)?.len())),
        None => Ok(Reply::Int(0)),
    }
}

/// XRANGE key start end \[COUNT count\]
pub fn xrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, false)
}

/// XREVRANGE key end start \[COUNT count\]
pub fn xrevrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, true)
}

fn range<'c>(call: &'c mut Call<'_>, is_reversed: bool) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let (first, second) = if is_reversed { (3, 2) } else { (2, 3) };
    let start = StreamId::parse_start(args.at(first))?;
    let end = StreamId::parse_end(args.at(second))?;
    let mut count = usize::MAX;
    let mut options = args.reader(4);
    while options.has_next() {
        if options.remaining() > 1 && options.keyword("count") {
            count = options.int().max(0) as usize;
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Array(Vec::new())) };
    let stream = Stream::of(entry)?;
    if count == 0 {
        return Ok(Reply::NullArray);
    }
    let entries = stream.range(start, end);
    Ok(Reply::Array(if is_reversed {
        entries.rev().take(count).map(|entry| entry.reply()).collect()
    } else {
        entries.take(count).map(|entry| entry.reply()).collect()
    }))
}

/// The IDs that are arguments from `from` on.
pub(super) fn read_ids(args: Args<'_>, from: usize) -> Result<Vec<StreamId>, CommandError> {
    args.skip(from).iter().map(|arg| StreamId::parse(arg, 0)).collect()
}

/// XDEL key ID \[ID ...\]
pub fn xdel<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    Stream::of(entry.view())?;
    let ids = read_ids(args, 2)?;
    let deleted = edit(&mut entry, |stream| ids.iter().filter(|id| stream.delete(**id)).count());
    if deleted > 0 {
        call.changed(Classes::STREAM, "xdel", key);
        call.db.changes.dirty += deleted as u64 - 1;
    }
    Ok(Reply::from(deleted))
}

/// XSETID key last-id \[ENTRIESADDED entries-added\] \[MAXDELETEDID max-deleted-id\]
pub fn xsetid<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let id = StreamId::parse(args.at(2), 0)?;
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    // Redis 7.0 does not look at what was deleted, and what a primary did is not for us to judge.
    let obeys = call.session.applies;
    let mut options = args.reader(3);
    while options.has_next() {
        let has_value = options.remaining() > 1;
        if has_value && options.keyword("entriesadded") {
            added = Some(options.int_in(0..=i64::MAX, CommandError::ENTRIES_ADDED) as u64);
        } else if has_value && options.keyword("maxdeletedid") {
            max_deleted = StreamId::parse(options.next(), 0)?;
            if id < max_deleted && !obeys {
                options.fail(CommandError::XSETID_BELOW_GIVEN_DELETED);
            }
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    let Some(mut entry) = call.db.find_for_write(key) else {
        return Err(CommandError::NO_SUCH_KEY);
    };
    let stream = Stream::of(entry.view())?;
    if id < stream.marks.max_deleted_id && !obeys {
        return Err(CommandError::XSETID_BELOW_DELETED);
    }
    if let Some(top) = stream.top_id() {
        if id < top {
            return Err(CommandError::XSETID_BELOW_TOP);
        }
        if added.is_some_and(|added| added < stream.marks.len) {
            return Err(CommandError::XSETID_BELOW_LEN);
        }
    }
    edit(&mut entry, |stream| {
        let marks = &mut stream.marks;
        marks.last_id = id;
        marks.entries_added = added.unwrap_or(marks.entries_added);
        if max_deleted != StreamId::MIN {
            marks.max_deleted_id = max_deleted;
        }
    });
    call.noted(Classes::STREAM, "xsetid", key);
    Ok(Reply::Ok)
}
