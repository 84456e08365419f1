//! Snapshots as bytes: from the cut to the last byte of a dump file, into a sink.
//!
//! One snapshot runs at a time, in a thread of its own. It makes the cut, at which the sink learns the
//! place in the effect log, and then goes through the shards ([`keyspace::snapshot`]): short holds of a
//! shard's lock in which entries are copied, and writing them out in between. What is on the way is
//! bounded: a sink that takes bytes slowly holds up the walker, and writers who go on meanwhile may
//! leave so much and no more before the snapshot fails.
//!
//! [`keyspace::snapshot`]: crate::keyspace::snapshot

use super::rdb::{Facts, History, put_database, put_footer, put_functions, put_header};
use crate::clock::Tick;
use crate::keyspace::SHARDS;
use crate::keyspace::snapshot::{Capture, Count, Piece, Spoiled, Taken};
use crate::node::shared::Shared;
use crate::raw::EntryRef;
use crate::scripting::functions::Libraries;
use crate::types::rdb::{SaveOptions, put_entry};
use bytes::Bytes;
use larder_protocol::rdb::crc64::crc64;
use larder_protocol::rdb::{Writer, opcode};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

/// The place in the effect log at which a snapshot is cut.
pub use larder_replication::Position as Cut;

/// Bytes that a sink is given at a time, or a little more.
const CHUNK_BYTES: usize = 128 * 1024;
/// Writers may leave this much in any case, and half of what the data set takes.
const LEFT_MIN_BYTES: u64 = 64 << 20;
/// What writers left is collected ahead of the walk from so many bytes on.
const COLLECT_BYTES: u64 = 4 << 20;
/// How long BGSAVE waits for its cut: as a rule less than a millisecond.
const CUT_PATIENCE: Duration = Duration::from_millis(100);
/// Between two tries to hold all shards while a script runs for long.
const RETRY: Duration = Duration::from_millis(5);

/// Where a snapshot's bytes go: a dump file from its first byte to its checksum.
pub trait SnapshotSink: Send {
    /// The cut was made. All shards are locked, so this must be short, wait for nothing, and touch no
    /// key; what is appended to the effect log from `cut` on is not in the snapshot.
    fn begin(&mut self, cut: &Cut);

    /// Takes the next bytes; may block.
    ///
    /// # Errors
    /// The snapshot ends with an error then.
    fn write(&mut self, chunk: Bytes) -> io::Result<()>;

    /// The snapshot is complete, or will never be. Called once in any case; another one cannot be
    /// started before it returns.
    fn end(self: Box<Self>, result: Result<Summary, SnapshotError>);
}

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The dump file, and somebody waits for it: SAVE, SHUTDOWN.
    Save,
    /// The dump file: BGSAVE, a save point, FLUSHALL.
    BackgroundSave,
    /// The full synchronisation of replicas.
    Replication,
    /// The base of an append-only file.
    AppendOnlyFile,
}

/// What is told of a snapshot that is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its keys.
    pub keys: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The most memory that it held besides the data set.
    pub held_bytes: u64,
    /// How long all shards were held for the cut.
    pub cut: Duration,
    /// How long it took.
    pub took: Duration,
}

/// Why a snapshot did not become complete.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The sink refused bytes.
    #[error("{0}")]
    Write(#[from] io::Error),
    /// It was given up.
    #[error("it was given up")]
    Unwanted,
    /// Writers changed the data set faster than the sink took it.
    #[error("what writers changed meanwhile took more than {0} bytes, as its receiver is slow")]
    TooLarge(u64),
    /// Its thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// A fault of this program.
    #[error("an internal error")]
    Internal,
}

/// Another snapshot runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(pub Purpose);

/// The snapshots of a node.
#[derive(Default)]
pub struct Snapshots {
    running: Mutex<Option<Arc<Running>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: Notify,
    idle: Condvar,
    /// How many cuts were made.
    pub cuts: AtomicU64,
    /// How long the last cut held all shards, in microseconds.
    pub last_cut_us: AtomicU64,
}

/// A snapshot that runs.
pub struct Running {
    /// What it is for.
    pub purpose: Purpose,
    /// When it began.
    pub began: Tick,
    /// Keys at the cut.
    pub keys: AtomicU64,
    /// Keys that were written so far.
    pub written: AtomicU64,
    /// Its bond with the data set.
    pub capture: Arc<Capture>,
    is_cut: AtomicBool,
}

