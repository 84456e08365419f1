//! EVAL, EVALSHA, FCALL, and their forms that only read.

use crate::dispatch::call::{Call, CommandResult};
use crate::scripting;
use crate::scripting::script::Digest;
use larder_protocol::CommandError;

/// EVAL script numkeys [key ...] [arg ...]
pub fn eval<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    by_text(call, false)
}

/// EVAL_RO script numkeys [key ...] [arg ...]
pub fn eval_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    by_text(call, true)
}

/// EVALSHA sha1 numkeys [key ...] [arg ...]
pub fn evalsha<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    by_digest(call, false)
}

/// EVALSHA_RO sha1 numkeys [key ...] [arg ...]
pub fn evalsha_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    by_digest(call, true)
}

/// FCALL function numkeys [key ...] [arg ...]
pub fn fcall<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    scripting::fcall(call, false)
}

/// FCALL_RO function numkeys [key ...] [arg ...]
pub fn fcall_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    scripting::fcall(call, true)
}

fn by_text<'c>(call: &'c mut Call<'_>, read_only: bool) -> CommandResult<'c> {
    let text = call.args.at(1);
    scripting::eval(call, &Digest::of(text), Some(text), read_only)
}

fn by_digest<'c>(call: &'c mut Call<'_>, read_only: bool) -> CommandResult<'c> {
    let text = call.args.at(1);
    if text.len() != 40 {
        call.node.push.monitor_early(call.node, call.session, call.row, call.args);
        return Err(CommandError::NO_SCRIPT);
    }
    match Digest::parse(text) {
        Some(digest) => scripting::eval(call, &digest, None, read_only),
        // The other arguments are looked at first, as always.
        None => scripting::eval(call, &Digest::of(text), None, read_only),
    }
}
