//! Where the endpoints lead, out of what the group has agreed on.

use larder_replication::group::config::{GroupConfig, Member};
use larder_replication::group::endpoint::{ReplicaTarget, Routes, Target};

/// Milliseconds of a replica that is not in sync: more than any bound.
const NOT_IN_SYNC_MS: u64 = u64::MAX;

/// The routes of a group; `lag_ms` tells what is known of a replica in sync.
pub(super) fn routes(config: &GroupConfig, lag_ms: impl Fn(&Member) -> u64) -> Routes {
    let target = |member: &Member, epoch: u64| {
        let address = member.client_address?;
        Some(Target { node: member.id.clone(), zone: member.zone.clone(), address, epoch })
    };
    let primary = config.primary.as_ref().and_then(|id| config.members.get(id));
    let replicas = config.members.values().filter(|m| config.primary.as_ref() != Some(&m.id));
    let replicas = replicas.filter_map(|member| {
        let is_in_sync = config.in_sync.contains_key(&member.id);
        let has_power = config.interrupted.as_ref() != Some(&member.zone);
        Some(ReplicaTarget {
            // A replica goes on as it is from one primary to the next.
            target: target(member, 0)?,
            lag_ms: if is_in_sync { lag_ms(member) } else { NOT_IN_SYNC_MS },
            is_up: has_power,
        })
    });
    Routes {
        primary: primary.and_then(|member| target(member, config.epoch)),
        is_planned: config.is_planned,
        replicas: replicas.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_replication::group::config::{Incarnation, NodeId, Zone};

    fn config() -> GroupConfig {
        let member = |index: u16| {
            let id = NodeId(format!("s-00{index}"));
            let member = Member {
                id: id.clone(),
                zone: Zone(["a", "b", "c", "d"][usize::from(index) - 1].to_owned()),
                client_address: (index < 4).then(|| ([127, 0, 0, 1], 7000 + index).into()),
                group_address: ([127, 0, 0, 1], 8000 + index).into(),
            };
            (id, member)
        };
        let in_sync = |index: u16| (NodeId(format!("s-00{index}")), Incarnation(1));
        GroupConfig {
            epoch: 5,
            primary: Some(NodeId("s-001".to_owned())),
            members: (1..=4).map(member).collect(),
            in_sync: [in_sync(1), in_sync(2)].into_iter().collect(),
            ..GroupConfig::default()
        }
    }

    #[test]
    fn who_is_where() {
        let routes = routes(&GroupConfig { is_planned: true, ..config() }, |_| 7);
        let primary = routes.primary.expect("a primary");
        assert_eq!(
            (primary.node.0.as_str(), primary.address.port(), primary.epoch),
            ("s-001", 7001, 5)
        );
        let replicas: Vec<_> =
            routes.replicas.iter().map(|r| (r.target.node.0.as_str(), r.lag_ms, r.is_up)).collect();
        assert_eq!(replicas, [("s-002", 7, true), ("s-003", u64::MAX, true)]);
        assert!(routes.is_planned);
    }

    #[test]
    fn without_power_or_a_primary() {
        let zone = Some(Zone("b".to_owned()));
        let config = GroupConfig { primary: None, interrupted: zone, ..config() };
        let routes = routes(&config, |_| 0);
        assert_eq!(routes.primary, None);
        let up: Vec<bool> = routes.replicas.iter().map(|replica| replica.is_up).collect();
        assert_eq!(up, [true, false, true]);
    }
}
