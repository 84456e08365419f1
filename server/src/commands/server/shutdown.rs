//! SHUTDOWN: waits for replicas, saves what shall be saved, and ends the node.

use crate::config::ShutdownOptions;
use crate::dispatch::call::{Call, CommandResult};
use crate::persistence::leaving;
use larder_protocol::{Args, CommandError, Reply};

/// What a SHUTDOWN asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The end of the node.
    End(ShutdownOptions),
    /// That it goes on after all.
    Abort,
}

/// What the arguments ask for.
///
/// # Errors
/// They make no sense.
pub fn parse(args: Args<'_>) -> Result<Wanted, CommandError> {
    let (mut options, mut abort) = (ShutdownOptions::default(), false);
    let mut reader = args.reader(1);
    while reader.has_next() {
        if reader.keyword("nosave") {
            options.nosave = true;
        } else if reader.keyword("save") {
            options.save = true;
        } else if reader.keyword("now") {
            options.now = true;
        } else if reader.keyword("force") {
            options.force = true;
        } else if reader.keyword("abort") {
            abort = true;
        } else {
            reader.fail(CommandError::SYNTAX);
        }
    }
    reader.finish()?;
    if (abort && options != ShutdownOptions::default()) || (options.nosave && options.save) {
        return Err(CommandError::SYNTAX);
    }
    Ok(if abort { Wanted::Abort } else { Wanted::End(options) })
}

/// SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]
pub fn shutdown<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let Wanted::End(options) = parse(call.args)? else {
        leaving::abort(call.node)?;
        return Ok(Reply::Ok);
    };
    if !options.now && !call.session.may_block {
        return Err(CommandError::SHUTDOWN_MAY_BLOCK);
    }
    if !options.nosave
        && let Some(error) = call.node.scripts.slow.error()
    {
        return Err(error);
    }
    if call.session.may_block {
        leaving::start(call.node, options)?;
        return Ok(call.wait_for_end());
    }
    leaving::leave(call.node, options)?;
    call.session.closing = true;
    Ok(Reply::None)
}
