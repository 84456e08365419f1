//! From arguments to a reply: look up, pass the gates, lock, run, log, reply.
//!
//! An [`Executor`] belongs to one thread (or one in-process caller). It runs one command at a time
//! to completion; nothing in here waits for anything but shard locks.

pub mod blocking;
pub mod call;
mod gates;
mod load;
mod lookup;
mod memory;
mod meter;
pub mod nested;
mod plan;
mod steps;
pub mod transaction;
mod unasked;

use crate::clock::Tick;
use crate::commands::Command;
use crate::commands::row::{Effect, Flags};
use crate::config::Settings;
use crate::keyspace::access::Access;
use crate::keyspace::changes::{Changes, Collected, Tally};
use crate::keyspace::evict::Touch;
use crate::keyspace::held::Held;
use crate::keyspace::notify::Classes;
use crate::node::shared::Shared;
use crate::observe::stats::ThreadStats;
use crate::session::{ReplyMode, Session};
use blocking::{Ended, Waiter, park};
use call::Call;
use gates::Refusal;
use larder_protocol::encode::{Output, encode};
use larder_protocol::{Args, CommandError, Reply};
use meter::{Meter, Ran};
use nested::Host;
use plan::{PlannedKeys, each_key, lock_for_waiters};
use std::sync::Arc;
use steps::{encode_if, enter, hand_on, handle};
use transaction::{Encoded, Failure, Values, Within};

/// Between two looks at the wall clock the monotonic one, which is cheaper, carries it on; a clock
/// that is set is noticed within this time.
const CLOCK_READ_NANOS: u64 = 500_000;

/// What the frame of one command leaves to the next one.
const KEEP_FRAME_BYTES: usize = 64 * 1024;

/// What became of a command.
pub enum Flow {
    /// It ran or was refused; its reply is in the output.
    Done,
    /// It must be given again when CLIENT PAUSE ends.
    Postponed,
    /// It waits for a key.
    Parked(Arc<Waiter>),
}

/// Runs commands on one thread.
pub struct Executor {
    node: Arc<Shared>,
    settings: Arc<Settings>,
    generation: u64,
    meter: Meter,
    random: fastrand::Rng,
    /// The command that runs, as the log shall have it.
    frame: Vec<u8>,
    /// What the next command may collect its effects in.
    spare: Option<Box<Collected>>,
    /// Memory changes not yet added to the node's sum.
    memory_delta: i64,
    /// When the wall clock was last read, and what it showed.
    read_tick: Tick,
    read_us: i64,
    last_command: Option<&'static Command>,
    /// Why the last command is not done.
    pending: Option<Pending>,
}

/// Why a command is not done.
enum Pending {
    /// It waits for a key.
    Parked(Arc<Waiter>),
    /// It has to be given again: writes wait for a handover.
    HeldBack,
}

/// What is left of a command to be counted when its locks are gone.
struct Outcome {
    dirty: u64,
    /// As in `Changes`.
    propagated: bool,
    tally: Tally,
    memory_delta: i64,
    failure: Option<CommandError>,
    /// Whether the statistics know the failure already.
    is_counted: bool,
}

impl Outcome {
    #[inline(always)]
    fn of(call: &Call<'_>, failure: Option<CommandError>) -> Self {
        Self {
            dirty: call.db.changes.dirty,
            propagated: call.db.changes.propagated,
            tally: call.db.tally,
            memory_delta: call.db.memory_delta(),
            failure,
            is_counted: call.error_is_counted,
        }
    }
}

impl Executor {
    /// An executor for the calling thread.
    pub fn new(node: Arc<Shared>) -> Self {
        let generation = node.config.generation();
        let (tick, now_us) = (node.clock.tick(), node.clock.unix_us());
        Self {
            settings: node.config.load(),
            generation,
            meter: Meter::new(node.stats.new_slot(), now_us, tick),
            random: fastrand::Rng::new(),
            frame: Vec::new(),
            spare: None,
            memory_delta: 0,
            read_tick: tick,
            read_us: now_us,
            last_command: None,
            pending: None,
            node,
        }
    }

