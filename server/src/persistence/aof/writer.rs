//! The thread that writes and syncs the file.
//!
//! It takes all that is pending at once, writes it, and syncs it as `appendfsync` says. With
//! `everysec` and `no` it paces itself, so that under load it costs some hundred writes a second;
//! what comes after a silence is written at once. With `always` it works when somebody waits: a
//! connection asks for its whole turn at once.
//!
//! Invariant: nothing counts as safe before every file that it is in was synced.
//!
//! Invariant: the file never keeps a part of a write that failed, unless that part cannot be taken
//! away; then writing goes on behind it.

use super::queue::{Mark, Work};
use super::{CONGESTED_BYTES, LATE, trouble};
use crate::config::{AppendFsync, Settings};
use crate::node::shared::Shared;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two writes, unless much comes together.
const PACE: Duration = Duration::from_millis(5);
/// Pending bytes that are written before their time.
const EAGER_BYTES: usize = 256 * 1024;
/// How long nobody may ask for what is pending where replies wait for the disk: what expires has
/// nobody who asks.
const UNASKED: Duration = Duration::from_millis(100);
/// Between two tries while writing fails.
const RETRY: Duration = Duration::from_millis(100);
/// Between two lines in the log about failing writes.
const REPORT: Duration = Duration::from_secs(30);
/// A buffer that grew beyond this is not kept.
const KEEP_BYTES: usize = 1024 * 1024;

const SECOND_NANOS: u64 = 1_000_000_000;

pub(super) struct Writer {
    node: Arc<Shared>,
    file: File,
    /// Files that were left and could not be synced then.
    left: Vec<File>,
    /// Bytes of the file, all of them whole writes.
    size: u64,
    /// Whether something was written since the last sync.
    is_dirty: bool,
    /// Up to where the bytes were written.
    written: Mark,
    spare: Vec<u8>,
    /// When the last write and the last sync were, by the monotonic clock.
    wrote_nanos: u64,
    synced_nanos: u64,
    /// When a failure was reported last.
    reported_nanos: Option<u64>,
}

impl Writer {
    pub(super) fn new(node: Arc<Shared>, file: File, size: u64) -> Self {
        let now = node.clock.monotonic_nanos();
        let position = node.aof.appended.load(Ordering::Acquire);
        let written = Mark { position, offset: 0 };
        Self {
            node,
            file,
            left: Vec::new(),
            size,
            is_dirty: false,
            written,
            spare: Vec::new(),
            wrote_nanos: 0,
            synced_nanos: now,
            reported_nanos: None,
        }
    }

    /// Works until the queue is closed, or until there is no way on.
    pub(super) fn run(&mut self) {
        let node = Arc::clone(&self.node);
        loop {
            let settings = node.config.load();
            let work = self.next(&settings);
            let goes_on = match work {
                Work::Write(bytes, end) => self.write(&settings, bytes, end),
                Work::Switch(file) => self.switch(file).map(|()| true),
                Work::Time => self.sync_in_time(&settings).map(|()| true),
                Work::End => Ok(false),
            };
            match goes_on {
                Ok(true) => {}
                Ok(false) => {
                    let _ = self.finish();
                    break;
                }
                Err(error) => {
                    tracing::error!("{error}. Exiting...");
                    // Whoever waits for the disk waits in vain: nothing that is not there is confirmed.
                    node.shutdown.fail();
                    break;
                }
            }
        }
        node.aof.queue.lock().end();
        node.aof.progress.notify_all();
    }

    /// Waits for something to do.
    fn next(&mut self, settings: &Settings) -> Work {
        let aof = &self.node.aof;
        let strict = settings.appendfsync == AppendFsync::Always;
        let mut queue = aof.queue.lock();
        let mut timed_out = false;
        loop {
            if let Some(work) = queue.take_before() {
                return work;
            }
            let now = self.node.clock.monotonic_nanos();
            let pending = queue.pending_bytes();
            let paced = now.saturating_sub(self.wrote_nanos);
            let is_due = match strict {
                true => queue.is_asked_for() || timed_out,
                false => paced >= PACE.as_nanos() as u64 || queue.is_asked_for(),
            };
            if pending > 0 && (is_due || pending > EAGER_BYTES || queue.is_closing()) {
                return queue.take_pending(std::mem::take(&mut self.spare));
            }
            if queue.is_closing() {
                return Work::End;
            }
            let sync_nanos = self.sync_due_nanos(settings, now);
            if sync_nanos == Some(0) {
                return Work::Time;
            }
            let mut wait = sync_nanos.map(Duration::from_nanos);
            let mut limit = |to: Duration| wait = Some(wait.map_or(to, |wait| wait.min(to)));
            if strict {
                limit(UNASKED);
                queue.sleeps_below(EAGER_BYTES);
            } else if pending > 0 {
                limit(PACE.saturating_sub(Duration::from_nanos(paced)));
                queue.sleeps_below(EAGER_BYTES);
            } else {
                queue.sleeps_below(0);
            }
            timed_out = match wait {
                Some(wait) => aof.work.wait_for(&mut queue, wait).timed_out(),
                None => {
                    aof.work.wait(&mut queue);
                    false
                }
            };
            queue.is_awake();
            if self.node.config.load().appendfsync != settings.appendfsync {
                return Work::Time;
            }
        }
    }

