//! INFO's fields of the append-only file.

use super::Report;
use crate::persistence::aof::Phase;
use std::sync::atomic::Ordering;

fn word(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "err" }
}

/// How it goes.
pub(super) fn status(report: &mut Report<'_>) {
    let node = report.node;
    let rewrite = node.aof.rewrite.facts();
    let now_s = node.clock.unix_ms().div_euclid(1000);
    report.field("aof_enabled", u8::from(node.aof.facts.phase() != Phase::Off));
    report.field("aof_rewrite_in_progress", u8::from(rewrite.began_s.is_some()));
    report.field("aof_rewrite_scheduled", u8::from(rewrite.is_scheduled));
    report.field("aof_last_rewrite_time_sec", rewrite.last_s);
    let current_s = rewrite.began_s.map_or(-1, |began_s| now_s - began_s);
    report.field("aof_current_rewrite_time_sec", current_s);
    report.field("aof_last_bgrewrite_status", word(!rewrite.has_failed));
    report.field("aof_rewrites", rewrite.count);
    report.field("aof_rewrites_consecutive_failures", rewrite.failures);
    report.field("aof_last_write_status", word(node.aof.is_well()));
    report.field("aof_last_cow_size", rewrite.held_bytes);
}

/// What it takes, where there is one by its directive.
pub(super) fn sizes(report: &mut Report<'_>) {
    let (aof, node) = (&report.node.aof, report.node);
    if !node.config.load().appendonly {
        return;
    }
    report.field("aof_current_size", aof.facts.current_size.load(Ordering::Relaxed));
    report.field("aof_base_size", aof.facts.base_size.load(Ordering::Relaxed));
    report.field("aof_pending_rewrite", u8::from(aof.rewrite.facts().is_scheduled));
    report.field("aof_buffer_length", aof.buffered_bytes());
    report.field("aof_pending_bio_fsync", u8::from(aof.facts.is_syncing.load(Ordering::Relaxed)));
    report.field("aof_delayed_fsync", aof.facts.delayed_fsync.load(Ordering::Relaxed));
}
