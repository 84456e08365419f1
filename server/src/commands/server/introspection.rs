//! INFO and TIME.

use crate::dispatch::call::{Call, CommandResult};
use crate::observe;
use larder_protocol::Reply;

/// INFO [section [section ...]]
pub fn info<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let sections = call.args.iter().skip(1);
    Ok(Reply::text(observe::info::report(call.node, call.now_us, sections)))
}

/// TIME
pub fn time<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let parts = [call.now_us.div_euclid(1_000_000), call.now_us.rem_euclid(1_000_000)];
    Ok(Reply::Array(parts.map(Reply::digits).to_vec()))
}
