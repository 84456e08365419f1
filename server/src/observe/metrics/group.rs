//! The replication group as series of our own; none on a node that is no member.

use super::{Kind, Text};
use crate::node::shared::Shared;

/// Writes them.
pub(super) fn write(text: &mut Text, node: &Shared) {
    let Some(face) = node.group.get() else { return };
    let config = face.config();
    let gauge = |text: &mut Text, name: &str, help: &str, value: f64| {
        text.single(name, Kind::Gauge, help, value);
    };
    gauge(text, "larder_group_epoch", "Epoch of the primary.", config.epoch as f64);
    gauge(text, "larder_group_members", "Members.", config.members.len() as f64);
    let in_sync = config.in_sync.len() as f64;
    gauge(text, "larder_group_in_sync", "Data sets that are in sync, the primary's too.", in_sync);
    let has_primary = f64::from(config.primary.is_some());
    gauge(text, "larder_group_has_primary", "Whether there is a primary.", has_primary);
    let left = face.lease.end_nanos().saturating_sub(node.clock.boottime_nanos());
    let help = "Seconds for which this node may go on acknowledging writes.";
    gauge(text, "larder_group_lease_remaining_seconds", help, left as f64 / 1e9);
    let number = config.events.last().map_or(0, |event| event.number);
    text.single("larder_group_events_total", Kind::Counter, "Events.", number);
    let failovers = face.failovers();
    let help = "Primaries that took over from one that was lost.";
    text.single("larder_group_failovers_total", Kind::Counter, help, config.failovers);
    let help = "Time without a primary in failovers.";
    let total = failovers.total.as_secs_f64();
    text.single("larder_group_failover_seconds_total", Kind::Counter, help, total);
    let help = "Time without a primary in the last failover.";
    gauge(text, "larder_group_last_failover_seconds", help, failovers.last.as_secs_f64());
}
