//! XGROUP: groups and their consumers come and go.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::read::c_string;
use super::{Stream, StreamId, edit, marks};
use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::access::Occupied;
use crate::keyspace::notify::Classes;
use crate::raw::NewValue;
use crate::types::object::Object;
use larder_protocol::{CommandError, Reply};

/// What follows the ID of XGROUP CREATE and XGROUP SETID.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn read(call: &Call<'_>, is_create: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        // Redis tells a count that went round as it is, and what a primary has is not for us to judge.
        let least = if call.session.applies { i64::MIN } else { -1 };
        let mut reader = call.args.reader(5);
        while reader.has_next() {
            if is_create && reader.keyword("mkstream") {
                options.makes_stream = true;
            } else if reader.remaining() > 1 && reader.keyword("entriesread") {
                let read = reader.int_in(least..=i64::MAX, CommandError::ENTRIES_READ);
                options.entries_read = marks::known(read);
            } else {
                reader.fail(syntax(call));
            }
        }
        reader.finish()?;
        Ok(options)
    }
}

fn syntax(call: &Call<'_>) -> CommandError {
    CommandError::subcommand_syntax(call.args.at(1), "xgroup")
}

pub(super) fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let before =
        CommandError::quoting("NOGROUP No such consumer group '", group, "' for key name '");
    CommandError::custom([before.as_bytes(), c_string(key), b"'"].concat())
}

/// The stream of a key that must exist.
fn existing<'k, 'a>(
    call: &'a mut Call<'k>,
    key: Key<'a>,
) -> Result<Occupied<'a, 'k>, CommandError> {
    let mut entry = call.db.find_for_write(key).ok_or(CommandError::XGROUP_NO_KEY)?;
    Stream::of(entry.view())?;
    Ok(entry)
}

/// The stream of a key that must exist and have a group.
fn with_group<'k, 'a>(
    call: &'a mut Call<'k>,
    key: Key<'a>,
    group: &[u8],
) -> Result<Occupied<'a, 'k>, CommandError> {
    let mut entry = existing(call, key)?;
    match Stream::of(entry.view())?.groups().get(group) {
        Some(_) => Ok(entry),
        None => Err(no_group(key.bytes, group)),
    }
}

/// XGROUP CREATE key group id | $ \[MKSTREAM\] \[ENTRIESREAD entries-read\]
pub fn xgroup_create<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(2), call.args);
    let (group, id) = (args.at(3), args.at(4));
    let Options { makes_stream, entries_read } = Options::read(call, true)?;
    let (is_long, syntax) = (args.len() > 8, syntax(call));
    let last_id = match call.db.find_for_write(key) {
        Some(mut entry) => Some(Stream::of(entry.view())?.marks.last_id),
        None if makes_stream => None,
        None => return Err(CommandError::XGROUP_NO_KEY),
    };
    if is_long {
        return Err(syntax);
    }
    let id = match id {
        b"$" => last_id.unwrap_or(StreamId::MIN),
        id => StreamId::parse(id, 0)?,
    };
    if let Some(mut entry) = call.db.find_for_write(key) {
        let is_new = edit(&mut entry, |stream| stream.groups_mut().create(group, id, entries_read));
        if !is_new {
            return Err(CommandError::BUSY_GROUP);
        }
    } else {
        let mut stream = Box::<Stream>::default();
        stream.groups_mut().create(group, id, entries_read);
        call.db.insert(key, NewValue::Object(Box::new(Object::Stream(stream))), None);
        call.db.touched(key);
    }
    call.noted(Classes::STREAM, "xgroup-create", key);
    Ok(Reply::Ok)
}

/// XGROUP SETID key group id | $ \[ENTRIESREAD entries-read\]
pub fn xgroup_setid<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(2), call.args);
    let (group, id) = (args.at(3), args.at(4));
    let entries_read = Options::read(call, false)?.entries_read;
    let (is_odd, syntax) = (!matches!(args.len(), 5 | 7), syntax(call));
    let mut entry = with_group(call, key, group)?;
    if is_odd {
        return Err(syntax);
    }
    let id = match id {
        b"$" => Stream::of(entry.view())?.marks.last_id,
        id => StreamId::parse_bound(id, 0)?,
    };
    edit(&mut entry, |stream| {
        stream.with_group(group, |group, _| {
            group.last_id = id;
            group.entries_read = entries_read;
        })
    });
    call.noted(Classes::STREAM, "xgroup-setid", key);
    Ok(Reply::Ok)
}

/// XGROUP DESTROY key group
pub fn xgroup_destroy<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(2), call.args);
    let mut entry = existing(call, key)?;
    if !edit(&mut entry, |stream| stream.groups_mut().remove(args.at(3))) {
        return Ok(Reply::Int(0));
    }
    // Those who read for the group learn that there is none any more.
    call.db.signal(key);
    call.noted(Classes::STREAM, "xgroup-destroy", key);
    Ok(Reply::Int(1))
}

/// XGROUP CREATECONSUMER key group consumer
pub fn xgroup_createconsumer<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args, now_ms) = (call.key(2), call.args, call.now_ms());
    let (group, name) = (args.at(3), args.at(4));
    let mut entry = with_group(call, key, group)?;
    let is_new = edit(&mut entry, |stream| {
        stream.with_group(group, |group, _| {
            let is_new = group.number(name).is_none();
            if is_new {
                group.create_consumer(name, now_ms);
            }
            is_new
        })
    });
    let is_new = is_new.unwrap_or(false);
    if is_new {
        call.noted(Classes::STREAM, "xgroup-createconsumer", key);
    }
    Ok(Reply::from(is_new))
}

/// XGROUP DELCONSUMER key group consumer
pub fn xgroup_delconsumer<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(2), call.args);
    let group = args.at(3);
    let mut entry = with_group(call, key, group)?;
    let pending = edit(&mut entry, |stream| {
        stream.with_group(group, |group, _| group.remove_consumer(args.at(4)))
    });
    let pending = pending.flatten();
    if pending.is_some() {
        call.noted(Classes::STREAM, "xgroup-delconsumer", key);
    }
    Ok(Reply::from(pending.unwrap_or(0)))
}

/// XGROUP HELP
pub fn xgroup_help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Make a consumer group that reads on after an ID. Options:",
            "    * MKSTREAM",
            "      Make an empty stream if the key does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set how many entries the group has read (for replication).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Make a consumer in a group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove a consumer and what is pending for it.",
            "DESTROY <key> <groupname>",
            "    Remove a group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the ID up to which a group has read, and how many entries that were.",
        ],
    ))
}
