//! The longest pause: what a lone reader waits for while the key space grows by millions of
//! keys under it. Growth of hash tables, of the heap and of everything else that is not
//! done in small steps shows here and nowhere in an average.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::{Result, pace};

use crate::keys;
use crate::options::Options;

const KEYS: u64 = 5_000_000;

/// The loader's pipeline. Short, as a reader also waits behind whatever of it a server
/// executes in one go, and that is not the pause meant here.
const PIPELINE: u64 = 64;

const INTERVAL: Duration = Duration::from_millis(1);

/// The load takes ten to twenty seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Loads and probes at once.
pub(crate) fn measure(server: &Server, options: &Options) -> Result<Vec<(Metric, f64)>> {
    let count = options.scaled(KEYS);
    let mut link = server.connect()?;
    link.ask(&["SET", "probe", &"v".repeat(64)])?;
    let mut get = Vec::new();
    Request::new(&["GET", "probe"]).append_numbered(0, &mut get);
    let set = Request::new(&["SET", "key:############", &"v".repeat(32)]);

    let stop = AtomicBool::new(false);
    let (paced, loaded, elapsed) = thread::scope(|scope| {
        let prober = scope.spawn(|| pace::probe(link, &get, INTERVAL, &stop, LIMIT));
        let start = Instant::now();
        let loaded =
            keys::fill(server, count, PIPELINE, |number, out| set.append_numbered(number, out));
        let elapsed = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        let paced = prober.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (paced, loaded, elapsed)
    });
    loaded?;
    let paced = paced?;
    let quantile = |share: f64| paced.latency.value_at_quantile(share) as f64 / 1e3;
    Ok(vec![
        (Metric::Ops, paced.latency.len() as f64),
        (Metric::Seconds, elapsed.as_secs_f64()),
        (Metric::Rps, count as f64 / elapsed.as_secs_f64()),
        (Metric::P50, quantile(0.5)),
        (Metric::P99, quantile(0.99)),
        (Metric::P999, quantile(0.999)),
        (Metric::Max, paced.latency.max() as f64 / 1e3),
        (Metric::SendLag, paced.worst_send_lag.as_secs_f64() * 1e6),
    ])
}
