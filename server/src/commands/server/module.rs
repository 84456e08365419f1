//! MODULE: there are none, and none can be loaded.

use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply};

/// MODULE LIST
pub fn list<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Array(Vec::new()))
}

/// MODULE LOAD path [arg ...], MODULE LOADEX path [CONFIG name value ...] [ARGS arg ...]
///
/// Modules are machine code for the inside of Redis, which is not this server's.
pub fn load<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    tracing::warn!("modules are not supported");
    Err(CommandError::MODULE_NOT_LOADED)
}

/// MODULE UNLOAD name
pub fn unload<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Err(CommandError::NO_SUCH_MODULE)
}

/// MODULE HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "LIST",
            "    Show the modules: there are none.",
            "LOAD <path> [<arg> ...]",
            "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
            "    Load a module, which this server refuses.",
            "UNLOAD <name>",
            "    Unload a module.",
        ],
    ))
}
