//! The section about what is saved and loaded.
//!
//! What Redis tells of copied pages is told of what a snapshot holds besides the data set.

use super::{Report, aof};
use crate::node::shared::Shared;
use crate::persistence::snapshots::{Purpose, Running};
use std::sync::atomic::Ordering;

pub(super) fn section(report: &mut Report<'_>) {
    let node = report.node;
    let now_s = report.now_us.div_euclid(1_000_000);
    let running = node.snapshots.running();
    let link = node.role.link(report.now_us.div_euclid(1000), 0);
    report.section("Persistence");
    report.fields([
        ("loading", u64::from(node.loading.is_active())),
        ("async_loading", u64::from(link.is_some_and(|link| link.is_loading))),
    ]);
    snapshot(report, running.as_deref());
    dump(report, running.as_deref());
    aof::status(report);
    report.none(&["module_fork_in_progress", "module_fork_last_cow_size"]);
    aof::sizes(report);
    loading(report, node, now_s);
}

/// The snapshot that runs, whatever it is for.
fn snapshot(report: &mut Report<'_>, running: Option<&Running>) {
    let (peak, held, keys, written) = running.map_or((0, 0, 0, 0), |running| {
        let capture = &running.capture;
        let keys = running.keys.load(Ordering::Relaxed);
        (capture.peak_bytes(), capture.held_bytes(), keys, running.written.load(Ordering::Relaxed))
    });
    report.fields([
        ("current_cow_peak", peak),
        ("current_cow_size", held),
        // It is looked at now.
        ("current_cow_size_age", 0),
    ]);
    let percent = if keys == 0 { 0.0 } else { written as f64 * 100.0 / keys as f64 };
    report.field("current_fork_perc", format_args!("{percent:.2}"));
    report.fields([("current_save_keys_processed", written), ("current_save_keys_total", keys)]);
}

/// The dump file.
fn dump(report: &mut Report<'_>, running: Option<&Running>) {
    let node = report.node;
    let view = node.dump.view(node.stats.dirty());
    let saving = running.filter(|running| running.purpose != Purpose::AppendOnlyFile);
    let takes_s = |running: &Running| node.clock.since(running.began).as_secs() as i64;
    report.field("rdb_changes_since_last_save", view.changes);
    report.field("rdb_bgsave_in_progress", u8::from(saving.is_some()));
    report.field("rdb_last_save_time", view.saved_s);
    report.field("rdb_last_bgsave_status", if view.is_ok { "ok" } else { "err" });
    report.field("rdb_last_bgsave_time_sec", view.took_s.unwrap_or(-1));
    report.field("rdb_current_bgsave_time_sec", saving.map_or(-1, takes_s));
    report.fields([
        ("rdb_saves", node.dump.saves.load(Ordering::Relaxed)),
        ("rdb_last_cow_size", view.held_bytes),
        ("rdb_last_load_keys_expired", node.loading.expired.load(Ordering::Relaxed)),
        ("rdb_last_load_keys_loaded", node.loading.keys.load(Ordering::Relaxed)),
    ]);
}

/// A load that is under way.
fn loading(report: &mut Report<'_>, node: &Shared, now_s: i64) {
    let Some(progress) = node.loading.progress() else { return };
    let (total, loaded) = (progress.total_bytes, progress.loaded_bytes);
    report.field("loading_start_time", progress.began_s);
    report.fields([
        ("loading_total_bytes", total),
        ("loading_rdb_used_mem", 0),
        ("loading_loaded_bytes", loaded),
    ]);
    let percent = if total == 0 { 0.0 } else { loaded as f64 * 100.0 / total as f64 };
    report.field("loading_loaded_perc", format_args!("{percent:.2}"));
    let elapsed_s = (now_s - progress.began_s).max(0) as u64;
    let left = total.saturating_sub(loaded);
    let eta_s = if loaded == 0 { 1 } else { elapsed_s.saturating_mul(left) / (loaded + 1) };
    report.field("loading_eta_seconds", eta_s);
}
