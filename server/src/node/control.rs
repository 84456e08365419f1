//! The control thread: it accepts connections and does what must happen now and then.
//!
//! Invariant: it waits for no shard, since a script may keep one; who wants to end the script must
//! get in.

use super::balance::Balancer;
use super::clients::{Client, Peer};
use super::http::Http;
use super::shared::{Rebind, Shared};
use super::workers::{Arrival, Stream};
use crate::acl::identity::Identity;
use crate::clock::Tick;
use crate::config::Settings;
use crate::connection;
use crate::listener::{Accepted, Listeners, Registered};
use crate::observe::stats::ThreadStats;
use crate::session::Session;
use crate::tls::TLS_BYTES;
use crate::tls::handshake::Handshakes;
use larder_replication::pace;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;

/// Redis samples its rates every 100 ms.
const TICK: Duration = Duration::from_millis(100);
/// The same while the node rests.
const RESTING: Duration = Duration::from_millis(1024);
/// Ticks without commands until the node rests: 2 s.
const CALM_TICKS: u64 = 20;
/// Commands between two ticks that are none: signs of life of a primary.
const FEW_COMMANDS: u64 = 2;
/// Ticks between two looks at idle clients.
const IDLE_TICKS: u64 = 10;
/// Ticks of a minute, in which CloudWatch counts.
const MINUTE_TICKS: u64 = 600;

/// Runs until shutdown is requested; `rebind` asks for other listeners at CONFIG SET.
pub(super) fn run(
    node: &Arc<Shared>,
    listeners: Listeners,
    rebind: UnboundedReceiver<Rebind>,
) -> std::io::Result<()> {
    pace::note_runtime();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let node = Arc::clone(node);
    // What stands in `block_on` itself is woken by a write to the poller and a look at it.
    let run = runtime.spawn_local(async move { look_after(&node, listeners, rebind).await });
    runtime.block_on(run).map_err(std::io::Error::other)?
}

/// The same on the thread's runtime.
async fn look_after(
    node: &Arc<Shared>,
    listeners: Listeners,
    mut rebind: UnboundedReceiver<Rebind>,
) -> std::io::Result<()> {
    let mut listeners = listeners.register()?;
    let pause = || node.rest.pause(TICK, || RESTING);
    let mut paused = pin!(pause());
    let mut control = Control::new(node);
    let http = Http::new(node);
    loop {
        tokio::select! {
            () = node.shutdown.requested() => break,
            request = rebind.recv() => if let Some(request) = request {
                listeners = moved(listeners, request);
            },
            accepted = listeners.accept() => control.admit(accepted).await,
            (place, accepted) = accept_tls(&listeners, &control.handshakes) => {
                control.shake_hands(place, accepted).await;
            },
            (place, accepted) = accept_metrics(&listeners, &http) => match accepted {
                Ok(stream) => http.serve(stream, place),
                Err(error) => refused(&error).await,
            },
            () = &mut paused => {
                control.tick();
                if control.has_passed(MINUTE_TICKS) {
                    http.end_minute();
                }
                paused.set(pause());
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
}

/// What the control thread keeps between two events.
struct Control<'n> {
    node: &'n Arc<Shared>,
    stats: Arc<ThreadStats>,
    handshakes: Handshakes,
    balancer: Balancer,
    /// How many ticks of time it is since the start, and how many it was at the last one.
    ticks: u64,
    last_ticks: u64,
    started: Tick,
    /// Since when there were no commands, in ticks.
    calm_since: u64,
    last_commands: u64,
}

impl<'n> Control<'n> {
    fn new(node: &'n Arc<Shared>) -> Self {
        Self {
            node,
            stats: node.stats.new_slot(),
            handshakes: Handshakes::new(),
            balancer: Balancer::default(),
            ticks: 0,
            last_ticks: 0,
            started: node.clock.tick(),
            calm_since: 0,
            last_commands: 0,
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
        self.last_ticks = self.ticks;
        self.ticks = (node.clock.since(self.started).as_millis() / TICK.as_millis()) as u64;
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
        if self.has_passed(IDLE_TICKS) {
            close_idle(node);
        }
        self.look_for_rest(totals.commands_processed);
    }

    /// Whether a multiple of so many ticks came since the last one.
    fn has_passed(&self, ticks: u64) -> bool {
        self.ticks / ticks != self.last_ticks / ticks
    }

    /// Lets the node rest when there was nothing to do for a while.
    fn look_for_rest(&mut self, commands: u64) {
        let came = commands.saturating_sub(self.last_commands);
        self.last_commands = commands;
        if came > FEW_COMMANDS || !has_leisure(self.node) {
            self.calm_since = self.ticks;
            self.node.rest.end();
        } else if self.ticks - self.calm_since >= CALM_TICKS {
            self.node.rest.begin();
        }
    }
}

/// Whether nothing is under way that is looked after at each tick.
fn has_leisure(node: &Shared) -> bool {
    let limit = node.config.load().maxmemory_bytes;
    let is_fenced =
        node.member().is_some_and(|member| member.leads().is_some() && !member.is_in_charge(node));
    !is_fenced
        && !node.role.holds_writes()
        && !node.loading.is_active()
        && node.snapshots.running().is_none()
        && (limit == 0 || node.keyspace.memory().used_bytes() <= limit)
        && node.replicas.all().iter().all(|replica| replica.is_online())
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
        // Those who wait, and those whose part it is to listen.
        let is_spared = [
            &client.blocked,
            &client.is_primary,
            &client.is_replica,
            &client.is_relayed,
            &client.is_subscriber,
            &client.is_monitor,
        ];
        let is_spared = || is_spared.iter().any(|is| is.load(Ordering::Relaxed));
        if idle_ms > timeout_ms && !is_spared() {
            tracing::debug!(id = client.id, "closing an idle client");
            client.kill();
        }
    }
}