    /// Nanoseconds until a sync is due; nothing where none is.
    fn sync_due_nanos(&self, settings: &Settings, now: u64) -> Option<u64> {
        if !self.is_dirty || self.may_not_sync(settings) {
            return None;
        }
        match settings.appendfsync {
            AppendFsync::Always => Some(0),
            AppendFsync::No if self.left.is_empty() => None,
            AppendFsync::Everysec | AppendFsync::No => {
                Some((self.synced_nanos + SECOND_NANOS).saturating_sub(now))
            }
        }
    }

    fn may_not_sync(&self, settings: &Settings) -> bool {
        settings.no_appendfsync_on_rewrite && self.node.aof.is_rewriting()
    }

    /// Writes what ends at a place; false when it cannot be written and nobody waits until it can, so
    /// that what comes behind it may not be written either.
    fn write(&mut self, settings: &Settings, bytes: Vec<u8>, end: Mark) -> io::Result<bool> {
        let strict = settings.appendfsync == AppendFsync::Always;
        let sleep_us = self.node.aof.facts.flush_sleep_us.load(Ordering::Relaxed);
        if sleep_us > 0 {
            std::thread::sleep(Duration::from_micros(sleep_us));
        }
        let started = self.node.clock.tick();
        let mut written = 0;
        while let Err(error) = self.append(&bytes, &mut written) {
            if strict {
                let text =
                    "Can't recover from AOF write error when the AOF fsync policy is 'always'";
                return Err(io::Error::new(error.kind(), format!("{text}: {error}")));
            }
            self.node.aof.fail(trouble::WRITE, &error);
            self.report(&error);
            if !self.waits_to_retry() {
                tracing::error!(
                    lost = bytes.len() - written,
                    "the append-only file cannot be written and is closed"
                );
                return Ok(false);
            }
        }
        if self.node.aof.end_trouble(trouble::WRITE) {
            tracing::info!("AOF write error looks solved, the node takes writes again");
        }
        let took_ms = self.node.clock.since(started).as_millis() as u64;
        let beside =
            if self.node.aof.is_rewriting() { "aof-write-active-child" } else { "aof-write-alone" };
        self.note_latency(settings, beside, took_ms);
        self.note_latency(settings, "aof-write", took_ms);
        self.wrote_nanos = self.node.clock.monotonic_nanos();
        self.written = end;
        self.is_dirty = true;
        self.take_back(bytes);
        let synced = if strict { self.sync_always(settings) } else { self.sync_in_time(settings) };
        synced.map(|()| true)
    }

