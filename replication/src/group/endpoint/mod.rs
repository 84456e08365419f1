//! The group's two addresses that never change: the primary endpoint and the reader endpoint.
//!
//! An endpoint is a small TCP proxy in front of the nodes. It is told where the nodes are
//! ([`Routes`]), decides for each new connection where it leads ([`choice`]), and carries bytes both
//! ways ([`pump`]). It balances connections, not commands, and knows nothing of what they say.
//!
//! * The primary endpoint leads to the primary. When the primary changed because it was lost, all
//!   connections that led elsewhere are reset at once, so that clients notice; after a planned
//!   handover they stay, as the old primary passes on what they say.
//! * The reader endpoint leads to replicas, in the own zone first; to the primary when none is left.
//!   Connections to a node that is down are reset.
//!
//! While there is nobody to lead to, or who should be there does not answer, a new connection is held
//! for a while. Connections, those that are held, and what is buffered for each are bounded.

mod choice;
mod pump;

use super::config::{NodeId, Zone};
use choice::{Balance, candidates, choose, is_still_served};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// After an error of accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After the first attempt in vain to reach a node that should be there; twice as long each time.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// The longest such pause.
const MAX_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A node that connections may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub node: NodeId,
    /// Where it stands.
    pub zone: Zone,
    /// Where it takes connections.
    pub address: SocketAddr,
    /// The epoch in which it is what it is.
    pub epoch: u64,
}

/// A replica that connections may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaTarget {
    /// The node.
    pub target: Target,
    /// Milliseconds that its data is behind.
    pub lag_ms: u64,
    /// Whether the node lives. Its connections are reset when it does not, so a replica whose link is
    /// being made anew is up, and merely behind.
    pub is_up: bool,
}

/// Where the nodes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Who is primary, if anybody is.
    pub primary: Option<Target>,
    /// Whether the last change of the primary was a planned handover.
    pub is_planned: bool,
    /// The others.
    pub replicas: Vec<ReplicaTarget>,
}

/// Which of the two an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// Leads to the primary.
    Primary,
    /// Leads to replicas.
    Reader {
        /// The endpoint's own zone, whose replicas come first.
        zone: Option<Zone>,
        /// A replica that is further behind gets no new connection.
        max_lag_ms: u64,
    },
}

/// The bounds of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointLimits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// Of these, connections that are held at a time.
    pub held: usize,
    /// Longest that one is held; nothing to hold none.
    pub hold: Duration,
    /// Longest that a node takes to accept a connection.
    pub connect: Duration,
    /// After so long in silence a client is asked whether it is still there; nothing not to ask.
    pub keepalive: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            held: 10_000,
            hold: Duration::from_secs(2),
            connect: Duration::from_millis(500),
            keepalive: Duration::from_secs(300),
        }
    }
}

/// Who may connect, by address. Nodes see the endpoint's address and not the client's, so what they
/// let nobody but the own machine do has to be asked here.
pub type Admission = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What an endpoint has done; all but the first two only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointFigures {
    /// Connections now.
    pub connections: u64,
    /// Connections that are held now.
    pub held: u64,
    /// Connections that came in.
    pub accepted: u64,
    /// Connections that were closed because of a limit, because there was nobody to lead to, or
    /// because who connected may not.
    pub refused: u64,
    /// Connections that were held for a while before they led somewhere.
    pub held_then_served: u64,
    /// Connections that were reset because of a change of the routes.
    pub dropped: u64,
    /// Attempts to reach a node that failed.
    pub failed_connects: u64,
    /// Bytes from clients to nodes.
    pub bytes_in: u64,
    /// Bytes from nodes to clients.
    pub bytes_out: u64,
}

