//! OBJECT: how a value is stored, and what eviction knows about its key.
//!
//! Looking must not change what is looked at: none of these counts as an access.

use crate::config::Settings;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::evict;
use crate::raw::{EntryRef, Kind, Value};
use larder_protocol::{CommandError, Reply};

/// Redis keeps one object for each of the integers below this and shares it between keys.
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count that such an object shows.
const SHARED_REFCOUNT: i64 = i32::MAX as i64;

/// The type of a value as TYPE reports it.
pub fn type_name(entry: EntryRef<'_>) -> &'static str {
    match entry.kind() {
        Kind::Int | Kind::Embedded | Kind::Inline | Kind::Heap => "string",
        Kind::ListPacked => "list",
        Kind::HashPacked | Kind::HashPackedTtl => "hash",
        Kind::SetInts | Kind::SetPacked => "set",
        Kind::ZsetPacked => "zset",
        Kind::Object => entry.object().type_name(),
    }
}

/// The encoding of a value as OBJECT ENCODING reports it.
pub fn encoding_name(entry: EntryRef<'_>) -> &'static str {
    match entry.kind() {
        Kind::Int => "int",
        Kind::Embedded => "embstr",
        Kind::Inline | Kind::Heap => "raw",
        Kind::ListPacked | Kind::HashPacked | Kind::SetPacked | Kind::ZsetPacked => "listpack",
        Kind::HashPackedTtl => "listpackex",
        Kind::SetInts => "intset",
        Kind::Object => entry.object().encoding_name(),
    }
}

/// The reference count of a value as OBJECT REFCOUNT reports it.
///
/// Values here have one owner. Small integers show what they show in Redis, because clients tell
/// shared objects by it.
pub fn refcount(entry: EntryRef<'_>, settings: &Settings) -> i64 {
    let policy = settings.maxmemory_policy;
    // A shared object has no access field of its own, so Redis shares none while eviction reads it.
    let shares = settings.maxmemory_bytes == 0 || !(policy.is_lru() || policy.is_lfu());
    match entry.value() {
        Value::Int(0..SHARED_INTEGERS) if shares => SHARED_REFCOUNT,
        _ => 1,
    }
}

/// OBJECT ENCODING key
pub fn encoding<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(2);
    Ok(match call.db.find_unannounced(key) {
        Some(entry) => Reply::Bulk(encoding_name(entry).as_bytes()),
        None => Reply::Null,
    })
}

/// OBJECT FREQ key
pub fn freq<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, now_ms) = (call.key(2), call.now_ms());
    let settings = call.node.config.load();
    let Some(entry) = call.db.find_unannounced(key) else { return Ok(Reply::Null) };
    if !settings.maxmemory_policy.is_lfu() {
        return Err(CommandError::FREQ_WITHOUT_LFU);
    }
    Ok(Reply::Int(evict::frequency(entry.access(), now_ms, &settings).into()))
}

/// OBJECT IDLETIME key
pub fn idletime<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, now_ms) = (call.key(2), call.now_ms());
    let settings = call.node.config.load();
    let Some(entry) = call.db.find_unannounced(key) else { return Ok(Reply::Null) };
    if settings.maxmemory_policy.is_lfu() {
        return Err(CommandError::IDLETIME_UNDER_LFU);
    }
    Ok(Reply::Int(evict::idle_ms(entry.access(), now_ms) / 1000))
}

/// OBJECT REFCOUNT key
pub fn refcount_of<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(2);
    let settings = call.node.config.load();
    Ok(match call.db.find_unannounced(key) {
        Some(entry) => Reply::Int(refcount(entry, &settings)),
        None => Reply::Null,
    })
}

/// OBJECT HELP
pub fn help<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Name the encoding in which the value is stored.",
        "FREQ <key>",
        "    Show the key's logarithmic access counter, which an LFU policy keeps.",
        "IDLETIME <key>",
        "    Show for how many seconds nobody has accessed the key.",
        "REFCOUNT <key>",
        "    Show how many references to the value there are.",
        "HELP",
        "    Print this help.",
    ];
    Ok(Reply::Array(LINES.iter().map(|line| Reply::Simple(line)).collect()))
}
