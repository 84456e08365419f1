//! The append-only file: what changed, told in commands, so that a restart finds it.
//!
//! The effect log hands its bytes to a [`sink`](Appender), which only copies them; a thread of its
//! own ([`writer`]) writes and syncs them, so a slow disk holds up no command. Where `appendfsync
//! always` promises that what was answered is on the disk, a connection keeps its replies until
//! the thread has got that far ([`Aof::awaits`]), and runs other commands meanwhile; one sync
//! covers all that was appended before it began. What is not written yet is bounded, in bytes and in
//! time: beyond that, commands that may write wait.
//!
//! On the disk it is Redis 7's set of files ([`manifest`]): a base, which is a state of the data
//! set, and increments. A start loads them in turn ([`load`]).
//!
//! Positions in here count the bytes that were handed over since the node started, whatever ids and
//! offsets the log has.

pub mod load;
pub mod manifest;
mod queue;
pub mod rewrite;
mod writer;

use crate::clock::Clock;
use crate::config::{AppendFsync, Settings};
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::persistence::rdb::{self as dump, put_footer, put_header};
use larder_protocol::{CommandError, rdb};
use larder_replication::{FrameKind, Sink};
use manifest::{Manifest, ManifestError, Names};
use parking_lot::{Condvar, Mutex};
use queue::{Mark, Queue};
use rewrite::Rewrite;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;
use writer::Writer;

/// Bytes that are not written yet, above which commands that may write wait.
const CONGESTED_BYTES: usize = 64 << 20;
/// How long the disk may keep the oldest of them waiting before such commands do: when Redis no longer
/// goes on without the disk.
const LATE: Duration = Duration::from_secs(2);

/// Why there is no append-only file.
#[derive(Debug, thiserror::Error)]
pub enum AofError {
    /// The manifest is of no use.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The files are of no use.
    #[error("{0}")]
    Load(#[from] load::LoadError),
    /// Something cannot be opened or written.
    #[error("{what}: {error}")]
    Io {
        /// What it is.
        what: String,
        /// Why.
        error: io::Error,
    },
}

impl AofError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// Whether there is an append-only file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    #[default]
    Off,
    /// It comes into force when its first base is made.
    Waiting,
    /// There is.
    On,
}

/// The append-only file of a node.
#[derive(Default)]
pub struct Aof {
    /// Whether replies wait for the disk.
    strict: AtomicBool,
    /// Reasons why commands that write do not run now: the constants of [`trouble`].
    trouble: AtomicU8,
    /// What was handed over, in bytes since the node started.
    appended: AtomicU64,
    /// How much of that is as safe as `appendfsync` asks for.
    synced: AtomicU64,
    queue: Mutex<Queue>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes callers in this process that wait for the disk.
    progress: Condvar,
    /// Wakes connections whose commands wait for room.
    drained: Notify,
    /// The set of files, changed by one at a time.
    files: Mutex<Files>,
    /// What INFO tells.
    pub facts: Facts,
    /// Its rewrites.
    pub rewrite: Rewrite,
}

/// Reasons why commands that write do not run now.
mod trouble {
    /// A write failed.
    pub(super) const WRITE: u8 = 1;
    /// A sync failed.
    pub(super) const SYNC: u8 = 2;
    /// Too much is not written yet, or for too long.
    pub(super) const CONGESTED: u8 = 4;
}

/// What is on the disk, and who writes it.
#[derive(Default)]
struct Files {
    manifest: Manifest,
    writer: Option<JoinHandle<()>>,
    /// Counts the bases that were begun, and those that were given up.
    attempt: u64,
}

/// What INFO tells of it.
#[derive(Debug, Default)]
pub struct Facts {
    phase: AtomicU8,
    /// Bytes of base and increments.
    pub current_size: AtomicU64,
    /// Those of base and increments when the base was made.
    pub base_size: AtomicU64,
    /// Whether a sync runs beside the commands.
    pub is_syncing: AtomicBool,
    /// Syncs that took so long that Redis would have written without waiting for them.
    pub delayed_fsync: AtomicU64,
    /// DEBUG AOF-FLUSH-SLEEP: microseconds before each write.
    pub flush_sleep_us: AtomicU64,
    /// Seconds since the Unix epoch of the last mark of time in the file.
    marked_s: AtomicI64,
    /// Whether there are such marks.
    marks_time: AtomicBool,
    /// Why writing or syncing failed the last time.
    failure: Mutex<String>,
}

