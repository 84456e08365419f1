//! INFO's section about replication, to the letter: Sentinel and clients read it. At its end, what Redis
//! does not tell: lags in bytes and milliseconds.

use super::Report;
use crate::node::role::{LinkView, Stage};
use larder_replication::ReplicationId;
use std::sync::Arc;

pub(super) fn write(report: &mut Report<'_>) {
    let node = report.node;
    let (settings, now_ms) = (Arc::clone(&report.settings), report.now_us.div_euclid(1000));
    report.section("Replication");
    let offset = node.log.offset();
    let link = node.role.link(now_ms, offset);
    match &link {
        None => report.field("role", "master"),
        Some(link) => as_replica(report, link, offset),
    }
    let replicas = node.replicas.all();
    report.field("connected_slaves", replicas.len());
    if settings.min_replicas_to_write > 0 && settings.min_replicas_max_lag_s > 0 {
        report.field("min_slaves_good_slaves", node.replicas.good());
    }
    for (index, replica) in replicas.iter().enumerate() {
        report.line(format_args!(
            "slave{index}:ip={},port={},state={},offset={},lag={}",
            replica.address(),
            replica.announced.port,
            replica.stage().name(),
            replica.acked(),
            replica.lag_s(now_ms)
        ));
    }
    report.field("master_failover_state", node.failover.state());
    let history = node.log.history();
    let former = history.former.map_or(ReplicationId::NONE, |(id, _)| id);
    report.field("master_replid", history.replid);
    report.field("master_replid2", former);
    report.field("master_repl_offset", offset);
    match history.former {
        Some((_, second_offset)) => report.field("second_repl_offset", second_offset),
        None => report.field("second_repl_offset", -1),
    }
    let backlog = node.log.backlog();
    report.field("repl_backlog_active", u8::from(backlog.is_some()));
    report.field("repl_backlog_size", settings.repl_backlog_size_bytes);
    let first = backlog.map_or(0, |backlog| backlog.start + 1);
    report.field("repl_backlog_first_byte_offset", first);
    report.field("repl_backlog_histlen", backlog.map_or(0, |backlog| backlog.end - backlog.start));
    if let Some(link) = &link {
        report.field("master_lag_bytes", link.read_offset.saturating_sub(offset));
        report.field("master_lag_milliseconds", link.lag_ms);
    }
    for (index, replica) in replicas.iter().enumerate().filter(|(_, replica)| replica.is_online()) {
        let (bytes, milliseconds) = (offset.saturating_sub(replica.acked()), replica.lag_ms());
        report.line(format_args!("replica{index}_lag:bytes={bytes},milliseconds={milliseconds}"));
    }
}

/// What a replica tells of its primary.
fn as_replica(report: &mut Report<'_>, link: &LinkView, offset: u64) {
    let is_up = link.stage == Stage::Connected;
    report.field("role", "slave");
    report.field("master_host", &link.primary.host);
    report.field("master_port", link.primary.port);
    report.field("master_link_status", if is_up { "up" } else { "down" });
    report.field("master_last_io_seconds_ago", link.silent_ms.map_or(-1, |ms| ms / 1000));
    report.field("master_sync_in_progress", u8::from(link.stage == Stage::Sync));
    report.field("slave_read_repl_offset", link.read_offset);
    report.field("slave_repl_offset", offset);
    if let Some(sync) = link.sync {
        let (total, read) = (sync.total_bytes, sync.read_bytes);
        let percent = if total > 0 { read as f64 / total as f64 * 100.0 } else { 0.0 };
        report.field("master_sync_total_bytes", total);
        report.field("master_sync_read_bytes", read);
        report.field("master_sync_left_bytes", total as i64 - read as i64);
        report.field("master_sync_perc", format_args!("{percent:.2}"));
        report.field("master_sync_last_io_seconds_ago", sync.silent_ms / 1000);
    }
    if !is_up {
        report.field("master_link_down_since_seconds", link.down_ms.map_or(-1, |ms| ms / 1000));
    }
    let settings = Arc::clone(&report.settings);
    report.field("slave_priority", settings.replica_priority);
    report.field("slave_read_only", u8::from(settings.replica_read_only));
    report.field("replica_announced", u8::from(settings.replica_announced));
}
