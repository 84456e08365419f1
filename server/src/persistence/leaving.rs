//! How the node ends in order: SHUTDOWN, and the signals that mean the same.
//!
//! Writes wait from the beginning on. Replicas get the time of `shutdown-timeout` to take what was
//! written, then what shall be saved is saved, and then the node is asked to end. A thread of its own
//! does it, so that the others serve meanwhile; whatever goes wrong lets the node go on as before.

use super::aof::Phase;
use super::snapshots::Purpose;
use crate::config::ShutdownOptions;
use crate::dispatch::blocking::Waiter;
use crate::node::pause::Reason;
use crate::node::shared::Shared;
use larder_protocol::CommandError;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How often who waits for replicas looks at them.
const LOOK: Duration = Duration::from_millis(2);
/// Looks after which they are asked again how far they are: a second.
const ASK_LOOKS: u32 = 500;

/// The end of the node, if it is under way.
#[derive(Default)]
pub struct Leaving {
    state: Mutex<State>,
    changed: Condvar,
    /// Until when replicas have time, in milliseconds since the Unix epoch; 0 while nobody waits for
    /// them.
    until_ms: AtomicI64,
}

#[derive(Default)]
struct State {
    stage: Stage,
    is_aborted: bool,
    /// Clients whose SHUTDOWN is answered only if it fails.
    waiting: Vec<Arc<Waiter>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nobody asked for the end.
    #[default]
    Idle,
    /// It is being brought about.
    UnderWay,
    /// The node was asked to end.
    Done,
}

impl Leaving {
    /// How long replicas still have, in milliseconds, while they are waited for.
    pub fn left_ms(&self, now_ms: i64) -> Option<i64> {
        match self.until_ms.load(Ordering::Relaxed) {
            0 => None,
            until_ms => Some(until_ms - now_ms),
        }
    }

    /// Lets a client wait for the end of the node.
    pub fn wait(&self, waiter: &Arc<Waiter>) {
        let mut state = self.state.lock();
        if state.stage == Stage::Idle {
            drop(state);
            waiter.fail(CommandError::SHUTDOWN_FAILED);
        } else {
            state.waiting.push(Arc::clone(waiter));
        }
    }

    /// Forgets a client that waits no more.
    pub fn forget(&self, waiter: &Arc<Waiter>) {
        self.state.lock().waiting.retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// Whether the caller is the one who shall bring the end about.
    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        let is_first = state.stage == Stage::Idle;
        if is_first {
            (state.stage, state.is_aborted) = (Stage::UnderWay, false);
        }
        is_first
    }

    /// Waits for the outcome of what is under way.
    fn join(&self) -> Result<(), CommandError> {
        let mut state = self.state.lock();
        while state.stage == Stage::UnderWay {
            self.changed.wait(&mut state);
        }
        if state.stage == Stage::Done { Ok(()) } else { Err(CommandError::SHUTDOWN_FAILED) }
    }

    fn is_aborted(&self) -> bool {
        self.state.lock().is_aborted
    }
}

/// Begins to end the node, unless that is under way.
///
/// # Errors
/// There is no thread for it.
pub fn start(node: &Shared, options: ShutdownOptions) -> Result<(), CommandError> {
    if !node.leaving.begin() {
        return Ok(());
    }
    let Some(kept) = node.keep() else { return Ok(()) };
    let options = prepare(node, options);
    // It fails only with clients waiting, whom it tells.
    let body = move || drop(run(&kept, options));
    match std::thread::Builder::new().name("larder-leaving".to_owned()).spawn(body) {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "cannot start a thread for the shutdown");
            Err(cancel(node))
        }
    }
}

/// Ends the node, and blocks until it is asked to end. The caller must hold no shard.
///
/// # Errors
/// It was aborted, or what had to be saved was not; the node goes on.
pub fn leave(node: &Shared, options: ShutdownOptions) -> Result<(), CommandError> {
    if !node.leaving.begin() {
        return node.leaving.join();
    }
    run(node, prepare(node, options))
}