impl Snapshots {
    /// Begins a snapshot; its cut follows as soon as all shards can be held.
    ///
    /// May be called by whoever holds shards: it is made by another thread.
    ///
    /// # Errors
    /// Another one runs; then `sink` is dropped.
    pub fn start(
        &self,
        node: &Shared,
        purpose: Purpose,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), Busy> {
        let capture = capture(node);
        let running = Arc::new(Running {
            purpose,
            began: node.clock.tick(),
            keys: AtomicU64::new(0),
            written: AtomicU64::new(0),
            capture: Arc::new(capture),
            is_cut: AtomicBool::new(false),
        });
        {
            let mut slot = self.running.lock();
            if let Some(other) = &*slot {
                return Err(Busy(other.purpose));
            }
            *slot = Some(Arc::clone(&running));
        }
        let Some(node) = node.keep() else {
            self.finish(sink, Err(SnapshotError::Unwanted));
            return Ok(());
        };
        // Its own slot: the sink must be there to be told when the thread is not.
        let slot = Arc::new(Mutex::new(Some(sink)));
        let theirs = Arc::clone(&slot);
        let spawned =
            std::thread::Builder::new().name("larder-snapshot".to_owned()).spawn(move || {
                if let Some(sink) = theirs.lock().take() {
                    run(&node, &running, sink);
                }
            });
        match spawned {
            Ok(thread) => *self.thread.lock() = Some(thread),
            Err(error) => {
                if let Some(sink) = slot.lock().take() {
                    self.finish(sink, Err(SnapshotError::Thread(error)));
                }
            }
        }
        Ok(())
    }

    /// The snapshot that runs.
    pub fn running(&self) -> Option<Arc<Running>> {
        self.running.lock().clone()
    }

    /// Gives up the snapshot that runs, if it is for this purpose.
    pub fn give_up(&self, purpose: Purpose) {
        if let Some(running) = &*self.running.lock()
            && running.purpose == purpose
        {
            running.capture.spoil(Spoiled::Unwanted);
        }
    }

    /// The same if its cut is still to come; tells whether it is given up.
    pub(super) fn give_up_uncut(&self, purpose: Purpose) -> bool {
        let running = self.running.lock();
        let is_uncut = |running: &&Arc<Running>| {
            running.purpose == purpose && !running.is_cut.load(Ordering::Relaxed)
        };
        let uncut = running.as_ref().filter(is_uncut);
        uncut.inspect(|running| running.capture.spoil(Spoiled::Unwanted)).is_some()
    }

    /// Gives up the snapshot that runs.
    pub fn give_up_any(&self) {
        if let Some(running) = &*self.running.lock() {
            running.capture.spoil(Spoiled::Unwanted);
        }
    }

    /// Waits until no snapshot runs; another one may come first.
    pub async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running.lock().is_none() {
                return;
            }
            ended.await;
        }
    }

    /// The same for a thread that may block.
    pub fn wait(&self) {
        let mut running = self.running.lock();
        while running.is_some() {
            self.idle.wait(&mut running);
        }
    }

    /// Waits while one for this purpose runs.
    pub fn wait_while(&self, purpose: Purpose) {
        let runs = |running: &mut Option<Arc<Running>>| {
            running.as_ref().is_some_and(|running| running.purpose == purpose)
        };
        self.idle.wait_while(&mut self.running.lock(), runs);
    }

    /// Waits for the cut of the snapshot that runs, but not for long.
    ///
    /// The caller must hold no shard.
    pub fn wait_for_cut(&self) {
        let is_ahead = |running: &mut Option<Arc<Running>>| {
            running.as_ref().is_some_and(|running| !running.is_cut.load(Ordering::Relaxed))
        };
        self.idle.wait_while_for(&mut self.running.lock(), is_ahead, CUT_PATIENCE);
    }

    fn note_cut(&self, running: &Running) {
        // Under the lock, so that nobody who waits misses it.
        let _slot = self.running.lock();
        running.is_cut.store(true, Ordering::Relaxed);
        self.idle.notify_all();
    }

    /// Gives up what runs and waits for its end; for the end of the node.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().take();
        self.give_up_any();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic was noted already.
            let _ = thread.join();
        }
    }

    fn finish(&self, sink: Box<dyn SnapshotSink>, result: Result<Summary, SnapshotError>) {
        sink.end(result);
        *self.running.lock() = None;
        self.idle.notify_all();
        self.ended.notify_waiters();
    }
}

/// What the data set shall know of a snapshot.
fn capture(node: &Shared) -> Capture {
    let limit = LEFT_MIN_BYTES.max(node.keyspace.memory().data_bytes() / 2);
    let settings = node.config.load();
    let options = SaveOptions::of(&settings, node.clock.unix_ms());
    let compresses = settings.rdbcompression;
    let write = move |out: &mut Vec<u8>, entry: EntryRef<'_>| {
        let mut writer = Writer::new(compresses);
        put_entry(&mut writer, entry, options);
        if out.is_empty() {
            *out = writer.take();
        } else {
            out.extend_from_slice(writer.as_bytes());
        }
    };
    Capture::new(limit, Box::new(write))
}

