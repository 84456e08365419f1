//! The control thread: it accepts connections and does what must happen now and then.

use super::balance::Balancer;
use super::clients::{Client, Peer};
use super::http::Http;
use super::shared::{Rebind, Shared};
use super::workers::{self, Arrival, Stream};
use crate::acl::identity::Identity;
use crate::config::Settings;
use crate::connection::{self, Thread};
use crate::dispatch::Executor;
use crate::listener::{Accepted, Listeners, Registered};
use crate::observe::stats::ThreadStats;
use crate::session::Session;
use crate::tls::TLS_BYTES;
use crate::tls::handshake::Handshakes;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;

/// Redis samples its rates every 100 ms.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two looks at idle clients.
const IDLE_TICKS: u64 = 10;
/// Ticks of a minute, in which CloudWatch counts.
const MINUTE_TICKS: u64 = 600;

/// Runs until shutdown is requested; `rebind` asks for other listeners at CONFIG SET.
pub(super) fn run(
    node: &Arc<Shared>,
    listeners: Listeners,
    mut rebind: UnboundedReceiver<Rebind>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let mut listeners = listeners.register()?;
        let (mut strays, load) = node.workers.help_out();
        let thread = Rc::new(Thread::new(Executor::new(Arc::clone(node)), load));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut control = Control::new(node);
        let http = Http::new(node);
        loop {
            tokio::select! {
                () = node.shutdown.requested() => break,
                request = rebind.recv() => if let Some(request) = request {
                    listeners = moved(listeners, request);
                },
                stray = strays.recv() => if let Some(arrival) = stray {
                    tokio::task::spawn_local(workers::serve(Rc::clone(&thread), arrival));
                },
                accepted = listeners.accept() => control.admit(accepted).await,
                (place, accepted) = accept_tls(&listeners, &control.handshakes) => {
                    control.shake_hands(place, accepted).await;
                },
                (place, accepted) = accept_metrics(&listeners, &http) => match accepted {
                    Ok(stream) => http.serve(stream, place),
                    Err(error) => refused(&error).await,
                },
                _ = ticks.tick() => {
                    control.tick();
                    if control.ticks.is_multiple_of(MINUTE_TICKS) {
                        http.end_minute();
                    }
                },
            }
        }
        // Whoever asks meanwhile shall hear that the node is stopping.
        let mut drained = std::pin::pin!(connection::drain(node));
        loop {
            tokio::select! {
                () = &mut drained => return Ok(()),
                (place, accepted) = accept_metrics(&listeners, &http) => if let Ok(stream) = accepted {
                    http.serve(stream, place);
                },
            }
        }
    })
}

/// What the control thread keeps between two events.
struct Control<'n> {
    node: &'n Arc<Shared>,
    stats: Arc<ThreadStats>,
    handshakes: Handshakes,
    balancer: Balancer,
    ticks: u64,
}

impl<'n> Control<'n> {
    fn new(node: &'n Arc<Shared>) -> Self {
        Self {
            node,
            stats: node.stats.new_slot(),
            handshakes: Handshakes::new(),
            balancer: Balancer::default(),
            ticks: 0,
        }
    }

    async fn admit(&self, accepted: std::io::Result<Accepted>) {
        match accepted {
            Ok(accepted) => admit(self.node, &self.stats, accepted),
            Err(error) => refused(&error).await,
        }
    }

    async fn shake_hands(
        &mut self,
        place: OwnedSemaphorePermit,
        accepted: std::io::Result<Accepted<std::net::TcpStream>>,
    ) {
        let begun = match accepted {
            Ok(accepted) if has_room(self.node, &self.stats) => {
                let Accepted { stream, peer, fd } = accepted;
                self.handshakes.begin(self.node, stream, peer, fd, place)
            }
            // Cut off: a text that is not encrypted would be of no use.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            refused(&error).await;
        }
    }

    fn tick(&mut self) {
        let started = self.node.clock.tick();
        self.keep_house();
        let worked = self.node.clock.since(started).as_micros() as u64;
        // Less than one still is some.
        self.stats.housekeeping_us.add(worked.max(1));
    }

    fn keep_house(&mut self) {
        let node = self.node;
        self.ticks += 1;
        let totals = node.stats.totals();
        node.rates.sample(node.clock.unix_ms(), &totals);
        node.keyspace.memory().peak_bytes();
        node.aof.tick(node);
        self.balancer.tick(&node.workers, &node.clock, totals.commands_processed);
        let limit = node.config.load().maxmemory_bytes;
        if limit == 0 || node.keyspace.memory().used_bytes() <= limit {
            node.pressure.end(node.clock.monotonic_nanos());
        }
        check_clients(node, &self.stats);
        node.look_after_member();
        node.look_after_replicas();
        node.keep_tracking_limits();
        node.workers.relieve();
        node.dump.keep(node);
        if self.ticks.is_multiple_of(IDLE_TICKS) {
            close_idle(node);
        }
    }
}

/// Out of file descriptors, most likely: waiting is all that helps.
async fn refused(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(TICK).await;
}

/// Listeners as the new settings want them, or as they were when that cannot be.
fn moved(listeners: Registered, request: Rebind) -> Registered {
    let Rebind { old, new, done } = request;
    // Sockets on one port exclude each other, so the old ones go first.
    drop(listeners);
    let bound = bind(&new);
    let result = bound
        .as_ref()
        .map(|_| ())
        .map_err(|error| std::io::Error::new(error.kind(), error.to_string()));
    let listeners = bound.or_else(|_| bind(&old)).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot listen on the old addresses any more");
        Registered::default()
    });
    // Whoever asked may be gone.
    let _ = done.send(result);
    listeners
}

