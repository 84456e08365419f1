//! From arguments to a reply: look up, pass the gates, lock, run, log, reply.
//!
//! An [`Executor`] belongs to one thread (or one in-process caller). It runs one command at a time
//! to completion; nothing in here waits for anything but shard locks.

pub mod blocking;
pub mod call;
mod gates;
mod meter;
pub mod nested;
mod plan;
pub mod transaction;
mod unasked;

use crate::clock::Tick;
use crate::commands::Command;
use crate::commands::row::Effect;
use crate::config::Settings;
use crate::keyspace::access::Access;
use crate::keyspace::changes::{Changes, Tally};
use crate::keyspace::evict::Touch;
use crate::keyspace::garbage::Removed;
use crate::keyspace::held::Held;
use crate::keyspace::memory::SLACK_BYTES;
use crate::keyspace::notify::Classes;
use crate::node::shared::Shared;
use crate::observe::stats::ThreadStats;
use crate::session::{ReplyMode, Session};
use blocking::Waiter;
use call::Call;
use gates::Refusal;
use larder_protocol::encode::{Output, encode, encode_command};
use larder_protocol::{Args, CommandError, Reply};
use meter::{Meter, Ran};
use nested::Host;
use plan::{lock, lock_for_waiters, plan};
use std::sync::Arc;
use transaction::{Encoded, Values, Within};

/// Between two looks at the wall clock the monotonic one, which is cheaper, carries it on; a clock
/// that is set is noticed within this time.
const CLOCK_READ_NANOS: u64 = 500_000;

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
    /// Memory changes not yet added to the node's sum.
    memory_delta: i64,
    /// When the wall clock was last read, and what it showed.
    read_tick: Tick,
    read_us: i64,
    last_command: Option<&'static Command>,
    /// Who waits since the last command.
    parked: Option<Arc<Waiter>>,
}

impl Executor {
    /// An executor for the calling thread.
    pub fn new(node: Arc<Shared>) -> Self {
        let generation = node.config.generation();
        let (tick, now_us) = (node.clock.tick(), node.clock.unix_us());
        Self {
            settings: node.config.load(),
            generation,
            meter: Meter { stats: node.stats.new_slot(), now_us, turn_nanos: 0, tick },
            random: fastrand::Rng::new(),
            memory_delta: 0,
            read_tick: tick,
            read_us: now_us,
            last_command: None,
            parked: None,
            node,
        }
    }