/// The body of a snapshot's thread.
fn run(node: &Arc<Shared>, running: &Running, mut sink: Box<dyn SnapshotSink>) {
    let produced = catch_unwind(AssertUnwindSafe(|| produce(node, running, &mut *sink)));
    if !matches!(produced, Ok(Ok(_))) {
        // Marks must be as they were everywhere before the next one begins.
        running.capture.spoil(Spoiled::Unwanted);
        discard(node, &running.capture);
    }
    let result = match produced {
        Ok(Err(SnapshotError::Unwanted)) => Err(match running.capture.spoiled() {
            Some(Spoiled::TooLarge) => SnapshotError::TooLarge(running.capture.limit_bytes()),
            Some(Spoiled::Lost) => SnapshotError::Internal,
            Some(Spoiled::Unwanted) | None => SnapshotError::Unwanted,
        }),
        Ok(result) => result,
        Err(_) => Err(SnapshotError::Internal),
    };
    node.snapshots.finish(sink, result);
}

/// Cuts, walks and writes.
fn produce(
    node: &Shared,
    running: &Running,
    sink: &mut dyn SnapshotSink,
) -> Result<Summary, SnapshotError> {
    let capture = &running.capture;
    let started = running.began;
    let (cut, took) = cut(node, capture, sink)?;
    node.snapshots.note_cut(running);
    let keys = cut.counts.iter().map(|count| count.keys).sum();
    running.keys.store(keys, Ordering::Relaxed);
    let mut out = Writing::new(node, running, sink);
    out.head(&cut, running.purpose);
    // At once: the sink learns early whether it can take anything, and its receiver that it begins.
    out.send()?;
    let mut piece = Piece::default();
    for index in 0..SHARDS {
        loop {
            let is_walked = node.keyspace.walk_piece(index, &mut piece);
            out.take(&mut piece)?;
            if is_walked {
                break;
            }
        }
        if capture.left_bytes() > COLLECT_BYTES {
            for ahead in index + 1..SHARDS {
                node.keyspace.collect(ahead, &mut piece);
                out.take(&mut piece)?;
            }
        }
        out.take_adopted(&mut piece)?;
    }
    out.take_adopted(&mut piece)?;
    out.tail()?;
    Ok(Summary {
        keys: running.written.load(Ordering::Relaxed),
        bytes: out.bytes,
        held_bytes: capture.peak_bytes(),
        cut: took,
        took: node.clock.since(started),
    })
}

/// What is known of the instant of a cut.
struct Instant {
    /// The place in the log, if anybody may go on from there.
    position: Option<Cut>,
    /// Sizes of the databases.
    counts: Vec<Count>,
    libraries: Arc<Libraries>,
}

/// Holds all shards for the instant that the snapshot shows; tells how long.
fn cut(
    node: &Shared,
    capture: &Arc<Capture>,
    sink: &mut dyn SnapshotSink,
) -> Result<(Instant, Duration), SnapshotError> {
    let is_slow = || node.scripts.slow.any();
    let mut held = loop {
        // Who holds all shards but those of a script that runs for long holds up everybody.
        let held = (!is_slow()).then(|| node.keyspace.lock_all_unless(is_slow)).flatten();
        // Behind the wait: whoever gave it up meanwhile is done with it.
        if capture.is_spoiled() {
            return Err(SnapshotError::Unwanted);
        }
        match held {
            Some(held) => break held,
            None => std::thread::sleep(RETRY),
        }
    };
    let began = node.clock.tick();
    sink.begin(&node.log.position());
    // Now: a sink may have begun the history that is kept from here on.
    let position = node.log.backlog().map(|_| node.log.position());
    let counts = node.keyspace.cut(&mut held, capture);
    let (libraries, _) = node.scripts.functions.current();
    drop(held);
    let took = node.clock.since(began);
    node.snapshots.cuts.fetch_add(1, Ordering::Relaxed);
    node.snapshots.last_cut_us.store(took.as_micros() as u64, Ordering::Relaxed);
    let threshold_ms = node.config.load().latency_monitor_threshold_ms;
    // What Redis forks for.
    node.latency.record("fork", took.as_millis() as u64, threshold_ms, node.clock.unix_ms());
    Ok((Instant { position, counts, libraries }, took))
}

/// Walks what is left of a snapshot that nobody wants.
fn discard(node: &Shared, capture: &Capture) {
    let mut piece = Piece::default();
    for index in 0..SHARDS {
        while !node.keyspace.walk_piece(index, &mut piece) {
            piece.clear();
        }
        piece.clear();
    }
    while let Some(adopted) = capture.take_adopted() {
        capture.end_adopted(adopted);
    }
}

