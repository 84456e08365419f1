//! FAILOVER: a primary and one of its replicas change places, and nothing is lost.
//!
//! Writes wait until a replica has all of the log. Then, while all shards are held and only if the log
//! still ends where that replica is, this node becomes its replica; the link asks it to be the primary
//! from that very offset on. Whatever goes wrong before it agrees makes this node the primary again.
//!
//! The link's thread looks after it: on a primary it has nothing else to do.

use super::pause::PauseMode;
use super::shared::Shared;
use crate::config::PrimaryAddress;
use crate::replicas::Replica;
use larder_protocol::CommandError;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How often a failover looks at its replicas.
const LOOK: Duration = Duration::from_millis(2);
/// Looks after which replicas are asked again how far they are: a second.
const ASK_LOOKS: u32 = 500;

/// What FAILOVER is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The replica that shall be the primary; none for whichever is first to have everything.
    pub target: Option<PrimaryAddress>,
    /// How long to wait for it, in milliseconds; none for ever.
    pub timeout_ms: Option<i64>,
    /// Whether it shall be the primary after that time whatever it has.
    pub force: bool,
}

/// A replica, as far as a failover cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it listens.
    pub address: PrimaryAddress,
    /// What it says it has of the log.
    pub offset: u64,
    /// Whether it has answered the latest question how far it is.
    pub has_answered: bool,
    /// Whether it follows the stream.
    pub is_online: bool,
}

/// The failover of a node, if there is one.
#[derive(Debug, Default)]
pub struct Failover {
    /// Whether there is one, for those who only look.
    is_under_way: AtomicBool,
    ongoing: Mutex<Option<Ongoing>>,
    begun: Notify,
}

#[derive(Debug)]
struct Ongoing {
    request: Request,
    until_ms: Option<i64>,
    /// Whether this node is a replica of the target already.
    has_turned: bool,
    /// The pause that was in force before.
    paused: i64,
}

impl Failover {
    /// Whether one is under way.
    #[inline]
    pub fn is_under_way(&self) -> bool {
        self.is_under_way.load(Ordering::Relaxed)
    }

    /// What INFO calls its state.
    pub fn state(&self) -> &'static str {
        match &*self.ongoing.lock() {
            None => "no-failover",
            Some(ongoing) if ongoing.has_turned => "failover-in-progress",
            Some(_) => "waiting-for-sync",
        }
    }

    /// Whether the link that is made now shall ask its primary to become one.
    pub(super) fn has_turned(&self) -> bool {
        self.ongoing.lock().as_ref().is_some_and(|ongoing| ongoing.has_turned)
    }
}

impl Shared {
    /// Begins a failover.
    ///
    /// # Errors
    /// Redis's refusals.
    pub fn begin_failover(&self, request: Request) -> Result<(), CommandError> {
        let mut ongoing = self.failover.ongoing.lock();
        if ongoing.is_some() {
            return Err(CommandError::FAILOVER_IN_PROGRESS);
        }
        if self.role.is_replica() {
            return Err(CommandError::FAILOVER_ON_REPLICA);
        }
        let candidates = self.candidates();
        if candidates.is_empty() {
            return Err(CommandError::FAILOVER_NO_REPLICAS);
        }
        if request.force && (request.timeout_ms.is_none() || request.target.is_none()) {
            return Err(CommandError::FAILOVER_FORCE);
        }
        if let Some(target) = &request.target {
            let candidate = candidates.iter().find(|candidate| is_at(candidate, target));
            let candidate = candidate.ok_or(CommandError::FAILOVER_NOT_A_REPLICA)?;
            if !candidate.is_online {
                return Err(CommandError::FAILOVER_NOT_ONLINE);
            }
        }
        let now_ms = self.clock.unix_ms();
        let until_ms = request.timeout_ms.map(|timeout_ms| now_ms.saturating_add(timeout_ms));
        let paused = self.pause.hold(PauseMode::Write);
        let target = request.target.as_ref();
        let name = target.map_or("any replica".to_owned(), |to| format!("{}:{}", to.host, to.port));
        tracing::info!("FAILOVER requested to {name}.");
        *ongoing = Some(Ongoing { request, until_ms, has_turned: false, paused });
        self.failover.is_under_way.store(true, Ordering::Relaxed);
        self.failover.begun.notify_waiters();
        Ok(())
    }

