//! The same ground measured by redis-benchmark: a second opinion on the own generator, and a
//! check that the tool everybody reaches for runs without a complaint.
//!
//! Never with `--threads`: its clock then moves in steps of 250 ms.

use std::process::Command;
use std::time::{Duration, Instant};

use larder_benches::measure::{Measurement, Metric};
use larder_benches::peer::{Peer, Server};
use larder_benches::process::CpuTime;
use larder_benches::report::Sheet;
use larder_benches::{Error, Result};

use crate::options::Options;

const TESTS: [&str; 5] = ["ping_mbulk", "set", "get", "incr", "mset"];
const PIPELINES: [usize; 2] = [1, 16];
const CLIENTS: usize = 50;

const SHOWS: &[Metric] = &[Metric::CpuPerOp, Metric::Rps, Metric::P50, Metric::P99, Metric::Max];

/// A [`Sheet`] whose texts are made, not constant.
pub(crate) struct OwnedSheet {
    name: String,
    about: String,
}

impl OwnedSheet {
    /// The sheet itself.
    pub(crate) fn sheet(&self) -> Sheet<'_> {
        Sheet { name: &self.name, about: &self.about, shows: SHOWS, bars: &[] }
    }
}

/// All combinations: test, pipeline, protocol.
fn combinations() -> impl Iterator<Item = (&'static str, usize, u8)> {
    TESTS.into_iter().flat_map(|test| {
        PIPELINES.into_iter().flat_map(move |pipeline| [2, 3].map(|resp| (test, pipeline, resp)))
    })
}

fn workload(test: &str, pipeline: usize, resp: u8) -> String {
    format!("redis-benchmark-{test}-p{pipeline}-resp{resp}")
}

/// What the summary shows.
pub(crate) fn sheets() -> Vec<OwnedSheet> {
    combinations()
        .map(|(test, pipeline, resp)| OwnedSheet {
            name: workload(test, pipeline, resp),
            about: format!(
                "`redis-benchmark -t {test} -c {CLIENTS} -P {pipeline} -d 64`, RESP{resp}."
            ),
        })
        .collect()
}

/// Runs every combination in every round against every server.
///
/// # Errors
/// When redis-benchmark fails or prints a line that speaks of an error.
pub(crate) fn run(
    peers: &[Peer],
    options: &Options,
    keep: &mut dyn FnMut(Measurement) -> Result<()>,
) -> Result<()> {
    for (test, pipeline, resp) in combinations() {
        for round in 1..=options.rounds {
            for peer in peers {
                let server = peer.start(&options.pinning)?;
                let requests = options.requests * pipeline as u64;
                keep(Measurement {
                    round,
                    server: server.name.clone(),
                    version: server.version.clone(),
                    workload: workload(test, pipeline, resp),
                    clients: CLIENTS,
                    pipeline,
                    resp,
                    figures: measure(&server, test, pipeline, resp, requests)?,
                })?;
            }
        }
    }
    Ok(())
}

fn measure(
    server: &Server,
    test: &str,
    pipeline: usize,
    resp: u8,
    requests: u64,
) -> Result<Vec<(Metric, f64)>> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", "127.0.0.1", "-p", &server.address.port().to_string()]);
    command.args(["-t", test, "-n", &requests.to_string(), "-c", &CLIENTS.to_string()]);
    command.args(["-P", &pipeline.to_string(), "-d", "64", "--csv"]);
    if resp == 3 {
        command.arg("-3");
    }
    let failed = |why: String| Error::Program { program: "redis-benchmark".into(), why };
    let before = (Instant::now(), CpuTime::of(server.pid())?);
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    let elapsed = before.0.elapsed();
    let cpu = CpuTime::of(server.pid())?.since(&before.1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if let Some(line) = complaint(&text) {
        return Err(failed(format!("{} ({test}): {line}", server.name)));
    }
    if !output.status.success() {
        return Err(failed(format!("{} ({test}): {}", server.name, output.status)));
    }
    figures(&text, requests, elapsed, cpu)
        .ok_or_else(|| failed(format!("no figures in its output: {text:?}")))
}

/// A line in which the tool complains about the server.
fn complaint(text: &str) -> Option<&str> {
    text.lines().find(|line| {
        let line = line.to_lowercase();
        line.contains("error") || line.contains("warning") || line.contains("could not")
    })
}

/// Columns: test, rps, then latencies in milliseconds: avg, min, p50, p95, p99, max.
fn figures(
    text: &str,
    requests: u64,
    elapsed: Duration,
    cpu: Duration,
) -> Option<Vec<(Metric, f64)>> {
    let line = text.lines().find(|line| line.starts_with('"') && !line.starts_with("\"test\""))?;
    // The MSET test's name holds no comma but does hold blanks and brackets.
    let cells: Vec<f64> =
        line.split(',').skip(1).filter_map(|cell| cell.trim_matches('"').parse().ok()).collect();
    let [rps, _, _, p50, _, p99, max] = cells[..] else { return None };
    Some(vec![
        (Metric::Ops, requests as f64),
        (Metric::Seconds, elapsed.as_secs_f64()),
        (Metric::Rps, rps),
        (Metric::CpuPerOp, cpu.as_secs_f64() * 1e6 / requests as f64),
        (Metric::P50, p50 * 1e3),
        (Metric::P99, p99 * 1e3),
        (Metric::Max, max * 1e3),
        (Metric::Errors, 0.0),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_table_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                    \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"GET\",\"100.5\",\"0.2\",\"0.1\",\"0.25\",\"0.3\",\"0.4\",\"1.5\"\n";
        let second = Duration::from_secs(1);
        let figures = figures(text, 1_000_000, second, second).unwrap();
        assert!(figures.contains(&(Metric::Rps, 100.5)));
        assert!(figures.contains(&(Metric::CpuPerOp, 1.0)));
        assert!(figures.contains(&(Metric::Max, 1500.0)));
        assert_eq!(complaint(text), None);
        assert!(complaint("Error from server: no").is_some());
    }
}