/// A dump file on its way into the sink.
struct Writing<'a> {
    node: &'a Shared,
    running: &'a Running,
    sink: &'a mut dyn SnapshotSink,
    out: Writer,
    options: SaveOptions,
    /// The checksum of what the sink has, if the file shall have one.
    checksum: Option<u64>,
    bytes: u64,
    /// The database that the last key belongs to.
    db: Option<usize>,
    /// `rdb-key-save-delay`.
    delay: Duration,
}

impl<'a> Writing<'a> {
    fn new(node: &'a Shared, running: &'a Running, sink: &'a mut dyn SnapshotSink) -> Self {
        let settings = node.config.load();
        Self {
            node,
            running,
            sink,
            out: Writer::new(settings.rdbcompression),
            options: SaveOptions::of(&settings, node.clock.unix_ms()),
            checksum: settings.rdbchecksum.then_some(0),
            bytes: 0,
            db: None,
            delay: Duration::from_micros(settings.rdb_key_save_delay_us.max(0) as u64),
        }
    }

    /// Everything before the keys.
    fn head(&mut self, instant: &Instant, purpose: Purpose) {
        let history = instant.position.as_ref().map(|position| History {
            id: position.replid.as_str(),
            offset: position.offset,
            // The next frame names its database in any case then.
            db: position.db.or(Some(0)),
        });
        let facts = Facts {
            created_s: self.node.clock.unix_ms().div_euclid(1000),
            used_bytes: self.node.keyspace.memory().used_bytes(),
            history,
            is_aof_base: purpose == Purpose::AppendOnlyFile,
        };
        put_header(&mut self.out, &facts);
        put_functions(&mut self.out, &instant.libraries);
        // Named once with their sizes; from here on keys come as they are met.
        for (number, count) in instant.counts.iter().enumerate().filter(|(_, count)| count.keys > 0)
        {
            put_database(&mut self.out, number, count.keys, count.volatile);
            self.db = Some(number);
        }
    }

    /// Writes what was taken.
    fn take(&mut self, piece: &mut Piece) -> Result<(), SnapshotError> {
        if self.running.capture.is_spoiled() {
            return Err(SnapshotError::Unwanted);
        }
        for (db, taken) in &piece.taken {
            if taken.keys > 0 {
                self.entries(*db, taken)?;
            }
        }
        piece.clear();
        Ok(())
    }

    fn take_adopted(&mut self, piece: &mut Piece) -> Result<(), SnapshotError> {
        let capture = &self.running.capture;
        while let Some(mut adopted) = capture.take_adopted() {
            let mut is_walked = false;
            while !is_walked {
                is_walked = adopted.walk(piece);
                self.take(piece)?;
            }
            capture.end_adopted(adopted);
        }
        Ok(())
    }

    fn entries(&mut self, db: usize, taken: &Taken) -> Result<(), SnapshotError> {
        if self.db != Some(db) {
            self.db = Some(db);
            self.out.opcode(opcode::SELECTDB);
            self.out.length(db as u64);
        }
        self.running.written.fetch_add(taken.keys, Ordering::Relaxed);
        for entry in taken.copies.iter() {
            put_entry(&mut self.out, entry, self.options);
            self.send_full()?;
        }
        self.out.raw(&taken.objects);
        self.send_full()?;
        self.pause(taken.keys)
    }

    /// Sleeps for as long as tests want it, in bits: a save may be given up.
    fn pause(&mut self, keys: u64) -> Result<(), SnapshotError> {
        let mut left = self.delay.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX));
        while !left.is_zero() {
            if self.running.capture.is_spoiled() {
                return Err(SnapshotError::Unwanted);
            }
            if self.node.config.load().rdb_key_save_delay_us == 0 {
                // Whoever waits for it has had enough.
                self.delay = Duration::ZERO;
                break;
            }
            let bit = left.min(RETRY);
            std::thread::sleep(bit);
            left -= bit;
        }
        Ok(())
    }

    fn tail(&mut self) -> Result<(), SnapshotError> {
        put_footer(&mut self.out, self.checksum);
        self.checksum = None;
        self.send()
    }

    fn send_full(&mut self) -> Result<(), SnapshotError> {
        if self.out.len() >= CHUNK_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), SnapshotError> {
        let chunk = self.out.take();
        self.checksum = self.checksum.map(|checksum| crc64(checksum, &chunk));
        self.bytes += chunk.len() as u64;
        Ok(self.sink.write(Bytes::from(chunk))?)
    }
}
