//! Commands in the calling thread, without sockets and encodings.

use super::clients::{Client, Peer};
use super::member::Verdict;
use super::shared::Shared;
use crate::acl::identity::Identity;
use crate::commands::{self, Command};
use crate::dispatch::Executor;
use crate::held;
use crate::session::Session;
use larder_protocol::{Args, CommandError, Reply};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How long a write waits for a handover, and how often it looks.
const HANDOVER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(1);

/// A handle for one thread at a time; it has a session of its own, with a selected database.
///
/// Commands that would wait for a key reply at once, as they do inside a transaction.
pub struct Local {
    executor: Executor,
    session: Session,
}

/// The rows behind the typed methods, looked up once.
struct Typed {
    get: &'static Command,
    set: &'static Command,
    del: &'static Command,
    incrby: &'static Command,
    pexpire: &'static Command,
}

static TYPED: LazyLock<Typed> = LazyLock::new(|| {
    let row = |name: &str| match commands::find(name.as_bytes()) {
        Some(command) => command,
        None => panic!("{name} has a row"),
    };
    Typed {
        get: row("get"),
        set: row("set"),
        del: row("del"),
        incrby: row("incrby"),
        pexpire: row("pexpire"),
    }
});

impl Local {
    pub(crate) fn new(node: Arc<Shared>) -> Self {
        let client = Client::new(node.clients.next_id(), Peer::InProcess, -1, node.clock.unix_ms());
        let owner = Identity::of_owner(&node.acl.users);
        // Nobody else could serve a caller that holds its thread.
        let session = Session { may_block: false, ..Session::new(Arc::new(client), owner) };
        Self { executor: Executor::new(node), session }
    }

    fn run<T>(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: impl FnOnce(Reply<'_>) -> T,
    ) -> T {
        if self.executor.node().aof.is_congested() {
            self.executor.node().aof.wait_for_room();
        }
        self.executor.node().rest.end();
        self.executor.begin_turn();
        if self.executor.node().member().is_some() || self.executor.node().aof.is_strict() {
            return self.run_confirmed(command, args, reply);
        }
        let result = self.executor.call(&mut self.session, command, Args::from_slices(args), reply);
        // Who ends the node does not let this caller wait: it was answered by an error.
        self.executor.take_held_back();
        let node = self.executor.node();
        node.tracking.broadcast(node);
        node.log.wake_readers();
        result
    }

    /// The same where an answer is one only when disk and group confirm it: else it is an error.
    #[cold]
    fn run_confirmed<T>(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: impl FnOnce(Reply<'_>) -> T,
    ) -> T {
        let args = Args::from_slices(args);
        let written_to = self.session.written_to;
        let mut waited = Duration::ZERO;
        let mut answer = loop {
            let answer =
                self.executor.call(&mut self.session, command, args, |reply| reply.into_owned());
            // Who ends the node does not let this caller wait: it was answered by an error.
            if !self.executor.take_held_back() || self.executor.node().member().is_none() {
                break answer;
            }
            // A handover has its time; after it this node is no primary any more.
            if waited >= HANDOVER {
                break Reply::Error(CommandError::READ_ONLY);
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
            self.executor.begin_turn();
        };
        let node = self.executor.node();
        node.tracking.broadcast(node);
        node.log.wake_readers();
        if !node.aof.wait_until_safe() {
            answer = Reply::Error(CommandError::misconf_aof("the file is closed"));
        }
        if node.member().is_some() && self.session.written_to > written_to {
            let timeout = match self.executor.settings().write_acks_timeout_ms {
                0 => Duration::MAX,
                timeout_ms => Duration::from_millis(timeout_ms),
            };
            let is_confirmed = node.replicas.wait_confirmed(node, self.session.written_to, timeout);
            let verdict = || node.member().map_or(Verdict::Leave, |member| member.verdict(node));
            while waited < HANDOVER && verdict() == Verdict::Wait {
                std::thread::sleep(LOOK);
                waited += LOOK;
            }
            if verdict() != Verdict::Leave {
                answer = Reply::Error(CommandError::READ_ONLY);
            } else if !is_confirmed {
                answer = Reply::Error(held::too_few());
            }
        }
        reply(answer)
    }

    /// Runs any command; an error of the command is a [`Reply::Error`].
    ///
    /// ```
    /// # use larder_server::{Node, Reply};
    /// # let node = Node::builder().start()?;
    /// let reply = node.local().call(&[b"APPEND", b"log", b"line"]);
    /// assert_eq!(reply, Reply::Int(4));
    /// # Ok::<(), larder_server::StartError>(())
    /// ```
    pub fn call(&mut self, args: &[&[u8]]) -> Reply<'static> {
        self.executor.begin_turn();
        match self.executor.look_up(Args::from_slices(args)) {
            Ok(command) => self.run(command, args, |reply| reply.into_owned()),
            Err(error) => Reply::Error(error),
        }
    }

    /// GET: a copy of the string under `key`; `None` when there is none or it is no string.
    pub fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.get_with(key, <[u8]>::to_vec)
    }

    /// GET without a copy: `read` sees the bytes while the key's shard is locked, so it must be
    /// short and must not use the node.
    pub fn get_with<T>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.run(TYPED.get, &[b"GET", key], |reply| reply.as_bytes().map(read))
    }

    /// SET; false when the node refuses, which it does for lack of memory.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.run(TYPED.set, &[b"SET", key, value], |reply| reply == Reply::Ok)
    }

    /// SET with PX: the key expires after `ttl`.
    pub fn set_for(&mut self, key: &[u8], value: &[u8], ttl: Duration) -> bool {
        let ttl_ms = ttl.as_millis().to_string();
        let args: [&[u8]; 5] = [b"SET", key, value, b"PX", ttl_ms.as_bytes()];
        self.run(TYPED.set, &args, |reply| reply == Reply::Ok)
    }

    /// DEL: whether the key was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.run(TYPED.del, &[b"DEL", key], |reply| reply == Reply::Int(1))
    }

    /// INCRBY: the number after the change.
    ///
    /// # Errors
    /// The value is no integer, or the sum does not fit one.
    pub fn add(&mut self, key: &[u8], by: i64) -> Result<i64, CommandError> {
        let by = by.to_string();
        self.run(TYPED.incrby, &[b"INCRBY", key, by.as_bytes()], |reply| match reply {
            Reply::Int(number) => Ok(number),
            Reply::Error(error) => Err(error),
            _ => Err(CommandError::NOT_INTEGER),
        })
    }

    /// PEXPIRE: whether the key was there.
    pub fn expire(&mut self, key: &[u8], ttl: Duration) -> bool {
        let ttl_ms = ttl.as_millis().to_string();
        let args: [&[u8]; 3] = [b"PEXPIRE", key, ttl_ms.as_bytes()];
        self.run(TYPED.pexpire, &args, |reply| reply == Reply::Int(1))
    }
}