/// A running endpoint. Dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Serves a listening socket on the current runtime, for everybody.
    ///
    /// # Errors
    /// A socket without an address.
    pub fn start(
        listener: TcpListener,
        kind: EndpointKind,
        routes: watch::Receiver<Routes>,
        limits: EndpointLimits,
    ) -> io::Result<Self> {
        Self::start_for(Arc::new(|_| true), listener, kind, routes, limits)
    }

    /// Serves a listening socket on the current runtime, for those who may connect.
    ///
    /// # Errors
    /// A socket without an address.
    pub fn start_for(
        admission: Admission,
        listener: TcpListener,
        kind: EndpointKind,
        routes: watch::Receiver<Routes>,
        limits: EndpointLimits,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            kind,
            limits,
            routes: routes.clone(),
            counters: Counters::default(),
            open: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.connections)),
            waiting_places: Semaphore::new(limits.held),
            turn: Semaphore::new(1),
        });
        let task = tokio::spawn(run(shared.clone(), listener, routes, admission));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    pub fn figures(&self) -> EndpointFigures {
        let counters = &self.shared.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let taken = |limit: usize, free: usize| limit.saturating_sub(free) as u64;
        EndpointFigures {
            connections: taken(
                self.shared.limits.connections,
                self.shared.places.available_permits(),
            ),
            held: taken(self.shared.limits.held, self.shared.waiting_places.available_permits()),
            accepted: count(&counters.accepted),
            refused: count(&counters.refused),
            held_then_served: count(&counters.held_then_served),
            dropped: count(&counters.dropped),
            failed_connects: count(&counters.failed_connects),
            bytes_in: count(&counters.bytes_in),
            bytes_out: count(&counters.bytes_out),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    held_then_served: AtomicU64,
    dropped: AtomicU64,
    failed_connects: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug)]
struct Shared {
    kind: EndpointKind,
    limits: EndpointLimits,
    routes: watch::Receiver<Routes>,
    counters: Counters,
    open: Mutex<Open>,
    places: Arc<Semaphore>,
    waiting_places: Semaphore,
    /// Whose turn it is to try again.
    turn: Semaphore,
}

/// The connections that lead somewhere, or are about to.
#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Lead>,
    last_id: u64,
    balance: Balance,
}

/// Where one connection leads. Its task ends it when the sender is gone.
#[derive(Debug)]
struct Lead {
    target: Target,
    _keep: oneshot::Sender<()>,
}

/// A connection's own hold on where it leads.
struct Ticket<'a> {
    shared: &'a Shared,
    id: u64,
    target: Target,
    dropped: oneshot::Receiver<()>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut open = self.shared.open.lock();
        open.connections.remove(&self.id);
        open.balance.leave(&self.target.node);
    }
}

