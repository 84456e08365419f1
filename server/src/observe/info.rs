//! INFO: the report that operators, exporters and tests read.
//!
//! Sections and fields are those of Redis 7.2, in its order. A field about something that does not
//! exist here (forks, defragmentation, modules) says what it says in Redis when that thing is not in
//! use. Of the fields about the inside of Redis's event loop there are those that can be told of any
//! server. `larder_version`, `larder_threads` and the section about the group are ours,
//! `availability_zone` is Valkey's.

mod aof;
mod group;
mod persistence;
mod replication;

use super::footprint::Footprint;
use super::process::{self, CpuTime};
use super::stats::Totals;
use crate::commands;
use crate::config::{Settings, Supervised};
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::push::channels::Kind;
use parking_lot::Mutex;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The version of Redis whose behaviour this server has.
pub const REDIS_VERSION: &str = "7.2.4";
/// This server's own version.
pub const LARDER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Samples over which a rate is the mean: 1.6 seconds when one is taken each 100 ms (as in Redis).
const SAMPLES: usize = 16;

/// Commands and bytes a second, from samples that the node's housekeeping takes.
#[derive(Debug, Default)]
pub struct Rates {
    inner: Mutex<Samples>,
}

#[derive(Debug, Default)]
struct Samples {
    last: Option<(i64, [u64; METRICS])>,
    /// Rates a second, by metric.
    rates: [[u64; METRICS]; SAMPLES],
    next: usize,
    /// Samples taken since the last reset.
    ticks: u64,
    /// CPU time that the process had used at the last reset, in microseconds.
    cpu_base_us: u64,
}

const METRICS: usize = 5;
const COMMANDS: usize = 0;
const BYTES_IN: usize = 1;
const BYTES_OUT: usize = 2;
const ROUNDS: usize = 3;
const CPU_US: usize = 4;

impl Rates {
    /// Notes the counters at a time; to be called every 100 ms.
    pub fn sample(&self, now_ms: i64, totals: &Totals) {
        let mut inner = self.inner.lock();
        inner.ticks += 1;
        let (rounds, cpu_us) = inner.work(totals);
        let now = [
            totals.commands_processed,
            totals.net_input_bytes,
            totals.net_output_bytes,
            rounds,
            cpu_us,
        ];
        if let Some((last_ms, last)) = inner.last
            && let Ok(elapsed_ms @ 1..) = u64::try_from(now_ms - last_ms)
        {
            let next = inner.next;
            // A counter that went down was reset meanwhile.
            inner.rates[next] = std::array::from_fn(|metric| {
                now[metric].saturating_sub(last[metric]).saturating_mul(1000) / elapsed_ms
            });
            inner.next = (next + 1) % SAMPLES;
        }
        inner.last = Some((now_ms, now));
    }

    /// Forgets all samples.
    pub fn reset(&self) {
        let cpu_base_us = process::own_cpu_time().total_us();
        *self.inner.lock() = Samples { cpu_base_us, ..Samples::default() };
    }

    fn means(&self) -> [u64; METRICS] {
        let inner = self.inner.lock();
        std::array::from_fn(|metric| {
            inner.rates.iter().map(|sample| sample[metric]).sum::<u64>() / SAMPLES as u64
        })
    }

    fn work(&self, totals: &Totals) -> (u64, u64) {
        self.inner.lock().work(totals)
    }
}

impl Samples {
    /// Rounds of the threads, and the microseconds they took, since the last reset.
    ///
    /// A round is a read that was served, or a tick of the housekeeping; waiting is none, so the
    /// time is the CPU time.
    fn work(&self, totals: &Totals) -> (u64, u64) {
        let cpu_us = process::own_cpu_time().total_us().saturating_sub(self.cpu_base_us);
        (totals.reads + self.ticks, cpu_us)
    }
}

