//! What all threads of a node share.

use super::clients::Clients;
use super::failover::Failover;
use super::group::face::Face;
use super::member::Membership;
use super::pause::Pause;
use super::rest::Rest;
use super::role::Role;
use crate::acl::Acl;
use crate::clock::Clock;
use crate::commands::renames::Renames;
use crate::config::{Config, ConfigError, Settings};
use crate::keyspace::Keyspace;
use crate::keyspace::garbage::Removed;
use crate::keyspace::notify::{Classes, Notifier};
use crate::keyspace::tracking::Tracking;
use crate::observe::errors::ErrorCounts;
use crate::observe::info::Rates;
use crate::observe::latency::LatencyMonitor;
use crate::observe::pressure::Pressure;
use crate::observe::slowlog::SlowLog;
use crate::observe::stats::Stats;
use crate::persistence::aof::Aof;
use crate::persistence::dump::Dump;
use crate::persistence::leaving::Leaving;
use crate::persistence::loading::Loading;
use crate::persistence::snapshots::Snapshots;
use crate::push::Push;
use crate::replicas::Replicas;
use crate::scripting::Scripts;
use crate::tls::{self, Tls};
use larder_replication::EffectLog;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::mpsc::UnboundedSender;

/// Asks the control thread, which owns the sockets, to listen elsewhere.
pub(super) struct Rebind {
    /// What it listens on now, and again when the new addresses cannot be bound.
    pub old: Settings,
    /// What it shall listen on.
    pub new: Settings,
    /// Told how it went.
    pub done: SyncSender<std::io::Result<()>>,
}

/// What the program around the node does when settings changed.
#[derive(Clone, Default)]
pub(super) struct OnChange(pub(super) Option<Arc<Then>>);

type Then = dyn Fn(&Settings) + Send + Sync;

impl std::fmt::Debug for OnChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OnChange").field(&self.0.is_some()).finish()
    }
}

/// One node's parts. Each part guards itself; this only holds them together.
pub struct Shared {
    /// Itself, for what outlives a command and comes back to the node.
    pub(super) this: Weak<Shared>,
    /// The configuration.
    pub config: Config,
    /// The names that commands answer to.
    pub renames: Renames,
    /// Users and what they may do.
    pub acl: Acl,
    /// The data.
    pub keyspace: Keyspace,
    /// Time.
    pub clock: Clock,
    /// What TLS connections use.
    pub tls: Tls,
    /// Connected clients.
    pub clients: Clients,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Primary or replica.
    pub role: Role,
    /// The change of places with a replica.
    pub failover: Failover,
    /// The replication group, if the node is a member of one.
    pub group: OnceLock<Arc<Face>>,
    /// The node's place in a group, if it has one.
    pub(super) member: Option<Arc<Membership>>,
    /// Keyspace events.
    pub notifier: Notifier,
    /// Client-side caching.
    pub tracking: Tracking,
    /// What connections are told unasked.
    pub push: Push,
    /// Whether nobody asks for anything.
    pub rest: Rest,
    /// The effect log.
    pub log: EffectLog,
    /// Those who follow it.
    pub replicas: Replicas,
    /// Snapshots of the data.
    pub snapshots: Snapshots,
    /// The dump file.
    pub dump: Dump,
    /// The load of the data set.
    pub loading: Loading,
    /// Whether the node saves for the last time.
    pub leaving: Leaving,
    /// The append-only file.
    pub aof: Arc<Aof>,
    /// Scripts and functions.
    pub scripts: Scripts,
    /// Counters of all threads.
    pub stats: Stats,
    /// Errors by code.
    pub errors: ErrorCounts,
    /// The time above `maxmemory`.
    pub pressure: Pressure,
    /// The slow log.
    pub slowlog: SlowLog,
    /// The latency monitor.
    pub latency: LatencyMonitor,
    /// Operations and bytes a second.
    pub rates: Rates,
    /// When the node started, in microseconds since the Unix epoch.
    pub started_us: i64,
    /// 40 hexadecimal digits, new for each start.
    pub run_id: String,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub skips_checksums: AtomicBool,
    /// Ends the node when a SHUTDOWN command or a signal asks for it.
    pub shutdown: super::shutdown::Shutdown,
    /// Connection threads to hand new connections to.
    pub workers: super::workers::Workers,
    pub(super) on_change: OnChange,
    pub(super) rebind: UnboundedSender<Rebind>,
    pub(super) reaper: Sender<Vec<Removed>>,
    /// What was given to the reaper.
    pub reaped: Reaped,
}

/// Counts of keys and values that the reaper was given.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Not freed yet.
    pub pending: AtomicU64,
    /// Freed since the start or CONFIG RESETSTAT.
    pub freed: AtomicU64,
}

