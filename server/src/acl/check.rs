//! The gate: may this session call this command with these arguments?
//!
//! [`admit`] is asked for a command that comes from a connection, again for each command of a
//! transaction at EXEC, for each call of a script, and for a command that waited before it runs. A
//! denial is counted and logged here; which words the client reads depends on where it happened.

use super::log::Event;
use super::rules::Rules;
use super::selector::{Denied, Reason};
use crate::commands::connection::client::list;
use crate::commands::{self, Command};
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::{Args, CommandError};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a command was called.
#[derive(Clone, Copy)]
pub enum Context {
    /// By a connection.
    Toplevel,
    /// By a connection inside MULTI.
    Queued,
    /// By this EXEC.
    Exec(&'static Command),
    /// By this command, which runs a script.
    Script(&'static Command),
}

impl Context {
    /// Where a command is called that comes from a connection.
    pub fn of(session: &Session) -> Self {
        if session.transaction.is_open() { Self::Queued } else { Self::Toplevel }
    }

    /// Where a command is called that runs now.
    pub fn of_running(session: &Session) -> Self {
        exec_of(session).map_or(Self::Toplevel, Self::Exec)
    }

    /// Where a command is called that a script calls, which `command` runs.
    pub fn in_script(session: &Session, command: &'static Command) -> Self {
        Self::Script(exec_of(session).unwrap_or(command))
    }

    /// The word of ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Self::Toplevel => "toplevel",
            Self::Queued | Self::Exec(_) => "multi",
            Self::Script(_) => "lua",
        }
    }
}

/// The command EXEC, if it is what the connection runs: its queue is there until it ends.
fn exec_of(session: &Session) -> Option<&'static Command> {
    let has_queue = session.client.queued.load(Ordering::Relaxed) > 0;
    has_queue.then(|| commands::find(b"exec")).flatten()
}

/// How many denials there were since the start.
#[derive(Debug, Default)]
pub struct Denials {
    /// Logins.
    pub logins: AtomicU64,
    /// Commands.
    pub commands: AtomicU64,
    /// Keys.
    pub keys: AtomicU64,
    /// Channels.
    pub channels: AtomicU64,
}

/// A command that was denied.
pub struct Denial {
    reason: Reason,
    user: Vec<u8>,
    command: &'static Command,
}

impl Denial {
    /// The error for a command that comes from a connection.
    pub fn refusal(&self) -> CommandError {
        CommandError::no_permission(&self.text())
    }

    /// The error in the place of a queued command's reply.
    pub fn at_exec(&self) -> CommandError {
        CommandError::queued_command_denied(match self.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments",
        })
    }

    /// The error that a script gets.
    pub fn in_script(&self) -> CommandError {
        CommandError::custom([b"ERR ACL failure in script: ", &self.text()[..]].concat())
    }

    /// A key or a channel that may not be known is not named.
    fn text(&self) -> Vec<u8> {
        match self.reason {
            Reason::Command => command_text(&self.user, self.command),
            Reason::Key => b"No permissions to access a key".to_vec(),
            Reason::Channel => b"No permissions to access a channel".to_vec(),
        }
    }
}

/// Lets a command pass, or counts and logs why not, and where `context` says that it was called.
///
/// # Errors
/// The denial.
#[inline]
pub fn admit(
    node: &Shared,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    context: impl FnOnce(&Session) -> Context,
    now_ms: i64,
) -> Result<(), Denial> {
    if session.identity.is_open(&node.acl.users) {
        return Ok(());
    }
    refresh(node, session);
    let Some(rules) = session.identity.rules() else { return Ok(()) };
    let denied = match rules.check(command, args) {
        Ok(()) => return Ok(()),
        Err(denied) => denied,
    };
    let object = match denied.reason {
        Reason::Command => command.full_name.as_bytes(),
        Reason::Key | Reason::Channel => args.at(denied.at),
    };
    let user = session.identity.name().to_vec();
    let (reason, context) = (Event::Denied(denied.reason), context(session));
    record(node, session, reason, context, object, &user, (command, args), now_ms);
    Err(Denial { reason: denied.reason, user, command })
}

/// Brings a session's identity up to date; a session whose user is gone comes to its end.
pub fn refresh(node: &Shared, session: &mut Session) {
    if !session.identity.refresh(&node.acl.users) {
        session.client.kill();
    }
}

/// Counts and logs a login that failed; `args` are those of the command that tried.
pub fn record_login(
    node: &Shared,
    session: &Session,
    user: &[u8],
    call: (&'static Command, Args<'_>),
    now_ms: i64,
) {
    let context = Context::of_running(session);
    record(node, session, Event::Login, context, call.1.at(0), user, call, now_ms);
}

#[allow(clippy::too_many_arguments, reason = "they are the columns of the log")]
#[cold]
fn record(
    node: &Shared,
    session: &Session,
    event: Event,
    context: Context,
    object: &[u8],
    user: &[u8],
    (command, args): (&'static Command, Args<'_>),
    now_ms: i64,
) {
    let denials = &node.acl.denials;
    let counter = match event {
        Event::Login => &denials.logins,
        Event::Denied(Reason::Command) => &denials.commands,
        Event::Denied(Reason::Key) => &denials.keys,
        Event::Denied(Reason::Channel) => &denials.channels,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    let shown = match context {
        Context::Toplevel | Context::Queued => command,
        Context::Exec(outer) | Context::Script(outer) => outer,
    };
    let client = list::line(&session.client, now_ms, Some((shown, args)));
    let max_len = node.config.load().acllog_max_len;
    node.acl.log.push(event, context.name(), object, user, client, now_ms, max_len);
}

/// What ACL DRYRUN says about a call, which names what is missing; `None` when it is allowed.
pub fn dry_run(
    user: &[u8],
    rules: &Rules,
    command: &'static Command,
    args: Args<'_>,
) -> Option<Vec<u8>> {
    let Err(Denied { reason, at }) = rules.check(command, args) else { return None };
    let kind = match reason {
        Reason::Command => return Some(command_text(user, command)),
        Reason::Key => "key",
        Reason::Channel => "channel",
    };
    let access = b" has no permissions to access the '";
    Some([b"User ", user, access, args.at(at), b"' ", kind.as_bytes()].concat())
}

fn command_text(user: &[u8], command: &Command) -> Vec<u8> {
    let after = format!(" has no permissions to run the '{}' command", command.full_name);
    [b"User ", user, after.as_bytes()].concat()
}
