//! MULTI, EXEC, WATCH: commands that run as one.
//!
//! After MULTI a connection's commands pass the gates as always and are then queued, arguments and
//! key hashes. EXEC locks the shards of all queued commands and of all watched keys in ascending order
//! (all shards, where a command uses keys that it does not name), looks whether a watched key was
//! changed, and runs the queue within that hold. So a transaction is one instant for everybody, and it
//! happens at the moment at which all its shards are held.
//!
//! A watch ends under its shard's lock: by EXEC within its hold, otherwise by dropping [`Watches`].
//! Invariant: a client that watches nothing is not marked as touched.

pub mod follow;

use super::meter::Ran;
use super::nested::{self, Host, Shown};
use super::plan;
use super::{Executor, Pending, blocking, gates, unasked};
use crate::acl::check::{self, Context};
use crate::commands::Command;
use crate::commands::row::Flags;
use crate::config::Settings;
use crate::keyspace::access::Access;
use crate::keyspace::evict::Touch;
use crate::keyspace::held::Held;
use crate::keyspace::{Key, KeyHash, wait};
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::scripting::caught;
use crate::session::{ReplyMode, Session};
use larder_protocol::encode::encode_command;
use larder_protocol::encode::{Output, array_header, encode};
use larder_protocol::{Args, CommandError, KeptArgs, Reply};
use smallvec::SmallVec;
use std::cell::Cell;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a connection stands between MULTI or WATCH and EXEC.
#[derive(Default)]
pub struct Transaction {
    queue: Option<Box<Queue>>,
    watches: Option<Box<Watches>>,
}

impl Clone for Transaction {
    /// A copy of a session acts for somebody who waits or runs a script: outside of its transaction.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The commands since MULTI.
#[derive(Default)]
struct Queue {
    args: KeptArgs,
    commands: Vec<Queued>,
    keys: Vec<(usize, KeyHash)>,
    /// The flags that at least one of them has.
    flags: Flags,
    /// Whether one of them uses keys that it does not name.
    needs_all: bool,
    /// Whether one was refused, so that none may run.
    is_broken: bool,
}

struct Queued {
    command: &'static Command,
    flags: Flags,
    args: Range<usize>,
    keys: Range<usize>,
}

/// The keys that a connection watches.
struct Watches {
    node: Arc<Shared>,
    client: Arc<Client>,
    keys: Vec<Watched>,
    bytes: usize,
}

struct Watched {
    db: usize,
    key: Box<[u8]>,
    hash: KeyHash,
}

impl Transaction {
    /// Whether commands are queued.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether it can be begun anew elsewhere: nothing is watched, and nothing was refused.
    pub fn can_move(&self) -> bool {
        self.watches.is_none() && self.queue.as_ref().is_none_or(|queue| !queue.is_broken)
    }

    /// What a client would have to send again to be where it is, and how many replies that has.
    pub fn again(&self) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let Some(queue) = &self.queue else { return (bytes, 0) };
        encode_command(&mut bytes, [&b"MULTI"[..]].into_iter());
        for queued in &queue.commands {
            encode_command(&mut bytes, queue.args.at(queued.args.clone()).iter());
        }
        (bytes, queue.commands.len() + 1)
    }

    /// The flags that at least one of the queued commands has.
    pub fn flags(&self) -> Flags {
        self.queue.as_ref().map_or(Flags::NONE, |queue| queue.flags)
    }

    /// Whether all queued commands have these flags.
    pub fn all_have(&self, flags: Flags) -> bool {
        let commands = self.queue.as_ref().map_or(&[][..], |queue| &queue.commands);
        commands.iter().all(|queued| queued.flags.has(flags))
    }

    /// Begins to queue commands; false when it does already.
    pub fn open(&mut self, client: &Client) -> bool {
        if self.is_open() {
            return false;
        }
        self.queue = Some(SPARE.take().unwrap_or_default());
        client.queued.store(1, Ordering::Relaxed);
        true
    }

    /// Learns what was begun and refused since the connection's last turn, while a script kept its
    /// thread; the caller holds no shard.
    #[inline]
    pub fn learn(&mut self, client: &Client) {
        if self.is_open() || client.opened.load(Ordering::Relaxed) {
            self.learn_all(client);
        }
    }