/// SHUTDOWN ABORT.
///
/// # Errors
/// Nothing is under way.
pub fn abort(node: &Shared) -> Result<(), CommandError> {
    {
        let mut state = node.leaving.state.lock();
        if state.stage != Stage::UnderWay {
            return Err(CommandError::NO_SHUTDOWN);
        }
        state.is_aborted = true;
        node.leaving.changed.notify_all();
    }
    tracing::info!("Shutdown manually aborted.");
    node.snapshots.give_up(Purpose::Save);
    // Whoever asks next finds a node that goes on.
    // It fails, unless the abort came too late.
    match node.leaving.join() {
        Err(_) => Ok(()),
        Ok(()) => Err(CommandError::NO_SHUTDOWN),
    }
}

/// What everybody sees as soon as somebody asked for the end; gives the options as they apply here.
fn prepare(node: &Shared, mut options: ShutdownOptions) -> ShutdownOptions {
    tracing::info!("User requested shutdown...");
    if node.loading.is_active() {
        // What was loaded so far would take the place of the whole.
        (options.save, options.nosave) = (false, true);
    }
    node.pause.hold(Reason::Shutdown);
    let timeout_ms = node.config.load().shutdown_timeout_s.saturating_mul(1000);
    if !options.now && timeout_ms != 0 && lagging(node, None) > 0 {
        let until_ms = node.clock.unix_ms().saturating_add_unsigned(timeout_ms);
        node.leaving.until_ms.store(until_ms, Ordering::Relaxed);
        tracing::info!("Waiting for replicas before shutting down.");
    }
    options
}

/// Whether the node waits for nobody any more before it ends: what replicas were told from then on
/// would not be in its file.
pub fn is_ending(node: &Shared) -> bool {
    node.pause.is_held(Reason::Shutdown) && node.leaving.until_ms.load(Ordering::Relaxed) == 0
}

fn run(node: &Shared, options: ShutdownOptions) -> Result<(), CommandError> {
    let asked = wait_for_replicas(node);
    node.leaving.until_ms.store(0, Ordering::Relaxed);
    // The owner of the node may have ended it meanwhile.
    let is_over = node.shutdown.is_requested();
    if is_over || !node.leaving.is_aborted() && finish(node, options, asked) {
        // Under the lock: an abort comes before this or too late.
        let mut state = node.leaving.state.lock();
        if is_over || !state.is_aborted {
            state.stage = Stage::Done;
            node.leaving.changed.notify_all();
            node.shutdown.request();
            return Ok(());
        }
    }
    if !node.leaving.is_aborted() {
        tracing::warn!(
            "Errors trying to shut down the server. Check the logs for more information."
        );
    }
    Err(cancel(node))
}

/// Lets everything go on; gives what clients are told.
fn cancel(node: &Shared) -> CommandError {
    node.leaving.until_ms.store(0, Ordering::Relaxed);
    node.pause.release(Reason::Shutdown);
    let waiting = {
        let mut state = node.leaving.state.lock();
        state.stage = Stage::Idle;
        node.leaving.changed.notify_all();
        std::mem::take(&mut state.waiting)
    };
    for waiter in waiting {
        waiter.fail(CommandError::SHUTDOWN_FAILED);
    }
    CommandError::SHUTDOWN_FAILED
}

/// A question to the replicas how far they are: where the log ended before and after it.
#[derive(Clone, Copy)]
struct Asked {
    before: u64,
    after: u64,
}

/// Gives replicas the time that they have to take what was written; gives what they were asked last.
fn wait_for_replicas(node: &Shared) -> Option<Asked> {
    let until_ms = node.leaving.until_ms.load(Ordering::Relaxed);
    if until_ms == 0 {
        return None;
    }
    let (mut looks, mut asked) = (0, None);
    loop {
        if looks % ASK_LOOKS == 0 || asked.is_none_or(|last: Asked| last.after != node.log.offset())
        {
            asked = ask(node);
        }
        looks += 1;
        let is_over = node.clock.unix_ms() >= until_ms || node.shutdown.is_requested();
        if is_over || lagging(node, asked) == 0 {
            return asked;
        }
        let mut state = node.leaving.state.lock();
        if state.is_aborted {
            return asked;
        }
        node.leaving.changed.wait_for(&mut state, LOOK);
    }
}