impl Facts {
    /// Whether there is one.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Off,
            1 => Phase::Waiting,
            _ => Phase::On,
        }
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

fn now_s(node: &Shared) -> i64 {
    node.clock.unix_ms().div_euclid(1000)
}

/// Where the set of a node lies.
pub fn names(settings: &Settings) -> Names {
    let folder = settings.path(&settings.appenddirname);
    Names { folder, stem: settings.appendfilename.clone() }
}

/// Loads the set of files into a node that starts, and begins to append to it.
///
/// # Errors
/// The files are of no use, or cannot be opened.
pub fn start(node: &Arc<Shared>) -> Result<(), AofError> {
    let settings = node.config.load();
    let names = names(&settings);
    let manifest = Manifest::read(&names)?;
    let manifest = load::adopt_old_file(&settings, &names, manifest)
        .map_err(AofError::io("Can't take over the old-style append-only file"))?;
    let total_bytes = load::sizes(&names, &manifest)?.total_bytes;
    node.loading.begin(total_bytes, now_s(node));
    let loaded = load::load(node, &names, &manifest, &mut |bytes| node.loading.add(bytes))?;
    if node.shutdown.is_requested() {
        // It ended while this was loaded.
        return Ok(());
    }
    node.aof.facts.current_size.store(loaded.total_bytes, Ordering::Relaxed);
    node.aof.facts.base_size.store(loaded.base_bytes, Ordering::Relaxed);
    node.aof.open(node, manifest)
}

/// Loads the set of files in place of the data set (DEBUG LOADAOF); the caller holds no shard.
///
/// # Errors
/// The files are of no use; the data set is not whole then.
pub fn reload(node: &Arc<Shared>) -> Result<(), AofError> {
    node.aof.flush();
    let names = names(&node.config.load());
    let manifest = Manifest::read(&names)?;
    node.loading.begin(load::sizes(&names, &manifest)?.total_bytes, now_s(node));
    let loaded = load::reload(node, &names, &manifest);
    node.loading.end();
    Ok(loaded?)
}

impl Aof {
    /// Opens the set of files and begins to append to it, at the start of a node whose data set is
    /// what `manifest` says.
    ///
    /// # Errors
    /// The files cannot be made or opened.
    pub fn open(&self, node: &Arc<Shared>, mut manifest: Manifest) -> Result<(), AofError> {
        let settings = node.config.load();
        let names = names(&settings);
        let folder = names.folder.display();
        names
            .make_folder()
            .map_err(AofError::io(format!("Can't open or create append-only dir {folder}")))?;
        if manifest.is_empty() {
            let name = manifest.add_base(&names, "rdb");
            put_empty_base(node, &names.path(&name))
                .map_err(AofError::io(format!("Can't write the AOF base file {name}")))?;
            tracing::info!("Creating AOF base file {name} on server start");
        }
        let is_new = manifest.increments.is_empty();
        let name = match manifest.increments.last() {
            Some(last) => last.name.clone(),
            None => manifest.add_increment(&names),
        };
        let (file, size) = open_increment(&names.path(&name))
            .map_err(AofError::io(format!("Can't open the append-only file {name}")))?;
        if is_new {
            manifest.store(&names).map_err(AofError::io("Can't write the AOF manifest"))?;
            tracing::info!("Creating AOF incr file {name} on server start");
        } else {
            tracing::info!("Opening AOF incr file {name} on server start");
        }
        self.facts.set_phase(Phase::On);
        let mut files = self.files.lock();
        files.manifest = manifest;
        if !settings.aof_disable_auto_gc {
            rewrite::remove_history(&mut files, &names);
        }
        self.begin(node, &settings, &mut files, file, size)
            .map_err(AofError::io("Can't start the thread of the append-only file"))
    }

    /// Starts the writer and lets the log hand over what is appended from now on; the one before it
    /// has ended.
    fn begin(
        &self,
        node: &Arc<Shared>,
        settings: &Settings,
        files: &mut Files,
        file: File,
        size: u64,
    ) -> io::Result<()> {
        debug_assert!(files.writer.is_none(), "one writer at a time");
        self.follow(settings);
        let generation = self.queue.lock().open(node.log.offset());
        let mut writer = Writer::new(Arc::clone(node), file, size);
        let thread = std::thread::Builder::new()
            .name("larder-aof".to_owned())
            .spawn(move || writer.run())
            .inspect_err(|_| self.queue.lock().end())?;
        files.writer = Some(thread);
        let appender =
            Appender { aof: Arc::clone(&node.aof), clock: node.clock.clone(), generation };
        node.log.subscribe(Box::new(appender));
        Ok(())
    }

