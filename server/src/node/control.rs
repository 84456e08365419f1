//! The control thread: it accepts connections and does what must happen now and then.

use super::balance::Balancer;
use super::clients::{Client, Peer};
use super::shared::{Rebind, Shared};
use super::workers::{self, Arrival, Stream};
use crate::config::Settings;
use crate::connection::Thread;
use crate::dispatch::Executor;
use crate::listener::{Accepted, Listeners, Registered};
use crate::observe::stats::ThreadStats;
use crate::session::Session;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Redis samples its rates every 100 ms.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two looks at idle clients.
const IDLE_TICKS: u64 = 10;

/// Runs until shutdown is requested; `rebind` asks for other listeners at CONFIG SET.
pub(super) fn run(
    node: &Arc<Shared>,
    listeners: Listeners,
    mut rebind: UnboundedReceiver<Rebind>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let stats = node.stats.new_slot();
    runtime.block_on(async {
        let mut listeners = listeners.register()?;
        let (mut strays, load) = node.workers.help_out();
        let thread = Rc::new(Thread::new(Executor::new(Arc::clone(node)), load));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut balancer = Balancer::default();
        let mut count = 0u64;
        loop {
            tokio::select! {
                () = node.shutdown.requested() => return Ok(()),
                request = rebind.recv() => if let Some(Rebind { old, new, done }) = request {
                    // Sockets on one port exclude each other, so the old ones go first.
                    drop(listeners);
                    let bound = bind(&new);
                    let result = bound.as_ref().map(|_| ()).map_err(|error| {
                        std::io::Error::new(error.kind(), error.to_string())
                    });
                    listeners = bound.or_else(|_| bind(&old)).unwrap_or_else(|error| {
                        tracing::error!(%error, "cannot listen on the old addresses any more");
                        Registered::default()
                    });
                    // Whoever asked may be gone.
                    let _ = done.send(result);
                },
                stray = strays.recv() => if let Some(arrival) = stray {
                    tokio::task::spawn_local(workers::serve(Rc::clone(&thread), arrival));
                },
                accepted = listeners.accept() => match accepted {
                    Ok(accepted) => admit(node, &stats, accepted),
                    Err(error) => {
                        // Out of file descriptors, most likely: waiting is all that helps.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(TICK).await;
                    }
                },
                _ = ticks.tick() => {
                    count += 1;
                    let totals = node.stats.totals();
                    node.rates.sample(node.clock.unix_ms(), &totals);
                    node.keyspace.memory().peak_bytes();
                    balancer.tick(&node.workers, &node.clock, totals.commands_processed);
                    check_clients(node, &stats);
                    node.keep_tracking_limits();
                    node.workers.relieve();
                    if count.is_multiple_of(IDLE_TICKS) {
                        close_idle(node);
                    }
                },
            }
        }
    })
}

fn bind(settings: &Settings) -> std::io::Result<Registered> {
    Listeners::bind(settings)?.register()
}

/// Refuses a connection, or enters it in the registry and gives it to a thread.
fn admit(node: &Arc<Shared>, stats: &ThreadStats, accepted: Accepted) {
    let settings = node.config.load();
    let Accepted { mut stream, peer, fd } = accepted;
    let refusal = if node.clients.len() >= settings.maxclients as usize {
        stats.rejected_connections.add(1);
        Some("-ERR max number of clients reached\r\n")
    } else if settings.protected_mode && settings.requirepass.is_empty() && !peer.is_local() {
        stats.denied_connections.add(1);
        Some(PROTECTED)
    } else {
        None
    };
    if let Some(text) = refusal {
        // The socket's buffer is empty, so this cannot block; if the peer is gone, so be it.
        let _ = match &mut stream {
            Stream::Tcp(stream) => stream.write_all(text.as_bytes()),
            Stream::Unix(stream) => stream.write_all(text.as_bytes()),
            Stream::Duplex(_) => Ok(()),
        };
        return;
    }
    stats.connections.add(1);
    enter(node, stream, peer, fd);
}

/// Enters a connection in the registry and gives it to a thread; false when the node has ended.
pub(super) fn enter(node: &Arc<Shared>, stream: Stream, peer: Peer, fd: i32) -> bool {
    let id = node.clients.next_id();
    let client = Arc::new(Client::new(id, peer, fd, node.clock.unix_ms()));
    node.clients.add(Arc::clone(&client));
    let authenticated = node.config.load().requirepass.is_empty();
    let session = Session::new(client, authenticated);
    let assigned = node.workers.assign(Arrival { stream, session }).is_ok();
    if !assigned {
        node.clients.remove(id);
    }
    assigned
}

/// What a client from another machine reads in protected mode.
const PROTECTED: &str = "-DENIED protected mode is on and no password is set, so only connections \
    from this machine are accepted. Set a password (requirepass), or connect over the loopback \
    interface, or turn protection off (protected-mode no) if the network is trusted.\r\n";

/// Closes clients that have become too large without doing anything themselves: a limit was
/// lowered, or output waits for longer than the soft limit lasts.
fn check_clients(node: &Shared, stats: &ThreadStats) {
    let settings = node.config.load();
    let limit = settings.maxmemory_clients.bytes(settings.maxmemory_bytes);
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
        if idle_ms > timeout_ms && !client.blocked.load(Ordering::Relaxed) {
            tracing::debug!(id = client.id, "closing an idle client");
            client.kill();
        }
    }
}
