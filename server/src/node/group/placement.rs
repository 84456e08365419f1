//! Which nodes a group has, and where they stand.

use larder_replication::group::config::{NodeId, Zone};
use std::collections::HashMap;

/// The zone of witnesses where every other zone has nodes with data.
const WITNESS_ZONE: &str = "witness";

/// One member's name and zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) id: NodeId,
    pub(super) zone: Zone,
    pub(super) is_witness: bool,
}

/// The name of a node, as ElastiCache makes it: the first primary is 001.
pub(super) fn node_id(group: &str, number: usize) -> NodeId {
    NodeId(format!("{group}-{number:03}"))
}

/// Spreads the nodes of a group over its zones in turn, the first one first.
///
/// Witnesses are added until there are three voters and no zone has half of them, as far as that is
/// possible: so the group outlives the loss of any zone. A lone node stays alone.
pub(super) fn place(group: &str, zones: &[Zone], nodes: usize) -> Vec<Placed> {
    let mut placed: Vec<Placed> = zones
        .iter()
        .cycle()
        .take(nodes)
        .enumerate()
        .map(|(index, zone)| Placed {
            id: node_id(group, index + 1),
            zone: zone.clone(),
            is_witness: false,
        })
        .collect();
    if nodes < 2 {
        return placed;
    }
    let mut witnesses = 0;
    while placed.len() < 3 || (zones.len() > 1 && has_zone_with_half(&placed)) {
        let is_free = |zone: &&Zone| placed.iter().all(|member| member.zone != **zone);
        let zone = zones.iter().find(is_free).cloned();
        witnesses += 1;
        placed.push(Placed {
            id: NodeId(format!("{group}-witness-{witnesses}")),
            zone: zone.unwrap_or_else(|| Zone(WITNESS_ZONE.to_owned())),
            is_witness: true,
        });
        if placed.len() > 2 * nodes + 1 {
            break;
        }
    }
    placed
}

fn has_zone_with_half(placed: &[Placed]) -> bool {
    let mut voters: HashMap<&Zone, usize> = HashMap::new();
    for member in placed.iter().filter(|member| member.zone.0 != WITNESS_ZONE) {
        *voters.entry(&member.zone).or_default() += 1;
    }
    voters.values().any(|count| count * 2 >= placed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(zones: &str, nodes: usize) -> String {
        let zones: Vec<Zone> = zones.split(',').map(|zone| Zone(zone.to_owned())).collect();
        let placed = place("s", &zones, nodes);
        let all: Vec<String> =
            placed.iter().map(|member| format!("{}@{}", member.id, member.zone)).collect();
        all.join(" ")
    }

    #[test]
    fn nodes_go_round_the_zones() {
        assert_eq!(shown("a,b,c", 3), "s-001@a s-002@b s-003@c");
        let six = "s-001@a s-002@b s-003@c s-004@a s-005@b s-006@c";
        assert_eq!(shown("a,b,c", 6), six);
        assert_eq!(shown("a", 3), "s-001@a s-002@a s-003@a");
        assert_eq!(shown("a,b", 1), "s-001@a");
    }

    #[test]
    fn witnesses_stand_where_no_data_does() {
        assert_eq!(shown("a,b,c", 2), "s-001@a s-002@b s-witness-1@c");
        assert_eq!(shown("a,b", 2), "s-001@a s-002@b s-witness-1@witness");
        assert_eq!(
            shown("a,b", 3),
            "s-001@a s-002@b s-003@a s-witness-1@witness s-witness-2@witness"
        );
        assert_eq!(shown("a", 2), "s-001@a s-002@a s-witness-1@witness");
        let four = "s-001@a s-002@b s-003@c s-004@a s-witness-1@witness";
        assert_eq!(shown("a,b,c", 4), four);
    }
}