    /// Takes over what changed settings say.
    pub fn follow(&self, settings: &Settings) {
        let is_on = self.facts.phase() != Phase::Off;
        let strict = is_on && settings.appendfsync == AppendFsync::Always;
        self.facts.marks_time.store(settings.aof_timestamp_enabled, Ordering::Relaxed);
        let was_strict = self.strict.swap(strict, Ordering::SeqCst);
        // The writer looks at the settings when it comes back, those who waited for it at this.
        let mut queue = self.queue.lock();
        queue.wake_writer(&self.work);
        if was_strict && !strict {
            self.release(&mut queue);
        }
    }

    /// Writes and syncs what was handed over, and ends the thread.
    pub fn close(&self) {
        let Some(writer) = self.files.lock().writer.take() else { return };
        {
            let mut queue = self.queue.lock();
            queue.close();
            queue.wake_writer(&self.work);
        }
        // A thread that panicked has said so already.
        let _ = writer.join();
        self.facts.set_phase(Phase::Off);
        self.strict.store(false, Ordering::SeqCst);
        self.trouble.store(0, Ordering::Relaxed);
        self.drained.notify_waiters();
        let mut queue = self.queue.lock();
        self.synced.store(self.appended.load(Ordering::Acquire), Ordering::Release);
        self.release(&mut queue);
    }

    /// Whether replies wait for the disk.
    #[inline]
    pub fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Relaxed)
    }

    /// The position that replies from now on have to wait for; nothing where they need not wait.
    pub fn awaits(&self) -> Option<u64> {
        if !self.is_strict() {
            return None;
        }
        let appended = self.appended.load(Ordering::Acquire);
        (appended > self.synced.load(Ordering::Acquire)).then_some(appended)
    }

    /// Whether replies that wait for a position may leave.
    pub fn has_reached(&self, position: u64) -> bool {
        !self.is_strict() || self.synced.load(Ordering::Acquire) >= position
    }

    /// Whether replies that wait for a position may leave. If not, the client is woken when they
    /// may, and the writer goes to work at once.
    pub fn is_safe(&self, position: u64, client: &Arc<Client>) -> bool {
        if self.has_reached(position) {
            return true;
        }
        let mut queue = self.queue.lock();
        // The writer may have come that far meanwhile; it looks at those who wait under the lock.
        if self.has_reached(position) {
            return true;
        }
        queue.ask(position, Some(client));
        queue.wake_writer(&self.work);
        false
    }

    /// Blocks the calling thread until what was appended is safe, where replies wait for that.
    /// False when it never will be: the writer has ended.
    pub fn wait_until_safe(&self) -> bool {
        let Some(position) = self.awaits() else { return true };
        let mut queue = self.queue.lock();
        while self.is_strict() && self.synced.load(Ordering::Acquire) < position && queue.is_open()
        {
            queue.ask(position, None);
            queue.wake_writer(&self.work);
            self.progress.wait(&mut queue);
        }
        self.has_reached(position)
    }

    /// Blocks the calling thread until what was appended is written.
    pub fn flush(&self) {
        let mut queue = self.queue.lock();
        let end = self.appended.load(Ordering::Acquire);
        while queue.is_open() && queue.written_to() < end && self.is_well() {
            queue.ask(end, None);
            queue.wake_writer(&self.work);
            self.progress.wait_for(&mut queue, Duration::from_millis(10));
        }
    }

    /// Whether something keeps commands that write from running.
    #[inline]
    pub fn is_troubled(&self) -> bool {
        self.trouble.load(Ordering::Relaxed) != 0
    }

    /// The error of commands that write while the file cannot be written.
    pub fn refusal(&self) -> Option<CommandError> {
        self.failure().map(|reason| CommandError::misconf_aof(&reason))
    }

    /// Why the file cannot be written.
    pub fn failure(&self) -> Option<String> {
        (!self.is_well()).then(|| self.facts.failure.lock().clone())
    }

    /// Whether so much is not written yet, or for so long, that commands that may write have to wait.
    pub fn is_congested(&self) -> bool {
        self.trouble.load(Ordering::Relaxed) & trouble::CONGESTED != 0
    }

    /// Ends when there is room again, or when it turns out that nothing can be written.
    pub async fn has_room(&self) {
        // Made before the look: from then on it sees every call.
        let drained = self.drained.notified();
        if self.is_congested() {
            drained.await;
        }
    }

    /// The same, blocking the calling thread.
    pub fn wait_for_room(&self) {
        let mut queue = self.queue.lock();
        while self.is_congested() && self.is_well() && queue.is_open() {
            self.progress.wait_for(&mut queue, Duration::from_millis(100));
        }
    }

    /// Whether the last write and the last sync went well.
    pub fn is_well(&self) -> bool {
        self.trouble.load(Ordering::Relaxed) & (trouble::WRITE | trouble::SYNC) == 0
    }

    /// Bytes that are not written yet.
    pub fn buffered_bytes(&self) -> usize {
        self.queue.lock().len()
    }

    fn set_trouble(&self, reason: u8) {
        self.trouble.fetch_or(reason, Ordering::Relaxed);
    }

    fn end_trouble(&self, reason: u8) -> bool {
        self.trouble.fetch_and(!reason, Ordering::Relaxed) & reason != 0
    }

    fn fail(&self, reason: u8, error: &io::Error) {
        *self.facts.failure.lock() = crate::config::operating_system_text(error);
        self.set_trouble(reason);
        // Who waits for room is told so instead.
        self.drained.notify_waiters();
    }

    /// The offset of the log up to which everything is on the disk; nothing where no file is kept.
    pub fn synced_offset(&self) -> Option<u64> {
        match self.facts.phase() {
            Phase::Off => None,
            // Without a base a start would find nothing.
            Phase::Waiting => Some(0),
            Phase::On => Some(self.queue.lock().offset_on_disk()),
        }
    }

    /// Notes that everything up to a place is on the disk.
    fn is_on_disk(&self, node: &Shared, mark: Mark) {
        self.queue.lock().is_on_disk(mark);
        node.replicas.serve_acks(node);
    }

    /// Notes that everything up to a position is as safe as it has to be.
    fn advance(&self, position: u64) {
        let mut queue = self.queue.lock();
        self.synced.fetch_max(position, Ordering::Release);
        self.release(&mut queue);
    }

    fn release(&self, queue: &mut Queue) {
        let synced = self.synced.load(Ordering::Acquire);
        queue.wake_those_served(if self.is_strict() { synced } else { u64::MAX });
        self.progress.notify_all();
    }
}

