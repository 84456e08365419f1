//! Where a new connection leads, and whether an old one may go on.

use super::{EndpointKind, ReplicaTarget, Routes, Target};
use crate::group::config::NodeId;
use std::collections::HashMap;

/// How many connections lead to each node.
#[derive(Debug, Default)]
pub(super) struct Balance {
    connections: HashMap<NodeId, usize>,
    /// Grows with every choice, so that equals take turns.
    turn: usize,
}

impl Balance {
    pub(super) fn enter(&mut self, node: &NodeId) {
        *self.connections.entry(node.clone()).or_default() += 1;
    }

    pub(super) fn leave(&mut self, node: &NodeId) {
        if let Some(count) = self.connections.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(node);
            }
        }
    }

    fn count(&self, node: &NodeId) -> usize {
        self.connections.get(node).copied().unwrap_or(0)
    }
}

/// All nodes that a new connection may lead to.
pub(super) fn candidates(kind: &EndpointKind, routes: &Routes) -> Vec<Target> {
    let replicas = fit_replicas(kind, routes).cloned();
    replicas.chain(routes.primary.clone()).collect()
}

/// The replicas that a new connection may lead to.
fn fit_replicas<'r>(
    kind: &'r EndpointKind,
    routes: &'r Routes,
) -> impl Iterator<Item = &'r Target> {
    let is_fit = move |replica: &&ReplicaTarget| match kind {
        EndpointKind::Primary => false,
        EndpointKind::Reader { max_lag_ms, .. } => replica.is_up && replica.lag_ms <= *max_lag_ms,
    };
    routes.replicas.iter().filter(is_fit).map(|replica| &replica.target)
}

/// Where a new connection leads, `failed` left out.
pub(super) fn choose(
    kind: &EndpointKind,
    routes: &Routes,
    failed: &[NodeId],
    balance: &mut Balance,
) -> Option<Target> {
    let primary = routes.primary.as_ref().filter(|target| !failed.contains(&target.node));
    let EndpointKind::Reader { zone, .. } = kind else { return primary.cloned() };
    let fit: Vec<&Target> =
        fit_replicas(kind, routes).filter(|target| !failed.contains(&target.node)).collect();
    let near: Vec<&Target> =
        fit.iter().copied().filter(|target| Some(&target.zone) == zone.as_ref()).collect();
    let among = if near.is_empty() { fit } else { near };
    balance.turn = balance.turn.wrapping_add(1);
    let start = balance.turn % among.len().max(1);
    // The first of equals is taken, counted from the one whose turn it is.
    let least = among[start..]
        .iter()
        .chain(&among[..start])
        .min_by_key(|target| balance.count(&target.node))
        .copied();
    least.or(primary).cloned()
}