/// Asks all replicas how far they are; a replica leaves that to its primary.
fn ask(node: &Shared) -> Option<Asked> {
    if node.role.is_replica() {
        return None;
    }
    let before = node.log.offset();
    node.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
    node.log.wake_readers();
    Some(Asked { before, after: node.log.offset() })
}

/// The offset that a replica must have to have everything: who answers a question need not count the
/// question itself.
fn needed(node: &Shared, asked: Option<Asked>) -> u64 {
    let end = node.log.offset();
    asked.filter(|asked| asked.after == end).map_or(end, |asked| asked.before)
}

/// How many replicas lack something.
fn lagging(node: &Shared, asked: Option<Asked>) -> usize {
    let needed = needed(node, asked);
    node.replicas.all().iter().filter(|replica| replica.acked() < needed).count()
}

/// Tells how far replicas are.
fn tell_of_replicas(node: &Shared, asked: Option<Asked>) {
    let (needed, end, now_ms) = (needed(node, asked), node.log.offset(), node.clock.unix_ms());
    let replicas = node.replicas.all();
    let mut in_sync = 0;
    for replica in &replicas {
        if replica.acked() >= needed {
            in_sync += 1;
            continue;
        }
        tracing::info!(
            "Lagging replica {} reported offset {} behind master, lag={}, state={}.",
            replica.name(),
            end.saturating_sub(replica.acked()),
            replica.lag_s(now_ms),
            replica.stage().name(),
        );
    }
    if !replicas.is_empty() {
        let count = replicas.len();
        tracing::info!("{in_sync} of {count} replicas are in sync when shutting down.");
    }
}

/// Ends what is being written and saves what shall be saved; false if the node has to go on.
fn finish(node: &Shared, options: ShutdownOptions, asked: Option<Asked>) -> bool {
    tell_of_replicas(node, asked);
    match node.snapshots.running().map(|running| running.purpose) {
        Some(Purpose::Save | Purpose::BackgroundSave | Purpose::Replication) => {
            tracing::warn!("There is a child saving an .rdb. Killing it!");
        }
        Some(Purpose::AppendOnlyFile) => {
            // What has no first base yet would be lost.
            if node.aof.facts.phase() == Phase::Waiting {
                if !options.force {
                    tracing::warn!("Writing initial AOF, can't exit.");
                    return false;
                }
                tracing::warn!("Writing initial AOF. Exit anyway.");
            }
            tracing::warn!("There is a child rewriting the AOF. Killing it!");
        }
        None => {}
    }
    give_up_snapshots(node);
    if node.aof.facts.phase() != Phase::Off {
        tracing::info!("Calling fsync() on the AOF file.");
        node.aof.flush();
    }
    let has_save_points = !node.config.load().save.is_empty();
    if !options.save && (options.nosave || !has_save_points) {
        return true;
    }
    tracing::info!("Saving the final RDB snapshot before exiting.");
    if save(node).is_ok() {
        return true;
    }
    if options.force {
        tracing::warn!("Error trying to save the DB. Exit anyway.");
    } else {
        tracing::warn!("Error trying to save the DB, can't exit.");
    }
    options.force
}

/// Saves, after the end of what else is being written.
fn save(node: &Shared) -> Result<(), CommandError> {
    loop {
        match node.dump.save(node) {
            // A replica was faster.
            Err(error) if error == CommandError::SAVE_IN_PROGRESS => give_up_snapshots(node),
            saved => return saved,
        }
    }
}

fn give_up_snapshots(node: &Shared) {
    node.snapshots.give_up_any();
    node.snapshots.wait();
}