    #[cold]
    fn learn_all(&mut self, client: &Client) {
        let told =
            |flag: &AtomicBool| flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed);
        if told(&client.opened) {
            self.open(client);
        }
        if told(&client.aborted) {
            client.broken.store(false, Ordering::Relaxed);
            self.end(client);
        } else if told(&client.broken)
            && let Some(queue) = &mut self.queue
        {
            queue.is_broken = true;
        }
    }

    /// Forgets queue and watches; the caller holds no shard.
    pub fn end(&mut self, client: &Client) {
        self.queue = None;
        self.unwatch(client);
        client.queued.store(0, Ordering::Relaxed);
    }

    /// Ends all watches; the caller holds no shard unless there is none.
    pub fn unwatch(&mut self, client: &Client) {
        self.watches = None;
        client.transaction_bytes.store(self.bytes(), Ordering::Relaxed);
    }

    /// Ends all watches of a connection that ends. A slow script may keep it from that for long: the
    /// thread has other clients.
    pub async fn end_watches(&mut self, node: &Shared) {
        wait::until(|| self.watches.as_mut().is_none_or(|watches| watches.try_end(node))).await;
    }

    /// Watches a key whose shard is held.
    pub fn watch(
        &mut self,
        db: &mut Access<'_>,
        node: &Shared,
        client: &Arc<Client>,
        key: Key<'_>,
    ) {
        let Some(node) = node.keep() else { return };
        if !db.watch(key, client) {
            return;
        }
        let watches = self.watches.get_or_insert_with(|| {
            let client = Arc::clone(client);
            Box::new(Watches { node, client, keys: Vec::new(), bytes: 0 })
        });
        watches.bytes += WATCH_BYTES + 2 * key.bytes.len();
        let (db, hash) = (db.db(), key.hash);
        watches.keys.push(Watched { db, key: Box::from(key.bytes), hash });
        client.transaction_bytes.store(self.bytes(), Ordering::Relaxed);
    }

    /// Bytes that queue and watches take.
    pub fn bytes(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| queue.bytes());
        queued + self.watches.as_ref().map_or(0, |watches| watches.bytes)
    }

    /// Bytes of the queued commands' arguments.
    pub fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.args.memory_bytes())
    }
}

thread_local! {
    /// An empty queue with room for a small transaction: most are small, and each would allocate.
    static SPARE: Cell<Option<Box<Queue>>> = const { Cell::new(None) };
}

/// Bytes of a queue that is worth being kept for the thread's next transaction.
const SPARE_BYTES: usize = 16 * 1024;

/// A watch in its client's list and in its shard's table.
const WATCH_BYTES: usize = size_of::<Watched>() + 80;

impl Queue {
    /// Leaves its memory to the thread's next transaction.
    fn retire(mut self: Box<Self>) {
        if self.bytes() > SPARE_BYTES {
            return;
        }
        self.args.clear();
        self.commands.clear();
        self.keys.clear();
        (self.flags, self.needs_all, self.is_broken) = (Flags::NONE, false, false);
        SPARE.set(Some(self));
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.args.memory_bytes()
            + self.commands.capacity() * size_of::<Queued>()
            + self.keys.capacity() * size_of::<(usize, KeyHash)>()
    }

    /// Adds a command; false when the queue would exceed what can be addressed.
    fn push(&mut self, node: &Shared, command: &'static Command, args: Args<'_>) -> bool {
        let first = self.keys.len();
        let Some(place) = self.args.push(args) else { return false };
        plan::each_key(node, command, args, |at, hash| self.keys.push((at, hash)));
        let flags = command.row.flags_of(node, args);
        self.commands.push(Queued { command, flags, args: place, keys: first..self.keys.len() });
        self.flags = self.flags.and(flags);
        self.needs_all |= plan::needs_all(command, args);
        true
    }