/// Writes one section.
type Section = fn(&mut Report<'_>);

/// The sections in their order: the names that ask for them, and whether INFO shows them unasked.
const SECTIONS: &[(&[&str], bool, Section)] = &[
    (&["server"], true, server),
    (&["clients"], true, clients),
    (&["memory"], true, memory),
    (&["persistence"], true, persistence::section),
    (&["stats"], true, stats),
    (&["replication"], true, replication::write),
    (&["group"], true, group::write),
    (&["cpu"], true, cpu),
    (&["module_list", "modules"], true, modules),
    (&["commandstats"], false, commandstats),
    (&["errorstats"], true, errorstats),
    (&["latencystats"], false, latencystats),
    (&["cluster"], true, cluster),
    (&["keyspace"], true, keyspace),
];

/// Shown only when it is asked for by its name.
const DEBUG: &str = "debug";

/// The report with the sections that `wanted` names, in any case; without names, the default ones.
/// `footprint` looks where the memory goes, if a section asks for it.
///
/// `default`, `all` and `everything` stand for sets of sections. What is no section is passed over.
pub fn report<'n>(
    node: &Shared,
    footprint: &mut dyn FnMut() -> Footprint,
    now_us: i64,
    wanted: impl Iterator<Item = &'n [u8]>,
) -> String {
    let wanted: Vec<&[u8]> = wanted.collect();
    let asks = |word: &str| wanted.iter().any(|name| name.eq_ignore_ascii_case(word.as_bytes()));
    let all = asks("all") || asks("everything");
    let default = wanted.is_empty() || asks("default");
    let mut report = Report {
        node,
        look: footprint,
        settings: node.config.load(),
        now_us,
        totals: node.stats.totals(),
        footprint: None,
        text: String::with_capacity(8 * 1024),
    };
    for (names, by_default, write) in SECTIONS {
        if all || (default && *by_default) || names.iter().any(|name| asks(name)) {
            write(&mut report);
        }
    }
    if asks(DEBUG) {
        debug(&mut report);
    }
    report.text
}

/// The report with all sections.
pub fn everything(node: &Shared, footprint: &Footprint) -> String {
    let mut footprint = || footprint.clone();
    report(node, &mut footprint, node.clock.unix_us(), [&b"everything"[..]].into_iter())
}

struct Report<'n> {
    node: &'n Shared,
    /// Looks where the memory goes, once.
    look: &'n mut dyn FnMut() -> Footprint,
    settings: Arc<Settings>,
    now_us: i64,
    totals: Totals,
    footprint: Option<Footprint>,
    text: String,
}

impl Report<'_> {
    fn section(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        self.line(format_args!("# {name}"));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.text, "{line}\r\n");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    fn fields<V: Display>(&mut self, fields: impl IntoIterator<Item = (&'static str, V)>) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    /// Fields of things that this server does not have or that are not in use.
    fn none(&mut self, names: &[&str]) {
        for name in names {
            self.field(name, 0);
        }
    }

    fn bytes_and_human(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.line(format_args!("{name}_human:{}", Human(bytes)));
    }

    fn footprint(&mut self) -> Footprint {
        self.footprint.get_or_insert_with(&mut *self.look).clone()
    }
}

/// Bytes in the largest unit of which there is at least one.
struct Human(u64);

impl Display for Human {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut unit = 1u64;
        for letter in ["B", "K", "M", "G", "T", "P"] {
            if self.0 / unit < 1024 {
                return match unit {
                    1 => write!(out, "{}{letter}", self.0),
                    _ => write!(out, "{:.2}{letter}", self.0 as f64 / unit as f64),
                };
            }
            unit <<= 10;
        }
        write!(out, "{}B", self.0)
    }
}

/// A text as part of a field: what could be taken for the report's own punctuation is replaced.
fn safe(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '#' | ':' | '\n' | '\r' => '_',
            other => other,
        })
        .collect()
}