/// Whether a connection may go on leading where it leads, now that the routes have changed.
/// `before` is who was primary until then.
pub(super) fn is_still_served(
    kind: &EndpointKind,
    target: &Target,
    before: Option<&Target>,
    now: &Routes,
) -> bool {
    match kind {
        EndpointKind::Primary => {
            if now.primary.as_ref() == Some(target) || now.primary.as_ref() == before {
                return true;
            }
            // A handover takes one epoch. More than one: it was taken back, or a change in between
            // was not seen, and need not have been planned.
            let is_whole = match (&now.primary, before) {
                (Some(now), Some(before)) => {
                    now.epoch.saturating_sub(before.epoch) <= 1 || now.node == before.node
                }
                _ => true,
            };
            now.is_planned && is_whole
        }
        EndpointKind::Reader { .. } => {
            let is_there =
                |other: &Target| other.node == target.node && other.address == target.address;
            let is_replica =
                now.replicas.iter().any(|replica| replica.is_up && is_there(&replica.target));
            let is_primary = match &now.primary {
                Some(primary) => is_there(primary),
                None => now.is_planned && before.is_some_and(is_there),
            };
            is_replica || is_primary
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::config::Zone;

    fn target(node: &str, zone: &str, epoch: u64) -> Target {
        let port = 1000 + node.len() as u16 + u16::from(node.as_bytes()[0]);
        let address = ([127, 0, 0, 1], port).into();
        Target { node: NodeId(node.into()), zone: Zone(zone.into()), address, epoch }
    }

    fn replica(node: &str, zone: &str, lag_ms: u64, is_up: bool) -> ReplicaTarget {
        ReplicaTarget { target: target(node, zone, 1), lag_ms, is_up }
    }

    fn reader(zone: &str) -> EndpointKind {
        EndpointKind::Reader { zone: Some(Zone(zone.into())), max_lag_ms: 1_000 }
    }

    fn routes(replicas: Vec<ReplicaTarget>) -> Routes {
        Routes { primary: Some(target("p", "a", 1)), is_planned: false, replicas }
    }

    fn pick(
        kind: &EndpointKind,
        routes: &Routes,
        failed: &[&str],
        balance: &mut Balance,
    ) -> String {
        let failed: Vec<NodeId> = failed.iter().map(|node| NodeId((*node).into())).collect();
        choose(kind, routes, &failed, balance).map_or_else(String::new, |target| target.node.0)
    }

    #[test]
    fn readers_go_to_the_own_zone_then_elsewhere_then_to_the_primary() {
        let routes = routes(vec![
            replica("x", "a", 0, true),
            replica("y", "b", 0, true),
            replica("z", "b", 5, true),
        ]);
        let mut balance = Balance::default();
        assert_eq!(pick(&reader("a"), &routes, &[], &mut balance), "x");
        assert_eq!(pick(&reader("a"), &routes, &["x", "y"], &mut balance), "z");
        assert_eq!(pick(&reader("a"), &routes, &["x", "y", "z"], &mut balance), "p");
        assert_eq!(pick(&reader("a"), &routes, &["x", "y", "z", "p"], &mut balance), "");
        assert_ne!(pick(&reader("b"), &routes, &[], &mut balance), "x");
        assert_eq!(pick(&EndpointKind::Primary, &routes, &[], &mut balance), "p");
        assert_eq!(pick(&EndpointKind::Primary, &routes, &["p"], &mut balance), "");
    }

    #[test]
    fn who_is_down_or_far_behind_gets_nobody() {
        let routes = routes(vec![
            replica("x", "a", 1_001, true),
            replica("y", "a", 0, false),
            replica("z", "b", 1_000, true),
        ]);
        assert_eq!(pick(&reader("a"), &routes, &[], &mut Balance::default()), "z");
    }

    #[test]
    fn connections_go_where_the_fewest_are_and_equals_take_turns() {
        let all = ["u", "v", "w"];
        let routes = routes(all.map(|node| replica(node, "a", 0, true)).to_vec());
        let mut balance = Balance::default();
        for _ in 0..10 {
            balance.enter(&NodeId("u".into()));
        }
        for _ in 0..21 {
            let node = NodeId(pick(&reader("a"), &routes, &[], &mut balance));
            balance.enter(&node);
        }
        let counts = all.map(|node| balance.count(&NodeId(node.into())));
        assert!(counts.iter().all(|count| (10..=11).contains(count)), "{counts:?}");
        for node in all {
            while balance.count(&NodeId(node.into())) > 0 {
                balance.leave(&NodeId(node.into()));
            }
        }
        let turns: Vec<String> =
            (0..3).map(|_| pick(&reader("a"), &routes, &[], &mut balance)).collect();
        assert!(all.iter().all(|node| turns.iter().any(|turn| turn == node)), "{turns:?}");
    }

    #[test]
    fn connections_outlive_a_handover_but_not_a_loss() {
        let primary = EndpointKind::Primary;
        let (old, new) = (target("p", "a", 1), target("x", "b", 2));
        let now = |primary: &Target, is_planned| Routes {
            primary: Some(primary.clone()),
            is_planned,
            replicas: Vec::new(),
        };
        assert!(is_still_served(&primary, &old, Some(&old), &now(&new, true)));
        assert!(!is_still_served(&primary, &old, Some(&old), &now(&new, false)));
        assert!(is_still_served(&primary, &new, Some(&old), &now(&new, false)));
        // A change of the replicas is none of the primary.
        assert!(is_still_served(&primary, &old, Some(&new), &now(&new, false)));
        // The same node in a later epoch has been lost in between.
        let again = target("p", "a", 2);
        assert!(!is_still_served(&primary, &old, Some(&old), &now(&again, false)));
        // Two changes of which only the second one was seen.
        assert!(!is_still_served(&primary, &old, Some(&old), &now(&target("x", "b", 3), true)));
        // A handover that was taken back.
        let again = now(&target("p", "a", 3), true);
        assert!(is_still_served(&primary, &old, Some(&old), &again));
        assert!(!is_still_served(&primary, &old, Some(&old), &Routes::default()));
        let between = Routes { is_planned: true, ..Routes::default() };
        assert!(is_still_served(&primary, &old, Some(&old), &between));
    }

    #[test]
    fn readers_stay_as_long_as_their_node_lives() {
        let kind = reader("a");
        let (old, x) = (target("p", "a", 1), target("x", "a", 1));
        let is_up = |up| routes(vec![replica("x", "a", 0, up)]);
        assert!(is_still_served(&kind, &x, Some(&old), &is_up(true)));
        assert!(!is_still_served(&kind, &x, Some(&old), &is_up(false)));
        assert!(!is_still_served(&kind, &x, Some(&old), &routes(Vec::new())));
        // It became primary.
        let promoted = Routes { primary: Some(target("x", "a", 2)), ..Routes::default() };
        assert!(is_still_served(&kind, &x, Some(&old), &promoted));
        // It came back elsewhere.
        let mut moved = is_up(true);
        moved.replicas[0].target.address.set_port(1);
        assert!(!is_still_served(&kind, &x, Some(&old), &moved));
    }
}
