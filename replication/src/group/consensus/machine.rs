//! The state machine: the configuration, and snapshots of it that take the place of old entries.
//!
//! After a start it is what the last snapshot says until the entries after it are agreed on again.

use super::super::config::GroupConfig;
use super::super::message::encode;
use super::super::ports::Disk;
use super::{ConsensusError, Types};
use openraft::storage::RaftStateMachine;
use openraft::{
    BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot,
    SnapshotMeta, StorageError, StorageIOError, StoredMembership,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::Arc;
use tokio::sync::watch;

/// The file of the snapshot.
const SNAPSHOT: &str = "snapshot";

type Meta = SnapshotMeta<u64, BasicNode>;

/// A snapshot on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    meta: Meta,
    bytes: Vec<u8>,
}

/// The state machine, shared with who makes snapshots of it.
#[derive(Clone)]
pub(super) struct Machine {
    state: Arc<Mutex<State>>,
    /// Held while a snapshot is taken and written, so that an older one never replaces a newer one.
    writing: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    disk: Arc<dyn Disk>,
    config: GroupConfig,
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    snapshot: Option<Stored>,
    told: watch::Sender<Arc<GroupConfig>>,
    /// The index up to which the snapshot on disk has everything.
    kept: watch::Sender<Option<u64>>,
}

impl Machine {
    /// Reads the last snapshot, and tells of each configuration from then on.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, watch::Receiver<Arc<GroupConfig>>), ConsensusError> {
        let stored: Option<Stored> = match disk.read(SNAPSHOT)?.last() {
            None => None,
            Some(record) => {
                Some(postcard::from_bytes(record).map_err(|_| ConsensusError::Damaged(SNAPSHOT))?)
            }
        };
        let config = match &stored {
            None => GroupConfig::default(),
            Some(stored) => postcard::from_bytes(&stored.bytes)
                .map_err(|_| ConsensusError::Damaged(SNAPSHOT))?,
        };
        let (told, watched) = watch::channel(Arc::new(config.clone()));
        let index = stored.as_ref().and_then(|stored| stored.meta.last_log_id).map(|id| id.index);
        let state = State {
            disk,
            config,
            applied: stored.as_ref().and_then(|stored| stored.meta.last_log_id),
            membership: stored
                .as_ref()
                .map(|stored| stored.meta.last_membership.clone())
                .unwrap_or_default(),
            snapshot: stored,
            told,
            kept: watch::Sender::new(index),
        };
        Ok((Self { state: Arc::new(Mutex::new(state)), writing: Arc::default() }, watched))
    }
}

impl State {
    fn store(&self) -> Stored {
        let snapshot_id = self.applied.map_or_else(|| "0".to_owned(), |id| id.to_string());
        let meta = Meta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id,
        };
        Stored { meta, bytes: encode(&self.config).to_vec() }
    }

    fn tell(&self) {
        self.told.send_if_modified(|told| {
            let is_new = **told != self.config;
            if is_new {
                *told = Arc::new(self.config.clone());
            }
            is_new
        });
    }
}

impl Machine {
    /// Writes a snapshot.
    async fn keep(&self, stored: &Stored) -> Result<(), StorageError<u64>> {
        let written = self.state.lock().disk.replace(SNAPSHOT, &encode(stored));
        let signature = Some(stored.meta.signature());
        written.await.map_err(|error| StorageIOError::write_snapshot(signature, &error))?;
        self.state.lock().kept.send_replace(stored.meta.last_log_id.map(|id| id.index));
        Ok(())
    }

    /// Tells up to which index a snapshot on disk has everything.
    pub(super) fn kept(&self) -> watch::Receiver<Option<u64>> {
        self.state.lock().kept.subscribe()
    }
}

fn snapshot(stored: &Stored) -> Snapshot<Types> {
    let snapshot = Box::new(Cursor::new(stored.bytes.clone()));
    Snapshot { meta: stored.meta.clone(), snapshot }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        let _writing = self.writing.lock().await;
        let stored = self.state.lock().store();
        self.keep(&stored).await?;
        let built = snapshot(&stored);
        self.state.lock().snapshot = Some(stored);
        Ok(built)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        let state = self.state.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(
        &mut self,
        entries: I,
    ) -> Result<Vec<Result<(), super::Refusal>>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.state.lock();
        let mut results = Vec::new();
        for entry in entries {
            state.applied = Some(entry.log_id);
            results.push(match entry.payload {
                EntryPayload::Blank => Ok(()),
                EntryPayload::Normal(change) => state.config.apply(&change),
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Ok(())
                }
            });
        }
        state.tell();
        Ok(results)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        let bytes = snapshot.into_inner();
        let config = postcard::from_bytes(&bytes)
            .map_err(|error| StorageIOError::read_snapshot(Some(meta.signature()), &error))?;
        let stored = Stored { meta: meta.clone(), bytes };
        let _writing = self.writing.lock().await;
        self.keep(&stored).await?;
        let mut state = self.state.lock();
        state.snapshot = Some(stored);
        state.config = config;
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.tell();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        Ok(self.state.lock().snapshot.as_ref().map(snapshot))
    }
}
