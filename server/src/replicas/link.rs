//! The connection of one replica.
//!
//! It takes over when a connection has said PSYNC or SYNC. What it sends comes from the replica's feed
//! while a full sync lasts and from the log's backlog afterwards; it keeps a position, not a copy.
//! What it hears is REPLCONF ACK; a replica that asks for anything else is no replica.
//!
//! Whoever writes to the log wakes the link once for each batch. It then lets the thread's other
//! connections go first, so that all that they write leaves in one piece.

use super::{Replica, Stage, Wanted, sync};
use crate::connection::Thread;
use crate::dispatch::nested;
use crate::node::shared::Shared;
use crate::output::OutputBuffer;
use crate::session::Session;
use larder_protocol::encode::Output;
use larder_protocol::number::parse_i64;
use larder_protocol::{Args, Limits, Parsed, Parser};
use larder_replication::psync::{Reason, Request};
use larder_replication::{Piece, Reader};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes taken from the log at a time.
const TAKE_BYTES: usize = 256 * 1024;
/// News of fewer bytes wait until the thread's other connections have had their turn.
const SMALL_BYTES: u64 = 64 * 1024;
/// Bytes read at once: an ACK is some 50 bytes.
const READ_BYTES: usize = 4096;
/// What a replica may say: nothing longer than a REPLCONF.
const LIMITS: Limits = Limits {
    max_bulk_bytes: 16 * 1024,
    max_args: 64,
    max_inline_bytes: 1024,
    unauthenticated: false,
};

/// Serves a connection that became a replica's until either side ends it; `query` is what it sent
/// after its request.
///
/// # Errors
/// When the stream fails.
pub async fn serve<S>(
    stream: S,
    session: Session,
    query: Vec<u8>,
    thread: &Rc<Thread>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let node = thread.node();
    let Some((wanted, announced)) = session.follows() else { return Ok(()) };
    let acknowledges = matches!(wanted, Wanted::After { .. });
    let client = Arc::clone(&session.client);
    // What it subscribed to before is nothing that a replica is sent.
    node.stop_pushing(&client);
    client.is_replica.store(true, Ordering::Relaxed);
    let replica = Replica::new(client, announced, acknowledges, node.clock.unix_ms());
    let replica = Arc::new(replica);
    let attached = Attached { node: Arc::clone(&node), replica: Arc::clone(&replica) };
    end_older(&node, &replica);
    node.replicas.add(Arc::clone(&replica));
    let mut link = Link {
        stream,
        node,
        replica,
        thread: Rc::clone(thread),
        reader: None,
        parser: Parser::new(),
        query,
        output: OutputBuffer::default(),
        phase: Phase::Fed,
        has_begun: false,
        has_rested: false,
        is_over: false,
    };
    tracing::info!("Replica {} asks for synchronization", link.replica.name());
    link.begin(&wanted);
    let result = loop {
        match poll_fn(|context| link.poll_step(context)).await {
            Ok(Step::End) => break Ok(()),
            Ok(Step::Rest) => tokio::task::yield_now().await,
            Err(error) => break Err(error),
        }
    };
    tracing::info!("Connection with replica {} lost.", link.replica.name());
    drop(attached);
    result
}

/// Ends other links of the same member: it has one, the latest.
fn end_older(node: &Shared, replica: &Replica) {
    let Some(card) = &replica.announced.card else { return };
    for other in node.replicas.all() {
        if other.announced.card.as_ref().is_some_and(|other| other.node == card.node) {
            other.client.kill();
        }
    }
}

/// A replica that counts among the node's. A guard, since the link's task may be dropped.
struct Attached {
    node: Arc<Shared>,
    replica: Arc<Replica>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.replica.feed.close();
        self.node.replicas.remove(&self.replica);
        self.replica.detach(&self.node);
        self.node.count_replicas();
    }
}

