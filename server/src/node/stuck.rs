//! What becomes of a thread's clients while a script keeps the thread for too long: it runs on the
//! thread, or holds a shard that the thread waits for.
//!
//! The thread looks after them from time to time, from within the script or the wait: it reads what
//! they have sent without taking it, and answers BUSY, or does what ends the script. Only what it
//! answers it takes from the socket; the rest is there for the connection when the script has ended.
//! New connections go to other threads; when scripts keep every thread, the spare one serves them, so
//! that somebody can say SCRIPT KILL. If that waits as well, it answers them as any other does.
//!
//! Invariant: the control thread, which lets them in, never waits for a shard.
//!
//! Left waiting are clients of which the thread holds unfinished business (half a command, unsent
//! replies, a blocking command), those behind TLS, those who want no reply, and commands that are allowed
//! meanwhile but change the connection.

use super::balance::Load;
use super::clients::Client;
use super::shared::Shared;
use crate::acl::users::User;
use crate::commands::row::Flags;
use crate::commands::scripting::function;
use crate::commands::server::shutdown::{self, Wanted};
use crate::dispatch::nested;
use crate::keyspace::wait::{self, Meanwhile};
use crate::persistence::leaving;
use larder_protocol::encode::encode;
use larder_protocol::{CommandError, Limits, Parsed, Parser, Reply, Version};
use nix::sys::socket::{MsgFlags, recv, send};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a client that are looked at.
const LOOK_BYTES: usize = 4096;
/// Between two looks at all clients, so that with thousands of them there is time for anything else.
pub const ANSWER_NANOS: u64 = 5_000_000;

thread_local! {
    /// What this connection thread shows of itself.
    static HERE: RefCell<Option<Arc<Load>>> = const { RefCell::new(None) };
}

/// Tells the thread which connection thread it is.
pub(super) fn enter(node: &Arc<Shared>, load: &Arc<Load>) {
    HERE.set(Some(Arc::clone(load)));
    wait::set_meanwhile(Box::new(Waiting {
        node: Arc::clone(node),
        stuck: RefCell::default(),
        answered_nanos: Cell::default(),
    }));
}

/// What a connection thread does while it waits for a shard.
struct Waiting {
    node: Arc<Shared>,
    stuck: RefCell<Option<Stuck>>,
    answered_nanos: Cell<u64>,
}

impl Meanwhile for Waiting {
    fn look(&self) -> bool {
        let node = &self.node;
        if !node.scripts.slow.any() {
            self.end();
            return false;
        }
        self.stuck.borrow_mut().get_or_insert_with(Stuck::begin);
        let now_nanos = node.clock.monotonic_nanos();
        let is_due = now_nanos.saturating_sub(self.answered_nanos.get()) > ANSWER_NANOS;
        // When the node ends, connections are dropped wherever they are.
        if is_due && !node.shutdown.is_requested() {
            self.answered_nanos.set(now_nanos);
            // Whoever the wait is for has unfinished business, and is not at rest.
            answer_all(node, |client, here| client.is_at_rest_on(here));
        }
        true
    }

    fn end(&self) {
        self.stuck.take();
    }
}

/// A time during which a script keeps this thread.
pub struct Stuck(Option<Arc<Load>>);

impl Stuck {
    /// It begins, unless it has begun already.
    pub fn begin() -> Self {
        let load = HERE.with_borrow(Option::clone);
        Self(load.filter(|load| !load.stuck.swap(true, Ordering::Relaxed)))
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        if let Some(load) = &self.0 {
            load.stuck.store(false, Ordering::Relaxed);
        }
    }
}

/// Answers the clients of this thread, but for the one that runs the script.
pub fn answer_clients(node: &Shared, own: u64) {
    answer_all(node, |client, here| {
        client.thread.load(Ordering::Relaxed) == here && client.id != own
    });
}

/// Answers the clients of which `may_be` says that this thread, whose number it is told, may.
fn answer_all(node: &Shared, may_be: impl Fn(&Client, usize) -> bool) {
    let Some(here) = HERE.with_borrow(|load| load.as_ref().map(|load| load.id)) else { return };
    for client in node.clients.all() {
        if may_be(&client, here) && !client.is_killed() && has_nothing_pending(&client) {
            answer(node, &client);
        }
    }
}

fn has_nothing_pending(client: &Client) -> bool {
    client.fd >= 0
        && !client.blocked.load(Ordering::Relaxed)
        && client.query_bytes.load(Ordering::Relaxed) == 0
        && client.arg_bytes.load(Ordering::Relaxed) == 0
        && client.query_capacity_bytes.load(Ordering::Relaxed) == 0
        && client.output_bytes.load(Ordering::Relaxed) == 0
        // A message may be sent in part.
        && client.mailbox.is_empty()
        && !client.is_quiet.load(Ordering::Relaxed)
}

