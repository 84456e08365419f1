//! What dispatch does for that which clients are told unasked: who changes something is known to
//! those who are told of it, and messages keep their place among the replies.

use crate::commands::Command;
use crate::config::Settings;
use crate::keyspace::changes::Changes;
use crate::keyspace::notify::Classes;
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::encode::Output;

/// What collects the changes of a session's command.
#[inline]
pub(super) fn collecting(node: &Shared, settings: &Settings, session: &Session) -> Changes {
    let mut changes = Changes::new(is_logged(node, session), node.wanted_events());
    changes.lazy_expire = settings.lazyfree_lazy_expire;
    if changes.wanted != Classes::default() {
        changes.by = session.client.id;
    }
    changes
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
