//! Rewriting: a new base, so that the files do not grow for ever.
//!
//! A snapshot makes the base beside the old one. At its cut, while all shards are held, the writer is
//! told to go on in a new increment, which the manifest names already: base and increment meet there
//! without a gap. When the base is complete the manifest names it, and all that came before becomes
//! history. Whatever step a crash comes after, the manifest on the disk names a whole set.
//!
//! A node that begins to keep a file while it runs has no base yet: its first increment has a
//! temporary name until there is one, so that a start never takes half a history for a whole one.

use super::manifest::{Manifest, Names};
use super::{Aof, AofError, Files, Phase, names, open_increment};
use crate::node::shared::Shared;
use crate::persistence::snapshots::{Cut, Purpose, SnapshotError, SnapshotSink, Summary};
use bytes::Bytes;
use larder_protocol::CommandError;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Failures in a row after which the next try waits.
const FAILURES: u64 = 3;
/// The longest such wait.
const WAIT_MAX_MINUTES: i64 = 60;
/// Bytes of a base between two syncs.
const SYNC_BYTES: usize = 4 << 20;

/// What INFO tells of rewrites.
#[derive(Clone, Copy, Debug)]
pub struct RewriteFacts {
    /// Whether one begins when nothing is in its way any more.
    pub is_scheduled: bool,
    /// When the one that runs began, in seconds since the Unix epoch.
    pub began_s: Option<i64>,
    /// How long the last one took, in seconds; -1 before there was any.
    pub last_s: i64,
    /// Whether the last one failed.
    pub has_failed: bool,
    /// How many were begun.
    pub count: u64,
    /// How many failed since one succeeded.
    pub failures: u64,
    /// What the last one held besides the data set.
    pub held_bytes: u64,
}

impl Default for RewriteFacts {
    fn default() -> Self {
        Self {
            is_scheduled: false,
            began_s: None,
            last_s: -1,
            has_failed: false,
            count: 0,
            failures: 0,
            held_bytes: 0,
        }
    }
}

/// The state of rewrites.
#[derive(Default)]
pub struct Rewrite {
    facts: Mutex<RewriteFacts>,
    delay: Mutex<Delay>,
}

/// How long scheduled rewrites wait after failures.
#[derive(Default)]
struct Delay {
    minutes: i64,
    until_s: i64,
}

/// What became of a wish for a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It runs.
    Now,
    /// It comes when nothing is in its way any more.
    Later,
}

impl Rewrite {
    /// What INFO tells.
    pub fn facts(&self) -> RewriteFacts {
        *self.facts.lock()
    }

    /// Lets one begin when nothing is in its way any more, or not.
    pub(super) fn schedule(&self, scheduled: bool) {
        self.facts.lock().is_scheduled = scheduled;
    }

    /// Whether failures keep the next one waiting.
    fn is_delayed(&self, now_s: i64) -> bool {
        let failures = self.facts.lock().failures;
        let mut delay = self.delay.lock();
        if failures < FAILURES {
            *delay = Delay::default();
            return false;
        }
        if delay.until_s != 0 {
            let waits = now_s < delay.until_s;
            if !waits {
                delay.until_s = 0;
            }
            return waits;
        }
        delay.minutes = (delay.minutes * 2).clamp(1, WAIT_MAX_MINUTES);
        delay.until_s = now_s + delay.minutes * 60;
        let minutes = delay.minutes;
        tracing::warn!(
            "Background AOF rewrite has repeatedly failed, the next try is in {minutes} minutes"
        );
        true
    }

    fn begin(&self, now_s: i64) {
        let mut facts = self.facts.lock();
        facts.is_scheduled = false;
        facts.began_s = Some(now_s);
        facts.count += 1;
    }

    fn fail(&self) {
        let mut facts = self.facts.lock();
        facts.has_failed = true;
        facts.failures += 1;
    }

    fn end(&self, now_s: i64, held_bytes: Option<u64>) {
        let mut facts = self.facts.lock();
        facts.last_s = facts.began_s.take().map_or(-1, |began_s| now_s - began_s);
        if let Some(held_bytes) = held_bytes {
            (facts.has_failed, facts.failures, facts.held_bytes) = (false, 0, held_bytes);
        }
    }
}

