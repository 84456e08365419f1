//! What a member has to remember, in files that survive the process and the power.
//!
//! A file is a list of records. It is replaced as a whole (written beside, synced, renamed, the folder
//! synced) or one record is appended and synced. Each record carries its length with a checksum of
//! its own that knows the record's place, and a checksum of its bytes.
//!
//! ```text
//! "LARDGRP1"   then for each record   length (4)   check of length and place (4)   CRC64 (8)   bytes
//! ```
//!
//! An append that was interrupted leaves a torn tail, which nobody was ever told is safe: it is cut
//! off when the file is next opened. It is torn if it is shorter than its head says, or if a sector
//! of it was never written, and no whole record follows. Anything else that does not fit its checksum
//! is damage, and an error that says where: a member must not go on with less than it promised.
//!
//! After a write that failed the file is as it was before. Where that cannot be had, as after a sync
//! that failed, nobody knows what the disk holds, and the disk refuses everything from then on.

mod thread;

pub use thread::DiskThread;

use larder_protocol::rdb::crc64;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes that a record may have.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"LARDGRP1";
const HEAD_BYTES: usize = 4 + 4 + 8;
/// A disk writes no less than that at a time.
const SECTOR_BYTES: usize = 512;
const LOCK: &str = "lock";
/// The ending of a file that is about to replace another one.
const NEW: &str = ".new";

/// Why a disk did not do what it should. Whatever was to be written does not count as written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("{}: used by another process", .0.display())]
    Locked(PathBuf),
    /// A file has no such name.
    #[error("no name for a file: {0:?}")]
    Name(String),
    /// A record is too long.
    #[error("a record of {0} bytes, where {MAX_RECORD_BYTES} are the most")]
    TooLong(usize),
    /// A file holds something else than what was written.
    #[error("{}: damaged at byte {offset}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins that is not as it was.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// Too much waits to be written already.
    #[error("the disk is too slow: too much waits to be written")]
    Busy,
    /// What the disk holds is not known since an earlier error.
    #[error("the disk can not be counted on since: {0}")]
    Broken(String),
}

/// A folder of such files, for this process alone.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    /// To sync the folder itself.
    handle: File,
    lock: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files that records are appended to, and their lengths.
    open: HashMap<String, (File, u64)>,
    broken: Option<String>,
}

