//! Whole databases: FLUSHDB, FLUSHALL, SWAPDB.
//!
//! These rows name no keys and write, so all shards are held and each command is one instant for
//! every client. What a flush takes out is freed after the locks: by the calling thread, or by the
//! reaper when the flush is asynchronous.

use super::existing_db;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::SHARDS;
use crate::keyspace::garbage::Removed;
use larder_protocol::{CommandError, Reply, number};
use std::ops::Range;

/// FLUSHDB [ASYNC|SYNC]
pub fn flushdb<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let db = call.db.db();
    flush(call, db..db + 1)
}

/// FLUSHALL [ASYNC|SYNC]
pub fn flushall<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    // There may be far more databases than were ever used.
    let used = |index| call.db.walk(index, |shard| shard.databases().count());
    let databases = (0..SHARDS).map(used).max().unwrap_or(0);
    flush(call, 0..databases)?;
    let changes = call.node.stats.dirty() + call.db.changes.dirty;
    call.node.dump.flushed(call.node, call.settings, changes);
    Ok(Reply::Ok)
}

fn flush<'c>(call: &'c mut Call<'_>, databases: Range<usize>) -> CommandResult<'c> {
    let asynchronous = match call.args.len() {
        1 => call.node.config.load().lazyfree_lazy_user_flush,
        2 if call.args.at(1).eq_ignore_ascii_case(b"sync") => false,
        2 if call.args.at(1).eq_ignore_ascii_case(b"async") => true,
        _ => return Err(CommandError::SYNTAX),
    };
    let keys: usize = databases.map(|db| call.db.clear(db)).sum();
    call.db.changes.dirty += keys as u64;
    call.db.changes.flush();
    // Stated even when nothing was there: a replica may hold what this node does not.
    call.effect_as_it_came();
    if asynchronous {
        let databases = |removed: &Removed| matches!(removed, Removed::Database(_));
        call.node.reap(call.db.take_large_garbage(databases));
    }
    Ok(Reply::Ok)
}

/// SWAPDB index1 index2
pub fn swapdb<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let first = parse_index(call.args.at(1), CommandError::INVALID_FIRST_DB_INDEX)?;
    let second = parse_index(call.args.at(2), CommandError::INVALID_SECOND_DB_INDEX)?;
    let databases = call.db.keyspace().databases();
    let (first, second) = (existing_db(first, databases)?, existing_db(second, databases)?);
    if first != second {
        call.db.swap(first, second);
    }
    call.db.changes.dirty += 1;
    Ok(Reply::Ok)
}

fn parse_index(arg: &[u8], error: CommandError) -> Result<i32, CommandError> {
    number::parse_i64(arg).and_then(|number| i32::try_from(number).ok()).ok_or(error)
}
