//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! What makes several commands one is in [`dispatch::transaction`](crate::dispatch::transaction); it
//! runs EXEC within MULTI and queues what comes before.

pub mod table;

use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply};
use std::sync::Arc;

/// MULTI
pub fn multi<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let session = &mut *call.session;
    if session.transaction.open(&session.client) {
        Ok(Reply::Ok)
    } else {
        Err(CommandError::NESTED_MULTI)
    }
}

/// EXEC, where there is nothing to run.
pub fn exec<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Err(CommandError::EXEC_WITHOUT_MULTI)
}

/// DISCARD
pub fn discard<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let session = &mut *call.session;
    if !session.transaction.is_open() {
        return Err(CommandError::DISCARD_WITHOUT_MULTI);
    }
    session.transaction.end(&session.client);
    Ok(Reply::Ok)
}

/// WATCH key [key ...]
pub fn watch<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, keys) = (call.node, call.keys());
    let session = &mut *call.session;
    if session.transaction.is_open() {
        return Err(CommandError::WATCH_INSIDE_MULTI);
    }
    // Where a key was changed already, EXEC will fail whatever else is watched.
    if !session.client.is_touched() {
        let client = Arc::clone(&session.client);
        for key in keys {
            session.transaction.watch(&mut call.db, node, &client, key);
        }
    }
    Ok(Reply::Ok)
}

/// UNWATCH
pub fn unwatch<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let session = &mut *call.session;
    session.transaction.unwatch(&session.client);
    Ok(Reply::Ok)
}
