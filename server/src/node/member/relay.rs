//! Connections that go on at another node after a handover.
//!
//! A connection that is at rest, or whose next command waits, and that has no state but what a
//! [`Ticket`] says, is not closed when the group moves its primary. This node connects to the new one
//! for it, hands in the ticket and the bytes that were not consumed, and copies bytes both ways from
//! then on. Its client notices nothing but a pause. When that primary hands over in turn, the connection
//! comes [back](super::handback) and goes on with the next one, or here, if this node is that.

use super::handback::{Mark, Returned, carry, give_back, mark};
use super::ticket::{CHALLENGE_BYTES, Fields, Ticket, put_text};
use crate::config::PrimaryAddress;
use crate::node::link::wire::Wire;
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::encode::encode_command;
use larder_replication::group::config::{Member, NodeId};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long after a handover connections may begin to be relayed that were there before.
const BEGIN_NANOS: u64 = 5_000_000_000;
/// The same for those that come later, led here by who does not know of it yet.
const LATE_NANOS: u64 = 1_000_000_000;
/// How long the new primary may take to be one.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions whether it is.
const RETRY: Duration = Duration::from_millis(2);
/// A line that the new primary answers is no longer.
const LINE_BYTES: usize = 1024;

/// Where connections go.
#[derive(Debug)]
pub struct Relay {
    epoch: u64,
    node: NodeId,
    pub(super) address: SocketAddr,
    /// When the handover was, and the last connection that was there before.
    began: (u64, u64),
}

impl Relay {
    pub(super) fn new(epoch: u64, node: NodeId, address: SocketAddr, began: (u64, u64)) -> Self {
        Self { epoch, node, address, began }
    }

    /// The same after another change of the primary.
    pub(super) fn further(&self, epoch: u64, primary: &Member) -> Option<Self> {
        let address = primary.client_address?;
        Some(Self { epoch, node: primary.id.clone(), address, began: self.began })
    }

    /// Whether a connection goes on there. One that came later does when it has to: it may only want
    /// to read, or bring a connection that is relayed here.
    fn takes(&self, session: &Session, waits: bool, now: u64) -> bool {
        let (began, last_id) = self.began;
        session.client.id <= last_id || waits && now < began + LATE_NANOS
    }

    /// Says whom it leads to.
    pub(super) fn put(&self, body: &mut Vec<u8>) {
        for text in [self.node.0.as_str(), &self.address.to_string()] {
            put_text(body, text.as_bytes());
        }
    }

    /// One for a connection that came back.
    pub(super) fn read(fields: &mut Fields<'_>, epoch: u64) -> Option<Self> {
        let mut text = || std::str::from_utf8(fields.text()?).ok();
        let (node, address) = (NodeId(text()?.to_owned()), text()?.parse().ok()?);
        Some(Self { epoch, node, address, began: (0, 0) })
    }

    /// Whether no connection may begin to be relayed any more.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.began.0 + BEGIN_NANOS
    }
}

/// What a connection does after a handover.
pub(crate) enum Onward {
    /// It stays.
    Stay,
    /// It goes on elsewhere.
    Go(Arc<Relay>, Box<Ticket>),
    /// It ends: it has state that cannot be moved.
    End,
}

impl Shared {
    /// What a connection does that is at rest, or whose next command waits.
    #[inline]
    pub(crate) fn onward(&self, session: &Session, waits: bool) -> Onward {
        match self.member() {
            Some(member) if member.relays.load(Ordering::Acquire) => {
                member.onward(self, session, waits)
            }
            _ => Onward::Stay,
        }
    }
}

impl super::Membership {
    #[cold]
    fn onward(&self, node: &Shared, session: &Session, waits: bool) -> Onward {
        // A stranger has nothing to lose; those who follow this node are told by their links, and
        // those who relay to it when they ask to be let in.
        let speaks_for_other = session.replica.as_ref().is_some_and(|replica| {
            replica.wanted.is_some() || replica.announced.challenge.is_some()
        });
        if session.identity.is_stranger() || speaks_for_other {
            return Onward::Stay;
        }
        let now = node.clock.monotonic_nanos();
        let relay = self.state.lock().relay.clone();
        let Some(relay) = relay.filter(|relay| relay.takes(session, waits, now)) else {
            return Onward::Stay;
        };
        match Ticket::of(session, relay.epoch) {
            Some(ticket) => Onward::Go(relay, Box::new(ticket)),
            None => Onward::End,
        }
    }