impl Shared {
    /// The node, to be kept; nothing while it ends.
    pub fn keep(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Whether the checksums of payloads are looked at.
    pub fn checks_payloads(&self) -> bool {
        !self.skips_checksums.load(Ordering::Relaxed)
    }

    /// Lets a thread of its own free what was taken out of the keyspace.
    pub fn reap(&self, removed: Vec<Removed>) {
        if !removed.is_empty() {
            let objects = removed.iter().map(Removed::objects).sum();
            self.reaped.pending.fetch_add(objects, Ordering::Relaxed);
            // Without the thread, at the end of the node, they are freed here.
            let _ = self.reaper.send(removed);
        }
    }

    /// The classes of events that are worth collecting now.
    #[inline]
    pub fn wanted_events(&self) -> Classes {
        if self.tracking.clients() > 0 {
            return Classes(u32::MAX);
        }
        self.notifier.wanted(&self.push.channels)
    }

    /// Ends when commands that had to wait may try again: a pause is over, the append-only file has
    /// room.
    pub async fn resumed(&self) {
        if self.aof.is_congested() {
            self.aof.has_room().await;
        } else {
            self.pause.changed(&self.clock).await;
        }
    }

    /// An empty message ends the reaper.
    pub(super) fn stop_reaper(&self) {
        let _ = self.reaper.send(Vec::new());
    }

    /// Makes changed settings effective that are not read at each use: loads certificates, binds
    /// other sockets. `tls` is a directive of TLS that was named, though perhaps with the value it
    /// had: its file may be another one.
    ///
    /// # Errors
    /// A certificate or key that does not load, an address that cannot be bound; then everything
    /// stays as it was.
    pub fn apply(
        &self,
        old: &Settings,
        new: &Settings,
        tls: Option<&str>,
    ) -> Result<(), ConfigError> {
        let context = match tls {
            None => None,
            Some(directive) => tls::load(new, &self.clock).map_err(|error| {
                tracing::warn!(%error, "CONFIG SET: TLS stays as it was");
                let reason = "Unable to update TLS configuration. Check server logs.";
                ConfigError::refused(directive, reason)
            })?,
        };
        self.listen(old, new).map_err(|error| {
            tracing::warn!(%error, "CONFIG SET: cannot listen on the new address");
            // Binding is all that can fail, so it was a port or the address.
            let ports = [
                ("port", old.port != new.port),
                ("tls-port", old.tls_port != new.tls_port),
                ("metrics-port", old.metrics_port != new.metrics_port),
            ];
            match ports.into_iter().find(|(_, changed)| *changed) {
                Some((name, _)) => {
                    ConfigError::refused(name, "Unable to listen on this port. Check server logs.")
                }
                None => ConfigError::refused("bind", "Failed to bind to specified addresses."),
            }
        })?;
        if let Some(context) = context {
            self.tls.replace(context);
        }
        if old.requirepass != new.requirepass {
            self.acl.users.require(&new.requirepass);
        }
        self.notifier.set_classes(new.notify_keyspace_events);
        self.keep_file(old, new)?;
        self.aof.follow(new);
        self.keep_log(new);
        if let OnChange(Some(then)) = &self.on_change {
            then(new);
        }
        Ok(())
    }

    /// Begins or ends to keep an append-only file.
    fn keep_file(&self, old: &Settings, new: &Settings) -> Result<(), ConfigError> {
        match (old.appendonly, new.appendonly) {
            (false, true) => {
                let begun = self.keep().is_some_and(|node| self.aof.turn_on(&node).is_ok());
                let reason = "Unable to turn on AOF. Check server logs.";
                if begun { Ok(()) } else { Err(ConfigError::refused("appendonly", reason)) }
            }
            (true, false) => {
                self.aof.turn_off(self);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn listen(&self, old: &Settings, new: &Settings) -> std::io::Result<()> {
        let moved = old.port != new.port
            || old.tls_port != new.tls_port
            || old.metrics_port != new.metrics_port
            || old.metrics_bind != new.metrics_bind
            || old.bind != new.bind
            || old.unixsocket != new.unixsocket
            || old.tcp_backlog != new.tcp_backlog;
        if moved {
            let (done, bound) = sync_channel(1);
            let request = Rebind { old: old.clone(), new: new.clone(), done };
            // Nobody takes or answers it when the node ends; then it does not matter any more.
            if self.rebind.send(request).is_ok()
                && let Ok(result) = bound.recv()
            {
                result?;
            }
        }
        Ok(())
    }
}

/// The body of the reaper's thread.
pub(super) fn reap(node: &Shared, garbage: &Receiver<Vec<Removed>>) {
    while let Ok(removed) = garbage.recv() {
        if removed.is_empty() {
            return;
        }
        for removed in removed {
            let objects = removed.objects();
            drop(removed);
            node.reaped.freed.fetch_add(objects, Ordering::Relaxed);
            node.reaped.pending.fetch_sub(objects, Ordering::Relaxed);
        }
    }
}