fn bind(settings: &Settings) -> std::io::Result<Registered> {
    Listeners::bind(settings)?.register()
}

/// A place among the handshakes first, then a connection for it.
async fn accept_tls(
    listeners: &Registered,
    handshakes: &Handshakes,
) -> (OwnedSemaphorePermit, std::io::Result<Accepted<std::net::TcpStream>>) {
    let place = handshakes.place().await;
    (place, listeners.accept_tls().await)
}

/// The same for those who ask for metrics.
async fn accept_metrics(
    listeners: &Registered,
    http: &Http,
) -> (OwnedSemaphorePermit, std::io::Result<tokio::net::TcpStream>) {
    let place = http.place().await;
    (place, listeners.accept_metrics().await)
}

/// Refuses a connection, or enters it in the registry and gives it to a thread.
fn admit(node: &Arc<Shared>, stats: &ThreadStats, accepted: Accepted) {
    let Accepted { mut stream, peer, fd } = accepted;
    if let Admission::Refused(text) = examine(node, stats, &peer) {
        // The socket's buffer is empty, so this cannot block; if the peer is gone, so be it.
        let _ = match &mut stream {
            Stream::Tcp(stream) => stream.write_all(text.as_bytes()),
            Stream::Unix(stream) => stream.write_all(text.as_bytes()),
            Stream::Tls(_) | Stream::Duplex(_) => Ok(()),
        };
        return;
    }
    enter(node, stream, peer, fd);
}

/// Whether a connection may come in.
pub(crate) enum Admission {
    /// It may.
    Granted,
    /// It may not, and reads this.
    Refused(&'static str),
}

/// Counts a connection as accepted or refused; `stats` are those of the calling thread.
pub(crate) fn examine(node: &Shared, stats: &ThreadStats, peer: &Peer) -> Admission {
    if !has_room(node, stats) {
        return Admission::Refused("-ERR max number of clients reached\r\n");
    }
    if !peer.is_local() && is_protected(node) {
        stats.denied_connections.add(1);
        return Admission::Refused(PROTECTED);
    }
    stats.connections.add(1);
    Admission::Granted
}

/// Whether only this machine may connect.
pub(crate) fn is_protected(node: &Shared) -> bool {
    node.config.load().protected_mode && is_unguarded(node)
}

/// Whether `maxclients` leaves room for one more; counts it as rejected otherwise.
fn has_room(node: &Shared, stats: &ThreadStats) -> bool {
    let has_room = node.clients.len() < node.config.load().maxclients as usize;
    if !has_room {
        stats.rejected_connections.add(1);
    }
    has_room
}

/// Enters a connection in the registry and gives it to a thread; false when the node has ended.
pub(crate) fn enter(node: &Arc<Shared>, stream: Stream, peer: Peer, fd: i32) -> bool {
    let id = node.clients.next_id();
    let stream_bytes = if matches!(stream, Stream::Tls(_)) { TLS_BYTES } else { 0 };
    let client = Client::new(id, peer, fd, node.clock.unix_ms()).with_stream_bytes(stream_bytes);
    let client = Arc::new(client);
    node.clients.add(Arc::clone(&client));
    let identity = Identity::of_newcomer(&node.acl.users);
    client.show_user(&identity);
    let session = Session::new(client, identity);
    let assigned = node.workers.assign(Arrival { stream, session: Box::new(session) }).is_ok();
    if !assigned {
        node.clients.remove(id);
    }
    assigned
}

/// Whether nobody is asked for a password.
fn is_unguarded(node: &Shared) -> bool {
    node.acl.users.default_user().rules().needs_no_password()
}

/// What a client from another machine reads in protected mode.
const PROTECTED: &str = "-DENIED protected mode is on and no password is set, so only connections \
    from this machine are accepted. Set a password (requirepass), or connect over the loopback \
    interface, or turn protection off (protected-mode no) if the network is trusted.\r\n";

/// Closes clients that have become too large without doing anything themselves: a limit was
/// lowered, or output waits for longer than the soft limit lasts.
fn check_clients(node: &Shared, stats: &ThreadStats) {
    let settings = node.config.load();
    let limit = settings.maxmemory_clients.clients_bytes(settings.maxmemory_bytes);
    if node.clients.are_over(limit) {
        stats.evicted_clients.add(node.clients.evict(limit, node.keyspace.memory()));
    }
    let limits = &settings.client_output_buffer_limit;
    if limits.normal.soft_bytes == 0 && limits.pubsub.soft_bytes == 0 {
        return;
    }
    let now_ms = node.clock.unix_ms();
    for client in node.clients.all() {
        let (limit, waiting) = (client.output_limit(limits), client.waiting_bytes());
        if client.is_over(limit, waiting, now_ms) && !client.is_killed() {
            tracing::warn!(id = client.id, waiting, "closing a client over its soft output limit");
            stats.output_limit_disconnections.add(1);
            client.kill();
            node.clients.remove(client.id);
        }
    }
}

fn close_idle(node: &Shared) {
    let timeout_ms = node.config.load().timeout_s as i64 * 1000;
    if timeout_ms == 0 {
        return;
    }
    let now_ms = node.clock.unix_ms();
    for client in node.clients.all() {
        let idle_ms = now_ms - client.last_active_ms.load(Ordering::Relaxed);
        let is_spared = client.blocked.load(Ordering::Relaxed)
            || client.is_primary.load(Ordering::Relaxed)
            || client.is_relayed.load(Ordering::Relaxed);
        if idle_ms > timeout_ms && !is_spared {
            tracing::debug!(id = client.id, "closing an idle client");
            client.kill();
        }
    }
}
