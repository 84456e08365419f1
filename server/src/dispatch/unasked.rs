//! What dispatch does for that which clients are told unasked: who changes something is known to
//! those who are told of it, and messages keep their place among the replies.

use crate::commands::Command;
use crate::config::Settings;
use crate::keyspace::changes::Changes;
use crate::keyspace::notify::Classes;
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::encode::Output;

/// What collects the changes of a session's command that holds its shards.
#[inline]
pub(super) fn collecting(node: &Shared, settings: &Settings, session: &Session) -> Changes {
    let mut changes = Changes::default();
    listen(node, settings, session, &mut changes);
    changes
}

/// Learns who reads the log and hears of events. To be asked by whoever has just taken its first
/// shard: readers and listeners begin with what the shards show, and whoever changes one after that
/// has to tell them.
#[inline]
pub(super) fn listen(node: &Shared, settings: &Settings, session: &Session, changes: &mut Changes) {
    changes.logged = is_logged(node, session) && !changes.is_muted;
    changes.wanted = node.wanted_events();
    changes.by = if changes.wanted == Classes::default() { 0 } else { session.client.id };
    changes.lazy_expire = settings.lazyfree_lazy_expire;
}

/// Whether the effects of a session's command are logged; sure for who holds a shard.
#[inline]
pub(super) fn is_logged(node: &Shared, session: &Session) -> bool {
    node.log.is_read() && !session.applies
}

/// Sends what came of a channel before its unsubscription is confirmed: nothing may come after.
#[cold]
pub(super) fn send_mail_before(
    node: &Shared,
    session: &Session,
    command: &Command,
    out: &mut impl Output,
) {
    if command.row.name.ends_with("unsubscribe") {
        send_mail(node, session, out);
    }
}

/// Sends what waits in the client's mailbox.
#[cold]
pub(super) fn send_mail(node: &Shared, session: &Session, out: &mut impl Output) {
    node.take_mail(&session.client, |message| out.put_shared(message));
}

/// Ends what CLIENT CACHING said about the command after it.
#[cold]
pub(super) fn end_caching(session: &mut Session, command: Option<&Command>) {
    // What is said before MULTI holds up to EXEC.
    if session.transaction.is_open() {
        return;
    }
    let container = command.and_then(|command| command.container);
    session.caching.is_said = container.is_some_and(|container| container.name == "client");
}
