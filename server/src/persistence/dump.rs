//! The dump file: when it is written, and how its saves went.
//!
//! Everything that saves comes through here: SAVE, BGSAVE, save points, FLUSHALL, the end of the node.
//! A save is a snapshot whose sink is a file.
//!
//! Changes are counted from the cut of the last save that succeeded: what was changed while it was
//! written is not in the file.

use super::file::DumpFile;
use super::snapshots::{Busy, Purpose, SnapshotError, Summary};
use crate::config::Settings;
use crate::keyspace::wait::{LOOK, Wait};
use crate::node::shared::Shared;
use larder_protocol::CommandError;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};

/// Seconds between two tries of the node itself when the first one failed, as in Redis.
const RETRY_S: i64 = 5;

/// How the saves of a node went.
#[derive(Default)]
pub struct Dump {
    state: Mutex<State>,
    /// Whether the last one failed: asked by every command.
    has_failed: AtomicBool,
    /// Whether one shall begin as soon as it can.
    is_scheduled: AtomicBool,
    /// How many were begun.
    pub saves: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Seconds since the Unix epoch.
    saved_s: i64,
    tried_s: i64,
    took_s: Option<i64>,
    held_bytes: u64,
    /// Changes that are in the file.
    changes: u64,
    /// The same before FLUSHALL, whose save is under way.
    before_flush: Option<u64>,
}

/// What a save knows when it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    /// When it began, in seconds since the Unix epoch.
    pub(super) began_s: i64,
    /// Changes up to its cut.
    pub(super) changes: u64,
    /// Whether nobody waits for it: only then a failure is news, and lets writes be refused.
    pub(super) is_in_background: bool,
}

/// What INFO shows.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Changes that are not in the file.
    pub changes: u64,
    /// When the last save succeeded, in seconds since the Unix epoch.
    pub saved_s: i64,
    /// Whether the last one did.
    pub is_ok: bool,
    /// How long the last one took.
    pub took_s: Option<i64>,
    /// The most memory that the last one held.
    pub held_bytes: u64,
}

impl Dump {
    /// What is there at the start counts as saved.
    pub fn begin(&self, now_s: i64) {
        self.state.lock().saved_s = now_s;
    }

    /// What INFO shows; `changes` are all that were made.
    pub fn view(&self, changes: u64) -> View {
        let state = *self.state.lock();
        View {
            changes: changes.saturating_sub(state.changes),
            saved_s: state.saved_s,
            is_ok: !self.has_failed(),
            took_s: state.took_s,
            held_bytes: state.held_bytes,
        }
    }

    /// When the last save succeeded, in seconds since the Unix epoch.
    pub fn saved_s(&self) -> i64 {
        self.state.lock().saved_s
    }

    /// Whether the last save failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Whether writes are refused because the last save failed.
    #[inline]
    pub fn denies_writes(&self, settings: &Settings) -> bool {
        self.has_failed() && settings.stop_writes_on_bgsave_error && !settings.save.is_empty()
    }

    /// Begins a save as soon as that can be.
    pub fn schedule(&self) {
        self.is_scheduled.store(true, Ordering::Relaxed);
    }