    /// Whether a command of a session waits to be relayed instead of being refused.
    pub(crate) fn relays(&self, node: &Shared, session: &Session) -> bool {
        self.relays.load(Ordering::Acquire)
            && matches!(self.onward(node, session, true), Onward::Go(..))
    }
}

/// A connection that goes on elsewhere.
pub struct Passenger<S> {
    pub(crate) stream: S,
    pub(crate) session: Box<Session>,
    /// What it sent and nobody consumed.
    pub(crate) query: Vec<u8>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) ticket: Box<Ticket>,
}

/// A connection that goes on at this node, since it is the primary again.
pub(crate) struct Home<S> {
    pub(crate) stream: S,
    pub(crate) session: Box<Session>,
    /// What it sent and nobody consumed.
    pub(crate) query: Vec<u8>,
}

/// Relays a connection until either side ends it, or it goes on here.
///
/// # Errors
/// A stream fails, or the new primary does not take the connection in time.
pub(crate) async fn serve<S>(
    node: &Shared,
    mut passenger: Passenger<S>,
) -> io::Result<Option<Home<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = Arc::clone(&passenger.session.client);
    let killed = poll_fn(|context| {
        client.register(context.waker());
        if client.is_killed() { Poll::Ready(()) } else { Poll::Pending }
    });
    let served = async {
        if let Some(mark) = passenger.session.mark.take() {
            return give_back(node, passenger, &mark).await.map(|()| None);
        }
        client.is_relayed.store(true, Ordering::Relaxed);
        let Passenger { mut stream, mut session, query, relay, ticket } = passenger;
        let again = session.transaction.again();
        let mut next = Returned { relay, ticket, again, query };
        loop {
            if next.is_for(node) {
                arrive(node, &next, &mut session).await?;
                client.is_relayed.store(false, Ordering::Relaxed);
                return Ok(Some(Home { stream, session, query: next.query }));
            }
            match ride(node, &mut stream, next).await? {
                Some(returned) => next = returned,
                None => return Ok(None),
            }
        }
    };
    tokio::select! {
        () = killed => Ok(None),
        served = served => served,
    }
}

impl Returned {
    /// Whether the connection can go on at this node. A transaction is begun anew by a connection.
    fn is_for(&self, node: &Shared) -> bool {
        let me = node.member().map(super::Membership::node);
        me == Some(&self.relay.node) && self.again.1 == 0
    }
}

