//! Commands that wait for a key.
//!
//! A handler that finds nothing asks to wait ([`Call::wait_for`]); dispatch then leaves a [`Waiter`]
//! with the keys, and the connection sleeps. When a key becomes ready, whoever made it so runs the
//! same handler again on the waiter's behalf, still under its own locks, and leaves the reply with
//! the waiter. A waiter ends once: served, timed out, unblocked or gone, whichever takes its state
//! first.

use super::call::{Call, CommandResult};
use super::nested::Host;
use super::plan::PlannedKeys;
use crate::acl::check::{self, Context};
use crate::commands::Command;
use crate::keyspace::access::Access;
use crate::keyspace::lock::ShardGuard;
use crate::keyspace::waiters::{ReadyKey, ShardSet};
use crate::keyspace::{Key, KeyHash};
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::raw::{EntryRef, Kind};
use crate::replicas::acks::Awaited;
use crate::session::Session;
use crate::types::object::Object;
use larder_protocol::encode::encode;
use larder_protocol::number::{parse_f64, parse_i64};
use larder_protocol::{Args, CommandError, Reply, Version};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a key must hold to be worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// A list.
    List,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
    /// A stream, or nothing any more: a consumer group goes with its key.
    Group,
    /// No key, but replicas or disks that have what was written.
    Acks(Awaited),
    /// No key, but the end of the node.
    Shutdown,
}

/// The reply at once where nothing may wait; after a timeout it is a null array for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The null bulk string of RESP2.
    Null,
    /// The null array of RESP2.
    NullArray,
}

impl Otherwise {
    fn reply(self) -> Reply<'static> {
        match self {
            Self::Null => Reply::Null,
            Self::NullArray => Reply::NullArray,
        }
    }
}

/// The unit of a timeout argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, with a fraction.
    Seconds,
    /// Whole milliseconds.
    Milliseconds,
}

/// When a timeout argument ends, in milliseconds since the Unix epoch; `None` for 0: never.
///
/// # Errors
/// The argument is no number, negative, or beyond all time.
pub fn deadline_ms(call: &Call<'_>, arg: &[u8], unit: Unit) -> Result<Option<i64>, CommandError> {
    let timeout_ms = match unit {
        Unit::Milliseconds => parse_i64(arg).ok_or(CommandError::TIMEOUT_NOT_INTEGER)?,
        Unit::Seconds => {
            let seconds = parse_f64(arg).or_else(|| parse_huge(arg));
            let seconds = seconds.ok_or(CommandError::TIMEOUT_NOT_FLOAT)?;
            let timeout_ms = (seconds * 1000.0).ceil();
            // The largest i64 itself has no exact double.
            if timeout_ms >= i64::MAX as f64 {
                return Err(CommandError::TIMEOUT_OUT_OF_RANGE);
            }
            timeout_ms as i64
        }
    };
    if timeout_ms < 0 {
        return Err(CommandError::NEGATIVE_TIMEOUT);
    }
    if timeout_ms == 0 {
        return Ok(None);
    }
    let until = call.now_ms().checked_add(timeout_ms);
    until.map(Some).ok_or(CommandError::TIMEOUT_OUT_OF_RANGE)
}

/// A number beyond all doubles, as infinity: Redis reads timeouts with a longer type.
fn parse_huge(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_infinite().then_some(value)
}

/// What a handler asks for when it finds nothing.
pub(super) struct Wish {
    on: SmallVec<[(KeyHash, Box<[u8]>); 1]>,
    wants: WaitFor,
    until_ms: Option<i64>,
    args: Option<Vec<Vec<u8>>>,
}

