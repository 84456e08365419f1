//! Values as bytes: DUMP and RESTORE.
//!
//! A payload is what a dump file would hold of the value, with a version and a checksum. One that
//! was made by another server, or by somebody who means harm, is looked at in every byte before
//! anything is stored.

use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::evict;
use crate::keyspace::notify::Classes;
use crate::raw::{Entry, EntryRef};
use crate::types::rdb::{Encodings, put_value, read_value};
use larder_protocol::rdb::{Reader, VERSION, Writer};
use larder_protocol::{CommandError, Reply};

/// DUMP key
pub fn dump<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, compresses) = (call.key(1), call.settings.rdbcompression);
    Ok(match call.db.find(key) {
        Some(entry) => Reply::from(payload_of(entry, compresses)),
        None => Reply::Null,
    })
}

fn payload_of(entry: EntryRef<'_>, compresses: bool) -> Vec<u8> {
    let mut out = Writer::new(compresses);
    put_value(&mut out, entry);
    out.finish_payload()
}

/// What follows the payload.
#[derive(Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
    idle_s: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn read(call: &Call<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut reader = call.args.reader(4);
        while reader.has_next() {
            if reader.keyword("replace") {
                options.replaces = true;
            } else if reader.keyword("absttl") {
                options.is_absolute = true;
            } else if reader.remaining() > 1
                && options.frequency.is_none()
                && reader.keyword("idletime")
            {
                let idle_s = reader.int_in(0..=i64::MAX, CommandError::NEGATIVE_IDLE_TIME);
                options.idle_s = Some(idle_s);
            } else if reader.remaining() > 1 && options.idle_s.is_none() && reader.keyword("freq") {
                let frequency = reader.int_in(0..=255, CommandError::FREQUENCY);
                options.frequency = u8::try_from(frequency).ok();
            } else {
                reader.fail(CommandError::SYNTAX);
            }
        }
        reader.finish()?;
        Ok(options)
    }

    /// The access field of the key.
    fn access(&self, call: &Call<'_>) -> u32 {
        let known = if call.settings.maxmemory_policy.is_lfu() {
            self.frequency.map(|frequency| evict::access_for_frequency(frequency, call.now_ms()))
        } else {
            self.idle_s
                .map(|idle_s| evict::access_for_idle(idle_s.saturating_mul(1000), call.now_ms()))
        };
        known.unwrap_or(call.db.touch().fresh())
    }
}

/// RESTORE key ttl serialized-value \[REPLACE\] \[ABSTTL\] \[IDLETIME seconds\] \[FREQ frequency\]
pub fn restore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, payload) = (call.key(1), call.args.at(3));
    let options = Options::read(call)?;
    if !options.replaces && call.db.find_for_write(key).is_some() {
        return Err(CommandError::BUSY_KEY);
    }
    let mut ttl = call.args.reader(2);
    let ttl_ms = ttl.int_in(0..=i64::MAX, CommandError::NEGATIVE_TTL);
    ttl.finish()?;
    let deadline_ms = match ttl_ms {
        0 => None,
        ttl_ms if options.is_absolute => Some(ttl_ms),
        // A span that goes beyond all time ends before it, as in Redis.
        ttl_ms => Some(ttl_ms.wrapping_add(call.now_ms())),
    };
    let entry = read_entry(call, key, deadline_ms, options.access(call))?;
    let is_replaced = options.replaces && call.db.remove(key);
    if deadline_ms.is_some_and(|deadline_ms| call.is_past(deadline_ms)) {
        if is_replaced {
            call.changed(Classes::GENERIC, "del", key);
            call.effect_gone(key);
        }
        return Ok(Reply::Ok);
    }
    let restated = call.db.changes.logged.then(|| restated(call, &entry, payload)).flatten();
    call.db.insert_entry(key, entry);
    call.changed(Classes::GENERIC, "restore", key);
    state_effect(call, deadline_ms, restated.as_deref().unwrap_or(payload), options.is_absolute);
    Ok(Reply::Ok)
}

/// The entry that a payload makes.
fn read_entry(
    call: &Call<'_>,
    key: Key<'_>,
    deadline_ms: Option<i64>,
    access: u32,
) -> Result<Entry, CommandError> {
    let mut reader = Reader::of_payload(call.args.at(3), call.node.checks_payloads())
        .ok_or(CommandError::PAYLOAD)?;
    let encodings = Encodings::of(call.settings);
    let store = |value: crate::raw::NewValue<'_>| Entry::new(key.bytes, value, deadline_ms, access);
    let entry = reader.opcode().and_then(|kind| read_value(&mut reader, kind, &encodings, store));
    match entry {
        Ok(Some(entry)) if reader.is_empty() => Ok(entry),
        Ok(_) => Err(CommandError::BAD_PAYLOAD),
        Err(error) => {
            tracing::warn!(%error, "RESTORE: the payload's integrity check failed");
            Err(CommandError::BAD_PAYLOAD)
        }
    }
}

/// The payload in the version that every replica reads, if it came in a later one.
fn restated(call: &Call<'_>, entry: &Entry, payload: &[u8]) -> Option<Vec<u8>> {
    let version = payload.len().checked_sub(10).and_then(|at| payload.get(at..at + 2))?;
    let version = u16::from_le_bytes([version[0], version[1]]);
    (version > VERSION).then(|| payload_of(entry.view(), call.settings.rdbcompression))
}

/// States the command with its deadline as an instant.
fn state_effect(call: &mut Call<'_>, deadline_ms: Option<i64>, payload: &[u8], is_absolute: bool) {
    if !call.db.changes.logged {
        return;
    }
    let deadline = deadline_ms.unwrap_or(0).to_string();
    let mut command: Vec<&[u8]> = call.args.iter().collect();
    command[2] = deadline.as_bytes();
    command[3] = payload;
    if deadline_ms.is_some() && !is_absolute {
        command.push(b"ABSTTL");
    }
    call.effect(&command);
}
