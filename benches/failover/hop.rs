//! What the way through the primary endpoint costs: CPU of the node per GET, directly and through
//! the endpoint that the same process serves, in turn.

use std::time::Duration;

use larder_benches::load::{self, Load, Window};
use larder_benches::request::Request;
use larder_benches::{Error, Result};

use crate::client::ask_once;
use crate::service::Service;

/// Clients of the load.
const CLIENTS: usize = 50;

/// Commands in a pipeline, of each kind of load.
const PIPELINES: [usize; 2] = [1, 16];

/// Turns that each way gets; the median counts.
const TURNS: usize = 3;

/// What a GET costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    /// Commands in a pipeline.
    pub(crate) pipeline: usize,
    /// The node's CPU per GET, microseconds: directly.
    pub(crate) direct_us: f64,
    /// And through the endpoint.
    pub(crate) through_us: f64,
    /// GETs a second: directly.
    pub(crate) direct_rps: f64,
    /// And through the endpoint.
    pub(crate) through_rps: f64,
}

/// Measures all kinds of load.
///
/// # Errors
/// When the service fails, or has no endpoint.
pub(crate) fn measure(service: &Service) -> Result<Vec<Hop>> {
    let primary = service.primary()?;
    let direct = service.address(primary);
    let missing = || Error::Usage(format!("{}: no endpoint", service.name));
    let endpoint = service.endpoint(primary).ok_or_else(missing)?;
    let pid = service.pid(primary).ok_or_else(missing)?;
    ask_once(direct, &["SET", "key", &"v".repeat(64)])?;
    let window = Window { warmup: Duration::from_secs(1), measured: Duration::from_secs(2) };
    let mut hops = Vec::new();
    for pipeline in PIPELINES {
        let requests = vec![Request::new(&["GET", "key"])];
        let load = Load { clients: CLIENTS, pipeline, resp3: false, requests, keyspace: 0 };
        let mut ways = [Vec::new(), Vec::new()];
        for turn in 0..TURNS {
            for (way, address) in ways.iter_mut().zip([direct, endpoint]) {
                let done = load::run(address, pid, &load, window, 1, turn as u64)?;
                if let Some(reply) = done.first_error {
                    return Err(Error::Reply { command: "GET".into(), reply });
                }
                let ops = done.ops as f64;
                let cpu = done.server_cpu.whole.as_secs_f64() * 1e6 / ops;
                way.push((cpu, ops / done.elapsed.as_secs_f64()));
            }
        }
        let [(direct_us, direct_rps), (through_us, through_rps)] = ways.map(median);
        hops.push(Hop { pipeline, direct_us, through_us, direct_rps, through_rps });
    }
    Ok(hops)
}

/// The turn with the median cost.
fn median(mut turns: Vec<(f64, f64)>) -> (f64, f64) {
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    turns[turns.len() / 2]
}