struct Link<S> {
    stream: S,
    node: Arc<Shared>,
    replica: Arc<Replica>,
    thread: Rc<Thread>,
    reader: Option<Arc<Reader>>,
    parser: Parser,
    /// Bytes received of an incomplete command.
    query: Vec<u8>,
    output: OutputBuffer,
    phase: Phase,
    /// Whether the replica was sent something of a data set: an empty line would be a part of it.
    has_begun: bool,
    /// Whether the others had their turn since there was something to send.
    has_rested: bool,
    is_over: bool,
}

/// What comes next for the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What its feed has.
    Fed,
    /// Nothing until it says that it has loaded the data set.
    Loading,
    /// What the log has.
    Streaming,
}

enum Step {
    /// The link is over.
    End,
    /// The others go first.
    Rest,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Finds out how the replica goes on.
    fn begin(&mut self, wanted: &Wanted) {
        let (node, replica) = (&self.node, &self.replica);
        let Wanted::After { replid, offset } = wanted else { return self.begin_anew() };
        match node.log.resume(Request { replid, offset: *offset }) {
            Ok(reader) => {
                reader.set_limit(node.reader_limit());
                node.replicas.partial_syncs.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    "Partial resynchronization request from {} accepted. Sending {} bytes of \
                     backlog starting from offset {offset}.",
                    replica.name(),
                    node.log.offset().saturating_sub(reader.position()),
                );
                if replica.announced.takes_new_id {
                    let line = format!("+CONTINUE {}\r\n", node.log.replid());
                    self.output.put(line.as_bytes());
                } else {
                    self.output.put(b"+CONTINUE\r\n");
                }
                *replica.reader.lock() = Some(Arc::clone(&reader));
                self.go_online();
                self.phase = Phase::Streaming;
            }
            Err(reason) => {
                tell_refusal(node, replica, replid, *offset, reason);
                if reason != Reason::Wanted {
                    node.replicas.refused_syncs.fetch_add(1, Ordering::Relaxed);
                }
                self.begin_anew();
            }
        }
    }

    fn begin_anew(&mut self) {
        self.node.replicas.full_syncs.fetch_add(1, Ordering::Relaxed);
        self.node.gather(Arc::clone(&self.replica));
    }

    /// Reads, writes and fetches until nothing is left to do now.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        self.replica.client.register(context.waker());
        loop {
            if self.is_over || self.replica.client.is_killed() {
                return Poll::Ready(Ok(Step::End));
            }
            while let Poll::Ready(received) = self.poll_read(context) {
                if received? == 0 {
                    return Poll::Ready(Ok(Step::End));
                }
                self.hear();
                if self.is_over {
                    return Poll::Ready(Ok(Step::End));
                }
            }
            let before = self.output.len();
            let written = self.output.poll_write(&mut self.stream, context);
            self.count(before - self.output.len());
            match written {
                Poll::Ready(result) => result?,
                Poll::Pending => return Poll::Pending,
            }
            match self.fetch(context) {
                Fetched::Something => {}
                Fetched::Nothing => return Poll::Pending,
                Fetched::Little => return Poll::Ready(Ok(Step::Rest)),
                Fetched::End => {
                    self.is_over = true;
                    // What is left is sent when the stream takes it at once.
                    let _ = self.output.poll_write(&mut self.stream, context);
                }
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.query.extend_from_slice(buffer.filled());
        let received = buffer.filled().len();
        self.replica.client.net_in_bytes.add(received as u64);
        Poll::Ready(Ok(received))
    }

    fn count(&self, sent: usize) {
        if sent > 0 {
            let (replica, node) = (&self.replica, &self.node);
            replica.client.net_out_bytes.add(sent as u64);
            node.replicas.sent_bytes.fetch_add(sent as u64, Ordering::Relaxed);
            if self.phase != Phase::Streaming {
                replica.took(node.clock.unix_ms());
            }
        }
    }
}

