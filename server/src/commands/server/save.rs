//! SAVE, BGSAVE, LASTSAVE: the dump file.

use crate::dispatch::call::{Call, CommandResult};
use crate::persistence::snapshots::{Busy, Purpose};
use larder_protocol::{CommandError, Reply};

/// SAVE
///
/// Holds up the clients of its thread; the others go on, and what they change meanwhile is not in the
/// file.
pub fn save<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.dump.save(call.node)?;
    Ok(Reply::Ok)
}

/// BGSAVE [SCHEDULE]
pub fn bgsave<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let schedules = match call.args.len() {
        1 => false,
        2 if call.args.at(1).eq_ignore_ascii_case(b"schedule") => true,
        _ => return Err(CommandError::SYNTAX),
    };
    match call.node.dump.start_in_background(call.node) {
        Ok(()) => {
            if call.db.holds_nothing() {
                // So that what the client says next is not in the file, as in Redis.
                call.node.snapshots.wait_for_cut();
            }
            Ok(Reply::Simple("Background saving started"))
        }
        Err(Busy(Purpose::AppendOnlyFile)) if schedules => {
            call.node.dump.schedule();
            Ok(Reply::Simple("Background saving scheduled"))
        }
        Err(Busy(Purpose::AppendOnlyFile)) => Err(CommandError::CANNOT_BGSAVE),
        Err(Busy(_)) => Err(CommandError::SAVE_IN_PROGRESS),
    }
}

/// LASTSAVE
pub fn lastsave<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(call.node.dump.saved_s()))
}
