//! Raft's questions to the other members.

use super::super::message::{Answer, Request, decode, encode};
use super::super::ports::Peers;
use super::{Directory, Types};
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A question of Raft.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::group) enum RaftRequest {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<Types>),
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::group) enum RaftAnswer {
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
}

type CallError<E> = RPCError<u64, BasicNode, E>;

/// The way to all members.
pub(super) struct Network {
    directory: Arc<Directory>,
    peers: Arc<dyn Peers>,
    /// After a call that failed.
    pause: Duration,
}

impl Network {
    pub(super) fn new(
        directory: Arc<Directory>,
        peers: Arc<dyn Peers>,
        patience: Duration,
    ) -> Self {
        Self { directory, peers, pause: patience / 10 }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _: &BasicNode) -> Way {
        let (directory, peers) = (Arc::clone(&self.directory), Arc::clone(&self.peers));
        Way { target, directory, peers, pause: self.pause }
    }
}

/// The way to one member.
pub(super) struct Way {
    target: u64,
    directory: Arc<Directory>,
    peers: Arc<dyn Peers>,
    pause: Duration,
}

impl Way {
    async fn ask<E: std::error::Error>(
        &self,
        request: RaftRequest,
        option: &RPCOption,
    ) -> Result<RaftAnswer, CallError<E>> {
        let unreachable =
            |why: &str| RPCError::Unreachable(Unreachable::new(&io::Error::other(why.to_owned())));
        let Some(member) = self.directory.find(self.target) else {
            return Err(unreachable("nobody knows where it is"));
        };
        let request = encode(&Request::Raft(request));
        let call = self.peers.call(&member, request);
        let Ok(answer) = tokio::time::timeout(option.hard_ttl(), call).await else {
            return Err(unreachable("no answer in time"));
        };
        let answer = answer.map_err(|error| unreachable(&error.to_string()))?;
        match decode(&answer) {
            Some(Answer::Raft(answer)) => Ok(answer),
            _ => Err(unreachable("an answer that makes no sense")),
        }
    }

    fn result<T, E: std::error::Error>(&self, result: Result<T, E>) -> Result<T, CallError<E>> {
        result.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target, error)))
    }

    fn mismatch<E: std::error::Error>() -> CallError<E> {
        let error = io::Error::other("the answer to another question");
        RPCError::Unreachable(Unreachable::new(&error))
    }
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, CallError<RaftError<u64>>> {
        match self.ask(RaftRequest::Append(request), &option).await? {
            RaftAnswer::Append(result) => self.result(result),
            _ => Err(Self::mismatch()),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, CallError<RaftError<u64, InstallSnapshotError>>> {
        match self.ask(RaftRequest::Snapshot(request), &option).await? {
            RaftAnswer::Snapshot(result) => self.result(result),
            _ => Err(Self::mismatch()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, CallError<RaftError<u64>>> {
        match self.ask(RaftRequest::Vote(request), &option).await? {
            RaftAnswer::Vote(result) => self.result(result),
            _ => Err(Self::mismatch()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.pause))
    }
}
