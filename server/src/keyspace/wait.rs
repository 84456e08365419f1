//! What a thread does while it waits for a shard.
//!
//! Who holds a shard mostly lets go of it at once, but a script may keep it for as long as it runs. A
//! thread that serves clients must not leave them alone for that long, so it sets what it does
//! [`Meanwhile`]; each wait in [`lock`](super::lock) asks for it. Threads that serve nobody set nothing.

use std::cell::{Cell, OnceCell};
use std::time::Duration;

/// How long a wait lasts before the thread looks after anything else, and again after each look.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

thread_local! {
    static MEANWHILE: OnceCell<Box<dyn Meanwhile>> = const { OnceCell::new() };
    /// Whether the command of this thread went without a shard.
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// What a thread does while it waits.
pub(crate) trait Meanwhile {
    /// Called now and then during a wait. True if who can do without the shard shall not wait for it.
    fn look(&self) -> bool;

    /// The wait is over.
    fn end(&self);
}

/// Sets what this thread does while it waits, once.
pub(crate) fn set_meanwhile(meanwhile: Box<dyn Meanwhile>) {
    MEANWHILE.with(|cell| {
        let is_first = cell.set(meanwhile).is_ok();
        debug_assert!(is_first, "a thread has one task");
    });
}

/// A wait of this thread.
#[derive(Default)]
pub(crate) struct Wait {
    is_long: bool,
}

impl Wait {
    /// Does what the thread does while it waits; tells whether who can shall give up.
    pub(crate) fn look(&mut self) -> bool {
        self.is_long = true;
        MEANWHILE.with(|cell| cell.get().is_some_and(|meanwhile| meanwhile.look()))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.is_long {
            MEANWHILE.with(|cell| cell.get().into_iter().for_each(|meanwhile| meanwhile.end()));
        }
    }
}

/// Tries again and again what a slow script may keep it from, while the thread serves others.
pub(crate) async fn until(mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Notes that a command went without a shard: what it found is not what is there.
pub(super) fn give_up() {
    GAVE_UP.set(true);
}

/// Whether a command of this thread went without a shard.
pub(super) fn has_given_up() -> bool {
    GAVE_UP.get()
}

/// The same, once.
pub(crate) fn take_given_up() -> bool {
    GAVE_UP.take()
}
