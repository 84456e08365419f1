//! All nodes of a group start anew, one after another, and the group goes on meanwhile: replicas
//! first, then the primary once it has handed over, the node that looks after it last of all.

use larder_replication::group::AskError;
use larder_replication::group::config::{GroupConfig, Incarnation, NodeId};
use larder_replication::group::driver::{Handle, Status};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long one node may take until it is in sync again.
const PATIENCE: Duration = Duration::from_secs(300);

/// Restarts all nodes with data.
pub(super) async fn restart_all(handle: &Handle, me: &NodeId) -> Result<(), AskError> {
    let mut status = handle.status();
    let data_members = |config: &GroupConfig| -> BTreeSet<NodeId> {
        config.data_members().map(|member| member.id.clone()).collect()
    };
    let mut left = data_members(&status.borrow().config);
    let has_data = left.remove(me);
    // Who leads may change meanwhile.
    loop {
        let config = Arc::clone(&status.borrow().config);
        let Some(id) = next(&left, &config)? else { break };
        if config.primary.as_ref() == Some(&id) {
            // To one that is not restarted any more.
            let target =
                data_members(&config).into_iter().find(|other| *other != id && *other != *me);
            handle.hand_over(target).await?;
        }
        restart(handle, &mut status, &id).await?;
        left.remove(&id);
    }
    if status.borrow().config.primary.as_ref() == Some(me) {
        handle.hand_over(None).await?;
    }
    match has_data {
        true => handle.power_off(me, Duration::ZERO).await,
        false => Ok(()),
    }
}

/// The node that is restarted next: the primary last.
fn next(left: &BTreeSet<NodeId>, config: &GroupConfig) -> Result<Option<NodeId>, AskError> {
    let primary = config.primary.as_ref().ok_or(AskError::NoPrimary)?;
    Ok(left.iter().find(|id| *id != primary).or(left.first()).cloned())
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
