//! All nodes of a group start anew, one after another, and the group goes on meanwhile: replicas
//! first, then the primary once it has handed over, the node that looks after it last of all.

use larder_replication::group::AskError;
use larder_replication::group::config::{GroupConfig, Incarnation, NodeId};
use larder_replication::group::driver::{Handle, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long one node may take until it is in sync again.
const PATIENCE: Duration = Duration::from_secs(300);

/// Restarts all nodes with data.
pub(super) async fn restart_all(handle: &Handle, me: &NodeId) -> Result<(), AskError> {
    let mut status = handle.status();
    let config = Arc::clone(&status.borrow().config);
    let primary = config.primary.clone().ok_or(AskError::NoPrimary)?;
    for id in replicas(&config, &primary, me) {
        restart(handle, &mut status, &id).await?;
    }
    if primary == *me {
        handle.hand_over(None).await?;
    } else {
        // To one that is not restarted any more.
        let target = replicas(&config, &primary, me).into_iter().next();
        // What this member knows may be older than the answer.
        let next = handle.hand_over(target).await?;
        restart(handle, &mut status, &primary).await?;
        if next == *me {
            handle.hand_over(None).await?;
        }
    }
    match config.members.get(me).is_some_and(|member| member.client_address.is_some()) {
        true => handle.power_off(me, Duration::ZERO).await,
        false => Ok(()),
    }
}

/// The nodes that neither lead nor look after the restart.
fn replicas(config: &GroupConfig, primary: &NodeId, me: &NodeId) -> Vec<NodeId> {
    let others = config.data_members().map(|member| &member.id);
    others.filter(|id| *id != primary && *id != me).cloned().collect()
}

/// Restarts one node and waits until its next life is in sync.
async fn restart(
    handle: &Handle,
    status: &mut watch::Receiver<Arc<Status>>,
    id: &NodeId,
) -> Result<(), AskError> {
    let before: Option<Incarnation> = status.borrow().config.in_sync.get(id).copied();
    handle.power_off(id, Duration::ZERO).await?;
    let is_back = |status: &Arc<Status>| {
        let now = status.config.in_sync.get(id);
        now.is_some() && now != before.as_ref()
    };
    match tokio::time::timeout(PATIENCE, status.wait_for(is_back)).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(AskError::GivenUp(format!("{id} is not in sync after its restart"))),
    }
}
