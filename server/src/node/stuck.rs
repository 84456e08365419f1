//! What becomes of a thread's clients while a script keeps the thread for too long.
//!
//! The script's own thread looks after them from time to time, from within the script: it reads what
//! they have sent without taking it, and answers BUSY, or does what ends the script. Only what it
//! answers it takes from the socket; the rest is there for the connection when the script has ended.
//! New connections go to other threads; when a script keeps every thread, the control thread serves
//! them, so that somebody can say SCRIPT KILL.
//!
//! Left waiting are clients of which the thread holds unfinished business (half a command, unsent
//! replies, a blocking command), those behind TLS, and commands that are allowed
//! meanwhile but change the connection.

use super::balance::Load;
use super::clients::Client;
use super::shared::Shared;
use crate::acl::users::User;
use crate::commands::row::Flags;
use crate::commands::scripting::function;
use crate::commands::server::shutdown::{self, Wanted};
use crate::dispatch::nested;
use crate::persistence::leaving;
use larder_protocol::encode::encode;
use larder_protocol::{CommandError, Limits, Parsed, Parser, Reply, Version};
use nix::sys::socket::{MsgFlags, recv, send};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a client that are looked at.
const LOOK_BYTES: usize = 4096;

thread_local! {
    /// What this connection thread shows of itself.
    static HERE: RefCell<Option<Arc<Load>>> = const { RefCell::new(None) };
}

/// Tells the thread which connection thread it is.
pub(super) fn enter(load: &Arc<Load>) {
    HERE.set(Some(Arc::clone(load)));
}

/// A time during which a script keeps this thread.
pub struct Stuck(Option<Arc<Load>>);

impl Stuck {
    /// It begins.
    pub fn begin() -> Self {
        let load = HERE.with_borrow(Option::clone);
        if let Some(load) = &load {
            load.stuck.store(true, Ordering::Relaxed);
        }
        Self(load)
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
    let Some(here) = HERE.with_borrow(|load| load.as_ref().map(|load| load.id)) else { return };
    for client in node.clients.all() {
        let is_mine = client.thread.load(Ordering::Relaxed) == here && client.id != own;
        if is_mine && !client.is_killed() && has_nothing_pending(&client) {
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
