//! Pauses: which commands wait, and until when.
//!
//! CLIENT PAUSE is one reason for a pause; a failover, a group and the end of the node have reasons of
//! their own. Each begins and ends for itself, and commands wait for as long as one of them wants it.
//!
//! What is in force is one number, so that a command asks with one relaxed load and no two threads
//! ever see a mode of one pause with the end of another. Commands that wait belong to their
//! connections, which come back here for the end of the pause.
//!
//! Invariant: a client's pause is never shortened and never made milder, except by
//! [`Pause::unpause`] or by its end.

use crate::clock::Clock;
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bits of the state that hold the mode.
const MODE_BITS: u32 = 2;
/// The latest end that the state can hold, far beyond any date; later ones are taken for it.
const UNTIL_MAX_MS: i64 = i64::MAX >> MODE_BITS;
/// How long a waiting connection trusts its timer: the wall clock, which decides about the end, may
/// be set meanwhile.
const RECHECK: Duration = Duration::from_millis(100);

/// Which commands a pause holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that write, or may write through what they call.
    Write = 1,
    /// All.
    All = 2,
}

/// Why writes wait for as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// FAILOVER.
    Failover = 1,
    /// A group, whose primary changes or has no lease yet.
    Group = 2,
    /// The node is about to end.
    Shutdown = 3,
}

/// How many reasons there are, CLIENT PAUSE included, which is the first.
const REASONS: usize = 4;
const CLIENT: usize = 0;

/// A mode, and the end in milliseconds since the Unix epoch.
type Claim = (PauseMode, i64);

/// The state of all pauses.
#[derive(Debug, Default)]
pub struct Pause {
    /// 0 when nothing is paused; otherwise the strictest mode, and when that has to be found out anew,
    /// in milliseconds since the Unix epoch, shifted by [`MODE_BITS`].
    state: AtomicI64,
    claims: Mutex<[Option<Claim>; REASONS]>,
    lifted: Notify,
}

impl Pause {
    /// Pauses until a time in milliseconds since the Unix epoch: CLIENT PAUSE.
    ///
    /// A client's pause in force keeps the later of both ends and the stricter of both modes, whichever
    /// call brought which.
    pub fn pause(&self, mode: PauseMode, until_ms: i64, now_ms: i64) {
        let mut claims = self.claims.lock();
        let claim = match claims[CLIENT] {
            Some((old, end_ms)) if end_ms > now_ms => (old.max(mode), end_ms.max(until_ms)),
            _ => (mode, until_ms),
        };
        claims[CLIENT] = (claim.1 > now_ms).then_some(claim);
        self.combine(&claims);
    }

    /// Ends the clients' pause; commands that wait run, unless there is another reason to wait.
    pub fn unpause(&self) {
        self.end(CLIENT);
    }

    /// Lets writes wait until [`release`](Self::release).
    pub(crate) fn hold(&self, reason: Reason) {
        let mut claims = self.claims.lock();
        claims[reason as usize] = Some((PauseMode::Write, UNTIL_MAX_MS));
        self.combine(&claims);
    }

    /// Whether writes wait for this reason.
    pub(crate) fn is_held(&self, reason: Reason) -> bool {
        self.is_active() && self.claims.lock()[reason as usize].is_some()
    }

    /// This reason is none any more.
    pub(crate) fn release(&self, reason: Reason) {
        self.end(reason as usize);
    }

    fn end(&self, reason: usize) {
        let mut claims = self.claims.lock();
        claims[reason] = None;
        self.combine(&claims);
        drop(claims);
        self.lifted.notify_waiters();
    }

    /// Notes what all reasons together ask for.
    fn combine(&self, claims: &[Option<Claim>; REASONS]) {
        let strictest = claims.iter().flatten().map(|(mode, _)| *mode).max();
        // With the first end it may be a milder one.
        let first_end_ms = claims.iter().flatten().map(|(_, until_ms)| *until_ms).min();
        let state = match (strictest, first_end_ms) {
            (Some(mode), Some(until_ms)) => pack(mode, until_ms),
            _ => 0,
        };
        self.state.store(state, Ordering::Relaxed);
    }