    /// Locks all that its commands need and what is watched, unless `is_over` says that it took too
    /// long.
    fn lock<'k>(
        &self,
        node: &'k Shared,
        watches: Option<&Watches>,
        is_over: impl Fn() -> bool,
    ) -> Option<Held<'k>> {
        let held = if self.needs_all {
            node.keyspace.lock_all_unless(is_over)?
        } else {
            node.keyspace.lock_several_unless(&self.shards(watches), is_over)?
        };
        Some(if held.has_waiters() { plan::lock_for_waiters(node, held) } else { held })
    }

    /// The shards that it needs, in ascending order.
    fn shards(&self, watches: Option<&Watches>) -> SmallVec<[usize; 16]> {
        let watched = watches.map_or(&[][..], |watches| &watches.keys);
        let mut shards: SmallVec<[usize; 16]> =
            self.keys.iter().map(|(_, hash)| hash.shard()).collect();
        shards.extend(watched.iter().map(|watched| watched.hash.shard()));
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

impl Watches {
    /// Ends all watches, whose shards are held; tells whether a key was changed.
    fn end_within(&mut self, access: &mut Access<'_>) -> bool {
        let mut is_touched = self.client.is_touched();
        for Watched { db, key, hash } in self.keys.drain(..) {
            let key = Key { bytes: &key, hash };
            is_touched |= access.in_db(db, |access| access.unwatch(key, &self.client));
        }
        self.client.forget_touch();
        is_touched
    }

    /// Ends watches until a slow script keeps the shard of one; tells whether none is left.
    fn try_end(&mut self, node: &Shared) -> bool {
        while let Some(Watched { db, key, hash }) = self.keys.last() {
            let shard = node.keyspace.lock_unless(hash.shard(), || node.scripts.slow.any());
            let Some(mut shard) = shard else { return false };
            shard.watchers.remove(*db, key, &self.client);
            drop(shard);
            self.keys.pop();
        }
        true
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for Watched { db, key, hash } in &self.keys {
            let mut shard = self.node.keyspace.lock(hash.shard());
            shard.watchers.remove(*db, key, &self.client);
        }
        self.client.forget_touch();
    }
}

/// Takes the replies of a transaction.
pub(super) trait Replies {
    /// There will be `len` of them.
    fn begin(&mut self, session: &Session, len: usize);
    /// The next one.
    fn add(&mut self, shown: Shown, reply: Reply<'_>);
}

/// Encodes replies as they come.
pub(super) struct Encoded<'o, O>(pub(super) &'o mut O);

impl<O: Output> Replies for Encoded<'_, O> {
    #[inline]
    fn begin(&mut self, session: &Session, len: usize) {
        if is_wanted(session.reply_mode) {
            array_header(self.0, len);
        }
    }

    #[inline]
    fn add(&mut self, shown: Shown, reply: Reply<'_>) {
        if is_wanted(shown.mode) {
            encode(&reply, shown.version, self.0);
        }
    }
}

/// CLIENT REPLY within a transaction counts from the next command on.
fn is_wanted(mode: ReplyMode) -> bool {
    matches!(mode, ReplyMode::On | ReplyMode::SkipNext)
}

/// Keeps the first error alone.
#[derive(Default)]
pub(super) struct Failure(pub(super) Option<CommandError>);

impl Replies for Failure {
    fn begin(&mut self, _: &Session, _: usize) {}

    fn add(&mut self, _: Shown, reply: Reply<'_>) {
        if self.0.is_none() {
            self.0 = reply.as_error().cloned();
        }
    }
}

