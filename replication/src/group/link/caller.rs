//! The calling side: one connection to each other member, made when it is first needed, kept open,
//! made again after a failure.
//!
//! A task owns the connection. Calls leave their payload in its queue and wait for the answer of
//! their id; who has waited too long, or no longer wants to, is forgotten, and a late answer with it.
//! Calls that wait are bounded in number and bytes: one more is refused at once. Where nothing is
//! heard for a while a ping asks for a sign of life; without one the connection is given up, so that
//! a member that lost its power is not waited for.

use super::frame::{Frame, Kind, MAX_PAYLOAD_BYTES, Opener, Sealer};
use super::handshake::{Caller, Keys, PROOF_BYTES, Secret};
use super::listener::next_frame;
use super::{Dial, LinkError, Stream};
use crate::group::config::{Member, NodeId};
use crate::pace;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

/// Frames are gathered up to about so much before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// The bounds of a caller.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Longest that a call waits for its answer.
    pub call: Duration,
    /// Longest that a connection takes to be made.
    pub connect: Duration,
    /// After so long without any frame, while calls wait, a sign of life is asked for; after twice as
    /// long again without one the connection is given up.
    pub silence: Duration,
    /// The same while no call waits. Less than a listener's silence.
    pub idle_ping: Duration,
    /// The pause after a failed connection; each further one is twice as long.
    pub min_pause: Duration,
    /// The longest such pause.
    pub max_pause: Duration,
    /// Calls to one member that may wait at a time.
    pub calls: usize,
    /// Bytes of requests to one member that may wait at a time.
    pub bytes: u32,
    /// Attempts without any call in between, after which a member that cannot be reached is left
    /// alone until the next call.
    pub idle_attempts: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(2),
            connect: Duration::from_millis(500),
            silence: Duration::from_millis(500),
            idle_ping: Duration::from_secs(4),
            min_pause: Duration::from_millis(20),
            max_pause: Duration::from_millis(500),
            calls: 128,
            bytes: 8 << 20,
            idle_attempts: 60,
        }
    }
}

/// Why a call has no answer. Whether the request was carried out is not known, unless it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The member cannot be reached, or the connection broke.
    #[error("the member cannot be reached")]
    Unreachable,
    /// The answer did not come in time.
    #[error("no answer in time")]
    TimedOut,
    /// Too many calls wait already; the request was not sent.
    #[error("too many calls wait already")]
    Busy,
    /// The request is too long; it was not sent.
    #[error("a request of {0} bytes, where {MAX_PAYLOAD_BYTES} are the most")]
    TooLong(usize),
    /// The member will not answer this one.
    #[error("the member refused the request")]
    Refused,
}

/// The calling side's connections to all other members.
pub struct Links {
    about: Arc<About>,
    links: Mutex<HashMap<NodeId, Arc<Link>>>,
}

/// What all connections of a caller share.
struct About {
    me: NodeId,
    secret: Secret,
    dial: Arc<dyn Dial>,
    limits: CallLimits,
}

/// One member, as those who call it see it.
struct Link {
    to: Member,
    queue: mpsc::Sender<Outgoing>,
    waiting: Arc<Waiting>,
    calls: Semaphore,
    bytes: Semaphore,
}

struct Outgoing {
    id: u64,
    request: Bytes,
}

/// The calls that wait for an answer.
#[derive(Default)]
struct Waiting {
    calls: Mutex<HashMap<u64, oneshot::Sender<Result<Bytes, CallError>>>>,
    last_id: AtomicU64,
}

/// A call's place among those that wait, given up with the call.
struct Place<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.calls.lock().remove(&self.id);
    }
}

impl Links {
    /// Nobody is called before there is something to say.
    pub fn new(me: NodeId, secret: Secret, dial: Arc<dyn Dial>, limits: CallLimits) -> Self {
        let about = Arc::new(About { me, secret, dial, limits });
        Self { about, links: Mutex::default() }
    }