/// BGREWRITEAOF: begins a rewrite, or says when it will. `later` asks that it be not now.
///
/// # Errors
/// One runs already, or it cannot begin.
pub fn ask(node: &Arc<Shared>, later: bool) -> Result<Begun, CommandError> {
    let rewrite = &node.aof.rewrite;
    match node.snapshots.running() {
        Some(running) if running.purpose == Purpose::AppendOnlyFile => {
            Err(CommandError::REWRITE_IN_PROGRESS)
        }
        running if running.is_some() || later => {
            let mut facts = rewrite.facts.lock();
            // Whoever asks does not wait out failures.
            (facts.is_scheduled, facts.failures) = (true, 0);
            Ok(Begun::Later)
        }
        _ => begin(node).map_err(|error| {
            tracing::warn!("cannot rewrite the append-only file: {error}");
            CommandError::REWRITE_FAILED
        }),
    }
}

/// Begins a rewrite now, unless another snapshot comes first.
///
/// # Errors
/// The new files cannot be made.
pub(super) fn begin(node: &Arc<Shared>) -> Result<Begun, AofError> {
    let aof = &node.aof;
    let prepared = prepare(node).inspect_err(|_| aof.rewrite.facts.lock().has_failed = true)?;
    let Some(base) = prepared else {
        aof.rewrite.schedule(true);
        return Ok(Begun::Later);
    };
    let now_s = node.clock.unix_ms().div_euclid(1000);
    aof.rewrite.begin(now_s);
    match node.snapshots.start(node, Purpose::AppendOnlyFile, Box::new(base)) {
        Ok(()) => {
            tracing::info!("Background append only file rewriting started");
            Ok(Begun::Now)
        }
        Err(_) => {
            // The increment that was made for it is empty, and the last one: it may stay.
            aof.rewrite.end(now_s, None);
            aof.rewrite.schedule(true);
            Ok(Begun::Later)
        }
    }
}

/// An increment that begins empty: what a crash may have left under its name is in no manifest.
fn open_empty(path: &Path) -> io::Result<File> {
    let (file, _) = open_increment(path)?;
    file.set_len(0)?;
    Ok(file)
}

/// Makes the files of a new base; nothing while a snapshot runs, whose files they could be.
fn prepare(node: &Arc<Shared>) -> Result<Option<Base>, AofError> {
    let aof = &node.aof;
    let names = names(&node.config.load());
    let folder = names.folder.display();
    names
        .make_folder()
        .map_err(AofError::io(format!("Can't open or create append-only dir {folder}")))?;
    let mut files = aof.files.lock();
    if node.snapshots.running().is_some() {
        return Ok(None);
    }
    if aof.facts.phase() != Phase::On {
        // What was kept before is history when there is a new base, and whole until then.
        files.manifest = Manifest::read(&names)?;
    }
    let next = match aof.facts.phase() {
        Phase::Off => None,
        Phase::Waiting => {
            let path = names.first_increment();
            let file = open_empty(&path)
                .map_err(AofError::io(format!("Can't open {}", path.display())))?;
            Some(file)
        }
        Phase::On => {
            let mut manifest = files.manifest.clone();
            let name = manifest.add_increment(&names);
            let file = open_empty(&names.path(&name))
                .map_err(AofError::io(format!("Can't open the append-only file {name}")))?;
            manifest.store(&names).map_err(AofError::io("Can't write the AOF manifest"))?;
            tracing::info!("Creating AOF incr file {name} on background rewrite");
            files.manifest = manifest;
            Some(file)
        }
    };
    files.attempt += 1;
    let path = names.new_base();
    let file =
        File::create(&path).map_err(AofError::io(format!("Can't open {}", path.display())))?;
    let attempt = files.attempt;
    Ok(Some(Base {
        node: Arc::clone(node),
        names,
        attempt,
        file,
        next,
        failure: None,
        position: 0,
        unsynced_bytes: 0,
        bytes: 0,
    }))
}

/// Takes a snapshot's bytes as the new base.
struct Base {
    node: Arc<Shared>,
    names: Names,
    /// Which try it is: a file that was given up or begun since has another one.
    attempt: u64,
    file: File,
    /// Where what comes after the cut goes.
    next: Option<File>,
    /// Why that cannot be written: then the base is of no use.
    failure: Option<io::Error>,
    /// The position of the cut.
    position: u64,
    unsynced_bytes: usize,
    bytes: u64,
}

