//! The node's figures as Prometheus text: the series of Redis under the names that dashboards know
//! from `redis_exporter`, and those of ElastiCache under their names in CloudWatch ([`cloudwatch`]).
//!
//! What INFO tells is taken from INFO ([`fields`]), so that no figure has two meanings; what is kept
//! by command, error, database or event has labels. Each family of series has its HELP and TYPE once,
//! in front of its samples, as the format wants it.

pub mod cloudwatch;
mod fields;
mod group;

use super::footprint::Footprint;
use super::info;
use crate::commands;
use crate::node::shared::Shared;
use crate::replicas::Replica;
use cloudwatch::Minutes;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// The type of a family of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only grows, until the node starts again or CONFIG RESETSTAT.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles.
    Summary,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// All series of a node.
pub fn render(node: &Shared, minutes: &Minutes) -> String {
    let mut text = Text::default();
    let now_us = node.clock.unix_us();
    let footprint = minutes.footprint(node);
    let report = info::everything(node, &footprint);
    text.family("redis_up", Kind::Gauge, "Whether the node answers.");
    text.sample("redis_up", &[], 1);
    fields::write(&mut text, &report);
    per_command(&mut text, node);
    latencies(&mut text, node);
    errors(&mut text, node);
    databases(&mut text, &footprint, now_us.div_euclid(1000));
    replicas(&mut text, node, now_us.div_euclid(1000));
    events(&mut text, node);
    group::write(&mut text, node);
    cloudwatch::write(&mut text, node, minutes, (&report, &footprint));
    text.out
}

/// Prometheus text under construction.
#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    /// The lines in front of a family's samples.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "# HELP {name} {}", escaped(help, false));
        let _ = writeln!(self.out, "# TYPE {name} {}", kind.word());
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{open}{label}=\"{}\"", escaped(value, true));
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }

    /// A family of one series without labels.
    fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// A text in which nothing ends the line, nor the quotes where there are any.
fn escaped(text: &str, quoted: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out
}

/// The value of a field of INFO.
fn field<'r>(report: &'r str, name: &str) -> Option<&'r str> {
    report.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// A family by command: name, help, and the figure.
type ByCommand = (&'static str, &'static str, fn(&super::stats::CommandTotals) -> f64);

const BY_COMMAND: &[ByCommand] = &[
    ("redis_commands_total", "Calls of a command that ran.", |totals| totals.calls as f64),
    ("redis_commands_duration_seconds_total", "Time that the calls of a command took.", |totals| {
        totals.nanos as f64 / 1e9
    }),
    (
        "redis_commands_rejected_calls_total",
        "Calls of a command that were refused before they ran.",
        |totals| totals.rejected as f64,
    ),
    ("redis_commands_failed_calls_total", "Calls of a command that ran and failed.", |totals| {
        totals.failed as f64
    }),
];

fn per_command(text: &mut Text, node: &Shared) {
    let totals: Vec<_> = commands::all()
        .iter()
        .map(|command| (command.full_name, node.stats.command(command.id)))
        .filter(|(_, totals)| totals.calls + totals.rejected + totals.failed > 0)
        .collect();
    for (name, help, figure) in BY_COMMAND {
        text.family(name, Kind::Counter, help);
        for (command, totals) in &totals {
            text.sample(name, &[("cmd", command)], figure(totals));
        }
    }
}

fn latencies(text: &mut Text, node: &Shared) {
    const NAME: &str = "redis_latency_percentiles_usec";
    text.family(NAME, Kind::Summary, "Time of a command's calls in microseconds.");
    let settings = node.config.load();
    if !settings.latency_tracking {
        return;
    }
    for command in commands::all() {
        let latencies = node.stats.latencies(command.id);
        let calls = latencies.calls();
        if calls == 0 {
            continue;
        }
        let labelled = ("cmd", command.full_name);
        for percentile in &settings.latency_tracking_info_percentiles {
            let quantile = (percentile / 100.0).to_string();
            let micros = latencies.percentile(*percentile) as f64 / 1000.0;
            text.sample(NAME, &[labelled, ("quantile", &quantile)], micros);
        }
        let micros = node.stats.command(command.id).nanos as f64 / 1000.0;
        text.sample(&format!("{NAME}_sum"), &[labelled], micros);
        text.sample(&format!("{NAME}_count"), &[labelled], calls);
    }
}

fn errors(text: &mut Text, node: &Shared) {
    text.family("redis_errors_total", Kind::Counter, "Error replies by the code of the error.");
    for (code, count) in node.errors.all() {
        text.sample("redis_errors_total", &[("err", &code)], count);
    }
}

