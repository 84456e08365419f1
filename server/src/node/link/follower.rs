//! Applies the stream.
//!
//! Invariant: the input begins with the first byte that was not applied, which is the byte after the
//! log's offset; those of a transaction stay until it is whole.

use super::LinkError;
use super::wire::Wire;
use crate::acl::identity::Identity;
use crate::dispatch::Executor;
use crate::dispatch::transaction::follow::{Followed, Passage};
use crate::keyspace::dataset::DataSet;
use crate::node::clients::{Client, Peer};
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::encode::encode_command;
use larder_protocol::{Args, CommandError, Limits, Parsed, Parser};
use larder_replication::FrameKind;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

/// Nanoseconds of commands before the link looks at anything else.
const TURN_NANOS: u64 = 5_000_000;
/// Commands between two looks at the clock.
const LOOK_COMMANDS: usize = 64;
/// Bytes of an empty input that are kept for what comes next.
const KEPT_BYTES: usize = 1 << 20;
/// The longest argument that a primary may send, where clients may send less.
const BULK_BYTES: usize = 1 << 30;
/// Bytes of one command, or one transaction, that a primary may send: far more than it lets its clients
/// send, as what a script or a command does to many keys is one transaction. Clients' limit is not for
/// this link, as in Redis: it would end at the same place each time. So a replica needs up to this much
/// memory beside its data.
const UNIT_BYTES: usize = 8 * BULK_BYTES;
/// Arguments of a command that failed that are told, and bytes of each.
const SHOWN_ARGS: usize = 8;
const SHOWN_BYTES: usize = 32;
/// Errors of one link that are told in the log.
const TOLD_ERRORS: u32 = 100;

/// What applies the stream, for one link after the other.
pub(super) struct Follower {
    executor: Executor,
    session: Session,
    parser: Parser,
    /// Bytes of the input that belong to the open transaction.
    kept: usize,
    /// Whether the primary asked how far we are, or is to be told anyway.
    pub(super) owes_ack: bool,
    errors: u32,
}

impl Follower {
    pub(super) fn new(node: &Arc<Shared>) -> Self {
        let peer = Peer::InProcess;
        Self {
            executor: Executor::new(Arc::clone(node)),
            session: session(node, peer),
            parser: Parser::new(),
            kept: 0,
            owes_ack: false,
            errors: 0,
        }
    }

    /// Begins to follow over a connection.
    pub(super) fn begin(&mut self, node: &Arc<Shared>, wire: &Wire) {
        let (remote, local) = wire.addresses;
        let db = self.session.db;
        self.session = session(node, Peer::Tcp(remote, local));
        self.session.select(db);
        self.parser = Parser::new();
        (self.kept, self.owes_ack, self.errors) = (0, false, 0);
        node.clients.add(Arc::clone(&self.session.client));
    }

    /// Ends what was begun; what is not applied is forgotten.
    pub(super) fn end(&mut self, node: &Shared) {
        let client = Arc::clone(&self.session.client);
        node.clients.remove(client.id);
        self.session.transaction.end(&client);
        self.executor.flush_memory();
    }

    /// Lets a data set take the place of the live one, if `admits` says so within the hold.
    pub(super) fn replace(&mut self, data: DataSet, admits: impl FnOnce(&Shared) -> bool) -> bool {
        self.executor.replace_if(data, admits)
    }

    /// The same with the libraries of functions.
    pub(super) fn replace_functions(&mut self, libraries: &[Vec<u8>]) {
        self.executor.begin_turn();
        let mut run = |words: &[&[u8]]| {
            let args = Args::from_slices(words);
            let Ok(command) = self.executor.look_up(args) else { return };
            if let Err(error) = self.executor.apply(&mut self.session, command, args) {
                tracing::error!(%error, "a library of functions that the primary sent");
            }
        };
        run(&[b"FUNCTION", b"FLUSH"]);
        for text in libraries {
            run(&[b"FUNCTION", b"LOAD", text]);
        }
    }

    /// Goes on with another database.
    pub(super) fn select(&mut self, db: usize) {
        self.session.select(db);
    }

    /// Whether somebody wants the link to end.
    pub(super) fn is_killed(&self) -> bool {
        self.session.client.is_killed()
    }