/// Accepts connections and watches the routes.
async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut routes: watch::Receiver<Routes>,
    admission: Admission,
) {
    let mut connections = JoinSet::new();
    let mut primary = routes.borrow_and_update().primary.clone();
    let mut is_routed = true;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Err(_) => sleep(ACCEPT_PAUSE).await,
                Ok((client, peer)) => {
                    add_one(&shared.counters.accepted);
                    let place = shared.places.clone().try_acquire_owned();
                    match place.ok().filter(|_| admission(peer.ip().to_canonical())) {
                        None => add_one(&shared.counters.refused),
                        Some(place) => {
                            let shared = shared.clone();
                            connections.spawn(async move {
                                shared.serve(client).await;
                                drop(place);
                            });
                        }
                    }
                }
            },
            changed = routes.changed(), if is_routed => {
                is_routed = changed.is_ok();
                let now = routes.borrow_and_update().clone();
                shared.follow(primary.as_ref(), &now);
                primary = now.primary;
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    /// Resets the connections that lead where none may lead any more.
    fn follow(&self, before: Option<&Target>, now: &Routes) {
        let mut open = self.open.lock();
        // The task that waits on the other end resets both sockets.
        open.connections.retain(|_, lead| is_still_served(&self.kind, &lead.target, before, now));
    }

    /// One connection, from its beginning to its end.
    async fn serve(&self, mut client: TcpStream) {
        let prepared = client.set_nodelay(true).and_then(|()| self.keep_alive(&client));
        let led = match prepared {
            Ok(()) => self.lead().await,
            Err(_) => None,
        };
        let Some((mut server, mut ticket)) = led else {
            add_one(&self.counters.refused);
            return;
        };
        let (moved_in, moved_out) = (&self.counters.bytes_in, &self.counters.bytes_out);
        let is_clean = tokio::select! {
            _ = &mut ticket.dropped => {
                add_one(&self.counters.dropped);
                false
            }
            ended = pump::join(&mut client, &mut server, moved_in, moved_out) => ended.is_ok(),
        };
        if !is_clean {
            // Where that fails the other side sees an end, not an error.
            let _ = client.set_zero_linger().and_then(|()| server.set_zero_linger());
        }
    }

    /// Connects to where a new connection leads, waiting for that if need be.
    async fn lead(&self) -> Option<(TcpStream, Ticket<'_>)> {
        // Before the first attempt: what changes during it is a change.
        let mut routes = self.routes.clone();
        let mut known = candidates(&self.kind, &routes.borrow_and_update());
        if let Some(led) = self.try_all().await {
            return Some(led);
        }
        if self.limits.hold.is_zero() {
            return None;
        }
        let _waiting = self.waiting_places.try_acquire().ok()?;
        let waited = async {
            loop {
                // Changes are seen by all at once, a node that comes back by one of them.
                tokio::select! {
                    Ok(()) = routes.changed() => {
                        let now = candidates(&self.kind, &routes.borrow_and_update());
                        if now != known && let Some(led) = self.try_all().await {
                            return led;
                        }
                        known = now;
                    }
                    led = self.probe() => return led,
                }
            }
        };
        let led = timeout(self.limits.hold, waited).await.ok()?;
        add_one(&self.counters.held_then_served);
        Some(led)
    }

    /// Tries again and again. Only one connection at a time does, so that a crowd that waits for a
    /// node does not keep it from coming back; once it is there they follow each other at once.
    async fn probe(&self) -> (TcpStream, Ticket<'_>) {
        let _turn = self.turn.acquire().await;
        let mut pause = MIN_RETRY_PAUSE;
        loop {
            if let Some(led) = self.try_all().await {
                return led;
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
        }
    }

    /// Tries all nodes that may be led to now, the best one first.
    async fn try_all(&self) -> Option<(TcpStream, Ticket<'_>)> {
        let mut failed = Vec::new();
        while let Some(mut ticket) = self.choose(&failed) {
            let connected = timeout(self.limits.connect, TcpStream::connect(ticket.target.address));
            let server = tokio::select! {
                connected = connected => connected.ok().and_then(Result::ok),
                _ = &mut ticket.dropped => None,
            };
            match server {
                Some(server) if server.set_nodelay(true).is_ok() => return Some((server, ticket)),
                _ => {
                    add_one(&self.counters.failed_connects);
                    failed.push(ticket.target.node.clone());
                }
            }
        }
        None
    }

    /// Chooses where a connection leads, and counts it there.
    fn choose(&self, failed: &[NodeId]) -> Option<Ticket<'_>> {
        let mut open = self.open.lock();
        // Borrowed under the lock: a later change finds the connection in the list.
        let target = choose(&self.kind, &self.routes.borrow(), failed, &mut open.balance)?;
        open.balance.enter(&target.node);
        open.last_id += 1;
        let id = open.last_id;
        let (keep, dropped) = oneshot::channel();
        open.connections.insert(id, Lead { target: target.clone(), _keep: keep });
        Some(Ticket { shared: self, id, target, dropped })
    }

    fn keep_alive(&self, client: &TcpStream) -> io::Result<()> {
        if self.limits.keepalive.is_zero() {
            return Ok(());
        }
        let keepalive = socket2::TcpKeepalive::new().with_time(self.limits.keepalive);
        socket2::SockRef::from(client).set_tcp_keepalive(&keepalive)
    }
}

#[cfg(test)]
mod tests;