impl SnapshotSink for Base {
    fn begin(&mut self, _: &Cut) {
        let Some(file) = self.next.take() else { return };
        let aof = &self.node.aof;
        let mut files = aof.files.lock();
        // It was given up, and the file that there is now, if any, is not the one it was begun for.
        if files.attempt != self.attempt {
            return;
        }
        match aof.facts.phase() {
            Phase::On => {
                let mut queue = aof.queue.lock();
                self.position = aof.appended.load(Ordering::Acquire);
                let added = queue.switch(file);
                aof.appended.fetch_add(added, Ordering::Release);
                queue.wake_writer(&aof.work);
            }
            Phase::Waiting => {
                self.position = aof.appended.load(Ordering::Acquire);
                let begun = aof.begin(&self.node, &self.node.config.load(), &mut files, file, 0);
                self.failure = begun.err();
            }
            Phase::Off => {}
        }
    }

    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)?;
        self.file.write_all(&chunk)?;
        self.bytes += chunk.len() as u64;
        self.unsynced_bytes += chunk.len();
        if self.unsynced_bytes >= SYNC_BYTES
            && self.node.config.load().aof_rewrite_incremental_fsync
        {
            self.unsynced_bytes = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn end(self: Box<Self>, result: Result<Summary, SnapshotError>) {
        let node = Arc::clone(&self.node);
        let now_s = || node.clock.unix_ms().div_euclid(1000);
        let attempt = self.attempt;
        let done = match result {
            Ok(summary) => self.adopt().map(|()| summary).map_err(|error| error.to_string()),
            Err(error) => {
                let is_unwanted = matches!(error, SnapshotError::Unwanted);
                // Nothing else has this name; that it stays would do no harm.
                let _ = fs::remove_file(self.names.new_base());
                if is_unwanted {
                    node.aof.rewrite.end(now_s(), None);
                    node.aof.first_base_failed(&node, attempt);
                    return;
                }
                Err(error.to_string())
            }
        };
        match done {
            Ok(summary) => {
                node.aof.rewrite.end(now_s(), Some(summary.held_bytes));
                tracing::info!(
                    keys = summary.keys,
                    bytes = summary.bytes,
                    "Background AOF rewrite finished successfully"
                );
            }
            Err(error) => {
                tracing::warn!("Background AOF rewrite terminated with error: {error}");
                node.aof.rewrite.fail();
                node.aof.rewrite.end(now_s(), None);
                node.aof.first_base_failed(&node, attempt);
            }
        }
    }
}

impl Base {
    /// Puts the base into force.
    fn adopt(&self) -> Result<(), AofError> {
        let (node, names) = (&self.node, &self.names);
        let settings = node.config.load();
        self.file.sync_all().map_err(AofError::io("Can't sync the AOF base file"))?;
        let mut files = node.aof.files.lock();
        let phase = node.aof.facts.phase();
        if files.attempt != self.attempt {
            let _ = fs::remove_file(names.new_base());
            return Ok(());
        }
        let mut manifest = files.manifest.clone();
        let name = manifest.add_base(names, "rdb");
        let started = node.clock.tick();
        let rename = |from: &Path, to: &str| {
            fs::rename(from, names.path(to)).map_err(AofError::io(format!("Can't rename to {to}")))
        };
        rename(&names.new_base(), &name)?;
        let kept = match phase {
            Phase::Off => 0,
            Phase::On => 1,
            Phase::Waiting => {
                let increment = manifest.add_increment(names);
                rename(&names.first_increment(), &increment)?;
                1
            }
        };
        let took_ms = node.clock.since(started).as_millis() as u64;
        let threshold_ms = settings.latency_monitor_threshold_ms;
        node.latency.record("aof-rename", took_ms, threshold_ms, node.clock.unix_ms());
        manifest.retire_increments(kept);
        manifest.store(names).map_err(AofError::io("Can't write the AOF manifest"))?;
        files.manifest = manifest;
        if phase != Phase::Off {
            node.aof.facts.set_phase(Phase::On);
            // What came since the cut is not part of the base.
            let written = node.aof.queue.lock().written_to();
            let size = self.bytes + written.saturating_sub(self.position);
            node.aof.facts.current_size.store(size, Ordering::Relaxed);
            node.aof.facts.base_size.store(size, Ordering::Relaxed);
            node.replicas.serve_acks(node);
        }
        if !settings.aof_disable_auto_gc {
            remove_history(&mut files, names);
        }
        Ok(())
    }
}

