//! How the members agree on the configuration: Raft, by the openraft crate.
//!
//! ```text
//! log       entries and votes, on disk before they count
//! machine   the configuration that the agreed entries come to, and its snapshots
//! network   questions to the other members
//! runtime   tokio, with random numbers that can be repeated
//! ```
//!
//! Nothing outside this room knows openraft's types. Consensus decides about configuration only: a few
//! entries when something happens, none while all is well.

#![allow(clippy::result_large_err, reason = "the errors are openraft's, and rare")]

mod log;
mod machine;
mod network;
mod runtime;

use super::change::{Change, Refusal};
use super::config::{GroupConfig, Member, NodeId};
use super::disk::DiskError;
use super::message::AskError;
use super::ports::{Disk, Peers};
use log::LogStore;
use machine::Machine;
use network::Network;
use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::{BasicNode, ChangeMembers, SnapshotPolicy};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(in crate::group) use network::{RaftAnswer, RaftRequest};

/// Entries after which the log is replaced by a snapshot, and how many of them stay for members that
/// are a little behind.
const SNAPSHOT_ENTRIES: u64 = 256;
const KEPT_ENTRIES: u64 = 64;
/// Bytes of a snapshot that are sent at a time: a message has room for them.
const CHUNK_BYTES: u64 = 512 * 1024;

openraft::declare_raft_types!(
    /// What openraft works with here.
    pub(in crate::group) Types:
        D = Change,
        R = Result<(), Refusal>,
        NodeId = u64,
        Node = BasicNode,
        Entry = openraft::Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = runtime::Runtime
);

type Raft = openraft::Raft<Types>;

/// The number by which Raft knows a member.
fn number(id: &NodeId) -> u64 {
    let digest = Sha256::digest(id.0.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// Where members are: those that the group was begun with, until the configuration knows better.
#[derive(Debug, Default)]
pub(in crate::group) struct Directory(RwLock<BTreeMap<u64, Member>>);

impl Directory {
    pub(in crate::group) fn learn<'m>(&self, members: impl IntoIterator<Item = &'m Member>) {
        let mut known = self.0.write();
        known.extend(members.into_iter().map(|member| (number(&member.id), member.clone())));
    }

    /// Learns of members that were proposed. They may be refused yet, or be somewhere else by now:
    /// what is known already stays.
    fn suppose<'m>(&self, members: impl IntoIterator<Item = &'m Member>) {
        let mut known = self.0.write();
        for member in members {
            known.entry(number(&member.id)).or_insert_with(|| member.clone());
        }
    }

    fn find(&self, number: u64) -> Option<Member> {
        self.0.read().get(&number).cloned()
    }
}

/// Why consensus cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// What was remembered cannot be read.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// What was remembered makes no sense.
    #[error("{0}: not what a member remembers")]
    Damaged(&'static str),
    /// Raft refuses.
    #[error("{0}")]
    Raft(String),
}

/// One member's part in consensus.
pub(in crate::group) struct Consensus {
    raft: Raft,
    me: u64,
    directory: Arc<Directory>,
    config: watch::Receiver<Arc<GroupConfig>>,
}

/// What consensus needs.
pub(in crate::group) struct Parts {
    pub(in crate::group) me: NodeId,
    /// The members that a new group begins with; empty for one that joins.
    pub(in crate::group) founders: Vec<Member>,
    pub(in crate::group) directory: Arc<Directory>,
    pub(in crate::group) disk: Arc<dyn Disk>,
    pub(in crate::group) peers: Arc<dyn Peers>,
    /// The lease of the group: consensus is to be several times as fast.
    pub(in crate::group) lease: Duration,
}

impl Consensus {
    pub(in crate::group) async fn start(parts: Parts) -> Result<Self, ConsensusError> {
        let me = number(&parts.me);
        let lease_ms = parts.lease.as_millis().max(20) as u64;
        let config = openraft::Config {
            cluster_name: "group".to_owned(),
            // Each member looks at two thirds of this rate whether there is a leader, and whether it is
            // time: 256 ms of a lease of a second, a pause that falls together with others.
            heartbeat_interval: (lease_ms * 64 / 375).max(2),
            // A follower helps to elect another leader when the largest of these and one of its own
            // is over.
            election_timeout_min: (lease_ms / 4).max(6),
            election_timeout_max: (lease_ms * 2 / 5).max(8),
            install_snapshot_timeout: lease_ms.max(500),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
            max_in_snapshot_log_to_keep: KEPT_ENTRIES,
            snapshot_max_chunk_size: CHUNK_BYTES,
            ..openraft::Config::default()
        };
        let config = config.validate().map_err(|error| ConsensusError::Raft(error.to_string()))?;
        let (machine, watched) = Machine::open(Arc::clone(&parts.disk))?;
        let directory = Arc::clone(&parts.directory);
        let log = LogStore::open(Arc::clone(&parts.disk), directory, machine.kept())?;
        let patience = parts.lease / 2;
        let network = Network::new(Arc::clone(&parts.directory), parts.peers, patience);
        let raft = Raft::new(me, Arc::new(config), network, log, machine)
            .await
            .map_err(|error| ConsensusError::Raft(error.to_string()))?;
        let consensus = Self { raft, me, directory: parts.directory, config: watched };
        consensus.found(&parts.founders).await?;
        Ok(consensus)
    }

