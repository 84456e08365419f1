//! ACL LOG: the latest denials and failed logins, as operators read them.

use super::syntax;
use crate::acl::log::Entry;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply, number};

/// Entries that it shows unless somebody asks for another number.
const SHOWN: i64 = 10;

/// ACL LOG [count | RESET]
pub fn log<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let log = &call.node.acl.log;
    let count = match (call.args.len(), call.args.at(2)) {
        (2, _) => SHOWN,
        (3, word) if word.eq_ignore_ascii_case(b"reset") => {
            log.clear();
            return Ok(Reply::Ok);
        }
        (3, word) => number::parse_i64(word).ok_or(CommandError::NOT_INTEGER)?,
        _ => return Err(syntax(call)),
    };
    let now_ms = call.now_ms();
    let entries = log.newest(usize::try_from(count).unwrap_or(0)).into_iter();
    Ok(Reply::Array(entries.map(|entry| described(entry, now_ms)).collect()))
}

fn described(entry: Entry, now_ms: i64) -> Reply<'static> {
    let age = (now_ms - entry.updated_ms) as f64 / 1000.0;
    let fields = [
        ("count", Reply::Int(entry.count as i64)),
        ("reason", Reply::Bulk(entry.event.name().as_bytes())),
        ("context", Reply::Bulk(entry.context.as_bytes())),
        ("object", Reply::Owned(entry.object)),
        ("username", Reply::Owned(entry.user)),
        ("age-seconds", Reply::Double(age)),
        ("client-info", Reply::Owned(entry.client.into_bytes())),
        ("entry-id", Reply::Int(entry.id as i64)),
        ("timestamp-created", Reply::Int(entry.created_ms)),
        ("timestamp-last-updated", Reply::Int(entry.updated_ms)),
    ];
    Reply::map(fields)
}
