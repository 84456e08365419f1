//! SCRIPT: the scripts that EVALSHA finds, and the one that runs for too long.

use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::scripting::script::Digest;
use larder_protocol::{CommandError, Reply};

/// SCRIPT LOAD script
pub fn load<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let digest = call.node.scripts.load(call, call.args.at(2))?;
    Ok(Reply::from(digest.hex()))
}

/// SCRIPT EXISTS sha1 [sha1 ...]
pub fn exists<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let exists =
        |text: &[u8]| Digest::parse(text).is_some_and(|digest| call.node.scripts.exists(&digest));
    Ok(Reply::array(call.args.iter().skip(2).map(exists)))
}

/// SCRIPT FLUSH [ASYNC | SYNC]
///
/// Both do the same: a state is freed quickly, or by the thread that has it.
pub fn flush<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mode = call.args.get(2).map(<[u8]>::to_ascii_lowercase);
    match mode.as_deref() {
        None | Some(b"async" | b"sync") if call.args.len() <= 3 => {
            call.node.scripts.flush();
            Ok(Reply::Ok)
        }
        _ => Err(CommandError::from_static("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
}

/// SCRIPT KILL
pub fn kill<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.scripts.slow.kill(true)?;
    Ok(Reply::Ok)
}

/// SCRIPT DEBUG YES | SYNC | NO
pub fn debug<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    match &call.args.at(2).to_ascii_lowercase()[..] {
        b"no" => Ok(Reply::Ok),
        b"yes" | b"sync" => {
            Err(CommandError::from_static("ERR there is no debugger for scripts here"))
        }
        _ => Err(CommandError::from_static("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
}

/// SCRIPT HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode for subsequent scripts executed.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Return information about the existence of the scripts in the script cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Flush the Lua scripts cache. Very dangerous on replicas.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the scripts cache.",
            "    * SYNC: Synchronously flush the scripts cache.",
            "KILL",
            "    Kill the currently executing Lua script.",
            "LOAD <script>",
            "    Load a script into the scripts cache without executing it.",
        ],
    ))
}