/// Removes what no base needs any more; what cannot be removed stays, named in no manifest.
pub(super) fn remove_history(files: &mut Files, names: &Names) {
    if files.manifest.history.is_empty() {
        return;
    }
    for part in std::mem::take(&mut files.manifest.history) {
        tracing::info!("Removing the history file {} in the background", part.name);
        if let Err(error) = fs::remove_file(names.path(&part.name)) {
            tracing::warn!("cannot remove {}: {error}", part.name);
        }
    }
    if let Err(error) = files.manifest.store(names) {
        tracing::warn!("cannot write the AOF manifest: {error}");
    }
}

impl Aof {
    /// Whether a new base is being made.
    pub fn is_rewriting(&self) -> bool {
        self.rewrite.facts.lock().began_s.is_some()
    }

    /// Begins to keep a file, which comes into force with its first base (CONFIG SET appendonly yes).
    ///
    /// # Errors
    /// Its files cannot be made.
    pub fn turn_on(&self, node: &Arc<Shared>) -> Result<(), AofError> {
        self.trouble.store(0, Ordering::Relaxed);
        // A base that is under way was begun for no file, or for another one.
        self.files.lock().attempt += 1;
        self.facts.set_phase(Phase::Waiting);
        if node.snapshots.running().is_some() {
            node.snapshots.give_up(Purpose::AppendOnlyFile);
            self.rewrite.schedule(true);
            tracing::info!("the append-only file begins when the snapshot that runs is over");
            return Ok(());
        }
        begin(node).map(drop).inspect_err(|error| {
            self.facts.set_phase(Phase::Off);
            tracing::warn!("cannot turn the append-only file on: {error}");
        })
    }

    /// Ends it (CONFIG SET appendonly no).
    pub fn turn_off(&self, node: &Shared) {
        let was_waiting = self.facts.phase() == Phase::Waiting;
        self.rewrite.schedule(false);
        self.files.lock().attempt += 1;
        node.snapshots.give_up(Purpose::AppendOnlyFile);
        // Before the last sync: who waits for the file is told that there is none any more.
        self.facts.set_phase(Phase::Off);
        self.close();
        node.replicas.serve_acks(node);
        if was_waiting {
            // It belongs to no base.
            let _ = fs::remove_file(names(&node.config.load()).first_increment());
        }
    }

    /// Ends it for as long as the data set is exchanged; tells whether there was one.
    ///
    /// What is on the disk stays what a start would load, until the next base is made.
    pub fn suspend(&self, node: &Shared) -> bool {
        let keeps_file = self.facts.phase() != Phase::Off;
        if keeps_file {
            self.turn_off(node);
        }
        keeps_file
    }

    /// Begins it anew after that.
    pub fn resume(&self, node: &Arc<Shared>) {
        if self.turn_on(node).is_err() {
            // As soon as it can be.
            self.facts.set_phase(Phase::Waiting);
            self.rewrite.schedule(true);
        }
    }

    /// What happens now and then: a scheduled rewrite, and one because the file has grown.
    pub fn tick(&self, node: &Arc<Shared>) {
        let facts = self.rewrite.facts();
        if self.facts.phase() == Phase::Off && !facts.is_scheduled || facts.began_s.is_some() {
            return;
        }
        let settings = node.config.load();
        let is_wanted = facts.is_scheduled || self.has_grown(&settings);
        if !is_wanted || node.snapshots.running().is_some() {
            return;
        }
        if self.rewrite.is_delayed(node.clock.unix_ms().div_euclid(1000)) {
            return;
        }
        if let Err(error) = begin(node) {
            tracing::warn!("cannot rewrite the append-only file: {error}");
            self.rewrite.fail();
        }
    }

    fn has_grown(&self, settings: &crate::config::Settings) -> bool {
        let percentage = u64::from(settings.auto_aof_rewrite_percentage);
        let size = self.facts.current_size.load(Ordering::Relaxed);
        if percentage == 0
            || self.facts.phase() != Phase::On
            || size <= settings.auto_aof_rewrite_min_size_bytes
        {
            return false;
        }
        let base = self.facts.base_size.load(Ordering::Relaxed).max(1);
        let growth = (size.saturating_mul(100) / base).saturating_sub(100);
        if growth >= percentage {
            tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
        }
        growth >= percentage
    }

