//! INFO, TIME and MONITOR.

use crate::dispatch::call::{Call, CommandResult};
use crate::observe::footprint::Footprint;
use crate::observe::info;
use larder_protocol::{CommandError, Reply};

/// INFO [section [section ...]]
pub fn info<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let sections = call.args.iter().skip(1);
    let (node, now_us, db) = (call.node, call.now_us, &mut call.db);
    let mut footprint = || Footprint::within(db);
    Ok(Reply::text(info::report(node, &mut footprint, now_us, sections)))
}

/// TIME. For a script it stands still until the script is slow, and then goes on, as in Redis: one
/// that waits for a moment comes to its end.
pub fn time<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let now_us = if call.session.is_slow { call.node.clock.unix_us() } else { call.now_us };
    let parts = [now_us.div_euclid(1_000_000), now_us.rem_euclid(1_000_000)];
    Ok(Reply::Array(parts.map(Reply::digits).to_vec()))
}

/// MONITOR
pub fn monitor<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, client) = (call.node, &call.session.client);
    // A transaction needs a reply to each command. In process there is no connection that could be
    // shown anything.
    if !call.session.may_block || node.clients.get(client.id).is_none() {
        return Err(CommandError::MONITOR_DENIED);
    }
    let is_new = node.push.monitors.add(client);
    Ok(if is_new { Reply::Ok } else { Reply::None })
}
