//! Commands of a primary's stream, on its replica.
//!
//! Each command, and each transaction as a whole, runs within one hold, within which its bytes are
//! also passed on to the log: so the data, the log's offset and what own replicas are sent fit
//! together whenever somebody holds all shards. A command without keys holds one shard all the same,
//! since the role does not change while any is held.
//!
//! Nobody reads the replies. An error means that the replica and its primary do not agree; it is told
//! and the stream goes on, as in Redis.

use super::Queue;
use crate::commands::Command;
use crate::commands::row::Flags;
use crate::dispatch::nested::{self, Host};
use crate::dispatch::plan::{self, lock_for_waiters, shards_of};
use crate::dispatch::{Executor, blocking, unasked};
use crate::keyspace::access::Access;
use crate::keyspace::evict::Touch;
use crate::keyspace::held::Held;
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::{Args, CommandError};
use larder_replication::FrameKind;
use std::sync::Arc;

/// The bytes of a command or of a transaction as they came.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// What they are.
    pub kind: FrameKind,
    /// The epoch of the role in which they came.
    pub epoch: u64,
}

/// What became of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Followed {
    /// It ran, or stands in a transaction that is still open.
    Done,
    /// The same, but with this error.
    Failed(CommandError),
    /// The role is another one; nothing was done.
    Obsolete,
}

impl Executor {
    /// Runs a command of the primary's stream; `passage` are the bytes that it completes, none while
    /// it stands in a transaction that goes on.
    pub fn follow(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        passage: Option<Passage<'_>>,
    ) -> Followed {
        let found = self.find_followed(args);
        let Some(passage) = passage else {
            return match found {
                Ok(command) => self.keep(session, command, args),
                Err(error) => {
                    if let Some(queue) = &mut session.transaction.queue {
                        queue.is_broken = true;
                    }
                    Followed::Failed(error)
                }
            };
        };
        let queue = session.transaction.queue.take();
        let node = Arc::clone(&self.node);
        match (found, queue) {
            (Err(error), _) => {
                self.pass(&node, Held::None, session, passage, |_, _, _| Some(error))
            }
            (Ok(command), Some(queue)) if command.row.flags.has(Flags::EXEC) => {
                let followed = self.follow_queue(&node, session, &queue, passage);
                queue.retire();
                followed
            }
            (Ok(command), queue) => {
                if command.row.flags.has(Flags::ENDS_MULTI) && queue.is_some() {
                    return self.pass(&node, Held::None, session, passage, |_, _, _| None);
                }
                session.transaction.queue = queue;
                self.follow_one(&node, session, (command, args), passage)
            }
        }
    }

    /// Passes on what is not a command to this node's data.
    pub fn pass_over(&mut self, session: &mut Session, passage: Passage<'_>) -> Followed {
        let node = Arc::clone(&self.node);
        self.pass(&node, Held::None, session, passage, |_, _, _| None)
    }

    fn find_followed(&mut self, args: Args<'_>) -> Result<&'static Command, CommandError> {
        let command = self.look_up(args)?;
        match command.row.accepts(args.len()) {
            true => Ok(command),
            false => Err(CommandError::wrong_arity(command.full_name)),
        }
    }

    /// Begins a transaction, or keeps a command of it.
    fn keep(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
    ) -> Followed {
        match &mut session.transaction.queue {
            None => {
                let client = Arc::clone(&session.client);
                session.transaction.open(&client);
            }
            Some(queue) => {
                // A stream has neither WATCH nor another MULTI in a transaction.
                if command.row.flags.has(Flags::AT_ONCE) || !queue.push(&self.node, command, args) {
                    queue.is_broken = true;
                }
            }
        }
        Followed::Done
    }

    fn follow_one(
        &mut self,
        node: &Shared,
        session: &mut Session,
        (command, args): (&'static Command, Args<'_>),
        passage: Passage<'_>,
    ) -> Followed {
        let keys = plan::plan(node, command, args);
        let held = if plan::needs_all(command, args) {
            node.keyspace.lock_all()
        } else {
            node.keyspace.lock_several(&shards_of(&keys))
        };
        self.pass(node, held, session, passage, |host, access, session| {
            nested::run(host, access, session, (command, args, &keys), |_, reply| {
                reply.as_error().cloned()
            })
        })
    }

    fn follow_queue(
        &mut self,
        node: &Shared,
        session: &mut Session,
        queue: &Queue,
        passage: Passage<'_>,
    ) -> Followed {
        if queue.is_broken {
            let error = CommandError::EXEC_ABORT;
            return self.pass(node, Held::None, session, passage, |_, _, _| Some(error));
        }
        let held = queue.lock(node, None, || false).unwrap_or(Held::None);
        self.pass(node, held, session, passage, |mut host, access, session| {
            let mut failure = None;
            for queued in &queue.commands {
                let keys = &queue.keys[queued.keys.clone()];
                let args = queue.args.at(queued.args.clone());
                let command = (queued.command, args, keys);
                let error = nested::run(host.again(), access, session, command, |_, reply| {
                    reply.as_error().cloned()
                });
                failure = failure.or(error);
            }
            failure
        })
    }

    /// Runs `body` within a hold, and passes its bytes on within the same.
    fn pass<'k>(
        &mut self,
        node: &'k Shared,
        held: Held<'k>,
        session: &mut Session,
        passage: Passage<'_>,
        body: impl FnOnce(Host<'_>, &mut Access<'_>, &mut Session) -> Option<CommandError>,
    ) -> Followed {
        let held = match held {
            Held::None => node.keyspace.lock_several(&[0]),
            held => held,
        };
        let held = if held.has_waiters() { lock_for_waiters(node, held) } else { held };
        if node.role.epoch() != passage.epoch {
            return Followed::Obsolete;
        }
        let (now_us, now_ms) = (self.meter.now_us, self.now_ms());
        let touch = Touch::new(&self.settings, now_ms, || self.random.u32(..));
        let changes = unasked::collecting(node, &self.settings, session);
        let mut access = Access::new(&node.keyspace, held, session.db, now_ms, touch, changes);
        access.keep_live();
        let (settings, meter, random) = (&*self.settings, &mut self.meter, &mut self.random);
        let mut host = Host { node, settings, meter, random, now_us };
        let failure = body(host.again(), &mut access, session);
        blocking::publish_then_serve(host, &mut access);
        node.log.append_raw(passage.bytes, passage.kind, session.db);
        let (dirty, tally, memory_delta) =
            (access.changes.dirty, access.tally, access.memory_delta());
        let garbage = access.take_large_garbage(|_| true);
        drop(access);
        node.reap(garbage);
        self.meter.stats.dirty.add(dirty);
        self.settle(memory_delta, tally);
        failure.map_or(Followed::Done, Followed::Failed)
    }
}