    /// A file that waits for its first base goes on waiting, for another one.
    fn first_base_failed(&self, node: &Arc<Shared>, attempt: u64) {
        if self.facts.phase() != Phase::Waiting || self.files.lock().attempt != attempt {
            return;
        }
        self.close();
        let _ = fs::remove_file(names(&node.config.load()).first_increment());
        self.facts.set_phase(Phase::Waiting);
        self.rewrite.schedule(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AppendFsync, DirectiveOptions};
    use crate::persistence::aof::tests::eventually;
    use crate::{Builder, Node};
    use tempfile::TempDir;

    fn builder(dir: &TempDir) -> Builder {
        Node::builder().dir(dir.path().to_owned()).threads(1)
    }

    /// Waits until a file is in force.
    fn is_kept(node: &Shared) {
        eventually("it is kept", || node.aof.facts.phase() == Phase::On);
    }

    #[test]
    fn a_base_that_was_given_up_begins_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let node = builder(&dir).start().unwrap();
        let shared = node.shared();
        let aof = &shared.aof;
        aof.facts.set_phase(Phase::Waiting);
        let mut given_up = prepare(shared).unwrap().expect("no snapshot runs");
        aof.turn_off(shared);
        aof.turn_on(shared).unwrap();
        is_kept(shared);
        // Its cut comes late.
        given_up.begin(&shared.log.position());
        assert!(given_up.adopt().is_ok());
        assert!(node.local().set(b"a", b"1"));
        node.shutdown();
        let node = builder(&dir).appendonly(true).appendfsync(AppendFsync::Always).start().unwrap();
        assert_eq!(node.local().get(b"a").as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn a_base_of_a_time_without_a_file_is_none_of_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let node = builder(&dir).start().unwrap();
        let shared = node.shared();
        let [running, base] = [(); 2].map(|()| prepare(shared).unwrap().expect("no snapshot runs"));
        let held = shared.keyspace.lock_all();
        let started = shared.snapshots.start(shared, Purpose::AppendOnlyFile, Box::new(running));
        assert!(started.is_ok());
        // It is to begin when that one is over.
        shared.aof.turn_on(shared).unwrap();
        assert!(base.adopt().is_ok());
        assert!(shared.aof.files.lock().manifest.is_empty());
        drop(held);
        is_kept(shared);
    }

    #[test]
    fn a_file_that_begins_anew_takes_no_name_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let node = builder(&dir).appendonly(true).start().unwrap();
        assert!(node.local().set(b"old", b"1"));
        node.shutdown();
        let node = builder(&dir).start().unwrap();
        node.shared().aof.turn_on(node.shared()).unwrap();
        is_kept(node.shared());
        node.shutdown();
        let set = dir.path().join("appendonlydir");
        let manifest = fs::read_to_string(set.join("appendonly.aof.manifest")).unwrap();
        assert_eq!(
            manifest,
            "file appendonly.aof.2.base.rdb seq 2 type b\n\
             file appendonly.aof.2.incr.aof seq 2 type i\n"
        );
        assert_eq!(fs::read_dir(set).unwrap().count(), 3, "what was before is gone");
    }

    #[test]
    fn a_base_that_nothing_can_follow_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let node = builder(&dir).start().unwrap();
        let shared = node.shared();
        shared.aof.facts.set_phase(Phase::Waiting);
        let mut base = prepare(shared).unwrap().expect("no snapshot runs");
        // As if there were no thread for what comes after the cut.
        (base.next, base.failure) = (None, Some(io::ErrorKind::WouldBlock.into()));
        shared.aof.rewrite.begin(0);
        let started = shared.snapshots.start(shared, Purpose::AppendOnlyFile, Box::new(base));
        assert!(started.is_ok());
        is_kept(shared);
        assert_eq!(shared.aof.rewrite.facts().count, 2, "another one came");
        assert!(node.local().set(b"a", b"1"));
        node.shutdown();
        let node = builder(&dir).appendonly(true).start().unwrap();
        assert_eq!(node.local().get(b"a").as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn a_snapshot_that_runs_keeps_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let node = builder(&dir).start().unwrap();
        let shared = node.shared();
        let held = shared.keyspace.lock_all();
        shared.aof.turn_on(shared).unwrap();
        let attempt = || shared.aof.files.lock().attempt;
        let before = attempt();
        assert!(prepare(shared).unwrap().is_none());
        assert_eq!(attempt(), before);
        drop(held);
        is_kept(shared);
    }
}