impl Call<'_> {
    /// Waits until one of the keys is ready and then runs again; or replies at once where nothing may
    /// wait, as inside a transaction.
    ///
    /// # Errors
    /// None of its own.
    pub fn wait_for(
        &mut self,
        keys: &[Key<'_>],
        wants: WaitFor,
        until_ms: Option<i64>,
        otherwise: Otherwise,
    ) -> CommandResult<'static> {
        self.wish(keys, wants, until_ms, otherwise, None)
    }

    /// As [`wait_for`](Self::wait_for); what runs again has these arguments, as many as before.
    ///
    /// # Errors
    /// None of its own.
    pub fn wait_as(
        &mut self,
        args: Vec<Vec<u8>>,
        keys: &[Key<'_>],
        wants: WaitFor,
        until_ms: Option<i64>,
        otherwise: Otherwise,
    ) -> CommandResult<'static> {
        self.wish(keys, wants, until_ms, otherwise, Some(args))
    }

    /// Waits until replicas or disks have what was written; or replies at once if they have it, or where
    /// nothing may wait.
    pub fn wait_for_acks(&mut self, awaited: Awaited, until_ms: Option<i64>) -> Reply<'static> {
        let (reply, is_enough) = awaited.state(self.node);
        if is_enough || !self.session.may_block {
            return reply;
        }
        let wants = WaitFor::Acks(awaited);
        self.wish = Some(Wish { on: SmallVec::new(), wants, until_ms, args: None });
        Reply::None
    }

    /// Waits until the node ends, or does not.
    pub fn wait_for_end(&mut self) -> Reply<'static> {
        let wants = WaitFor::Shutdown;
        self.wish = Some(Wish { on: SmallVec::new(), wants, until_ms: None, args: None });
        Reply::None
    }

    fn wish(
        &mut self,
        keys: &[Key<'_>],
        wants: WaitFor,
        until_ms: Option<i64>,
        otherwise: Otherwise,
        args: Option<Vec<Vec<u8>>>,
    ) -> CommandResult<'static> {
        if !self.session.may_block {
            return Ok(otherwise.reply());
        }
        let mut on = SmallVec::<[(KeyHash, Box<[u8]>); 1]>::new();
        let mut known = HashSet::with_capacity(keys.len());
        for key in keys {
            // A key that is named twice has one place.
            if known.insert(key.bytes) {
                on.push((key.hash, Box::from(key.bytes)));
            }
        }
        self.wish = Some(Wish { on, wants, until_ms, args });
        Ok(Reply::None)
    }
}

/// A client that waits in a blocking command.
pub struct Waiter {
    /// What it waits for.
    pub wants: WaitFor,
    /// When it gives up, in milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// The shards of all keys of its command.
    pub shards: ShardSet,
    command: &'static Command,
    args: Vec<Vec<u8>>,
    keys: PlannedKeys,
    on: SmallVec<[(KeyHash, Box<[u8]>); 1]>,
    db: usize,
    version: Version,
    client: Arc<Client>,
    /// CLIENT REPLY: whether nobody wants the reply.
    silent: AtomicBool,
    state: Mutex<State>,
}

enum State {
    /// Nothing happened yet; the session is what its handler sees.
    Waiting(Box<Session>),
    /// It ended with these reply bytes, which its connection takes.
    Ended(Ended),
}

/// How a wait ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// The encoded reply.
    pub reply: Vec<u8>,
    /// The error that the reply is, if it is one.
    pub failure: Option<CommandError>,
    /// Whether the command ran again; otherwise its time was over, or something else ended it.
    pub is_served: bool,
    /// Nanoseconds that the command ran when it was served.
    pub nanos: u64,
    /// The place of the reply among the messages to the client.
    pub place: u64,
    /// Whether the command was refused before it ran again.
    pub rejected: bool,
    /// Whether the connection ends with it.
    pub closes: bool,
}

impl Waiter {
    /// Leaves the reply out, as CLIENT REPLY asked for.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Whether CLIENT UNBLOCK may end the wait.
    pub fn may_time_out(&self) -> bool {
        self.wants != WaitFor::Shutdown
    }

    /// Ends the wait with the reply for its timeout; false when it ended before.
    pub fn time_out(&self, node: &Shared) -> bool {
        self.end_with(match self.wants {
            WaitFor::Acks(awaited) => awaited.state(node).0,
            _ => Reply::NullArray,
        })
    }

    /// Ends the wait with an error; false when it ended before.
    pub fn fail(&self, error: CommandError) -> bool {
        self.end_with(Reply::Error(error))
    }

    /// The same, and the connection with it.
    pub fn turn_out(&self, error: CommandError) -> bool {
        let ended = self.encoded(&Reply::Error(error));
        self.end(Ended { closes: true, ..ended })
    }

