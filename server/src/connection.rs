//! One connection: read what is there, run all of it, write once.
//!
//! The task of a connection is one poll function without inner awaits. It reads into a buffer that
//! its thread shares among all connections, runs every complete command, and writes the replies, once
//! its neighbours have run theirs, from a buffer that its thread lends it; only what is incomplete or
//! unsent moves into the connection's own memory. An idle connection therefore holds no buffer at all.
//!
//! Reading goes on while replies wait for a slow client, as in Redis, so a client that writes its
//! whole pipeline before it reads does not deadlock; the output limit ends it if it never reads.
//! A long pipeline gives way to the thread's other connections after a bounded piece of work.

mod fenced;
mod parked;
mod unsynced;

use crate::acl::check;
use crate::config::WriteAcks;
use crate::dispatch::{Executor, Flow};
use crate::held::HeldReplies;
use crate::node::balance::Load;
use crate::node::clients::{Client, over_free_output};
use crate::node::member::Fence;
use crate::node::member::relay::{Onward, Passenger, Relay};
use crate::node::member::ticket::Ticket;
use crate::node::shared::Shared;
use crate::output::{OutputBuffer, SpareBuffers};
use crate::replicas::Replica;
use crate::session::{ReplyMode, Session};
use larder_protocol::encode::Output;
use larder_protocol::{Limits, Parsed, Parser};
use parked::Parked;
use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use unsynced::Unsynced;

/// Bytes read at once: a pipeline of hundreds of small commands, and a quarter of a core's L2 cache.
const READ_BYTES: usize = 64 * 1024;
/// Commands of one connection before its neighbours get their turn.
const TURN_COMMANDS: u64 = 512;
/// Nanoseconds of one connection's commands before its neighbours get their turn.
const TURN_NANOS: u64 = 500_000;
/// Reply bytes after which they are written before further commands run.
const FLUSH_BYTES: usize = 256 * 1024;
/// A client that has not authenticated may have this many reply bytes waiting (CVE-2025-21605).
const UNAUTHENTICATED_OUTPUT_BYTES: usize = 1024;
/// A client that has not authenticated may send this much of an incomplete command, as in Redis.
const UNAUTHENTICATED_QUERY_BYTES: usize = 1024 * 1024;
/// How long a stopping node waits for replies to reach their clients.
const DRAIN: Duration = Duration::from_millis(100);

/// What the connections of one thread share.
pub struct Thread {
    executor: RefCell<Executor>,
    input: RefCell<Vec<u8>>,
    output: RefCell<SpareBuffers>,
    load: Arc<Load>,
}

impl Thread {
    /// The shared part of a new thread.
    pub fn new(executor: Executor, load: Arc<Load>) -> Self {
        Self {
            executor: RefCell::new(executor),
            input: RefCell::new(vec![0; READ_BYTES]),
            output: RefCell::default(),
            load,
        }
    }

    /// The thread's executor; never kept across an await.
    pub fn executor(&self) -> RefMut<'_, Executor> {
        self.executor.borrow_mut()
    }

    /// Buffers for what the thread's connections send; never kept across an await.
    pub fn output(&self) -> RefMut<'_, SpareBuffers> {
        self.output.borrow_mut()
    }

    /// What the thread shows of itself.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The node.
    pub fn node(&self) -> Arc<Shared> {
        Arc::clone(self.executor.borrow().node())
    }
}

