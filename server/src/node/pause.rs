//! CLIENT PAUSE: which commands wait, and until when.
//!
//! The whole state is one number, so that a command asks with one relaxed load and no two threads
//! ever see a mode of one pause with the end of another. Commands that wait belong to their
//! connections, which come back here for the end of the pause.
//!
//! Invariant: a pause is never shortened and never made milder, except by [`Pause::unpause`] or by
//! its end.

use crate::clock::Clock;
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

/// The state of CLIENT PAUSE.
#[derive(Debug, Default)]
pub struct Pause {
    /// 0 when nothing is paused; otherwise the end in milliseconds since the Unix epoch, shifted by
    /// [`MODE_BITS`], and the mode.
    state: AtomicI64,
    lifted: Notify,
}

impl Pause {
    /// Pauses until a time in milliseconds since the Unix epoch.
    ///
    /// A pause in force keeps the later of both ends and the stricter of both modes, whichever call
    /// brought which.
    pub fn pause(&self, mode: PauseMode, until_ms: i64, now_ms: i64) {
        let widen = |state| {
            let (mode, until_ms) = match unpack(state) {
                Some((old, end_ms)) if end_ms > now_ms => (old.max(mode), end_ms.max(until_ms)),
                _ => (mode, until_ms),
            };
            Some(if until_ms > now_ms { pack(mode, until_ms) } else { 0 })
        };
        // The closure never declines, so this cannot fail.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, widen);
    }

    /// Ends the pause; commands that wait run.
    pub fn unpause(&self) {
        self.state.store(0, Ordering::Relaxed);
        self.lifted.notify_waiters();
    }

    /// Pauses for as long as it takes; gives what is in force until then, for
    /// [`release`](Self::release).
    pub(super) fn hold(&self, mode: PauseMode) -> i64 {
        let hold = |state| {
            let stricter = unpack(state).map_or(mode, |(old, _)| old.max(mode));
            Some(pack(stricter, UNTIL_MAX_MS))
        };
        // The closure never declines, so this gives the former state.
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, hold).unwrap_or(0)
    }

    /// Brings back what was in force before [`hold`](Self::hold).
    pub(super) fn release(&self, before: i64) {
        self.state.store(before, Ordering::Relaxed);
        self.lifted.notify_waiters();
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
        loop {
            // Made before the state is read: from then on it sees every unpause.
            let lifted = self.lifted.notified();
            let now_ms = clock.unix_ms();
            let Some((_, until_ms)) = self.in_force(now_ms) else { return };
            let left = Duration::from_millis(until_ms.abs_diff(now_ms)).min(RECHECK);
            if timeout(left, lifted).await.is_ok() {
                return;
            }
        }
    }

    /// The pause in force; one that is over is cleared away, which gives commands their fast path
    /// back.
    fn in_force(&self, now_ms: i64) -> Option<(PauseMode, i64)> {
        let state = self.state.load(Ordering::Relaxed);
        let (mode, until_ms) = unpack(state)?;
        if until_ms > now_ms {
            return Some((mode, until_ms));
        }
        // Fails when another pause has just begun; that one is asked about by the next command.
        let _ = self.state.compare_exchange(state, 0, Ordering::Relaxed, Ordering::Relaxed);
        None
    }
}

fn pack(mode: PauseMode, until_ms: i64) -> i64 {
    (until_ms.min(UNTIL_MAX_MS) << MODE_BITS) | mode as i64
}

fn unpack(state: i64) -> Option<(PauseMode, i64)> {
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
    use std::pin::pin;
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
