//! A value gets another key or another database: RENAME, RENAMENX, COPY, MOVE.
//!
//! A value that moves keeps its deadline and its access field; a copy keeps the deadline and counts
//! as new. What is in the way counts as accessed. A database is no part of a key's hash, so a key's
//! shard holds its twins of all databases.

use super::parse_db;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::notify::Classes;
use crate::raw::Entry;
use larder_protocol::{CommandError, Reply};

/// RENAME key newkey
pub fn rename<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    change_key(call, Existing::Replace)?;
    Ok(Reply::Ok)
}

/// RENAMENX key newkey
pub fn renamenx<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let renamed = change_key(call, Existing::Keep)?;
    Ok(Reply::Int(renamed.into()))
}

/// What happens to a value that is in the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    Keep,
}

/// Renames, and tells whether something changed.
fn change_key(call: &mut Call<'_>, existing: Existing) -> Result<bool, CommandError> {
    let (from, to) = (call.key(1), call.key(2));
    if call.db.find_for_write(from).is_none() {
        return Err(CommandError::NO_SUCH_KEY);
    }
    if from.bytes == to.bytes
        || (existing == Existing::Keep && call.db.find_for_write(to).is_some())
    {
        return Ok(false);
    }
    call.db.remove(to);
    let Some(entry) = call.db.extract(from) else { return Ok(false) };
    // Those who hold copies are told of it before they are of the new key.
    let db = call.db.db();
    call.db.changes.event(Classes::UNSAID, "", db, from.bytes);
    call.db.insert_entry(to, entry.renamed(to.bytes));
    call.changed(Classes::GENERIC, "rename_from", from);
    call.db.changes.event(Classes::GENERIC, "rename_to", db, to.bytes);
    call.db.touched(to);
    Ok(true)
}

/// COPY source destination [DB destination-db] [REPLACE]
pub fn copy<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut db = call.db.db();
    let mut existing = Existing::Keep;
    let mut options = call.args.reader(3);
    while options.has_next() {
        if options.keyword("replace") {
            existing = Existing::Replace;
        } else if options.keyword("db") && options.has_next() {
            db = parse_db(options.next(), call.db.keyspace().databases())?;
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    let (from, to) = (call.key(1), call.key(2));
    if db == call.db.db() && from.bytes == to.bytes {
        return Err(CommandError::SAME_OBJECT);
    }
    // Looked up on its own first: a value is duplicated only when the copy has a place to go to.
    if call.db.find(from).is_none() {
        return Ok(Reply::Int(0));
    }
    if existing == Existing::Keep && call.db.in_db(db, |access| access.find_for_write(to).is_some())
    {
        return Ok(Reply::Int(0));
    }
    let Some(entry) = call.db.peek(from) else { return Ok(Reply::Int(0)) };
    let copy = Entry::duplicate(entry, to.bytes, entry.deadline_ms());
    let fresh = call.db.touch().fresh();
    call.db.in_db(db, |access| {
        access.remove(to);
        access.insert_entry(to, copy);
        if let Some(mut copy) = access.find_for_write(to) {
            copy.set_access(fresh);
        }
        access.touched(to);
    });
    call.db.changes.dirty += 1;
    call.db.changes.event(Classes::GENERIC, "copy_to", db, to.bytes);
    Ok(Reply::Int(1))
}

/// MOVE key db
pub fn move_key<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let db = parse_db(call.args.at(2), call.db.keyspace().databases())?;
    if db == call.db.db() {
        return Err(CommandError::SAME_OBJECT);
    }
    let key = call.key(1);
    if call.db.find_for_write(key).is_none()
        || call.db.in_db(db, |access| access.find_for_write(key).is_some())
    {
        return Ok(Reply::Int(0));
    }
    let Some(entry) = call.db.extract(key) else { return Ok(Reply::Int(0)) };
    call.db.in_db(db, |access| {
        access.insert_entry(key, entry);
        access.touched(key);
    });
    call.changed(Classes::GENERIC, "move_from", key);
    call.db.changes.event(Classes::GENERIC, "move_to", db, key.bytes);
    Ok(Reply::Int(1))
}