impl FileDisk {
    /// Opens a folder, which is made if it is not there, and locks it.
    ///
    /// # Errors
    /// A folder that cannot be had, or that another process has.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
        let lock_path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io_error("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &lock_path)(source)),
        }
        let handle = File::open(folder).map_err(io_error("open", folder))?;
        // What an interrupted replacement left.
        for entry in fs::read_dir(folder).map_err(io_error("list", folder))?.flatten() {
            if entry.file_name().to_string_lossy().ends_with(NEW) {
                fs::remove_file(entry.path()).map_err(io_error("remove", &entry.path()))?;
            }
        }
        handle.sync_all().map_err(io_error("sync", folder))?;
        Ok(Self { folder: folder.to_owned(), handle, lock, state: Mutex::default() })
    }

    /// The records of a file, in order; none for a file that is not there.
    ///
    /// # Errors
    /// [`DiskError::Damaged`], and what the system says.
    pub fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        let path = self.path(name)?;
        let mut state = self.usable()?;
        let (records, _) = self.read_checked(&mut state, &path)?;
        Ok(records)
    }

    /// Makes `record` all that a file holds. It is on the disk when this returns; an error leaves
    /// what was there before.
    ///
    /// # Errors
    /// What the system says.
    pub fn replace(&self, name: &str, record: &[u8]) -> Result<(), DiskError> {
        let path = self.path(name)?;
        let new_path = self.folder.join(format!("{name}{NEW}"));
        let mut state = self.usable()?;
        let mut bytes = MAGIC.to_vec();
        encode(record, MAGIC.len() as u64, &mut bytes)?;
        let written = write_new(&new_path, &bytes)
            .and_then(|()| fs::rename(&new_path, &path).map_err(io_error("rename to", &path)));
        if let Err(error) = written {
            // It is removed at the next start at the latest.
            let _ = fs::remove_file(&new_path);
            return Err(error);
        }
        state.open.remove(name);
        // Renamed, but perhaps not for ever: which of both is there after a crash is not known.
        self.sync_folder(&mut state)
    }

    /// Appends a record to a file, which is made if it is not there. It is on the disk when this
    /// returns.
    ///
    /// # Errors
    /// What the system says, a full disk among it; [`DiskError::Damaged`] where the file is.
    pub fn append(&self, name: &str, record: &[u8]) -> Result<(), DiskError> {
        let path = self.path(name)?;
        let mut state = self.usable()?;
        if !state.open.contains_key(name) {
            let opened = self.open_to_append(&mut state, &path)?;
            state.open.insert(name.to_owned(), opened);
        }
        let State { open, broken } = &mut *state;
        let Some((file, length)) = open.get_mut(name) else { return Ok(()) };
        let mut bytes = Vec::new();
        if *length == 0 {
            bytes.extend(MAGIC);
        }
        encode(record, *length + bytes.len() as u64, &mut bytes)?;
        if let Err(source) = file.write_all(&bytes) {
            let error = io_error("write", &path)(source);
            if let Err(source) = file.set_len(*length).and_then(|()| file.sync_all()) {
                *broken = Some(format!("{error}; {}", io_error("cut", &path)(source)));
            }
            return Err(error);
        }
        if let Err(source) = file.sync_data() {
            let error = io_error("sync", &path)(source);
            *broken = Some(error.to_string());
            return Err(error);
        }
        *length += bytes.len() as u64;
        Ok(())
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: &str) -> Result<(), DiskError> {
        let path = self.path(name)?;
        let mut state = self.usable()?;
        state.open.remove(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("remove", &path)(error)),
            Ok(()) => self.sync_folder(&mut state),
        }
    }

    /// The whole records of a file and their length, once a torn tail is cut off.
    fn read_checked(
        &self,
        state: &mut State,
        path: &Path,
    ) -> Result<(Vec<Vec<u8>>, u64), DiskError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => return Err(io_error("read", path)(error)),
            Ok(_) => {}
        }
        let (records, whole) = decode(&bytes).map_err(|(offset, why)| DiskError::Damaged {
            path: path.to_owned(),
            offset: offset as u64,
            why,
        })?;
        if whole < bytes.len() {
            let cut = |file: File| file.set_len(whole as u64).and_then(|()| file.sync_all());
            let done = OpenOptions::new().write(true).open(path).and_then(cut);
            if let Err(source) = done {
                let error = io_error("cut", path)(source);
                state.broken = Some(error.to_string());
                return Err(error);
            }
        }
        Ok((records, whole as u64))
    }

    fn open_to_append(&self, state: &mut State, path: &Path) -> Result<(File, u64), DiskError> {
        let (_, length) = self.read_checked(state, path)?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(io_error("open", path))?;
        self.sync_folder(state)?;
        Ok((file, length))
    }

    fn sync_folder(&self, state: &mut State) -> Result<(), DiskError> {
        self.handle.sync_all().map_err(|source| {
            let error = io_error("sync", &self.folder)(source);
            state.broken = Some(error.to_string());
            error
        })
    }

    fn usable(&self) -> Result<parking_lot::MutexGuard<'_, State>, DiskError> {
        let state = self.state.lock();
        match &state.broken {
            Some(why) => Err(DiskError::Broken(why.clone())),
            None => Ok(state),
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf, DiskError> {
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if name.is_empty()
            || !is_plain
            || name.starts_with('.')
            || name.ends_with(NEW)
            || name == LOCK
        {
            return Err(DiskError::Name(name.to_owned()));
        }
        Ok(self.folder.join(name))
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        // Closing the file is not enough while a child process that is being started still has it.
        let _ = self.lock.unlock();
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io { what, path, source }
}

/// Writes a file anew and syncs it.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = File::create(path).map_err(io_error("make", path))?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("sync", path))
}

