//! The answering side: connections of other members, and a handler for what they ask.
//!
//! Who does not prove in time that it is a member is dropped without a word. Handshakes, connections
//! and requests in work are bounded in number; a connection on which nothing is heard, not even a
//! ping, is given up, and a member's new connection takes the place of its older one. A handler that
//! was begun is run to its end, whatever becomes of the connection.

use super::frame::{Frame, Kind, MAX_PAYLOAD_BYTES, Opener, Sealer};
use super::handshake::{Answerer, HELLO_HEAD_BYTES, Keys, PROOF_BYTES, Secret, names_bytes};
use super::{Accept, BoxFuture, LinkError, Stream};
use crate::group::config::NodeId;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What is read at a time.
const READ_BYTES: usize = 8 * 1024;

/// After an error of accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers what a member asks.
pub type Handler = Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenLimits {
    /// Longest that a caller takes to prove itself.
    pub handshake: Duration,
    /// Handshakes under way at a time.
    pub handshakes: usize,
    /// Connections at a time, those that are still in their handshake not counted.
    pub connections: usize,
    /// Requests of one connection in work at a time.
    pub requests: usize,
    /// After so long without any frame a connection is given up. Callers ping more often than that.
    pub silence: Duration,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(2),
            handshakes: 32,
            connections: 64,
            requests: 128,
            silence: Duration::from_secs(10),
        }
    }
}

/// The answering side of one member.
#[derive(Clone)]
pub struct LinkListener(Arc<Listening>);

struct Listening {
    me: NodeId,
    secret: Secret,
    handler: Handler,
    limits: ListenLimits,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// The connection of each member; the older one ends when its place is taken.
    members: Mutex<HashMap<NodeId, (u64, oneshot::Sender<()>)>>,
    last_connection: AtomicU64,
}

impl LinkListener {
    /// Answers for `me`.
    pub fn new(me: NodeId, secret: Secret, handler: Handler, limits: ListenLimits) -> Self {
        Self(Arc::new(Listening {
            me,
            secret,
            handler,
            limits,
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            members: Mutex::default(),
            last_connection: AtomicU64::new(0),
        }))
    }

    /// Serves a listening socket until the future is dropped, and its connections with it.
    pub async fn serve(&self, listener: TcpListener, accept: Arc<dyn Accept>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                    Ok((socket, peer)) => {
                        // Beyond the bound nobody is heard at all.
                        let Ok(permit) = self.0.handshakes.clone().try_acquire_owned() else {
                            continue;
                        };
                        let accept = accept.clone();
                        let prepare = async move { accept.accept(socket, peer).await };
                        connections.spawn(self.clone().welcome(prepare, permit));
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves one connection to its end.
    pub async fn attend<S: Stream>(&self, stream: S) {
        if let Ok(permit) = self.0.handshakes.clone().try_acquire_owned() {
            self.clone().welcome(async move { Ok(stream) }, permit).await;
        }
    }

    /// From a bare connection to its end. Whoever fails learns nothing but that.
    async fn welcome<S: Stream>(
        self,
        prepare: impl Future<Output = std::io::Result<S>>,
        handshake: OwnedSemaphorePermit,
    ) {
        let met = async {
            let mut stream = prepare.await?;
            let (from, keys) = meet(&mut stream, &self.0.secret, &self.0.me).await?;
            Ok::<_, LinkError>((stream, from, keys))
        };
        let Ok(Ok((stream, from, keys))) = timeout(self.0.limits.handshake, met).await else {
            return;
        };
        drop(handshake);
        let Ok(_connection) = self.0.connections.clone().try_acquire_owned() else { return };
        let number = self.0.last_connection.fetch_add(1, Ordering::Relaxed) + 1;
        let (place, replaced) = oneshot::channel();
        self.0.members.lock().insert(from.clone(), (number, place));
        let _left = Left { listening: &self.0, from: from.clone(), number };
        tokio::select! {
            _ = replaced => {}
            _ = self.0.serve(stream, from, keys) => {}
        }
    }
}

/// A connection's place among the members', given up with the connection.
struct Left<'a> {
    listening: &'a Listening,
    from: NodeId,
    number: u64,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let mut members = self.listening.members.lock();
        if members.get(&self.from).is_some_and(|(number, _)| *number == self.number) {
            members.remove(&self.from);
        }
    }
}

