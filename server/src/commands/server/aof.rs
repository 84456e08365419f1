//! The append-only file's command.

use crate::dispatch::call::{Call, CommandResult};
use crate::persistence::aof::rewrite::{self, Begun};
use larder_protocol::{CommandError, Reply};

/// BGREWRITEAOF
pub fn bgrewriteaof<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let Some(node) = call.node.keep() else { return Err(CommandError::REWRITE_FAILED) };
    // Not from within a transaction, as in Redis: it comes when that is over.
    let later = !call.db.holds_nothing() || call.session.scripted;
    Ok(Reply::Simple(match rewrite::ask(&node, later)? {
        Begun::Now => "Background append only file rewriting started",
        Begun::Later => "Background append only file rewriting scheduled",
    }))
}