    /// Counts a command that waited, when its wait is over.
    pub fn count_parked(&self, command: &Command, failure: Option<&CommandError>) {
        let counters = self.meter.stats.command(command.id);
        counters.calls.add(1);
        self.meter.stats.commands_processed.add(1);
        if let Some(error) = failure {
            counters.failed.add(1);
            self.meter.count_error(&self.node, error);
        }
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

    /// The wall clock in milliseconds as of the last command.
    pub fn now_ms(&self) -> i64 {
        self.meter.now_us.div_euclid(1000)
    }

    /// Reads the clock and the settings for the commands that follow.
    #[inline]
    pub fn begin_turn(&mut self) {
        let generation = self.node.config.generation();
        if generation != self.generation {
            self.generation = generation;
            self.settings = self.node.config.load();
        }
        let clock = &self.node.clock;
        self.meter.tick = clock.tick();
        self.meter.turn_nanos = 0;
        let nanos = clock.nanos_between(self.read_tick, self.meter.tick);
        if nanos < CLOCK_READ_NANOS && !clock.is_manual() {
            self.meter.now_us = self.read_us + (nanos / 1000) as i64;
        } else {
            (self.read_tick, self.read_us) = (self.meter.tick, clock.unix_us());
            self.meter.now_us = self.read_us;
        }
    }

    /// Nanoseconds since `begin_turn`, as of the last command.
    #[inline]
    pub fn turn_nanos(&self) -> u64 {
        self.meter.turn_nanos
    }

    /// Runs one command and writes its reply to `out`.
    #[inline]
    pub fn execute(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        out: &mut impl Output,
    ) -> Flow {
        let (command, refusal) = match self.look_up(args) {
            Ok(command) => (Some(command), gates::check(self, session, command, args).err()),
            Err(_) if gates::is_web_request(args.at(0)) => {
                tracing::warn!("a web browser was made to talk to this server; cutting it off");
                // At once: not even the replies to the lines before are of use to a browser.
                session.client.kill();
                return Flow::Done;
            }
            Err(error) => (None, Some(Refusal::Error(error))),
        };
        // What was published before the command runs comes before its reply.
        if !session.client.mailbox.is_empty() {
            unasked::send_mail(&self.node, session, out);
        }
        match (command, refusal) {
            (Some(command), None) => {
                let within = if session.transaction.is_open() {
                    let replies = &mut Encoded(&mut *out);
                    self.within_transaction(session, command, args, replies)
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
                if let Some(waiter) = self.parked.take() {
                    return Flow::Parked(waiter);
                }
            }
            (_, Some(Refusal::Postpone)) => return Flow::Postponed,
            (command, Some(Refusal::Error(error))) => {
                if let Some(command) = command {
                    self.meter.stats.command(command.id).rejected.add(1);
                }
                let error = self.refuse_within(session, command, error);
                self.refuse(session, error, out);
            }
            (None, None) => {}
        }
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
                        Within::Executed => return reply(Reply::Array(values.0)),
                    }
                }
                self.run_with(session, command, args, |_, result| match result {
                    Ok(value) => reply(value),
                    Err(error) => reply(Reply::Error(error)),
                })
            }
            Err(Refusal::Error(error)) => {
                reply(Reply::Error(self.refuse_within(session, Some(command), error)))
            }
            // In-process callers are not paused: nobody could resume them.
            Err(Refusal::Postpone) => reply(Reply::Error(CommandError::custom(
                "ERR the node is paused by CLIENT PAUSE".to_owned(),
            ))),
        }
    }

    /// The command that the arguments name.
    ///
    /// # Errors
    /// Redis's texts for an unknown command or subcommand.
    pub fn look_up(&mut self, args: Args<'_>) -> Result<&'static Command, CommandError> {
        let name = args.at(0);
        // Pipelines repeat themselves, so the last command is worth a comparison.
        let command = match self.last_command {
            Some(last)
                if last.container.is_none()
                    && last.row.name.as_bytes().eq_ignore_ascii_case(name) =>
            {
                last
            }
            _ => {
                // CLIENT LIST shows no command of a client whose last one was unknown.
                self.last_command = None;
                let command = self.node.renames.find(name);
                let command = command
                    .ok_or_else(|| CommandError::unknown_command(name, args.iter().skip(1)))?;
                // One that is renamed must not be found by its first name the next time.
                if command.row.name.as_bytes().eq_ignore_ascii_case(name) {
                    self.last_command = Some(command);
                }
                command
            }
        };
        let found = nested::subcommand(command, args);
        match &found {
            Ok(found) if found.container.is_some() => self.last_command = Some(found),
            Ok(_) => {}
            Err(_) => self.last_command = None,
        }
        found
    }

    fn refuse(&mut self, session: &mut Session, error: CommandError, out: &mut impl Output) {
        self.meter.count_error(&self.node, &error);
        let reply = Reply::Error(error);
        send(session, &reply, out);
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
            let reply = self.run_with(session, command, args, |_, result| match result {
                Ok(reply) => reply.into_owned(),
                Err(error) => Reply::Error(error),
            });
            if reply.is_push() && !session.client.mailbox.is_empty() {
                unasked::send_mail_before(&self.node, session, command, out);
            }
            send(session, &reply, out);
        } else {
            let mode = next_reply_mode(session);
            let version = session.version;
            self.run_with(session, command, args, |_, result| {
                // Looked at where it is: a reply is four words that need not be moved.
                match &result {
                    _ if mode != ReplyMode::On => {}
                    Ok(reply) => encode(reply, version, out),
                    Err(error) => encode(&Reply::Error(error.clone()), version, out),
                }
            });
            if let Some(waiter) = &self.parked
                && mode != ReplyMode::On
            {
                waiter.silence();
            }
        }
    }

    /// Locks, runs the handler, shows its result to `reply`, logs, unlocks, counts.
    #[inline]
    fn run_with<T>(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        reply: impl FnOnce(&'static Command, Result<Reply<'_>, CommandError>) -> T,
    ) -> T {
        let row = command.row;
        let Some(handler) = row.handler else {
            return reply(command, Err(CommandError::wrong_arity(command.full_name)));
        };
        let node = &*self.node;
        let (now_us, now_ms) = (self.meter.now_us, self.meter.now_us.div_euclid(1000));
        let began = self.meter.tick;
        let keys = plan(node, command, args);
        let verbatim = (row.effect == Effect::Verbatim && node.log.is_read()).then(|| {
            let mut frame = Vec::new();
            encode_command(&mut frame, args.iter());
            frame
        });
        let mut touch = Touch::new(&self.settings, now_ms, || self.random.u32(..));
        if session.no_touch {
            touch = touch.without_trace();
        }
        let (db, changes) = (session.db, unasked::collecting(node, session));
        let held = lock(node, command, args, &keys);
        let mut call = Call {
            row,
            args,
            keys: &keys,
            db: Access::new(&node.keyspace, held, db, now_ms, touch, changes),
            session: &mut *session,
            node,
            settings: &self.settings,
            now_us,
            random: &mut self.random,
            meter: &mut self.meter,
            wish: None,
            has_written: false,
        };
        if node.pause.is_active() && node.pause.blocks(true, now_ms) {
            call.db.keep_due();
        }
        let result = handler(&mut call);
        let failure = result.as_ref().err().cloned();
        let value = reply(command, result);
        if let Some(wish) = call.wish.take() {
            self.parked = Some(blocking::park(&mut call, command, keys.clone(), wish));
        }
        node.track(call.session, row, args, &keys);
        hand_on(&mut call, verbatim);
        let dirty = call.db.changes.dirty;
        let tally = call.db.tally;
        let memory_delta = call.db.memory_delta();
        // The locks, and then what was removed.
        drop(call);

        if dirty > 0 {
            self.meter.stats.dirty.add(dirty);
        }
        self.settle(memory_delta, tally);
        // One that waits is counted when its wait is over.
        if self.parked.is_none() {
            self.count_ran(session, command, args, began, failure.as_ref());
        } else {
            self.node.push.monitor(&self.node, session, command, args);
        }
        value
    }

    /// Counts a command that ran.
    #[inline]
    fn count_ran(
        &mut self,
        session: &Session,
        command: &'static Command,
        args: Args<'_>,
        began: Tick,
        failure: Option<&CommandError>,
    ) {
        if let Some(error) = failure {
            self.meter.count_error(&self.node, error);
        }
        let ran = Ran { command, args, session, began, failed: failure.is_some() };
        self.meter.count(&self.node, &self.settings, &ran);
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

    /// How much of a difference in memory this thread may keep to itself.
    fn memory_slack(&self) -> i64 {
        match self.settings.maxmemory_bytes {
            0 => SLACK_BYTES,
            // Two threads together stay well below a thousandth of the limit.
            limit => SLACK_BYTES.min((limit / 4096) as i64),
        }
    }

    /// Closes the largest clients while all of them are above `maxmemory-clients`.
    #[inline]
    pub fn evict_clients(&self) {
        let limit = self.settings.maxmemory_clients.bytes(self.settings.maxmemory_bytes);
        if self.node.clients.are_over(limit) {
            let evicted = self.node.clients.evict(limit, self.node.keyspace.memory());
            self.meter.stats.evicted_clients.add(evicted);
        }
    }

    /// Adds what this thread kept to itself to the node's sum.
    pub fn flush_memory(&mut self) {
        self.node.keyspace.memory().add(std::mem::take(&mut self.memory_delta));
    }

    /// Evicts when memory is above the limit although no command asks for any: the limit was lowered.
    pub fn keep_memory(&mut self) {
        self.begin_turn();
        let limit = self.settings.maxmemory_bytes;
        if limit > 0 && self.node.keyspace.memory().used_bytes() > limit {
            self.make_room();
            self.node.tracking.broadcast(&self.node);
        }
    }

    /// Evicts until memory is below the limit; tells whether it is.
    ///
    /// Bounded per call: a limit that was lowered by far is reached over many commands.
    #[cold]
    pub fn make_room(&mut self) -> bool {
        const EVICTIONS_MAX: usize = 10_000;
        self.flush_memory();
        let limit = self.settings.maxmemory_bytes;
        let node = Arc::clone(&self.node);
        if node.pause.blocks(true, self.now_ms()) {
            return true;
        }
        for _ in 0..EVICTIONS_MAX {
            if node.keyspace.memory().used_bytes() <= limit {
                return true;
            }
            let random = &mut self.random;
            let evicted = node.keyspace.evict_one(
                &self.settings,
                self.meter.now_us.div_euclid(1000),
                &mut || random.u64(..),
                |db, key, class: Classes| {
                    let mut changes = Changes::new(node.log.is_read(), node.wanted_events());
                    changes.effect(db, &[b"DEL", key]);
                    changes.event(class, "evicted", db, key);
                    crate::propagate::publish(&node, &mut changes);
                },
            );
            let Some(evicted) = evicted else { return false };
            self.meter.stats.evicted_keys.add(1);
            self.serve_gone(evicted.db, evicted.entry.view().key());
            let removed = Removed::Dead(evicted.entry);
            if self.settings.lazyfree_lazy_eviction && removed.is_large() {
                node.reap(vec![removed]);
            }
        }
        // Still above, but there was something to evict: commands go on, as in Redis.
        true
    }

    /// Serves those who wait for a key to go, after time or a lack of memory took it.
    pub fn serve_gone(&mut self, db: usize, key: &[u8]) {
        let node = Arc::clone(&self.node);
        let key = node.keyspace.key(key);
        let held = Held::One(key.hash.shard(), node.keyspace.lock(key.hash.shard()));
        if !held.has_waiters() {
            return;
        }
        let held = lock_for_waiters(&node, held);
        let changes = Changes::new(node.log.is_read(), node.wanted_events());
        let touch = Touch::new(&self.settings, self.now_ms(), || self.random.u32(..));
        let mut access = Access::new(&node.keyspace, held, db, self.now_ms(), touch, changes);
        access.signal(key);
        let now_us = self.meter.now_us;
        let (settings, meter, random) = (&*self.settings, &mut self.meter, &mut self.random);
        let host = Host { node: &node, settings, meter, random, now_us };
        blocking::serve_ready(host, &mut access);
        crate::propagate::publish(&node, &mut access.changes);
        self.meter.stats.dirty.add(access.changes.dirty);
        let (tally, memory_delta) = (access.tally, access.memory_delta());
        drop(access);
        self.settle(memory_delta, tally);
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
            let held = Held::One(index, self.node.keyspace.lock(index));
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

/// Serves those for whom a command made a key ready, and publishes what all of them changed;
/// `verbatim` is the command itself, where it is logged as it came.
#[inline]
fn hand_on(call: &mut Call<'_>, verbatim: Option<Vec<u8>>) {
    let db = call.db.db();
    let changes = &mut call.db.changes;
    if let Some(frame) = verbatim
        && changes.dirty > 0
    {
        changes.frame(db, frame);
    }
    if changes.has_ready() {
        if changes.nested {
            // Who waits comes after a transaction, not into it.
            crate::propagate::publish(call.node, changes);
        }
        let (host, db) = call.split();
        blocking::serve_ready(host, db);
    }
    crate::propagate::publish(call.node, &mut call.db.changes);
    if call.db.may_have_large_garbage() {
        reap(call);
    }
}

/// Leaves to the reaper what takes long to free, where the command or a setting says so.
#[cold]
fn reap(call: &mut Call<'_>) {
    let settings = call.settings;
    let by_command = match call.row.name {
        "unlink" => true,
        "del" => settings.lazyfree_lazy_user_del,
        _ => settings.lazyfree_lazy_server_del,
    };
    call.node.reap(call.db.take_large_garbage(|removed| match removed {
        Removed::Entry(_) | Removed::Detached(_) => by_command,
        Removed::Dead(_) => settings.lazyfree_lazy_expire,
        // A flush says itself who frees.
        Removed::Database(_) => false,
    }));
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

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "shuttle"))]
mod schedules;