    pub(crate) fn end_with(&self, reply: Reply<'_>) -> bool {
        self.end(self.encoded(&reply))
    }

    fn end(&self, ended: Ended) -> bool {
        let mut state = self.state.lock();
        if matches!(*state, State::Ended(_)) {
            return false;
        }
        *state = State::Ended(ended);
        drop(state);
        self.client.wake();
        true
    }

    fn encoded(&self, reply: &Reply<'_>) -> Ended {
        let mut bytes = Vec::new();
        if !self.silent.load(Ordering::Relaxed) {
            encode(reply, self.version, &mut bytes);
        }
        let place = self.client.mailbox.place();
        let failure = reply.as_error().cloned();
        Ended { reply: bytes, failure, place, ..Ended::default() }
    }

    /// How it ended, once; `None` while it waits.
    pub fn take_ended(&self) -> Option<Ended> {
        match &mut *self.state.lock() {
            State::Waiting(_) => None,
            State::Ended(ended) => Some(std::mem::take(ended)),
        }
    }

    /// The acknowledgements that it waits for.
    pub fn awaited(&self) -> Option<Awaited> {
        match self.wants {
            WaitFor::Acks(awaited) => Some(awaited),
            _ => None,
        }
    }

    /// Shows the arguments with which the command ran.
    pub fn with_args(&self, body: impl FnOnce(Args<'_>)) {
        let slices: SmallVec<[&[u8]; 8]> = self.args.iter().map(Vec::as_slice).collect();
        body(Args::from_slices(&slices));
    }

    /// The command that waits.
    pub fn command(&self) -> &'static Command {
        self.command
    }

    /// Takes the waiter out of all queues, unless a slow script keeps one from it: then to be called
    /// again. Nothing serves it afterwards.
    pub fn try_leave(self: &Arc<Self>, node: &Shared) -> bool {
        self.leave_by(node, |shard| node.keyspace.lock_unless(shard, || node.scripts.slow.any()))
    }

    /// The same, however long it takes.
    pub fn leave(self: &Arc<Self>, node: &Shared) {
        self.leave_by(node, |shard| Some(node.keyspace.lock(shard)));
    }

    fn leave_by<'k>(
        self: &Arc<Self>,
        node: &Shared,
        lock: impl Fn(usize) -> Option<ShardGuard<'k>>,
    ) -> bool {
        let mut state = self.state.lock();
        if matches!(*state, State::Waiting(_)) {
            *state = State::Ended(Ended::default());
        }
        drop(state);
        match self.wants {
            WaitFor::Acks(_) => node.replicas.forget_acks(self),
            WaitFor::Shutdown => node.leaving.forget(self),
            _ => {}
        }
        self.on.iter().all(|(hash, key)| {
            let shard = lock(hash.shard());
            shard.map(|mut shard| shard.waiters.remove(self.db, key, self)).is_some()
        })
    }
}

/// Leaves a waiter with the keys that a handler wished to wait for; their shards are held.
pub(super) fn park(
    call: &mut Call<'_>,
    command: &'static Command,
    keys: PlannedKeys,
    wish: Wish,
) -> Arc<Waiter> {
    let session = &*call.session;
    let mut shards = ShardSet::default();
    keys.iter().for_each(|(_, hash)| shards.add(hash.shard()));
    let waiter = Arc::new(Waiter {
        shards,
        wants: wish.wants,
        until_ms: wish.until_ms,
        command,
        args: wish.args.unwrap_or_else(|| call.args.iter().map(<[u8]>::to_vec).collect()),
        keys,
        on: wish.on,
        db: session.db,
        version: session.version,
        client: Arc::clone(&session.client),
        silent: AtomicBool::new(false),
        state: Mutex::new(State::Waiting(Box::new(session.clone()))),
    });
    match waiter.wants {
        WaitFor::Acks(_) => call.node.replicas.wait_for_acks(call.node, &waiter),
        WaitFor::Shutdown => call.node.leaving.wait(&waiter),
        _ => {}
    }
    // Under its shards, all of which are held where the role changes: whoever waits then is turned out.
    *session.client.parked.lock() = Some(Arc::clone(&waiter));
    for (hash, key) in &waiter.on {
        call.db.waiters(*hash).add(waiter.db, key, Arc::clone(&waiter));
    }
    waiter
}

