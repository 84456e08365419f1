//! What is saved before the node ends: SHUTDOWN, and the signals that mean the same.

use super::snapshots::Purpose;
use crate::node::pause::PauseMode;
use crate::node::shared::Shared;
use larder_protocol::CommandError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the node is about to leave.
#[derive(Default)]
pub struct Leaving {
    is_under_way: AtomicBool,
}

/// What shall be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The data set, if there are save points.
    AsConfigured,
    /// The data set.
    Save,
    /// Nothing.
    Nothing,
}

/// Saves what shall be saved and asks the node to end. The caller must hold no shard.
///
/// Writes wait from the last save's cut on: none is acknowledged that would not be in the file.
///
/// # Errors
/// The save failed, and the node goes on; not with `force`.
pub fn leave(node: &Shared, last: Last, force: bool) -> Result<(), CommandError> {
    if node.leaving.is_under_way.swap(true, Ordering::Relaxed) {
        return Err(CommandError::SHUTDOWN_FAILED);
    }
    let settings = node.config.load();
    let saves = match last {
        // What was loaded so far would take the place of the whole.
        _ if node.loading.is_active() => false,
        Last::AsConfigured => !settings.save.is_empty(),
        Last::Save => true,
        Last::Nothing => false,
    };
    if saves {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        node.pause.pause(PauseMode::Write, i64::MAX, node.clock.unix_ms());
        if let Err(error) = save(node) {
            if !force {
                tracing::warn!("Error trying to save the DB, can't exit.");
                node.pause.unpause();
                node.leaving.is_under_way.store(false, Ordering::Relaxed);
                return Err(error);
            }
            tracing::warn!("Error trying to save the DB. Exit anyway.");
        }
    }
    node.shutdown.request();
    Ok(())
}

/// Saves, after the end of what else is being written.
fn save(node: &Shared) -> Result<(), CommandError> {
    loop {
        node.snapshots.give_up(&[Purpose::Save, Purpose::Replication, Purpose::AppendOnlyFile]);
        node.snapshots.wait();
        match node.dump.save(node) {
            // A replica was faster.
            Err(error) if error == CommandError::SAVE_IN_PROGRESS => {}
            Err(_) => return Err(CommandError::SHUTDOWN_FAILED),
            Ok(()) => return Ok(()),
        }
    }
}
