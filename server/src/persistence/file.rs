//! A snapshot on its way into the dump file.
//!
//! It is written to a file beside, flushed to the disk, and only then takes the name of the old one,
//! whose folder is flushed as well: at any instant the name stands for one whole dump. A file that does
//! not come to that is removed; one that a killed process left behind is removed by the next that
//! starts in its folder, which tells it from one in use by its lock.

use super::dump::Attempt;
use super::snapshots::{SnapshotError, SnapshotSink, Summary};
use crate::node::shared::Shared;
use bytes::Bytes;
use larder_replication::Position;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Bytes after which a file is flushed to the disk while it is written, as in Redis.
const FLUSH_BYTES: usize = 4 << 20;
/// What the names of unfinished files begin and end with.
const UNFINISHED: (&str, &str) = ("temp-", ".rdb");

/// The sink of a save.
pub(super) struct DumpFile {
    node: Arc<Shared>,
    path: PathBuf,
    unfinished: Option<Unfinished>,
    flushes: bool,
    attempt: Attempt,
    /// Told whether it succeeded.
    done: Option<SyncSender<bool>>,
}

impl DumpFile {
    /// One that will have this name.
    pub(super) fn new(node: Arc<Shared>, path: PathBuf, done: Option<SyncSender<bool>>) -> Self {
        let flushes = node.config.load().rdb_save_incremental_fsync;
        let began_s = node.clock.unix_ms().div_euclid(1000);
        let attempt = Attempt { began_s, changes: 0, is_in_background: done.is_none() };
        Self { node, path, unfinished: None, flushes, attempt, done }
    }

    fn complete(&mut self) -> io::Result<()> {
        let folder = folder_of(&self.path);
        let unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => Unfinished::create(folder)?,
        };
        unfinished.become_file(&self.path)?;
        File::open(folder)?.sync_all()
    }
}

impl SnapshotSink for DumpFile {
    fn begin(&mut self, _: &Position) {
        self.attempt.changes = self.node.stats.dirty();
    }

    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        let file = match &mut self.unfinished {
            Some(file) => file,
            empty => empty.insert(Unfinished::create(folder_of(&self.path))?),
        };
        file.write(&chunk, self.flushes)
    }

    fn end(mut self: Box<Self>, result: Result<Summary, SnapshotError>) {
        let result = result.and_then(|summary| {
            self.complete()?;
            Ok(summary)
        });
        let succeeded = result.is_ok();
        if let Ok(summary) = &result {
            tracing::info!(
                keys = summary.keys,
                bytes = summary.bytes,
                held_bytes = summary.held_bytes,
                "DB saved on disk"
            );
        }
        // An unfinished file goes before anybody hears of the end.
        self.unfinished = None;
        self.node.dump.ended(&self.node, self.attempt, result);
        if let Some(done) = self.done.take() {
            // Whoever asked may be gone.
            let _ = done.send(succeeded);
        }
    }
}

/// The folder in which a file lies.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file that is no dump yet. It goes when it is dropped.
struct Unfinished {
    file: File,
    path: PathBuf,
    unflushed_bytes: usize,
}

impl Unfinished {
    fn create(folder: &Path) -> io::Result<Self> {
        let (first, last) = UNFINISHED;
        let pid = std::process::id();
        // Several nodes of one process may share a folder.
        let names = [String::new(), format!("-{:08x}", fastrand::u32(..))];
        let mut result = Err(io::ErrorKind::AlreadyExists.into());
        for name in names {
            let path = folder.join(format!("{first}{pid}{name}{last}"));
            result = OpenOptions::new().write(true).create_new(true).open(&path).map(|file| {
                // Where files cannot be locked, nobody will take it for a forgotten one either.
                let _ = file.try_lock();
                Self { file, path, unflushed_bytes: 0 }
            });
            if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        result
    }

    fn write(&mut self, bytes: &[u8], flushes: bool) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unflushed_bytes += bytes.len();
        if flushes && self.unflushed_bytes >= FLUSH_BYTES {
            self.unflushed_bytes = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn become_file(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Not there any more when it became the dump file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes unfinished files that nobody writes any more.
pub(crate) fn remove_forgotten(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let (first, last) = UNFINISHED;
        let is_ours =
            name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)).is_some_and(|rest| {
                let (pid, number) = rest.split_once('-').unwrap_or((rest, "00000000"));
                !pid.is_empty()
                    && pid.bytes().all(|byte| byte.is_ascii_digit())
                    && number.len() == 8
                    && number.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        if !is_ours {
            continue;
        }
        let is_forgotten = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_forgotten && fs::remove_file(entry.path()).is_ok() {
            tracing::info!("removed {name}, which a process that was killed left unfinished");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forgotten_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["temp-7-0a0b0c0d.rdb", "temp-7.rdb", "temp-x.rdb", "temp-.rdb", "dump.rdb"];
        for name in names {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let in_use = Unfinished::create(folder.path()).unwrap();
        remove_forgotten(folder.path());
        assert!(in_use.path.exists());
        assert!(names[..2].iter().all(|name| !folder.path().join(name).exists()));
        assert!(names[2..].iter().all(|name| folder.path().join(name).exists()));
        let path = in_use.path.clone();
        drop(in_use);
        assert!(!path.exists());
    }
}
