//! The link of a replica to its primary, on a thread of its own.
//!
//! The thread does what the [role](super::role) says: as long as there is a primary it connects,
//! agrees on how to go on, takes the data set where it must, and follows the stream; whatever ends a
//! link, it begins anew, after a wait that grows within bounds. Another role ends it at once.
//!
//! Nothing that the primary sends costs what is here: a data set is loaded beside the live one and
//! takes its place only when it is whole, and a stream that makes no sense ends the link.
//!
//! Invariant: data, log and offset fit together whenever all shards are held. So a link that ended
//! anywhere, be it in the middle of a transaction, can go on from the log's offset.

mod follower;
mod transfer;
pub(in crate::node) mod wire;

use super::member::{self, Membership};
use super::role::{Progress, Stage, Task};
use super::shared::Shared;
use crate::config::{PrimaryAddress, Settings};
use follower::Follower;
use larder_replication::FrameKind;
use larder_replication::group::card::Origin;
use larder_replication::pace;
use larder_replication::replica::{
    Backoff, Beat, Handshake, Introduction, LINE_BYTES, Outcome, Pulse, Resume, Step,
};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep_until;
use wire::Wire;

/// How often a link looks at the time.
const TICK: Duration = Duration::from_millis(100);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum LinkError {
    /// The socket failed, or the primary closed it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The primary was silent for longer than `repl-timeout`.
    #[error("Timeout: no data nor PING received...")]
    Silent,
    /// What it said makes no sense or is a refusal.
    #[error("{0}")]
    Refused(String),
    /// It cannot go on now, and says so.
    #[error("Master is currently unable to PSYNC but should be in the future: {0}")]
    Later(String),
    /// What the stream said makes no sense; what comes after it cannot be found any more.
    #[error("Protocol error from master: {0}")]
    Protocol(String),
    /// The data set that came could not be loaded.
    #[error("Failed trying to load the MASTER synchronization DB from socket: {0}")]
    Load(String),
    /// Somebody killed the link.
    #[error("killed")]
    Killed,
    /// The role is another one.
    #[error("the role changed")]
    Obsolete,
}

/// The body of the link's thread; ends with the node.
pub(super) fn run(node: &Arc<Shared>) -> io::Result<()> {
    pace::note_runtime();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let node = Arc::clone(node);
    // What stands in `block_on` itself is woken by a write to the poller and a look at it.
    let served = runtime.spawn_local(async move {
        tokio::select! {
            () = node.shutdown.requested() => {}
            () = serve(&node) => {}
        }
    });
    runtime.block_on(served).map_err(io::Error::other)?;
    // A name that is still looked up must not hold up the end of the node.
    runtime.shutdown_background();
    Ok(())
}

/// Follows whoever the role names, one after the other.
async fn serve(node: &Arc<Shared>) {
    let mut backoff = match node.member() {
        // Whoever is to lead does so soon, and nobody else is there to be followed.
        Some(_) => Backoff::between(member::WAITS.0, member::WAITS.1),
        None => Backoff::default(),
    };
    let mut told = String::new();
    // It counts as a client, which a node that was never a replica does not have.
    let mut follower = None;
    loop {
        let Task { epoch, primary } = node.role.task();
        let Some(primary) = primary else {
            tokio::select! {
                () = node.role.changed(epoch) => {}
                () = node.watch_failover() => {}
                () = node.watch_lease() => {}
            }
            backoff.reset();
            continue;
        };
        let follower = follower.get_or_insert_with(|| Follower::new(node));
        let mut link = Link { node, epoch, primary, stood: false };
        let ended = tokio::select! {
            biased;
            () = node.role.changed(epoch) => Err(LinkError::Obsolete),
            ended = link.run(follower) => ended,
        };
        follower.end(node);
        if link.stood {
            backoff.reset();
        }
        let Err(error) = ended;
        let text = error.to_string();
        // The attempts of a member are many, and mostly end in the same way.
        if !matches!(error, LinkError::Obsolete) && (node.member().is_none() || text != told) {
            let PrimaryAddress { host, port } = &link.primary;
            tracing::warn!(%host, port, %error, "the link to the primary ended");
            told = text;
        }
        if matches!(error, LinkError::Protocol(_)) {
            node.role.set_broken(epoch, true);
        }
        node.role.set_stage(epoch, Stage::Connect, node.clock.unix_ms());
        tokio::select! {
            () = node.role.changed(epoch) => backoff.reset(),
            () = tokio::time::sleep(backoff.wait()) => {}
        }
    }
}

