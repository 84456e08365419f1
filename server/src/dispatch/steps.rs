//! What a command does between its gates and its reply, step by step.

use super::call::{Call, CommandResult};
use super::plan::lock;
use super::{Pending, blocking, gates};
use crate::commands::Command;
use crate::commands::row::Handler;
use crate::keyspace::wait::take_given_up;
use larder_protocol::Args;
use larder_protocol::encode::encode_command;

/// Encodes a command as the log shall have it, if it shall.
#[inline]
pub(super) fn encode_if(is_wanted: bool, frame: &mut Vec<u8>, args: Args<'_>) {
    if is_wanted {
        frame.clear();
        encode_command(frame, args.iter());
    }
}

/// Takes the shards of a call. Tells whether the node is a primary on which nothing stands in a
/// write's way; none if the call has to wait, for a script or until it is let in.
///
/// A snapshot may have been begun meanwhile, or the role changed: all of that happens while all
/// shards are held, so it is asked for here.
#[inline(always)]
pub(super) fn enter(
    call: &mut Call<'_>,
    command: &'static Command,
    pending: &mut Option<Pending>,
) -> Option<bool> {
    let node = call.node;
    if !lock(node, command, call.args, call.keys, &mut call.db) {
        return None;
    }
    let is_free = !node.pause.is_active() && node.role.is_free_primary();
    if !is_free && gates::is_held_back(node, call.row.flags, call.session) {
        *pending = Some(Pending::HeldBack);
        return None;
    }
    call.listen();
    Some(is_free)
}

/// Runs the handler, unless there is what a command must not do once it holds its shards: what depends
/// on the node's role and on a pause can have changed before. `is_free`: nothing does.
#[inline(always)]
pub(super) fn handle<'c>(
    call: &'c mut Call<'_>,
    command: &Command,
    handler: Handler,
    is_free: bool,
) -> CommandResult<'c> {
    if call.session.applies {
        call.db.keep_live();
    } else if !is_free {
        gates::within(call.node, call.settings, call.row.flags, &mut call.db)?;
    }
    let node = call.node;
    let result = handler(call);
    // One that walks over shards went without one that a script keeps.
    if !command.has_keys && take_given_up() {
        return Err(node.scripts.slow.error_or_script());
    }
    result
}

/// Serves those for whom a command made a key ready, and publishes what all of them changed;
/// `verbatim` is the command itself, where it is logged as it came.
#[inline]
pub(super) fn hand_on(call: &mut Call<'_>, verbatim: Option<&[u8]>) {
    let db = call.db.db();
    let changes = &mut call.db.changes;
    if let Some(frame) = verbatim
        && changes.dirty > 0
    {
        if changes.has_effects() {
            changes.frame(db, frame);
        } else {
            call.node.log.append_frame(db, frame);
        }
    }
    // What was due goes with what took its place, as one transaction.
    changes.nested |= changes.has_effects();
    if changes.has_ready() {
        if changes.nested {
            // Who waits comes after a transaction, not into it.
            crate::propagate::publish(call.node, changes);
        } else {
            // Who is told that its copy is old and is served as well learns it in this order.
            crate::propagate::invalidate(call.node, changes);
        }
        let (host, db) = call.split();
        blocking::serve_ready(host, db);
    }
    crate::propagate::publish(call.node, &mut call.db.changes);
    if call.db.may_have_large_garbage() {
        super::memory::reap(call);
    }
}