    /// Asks a member and waits for its answer. To give it up, drop the future.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, to: &Member, request: Bytes) -> Result<Bytes, CallError> {
        if request.len() > MAX_PAYLOAD_BYTES {
            return Err(CallError::TooLong(request.len()));
        }
        let link = self.link(to);
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        let _call = link.calls.try_acquire().map_err(|_| CallError::Busy)?;
        let _bytes = link.bytes.try_acquire_many(length).map_err(|_| CallError::Busy)?;
        let (place, answer) = link.waiting.enter();
        link.queue.try_send(Outgoing { id: place.id, request }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Busy,
            mpsc::error::TrySendError::Closed(_) => CallError::Unreachable,
        })?;
        match timeout(self.about.limits.call, answer).await {
            Err(_) => Err(CallError::TimedOut),
            Ok(Err(_)) => Err(CallError::Unreachable),
            Ok(Ok(answer)) => answer,
        }
    }

    /// Lets the connection to somebody go who is no member any more.
    pub fn forget(&self, member: &NodeId) {
        self.links.lock().remove(member);
    }

    fn link(&self, to: &Member) -> Arc<Link> {
        let mut links = self.links.lock();
        match links.get(&to.id) {
            Some(link) if link.to == *to && !link.queue.is_closed() => link.clone(),
            _ => {
                let link = Arc::new(Link::open(self.about.clone(), to.clone()));
                links.insert(to.id.clone(), link.clone());
                link
            }
        }
    }
}

impl Link {
    fn open(about: Arc<About>, to: Member) -> Self {
        let limits = about.limits;
        // Those who gave up may have left their request in the queue.
        let (queue, calls) = mpsc::channel(limits.calls * 2);
        let waiting = Arc::<Waiting>::default();
        tokio::spawn(keep(about, to.clone(), calls, waiting.clone()));
        let (calls, bytes) = (Semaphore::new(limits.calls), Semaphore::new(limits.bytes as usize));
        Self { to, queue, waiting, calls, bytes }
    }
}

impl Waiting {
    fn enter(&self) -> (Place<'_>, oneshot::Receiver<Result<Bytes, CallError>>) {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = oneshot::channel();
        self.calls.lock().insert(id, sender);
        (Place { waiting: self, id }, answer)
    }

    fn wants(&self, id: u64) -> bool {
        self.calls.lock().contains_key(&id)
    }

    fn is_empty(&self) -> bool {
        self.calls.lock().is_empty()
    }

    fn settle(&self, id: u64, answer: Result<Bytes, CallError>) {
        if let Some(call) = self.calls.lock().remove(&id) {
            // Who asked may be gone.
            let _ = call.send(answer);
        }
    }
}

/// Makes the connection, and makes it again, until nobody needs it.
async fn keep(
    about: Arc<About>,
    to: Member,
    mut queue: mpsc::Receiver<Outgoing>,
    waiting: Arc<Waiting>,
) {
    let limits = about.limits;
    let mut pause = limits.min_pause;
    let mut idle_attempts = 0;
    while idle_attempts < limits.idle_attempts {
        if let Ok(Ok((stream, keys))) = timeout(limits.connect, connect(&about, &to)).await {
            let heard = AtomicU64::new(0);
            if converse(stream, keys, &mut queue, &waiting, &heard, limits).await.is_ok() {
                return;
            }
            if heard.load(Ordering::Relaxed) > 0 {
                pause = limits.min_pause;
                idle_attempts = 0;
            }
        }
        idle_attempts += 1;
        while let Ok(outgoing) = queue.try_recv() {
            waiting.settle(outgoing.id, Err(CallError::Unreachable));
        }
        waiting.calls.lock().clear();
        let rest = sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64()));
        tokio::pin!(rest);
        loop {
            tokio::select! {
                () = &mut rest => break,
                outgoing = queue.recv() => match outgoing {
                    None => return,
                    Some(outgoing) => {
                        idle_attempts = 0;
                        waiting.settle(outgoing.id, Err(CallError::Unreachable));
                    }
                },
            }
        }
        pause = (pause * 2).min(limits.max_pause);
    }
}

/// A connection whose other end has proven that it is the member.
async fn connect(about: &About, to: &Member) -> Result<(Box<dyn Stream>, Keys), LinkError> {
    let mut stream = about.dial.dial(to).await?;
    let keys = introduce(&mut stream, &about.secret, &about.me, &to.id).await?;
    Ok((stream, keys))
}