    /// Begins a group; all its founders do, with the same members.
    async fn found(&self, founders: &[Member]) -> Result<(), ConsensusError> {
        if founders.is_empty() {
            return Ok(());
        }
        let node = |member: &Member| (number(&member.id), BasicNode::new(&member.id.0));
        let nodes: BTreeMap<u64, BasicNode> = founders.iter().map(node).collect();
        match self.raft.initialize(nodes).await {
            // It has begun in an earlier life.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(ConsensusError::Raft(error.to_string())),
        }
    }

    /// What was agreed on, as far as this member knows.
    pub(in crate::group) fn config(&self) -> Arc<GroupConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Tells of each configuration.
    pub(in crate::group) fn watch(&self) -> watch::Receiver<Arc<GroupConfig>> {
        self.config.clone()
    }

    /// Who leads consensus, as far as this member knows.
    pub(in crate::group) fn leader(&self) -> Option<Member> {
        let leader = self.raft.metrics().borrow().current_leader;
        leader.and_then(|number| self.directory.find(number))
    }

    /// Whether this member leads.
    pub(in crate::group) fn leads(&self) -> bool {
        self.raft.metrics().borrow().current_leader == Some(self.me)
    }

    /// Whether it is out of order: its disk failed.
    pub(in crate::group) fn failure(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let state = &metrics.borrow().running_state;
        state.as_ref().err().map(ToString::to_string)
    }

    /// Has a change agreed on; only who leads can.
    pub(in crate::group) async fn propose(&self, change: Change) -> Result<(), AskError> {
        match self.raft.client_write(change).await {
            Ok(written) => Ok(written.data?),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(AskError::NotMine)
            }
            Err(_) => Err(AskError::NoQuorum),
        }
    }

    /// Whether a member has a vote.
    pub(in crate::group) fn votes(&self, id: &NodeId) -> bool {
        let metrics = self.raft.metrics();
        let membership = Arc::clone(&metrics.borrow().membership_config);
        membership.voter_ids().any(|voter| voter == number(id))
    }

    /// Lets a member vote that the configuration knows already.
    pub(in crate::group) async fn admit(&self, member: &Member) -> Result<(), AskError> {
        let id = number(&member.id);
        let is_same = |known: &Member| known.id == member.id;
        if self.directory.find(id).is_some_and(|known| !is_same(&known)) {
            return Err(Refusal::Senseless("another name would fit better".to_owned()).into());
        }
        self.directory.learn([member]);
        self.change_voters(async |raft| {
            raft.add_learner(id, BasicNode::new(&member.id.0), false).await?;
            raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([id])), false).await
        })
        .await
    }

    /// Takes a member's vote.
    pub(in crate::group) async fn dismiss(&self, id: &NodeId) -> Result<(), AskError> {
        let gone = BTreeSet::from([number(id)]);
        self.change_voters(async |raft| {
            raft.change_membership(ChangeMembers::RemoveVoters(gone), false).await
        })
        .await
    }

    async fn change_voters(
        &self,
        change: impl AsyncFnOnce(
            &Raft,
        ) -> Result<
            openraft::raft::ClientWriteResponse<Types>,
            RaftError<u64, ClientWriteError<u64, BasicNode>>,
        >,
    ) -> Result<(), AskError> {
        match change(&self.raft).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(AskError::NotMine)
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                Err(AskError::GivenUp(error.to_string()))
            }
            Err(_) => Err(AskError::NoQuorum),
        }
    }

    /// Answers another member's question.
    pub(in crate::group) async fn answer(&self, request: RaftRequest) -> RaftAnswer {
        match request {
            RaftRequest::Append(request) => {
                RaftAnswer::Append(self.raft.append_entries(request).await)
            }
            RaftRequest::Vote(request) => RaftAnswer::Vote(self.raft.vote(request).await),
            RaftRequest::Snapshot(request) => {
                RaftAnswer::Snapshot(self.raft.install_snapshot(request).await)
            }
        }
    }

    /// Ends it.
    pub(in crate::group) async fn stop(&self) {
        // A task that panicked has said so already.
        let _ = self.raft.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