/// What there was to be sent.
enum Fetched {
    /// It is in the output.
    Something,
    /// Nothing now.
    Nothing,
    /// So little that it waits for more.
    Little,
    /// Nothing any more.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Moves what comes next into the empty output.
    fn fetch(&mut self, context: &Context<'_>) -> Fetched {
        match self.phase {
            Phase::Fed => self.fetch_fed(),
            Phase::Loading => Fetched::Nothing,
            Phase::Streaming => self.fetch_logged(context),
        }
    }

    fn fetch_fed(&mut self) -> Fetched {
        match self.replica.feed.next() {
            sync::Next::Chunk(chunk) => {
                self.has_begun = true;
                self.output.put_shared(chunk);
            }
            sync::Next::Nothing => {
                let is_due = self.replica.is_due_for_newline.swap(false, Ordering::Relaxed);
                let is_early = match self.replica.announced.takes_mark {
                    true => !self.has_begun,
                    false => self.replica.stage() == Stage::Waits,
                };
                if !is_due || !is_early {
                    return Fetched::Nothing;
                }
                self.output.put(b"\n");
            }
            sync::Next::Broken => return Fetched::End,
            sync::Next::Whole if self.replica.announced.only_data => {
                tracing::info!(
                    "RDB transfer completed, rdb only replica ({})",
                    self.replica.name()
                );
                return Fetched::End;
            }
            sync::Next::Whole => {
                tracing::info!("Synchronization with replica {} succeeded", self.replica.name());
                // One that was told the size knows where the stream begins; another one says so.
                let knows = self.replica.stage() == Stage::Takes;
                self.phase = if knows { Phase::Streaming } else { Phase::Loading };
                self.go_online();
            }
        }
        Fetched::Something
    }

    fn go_online(&mut self) {
        // Who leads no more in the epoch for which it was let in sends it nothing.
        let card = self.replica.announced.card.as_ref();
        self.is_over |= match (self.node.member(), card) {
            (Some(member), Some(card)) => member.is_obsolete(card) || member.leads().is_none(),
            _ => false,
        };
        self.reader = self.replica.reader.lock().clone();
        self.replica.heard_ms.store(self.node.clock.unix_ms(), Ordering::Relaxed);
        self.replica.set_stage(Stage::Online);
        self.node.count_replicas();
    }

    fn fetch_logged(&mut self, context: &Context<'_>) -> Fetched {
        let Some(reader) = &self.reader else { return Fetched::End };
        if reader.is_cut() {
            return self.cut();
        }
        let news = || self.node.log.offset().saturating_sub(reader.position());
        if news() == 0 {
            self.has_rested = false;
            reader.register(context.waker());
            // What came before it was registered woke nobody.
            if news() == 0 && !reader.is_cut() {
                return Fetched::Nothing;
            }
        }
        // As soon as there is something: from here on the replica is late.
        self.node.replicas.timeline.note(self.node.log.offset(), self.node.clock.unix_ms());
        if news() < SMALL_BYTES && !std::mem::replace(&mut self.has_rested, true) {
            return Fetched::Little;
        }
        self.output.borrow_from(&mut self.thread.output());
        let output = &mut self.output;
        let is_there = self.node.log.read(reader, TAKE_BYTES, |piece| match piece {
            Piece::Shared(bytes) => output.put_shared(bytes),
            Piece::Latest(bytes) => output.put(bytes),
        });
        if is_there { Fetched::Something } else { self.cut() }
    }

    fn cut(&self) -> Fetched {
        let behind = self.replica.behind_bytes(&self.node);
        tracing::warn!(
            behind,
            "closing the link of replica {}: it is too slow, or has another history now",
            self.replica.name()
        );
        Fetched::End
    }
}