/// An increment, and its length. Whatever is written goes to its end, also after a part of a write
/// was taken away.
fn open_increment(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// The base of a data set that begins empty.
fn put_empty_base(node: &Shared, path: &Path) -> io::Result<()> {
    let mut out = rdb::Writer::new(false);
    put_header(
        &mut out,
        &dump::Facts {
            created_s: now_s(node),
            used_bytes: node.keyspace.memory().used_bytes(),
            history: None,
            is_aof_base: true,
        },
    );
    put_footer(&mut out, node.config.load().rdbchecksum.then_some(0));
    let mut file = File::create(path)?;
    file.write_all(out.as_bytes())?;
    file.sync_all()
}

/// The reader of the effect log that feeds the file.
struct Appender {
    aof: Arc<Aof>,
    clock: Clock,
    /// The opening of the queue that it belongs to.
    generation: u64,
}

impl Sink for Appender {
    fn append(&mut self, offset: u64, bytes: &[u8], kind: FrameKind) -> bool {
        let aof = &*self.aof;
        let mut queue = aof.queue.lock();
        if queue.generation() != Some(self.generation) {
            return false;
        }
        queue.log_is_at(offset);
        if kind == FrameKind::Control {
            return true;
        }
        let mut added = bytes.len();
        if aof.facts.marks_time.load(Ordering::Relaxed) {
            let now_s = self.clock.unix_ms().div_euclid(1000);
            if aof.facts.marked_s.swap(now_s, Ordering::Relaxed) != now_s {
                let mark = format!("#TS:{now_s}\r\n");
                queue.push(mark.as_bytes());
                added += mark.len();
            }
        }
        queue.push(bytes);
        aof.appended.fetch_add(added as u64, Ordering::Release);
        let is_late = queue.is_late(|| self.clock.monotonic_nanos());
        // What cannot be written is no matter of time: clients' writes are refused then.
        if queue.len() > CONGESTED_BYTES || is_late && aof.is_well() {
            aof.set_trouble(trouble::CONGESTED);
        }
        queue.wake_if_due(&aof.work);
        true
    }
}

#[cfg(test)]
mod tests;