/// Gives the connections of a stopping node a moment to send what they have.
pub async fn drain(node: &Shared) {
    // Those whose replies are about to leave have their turn first.
    tokio::task::yield_now().await;
    let waits = |client: &Arc<Client>| {
        client.waiting_bytes() > 0 || client.is_relayed.load(Ordering::Relaxed)
    };
    let lags = |replica: &Arc<Replica>| replica.is_online() && replica.behind_bytes(node) > 0;
    let emptied = async {
        while node.clients.all().iter().any(waits) || node.replicas.all().iter().any(lags) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Whoever does not read within the time loses the rest, as with any server that ends.
    let _ = tokio::time::timeout(DRAIN, emptied).await;
}

/// How serving a byte stream came to an end.
pub enum Served<S> {
    /// One side ended it.
    Ended,
    /// Another thread shall go on; nothing is in flight.
    Surplus(S, Box<Session>),
    /// It is a replica's link from here on, which sent this after its request.
    Follows(S, Box<Session>, Vec<u8>),
    /// It goes on at another node.
    Leaves(Passenger<S>),
}

/// Serves a byte stream until either side ends it, or the thread has a connection too many.
///
/// # Errors
/// When the stream fails; a client that goes away is no error.
pub async fn serve<S>(stream: S, session: Session, thread: &Rc<Thread>) -> io::Result<Served<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    serve_on(stream, session, Vec::new(), thread).await
}

/// The same where some bytes of the stream were received before.
///
/// # Errors
/// When the stream fails; a client that goes away is no error.
pub async fn serve_on<S>(
    stream: S,
    session: Session,
    query: Vec<u8>,
    thread: &Rc<Thread>,
) -> io::Result<Served<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection {
        stream,
        session,
        parser: Parser::new(),
        more: !query.is_empty(),
        query,
        output: OutputBuffer::default(),
        held: HeldReplies::default(),
        unsynced: Unsynced::default(),
        fence: Fence::default(),
        holds_replies: false,
        thread: Rc::clone(thread),
        node: thread.node(),
        registered: None,
        buffers_count: false,
    };
    connection.account(connection.session.client.fixed_bytes);
    let end = connection.run().await;
    connection.end_watches(&end).await;
    Ok(match end? {
        End::Over => Served::Ended,
        End::Surplus => Served::Surplus(connection.stream, Box::new(connection.session)),
        End::Follows => {
            let (session, query) = (Box::new(connection.session), connection.query);
            Served::Follows(connection.stream, session, query)
        }
        End::Leaves(relay, ticket) => {
            let (session, query) = (Box::new(connection.session), connection.query);
            Served::Leaves(Passenger { stream: connection.stream, session, query, relay, ticket })
        }
    })
}

struct Connection<S> {
    stream: S,
    session: Session,
    parser: Parser,
    /// Bytes received and not yet consumed; empty while all commands were complete.
    query: Vec<u8>,
    output: OutputBuffer,
    held: HeldReplies,
    unsynced: Unsynced,
    fence: Fence,
    /// Whether any of these three may hold something back.
    holds_replies: bool,
    thread: Rc<Thread>,
    node: Arc<Shared>,
    /// Whether `query` may hold complete commands.
    more: bool,
    /// The waker that the client is known to wake.
    registered: Option<Waker>,
    /// Whether the node's memory counts buffers of this connection.
    buffers_count: bool,
}

/// How far a turn got.
struct Progress {
    consumed: usize,
    commands: u64,
    flow: Flow,
}

/// Why a connection's task comes to an end.
enum End {
    /// One side ended the connection.
    Over,
    /// Another thread shall serve it.
    Surplus,
    /// It goes on as a replica's link.
    Follows,
    /// It goes on at the new primary.
    Leaves(Arc<Relay>, Box<Ticket>),
}

