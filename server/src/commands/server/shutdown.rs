//! SHUTDOWN: saves what shall be saved, and ends the node.

use crate::dispatch::call::{Call, CommandResult};
use crate::persistence::leaving::{self, Last};
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
    tracing::info!(client = call.session.client.id, "User requested shutdown...");
    let last = match (save, nosave) {
        (true, _) => Last::Save,
        (false, true) => Last::Nothing,
        (false, false) => Last::AsConfigured,
    };
    leaving::leave(call.node, last, force)?;
    call.session.closing = true;
    Ok(Reply::None)
}
