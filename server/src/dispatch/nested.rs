//! Commands that run within the hold of another one: those that a script calls, those of a
//! transaction.
//!
//! The outer command holds shards; the inner one borrows them, so nothing is locked and nobody sees
//! what lies between two inner commands. What they change is collected in the outer hold and published
//! by it, as one transaction in the log when it is more than one command; who waits for a key is
//! served after that. Each inner command is counted, timed and kept in the slow log by itself. None
//! waits: where one would, it replies at once.
//!
//! A transaction knows all its commands and holds what they need from the start. A script goes from
//! call to call. [`Call::nested`] first makes sure that the shards of the inner command are held, and
//! takes those that are missing when they are free. When they are not, what happens depends on what
//! the script did:
//!
//! * Nothing was changed: [`Uncovered::Again`]. The handler ends what it runs, calls
//!   [`Call::hold_all`], and runs it once more from the start, then with all shards. It does well to
//!   remember that, and to call `hold_all` at once the next time.
//! * Something was: the outer command waits until it has all shards, while others stand aside
//!   ([`keyspace::lock`](crate::keyspace::lock)). Only one can do that at a time; another one gets
//!   [`Uncovered::Refused`], which is an error of the script.
//!
//! What the inner command may do at all is asked by the caller before: [`find`] looks it up, its row
//! has its arity and flags. Nothing here asks for it.

use super::call::Call;
use super::meter::{Meter, Ran};
use super::{gates, plan};
use crate::commands::Command;
use crate::commands::row::{Effect, Flags};
use crate::config::Settings;
use crate::keyspace::KeyHash;
use crate::keyspace::access::{Access, Lent};
use crate::keyspace::lock::Cover;
use crate::node::shared::Shared;
use crate::scripting::caught;
use crate::session::{ReplyMode, Session};
use larder_protocol::{Args, CommandError, Reply, Version};
use std::panic::resume_unwind;

/// What commands need of the thread they run on.
pub(super) struct Host<'h> {
    pub(super) node: &'h Shared,
    pub(super) settings: &'h Settings,
    pub(super) meter: &'h mut Meter,
    pub(super) random: &'h mut fastrand::Rng,
    /// When the outer command began, in microseconds since the Unix epoch: also for the inner ones.
    pub(super) now_us: i64,
}

impl Host<'_> {
    /// The same for one of several commands.
    pub(super) fn again(&mut self) -> Host<'_> {
        Host { meter: &mut *self.meter, random: &mut *self.random, ..*self }
    }
}

/// How a client is to be shown the reply of an inner command.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The protocol it speaks.
    pub version: Version,
    /// Whether it wants replies.
    pub mode: ReplyMode,
}

impl Shown {
    pub(super) fn to(session: &Session) -> Self {
        Self { version: session.version, mode: session.reply_mode }
    }
}

/// Why an inner command did not run: its shards are not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncovered {
    /// The outer command may begin anew with all of them.
    Again,
    /// They cannot be had now.
    Refused,
}

/// The command that the arguments name.
///
/// # Errors
/// Redis's texts for an unknown command or subcommand, or a container without its subcommand.
pub fn find(node: &Shared, args: Args<'_>) -> Result<&'static Command, CommandError> {
    let name = args.at(0);
    let command = named(node, name);
    let command =
        command.ok_or_else(|| CommandError::unknown_command(name, args.iter().skip(1)))?;
    subcommand(command, args)
}

/// The command of this name, if it is there on this node.
pub(super) fn named(node: &Shared, name: &[u8]) -> Option<&'static Command> {
    let is_there =
        |found: &&Command| !found.row.flags.has(Flags::IN_GROUP) || node.group.get().is_some();
    node.renames.find(name).filter(is_there)
}

/// The subcommand that the arguments name, where the command has such.
pub(super) fn subcommand(
    command: &'static Command,
    args: Args<'_>,
) -> Result<&'static Command, CommandError> {
    if command.row.subcommands.is_empty() || args.len() < 2 {
        return match command.row.handler {
            Some(_) => Ok(command),
            None => Err(CommandError::wrong_arity(command.full_name)),
        };
    }
    match command.subcommand(args.at(1)) {
        Some(subcommand) => Ok(subcommand),
        None if command.row.handler.is_some() => Ok(command),
        None => {
            let container = String::from_utf8_lossy(args.at(0));
            Err(CommandError::unknown_subcommand(args.at(1), &container))
        }
    }
}

