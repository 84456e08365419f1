//! PING, ECHO, SELECT, RESET, QUIT.

use crate::acl::identity::Identity;
use crate::commands::generic::parse_db;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::tracking::Caching;
use crate::session::ReplyMode;
use larder_protocol::{CommandError, Reply, Version};
use std::sync::atomic::Ordering;

/// PING [message]
///
/// A subscriber in RESP2 reads only messages, so it gets one.
pub fn ping<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let in_message = call.session.is_subscriber && call.session.version == Version::Resp2;
    match call.args.len() {
        1 if in_message => Ok(Reply::array([&b"pong"[..], b""])),
        2 if in_message => Ok(Reply::array([b"pong", call.args.at(1)])),
        1 => Ok(Reply::Simple("PONG")),
        2 => Ok(Reply::Bulk(call.args.at(1))),
        _ => Err(CommandError::wrong_arity(call.row.name)),
    }
}

/// ECHO message
pub fn echo<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Bulk(call.args.at(1)))
}

/// SELECT index
pub fn select<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let db = parse_db(call.args.at(1), call.node.keyspace.databases())?;
    call.session.select(db);
    Ok(Reply::Ok)
}

/// RESET
///
/// What remains is what a new connection has, and the library's name and version: the same library
/// goes on using the connection.
pub fn reset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let session = &mut *call.session;
    session.select(0);
    session.version = Version::Resp2;
    session.identity = Identity::of_newcomer(&call.node.acl.users);
    session.no_touch = false;
    session.transaction.end(&session.client);
    session.is_subscriber = false;
    session.caching = Caching::default();
    // The reply of this very command may be one that CLIENT REPLY SKIP asked to leave out.
    if session.reply_mode != ReplyMode::Skip {
        session.reply_mode = ReplyMode::On;
    }
    let client = &session.client;
    client.resp.store(2, Ordering::Relaxed);
    call.node.clients.spare(client, false);
    call.node.stop_pushing(client);
    client.no_touch.store(false, Ordering::Relaxed);
    client.texts.lock().name.clear();
    client.show_user(&session.identity);
    Ok(Reply::Simple("RESET"))
}

/// QUIT
pub fn quit<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.session.closing = true;
    Ok(Reply::Ok)
}