/// Waits until this node is the primary that a connection was told to go to, and lets it in.
async fn arrive(node: &Shared, returned: &Returned, session: &mut Session) -> io::Result<()> {
    let is_primary = || {
        let leads = node.member().and_then(super::Membership::leads);
        leads.is_some_and(|epoch| epoch >= returned.ticket.epoch)
    };
    let waited = async {
        while !is_primary() {
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.map_err(|_| io::ErrorKind::TimedOut)?;
    session.transaction.end(&session.client);
    match returned.ticket.apply(node, session) {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Goes on at another node until either side ends the connection or that node gives it back.
async fn ride<S>(node: &Shared, stream: &mut S, mut from: Returned) -> io::Result<Option<Returned>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mark: Mark = mark().ok_or(io::ErrorKind::Unsupported)?;
    from.ticket.mark = mark.to_vec();
    let boarded = tokio::time::timeout(PATIENCE, board(node, &from.relay, &from.ticket));
    let mut wire = match boarded.await.map_err(|_| io::ErrorKind::TimedOut)? {
        Ok(wire) => wire,
        Err(Refused::Later) => {
            from.relay = from.relay.latest(node).ok_or(io::ErrorKind::ConnectionRefused)?;
            from.ticket.epoch = from.relay.epoch;
            return Ok(Some(from));
        }
        Err(Refused::Ever(error)) => return Err(error),
    };
    let Returned { again, query, .. } = from;
    begin_anew(&mut wire, again).await?;
    if !query.is_empty() {
        wire.send(&query).await?;
    }
    let (far, arrived) = wire.into_parts();
    carry(node, stream, far, &mark, arrived).await
}

impl Relay {
    /// Where connections go by now, if that is not here any more.
    fn latest(&self, node: &Shared) -> Option<Arc<Self>> {
        let member = node.member()?;
        if let Some(epoch) = member.leads().filter(|epoch| *epoch > self.epoch) {
            let (id, began) = (member.node().clone(), self.began);
            return Some(Arc::new(Self { epoch, node: id, address: self.address, began }));
        }
        let relay = member.state.lock().relay.clone();
        relay.filter(|relay| relay.epoch > self.epoch)
    }

    fn is_latest(&self, node: &Shared) -> bool {
        self.latest(node).is_none()
    }
}

/// Connects to the new primary and hands the ticket in as soon as it is one.
async fn board(node: &Shared, relay: &Relay, ticket: &Ticket) -> Result<Wire, Refused> {
    let (host, port) = (relay.address.ip().to_string(), relay.address.port());
    let address = PrimaryAddress { host, port };
    let mut wire = loop {
        match Wire::connect(node, &address).await {
            Ok(wire) => break wire,
            Err(_) if !relay.is_latest(node) => return Err(Refused::Later),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    };
    let settings = node.config.load();
    if !settings.masterauth.is_empty() {
        let (user, password) = (settings.masteruser.as_bytes(), settings.masterauth.as_bytes());
        let words = [&b"AUTH"[..], user, password];
        let skipped = usize::from(user.is_empty());
        let words = words.iter().enumerate().filter(|(at, _)| skipped == 0 || *at != 1);
        let words: Vec<&[u8]> = words.map(|(_, word)| *word).collect();
        ask(&mut wire, &words).await?;
    }
    let secret = node.member().map(super::Membership::secret).unwrap_or_default();
    let unable = || Refused::Ever(io::ErrorKind::Unsupported.into());
    loop {
        let challenge = ask(&mut wire, &[b"REPLCONF", b"larder-relay", b"?"]).await?;
        let sealed = ticket.seal(secret, &challenge).ok_or_else(unable)?;
        let said = ask(&mut wire, &[b"REPLCONF", b"larder-ticket", &sealed]).await;
        match said {
            Ok(_) => return Ok(wire),
            // The primary may have moved on before the connection got there.
            Err(Refused::Later) if !relay.is_latest(node) => return Err(Refused::Later),
            Err(Refused::Later) => tokio::time::sleep(RETRY).await,
            Err(refused) => return Err(refused),
        }
    }
}

/// Brings a transaction to where it is; its client has the replies.
async fn begin_anew(wire: &mut Wire, again: (Vec<u8>, usize)) -> io::Result<()> {
    let (bytes, replies) = again;
    if replies == 0 {
        return Ok(());
    }
    wire.send(&bytes).await?;
    for _ in 0..replies {
        let line = wire.line(LINE_BYTES, PATIENCE).await;
        let line = line.map_err(|error| io::Error::other(error.to_string()))?;
        if !line.starts_with(b"+") {
            return Err(io::Error::other(String::from_utf8_lossy(&line).into_owned()));
        }
    }
    Ok(())
}

/// Why a question was not answered as it should be.
enum Refused {
    /// It may be later.
    Later,
    /// It will not.
    Ever(io::Error),
}

/// Asks one question; gives the text of a simple reply.
async fn ask(wire: &mut Wire, words: &[&[u8]]) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    encode_command(&mut bytes, words.iter().copied());
    wire.send(&bytes).await.map_err(Refused::Ever)?;
    let line = wire.line(LINE_BYTES, PATIENCE).await;
    let line = line.map_err(|error| Refused::Ever(io::Error::other(error.to_string())))?;
    match line.split_first() {
        Some((b'+', text)) => Ok(text.to_vec()),
        _ if line.starts_with(b"-NOMASTERLINK") || line.starts_with(b"-LOADING") => {
            Err(Refused::Later)
        }
        _ => Err(Refused::Ever(io::Error::other(String::from_utf8_lossy(&line).into_owned()))),
    }
}

/// A challenge for one ticket: letters and digits that nobody can foresee.
pub(crate) fn challenge() -> Option<[u8; CHALLENGE_BYTES]> {
    let mut random = [0; CHALLENGE_BYTES / 2];
    getrandom::fill(&mut random).ok()?;
    let mut digits = [0; CHALLENGE_BYTES];
    for (pair, byte) in digits.chunks_mut(2).zip(random) {
        for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(half)];
        }
    }
    Some(digits)
}