    /// Ends a failover that did not succeed; `promote` makes this node the primary again, where it is
    /// a replica already.
    ///
    /// # Errors
    /// There is none.
    pub fn abort_failover(
        &self,
        reason: &str,
        promote: impl FnOnce(&Self),
    ) -> Result<(), CommandError> {
        let Some(ongoing) = self.failover.ongoing.lock().take() else {
            return Err(CommandError::NO_FAILOVER);
        };
        tracing::warn!(reason, "FAILOVER aborted");
        if ongoing.has_turned {
            promote(self);
        }
        self.finish_failover(&ongoing);
        Ok(())
    }

    /// The target agreed.
    pub(super) fn complete_failover(&self) {
        if let Some(ongoing) = self.failover.ongoing.lock().take() {
            tracing::info!("FAILOVER is complete");
            self.finish_failover(&ongoing);
        }
    }

    fn finish_failover(&self, ongoing: &Ongoing) {
        self.failover.is_under_way.store(false, Ordering::Relaxed);
        self.pause.release(ongoing.paused);
    }

    /// Looks after failovers, for as long as the node is a primary.
    pub(super) async fn watch_failover(&self) {
        loop {
            // Made before the state is read: from then on it sees every beginning.
            let begun = self.failover.begun.notified();
            if !self.failover.is_under_way() {
                begun.await;
            }
            let (mut looks, mut asked) = (0, None);
            while self.failover.is_under_way() && !self.failover.has_turned() {
                if looks % ASK_LOOKS == 0 || asked.is_none_or(|(_, end)| end != self.log.offset()) {
                    asked = Some(self.ask());
                }
                if let Some(asked) = asked {
                    self.look(asked);
                }
                looks += 1;
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |replica: &Arc<Replica>| {
            let port = u16::try_from(replica.announced.port).ok()?;
            Some(Candidate {
                address: PrimaryAddress { host: replica.address(), port },
                // Before the offset, which may be of a later answer then.
                has_answered: replica.has_answered.load(Ordering::Acquire),
                offset: replica.acked(),
                is_online: replica.is_online(),
            })
        };
        self.replicas.all().iter().filter_map(candidate).collect()
    }

    /// Asks all replicas how far they are; gives the offsets before and after the question.
    fn ask(&self) -> (u64, u64) {
        let before = self.log.offset();
        for replica in self.replicas.all() {
            replica.has_answered.store(false, Ordering::Release);
        }
        self.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
        self.log.wake_readers();
        (before, self.log.offset())
    }

    /// Turns when a replica has everything up to the question, or when time is over.
    fn look(&self, asked: (u64, u64)) {
        let (wanted, force, until_ms) = match &*self.failover.ongoing.lock() {
            Some(Ongoing { request, until_ms, has_turned: false, .. }) => {
                (request.target.clone(), request.force, *until_ms)
            }
            _ => return,
        };
        let is_late = until_ms.is_some_and(|until_ms| until_ms <= self.clock.unix_ms());
        if is_late && !force {
            // It has not turned, so there is nothing to turn back; somebody else may have ended it.
            let _ = self.abort_failover("Replica never caught up before timeout", |_| ());
        } else if let (true, Some(target)) = (is_late, &wanted) {
            let PrimaryAddress { host, port } = target;
            tracing::info!("FAILOVER to {host}:{port} time out exceeded, failing over.");
            self.turn_to(target.clone(), None);
        } else {
            // Who answers has the question as well. Who had all before may not have it yet, and could
            // not be asked to go on from behind it.
            let has_all = |candidate: &Candidate| {
                candidate.is_online
                    && candidate.has_answered
                    && candidate.offset >= asked.0
                    && wanted.as_ref().is_none_or(|wanted| is_at(candidate, wanted))
            };
            if let Some(candidate) = self.candidates().into_iter().find(has_all) {
                self.turn_to(candidate.address, Some(asked.1));
            }
        }
    }

    /// Becomes the replica of `target`, unless the log does not end at `end` any more: a write that
    /// was let in before the pause may have come since.
    fn turn_to(&self, target: PrimaryAddress, end: Option<u64>) {
        let _all = self.keyspace.lock_all();
        if end.is_some_and(|end| end != self.log.offset()) {
            return;
        }
        let mut ongoing = self.failover.ongoing.lock();
        let Some(failover) = ongoing.as_mut().filter(|failover| !failover.has_turned) else {
            return;
        };
        tracing::info!(host = %target.host, port = target.port, "Failover target is synced, failing over");
        failover.request.target = Some(target.clone());
        failover.has_turned = true;
        drop(ongoing);
        self.follow(target);
    }
}

fn is_at(candidate: &Candidate, address: &PrimaryAddress) -> bool {
    candidate.address.port == address.port
        && candidate.address.host.eq_ignore_ascii_case(&address.host)
}