    /// Appends all bytes from `written` on.
    fn append(&mut self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        let before = *written;
        while *written < bytes.len() {
            match self.file.write(&bytes[*written..]) {
                Ok(0) => return self.take_away(before, written, ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.take_away(before, written, error),
            }
        }
        self.grew(*written - before);
        Ok(())
    }

    /// Takes away what was written of a write that failed.
    fn take_away(
        &mut self,
        before: usize,
        written: &mut usize,
        error: io::Error,
    ) -> io::Result<()> {
        if *written > before {
            match self.file.set_len(self.size) {
                Ok(()) => *written = before,
                Err(error) => {
                    tracing::warn!(
                        "Could not remove short write from the append-only file: {error}"
                    );
                    self.grew(*written - before);
                }
            }
        }
        Err(error)
    }

    fn grew(&mut self, by: usize) {
        self.size += by as u64;
        self.node.aof.facts.current_size.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// Waits before the next try; false when there shall be none.
    fn waits_to_retry(&self) -> bool {
        let aof = &self.node.aof;
        let mut queue = aof.queue.lock();
        if queue.is_closing() {
            return false;
        }
        queue.sleeps_below(usize::MAX - 1);
        aof.work.wait_for(&mut queue, RETRY);
        queue.is_awake();
        true
    }

    fn report(&mut self, error: &io::Error) {
        let now = self.node.clock.monotonic_nanos();
        let is_silent = |last| now.saturating_sub(last) < REPORT.as_nanos() as u64;
        if !self.reported_nanos.is_some_and(is_silent) {
            self.reported_nanos = Some(now);
            tracing::warn!("Error writing to the AOF file: {error}");
        }
    }

    /// Gives the buffer back, and counts what was written.
    fn take_back(&mut self, mut bytes: Vec<u8>) {
        let aof = &self.node.aof;
        {
            let mut queue = aof.queue.lock();
            queue.written(bytes.len());
            // What came meanwhile and is late as well is written next.
            let is_late = queue.is_late(|| self.node.clock.monotonic_nanos());
            if queue.len() > CONGESTED_BYTES / 2 || is_late {
                return;
            }
        }
        if aof.end_trouble(trouble::CONGESTED) {
            aof.drained.notify_waiters();
            aof.progress.notify_all();
        }
        if bytes.capacity() <= KEEP_BYTES {
            bytes.clear();
            self.spare = bytes;
        }
    }

    fn sync_always(&mut self, settings: &Settings) -> io::Result<()> {
        if !self.may_not_sync(settings) {
            let started = self.node.clock.tick();
            self.sync_files().map_err(|error| {
                let text =
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always'";
                io::Error::new(error.kind(), format!("{text}: {error}"))
            })?;
            let took_ms = self.node.clock.since(started).as_millis() as u64;
            self.note_latency(settings, "aof-fsync-always", took_ms);
            self.is_dirty = false;
            self.synced_nanos = self.node.clock.monotonic_nanos();
            self.node.aof.end_trouble(trouble::SYNC);
            self.node.aof.is_on_disk(&self.node, self.written);
        }
        self.node.aof.advance(self.written.position);
        Ok(())
    }

    /// Syncs when it is time.
    fn sync_in_time(&mut self, settings: &Settings) -> io::Result<()> {
        if settings.appendfsync == AppendFsync::Always && self.is_dirty {
            return self.sync_always(settings);
        }
        let now = self.node.clock.monotonic_nanos();
        if self.sync_due_nanos(settings, now) == Some(0) {
            self.sync();
        }
        Ok(())
    }

    /// Syncs; a failure keeps commands from writing until a sync succeeds.
    fn sync(&mut self) {
        let node = Arc::clone(&self.node);
        let aof = &node.aof;
        aof.facts.is_syncing.store(true, Ordering::Relaxed);
        let started = self.node.clock.tick();
        let synced = self.sync_files();
        aof.facts.is_syncing.store(false, Ordering::Relaxed);
        if self.node.clock.since(started) > LATE && aof.buffered_bytes() > 0 {
            aof.facts.delayed_fsync.fetch_add(1, Ordering::Relaxed);
            tracing::info!("syncing the append-only file took long, the disk is busy");
        }
        self.synced_nanos = self.node.clock.monotonic_nanos();
        match synced {
            Ok(()) => {
                self.is_dirty = false;
                aof.end_trouble(trouble::SYNC);
                aof.is_on_disk(&node, self.written);
                aof.advance(self.written.position);
            }
            Err(error) => {
                aof.fail(trouble::SYNC, &error);
                self.report(&error);
            }
        }
    }

    fn sync_files(&mut self) -> io::Result<()> {
        while let Some(file) = self.left.last() {
            file.sync_data()?;
            self.left.pop();
        }
        self.file.sync_data()
    }

    /// Goes on in another file.
    fn switch(&mut self, file: File) -> io::Result<()> {
        if self.is_dirty {
            self.sync();
        }
        let left = std::mem::replace(&mut self.file, file);
        if self.is_dirty {
            self.left.push(left);
        }
        self.size = 0;
        Ok(())
    }

    /// What is left to do at the end.
    fn finish(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.sync();
        }
        Ok(())
    }

    fn note_latency(&self, settings: &Settings, event: &'static str, took_ms: u64) {
        let (threshold_ms, now_ms) =
            (settings.latency_monitor_threshold_ms, self.node.clock.unix_ms());
        self.node.latency.record(event, took_ms, threshold_ms, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::config::DirectiveOptions;

    #[test]
    fn behind_what_cannot_be_written_nothing_is() {
        let node = Node::builder().threads(1).start().unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut writer = Writer::new(Arc::clone(node.shared()), full, 0);
        let settings = node.shared().config.load();
        node.shared().aof.queue.lock().close();
        let end = Mark { position: 5, offset: 5 };
        assert!(!writer.write(&settings, b"frame".to_vec(), end).unwrap(), "it ends");
        assert!(writer.written == Mark::default() && !writer.is_dirty, "nothing counts as written");
        writer.file = tempfile::tempfile().unwrap();
        assert!(writer.write(&settings, b"frame".to_vec(), end).unwrap() && writer.written == end);
    }

    #[test]
    fn what_a_file_has_that_was_left_unsynced_is_not_safe() {
        let node = Node::builder().threads(1).start().unwrap();
        let aof = &node.shared().aof;
        // A device takes what is written and cannot be synced.
        let device = File::options().write(true).open("/dev/null").unwrap();
        let mut writer = Writer::new(Arc::clone(node.shared()), device, 0);
        let settings = node.shared().config.load();
        writer.write(&settings, b"frame".to_vec(), Mark { position: 5, offset: 5 }).unwrap();
        writer.switch(tempfile::tempfile().unwrap()).unwrap();
        writer.sync();
        let synced = || aof.synced.load(Ordering::Relaxed);
        assert!(synced() == 0 && !aof.is_well());
        let policy = Settings { appendfsync: AppendFsync::No, ..Settings::clone(&settings) };
        let now = node.shared().clock.monotonic_nanos();
        assert!(writer.sync_due_nanos(&policy, now).is_some(), "it is tried again");
        // Another try succeeds.
        writer.left = vec![tempfile::tempfile().unwrap()];
        writer.sync();
        assert!(synced() == 5 && aof.is_well() && writer.left.is_empty());
        assert_eq!(writer.sync_due_nanos(&policy, now), None);
    }
}
