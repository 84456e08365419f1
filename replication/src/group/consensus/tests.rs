//! Consensus over disks that stop in the middle.

use super::*;
use crate::group::link::{BoxFuture, CallError};
use crate::group::ports::{MemoryDisk, Writing};
use bytes::Bytes;
use openraft::raft::InstallSnapshotRequest;
use openraft::{CommittedLeaderId, LogId, Membership, SnapshotMeta, StoredMembership, Vote};
use std::future::pending;

/// Nobody is there.
struct Alone;

impl Peers for Alone {
    fn call<'a>(&'a self, _: &'a Member, _: Bytes) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(pending())
    }
}

/// A disk that never comes to the end of one file.
struct Stuck(MemoryDisk, &'static str);

impl Disk for Stuck {
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        self.0.read(name)
    }

    fn replace(&self, name: &str, record: &[u8]) -> Writing {
        if name == self.1 { Box::pin(pending()) } else { self.0.replace(name, record) }
    }

    fn append(&self, name: &str, record: &[u8]) -> Writing {
        self.0.append(name, record)
    }
}

async fn start(disk: Arc<dyn Disk>) -> Consensus {
    let parts = Parts {
        me: NodeId("s-001".to_owned()),
        founders: Vec::new(),
        directory: Arc::default(),
        disk,
        peers: Arc::new(Alone),
        lease: Duration::from_secs(1),
    };
    Consensus::start(parts).await.unwrap()
}

/// A snapshot that another member sends, of the first hundred entries.
fn snapshot() -> RaftRequest {
    let other = number(&NodeId("s-002".to_owned()));
    let last = LogId::new(CommittedLeaderId::new(1, other), 100);
    let nodes = BTreeMap::from([(other, BasicNode::new("s-002"))]);
    let membership = Membership::new(vec![BTreeSet::from([other])], nodes);
    RaftRequest::Snapshot(InstallSnapshotRequest {
        vote: Vote::new_committed(1, other),
        meta: SnapshotMeta {
            last_log_id: Some(last),
            last_membership: StoredMembership::new(Some(last), membership),
            snapshot_id: "100".to_owned(),
        },
        offset: 0,
        data: super::super::message::encode(&GroupConfig::default()).to_vec(),
        done: true,
    })
}

#[tokio::test(start_paused = true)]
async fn the_log_is_not_forgotten_before_the_snapshot_is_kept() {
    let disk = MemoryDisk::default();
    let consensus = start(Arc::new(Stuck(disk.clone(), "snapshot"))).await;
    let answer = tokio::time::timeout(Duration::from_secs(60), consensus.answer(snapshot())).await;
    assert!(answer.is_err(), "it is not on disk: {answer:?}");
    assert_eq!(disk.read("log").unwrap(), Vec::<Vec<u8>>::new());

    let consensus = start(Arc::new(disk.clone())).await;
    let answer = consensus.answer(snapshot()).await;
    assert!(matches!(answer, RaftAnswer::Snapshot(Ok(_))), "{answer:?}");
    assert_eq!((disk.read("log").unwrap().len(), disk.read("snapshot").unwrap().len()), (1, 1));
    consensus.stop().await;
}