/// Appends a record that begins at `place` in its file.
fn encode(record: &[u8], place: u64, out: &mut Vec<u8>) -> Result<(), DiskError> {
    let length = u32::try_from(record.len())
        .ok()
        .filter(|_| record.len() <= MAX_RECORD_BYTES)
        .ok_or(DiskError::TooLong(record.len()))?;
    let check = head_check(length, place);
    out.extend(length.to_le_bytes());
    out.extend(check.to_le_bytes());
    out.extend(body_check(check, record).to_le_bytes());
    out.extend(record);
    Ok(())
}

fn head_check(length: u32, place: u64) -> u32 {
    // The magic makes sure that zeros do not fit each other.
    let crc = crc64(crc64(0, MAGIC), &length.to_le_bytes());
    let crc = crc64(crc, &place.to_le_bytes());
    (crc ^ crc >> 32) as u32
}

fn body_check(head: u32, record: &[u8]) -> u64 {
    crc64(crc64(crc64(0, MAGIC), &head.to_le_bytes()), record)
}

/// What stands at a place of a file.
enum Found<'a> {
    Record(&'a [u8]),
    /// The head is right, and there are fewer bytes than it says.
    Short,
    /// The head is right, the bytes are not.
    WrongBody(usize),
    WrongHead,
}

fn look(bytes: &[u8], place: usize) -> Found<'_> {
    let rest = bytes.get(place..).unwrap_or_default();
    let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else { return Found::Short };
    let [l0, l1, l2, l3, c0, c1, c2, c3, crc @ ..] = *head;
    let (length, check) =
        (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
    if length as usize > MAX_RECORD_BYTES || head_check(length, place as u64) != check {
        return Found::WrongHead;
    }
    match rest.get(..length as usize) {
        None => Found::Short,
        Some(record) if body_check(check, record) == u64::from_le_bytes(crc) => {
            Found::Record(record)
        }
        Some(record) => Found::WrongBody(HEAD_BYTES + record.len()),
    }
}

/// The whole records of a file, and how many bytes they take: what is behind them is a torn tail.
type Decoded = (Vec<Vec<u8>>, usize);

/// Takes a file apart. The error says where damage begins, and what it is.
fn decode(bytes: &[u8]) -> Result<Decoded, (usize, &'static str)> {
    let mut records = Vec::new();
    if bytes.len() < MAGIC.len() {
        return match is_unwritten_or_prefix(bytes) {
            true => Ok((records, 0)),
            false => Err((0, "it does not begin as such a file does")),
        };
    }
    if !bytes.starts_with(MAGIC) {
        // The first append of a file may be torn as any other one.
        return match is_torn(bytes, 0) {
            true => Ok((records, 0)),
            false => Err((0, "it does not begin as such a file does")),
        };
    }
    let mut place = MAGIC.len();
    while place < bytes.len() {
        match look(bytes, place) {
            Found::Record(record) => {
                records.push(record.to_vec());
                place += HEAD_BYTES + record.len();
            }
            Found::Short => break,
            Found::WrongBody(length) if place + length == bytes.len() && is_torn(bytes, place) => {
                break;
            }
            Found::WrongHead if is_torn(bytes, place) => break,
            Found::WrongBody(_) => return Err((place, "the record does not fit its checksum")),
            Found::WrongHead => return Err((place, "the record's head does not fit its checksum")),
        }
    }
    // Nothing but the name: as if there were no file.
    let whole = if records.is_empty() { 0 } else { place };
    Ok((records, whole))
}

fn is_unwritten_or_prefix(bytes: &[u8]) -> bool {
    MAGIC.starts_with(bytes) || bytes.iter().all(|byte| *byte == 0)
}

/// Whether what begins at `place` was never written to its end: a sector of it is empty, and no
/// whole record comes after it.
fn is_torn(bytes: &[u8], place: usize) -> bool {
    let mut start = place;
    let mut has_hole = false;
    while start < bytes.len() && !has_hole {
        let end = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(bytes.len());
        has_hole = bytes[start..end].iter().all(|byte| *byte == 0);
        start = end;
    }
    let is_last =
        || (place + 1..bytes.len()).all(|later| !matches!(look(bytes, later), Found::Record(_)));
    has_hole && is_last()
}

#[cfg(test)]
mod tests;