/// One connection to the primary.
struct Link<'n> {
    node: &'n Arc<Shared>,
    epoch: u64,
    primary: PrimaryAddress,
    /// Whether it came to the stream.
    stood: bool,
}

/// What never comes.
enum Never {}

/// Changes what the log says of the data; all shards are held. Where a group decides, its epoch
/// changes with it.
fn joined(node: &Shared, origin: Option<&Origin>, change: impl FnOnce()) {
    match (node.member(), origin) {
        (Some(member), Some(origin)) => member.join(node, origin, change),
        _ => change(),
    }
}

impl Link<'_> {
    async fn run(&mut self, follower: &mut Follower) -> Result<Never, LinkError> {
        let settings = self.node.config.load();
        let patience = self.patience();
        self.stage(Stage::Connecting);
        let PrimaryAddress { host, port } = &self.primary;
        tracing::info!(%host, port, "Connecting to MASTER");
        let connected = tokio::time::timeout(patience, Wire::connect(self.node, &self.primary));
        let mut wire = connected.await.map_err(|_| LinkError::Silent)??;
        self.stage(Stage::Handshake);
        follower.begin(self.node, &wire);
        let (outcome, origin) = self.shake_hands(&mut wire, &settings).await?;
        match &outcome {
            Outcome::Full(_) | Outcome::Continue(_) => self.node.complete_failover(),
            Outcome::Later(_) | Outcome::Refused(_) | Outcome::OtherEpoch(_) => {
                // Without one there is nothing to abort.
                let reason = "Failover target rejected psync request";
                let _ = self.node.abort_failover(reason, |node| {
                    node.promote();
                });
            }
        }
        match outcome {
            Outcome::Full(resume) => {
                tracing::info!(replid = %resume.replid, offset = resume.offset, "Full resync from master");
                self.stage(Stage::Sync);
                if let (Some(member), Some(origin)) = (self.node.member(), &origin) {
                    member.keep_lost_writes(self.node, origin)?;
                }
                let loaded = transfer::take(self, &mut wire).await?;
                self.install(loaded, resume, origin.as_ref(), follower)?;
                wire.send(&self.ack(follower)?).await?;
            }
            Outcome::Continue(replid) => {
                tracing::info!("Successful partial resynchronization with master.");
                self.go_on(replid, origin.as_ref(), follower)?;
                follower.owes_ack = true;
            }
            Outcome::Later(text) => return Err(LinkError::Later(text)),
            Outcome::Refused(text) => return Err(LinkError::Refused(text)),
            Outcome::OtherEpoch(epoch) => {
                if let Some(member) = self.node.member() {
                    member.heard_of(epoch);
                }
                return Err(LinkError::Later(format!("its epoch is {epoch}")));
            }
        }
        self.stood = true;
        self.stream(&mut wire, follower).await
    }

    fn stage(&self, stage: Stage) {
        self.node.role.set_stage(self.epoch, stage, self.node.clock.unix_ms());
    }

    /// How long the primary may be silent.
    fn patience(&self) -> Duration {
        let usual = Duration::from_secs(self.node.config.load().repl_timeout_s.into());
        if self.node.member().is_some() { usual.min(member::PATIENCE) } else { usual }
    }

    async fn shake_hands(
        &self,
        wire: &mut Wire,
        settings: &Settings,
    ) -> Result<(Outcome, Option<Origin>), LinkError> {
        let patience = self.patience();
        let position = self.node.log.position();
        let resume = Resume { replid: position.replid, offset: position.offset };
        let port = match settings.replica_announce_port {
            0 if settings.tls_replication && settings.tls_port != 0 => settings.tls_port,
            0 => settings.port,
            port => port,
        };
        let introduction = Introduction {
            password: settings.masterauth.clone(),
            user: settings.masteruser.clone(),
            port,
            address: settings.replica_announce_ip.clone(),
            resume: (!self.node.role.is_broken()).then_some(resume),
            failover: self.node.failover.has_turned(),
            card: self.node.member().map(Membership::card),
        };
        let (mut handshake, first) = Handshake::new(introduction);
        wire.send(&first).await?;
        loop {
            let line = wire.line(LINE_BYTES, patience).await?;
            self.note(Progress::Sync(0));
            match handshake.step(&line) {
                Step::Wait => {}
                Step::Send(bytes) => wire.send(&bytes).await?,
                Step::Done(outcome) => return Ok((outcome, handshake.origin().cloned())),
            }
        }
    }

    fn note(&self, progress: Progress) {
        self.node.role.note_io(self.node.clock.unix_ms(), progress);
    }

    /// Lets what was loaded take the place of the data set.
    fn install(
        &self,
        loaded: transfer::Loaded,
        resume: Resume,
        origin: Option<&Origin>,
        follower: &mut Follower,
    ) -> Result<(), LinkError> {
        let backlog_size = self.node.config.load().repl_backlog_size_bytes;
        // First: an own replica that begins anew at the new data shall find them.
        follower.replace_functions(&loaded.functions);
        let db = loaded.db;
        // A file that tells of the old data must not go on with the new.
        let keeps_file = self.node.aof.suspend(self.node);
        let is_installed = follower.replace(loaded.data, |node| {
            // With another role, what was loaded is nobody's any more.
            let is_current = node.role.epoch() == self.epoch;
            if is_current {
                joined(node, origin, || {
                    node.log.adopt(resume.replid, resume.offset, backlog_size);
                    node.log.append_raw(b"", FrameKind::Effect, db);
                });
            }
            is_current
        });
        if keeps_file {
            self.node.aof.resume(self.node);
        }
        if !is_installed {
            return Err(LinkError::Obsolete);
        }
        follower.select(db);
        // What was read of another history counts no more.
        let offset = self.node.log.offset();
        self.node.role.note_io(self.node.clock.unix_ms(), Progress::Stream(offset));
        self.node.role.set_broken(self.epoch, false);
        self.stage(Stage::Connected);
        tracing::info!(keys = loaded.keys, "MASTER <-> REPLICA sync: Finished with success");
        Ok(())
    }

    /// Goes on where the log ends, under another name if the primary has one by now.
    fn go_on(
        &self,
        replid: Option<larder_replication::ReplicationId>,
        origin: Option<&Origin>,
        follower: &mut Follower,
    ) -> Result<(), LinkError> {
        let _all = self.node.keyspace.lock_all();
        if self.node.role.epoch() != self.epoch {
            return Err(LinkError::Obsolete);
        }
        let log = &self.node.log;
        joined(self.node, origin, || {
            if let Some(replid) = replid {
                log.continue_as(replid);
            }
        });
        log.keep_backlog(self.node.config.load().repl_backlog_size_bytes);
        if let Some(db) = log.position().db {
            follower.select(db);
        }
        self.stage(Stage::Connected);
        Ok(())
    }

    /// How far we are, for the primary: what the log holds in another role is no acknowledgement to it.
    fn ack(&self, follower: &Follower) -> Result<Vec<u8>, LinkError> {
        let ack = follower.ack();
        if self.node.role.epoch() == self.epoch { Ok(ack) } else { Err(LinkError::Obsolete) }
    }

    /// Follows the stream.
    async fn stream(&self, wire: &mut Wire, follower: &mut Follower) -> Result<Never, LinkError> {
        let node = self.node;
        let now_ms = || node.clock.monotonic_nanos() / 1_000_000;
        let beat = node.member().map(Membership::beat);
        let mut pulse = match beat {
            // As soon as it is due by half: the next look comes a beat later.
            Some(beat) => Pulse::new(now_ms()).with_beat(beat.as_millis() as u64 / 2),
            None => Pulse::new(now_ms()),
        };
        let pause = beat.unwrap_or(TICK);
        let mut paused = pin!(sleep_until(pace::after(pause)));
        loop {
            while node.leaving.left_ms(0).is_some() {
                // Own replicas shall catch up before the end, so this one waits as writers do.
                tokio::time::sleep(TICK).await;
            }
            // What its own file has not written yet is bounded: where clients wait, so does this.
            let has_room = !node.aof.is_congested();
            let more = has_room && follower.run(node, self.epoch, &mut wire.input)?;
            if follower.is_killed() {
                return Err(LinkError::Killed);
            }
            if !has_room {
                // Nobody is silent to whom we do not listen.
                pulse.heard(now_ms());
            }
            let patience_ms = self.patience().as_millis() as u64;
            match pulse.beat(now_ms(), patience_ms) {
                Beat::Lost => return Err(LinkError::Silent),
                Beat::Sign => follower.owes_ack = true,
                Beat::Rest => {}
            }
            if std::mem::take(&mut follower.owes_ack) {
                wire.send(&self.ack(follower)?).await?;
                pulse.told(now_ms());
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                received = wire.receive(), if has_room => {
                    received?;
                    pulse.heard(now_ms());
                    let offset = node.log.offset() + wire.input.len() as u64;
                    self.note(Progress::Stream(offset));
                }
                () = node.aof.has_room(), if !has_room => {}
                () = &mut paused => paused.as_mut().reset(pace::after(pause)),
                () = follower.killed() => {}
            }
        }
    }
}