/// Keeps replies as values.
#[derive(Default)]
pub(super) struct Values(pub(super) Vec<Reply<'static>>);

impl Replies for Values {
    fn begin(&mut self, _: &Session, len: usize) {
        self.0.reserve(len);
    }

    fn add(&mut self, _: Shown, reply: Reply<'_>) {
        self.0.push(reply.into_owned());
    }
}

/// What becomes of a command within MULTI.
pub(super) enum Within {
    /// It runs now, as any other.
    Runs,
    /// It is queued.
    Queued,
    /// This is its reply.
    Replies(Reply<'static>),
    /// It was EXEC, and the replies were taken.
    Executed,
}

impl Executor {
    /// Queues a command that passed the gates, or runs what was queued.
    #[inline(never)]
    pub(super) fn within_transaction(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        replies: &mut impl Replies,
    ) -> Within {
        let flags = command.row.flags;
        if flags.has(Flags::EXEC) {
            return self.exec(session, command, args, replies);
        }
        let Some(queue) = session.transaction.queue.as_mut().filter(|_| !flags.has(Flags::AT_ONCE))
        else {
            return Within::Runs;
        };
        if queue.is_broken || session.client.is_touched() {
            // None of it will run.
            return Within::Queued;
        }
        if !queue.push(&self.node, command, args) {
            // Far beyond what any limit of the query buffer is meant to allow.
            session.client.kill();
        }
        let queued = queue.commands.len() + 1;
        session.client.queued.store(queued, Ordering::Relaxed);
        session.client.transaction_bytes.store(session.transaction.bytes(), Ordering::Relaxed);
        Within::Queued
    }

    /// Notes that a command was refused, which breaks a transaction, or ends it if it was EXEC; gives
    /// the reply. Whatever EXEC is refused for, it says that it aborts, outside of MULTI as well.
    #[cold]
    pub(super) fn refuse_within(
        &mut self,
        session: &mut Session,
        command: Option<&'static Command>,
        error: CommandError,
    ) -> CommandError {
        if command.is_some_and(|command| command.row.flags.has(Flags::EXEC)) {
            let client = Arc::clone(&session.client);
            session.transaction.end(&client);
            return CommandError::exec_abort_because(&error);
        }
        if let Some(queue) = &mut session.transaction.queue {
            queue.is_broken = true;
        }
        error
    }

    fn exec(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        replies: &mut impl Replies,
    ) -> Within {
        let began = self.meter.tick;
        let Some(queue) = session.transaction.queue.take() else { return Within::Runs };
        let mut watches = session.transaction.watches.take();
        let within = if queue.is_broken {
            // Its watches end by themselves.
            drop(watches);
            Within::Replies(Reply::Error(CommandError::EXEC_ABORT))
        } else {
            let within = self.run_queue(session, command, &queue, watches.as_deref_mut(), replies);
            if self.pending.is_some() {
                session.transaction.queue = Some(queue);
                session.transaction.watches = watches;
                return within;
            }
            within
        };
        queue.retire();
        session.client.queued.store(0, Ordering::Relaxed);
        session.client.transaction_bytes.store(0, Ordering::Relaxed);
        let failure = match &within {
            Within::Replies(Reply::Error(error)) => Some(error),
            _ => None,
        };
        let ran = Ran { command, args, session, began, failure, is_counted: false };
        self.meter.count(&self.node, &self.settings, &ran);
        within
    }

    /// Runs the queue, unless a watched key was changed.
    fn run_queue(
        &mut self,
        session: &mut Session,
        exec: &'static Command,
        queue: &Queue,
        watches: Option<&mut Watches>,
        replies: &mut impl Replies,
    ) -> Within {
        let node = &*self.node;
        let (now_us, now_ms) = (self.meter.now_us, self.meter.now_us.div_euclid(1000));
        let is_slow = || !session.applies && node.scripts.slow.any();
        let Some(held) = queue.lock(node, watches.as_deref(), is_slow) else {
            let error = node.scripts.slow.error_or_script();
            return Within::Replies(Reply::Error(CommandError::exec_abort_because(&error)));
        };
        let touch = Touch::new(&self.settings, now_ms, || self.random.u32(..));
        if gates::is_held_back(node, queue.flags, session) {
            self.pending = Some(Pending::HeldBack);
            return Within::Executed;
        }
        let changes = unasked::collecting(node, &self.settings, session);
        let mut access = Access::new(&node.keyspace, held, session.db, now_ms, touch, changes);
        if session.applies {
            access.keep_live();
        } else if (node.pause.is_active() || node.role.is_replica())
            && let Err(error) = gates::within(node, &self.settings, queue.flags, &mut access)
        {
            return Within::Replies(Reply::Error(CommandError::exec_abort_because(&error)));
        }
        if watches.is_some_and(|watches| watches.end_within(&mut access)) {
            return Within::Replies(Reply::NullArray);
        }
        let ran = caught(|| {
            replies.begin(session, queue.commands.len());
            for queued in &queue.commands {
                // CONFIG SET may be one of the commands.
                follow_settings(node, &mut self.generation, &mut self.settings);
                let (meter, random) = (&mut self.meter, &mut self.random);
                let host = Host { node, settings: &self.settings, meter, random, now_us };
                let keys = &queue.keys[queued.keys.clone()];
                let args = queue.args.at(queued.args.clone());
                // What its user may do can have changed since it was queued.
                let context = |_: &Session| Context::Exec(exec);
                if let Err(denial) =
                    check::admit(node, session, queued.command, args, context, now_ms)
                {
                    let error = denial.at_exec();
                    host.meter.count_error(node, &error);
                    replies.add(Shown::to(session), Reply::Error(error));
                    continue;
                }
                let command = (queued.command, args, keys);
                nested::run(host, &mut access, session, command, |shown, reply| {
                    replies.add(shown, reply);
                });
            }
        });
        let (meter, random) = (&mut self.meter, &mut self.random);
        let host = Host { node, settings: &self.settings, meter, random, now_us };
        // What ran before a panic stays, so replicas have to have it as well.
        blocking::publish_then_serve(host, &mut access);
        ran.unwrap_or_else(|panic| resume_unwind(panic));
        let (dirty, propagated) = (access.changes.dirty, access.changes.propagated);
        let (tally, memory_delta) = (access.tally, access.memory_delta());
        drop(access);
        session.reaches(node.log.offset(), dirty > 0, propagated);
        self.meter.stats.dirty.add(dirty);
        self.settle(memory_delta, tally);
        Within::Executed
    }
}

fn follow_settings(node: &Shared, generation: &mut u64, settings: &mut Arc<Settings>) {
    let latest = node.config.generation();
    if latest != *generation {
        *generation = latest;
        *settings = node.config.load();
    }
}
