//! Closed-loop workloads: one kind of request, as many clients as the row says.

use std::time::Duration;

use larder_benches::load::{self, Load, Throughput};
use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::{Error, Result};

use crate::keys;
use crate::options::Options;
use crate::replication;

/// One kind of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// The request; `############` in it is a key number.
    pub(crate) command: &'static [&'static str],
    /// Connections.
    pub(crate) clients: usize,
    /// Requests per pipeline.
    pub(crate) pipeline: usize,
    /// Whether a pipeline is one transaction: MULTI before the requests, EXEC after them.
    pub(crate) transaction: bool,
    /// 2 or 3.
    pub(crate) resp: u8,
    /// Numbers that are loaded first and then drawn from; 0 for one.
    pub(crate) keyspace: u64,
    /// Loads one number.
    pub(crate) fill: &'static [&'static str],
    /// Who else reads what is written.
    pub(crate) beside: Beside,
}

/// Who reads what a server writes, besides its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nobody.
    Nobody,
    /// A replica, another server of the same program.
    Replica,
    /// An append-only file that is flushed every second.
    AppendOnlyFile,
}

impl Beside {
    /// Brings it about; gives the replica, which lives as long.
    fn begin(self, server: &Server, options: &Options) -> Result<Option<Server>> {
        match self {
            Self::Nobody => Ok(None),
            Self::Replica => {
                let replica = server.start_another(&options.pinning)?;
                replication::follow(server, &replica)?;
                Ok(Some(replica))
            }
            Self::AppendOnlyFile => {
                let mut link = server.connect()?;
                link.ask(&["CONFIG", "SET", "appendfsync", "everysec"])?;
                link.ask(&["CONFIG", "SET", "appendonly", "yes"])?;
                replication::wait_for("the first rewrite", || {
                    Ok(link.info("persistence", "aof_rewrite_in_progress")? == "0"
                        && link.info("persistence", "aof_rewrite_scheduled")? == "0")
                })?;
                Ok(None)
            }
        }
    }
}

/// Loads the keys, then runs the traffic for the window.
pub(crate) fn measure(
    server: &Server,
    traffic: &Traffic,
    round: u32,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let keyspace = match traffic.keyspace {
        0 => 0,
        keys => options.scaled(keys),
    };
    let fill = Request::new(traffic.fill);
    keys::fill(server, keyspace.max(1), keys::BULK, |number, out| {
        fill.append_numbered(number, out);
    })?;
    let _beside = traffic.beside.begin(server, options)?;
    let mut requests = vec![Request::new(traffic.command)];
    let mut pipeline = traffic.pipeline;
    if traffic.transaction {
        requests = vec![Request::new(traffic.command); pipeline];
        requests.insert(0, Request::new(&["MULTI"]));
        requests.push(Request::new(&["EXEC"]));
        pipeline += 2;
    }
    let load =
        Load { clients: traffic.clients, pipeline, resp3: traffic.resp == 3, requests, keyspace };
    let threads = options.client_threads;
    let seed = u64::from(round);
    let outcome = load::run(server.address, server.pid(), &load, options.window, threads, seed)?;
    if let Some(text) = &outcome.first_error {
        let command = traffic.command.first().copied().unwrap_or_default();
        let refusal = Error::Reply { command: command.into(), reply: text.clone() };
        eprintln!("{}: {refusal}", server.name);
    }
    Ok(figures(&outcome))
}

/// The figures of a closed-loop window.
pub(crate) fn figures(outcome: &Throughput) -> Vec<(Metric, f64)> {
    let ops = outcome.ops as f64;
    let per_op = |time: Duration| time.as_secs_f64() * 1e6 / ops;
    let quantile = |share: f64| outcome.latency.value_at_quantile(share) as f64 / 1e3;
    vec![
        (Metric::Ops, ops),
        (Metric::Seconds, outcome.elapsed.as_secs_f64()),
        (Metric::Rps, ops / outcome.elapsed.as_secs_f64()),
        (Metric::CpuPerOp, per_op(outcome.server_cpu.whole)),
        (Metric::KernelCpuPerOp, per_op(outcome.server_cpu.kernel)),
        (Metric::ClientCpuPerOp, per_op(outcome.client_cpu)),
        (Metric::P50, quantile(0.5)),
        (Metric::P99, quantile(0.99)),
        (Metric::P999, quantile(0.999)),
        (Metric::Max, outcome.latency.max() as f64 / 1e3),
        (Metric::Errors, outcome.errors as f64),
    ]
}