impl<'a> Call<'a> {
    /// Runs another command within this one, for a session that may be another one, and shows its
    /// reply to `reply` while it borrows from the data set.
    ///
    /// # Errors
    /// The shards of its keys are not held; see the module.
    pub fn nested<T>(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        reply: impl FnOnce(Shown, Reply<'_>) -> T,
    ) -> Result<T, Uncovered> {
        let keys = plan::plan(self.node, command, args);
        self.cover(command, args, &keys)?;
        let dirty = self.db.changes.dirty;
        let flags = command.row.flags;
        let (host, db) = self.split();
        let value = run(host, db, session, (command, args, &keys), reply);
        self.has_written |= self.db.changes.dirty > dirty || flags.has(Flags::MAY_REPLICATE);
        Ok(value)
    }

    /// Lets go of all shards, publishes what was changed so far, and holds all of them from here on.
    ///
    /// For a handler that begins anew: what its inner commands looked at may have changed.
    ///
    /// # Errors
    /// Writes wait for a handover: the whole command has to be given again.
    pub fn hold_all(&mut self) -> Result<(), CommandError> {
        if !self.db.holds_all() {
            super::steps::hand_on(self, None);
            self.db.hold_all();
        }
        self.arrive()
    }

    /// Publishes what inner commands changed so far, for a handler that does not come to its end.
    pub fn publish(&mut self) {
        super::steps::hand_on(self, None);
    }

    /// Asks again what is sure only for who holds a shard, and what a command that held none until now
    /// could not know: who reads the log and hears of events, and what the role and a pause allow.
    fn arrive(&mut self) -> Result<(), CommandError> {
        let node = self.node;
        self.listen();
        if self.session.applies || (node.role.is_free_primary() && !node.pause.is_active()) {
            return Ok(());
        }
        let flags = self.row.flags;
        if gates::is_held_back(node, flags, self.session) {
            return Err(gates::HELD_BACK);
        }
        gates::within(node, self.settings, flags, &mut self.db)
    }

    #[inline]
    fn cover(
        &mut self,
        command: &Command,
        args: Args<'_>,
        keys: &[(usize, KeyHash)],
    ) -> Result<(), Uncovered> {
        let is_held = !plan::needs_all(command, args) && self.db.holds(keys);
        if is_held { Ok(()) } else { self.cover_more(command, args, keys) }
    }

    fn cover_more(
        &mut self,
        command: &Command,
        args: Args<'_>,
        keys: &[(usize, KeyHash)],
    ) -> Result<(), Uncovered> {
        let may_begin_anew = !self.has_written;
        let held_nothing = self.db.holds_nothing();
        let covered = if plan::needs_all(command, args) {
            self.db.cover_all(may_begin_anew)
        } else {
            self.db.cover(&plan::shards_of(keys), may_begin_anew)
        };
        match covered {
            Cover::Held if held_nothing => self.enter(command, may_begin_anew),
            Cover::Held => Ok(()),
            Cover::Again => Err(Uncovered::Again),
            Cover::Refused => Err(Uncovered::Refused),
        }
    }

    /// Goes on with the first shards that it holds, unless the inner command was let in by what does
    /// not hold any more.
    fn enter(&mut self, command: &Command, may_begin_anew: bool) -> Result<(), Uncovered> {
        let is_closed = self.node.role.is_replica() && self.settings.replica_read_only;
        let is_out = is_closed && command.row.flags.has(Flags::WRITE) && !self.session.applies;
        match (self.arrive().is_err() || is_out, may_begin_anew) {
            (false, _) => Ok(()),
            (true, true) => Err(Uncovered::Again),
            (true, false) => Err(Uncovered::Refused),
        }
    }

    /// What it did with a hold that it was lent.
    pub(super) fn end(self) -> Lent {
        self.db.end()
    }

    /// What it runs on, and what it holds.
    pub(super) fn split(&mut self) -> (Host<'_>, &mut Access<'a>) {
        let host = Host {
            node: self.node,
            settings: self.settings,
            meter: &mut *self.meter,
            random: &mut *self.random,
            now_us: self.now_us,
        };
        (host, &mut self.db)
    }
}

/// Runs a command whose shards `db` holds; its changes stay there, also when it panics.
#[inline]
pub(super) fn run<T>(
    host: Host<'_>,
    db: &mut Access<'_>,
    session: &mut Session,
    (command, args, keys): (&'static Command, Args<'_>, &[(usize, KeyHash)]),
    reply: impl FnOnce(Shown, Reply<'_>) -> T,
) -> T {
    let Host { node, settings, meter, random, now_us } = host;
    let row = command.row;
    let Some(handler) = row.handler else {
        return reply(
            Shown::to(session),
            Reply::Error(CommandError::wrong_arity(command.full_name)),
        );
    };
    let (began, dirty) = (meter.tick, db.changes.dirty);
    let may_block = std::mem::replace(&mut session.may_block, false);
    let shown = Shown::to(session);
    let touch = if session.no_touch { db.touch().without_trace() } else { db.touch() };
    let mut call = Call {
        row,
        args,
        keys,
        db: db.lend(session.db, touch),
        session: &mut *session,
        node,
        settings,
        now_us,
        random,
        meter: &mut *meter,
        wish: None,
        has_written: dirty > 0,
        error_is_counted: false,
    };
    let result = match caught(|| handler(&mut call)) {
        Ok(result) => result,
        Err(panic) => {
            let lent = call.end();
            db.take_back(lent);
            resume_unwind(panic)
        }
    };
    let failure = result.as_ref().err().cloned();
    let result = result.unwrap_or_else(Reply::Error);
    let value = if row.keys.is_empty() {
        // It may have changed the session, protocol and reply mode included.
        let result = result.into_owned();
        reply(Shown::to(call.session), result)
    } else {
        reply(shown, result)
    };
    crate::propagate::invalidate(node, &mut call.db.changes);
    node.track(call.session, row, args, keys);
    let changes = &mut call.db.changes;
    if changes.dirty > dirty && changes.logged && row.effect == Effect::Verbatim {
        let db = call.db.db();
        call.db.changes.command(db, args);
    }
    call.db.changes.nested = true;
    if call.db.may_have_large_garbage() {
        super::memory::reap(&mut call);
    }
    let is_counted = call.error_is_counted;
    let lent = call.end();
    db.take_back(lent);
    session.may_block = may_block;
    let failure = failure.as_ref();
    meter.count(node, settings, &Ran { command, args, session, began, failure, is_counted });
    value
}