/// Publishes what was changed, and then serves those who wait: they come after it, not into it.
pub(super) fn publish_then_serve(host: Host<'_>, access: &mut Access<'_>) {
    let node = host.node;
    crate::propagate::publish(node, &mut access.changes);
    if access.changes.has_ready() {
        serve_ready(host, access);
        crate::propagate::publish(node, &mut access.changes);
    }
}

/// Serves those who wait for keys that became ready, until no key is ready any more.
#[cold]
pub(super) fn serve_ready(mut host: Host<'_>, access: &mut Access<'_>) {
    // Whoever is served runs after what made the key ready, which may have taken long.
    host.now_us = host.now_us.max(host.node.clock.unix_us());
    access.advance(host.now_us.div_euclid(1000));
    while let Some(ReadyKey { db, key, hash }) = access.changes.take_ready() {
        let key = Key { bytes: &key, hash };
        let mut place = 0;
        while let Some(waiter) = access.waiters(hash).at(db, key.bytes, place) {
            let entry = access.in_db(db, |access| access.view(key).map(Ready::of));
            if entry.is_none() && !access.waiters(hash).for_groups(db, key.bytes) {
                break;
            }
            if waiter.wakes_for(entry) && waiter.run(&mut host, access) {
                access.waiters(hash).remove(db, key.bytes, &waiter);
            } else {
                place += 1;
            }
        }
    }
}

/// What a key that became ready holds, as far as waiters care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    List,
    Zset,
    Stream,
    Other,
}

impl Ready {
    fn of(entry: EntryRef<'_>) -> Self {
        match entry.kind() {
            Kind::ListPacked => Self::List,
            Kind::ZsetPacked => Self::Zset,
            Kind::Object => match entry.object() {
                Object::List(_) => Self::List,
                Object::Zset(_) => Self::Zset,
                Object::Stream(_) => Self::Stream,
                Object::Hash(_) | Object::Set(_) => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl Waiter {
    fn wakes_for(&self, ready: Option<Ready>) -> bool {
        match self.wants {
            WaitFor::List => ready == Some(Ready::List),
            WaitFor::Zset => ready == Some(Ready::Zset),
            WaitFor::Stream => ready == Some(Ready::Stream),
            WaitFor::Group => true,
            WaitFor::Acks(_) | WaitFor::Shutdown => false,
        }
    }

    /// Runs the waiting command; tells whether the wait is over.
    fn run(&self, host: &mut Host<'_>, access: &mut Access<'_>) -> bool {
        let mut state = self.state.lock();
        let (State::Waiting(session), Some(handler)) = (&mut *state, self.command.row.handler)
        else {
            return true;
        };
        let slices: SmallVec<[&[u8]; 8]> = self.args.iter().map(Vec::as_slice).collect();
        let args = Args::from_slices(&slices);
        let (context, now_ms) = (|_: &Session| Context::Toplevel, host.now_us.div_euclid(1000));
        // The user's rules may have changed since the wait began.
        if let Err(denial) = check::admit(host.node, session, self.command, args, context, now_ms) {
            let reply = Reply::Error(denial.refusal());
            *state = State::Ended(Ended { rejected: true, ..self.encoded(&reply) });
            drop(state);
            self.client.wake();
            return true;
        }
        let mut call = Call {
            row: self.command.row,
            args,
            keys: &self.keys,
            db: access.lend(self.db, access.touch()),
            session,
            node: host.node,
            settings: host.settings,
            now_us: host.now_us,
            random: &mut *host.random,
            meter: &mut *host.meter,
            wish: None,
            has_written: false,
            error_is_counted: false,
        };
        let started = host.node.clock.tick();
        let reply = handler(&mut call);
        let mut ended = self.encoded(&reply.unwrap_or_else(Reply::Error));
        ended.is_served = true;
        ended.nanos = host.node.clock.since(started).as_nanos() as u64;
        let waits = call.wish.is_some();
        let lent = call.end();
        access.take_back(lent);
        if waits {
            return false;
        }
        *state = State::Ended(ended);
        drop(state);
        self.client.wake();
        true
    }
}