/// Redis's series of each replica, and with them what Redis does not tell: how late it is.
fn replicas(text: &mut Text, node: &Shared, now_ms: i64) {
    type ByReplica<'n> = (&'n str, &'n str, &'n dyn Fn(&Replica) -> f64);
    let end = node.log.offset();
    let families: [ByReplica<'_>; 4] = [
        ("redis_connected_slave_offset_bytes", "Offset that a replica has.", &|replica| {
            replica.acked() as f64
        }),
        (
            "redis_connected_slave_lag_seconds",
            "Time since a replica last said what it has.",
            &|replica| replica.lag_s(now_ms) as f64,
        ),
        (
            "larder_replica_lag_bytes",
            "Bytes of the log that a replica did not confirm.",
            &|replica| end.saturating_sub(replica.acked()) as f64,
        ),
        (
            "larder_replica_lag_seconds",
            "Time by which a replica was behind when it last said what it has.",
            &|replica| replica.lag_ms() as f64 / 1000.0,
        ),
    ];
    // Two that call themselves the same cannot be told apart; the first one counts.
    let mut shown = BTreeMap::new();
    for replica in node.replicas.all() {
        let name = (replica.address(), replica.announced.port.to_string());
        shown.entry(name).or_insert(replica);
    }
    for (family, help, figure) in families {
        text.family(family, Kind::Gauge, help);
        for ((address, port), replica) in &shown {
            let state = replica.stage().name();
            let labels = [("slave_ip", &**address), ("slave_port", port), ("slave_state", state)];
            text.sample(family, &labels, figure(replica));
        }
    }
}

fn databases(text: &mut Text, footprint: &Footprint, now_ms: i64) {
    type ByDatabase<'n> =
        (&'n str, &'n str, &'n dyn Fn(&super::footprint::DatabaseFootprint) -> f64);
    let families: [ByDatabase<'_>; 4] = [
        ("redis_db_keys", "Keys of a database.", &|db| db.keys as f64),
        ("redis_db_keys_expiring", "Keys of a database that have a deadline.", &|db| {
            db.volatile as f64
        }),
        (
            "redis_db_avg_ttl_seconds",
            "Time that a key with a deadline has left on average.",
            &|db| db.mean_ttl_ms(now_ms) as f64 / 1000.0,
        ),
        ("redis_db_keys_subexpiring", "Hashes of a database whose fields have deadlines.", &|db| {
            db.with_field_deadlines as f64
        }),
    ];
    for (name, help, figure) in families {
        text.family(name, Kind::Gauge, help);
        for (db, share) in footprint.databases.iter().enumerate() {
            // Of a database that was never used there is nothing to tell; Redis has as many as these.
            if db < SHOWN_DATABASES || share.keys > 0 {
                text.sample(name, &[("db", &format!("db{db}"))], figure(share));
            }
        }
    }
}

/// Databases that are shown while they are empty, too: as many as there are by default.
const SHOWN_DATABASES: usize = 16;

fn events(text: &mut Text, node: &Shared) {
    let max_len = node.config.load().slowlog_max_len;
    let newest = node.slowlog.newest(1, max_len);
    let seconds = newest.first().map_or(0.0, |entry| entry.duration_us as f64 / 1e6);
    let last_id = newest.first().map_or(0, |entry| entry.id);
    let kept = node.slowlog.len(max_len);
    text.single("redis_slowlog_length", Kind::Gauge, "Entries of the slow log.", kept);
    let help = "Number of the slow log's newest entry.";
    text.single("redis_slowlog_last_id", Kind::Gauge, help, last_id);
    let help = "Time of the command in the slow log's newest entry.";
    text.single("redis_last_slow_execution_duration_seconds", Kind::Gauge, help, seconds);
    let all = node.latency.all();
    let latest = |series: &super::latency::Series| {
        series.samples.back().map_or((0, 0), |sample| (sample.time_s, sample.latency_ms))
    };
    text.family("redis_latency_spike_last", Kind::Gauge, "When an event was last slow.");
    for (event, series) in &all {
        text.sample("redis_latency_spike_last", &[("event_name", event)], latest(series).0);
    }
    let name = "redis_latency_spike_duration_seconds";
    text.family(name, Kind::Gauge, "How long an event took when it was last slow.");
    for (event, series) in &all {
        text.sample(name, &[("event_name", event)], latest(series).1 as f64 / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_form() {
        let mut text = Text::default();
        text.family("a", Kind::Gauge, "line\nline \\ \"quoted\"");
        text.sample("a", &[("x", "\"\\\n"), ("y", "ü")], 1.5);
        let expected = "# HELP a line\\nline \\\\ \"quoted\"\n# TYPE a gauge\n\
                        a{x=\"\\\"\\\\\\n\",y=\"ü\"} 1.5\n";
        assert_eq!(text.out, expected);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let report = "# Stats\r\nkeyspace_hits_x:1\r\nkeyspace_hits:2\r\n";
        assert_eq!(field(report, "keyspace_hits"), Some("2"));
        assert_eq!(field(report, "keyspace"), None);
    }
}