/// Why a poll of the connection came to an end.
enum Step {
    /// The task is done.
    End(End),
    /// CLIENT PAUSE or a slow disk holds the next command back.
    Paused,
    /// A command waits for a key.
    Parked(Parked),
    /// There are more commands, but it is the neighbours' turn.
    Yield,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> io::Result<End> {
        let node = Arc::clone(&self.node);
        loop {
            match poll_fn(|context| self.poll_step(context)).await? {
                Step::End(end) => return Ok(end),
                // Not a mere wake-up: the runtime then looks for events before it comes back here.
                Step::Yield => tokio::task::yield_now().await,
                Step::Paused => {
                    self.session.client.blocked.store(true, Ordering::Relaxed);
                    let mut resumed = pin!(node.resumed());
                    // The client may be killed, the node may end, replies may be sent meanwhile.
                    let end =
                        poll_fn(|context| self.poll_paused(context, resumed.as_mut())).await?;
                    self.session.client.blocked.store(false, Ordering::Relaxed);
                    if end {
                        return Ok(End::Over);
                    }
                    self.more = true;
                }
                Step::Parked(mut parked) => {
                    let mut time_out = pin!(parked.time_out());
                    let ended = poll_fn(|context| {
                        self.poll_parked(context, &parked.waiter, time_out.as_mut())
                    });
                    let ended = ended.await;
                    parked.leave().await;
                    let Some(ended) = ended? else { return Ok(End::Over) };
                    self.resume(parked, &ended);
                }
            }
        }
    }