    /// Counts a command that waited, when its wait is over: with the time that it ran, not with that
    /// which it waited.
    pub fn count_parked(&self, session: &Session, waiter: &Waiter, ended: &Ended) {
        let (command, began, failure) = (waiter.command(), self.meter.tick, ended.failure.as_ref());
        if ended.rejected {
            self.meter.stats.command(command.id).rejected.add(1);
            if let Some(error) = failure {
                self.meter.count_error(&self.node, error);
            }
            return;
        }
        waiter.with_args(|args| {
            let ran = Ran { command, args, session, began, failure, is_counted: false };
            self.meter.add(&self.node, &self.settings, &ran, ended.nanos);
        });
    }

    /// The node it works for.
    pub fn node(&self) -> &Arc<Shared> {
        &self.node
    }

    /// The settings as of the beginning of the turn.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The thread's counters.
    pub fn stats(&self) -> &ThreadStats {
        &self.meter.stats
    }

    /// The last command that was looked up.
    pub fn last_command(&self) -> Option<&'static Command> {
        self.last_command
    }

    /// Runs one command and writes its reply to `out`.
    #[inline]
    pub fn execute(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        out: &mut impl Output,
    ) -> Flow {
        let command = match self.look_up(args) {
            Ok(command) => command,
            Err(error) => return self.turn_away(session, args, error, out),
        };
        if session.caching.tracks {
            self.node.keep_tracking_limits();
        }
        let passed = gates::check(self, session, command, args);
        // What was published before the command runs, be it by making room for it, comes before its
        // reply.
        if !session.client.mailbox.is_empty() {
            unasked::send_mail(&self.node, session, out);
        }
        if let Err(refusal) = passed {
            return self.refuse(session, command, refusal, out);
        }
        let within = if session.transaction.is_open() {
            self.within_transaction(session, command, args, &mut Encoded(&mut *out))
        } else {
            Within::Runs
        };
        match within {
            Within::Runs => self.run(session, command, args, out),
            Within::Queued if next_reply_mode(session) == ReplyMode::On => {
                out.put(b"+QUEUED\r\n");
            }
            Within::Queued => {}
            Within::Replies(reply) => send(session, &reply, out),
            Within::Executed => {
                next_reply_mode(session);
            }
        }
        match self.pending.take() {
            None => {}
            Some(Pending::Parked(waiter)) => return Flow::Parked(waiter),
            Some(Pending::HeldBack) => return Flow::Postponed,
        }
        if session.caching.is_said {
            unasked::end_caching(session, Some(command));
        }
        Flow::Done
    }

    /// Answers one whose command does not exist.
    #[cold]
    fn turn_away(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        error: CommandError,
        out: &mut impl Output,
    ) -> Flow {
        if gates::is_web_request(args.at(0)) {
            tracing::warn!("a web browser was made to talk to this server; cutting it off");
            // At once: not even the replies to the lines before are of use to a browser.
            session.client.kill();
            return Flow::Done;
        }
        if !session.client.mailbox.is_empty() {
            unasked::send_mail(&self.node, session, out);
        }
        let error = self.refuse_within(session, None, error);
        self.fail(session, None, error, out)
    }

    /// Answers one whose command a gate refused.
    #[cold]
    fn refuse(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        refusal: Refusal,
        out: &mut impl Output,
    ) -> Flow {
        match refusal {
            Refusal::Postpone => Flow::Postponed,
            Refusal::Error(error) => {
                self.meter.stats.command(command.id).rejected.add(1);
                let error = self.refuse_within(session, Some(command), error);
                self.fail(session, Some(command), error, out)
            }
        }
    }

    fn fail(
        &mut self,
        session: &mut Session,
        command: Option<&'static Command>,
        error: CommandError,
        out: &mut impl Output,
    ) -> Flow {
        self.meter.count_error(&self.node, &error);
        send(session, &Reply::Error(error), out);
        if session.caching.is_said {
            unasked::end_caching(session, command);
        }
        Flow::Done
    }

    /// Runs a command whose row is known and whose reply is wanted as a value.
    ///
    /// In-process callers use it; `reply` sees the value while its shards are still held.
    pub fn call<T>(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        reply: impl FnOnce(Reply<'_>) -> T,
    ) -> T {
        match gates::check(self, session, command, args) {
            Ok(()) => {
                if session.transaction.is_open() {
                    let mut values = Values::default();
                    match self.within_transaction(session, command, args, &mut values) {
                        Within::Runs => {}
                        Within::Queued => return reply(Reply::Simple("QUEUED")),
                        Within::Replies(value) => return reply(value),
                        Within::Executed if self.pending.is_some() => {
                            return reply(Reply::Error(gates::HELD_BACK));
                        }
                        Within::Executed => return reply(Reply::Array(values.0)),
                    }
                }
                self.run_with(session, command, args, |result| reply(taken(result)))
            }
            Err(Refusal::Error(error)) => {
                reply(Reply::Error(self.refuse_within(session, Some(command), error)))
            }
            Err(Refusal::Postpone) if self.node.member().is_some() => {
                self.pending = Some(Pending::HeldBack);
                reply(Reply::Error(gates::HELD_BACK))
            }
            // In-process callers are not paused: nobody could resume them.
            Err(Refusal::Postpone) => reply(Reply::Error(CommandError::custom(
                "ERR the node is paused by CLIENT PAUSE".to_owned(),
            ))),
        }
    }

    /// Runs a command that was decided elsewhere, for a session that [applies](Session::applies) such:
    /// no gate asks whether it may, and nobody reads its reply.
    ///
    /// # Errors
    /// The error that is its reply.
    pub fn apply(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        if !command.row.accepts(args.len()) {
            return Err(CommandError::wrong_arity(command.full_name));
        }
        if session.transaction.is_open() {
            let mut failure = Failure::default();
            match self.within_transaction(session, command, args, &mut failure) {
                Within::Runs => {}
                Within::Replies(Reply::Error(error)) => return Err(error),
                Within::Replies(_) | Within::Queued => return Ok(()),
                Within::Executed => return failure.0.map_or(Ok(()), Err),
            }
        }
        let show = |result: &mut Result<Reply<'_>, CommandError>| match result {
            Ok(Reply::Error(error)) | Err(error) => Err(error.clone()),
            Ok(_) => Ok(()),
        };
        self.run_with(session, command, args, show)
    }

    /// Whether the command that was called last waits for a handover; to be called again then.
    pub fn take_held_back(&mut self) -> bool {
        self.pending.take_if(|pending| matches!(pending, Pending::HeldBack)).is_some()
    }

    #[inline]
    fn run(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut impl Output,
    ) {
        if !command.has_keys {
            // It may change the session, protocol and reply mode included, so these are read after.
            let reply = self.run_with(session, command, args, |result| taken(result).into_owned());
            if reply.is_push() && !session.client.mailbox.is_empty() {
                unasked::send_mail_before(&self.node, session, command, out);
            }
            let mode = session.reply_mode;
            match &self.pending {
                None => {}
                Some(Pending::Parked(waiter)) if mode != ReplyMode::On => waiter.silence(),
                Some(Pending::Parked(_)) => {}
                Some(Pending::HeldBack) => return,
            }
            send(session, &reply, out);
        } else {
            let before = session.reply_mode;
            let mode = next_reply_mode(session);
            let version = session.version;
            self.run_with(session, command, args, |result| match result {
                _ if mode != ReplyMode::On => {}
                Ok(reply) => encode(reply, version, out),
                Err(error) if *error == gates::HELD_BACK => {}
                Err(error) => encode(&Reply::Error(error.clone()), version, out),
            });
            match &self.pending {
                None => {}
                Some(Pending::Parked(waiter)) if mode != ReplyMode::On => waiter.silence(),
                Some(Pending::Parked(_)) => {}
                Some(Pending::HeldBack) => session.reply_mode = before,
            }
        }
    }

    /// Locks, runs the handler, shows its result to `reply`, logs, unlocks, counts.
    ///
    /// Nothing larger than a few words is moved here: it is built, looked at and dropped in one
    /// place, since a processor stalls when it reads at once what it has just written in parts.
    #[inline]
    fn run_with<T>(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        reply: impl FnOnce(&mut Result<Reply<'_>, CommandError>) -> T,
    ) -> T {
        let row = command.row;
        let Some(handler) = row.handler else {
            return reply(&mut Err(CommandError::wrong_arity(command.full_name)));
        };
        let node = &*self.node;
        let (now_us, now_ms) = (self.meter.now_us, self.meter.now_us.div_euclid(1000));
        let began = self.meter.tick;
        let mut keys = PlannedKeys::new();
        each_key(node, command, args, |at, hash| keys.push((at, hash)));
        // As far as is known before its shards are held.
        let is_logged = unasked::is_logged(node, session);
        let (db, mut changes) = (session.db, Changes::new(is_logged, Classes::default()));
        changes.reuse(&mut self.spare);
        let is_verbatim = row.effect == Effect::Verbatim;
        let is_encoded = is_verbatim && is_logged;
        encode_if(is_encoded, &mut self.frame, args);
        let touch = Touch::new(&self.settings, now_ms, || self.random.u32(..));
        let touch = if session.no_touch { touch.without_trace() } else { touch };
        let ran = 'run: {
            let mut call = Call {
                row,
                args,
                keys: &keys,
                db: Access::new(&node.keyspace, Held::None, db, now_ms, touch, changes),
                session: &mut *session,
                node,
                settings: &self.settings,
                now_us,
                random: &mut self.random,
                meter: &mut self.meter,
                wish: None,
                has_written: false,
                error_is_counted: false,
            };
            let Some(is_free) = enter(&mut call, command, &mut self.pending) else {
                break 'run Err(reply);
            };
            let logged = call.db.changes.logged;
            encode_if(logged && is_verbatim && !is_encoded, &mut self.frame, args);
            let mut result = handle(&mut call, command, handler, is_free);
            let failure = result.as_ref().err().cloned();
            if failure.as_ref() == Some(&gates::HELD_BACK) {
                self.pending = Some(Pending::HeldBack);
                break 'run Err(reply);
            }
            let value = reply(&mut result);
            drop(result);
            let waiter = call.wish.take().map(|wish| park(&mut call, command, keys.clone(), wish));
            self.pending = waiter.map(Pending::Parked);
            node.track(call.session, row, args, &keys);
            hand_on(&mut call, (is_verbatim && logged).then_some(&self.frame[..]));
            call.db.changes.leave(&mut self.spare);
            Ok((value, Outcome::of(&call, failure)))
            // The locks go here, and then what was removed.
        };
        match ran {
            Ok((value, outcome)) => {
                self.finish(session, command, args, began, &outcome);
                value
            }
            Err(reply) => self.too_busy(command, reply),
        }
    }

    /// Counts what a command did.
    #[inline]
    fn finish(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        began: Tick,
        outcome: &Outcome,
    ) {
        if outcome.dirty > 0 || outcome.propagated {
            self.meter.stats.dirty.add(outcome.dirty);
            session.reaches(self.node.log.offset(), outcome.dirty > 0, outcome.propagated);
            if self.frame.capacity() > KEEP_FRAME_BYTES {
                self.frame = Vec::new();
            }
        }
        self.settle(outcome.memory_delta, outcome.tally);
        if command.row.flags.has(Flags::ADMIN) {
            // What CONFIG SET says holds at once, for what stands behind it in a pipeline as well.
            self.read_settings();
        }
        // One that waits is counted when its wait is over.
        if self.pending.is_none() {
            let (failure, is_counted) = (outcome.failure.as_ref(), outcome.is_counted);
            let ran = Ran { command, args, session, began, failure, is_counted };
            self.meter.count(&self.node, &self.settings, &ran);
        } else {
            self.node.push.monitor(&self.node, session, command, args);
        }
    }

    /// Answers a command that waited for shards until a script ran for too long, or that is held back.
    #[cold]
    fn too_busy<T>(
        &mut self,
        command: &'static Command,
        reply: impl FnOnce(&mut Result<Reply<'_>, CommandError>) -> T,
    ) -> T {
        if self.pending.is_some() {
            return reply(&mut Err(gates::HELD_BACK));
        }
        let error = self.node.scripts.slow.error_or_script();
        self.meter.stats.command(command.id).rejected.add(1);
        self.meter.count_error(&self.node, &error);
        reply(&mut Err(error))
    }

    /// Adds a command's changes of memory and its counts to the thread's.
    #[inline]
    fn settle(&mut self, memory_delta: i64, tally: Tally) {
        self.memory_delta += memory_delta;
        if self.memory_delta.abs() > self.memory_slack() {
            self.flush_memory();
        }
        if tally != Tally::default() {
            self.meter.stats.keyspace_hits.add(tally.hits);
            self.meter.stats.keyspace_misses.add(tally.misses);
            self.meter.stats.expired_keys.add(tally.expired);
            self.meter.stats.expired_fields.add(tally.expired_fields);
        }
    }

    /// Tells the latency monitor how long something took that began at a tick.
    pub fn note_latency(&self, event: &'static str, started: Tick) {
        let threshold_ms = self.settings.latency_monitor_threshold_ms;
        if threshold_ms > 0 {
            let took_ms = self.node.clock.since(started).as_millis() as u64;
            self.node.latency.record(event, took_ms, threshold_ms, self.now_ms());
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.flush_memory();
        self.node.stats.retire(&self.meter.stats);
    }
}

impl Call<'_> {
    /// Looks up keys that a walk found due, by which they go. A command that holds nothing takes their
    /// shards one at a time.
    pub fn let_go(&mut self, due: &[Vec<u8>]) {
        for name in due {
            let key = self.node.keyspace.key(name);
            if !self.db.holds_nothing() {
                self.db.contains(key);
                continue;
            }
            let index = key.hash.shard();
            let Some(shard) = self.node.keyspace.lock_or_give_up(index) else { return };
            let held = Held::One(index, shard);
            let role = &self.node.role;
            if role.is_replica() || role.holds_writes() {
                return;
            }
            self.listen();
            let mut access = self.db.with(lock_for_waiters(self.node, held));
            access.contains(key);
            if access.changes.has_ready() {
                blocking::serve_ready(self.split().0, &mut access);
            }
            crate::propagate::publish(self.node, &mut access.changes);
            let lent = access.end();
            self.db.take_back(lent);
        }
    }
}

/// A handler's result as a reply.
fn taken<'r>(result: &mut Result<Reply<'r>, CommandError>) -> Reply<'r> {
    std::mem::replace(result, Ok(Reply::None)).unwrap_or_else(Reply::Error)
}

/// Encodes a reply unless CLIENT REPLY says otherwise.
fn send(session: &mut Session, reply: &Reply<'_>, out: &mut impl Output) {
    if next_reply_mode(session) == ReplyMode::On || reply.is_push() {
        encode(reply, session.version, out);
    }
}

/// How this reply is treated; a skip is used up.
#[inline]
fn next_reply_mode(session: &mut Session) -> ReplyMode {
    let mode = session.reply_mode;
    match mode {
        ReplyMode::On | ReplyMode::Off => {}
        ReplyMode::SkipNext => session.reply_mode = ReplyMode::Skip,
        ReplyMode::Skip => session.reply_mode = ReplyMode::On,
    }
    if mode == ReplyMode::SkipNext { ReplyMode::Skip } else { mode }
}

#[cfg(all(test, feature = "shuttle"))]
mod schedules;
#[cfg(test)]
mod tests;