/// Answers what a client has sent, up to the first thing that has to wait.
fn answer(node: &Shared, client: &Client) {
    let mut seen = [0; LOOK_BYTES];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let Ok(len @ 1..) = recv(client.fd, &mut seen, flags) else { return };
    // A TLS record begins with a control character, a command does not.
    if seen[0] < b' ' && seen[0] != b'\r' && seen[0] != b'\n' {
        return;
    }
    let version = match client.resp.load(Ordering::Relaxed) {
        3 => Version::Resp3,
        _ => Version::Resp2,
    };
    let (mut parser, mut taken, mut replies) = (Parser::new(), 0, Vec::new());
    while taken < len {
        match parser.parse(&seen[taken..len], &Limits::DEFAULT) {
            Ok(Parsed::Empty { consumed }) => taken += consumed,
            Ok(Parsed::Command { consumed }) => {
                let args = parser.args(&seen[taken..len]);
                let Some(reply) = reply(node, client, args) else { break };
                encode(&reply, version, &mut replies);
                taken += consumed;
            }
            Ok(Parsed::Incomplete) | Err(_) => break,
        }
    }
    if taken == 0 {
        return;
    }
    let wait_not = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let is_taken = recv(client.fd, &mut seen[..taken], MsgFlags::MSG_DONTWAIT) == Ok(taken);
    // A client whose socket does not even take these few bytes has lost its place in the stream.
    if !is_taken || send(client.fd, &replies, wait_not) != Ok(replies.len()) {
        client.kill();
    }
}

/// The answer to a command; nothing when it has to wait. MULTI begins a transaction, a refusal within one
/// breaks it, one of EXEC ends it, as the connection learns when the script has ended.
fn reply(
    node: &Shared,
    client: &Client,
    args: larder_protocol::Args<'_>,
) -> Option<Reply<'static>> {
    if client.queued.load(Ordering::Relaxed) == 0 {
        return reply_at_once(node, client, args);
    }
    let command = nested::find(node, args);
    if command.as_ref().is_ok_and(|command| command.row.flags.has(Flags::ALLOW_BUSY)) {
        return None;
    }
    let Reply::Error(error) = reply_at_once(node, client, args)? else { return None };
    if command.is_ok_and(|command| command.row.flags.has(Flags::EXEC)) {
        client.queued.store(0, Ordering::Relaxed);
        // Of one that was begun just now its connection knows nothing.
        if client.opened.swap(false, Ordering::Relaxed) {
            client.broken.store(false, Ordering::Relaxed);
        } else {
            client.aborted.store(true, Ordering::Relaxed);
        }
        return Some(Reply::Error(CommandError::exec_abort_because(&error)));
    }
    client.broken.store(true, Ordering::Relaxed);
    Some(Reply::Error(error))
}

fn reply_at_once(
    node: &Shared,
    client: &Client,
    args: larder_protocol::Args<'_>,
) -> Option<Reply<'static>> {
    let busy = || node.scripts.slow.error().map(Reply::Error);
    let command = match nested::find(node, args) {
        Ok(command) => command,
        Err(error) => return Some(Reply::Error(error)),
    };
    if !command.row.accepts(args.len()) {
        return Some(Reply::Error(CommandError::wrong_arity(command.full_name)));
    }
    // A script may be part of the append-only file that is loaded.
    if node.loading.is_active() && !command.row.flags.has(Flags::LOADING) {
        return Some(Reply::Error(CommandError::LOADING));
    }
    if !command.row.flags.has(Flags::ALLOW_BUSY) {
        return busy();
    }
    // Whether this client has authenticated, only its connection knows.
    let may_all = |user: &Arc<User>| user.rules().allow_all() && user.rules().is_open();
    if !client.user.lock().as_ref().is_some_and(may_all) {
        return None;
    }
    let result = match command.full_name {
        "script|kill" => node.scripts.slow.kill(true),
        "function|kill" => node.scripts.slow.kill(false),
        "multi" => {
            client.queued.store(1, Ordering::Relaxed);
            client.opened.store(true, Ordering::Relaxed);
            Ok(())
        }
        "function|stats" => return Some(function::stats_of(node).unwrap_or_else(Reply::Error)),
        "shutdown" => match shutdown::parse(args) {
            Ok(Wanted::End(options)) if options.nosave => {
                tracing::info!("SHUTDOWN NOSAVE was called while a script runs");
                node.shutdown.request();
                return None;
            }
            Ok(Wanted::End(_)) => return busy(),
            Ok(Wanted::Abort) => leaving::abort(node),
            Err(error) => Err(error),
        },
        _ => return None,
    };
    Some(result.map_or_else(Reply::Error, |()| Reply::Ok))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::node::clients::Peer;

    #[test]
    fn a_client_with_mail_is_left_alone() {
        let node = Node::builder().start().unwrap();
        let client = Arc::new(Client::new(1, Peer::InProcess, 0, 0));
        assert!(has_nothing_pending(&client));
        node.shared().deliver(&client, b"+message\r\n"[..].into());
        assert!(!has_nothing_pending(&client), "some of it may be sent");
    }
}