    /// Reads, runs and writes until nothing is left to do now.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        self.session.client.set_at_rest(false);
        loop {
            if self.is_told_to_end(context) {
                return Poll::Ready(Ok(Step::End(End::Over)));
            }
            // A connection that ends does not wait for messages to cease.
            let sent = match self.session.closing {
                true => self.poll_flush(context),
                false => self.poll_send(context),
            };
            let flushed = sent?.is_ready();
            if self.session.closing {
                let end = if self.session.follows_now() { End::Follows } else { End::Over };
                return if flushed { Poll::Ready(Ok(Step::End(end))) } else { Poll::Pending };
            }
            if flushed && self.node.member().is_some() {
                match self.node.onward(&self.session, !self.query.is_empty()) {
                    Onward::Stay => {}
                    Onward::Go(relay, ticket) => {
                        return Poll::Ready(Ok(Step::End(End::Leaves(relay, ticket))));
                    }
                    Onward::End => return Poll::Ready(Ok(Step::End(End::Over))),
                }
            }
            let at_rest = flushed && self.query.is_empty();
            if at_rest && self.thread.load.take_surplus() {
                return Poll::Ready(Ok(Step::End(End::Surplus)));
            }
            let received = if self.more {
                0
            } else {
                match ready!(self.poll_receive(flushed, context))? {
                    // It says no more, and may still wait for replies that wait for replicas.
                    0 if self.holds_replies => {
                        self.session.closing = true;
                        continue;
                    }
                    0 => return Poll::Ready(Ok(Step::End(End::Over))),
                    received => received,
                }
            };
            match self.run_commands(received) {
                Flow::Done => {}
                Flow::Postponed => return Poll::Ready(Ok(Step::Paused)),
                Flow::Parked(waiter) => {
                    return Poll::Ready(Ok(Step::Parked(Parked::new(
                        &self.node,
                        &self.session,
                        waiter,
                    ))));
                }
            }
            // Commands are left, or most likely bytes in the socket.
            let is_unfinished = self.more || received == READ_BYTES;
            if !is_unfinished && !self.output.is_empty() {
                // Replies leave when the other connections that are ready have had their turn: a
                // client that waits for several of them is woken once, not for each, and waking
                // somebody costs as much as a short pipeline.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_unfinished {
                if let Poll::Ready(result) = self.poll_flush(context) {
                    result?;
                }
                return Poll::Ready(Ok(Step::Yield));
            }
        }
    }

    /// Whether the connection was killed; makes sure that it is woken when it is.
    #[inline]
    fn is_told_to_end(&mut self, context: &Context<'_>) -> bool {
        let client = &self.session.client;
        // A task keeps its waker, so this is done once.
        if !self.registered.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            client.register(context.waker());
            self.registered = Some(context.waker().clone());
        }
        client.is_killed()
    }

    /// Writes what waits, and then what waits in the mailbox; ready when nothing is left.
    #[inline]
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.take_mail();
            ready!(self.poll_flush(context))?;
            if self.session.client.mailbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Adds what the client is told unasked to the output, unless the socket is behind: what waits
    /// in the mailbox is shared with others, what waits in the output is a copy.
    #[inline]
    fn take_mail(&mut self) {
        if !self.session.client.mailbox.is_empty()
            && self.session.client.output_bytes.load(Ordering::Relaxed) == 0
        {
            self.move_mail(u64::MAX);
        }
    }

    /// The same for what was told before a place, whatever the socket does.
    fn move_mail(&mut self, place: u64) {
        if self.session.client.mailbox.is_empty() {
            return;
        }
        let now_ms = self.node.clock.unix_ms();
        self.session.client.last_active_ms.store(now_ms, Ordering::Relaxed);
        let thread = Rc::clone(&self.thread);
        self.output.borrow_from(&mut thread.output.borrow_mut());
        let (node, output) = (&self.node, &mut self.output);
        let take = |message| output.put_shared(message);
        node.take_mail_before(&self.session.client, place, take);
    }

    /// Reads; until something comes, the connection is at rest if all it has was sent.
    #[inline]
    fn poll_receive(
        &mut self,
        flushed: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let received = self.poll_read(context);
        if flushed && received.is_pending() {
            self.session.client.set_at_rest(true);
        }
        received
    }

    #[inline]
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut input = self.thread.input.borrow_mut();
        let mut buffer = ReadBuf::new(&mut input);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes what waits; ready when nothing is left.
    #[inline]
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.is_sent() {
            return Poll::Ready(Ok(()));
        }
        if self.holds_replies {
            self.let_go();
        }
        let before = self.output.len();
        let result = self.output.poll_write(&mut self.stream, context);
        let sent = before - self.output.len();
        {
            let executor = self.thread.executor.borrow();
            executor.stats().net_output_bytes.add(sent as u64);
            executor.stats().writes.add(1);
        }
        let client = &self.session.client;
        client.net_out_bytes.add(sent as u64);
        if result.is_ready() {
            self.output.give_back(&mut self.thread.output.borrow_mut());
        }
        if !self.output.is_empty() || client.output_bytes.load(Ordering::Relaxed) > 0 {
            self.keep_output(sent > 0);
        }
        result
    }

    /// Counts the output that the socket did not take, unless it is too much or there too long.
    fn keep_output(&mut self, took_some: bool) {
        let thread = Rc::clone(&self.thread);
        let executor = thread.executor.borrow();
        let limits = &executor.settings().client_output_buffer_limit;
        let limit = self.session.client.output_limit(limits);
        let waiting = self.output.len() + self.session.client.mailbox.waiting_bytes();
        let stranger =
            self.session.identity.is_stranger() && self.output.len() > UNAUTHENTICATED_OUTPUT_BYTES;
        // The executor's time is that of the thread's last command.
        let now_ms = self.node.clock.unix_ms();
        if stranger || self.session.client.is_over(limit, waiting, now_ms) {
            self.drop_output(&executor);
        }
        let client = &self.session.client;
        if took_some {
            client.last_active_ms.store(now_ms, Ordering::Relaxed);
        }
        client.output_bytes.store(self.output.len(), Ordering::Relaxed);
        self.count_memory(&executor);
    }

    /// Ends a connection with too much output. That frees the output at once, so that no other
    /// client is evicted on its account.
    fn drop_output(&mut self, executor: &Executor) {
        let (id, bytes) = (self.session.client.id, self.output.len());
        tracing::warn!(id, bytes, "closing a client over its output buffer limit");
        executor.stats().output_limit_disconnections.add(1);
        self.output = OutputBuffer::default();
        self.session.client.kill();
    }

    /// Runs the commands in the query buffer and in the `received` bytes of the thread's input.
    fn run_commands(&mut self, received: usize) -> Flow {
        let thread = Rc::clone(&self.thread);
        let input = thread.input.borrow();
        let mut executor = thread.executor.borrow_mut();
        self.node.rest.end();
        executor.begin_turn();
        executor.evict_clients();
        self.session.transaction.learn(&self.session.client);
        if self.session.client.is_killed() {
            return Flow::Done;
        }
        self.output.borrow_from(&mut thread.output.borrow_mut());

        let own = !self.query.is_empty();
        let mut query = std::mem::take(&mut self.query);
        if own {
            make_room(&mut query, received, self.parser.missing());
            query.extend_from_slice(&input[..received]);
        }
        let bytes = if own { &query[..] } else { &input[..received] };
        let begin = self.output.end();
        let Progress { consumed: at, commands, flow } = self.run_all(bytes, &mut executor);
        self.hold_for_disk(begin);
        self.node.tracking.broadcast(&self.node);
        self.node.log.wake_readers();
        if own {
            if at == query.len() {
                // Whatever it grew to, an idle connection holds no buffer.
                query = Vec::new();
                self.parser.shrink();
            } else if at > 0 {
                query.drain(..at);
            }
            self.query = query;
        } else if at < received {
            self.query = input[at..received].to_vec();
        }
        self.check_query_limit(&executor);
        self.tell(&executor, received, commands);
        flow
    }

    fn check_query_limit(&self, executor: &Executor) {
        if self.is_over_query_limit(executor) {
            executor.stats().query_limit_disconnections.add(1);
            let id = self.session.client.id;
            tracing::warn!(id, "closing a client over its query buffer limit");
            self.session.client.kill();
        }
    }

    /// Runs the complete commands at the beginning of `bytes`, up to the end of the turn.
    #[inline]
    fn run_all(&mut self, bytes: &[u8], executor: &mut Executor) -> Progress {
        let (mut at, mut commands, mut flow) = (0, 0, Flow::Done);
        self.more = false;
        // The default user may need no password any more since the client connected.
        check::refresh(&self.node, &mut self.session);
        let mut limits = limits(executor, &self.session);
        let holds =
            executor.settings().write_acks != WriteAcks::Primary || self.node.member().is_some();
        while at < bytes.len() {
            match self.parser.parse(&bytes[at..], &limits) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Empty { consumed }) => at += consumed,
                Ok(Parsed::Command { consumed }) => {
                    let args = self.parser.args(&bytes[at..]);
                    let before = (self.output.end(), self.session.written_to);
                    flow = executor.execute(&mut self.session, args, &mut self.output);
                    if holds {
                        self.hold_back(before, executor);
                    }
                    if matches!(flow, Flow::Postponed) {
                        // Parsed again from its first byte when the pause ends.
                        self.parser = Parser::new();
                        self.show_command(executor);
                        break;
                    }
                    at += consumed;
                    commands += 1;
                    if matches!(flow, Flow::Parked(_)) {
                        break;
                    }
                    if self.session.closing {
                        break;
                    }
                    if limits.unauthenticated != self.session.identity.is_stranger() {
                        limits = self::limits(executor, &self.session);
                    }
                    if self.is_over_output_limit(executor) {
                        self.drop_output(executor);
                        break;
                    }
                    // A stranger's replies are written before they pass its limit; if the stream
                    // does not take them, it goes.
                    let flush_bytes = if limits.unauthenticated {
                        UNAUTHENTICATED_OUTPUT_BYTES
                    } else if holds {
                        // To write them is not for this connection to decide.
                        usize::MAX
                    } else {
                        FLUSH_BYTES
                    };
                    if commands >= TURN_COMMANDS
                        || executor.turn_nanos() >= TURN_NANOS
                        || self.output.len() >= flush_bytes
                    {
                        self.more = at < bytes.len();
                        break;
                    }
                }
                Err(error) => {
                    self.output.error(&error);
                    executor.stats().error_replies.add(1);
                    self.session.closing = true;
                    at = bytes.len();
                }
            }
        }
        Progress { consumed: at, commands, flow }
    }

    /// Lets others see what this connection did.
    #[inline]
    fn tell(&mut self, executor: &Executor, received: usize, commands: u64) {
        if received > 0 {
            executor.stats().net_input_bytes.add(received as u64);
            executor.stats().reads.add(1);
        }
        let client = &self.session.client;
        client.last_active_ms.store(executor.now_ms(), Ordering::Relaxed);
        client.net_in_bytes.add(received as u64);
        client.commands.add(commands);
        if commands > 0 {
            executor.stats().turns.note(executor.turn_nanos(), commands);
            self.show_command(executor);
        }
        let transaction = client.transaction_bytes.load(Ordering::Relaxed) > 0;
        if self.query.capacity() > 0 || self.buffers_count || transaction {
            let (understood, arg_bytes) = self.parser.progress();
            let (len, capacity) = (self.query.len(), self.query.capacity());
            client.query_bytes.store(len.saturating_sub(understood), Ordering::Relaxed);
            client.query_capacity_bytes.store(capacity - understood.min(len), Ordering::Relaxed);
            client.arg_bytes.store(arg_bytes, Ordering::Relaxed);
            self.count_memory(executor);
        }
    }

    /// Lets others see which command was the last, and whether the next has a reply.
    #[inline]
    fn show_command(&self, executor: &Executor) {
        let last = executor.last_command().map_or(0, |last| last.id as u32 + 1);
        let client = &self.session.client;
        client.last_command.store(last, Ordering::Relaxed);
        client.is_quiet.store(self.session.reply_mode != ReplyMode::On, Ordering::Relaxed);
    }

    /// Brings what the node counts for this connection up to date.
    fn count_memory(&mut self, executor: &Executor) {
        let transaction_bytes = self.session.client.transaction_bytes.load(Ordering::Relaxed);
        let buffers = self.query.capacity() + self.output.len() + transaction_bytes;
        self.buffers_count = buffers > 0;
        if self.account(self.session.client.fixed_bytes + buffers + self.parser.memory_bytes()) > 0
        {
            executor.evict_clients();
        }
    }

    fn account(&self, bytes: usize) -> i64 {
        let change = self.node.clients.account(&self.session.client, bytes);
        self.node.keyspace.memory().add_buffers(change);
        change
    }

    fn is_over_query_limit(&self, executor: &Executor) -> bool {
        let limit = if self.session.identity.is_stranger() {
            UNAUTHENTICATED_QUERY_BYTES
        } else {
            executor.settings().client_query_buffer_limit_bytes as usize
        };
        let queued_bytes = self.session.transaction.queued_bytes();
        self.query.len() + self.parser.memory_bytes() + queued_bytes > limit
    }

    /// Whether so much output waits that the connection ends even before it is written.
    #[inline]
    fn is_over_output_limit(&self, executor: &Executor) -> bool {
        let limits = &executor.settings().client_output_buffer_limit;
        let hard_bytes = self.session.client.output_limit(limits).hard_bytes;
        hard_bytes > 0 && over_free_output(self.output.len()) >= hard_bytes
    }
}

/// Makes room for `received` more bytes of an incomplete command.
///
/// A large argument gets a buffer of its size: not at once, since its length is only a claim, but
/// in steps that double what has arrived. Without a large argument the buffer grows as any vector.
fn make_room(query: &mut Vec<u8>, received: usize, missing: Option<usize>) {
    let free = query.capacity() - query.len();
    match missing {
        Some(missing) if missing > received && free < received => {
            let len = query.len();
            // A last step that is a little more than a doubling spares another one.
            let step = if missing <= len + len / 4 { missing } else { len };
            query.reserve_exact(step.max(received));
        }
        _ => query.reserve(received),
    }
}

/// The limits that this connection's requests are held to now.
#[inline]
fn limits(executor: &Executor, session: &Session) -> Limits {
    if session.identity.is_stranger() {
        Limits::UNAUTHENTICATED
    } else {
        let max_bulk_bytes = executor.settings().proto_max_bulk_len_bytes as usize;
        Limits { max_bulk_bytes, ..Limits::DEFAULT }
    }
}

#[cfg(test)]
mod tests;