/// Hearing.
impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Takes what the replica said.
    fn hear(&mut self) {
        let now_ms = self.node.clock.unix_ms();
        self.replica.client.last_active_ms.store(now_ms, Ordering::Relaxed);
        let query = std::mem::take(&mut self.query);
        let mut at = 0;
        while at < query.len() && !self.is_over {
            match self.parser.parse(&query[at..], &LIMITS) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Empty { consumed }) => {
                    self.replica.heard_ms.store(now_ms, Ordering::Relaxed);
                    at += consumed;
                }
                Ok(Parsed::Command { consumed }) => {
                    if !heed(&self.node, &self.replica, self.parser.args(&query[at..]), now_ms) {
                        self.is_over = true;
                    }
                    at += consumed;
                }
                Err(error) => {
                    tracing::warn!(%error, "closing a replica's link");
                    self.is_over = true;
                }
            }
        }
        self.query = query;
        self.query.drain(..at);
        if self.phase == Phase::Loading && self.replica.has_loaded.load(Ordering::Relaxed) {
            self.phase = Phase::Streaming;
        }
    }
}

/// Heeds one command of a replica; false when it is none that a replica says.
fn heed(node: &Shared, replica: &Replica, args: Args<'_>, now_ms: i64) -> bool {
    let is = |at: usize, word: &str| {
        args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    // Asked for again, and ignored, as in Redis.
    if is(0, "psync") || is(0, "sync") {
        return true;
    }
    if is(0, "replconf") && args.len() % 2 == 1 && (is(1, "ack") || is(1, "getack")) {
        if is(1, "ack")
            && let Some(offset) = offset(args.at(2))
        {
            let known = node.log.offset();
            // Nobody has more than there is.
            replica.acked.fetch_max(offset.min(known), Ordering::Relaxed);
            node.replicas.timeline.note(known, now_ms);
            let lag_ms = node.replicas.timeline.behind_ms(replica.acked(), now_ms);
            replica.lag_ms.store(lag_ms, Ordering::Relaxed);
            if is(3, "fack")
                && let Some(offset) = self::offset(args.at(4))
            {
                replica.synced.fetch_max(offset.min(known), Ordering::Relaxed);
            }
            replica.has_answered.store(true, Ordering::Release);
            replica.heard_ms.store(now_ms, Ordering::Relaxed);
            replica.has_loaded.store(true, Ordering::Relaxed);
            node.replicas.serve_acks(node);
            node.count_replicas();
        }
        return true;
    }
    let found = nested::find(node, args).ok();
    let command = found.map_or_else(
        || String::from_utf8_lossy(args.at(0)).to_lowercase().escape_debug().to_string(),
        |found| found.full_name.to_owned(),
    );
    if found.is_some_and(|found| !found.row.keys.is_empty()) {
        tracing::error!(
            "== CRITICAL == This master is sending an error to its replica: '-ERR Replica can't \
             interact with the keyspace' after processing the command '{command}'"
        );
    }
    tracing::warn!(
        "Replica generated a reply to command '{command}', disconnecting it: {}",
        replica.name()
    );
    false
}

fn offset(arg: &[u8]) -> Option<u64> {
    parse_i64(arg).map(|offset| offset.max(0) as u64)
}

/// Tells why a replica must begin anew.
fn tell_refusal(node: &Shared, replica: &Replica, replid: &[u8], offset: i64, reason: Reason) {
    let name = replica.name();
    let asked = String::from_utf8_lossy(replid);
    let asked = asked.escape_debug();
    let history = node.log.history();
    match reason {
        Reason::Wanted => tracing::info!("Full resync requested by replica {name}"),
        Reason::OtherHistory => {
            let former =
                history.former.map(|(id, _)| id).unwrap_or(larder_replication::ReplicationId::NONE);
            tracing::info!(
                "Partial resynchronization not accepted: Replication ID mismatch (Replica asked \
                 for '{asked}', my replication IDs are '{}' and '{former}')",
                history.replid
            );
        }
        Reason::BeyondFork => tracing::info!(
            "Partial resynchronization not accepted: Requested offset for second ID was {offset}, \
             but I can reply up to {}",
            history.former.map_or(0, |(_, offset)| offset)
        ),
        Reason::OutOfBacklog => tracing::info!(
            "Unable to partial resync with replica {name} for lack of backlog (Replica request \
             was: {offset})."
        ),
    }
}