    /// Waits until somebody does.
    pub(super) async fn killed(&self) {
        poll_fn(|context| {
            self.session.client.register(context.waker());
            if self.is_killed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// How far we are, for the primary.
    pub(super) fn ack(&self) -> Vec<u8> {
        let node = self.executor.node();
        let offset = node.log.offset().to_string();
        let synced = node.aof.synced_offset().map(|offset| offset.to_string());
        let mut words: Vec<&[u8]> = vec![b"REPLCONF", b"ACK", offset.as_bytes()];
        if let Some(synced) = &synced {
            words.extend([b"FACK", synced.as_bytes()]);
        }
        let mut bytes = Vec::new();
        encode_command(&mut bytes, words.into_iter());
        bytes
    }

    /// Applies what is whole in `input`, and takes it out; tells whether there may be more.
    pub(super) fn run(
        &mut self,
        node: &Shared,
        epoch: u64,
        input: &mut Vec<u8>,
    ) -> Result<bool, LinkError> {
        self.executor.begin_turn();
        let settings = self.executor.settings();
        let max_bulk_bytes = BULK_BYTES.max(settings.proto_max_bulk_len_bytes as usize);
        let max_bytes = UNIT_BYTES.max(settings.client_query_buffer_limit_bytes as usize);
        let limits = Limits { max_bulk_bytes, ..Limits::DEFAULT };
        let started = node.clock.tick();
        let (mut applied, mut commands, mut more) = (0, 0, false);
        let result = loop {
            match self.step(epoch, &input[applied..], &limits) {
                Ok(None) => break Ok(()),
                Ok(Some(whole)) => applied += whole,
                Err(error) => break Err(error),
            }
            commands += 1;
            let is_over = commands % LOOK_COMMANDS == 0
                && node.clock.nanos_between(started, node.clock.tick()) > TURN_NANOS;
            if is_over {
                more = true;
                break Ok(());
            }
        };
        input.drain(..applied);
        if input.is_empty() && input.capacity() > KEPT_BYTES {
            *input = Vec::new();
            self.parser.shrink();
        }
        if commands > 0 {
            node.log.wake_readers();
            node.tracking.broadcast(node);
        }
        result?;
        if input.len() > max_bytes {
            return Err(LinkError::Protocol(format!("a command of more than {max_bytes} bytes")));
        }
        Ok(more)
    }

    /// Applies the next command; tells how many bytes at the front of `input` are done with, or
    /// nothing when there is no whole command.
    fn step(
        &mut self,
        epoch: u64,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, LinkError> {
        let next = &input[self.kept..];
        match next.first() {
            None => return Ok(None),
            Some(b'*' | b'\r' | b'\n') => {}
            Some(_) => {
                let text = "Master using the inline protocol. Desync?";
                return Err(LinkError::Protocol(text.to_owned()));
            }
        }
        let parsed = self.parser.parse(next, limits);
        let consumed = match parsed.map_err(|error| LinkError::Protocol(error.to_string()))? {
            Parsed::Incomplete => return Ok(None),
            Parsed::Empty { consumed } => {
                self.kept += consumed;
                return Ok(Some(0));
            }
            Parsed::Command { consumed } => consumed,
        };
        let args = self.parser.args(next);
        let end = self.kept + consumed;
        let is_open = self.session.transaction.is_open();
        let is = |word: &str| args.at(0).eq_ignore_ascii_case(word.as_bytes());
        let is_whole = if is_open { is("exec") || is("discard") } else { !is("multi") };
        let is_control = !is_open && (is("ping") || is("replconf"));
        let kind = if is_control { FrameKind::Control } else { FrameKind::Effect };
        let passage = Passage { bytes: &input[..end], kind, epoch };
        let followed = if is_control {
            self.owes_ack |= is("replconf") && args.at(1).eq_ignore_ascii_case(b"getack");
            self.executor.pass_over(&mut self.session, passage)
        } else {
            self.executor.follow(&mut self.session, args, is_whole.then_some(passage))
        };
        match followed {
            Followed::Done => {}
            Followed::Failed(error) => {
                tell(&mut self.errors, &error, args);
            }
            Followed::Obsolete => return Err(LinkError::Obsolete),
        }
        self.kept = if is_whole { 0 } else { end };
        Ok(Some(if is_whole { end } else { 0 }))
    }
}

/// Tells in the log that a command failed here that did not where it came from.
#[cold]
fn tell(errors: &mut u32, error: &CommandError, args: Args<'_>) {
    *errors += 1;
    if *errors <= TOLD_ERRORS {
        let command = String::from_utf8_lossy(args.at(0));
        let shown = args.skip(1).iter().take(SHOWN_ARGS);
        let shown = shown.map(|arg| arg[..arg.len().min(SHOWN_BYTES)].escape_ascii().to_string());
        let shown = shown.collect::<Vec<_>>().join(" ");
        tracing::error!(
            "== CRITICAL == This replica is sending an error to its master: '{error}' after \
             processing the command '{command}' of '{shown}'"
        );
    }
}

/// A session for what a primary sends.
fn session(node: &Shared, peer: Peer) -> Session {
    let client = Client::new(node.clients.next_id(), peer, -1, node.clock.unix_ms());
    client.is_primary.store(true, Ordering::Relaxed);
    let owner = Identity::of_owner(&node.acl.users);
    Session { may_block: false, applies: true, ..Session::new(Arc::new(client), owner) }
}