/// The caller's side of a handshake.
pub(super) async fn introduce<S: Stream>(
    stream: &mut S,
    secret: &Secret,
    me: &NodeId,
    to: &NodeId,
) -> Result<Keys, LinkError> {
    let mut nonce = [0; PROOF_BYTES];
    getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
    let caller = Caller::new(secret, me, to, nonce)?;
    stream.write_all(caller.hello()).await?;
    stream.flush().await?;
    let mut heard = [0; PROOF_BYTES];
    stream.read_exact(&mut heard).await?;
    let (proven, proof) = caller.prove(&heard);
    stream.write_all(&proof).await?;
    stream.flush().await?;
    stream.read_exact(&mut heard).await?;
    Ok(proven.check(&heard)?)
}

/// Uses a connection until it fails, or, without an error, until nobody calls any more.
async fn converse(
    stream: Box<dyn Stream>,
    keys: Keys,
    queue: &mut mpsc::Receiver<Outgoing>,
    waiting: &Waiting,
    heard: &AtomicU64,
    limits: CallLimits,
) -> Result<(), LinkError> {
    let (read, write) = tokio::io::split(stream);
    let (ping, pings) = mpsc::channel(1);
    tokio::select! {
        ended = ask(write, keys.sealer, queue, pings, waiting) => ended,
        ended = listen(read, keys.opener, waiting, heard) => ended,
        ended = watch(ping, heard, waiting, limits) => ended,
    }
}

/// Sends requests.
async fn ask<W: AsyncWrite + Unpin>(
    mut write: W,
    mut sealer: Sealer,
    queue: &mut mpsc::Receiver<Outgoing>,
    mut pings: mpsc::Receiver<()>,
    waiting: &Waiting,
) -> Result<(), LinkError> {
    let mut out = BytesMut::new();
    loop {
        tokio::select! {
            outgoing = queue.recv() => {
                let mut next = outgoing;
                if next.is_none() {
                    return Ok(());
                }
                while let Some(Outgoing { id, request }) = next.take() {
                    if waiting.wants(id) {
                        sealer.seal(Kind::Request, id, &request, &mut out)?;
                    }
                    if out.len() < WRITE_BYTES {
                        next = queue.try_recv().ok();
                    }
                }
            }
            Some(()) = pings.recv() => sealer.seal(Kind::Ping, 0, &[], &mut out)?,
        }
        write.write_all_buf(&mut out).await?;
        write.flush().await?;
    }
}

/// Takes answers in.
async fn listen<R: AsyncReadExt + Unpin>(
    mut read: R,
    mut opener: Opener,
    waiting: &Waiting,
    heard: &AtomicU64,
) -> Result<(), LinkError> {
    let mut arrived = BytesMut::new();
    loop {
        let Frame { kind, id, payload } = next_frame(&mut read, &mut opener, &mut arrived).await?;
        heard.fetch_add(1, Ordering::Relaxed);
        match kind {
            Kind::Answer => waiting.settle(id, Ok(payload)),
            Kind::Refusal => waiting.settle(id, Err(CallError::Refused)),
            // Requests of the other side come over a connection of its own.
            Kind::Request | Kind::Ping => return Err(super::FrameError::Kind(kind as u8).into()),
        }
    }
}

/// Ends when the other side gives no sign of life: asked for where calls wait and nothing is heard,
/// and now and then where nobody calls.
async fn watch(
    ping: mpsc::Sender<()>,
    heard: &AtomicU64,
    waiting: &Waiting,
    limits: CallLimits,
) -> Result<(), LinkError> {
    let (mut quiet, mut asked) = (Duration::ZERO, Duration::ZERO);
    loop {
        let before = heard.load(Ordering::Relaxed);
        sleep_until(pace::after(limits.silence)).await;
        if heard.load(Ordering::Relaxed) != before {
            (quiet, asked) = (Duration::ZERO, Duration::ZERO);
            continue;
        }
        quiet += limits.silence;
        if asked > Duration::ZERO || quiet >= limits.idle_ping || !waiting.is_empty() {
            if asked > limits.silence {
                return Err(LinkError::Silent);
            }
            if asked.is_zero() {
                // A full queue holds a ping that could not be written yet.
                let _ = ping.try_send(());
            }
            asked += limits.silence;
        }
    }
}