    /// Whether there may be a pause: false means that nothing waits, true asks for
    /// [`blocks`](Self::blocks).
    #[inline]
    pub fn is_active(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Whether a command waits now; `is_write` when it writes or may write.
    ///
    /// While writes wait, expiry and eviction have to as well: they change the data set too.
    #[inline]
    pub fn blocks(&self, is_write: bool, now_ms: i64) -> bool {
        self.is_active() && self.blocks_now(is_write, now_ms)
    }

    #[cold]
    fn blocks_now(&self, is_write: bool, now_ms: i64) -> bool {
        match self.in_force(now_ms) {
            Some((mode, _)) => is_write || mode == PauseMode::All,
            None => false,
        }
    }

    /// Waits for the end of the pause, or for [`unpause`](Self::unpause).
    ///
    /// Another pause may be in force by then, so the caller asks [`blocks`](Self::blocks) again.
    pub async fn changed(&self, clock: &Clock) {
        // Made before the state is read: from then on it sees every unpause. It stays the same, so that
        // those who wait are woken in the order in which they began to.
        let mut lifted = pin!(self.lifted.notified());
        loop {
            let now_ms = clock.unix_ms();
            let Some((_, until_ms)) = self.in_force(now_ms) else { return };
            let left = Duration::from_millis(until_ms.abs_diff(now_ms)).min(RECHECK);
            if timeout(left, lifted.as_mut()).await.is_ok() {
                return;
            }
        }
    }

    /// What is in force, and when that has to be asked again; what is over is cleared away, which gives
    /// commands their fast path back.
    fn in_force(&self, now_ms: i64) -> Option<Claim> {
        let claim = unpack(self.state.load(Ordering::Relaxed))?;
        if claim.1 > now_ms {
            return Some(claim);
        }
        let mut claims = self.claims.lock();
        for claim in claims.iter_mut() {
            claim.take_if(|(_, until_ms)| *until_ms <= now_ms);
        }
        self.combine(&claims);
        unpack(self.state.load(Ordering::Relaxed))
    }
}

fn pack(mode: PauseMode, until_ms: i64) -> i64 {
    (until_ms.min(UNTIL_MAX_MS) << MODE_BITS) | mode as i64
}

fn unpack(state: i64) -> Option<Claim> {
    let mode = match state & ((1 << MODE_BITS) - 1) {
        1 => PauseMode::Write,
        2 => PauseMode::All,
        _ => return None,
    };
    Some((mode, state >> MODE_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Waker};

    /// What `blocks` says about a write and about a read.
    fn blocks(pause: &Pause, now_ms: i64) -> (bool, bool) {
        (pause.blocks(true, now_ms), pause.blocks(false, now_ms))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(future)
    }

    #[test]
    fn modes_and_end() {
        let pause = Pause::default();
        assert_eq!((pause.is_active(), blocks(&pause, 0)), (false, (false, false)));
        pause.pause(PauseMode::Write, 20, 10);
        assert_eq!((pause.is_active(), blocks(&pause, 19)), (true, (true, false)));
        assert_eq!((blocks(&pause, 20), pause.is_active()), ((false, false), false));
        pause.pause(PauseMode::All, 30, 20);
        assert_eq!(blocks(&pause, 29), (true, true));
        pause.unpause();
        assert_eq!((pause.is_active(), blocks(&pause, 29)), (false, (false, false)));
    }

    #[test]
    fn a_pause_in_force_is_only_widened() {
        let pause = Pause::default();
        pause.pause(PauseMode::All, 20, 0);
        pause.pause(PauseMode::Write, 30, 10);
        assert_eq!(blocks(&pause, 29), (true, true));
        pause.pause(PauseMode::Write, 15, 11);
        pause.pause(PauseMode::Write, 0, 11);
        assert_eq!((blocks(&pause, 29), blocks(&pause, 30)), ((true, true), (false, false)));
    }

    #[test]
    fn a_pause_that_is_over_counts_no_more() {
        let pause = Pause::default();
        pause.pause(PauseMode::All, 20, 0);
        pause.pause(PauseMode::Write, 40, 25);
        assert_eq!(blocks(&pause, 30), (true, false));
        pause.pause(PauseMode::All, 0, 45);
        assert!(!pause.is_active());
    }

    #[test]
    fn reasons_end_each_for_itself() {
        let pause = Pause::default();
        pause.hold(Reason::Failover);
        pause.hold(Reason::Shutdown);
        pause.pause(PauseMode::All, 20, 10);
        assert_eq!(blocks(&pause, 19), (true, true));
        assert_eq!(blocks(&pause, 20), (true, false), "what is left is milder");
        pause.unpause();
        pause.release(Reason::Failover);
        assert_eq!(blocks(&pause, i64::MAX - 1), (false, false), "beyond all time");
        assert!(!pause.is_active());
        pause.hold(Reason::Shutdown);
        pause.unpause();
        assert_eq!(blocks(&pause, 30), (true, false), "a client cannot end it");
        pause.release(Reason::Shutdown);
        assert!(!pause.is_active());
    }

    #[test]
    fn the_latest_end() {
        let pause = Pause::default();
        pause.pause(PauseMode::All, i64::MAX, 0);
        assert_eq!(blocks(&pause, UNTIL_MAX_MS - 1), (true, true));
    }

    #[test]
    fn unpause_wakes_who_waits() {
        run(async {
            let (pause, clock) = (Pause::default(), Clock::manual(0));
            pause.pause(PauseMode::All, i64::MAX, 0);
            let mut waiting = pin!(pause.changed(&clock));
            let mut context = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            pause.unpause();
            assert!(waiting.poll(&mut context).is_ready());
        });
    }

    #[test]
    fn the_end_wakes_who_waits() {
        run(async {
            let (pause, clock) = (Pause::default(), Clock::manual(0));
            pause.pause(PauseMode::Write, 3_600_000, 0);
            let mut waiting = pin!(pause.changed(&clock));
            assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err());
            clock.advance(3_599_999);
            assert!(timeout(RECHECK * 2, waiting.as_mut()).await.is_err());
            clock.advance(1);
            assert!(timeout(RECHECK * 50, waiting).await.is_ok());
        });
    }

    #[test]
    fn nothing_to_wait_for() {
        run(Pause::default().changed(&Clock::manual(0)));
    }
}
