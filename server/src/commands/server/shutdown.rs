//! SHUTDOWN: ends the node.
//!
//! There is no dump file and no append-only file yet, hence nothing to save: a plain SHUTDOWN and
//! one with NOSAVE end the node at once. SAVE asks for something that cannot be done, and fails as
//! a failed save does in Redis, unless FORCE says to leave even so.

use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply};

/// SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]
pub fn shutdown<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (mut nosave, mut save, mut now, mut force, mut abort) = Default::default();
    let mut reader = call.args.reader(1);
    while reader.has_next() {
        if reader.keyword("nosave") {
            nosave = true;
        } else if reader.keyword("save") {
            save = true;
        } else if reader.keyword("now") {
            now = true;
        } else if reader.keyword("force") {
            force = true;
        } else if reader.keyword("abort") {
            abort = true;
        } else {
            reader.fail(CommandError::SYNTAX);
        }
    }
    reader.finish()?;
    if (abort && (nosave || save || now || force)) || (nosave && save) {
        return Err(CommandError::SYNTAX);
    }
    if abort {
        // A node that was asked to end does not wait for anything, so there is nothing to stop.
        return Err(CommandError::NO_SHUTDOWN);
    }
    if !nosave && let Some(error) = call.node.scripts.slow.error() {
        return Err(error);
    }
    if save && !force {
        tracing::warn!("SHUTDOWN SAVE refused: there is no file to save to");
        return Err(CommandError::SHUTDOWN_FAILED);
    }
    tracing::info!(client = call.session.client.id, "SHUTDOWN was called");
    call.session.closing = true;
    call.node.shutdown.request();
    Ok(Reply::None)
}