    /// Begins a save in the background; `done` is told whether it succeeded.
    ///
    /// # Errors
    /// Another snapshot runs.
    pub(super) fn start(&self, node: &Shared, done: Option<SyncSender<bool>>) -> Result<(), Busy> {
        let Some(kept) = node.keep() else { return Ok(()) };
        let settings = node.config.load();
        let path = settings.path(&settings.dbfilename);
        let purpose = if done.is_some() { Purpose::Save } else { Purpose::BackgroundSave };
        node.snapshots.start(node, purpose, Box::new(DumpFile::new(kept, path, done)))?;
        self.saves.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// BGSAVE.
    ///
    /// # Errors
    /// Another snapshot runs.
    pub fn start_in_background(&self, node: &Shared) -> Result<(), Busy> {
        self.start(node, None)?;
        tracing::info!("Background saving started");
        Ok(())
    }

    /// Saves and waits for it. The caller must hold no shard.
    ///
    /// # Errors
    /// As Redis's SAVE; also BUSY, where a command would wait for a slow script.
    pub fn save(&self, node: &Shared) -> Result<(), CommandError> {
        let (done, ended) = sync_channel(1);
        if self.start(node, Some(done)).is_err() {
            return Err(CommandError::SAVE_IN_PROGRESS);
        }
        let (mut wait, mut gave_up) = (Wait::default(), false);
        let is_saved = loop {
            match ended.recv_timeout(LOOK) {
                Ok(is_saved) => break is_saved,
                // A slow script keeps it from its cut.
                Err(RecvTimeoutError::Timeout) if wait.look() => {
                    gave_up |= node.snapshots.give_up_uncut(Purpose::Save);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Without an answer it never began.
                Err(RecvTimeoutError::Disconnected) => break false,
            }
        };
        // Who is told that it ended may begin the next.
        node.snapshots.wait_while(Purpose::Save);
        match is_saved {
            true => Ok(()),
            false if gave_up => Err(node.scripts.slow.error_or_script()),
            false => Err(CommandError::SAVE_FAILED),
        }
    }

    /// Notes how a save ended.
    pub(super) fn ended(
        &self,
        node: &Shared,
        attempt: Attempt,
        result: Result<Summary, SnapshotError>,
    ) {
        let now_s = node.clock.unix_ms().div_euclid(1000);
        let mut state = self.state.lock();
        (state.tried_s, state.took_s) = (attempt.began_s, Some(now_s - attempt.began_s));
        match result {
            Ok(summary) => {
                state.saved_s = now_s;
                // One that somebody waited for may be of before FLUSHALL, whose own is still to come.
                let is_before_flush = attempt.changes < state.changes;
                state.before_flush = is_before_flush.then_some(attempt.changes);
                state.changes = state.changes.max(attempt.changes);
                state.held_bytes = summary.held_bytes;
                self.has_failed.store(false, Ordering::Relaxed);
            }
            Err(SnapshotError::Unwanted) => tracing::info!("a save was given up"),
            Err(error) => {
                tracing::warn!("Write error while saving DB to the disk: {error}");
                if let Some(changes) = state.before_flush.take() {
                    state.changes = changes;
                }
                if attempt.is_in_background {
                    self.has_failed.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Lets the file follow FLUSHALL: a save in the background that is under way is of no use any more,
    /// and one of what is left begins at once. `changes` are all that were made, those of the flush
    /// included.
    pub fn flushed(&self, node: &Shared, settings: &Settings, changes: u64) {
        node.snapshots.give_up(Purpose::BackgroundSave);
        if !settings.save.is_empty() && !settings.dbfilename.is_empty() {
            let mut state = self.state.lock();
            let before = std::mem::replace(&mut state.changes, changes);
            state.before_flush.get_or_insert(before);
            self.schedule();
        }
    }

    /// Begins what is due: a save point's save, or one that was scheduled. To be called now and then.
    pub(crate) fn keep(&self, node: &Shared) {
        let settings = node.config.load();
        let is_scheduled = self.is_scheduled.load(Ordering::Relaxed);
        if (settings.save.is_empty() && !is_scheduled)
            || settings.dbfilename.is_empty()
            || node.loading.is_active()
            || node.snapshots.running().is_some()
        {
            return;
        }
        let (state, now_s) = (*self.state.lock(), node.clock.unix_ms().div_euclid(1000));
        if self.has_failed() && now_s - state.tried_s <= RETRY_S {
            return;
        }
        let changes = node.stats.dirty().saturating_sub(state.changes);
        let point = settings
            .save
            .iter()
            .find(|point| changes >= point.changes && now_s - state.saved_s > point.seconds as i64);
        if let Some(point) = point {
            tracing::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
        } else if !is_scheduled {
            return;
        }
        // Somebody else may have begun a snapshot just now; then this is for the next time.
        if self.start_in_background(node).is_ok() {
            self.is_scheduled.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::clock::Clock;
    use crate::config::DirectiveOptions;

    #[test]
    fn a_save_takes_the_time_since_its_own_beginning() {
        let clock = Clock::manual(1_700_000_000_000);
        let node = Node::builder().clock(clock).threads(1).start().unwrap();
        let shared = node.shared();
        // Before whoever began it goes on, after another one: all that counts is what it carries.
        for took_s in [100, 0, 1000] {
            let began_s = 1_700_000_000 - took_s;
            let attempt = Attempt { began_s, changes: 0, is_in_background: true };
            shared.dump.ended(shared, attempt, Ok(Summary::default()));
            assert_eq!(shared.dump.view(0).took_s, Some(took_s));
        }
    }
}
