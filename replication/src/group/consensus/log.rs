//! Raft's log and vote on disk.
//!
//! The file of the log is a list of what happened to it: entries that were added, entries that were
//! taken back. When its beginning is not needed any more it is written anew, once the snapshot that has
//! what it said is on disk. Entries also stay in memory: there are a few hundred at most.
//!
//! A member that starts anew knows the others by the entries that name them, until these are agreed on
//! again: who could ask nobody would hold elections for itself for ever, and disturb all the others.

use super::super::change::Change;
use super::super::disk::DiskError;
use super::super::message::encode;
use super::super::ports::{Disk, Writing};
use super::{ConsensusError, Directory, Types};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{
    Entry, EntryPayload, LogId, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;
use tokio::sync::watch;

/// The file of the log.
const LOG: &str = "log";
/// The file of the vote.
const VOTE: &str = "vote";

/// What happened to the log.
#[derive(Debug, Serialize, Deserialize)]
enum Record {
    /// Everything before is forgotten.
    Begin { purged: Option<LogId<u64>>, entries: Vec<Entry<Types>> },
    /// Entries were added.
    Add(Vec<Entry<Types>>),
    /// Entries from here on were taken back.
    TakeBack(u64),
}

/// The log, shared with its readers.
#[derive(Clone)]
pub(super) struct LogStore {
    log: Arc<Mutex<Log>>,
    /// The index up to which a snapshot on disk has everything.
    kept: watch::Receiver<Option<u64>>,
}

struct Log {
    disk: Arc<dyn Disk>,
    directory: Arc<Directory>,
    vote: Option<Vote<u64>>,
    purged: Option<LogId<u64>>,
    entries: BTreeMap<u64, Entry<Types>>,
}

impl LogStore {
    /// Reads what was remembered.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        directory: Arc<Directory>,
        kept: watch::Receiver<Option<u64>>,
    ) -> Result<Self, ConsensusError> {
        let vote = match disk.read(VOTE)?.last() {
            None => None,
            Some(record) => {
                Some(postcard::from_bytes(record).map_err(|_| ConsensusError::Damaged(VOTE))?)
            }
        };
        let records = disk.read(LOG)?;
        let mut log = Log { disk, directory, vote, purged: None, entries: BTreeMap::new() };
        for record in records {
            let record = postcard::from_bytes(&record);
            log.replay(record.map_err(|_| ConsensusError::Damaged(LOG))?);
        }
        Ok(Self { log: Arc::new(Mutex::new(log)), kept })
    }
}

impl Log {
    fn replay(&mut self, record: Record) {
        match record {
            Record::Begin { purged, entries } => {
                self.purged = purged;
                self.entries = BTreeMap::new();
                self.add(entries);
            }
            Record::Add(entries) => self.add(entries),
            Record::TakeBack(from) => drop(self.entries.split_off(&from)),
        }
    }

    fn add(&mut self, entries: Vec<Entry<Types>>) {
        for entry in &entries {
            match &entry.payload {
                EntryPayload::Normal(Change::Found { members, .. }) => {
                    self.directory.suppose(members);
                }
                EntryPayload::Normal(Change::Join { member, .. }) => {
                    self.directory.suppose([member]);
                }
                _ => {}
            }
        }
        self.entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
    }
}

/// Each change is on disk before it is seen in memory. Raft asks for one after the other, so that
/// memory changes in the order in which the disk does.
impl LogStore {
    async fn write(
        &self,
        record: Record,
        write: impl FnOnce(&dyn Disk, &[u8]) -> Writing,
    ) -> Result<(), StorageError<u64>> {
        let written = write(&*self.log.lock().disk, &encode(&record));
        written.await.map_err(|error| failed_write(&error))?;
        self.log.lock().replay(record);
        Ok(())
    }
}

fn failed_write(error: &DiskError) -> StorageError<u64> {
    StorageIOError::write_logs(error).into()
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>, StorageError<u64>> {
        Ok(self.log.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<u64>> {
        let log = self.log.lock();
        let last = log.entries.values().next_back().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: last.or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        let written = self.log.lock().disk.replace(VOTE, &encode(vote));
        written.await.map_err(|error| StorageIOError::write_vote(&error))?;
        self.log.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        Ok(self.log.lock().vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry<Types>> = entries.into_iter().collect();
        self.write(Record::Add(entries), |disk, bytes| disk.append(LOG, bytes)).await?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Result<(), StorageError<u64>> {
        let record = Record::TakeBack(from.index);
        self.write(record, |disk, bytes| disk.append(LOG, bytes)).await
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), StorageError<u64>> {
        // A snapshot that came from another member is written beside this. A loss of power between the
        // two would leave a log that no state machine can go on from.
        let kept = self.kept.wait_for(|kept| *kept >= Some(upto.index)).await.map(drop);
        kept.map_err(|gone| StorageIOError::write_logs(&gone))?;
        let entries: Vec<Entry<Types>> = self
            .log
            .lock()
            .entries
            .range(upto.index + 1..)
            .map(|(_, entry)| entry.clone())
            .collect();
        let record = Record::Begin { purged: Some(upto), entries };
        self.write(record, |disk, bytes| disk.replace(LOG, bytes)).await
    }
}
