//! Whether a node rests: nobody has asked it for anything in a while, and it has nothing to do.
//!
//! What looks after things now and then looks less often meanwhile, so that a node at rest costs next to
//! nothing. Invariant: the rest is over before a client's command runs, and who pauses is woken then, so
//! nothing that a command begins is looked at late.

use larder_replication::pace;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

/// The rest of one node. It has a cache line of its own: each command looks at it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Rest {
    is_on: AtomicBool,
    ended: Notify,
}

impl Rest {
    /// Begins.
    pub fn begin(&self) {
        self.is_on.store(true, Ordering::SeqCst);
    }

    /// Ends, if it has begun.
    #[inline]
    pub fn end(&self) {
        if self.is_on.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        self.is_on.store(false, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Pauses for `busy`; while the node rests for about as long as `resting` says, and no longer than
    /// it rests.
    pub async fn pause(&self, busy: Duration, resting: impl FnOnce() -> Duration) {
        let mut ended = pin!(self.ended.notified());
        // Before the look: what ends the rest after it is heard of.
        ended.as_mut().enable();
        if !self.is_on.load(Ordering::SeqCst) {
            return sleep(busy).await;
        }
        tokio::select! {
            () = ended => {}
            () = sleep_until(pace::after(resting())) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LONG: Duration = Duration::from_secs(1000);

    #[tokio::test]
    async fn who_pauses_is_woken_when_the_rest_ends() {
        let rest = Arc::new(Rest::default());
        rest.pause(Duration::from_millis(1), || LONG).await;
        rest.begin();
        rest.pause(LONG, || Duration::from_millis(1)).await;
        let other = Arc::clone(&rest);
        let paused = tokio::spawn(async move { other.pause(LONG, || LONG).await });
        tokio::task::yield_now().await;
        rest.end();
        let woken = tokio::time::timeout(LONG / 10, paused).await;
        assert!(woken.is_ok_and(|paused| paused.is_ok()));
        rest.pause(Duration::from_millis(1), || LONG).await;
        assert!(!rest.is_on.load(Ordering::SeqCst));
    }
}
