//! How a node is asked to end, and how its threads learn of it.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The request to end, seen by async tasks and by blocking waiters.
pub struct Shutdown {
    asked: watch::Sender<bool>,
    state: Mutex<bool>,
    changed: Condvar,
    failed: AtomicBool,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            asked: watch::channel(false).0,
            state: Mutex::new(false),
            changed: Condvar::new(),
            failed: AtomicBool::new(false),
        }
    }
}

impl Shutdown {
    /// Asks the node to end; asking again changes nothing.
    pub fn request(&self) {
        self.asked.send_replace(true);
        *self.state.lock() = true;
        self.changed.notify_all();
    }

    /// Asks because the node cannot go on.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.request();
    }

    /// Whether the node cannot go on.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        *self.asked.borrow()
    }

    /// Blocks the thread until somebody asks.
    pub fn wait(&self) {
        let mut asked = self.state.lock();
        while !*asked {
            self.changed.wait(&mut asked);
        }
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        // Fails only when the sender is gone, which `self` holds.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }
}