fn server(report: &mut Report<'_>) {
    let (node, settings) = (report.node, Arc::clone(&report.settings));
    let uptime_s = (report.now_us - node.started_us).max(0) / 1_000_000;
    let path = |path: Option<&std::path::Path>| {
        path.map(|path| path.display().to_string()).unwrap_or_default()
    };
    report.section("Server");
    report.fields([
        ("redis_version", REDIS_VERSION),
        ("larder_version", LARDER_VERSION),
        ("redis_git_sha1", "00000000"),
        ("redis_git_dirty", "0"),
        ("redis_build_id", "0"),
        ("redis_mode", "standalone"),
    ]);
    report.field("os", process::operating_system());
    report.field("arch_bits", usize::BITS);
    report.field("monotonic_clock", "quanta");
    report.field("multiplexing_api", if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
    report.field("atomicvar_api", "std");
    report.field("gcc_version", "0.0.0");
    report.field("process_id", std::process::id());
    report.field(
        "process_supervised",
        match settings.supervised {
            Supervised::No => "no",
            Supervised::Systemd => "systemd",
            Supervised::Upstart => "upstart",
            Supervised::Auto => "unknown",
        },
    );
    report.field("run_id", &node.run_id);
    report.field("tcp_port", if settings.port != 0 { settings.port } else { settings.tls_port });
    report.field("server_time_usec", report.now_us);
    report.field("uptime_in_seconds", uptime_s);
    report.field("uptime_in_days", uptime_s / 86_400);
    report.field("hz", settings.hz);
    report.field("configured_hz", settings.hz);
    report.field("lru_clock", report.now_us.div_euclid(1_000_000) & 0x00ff_ffff);
    report.field("executable", path(std::env::current_exe().ok().as_deref()));
    report.field("config_file", path(node.config.file()));
    report.field("availability_zone", safe(&settings.availability_zone));
    report.field("io_threads_active", 0);
    report.field("larder_threads", node.workers.count());
    if let Some(left_ms) = node.leaving.left_ms(report.now_us.div_euclid(1000)) {
        report.field("shutdown_in_milliseconds", left_ms);
    }
    let bound: String = settings.bind.iter().map(|host| format!(",bind={host}")).collect();
    if settings.port != 0 && !settings.bind.is_empty() {
        report.field("listener0", format_args!("name=tcp{bound},port={}", settings.port));
    }
    if !settings.unixsocket.is_empty() {
        report.field("listener1", format_args!("name=unix,bind={}", settings.unixsocket));
    }
    if settings.tls_port != 0 && !settings.bind.is_empty() {
        report.field("listener2", format_args!("name=tls{bound},port={}", settings.tls_port));
    }
}

fn clients(report: &mut Report<'_>) {
    let all = report.node.clients.all();
    let most = |bytes: fn(&Client) -> usize| all.iter().map(|client| bytes(client)).max();
    let input = most(|client| client.query_bytes.load(Ordering::Relaxed)).unwrap_or(0);
    let output = most(Client::waiting_bytes).unwrap_or(0);
    let blocked = all.iter().filter(|client| client.blocked.load(Ordering::Relaxed)).count();
    report.section("Clients");
    let replicas = all.iter().filter(|client| client.is_replica.load(Ordering::Relaxed)).count();
    report.field("connected_clients", all.len() - replicas);
    report.field("cluster_connections", 0);
    report.field("maxclients", report.settings.maxclients);
    report.field("client_recent_max_input_buffer", input);
    report.field("client_recent_max_output_buffer", output);
    report.field("blocked_clients", blocked);
    report.field("tracking_clients", report.node.tracking.clients());
    let has_timeout = |client: &&Arc<Client>| {
        client.parked.lock().as_ref().is_some_and(|waiter| waiter.until_ms.is_some())
    };
    report.field("clients_in_timeout_table", all.iter().filter(has_timeout).count());
    let (keys, on_nokey) = report.footprint().waited_for;
    report.field("total_blocking_keys", keys);
    report.field("total_blocking_keys_on_nokey", on_nokey);
}

/// The allocator's name.
pub const ALLOCATOR: &str = if cfg!(feature = "binary") { "mimalloc" } else { "system" };

/// What scripts and functions take. Redis keeps the names of before there were functions.
fn scripts(report: &mut Report<'_>) {
    let usage = report.node.scripts.usage();
    let kept_bytes = usage.libraries.kept_bytes();
    report.field("used_memory_lua", usage.eval_bytes);
    report.field("used_memory_vm_eval", usage.eval_bytes);
    report.field("used_memory_lua_human", Human(usage.eval_bytes as u64));
    report.field("used_memory_scripts_eval", usage.source_bytes);
    report.field("number_of_cached_scripts", usage.sources);
    report.field("number_of_functions", usage.libraries.function_count());
    report.field("number_of_libraries", usage.libraries.iter().len());
    report.field("used_memory_vm_functions", usage.functions_bytes);
    let vm_bytes = usage.eval_bytes + usage.functions_bytes;
    report.bytes_and_human("used_memory_vm_total", vm_bytes as u64);
    report.field("used_memory_functions", kept_bytes);
    report.bytes_and_human("used_memory_scripts", (usage.source_bytes + kept_bytes) as u64);
}

fn memory(report: &mut Report<'_>) {
    let footprint = report.footprint();
    let (used, resident) = (footprint.used_bytes, footprint.resident_bytes);
    report.section("Memory");
    report.bytes_and_human("used_memory", used);
    report.bytes_and_human("used_memory_rss", resident);
    report.bytes_and_human("used_memory_peak", footprint.peak_bytes);
    report.field("used_memory_peak_perc", format_args!("{:.2}%", footprint.peak_percent()));
    report.field("used_memory_overhead", footprint.overhead_bytes());
    report.field("used_memory_startup", footprint.startup_bytes);
    report.field("used_memory_dataset", footprint.dataset_bytes());
    report.field("used_memory_dataset_perc", format_args!("{:.2}%", footprint.dataset_percent()));
    report.field("allocator_allocated", used);
    report.field("allocator_active", resident);
    report.field("allocator_resident", resident);
    report.bytes_and_human("total_system_memory", process::machine_bytes());
    scripts(report);
    report.bytes_and_human("maxmemory", report.settings.maxmemory_bytes);
    report.field("maxmemory_policy", report.settings.maxmemory_policy);
    let ratio = footprint.fragmentation_ratio();
    let difference = footprint.fragmentation_bytes();
    report.field("allocator_frag_ratio", format_args!("{ratio:.2}"));
    report.field("allocator_frag_bytes", difference);
    report.field("allocator_rss_ratio", "1.00");
    report.field("allocator_rss_bytes", 0);
    report.field("rss_overhead_ratio", "1.00");
    report.field("rss_overhead_bytes", 0);
    report.field("mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    report.field("mem_fragmentation_bytes", difference);
    let (backlog, total) = report.node.replication_bytes();
    report.field("mem_not_counted_for_evict", total - backlog);
    report.field("mem_replication_backlog", backlog);
    report.field("mem_total_replication_buffers", total);
    report.field("mem_clients_slaves", total - backlog);
    report.field("mem_clients_normal", footprint.buffer_bytes);
    report.none(&["mem_cluster_links"]);
    report.field("mem_aof_buffer", report.node.aof.buffered_bytes());
    report.field("mem_allocator", ALLOCATOR);
    report.none(&["active_defrag_running"]);
    let reaped = &report.node.reaped;
    report.field("lazyfree_pending_objects", reaped.pending.load(Ordering::Relaxed));
    report.field("lazyfreed_objects", reaped.freed.load(Ordering::Relaxed));
}

fn stats(report: &mut Report<'_>) {
    let totals = report.totals;
    let rates = report.node.rates.means();
    let replicas = &report.node.replicas;
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    report.section("Stats");
    report.fields([
        ("total_connections_received", totals.connections),
        ("total_commands_processed", totals.commands_processed),
        ("instantaneous_ops_per_sec", rates[COMMANDS]),
        ("total_net_input_bytes", totals.net_input_bytes),
        ("total_net_output_bytes", totals.net_output_bytes),
        ("total_net_repl_input_bytes", 0),
        ("total_net_repl_output_bytes", replicas.sent_bytes.load(Ordering::Relaxed)),
    ]);
    report.field("instantaneous_input_kbps", kilobytes(rates[BYTES_IN]));
    report.field("instantaneous_output_kbps", kilobytes(rates[BYTES_OUT]));
    report.field("instantaneous_input_repl_kbps", "0.00");
    report.field("instantaneous_output_repl_kbps", "0.00");
    report.field("rejected_connections", totals.rejected_connections);
    for (field, count) in [
        ("sync_full", &replicas.full_syncs),
        ("sync_partial_ok", &replicas.partial_syncs),
        ("sync_partial_err", &replicas.refused_syncs),
    ] {
        report.field(field, count.load(Ordering::Relaxed));
    }
    report.field("expired_subkeys", totals.expired_fields);
    report.field("expired_keys", totals.expired_keys);
    // Expiry is exact, so no share of the keys is known to be stale and no round is cut short.
    report.field("expired_stale_perc", "0.00");
    report.field("expired_time_cap_reached_count", 0);
    report.field("expire_cycle_cpu_milliseconds", totals.expire_cycle_us / 1000);
    report.field("evicted_keys", totals.evicted_keys);
    report.field("evicted_clients", totals.evicted_clients);
    let (pressure, now) = (&report.node.pressure, report.node.clock.monotonic_nanos());
    let (total_ms, current_ms) = (pressure.total_ms(now), pressure.current_ms(now));
    report.field("total_eviction_exceeded_time", total_ms);
    report.field("current_eviction_exceeded_time", current_ms);
    report.field("keyspace_hits", totals.keyspace_hits);
    report.field("keyspace_misses", totals.keyspace_misses);
    let channels = &report.node.push.channels;
    report.fields([
        ("pubsub_channels", channels.count(Kind::Channel)),
        ("pubsub_patterns", channels.count(Kind::Pattern)),
        ("pubsubshard_channels", channels.count(Kind::Shard)),
    ]);
    // What Redis forks for.
    report.fields([
        ("latest_fork_usec", report.node.snapshots.last_cut_us.load(Ordering::Relaxed)),
        ("total_forks", report.node.snapshots.cuts.load(Ordering::Relaxed)),
    ]);
    report.none(&[
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
    let tracking = &report.node.tracking;
    report.field("tracking_total_keys", tracking.keys());
    report.field("tracking_total_items", tracking.items());
    report.field("tracking_total_prefixes", tracking.prefixes());
    report.none(&["unexpected_error_replies"]);
    event_loop(report, &totals);
}

/// The rest of the section: what the threads' loops did.
fn event_loop(report: &mut Report<'_>, totals: &Totals) {
    let rates = report.node.rates.means();
    let (rounds, cpu_us) = report.node.rates.work(totals);
    let ids = 0..commands::all().len();
    let command_nanos: u64 = ids.map(|id| report.node.stats.command(id).nanos).sum();
    report.field("total_error_replies", totals.error_replies);
    report.field("dump_payload_sanitizations", 0);
    report.field("total_reads_processed", totals.reads);
    report.field("total_writes_processed", totals.writes);
    report.none(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    report.fields([
        ("eventloop_cycles", rounds),
        ("eventloop_duration_sum", cpu_us),
        ("eventloop_duration_cmd_sum", command_nanos / 1000),
        ("instantaneous_eventloop_cycles_per_sec", rates[ROUNDS]),
        (
            "instantaneous_eventloop_duration_usec",
            rates[CPU_US].checked_div(rates[ROUNDS]).unwrap_or(0),
        ),
    ]);
    report.field("client_query_buffer_limit_disconnections", totals.query_limit_disconnections);
    report.field("client_output_buffer_limit_disconnections", totals.output_limit_disconnections);
    let denials = &report.node.acl.denials;
    for (field, count) in [
        ("acl_access_denied_auth", &denials.logins),
        ("acl_access_denied_cmd", &denials.commands),
        ("acl_access_denied_key", &denials.keys),
        ("acl_access_denied_channel", &denials.channels),
    ] {
        report.field(field, count.load(Ordering::Relaxed));
    }
}

fn cpu(report: &mut Report<'_>) {
    let seconds = |micros: i64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    report.section("CPU");
    let times: [(&str, CpuTime); 3] = [
        ("", process::own_cpu_time()),
        ("_children", process::children_cpu_time()),
        ("_main_thread", process::thread_cpu_time()),
    ];
    for (whose, time) in times {
        report.line(format_args!("used_cpu_sys{whose}:{}", seconds(time.system_us)));
        report.line(format_args!("used_cpu_user{whose}:{}", seconds(time.user_us)));
    }
}

fn modules(report: &mut Report<'_>) {
    report.section("Modules");
}

fn commandstats(report: &mut Report<'_>) {
    report.section("Commandstats");
    for command in commands::all() {
        let totals = report.node.stats.command(command.id);
        if totals.calls + totals.failed + totals.rejected == 0 {
            continue;
        }
        let micros = totals.nanos as f64 / 1000.0;
        let each = if totals.calls == 0 { 0.0 } else { micros / totals.calls as f64 };
        report.line(format_args!(
            "cmdstat_{}:calls={},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
            safe(command.full_name),
            totals.calls,
            totals.nanos / 1000,
            totals.rejected,
            totals.failed,
        ));
    }
}

fn errorstats(report: &mut Report<'_>) {
    report.section("Errorstats");
    for (code, count) in report.node.errors.all() {
        report.line(format_args!("errorstat_{}:count={count}", safe(&code)));
    }
}

fn latencystats(report: &mut Report<'_>) {
    report.section("Latencystats");
    if !report.settings.latency_tracking {
        return;
    }
    for command in commands::all() {
        let latencies = report.node.stats.latencies(command.id);
        if latencies.calls() == 0 {
            continue;
        }
        let percentiles = report.settings.latency_tracking_info_percentiles.iter();
        let values: Vec<String> = percentiles
            .map(|percentile| {
                let micros = latencies.percentile(*percentile) as f64 / 1000.0;
                format!("p{percentile}={micros:.3}")
            })
            .collect();
        report.line(format_args!(
            "latency_percentiles_usec_{}:{}",
            safe(command.full_name),
            values.join(",")
        ));
    }
}

fn cluster(report: &mut Report<'_>) {
    report.section("Cluster");
    report.field("cluster_enabled", 0);
}

fn keyspace(report: &mut Report<'_>) {
    let footprint = report.footprint();
    let now_ms = report.now_us.div_euclid(1000);
    report.section("Keyspace");
    for (db, share) in footprint.used_databases() {
        let (keys, volatile) = (share.keys, share.volatile);
        let avg_ttl = share.mean_ttl_ms(now_ms);
        // Redis 7.2 knows no such fields; where there are none, the line is as it writes it.
        let subexpiry = match share.with_field_deadlines {
            0 => String::new(),
            hashes => format!(",subexpiry={hashes}"),
        };
        report.line(format_args!(
            "db{db}:keys={keys},expires={volatile},avg_ttl={avg_ttl}{subexpiry}"
        ));
    }
}

/// A round of Redis's one loop of events is the turn of one connection here.
fn debug(report: &mut Report<'_>) {
    let (nanos, commands) = report.node.stats.longest_turns();
    report.section("Debug");
    report.fields([
        ("eventloop_duration_aof_sum", 0),
        ("eventloop_duration_cron_sum", report.totals.housekeeping_us),
        ("eventloop_duration_max", nanos.div_ceil(1000)),
        ("eventloop_cmd_per_cycle_max", commands),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let shown = |bytes| Human(bytes).to_string();
        assert_eq!(shown(0), "0B");
        assert_eq!(shown(1023), "1023B");
        assert_eq!(shown(1024), "1.00K");
        assert_eq!(shown(1536 * 1024), "1.50M");
        assert_eq!(shown(25_276_502_016), "23.54G");
        assert_eq!(shown(u64::MAX), format!("{}B", u64::MAX));
    }

    #[test]
    fn rates_are_means_and_survive_a_reset_of_the_counters() {
        let rates = Rates::default();
        let totals = |commands| Totals { commands_processed: commands, ..Totals::default() };
        rates.sample(0, &totals(0));
        for sample in 1..=SAMPLES as u64 {
            rates.sample(sample as i64 * 100, &totals(sample * 50));
        }
        assert_eq!(rates.means()[COMMANDS], 500);
        rates.sample(1700, &totals(0));
        assert_eq!(rates.means()[COMMANDS], 500 * 15 / 16);
        rates.reset();
        assert_eq!(rates.means()[COMMANDS], 0);
    }

    #[test]
    fn no_text_breaks_the_form() {
        assert_eq!(safe("a#b:c\r\nd"), "a_b_c__d");
    }
}
