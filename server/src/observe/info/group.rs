//! INFO's section about the replication group: ours, and only there where the node is a member.

use super::Report;
use crate::commands::group::reply::role;

pub(super) fn write(report: &mut Report<'_>) {
    let node = report.node;
    let Some(face) = node.group.get() else { return };
    let config = face.config();
    let me = config.members.get(&face.me);
    report.section("Group");
    report.field("group_name", &face.name);
    report.field("group_node_id", &face.me);
    report.field("group_zone", me.map_or("", |me| &me.zone.0));
    report.field("group_role", me.map_or("", |me| role(&config, me)));
    report.field("group_epoch", config.epoch);
    report.field("group_primary", config.primary.as_ref().map_or("", |id| &id.0));
    report.field("group_members", config.members.len());
    report.field("group_majority", config.members.len() / 2 + 1);
    report.field("group_in_sync", config.in_sync.len());
    report.field("group_interrupted_zone", config.interrupted.as_ref().map_or("", |zone| &zone.0));
    report.field("group_events", config.events.last().map_or(0, |event| event.number));
    let left = face.lease.end_nanos().saturating_sub(node.clock.boottime_nanos());
    report.field("group_lease_remaining_ms", left / 1_000_000);
    let failovers = face.failovers();
    report.field("group_failovers", config.failovers);
    report.field("group_last_failover_ms", failovers.last.as_millis());
    report.field("group_longest_failover_ms", failovers.longest.as_millis());
    report.field("group_total_failover_ms", failovers.total.as_millis());
}