/// The answerer's side of a handshake.
async fn meet<S: Stream>(
    stream: &mut S,
    secret: &Secret,
    me: &NodeId,
) -> Result<(NodeId, Keys), LinkError> {
    let mut hello = vec![0; HELLO_HEAD_BYTES];
    stream.read_exact(&mut hello).await?;
    // Two lengths of one byte each.
    hello.resize(HELLO_HEAD_BYTES + names_bytes(&hello)?, 0);
    stream.read_exact(&mut hello[HELLO_HEAD_BYTES..]).await?;
    let mut nonce = [0; PROOF_BYTES];
    getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
    let answerer = Answerer::hear(secret, me, &hello, nonce)?;
    stream.write_all(answerer.challenge()).await?;
    stream.flush().await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    let (from, own, keys) = answerer.check(&proof)?;
    stream.write_all(&own).await?;
    stream.flush().await?;
    Ok((from, keys))
}

/// An answer that is to be sent, and the place of its request among those in work.
type Outgoing = (Kind, u64, Bytes, Option<OwnedSemaphorePermit>);

impl Listening {
    async fn serve<S: Stream>(&self, stream: S, from: NodeId, keys: Keys) -> Result<(), LinkError> {
        let (read, write) = tokio::io::split(stream);
        // Room for every request in work, its refusal, and pings between them.
        let (answers, queue) = mpsc::channel(2 * self.limits.requests + 2);
        tokio::select! {
            ended = self.hear(read, keys.opener, from, answers) => ended,
            ended = reply(write, keys.sealer, queue, self.limits.silence) => ended,
        }
    }

    /// Takes requests in and begins to work on them.
    async fn hear<R: AsyncReadExt + Unpin>(
        &self,
        mut read: R,
        mut opener: Opener,
        from: NodeId,
        answers: mpsc::Sender<Outgoing>,
    ) -> Result<(), LinkError> {
        let requests = Arc::new(Semaphore::new(self.limits.requests));
        let mut arrived = BytesMut::new();
        loop {
            let next = next_frame(&mut read, &mut opener, &mut arrived);
            let Frame { kind, id, payload } =
                timeout(self.limits.silence, next).await.map_err(|_| LinkError::Silent)??;
            match kind {
                Kind::Request => match requests.clone().try_acquire_owned() {
                    Ok(permit) => {
                        let reply = Reply { id, answers: answers.clone(), permit: Some(permit) };
                        let work = (self.handler)(from.clone(), payload);
                        tokio::spawn(async move { reply.send(work.await) });
                    }
                    Err(_) => {
                        let _ = answers.send((Kind::Refusal, id, Bytes::new(), None)).await;
                    }
                },
                Kind::Ping => {
                    let _ = answers.send((Kind::Answer, id, Bytes::new(), None)).await;
                }
                Kind::Answer | Kind::Refusal => {
                    return Err(super::FrameError::Kind(kind as u8).into());
                }
            }
        }
    }
}

/// Where an answer goes. Dropped without one, by a handler that panicked, it is a refusal.
struct Reply {
    id: u64,
    answers: mpsc::Sender<Outgoing>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reply {
    fn send(mut self, answer: Bytes) {
        let kind = if answer.len() > MAX_PAYLOAD_BYTES { Kind::Refusal } else { Kind::Answer };
        let answer = if kind == Kind::Answer { answer } else { Bytes::new() };
        // The connection may be gone.
        let _ = self.answers.try_send((kind, self.id, answer, self.permit.take()));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let refusal = (Kind::Refusal, self.id, Bytes::new(), Some(permit));
            let _ = self.answers.try_send(refusal);
        }
    }
}

/// Sends answers.
async fn reply<W: AsyncWrite + Unpin>(
    mut write: W,
    mut sealer: Sealer,
    mut queue: mpsc::Receiver<Outgoing>,
    longest: Duration,
) -> Result<(), LinkError> {
    let mut out = BytesMut::new();
    while let Some((kind, id, answer, _permit)) = queue.recv().await {
        sealer.seal(kind, id, &answer, &mut out)?;
        if out.len() < READ_BYTES && !queue.is_empty() {
            continue;
        }
        let written = async {
            write.write_all_buf(&mut out).await?;
            write.flush().await
        };
        timeout(longest, written).await.map_err(|_| LinkError::Silent)??;
    }
    Ok(())
}

/// Reads until the next frame is whole.
pub(super) async fn next_frame<R: AsyncReadExt + Unpin>(
    read: &mut R,
    opener: &mut Opener,
    arrived: &mut BytesMut,
) -> Result<Frame, LinkError> {
    loop {
        if let Some(frame) = opener.open(arrived)? {
            return Ok(frame);
        }
        arrived.reserve(READ_BYTES);
        if read.read_buf(arrived).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
}
