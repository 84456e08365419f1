//! What a save costs beside a full load of writes: memory beyond what the data took, and what a paced
//! reader waits.
//!
//! A server that forks shares its pages with its child until one of them is written; one that does not
//! keeps what writers change. Either way it is the memory of the server and its children together,
//! with shared pages counted once, that the machine must have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_benches::load::{self, Load, Window};
use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::{Error, Result, pace, process};

use crate::keys;
use crate::options::Options;
use crate::replication::{KEYS, small_set};

/// Connections that write.
pub(crate) const CLIENTS: usize = 50;
/// Writes that each sends at once.
pub(crate) const PIPELINE: usize = 16;

const INTERVAL: Duration = Duration::from_millis(1);

/// The load begins before the save, so that its own connections and buffers count to neither.
const LEAD: Duration = Duration::from_secs(1);

/// Longer than a save of that many keys takes on any of the servers.
const LOAD: Duration = Duration::from_secs(15);

/// No save takes so long; the probe ends with it.
const LIMIT: Duration = Duration::from_secs(120);

/// Between two looks at the memory, which hold up the server's own allocations.
const LOOK: Duration = Duration::from_millis(50);

/// Fills the server, and saves under load.
///
/// # Errors
/// When the server or the save fails.
pub(crate) fn measure(
    server: &Server,
    round: u32,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let count = options.scaled(KEYS);
    let set = small_set();
    keys::fill(server, count, keys::BULK, |number, out| set.append_numbered(number, out))?;
    let mut link = server.connect()?;
    link.ask(&["SET", "probe", &"v".repeat(64)])?;
    let mut get = Vec::new();
    Request::new(&["GET", "probe"]).append_numbered(0, &mut get);
    let load = Load {
        clients: CLIENTS,
        pipeline: PIPELINE,
        resp3: false,
        requests: vec![set],
        keyspace: count,
    };
    let window = Window { warmup: LEAD, measured: LOAD };
    let stop = AtomicBool::new(false);
    let (written, paced, saved) = thread::scope(|scope| {
        let seed = u64::from(round);
        let (address, pid) = (server.address, server.pid());
        let threads = options.client_threads;
        let writers = scope.spawn(move || load::run(address, pid, &load, window, threads, seed));
        thread::sleep(LEAD);
        let probe = server.connect();
        let prober = scope.spawn(|| pace::probe(probe?, &get, INTERVAL, &stop, LIMIT));
        let saved = save(server);
        stop.store(true, Ordering::Relaxed);
        let writers = writers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let prober = prober.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (writers, prober, saved)
    });
    let (written, paced, (elapsed, extra)) = (written?, paced?, saved?);
    let quantile = |share: f64| paced.latency.value_at_quantile(share) as f64 / 1e3;
    Ok(vec![
        (Metric::Ops, paced.latency.len() as f64),
        (Metric::Rps, written.ops as f64 / written.elapsed.as_secs_f64()),
        (Metric::Errors, written.errors as f64),
        (Metric::P50, quantile(0.5)),
        (Metric::P99, quantile(0.99)),
        (Metric::P999, quantile(0.999)),
        (Metric::Max, paced.latency.max() as f64 / 1e3),
        (Metric::SendLag, paced.worst_send_lag.as_secs_f64() * 1e6),
        (Metric::ExtraMemory, extra),
        (Metric::SaveSeconds, elapsed.as_secs_f64()),
    ])
}

/// Saves; gives how long it took, and the most memory meanwhile beyond that before, divided by it.
fn save(server: &Server) -> Result<(Duration, f64)> {
    let mut link = server.connect()?;
    let before = process::tree_memory(server.pid())?;
    let start = Instant::now();
    link.ask(&["BGSAVE"])?;
    let mut most = before;
    while link.info("persistence", "rdb_bgsave_in_progress")? != "0" {
        most = most.max(process::tree_memory(server.pid())?);
        if start.elapsed() > LIMIT {
            return Err(Error::Stalled("a save did not end".into()));
        }
        thread::sleep(LOOK);
    }
    let elapsed = start.elapsed();
    let status = link.info("persistence", "rdb_last_bgsave_status")?;
    if status != "ok" {
        return Err(Error::Reply { command: "BGSAVE".into(), reply: status });
    }
    Ok((elapsed, (most - before) as f64 / before as f64))
}
