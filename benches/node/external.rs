//! The same ground measured by redis-benchmark: all its default tests in one go, as everybody runs
//! it, and a check that it does so without a complaint.
//!
//! The tool prints a line as each test ends; the server's CPU time between two lines is that test's.
//! With `--tls` it runs GET and SET over TLS, with a certificate made for the run.
//!
//! Never with `--threads`: its clock then moves in steps of 250 ms.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use larder_benches::measure::{Bar, Figures, Limit, Measurement, Metric};
use larder_benches::peer::{BASELINE, Peer, Server, free_address};
use larder_benches::process::{CpuTime, Spent};
use larder_benches::report::Sheet;
use larder_benches::{Error, Result};

use crate::options::Options;

const PIPELINES: [usize; 2] = [1, 16];
const CLIENTS: usize = 50;

const SHOWS: &[Metric] =
    &[Metric::CpuPerOp, Metric::KernelCpuPerOp, Metric::Rps, Metric::P50, Metric::P99, Metric::Max];

/// The peer of Debian, which has TLS.
const WITH_TLS: &str = "redis-7.0";

/// What TLS has to cost at most.
const ENCRYPTED: &[Bar] =
    &[Bar { metric: Metric::CpuPerOp, against: Some(WITH_TLS), limit: Limit::AtMost(0.9) }];

/// Without pipelining the kernel's socket work dominates, which no server can save.
const PIPELINED: &[Bar] =
    &[Bar { metric: Metric::CpuPerOp, against: Some(BASELINE), limit: Limit::AtMost(1.0) }];

/// A [`Sheet`] whose texts are made, not constant.
pub(crate) struct OwnedSheet {
    name: String,
    about: String,
    bars: &'static [Bar],
}

impl OwnedSheet {
    /// The sheet itself.
    pub(crate) fn sheet(&self) -> Sheet<'_> {
        Sheet { name: &self.name, about: &self.about, shows: SHOWS, bars: self.bars }
    }
}

/// What the summary shows: whatever the tool ran, in its order.
pub(crate) fn sheets(figures: &Figures) -> Vec<OwnedSheet> {
    let mut sheets: Vec<OwnedSheet> = Vec::new();
    for row in &figures.rows {
        if sheets.iter().any(|sheet| sheet.name == row.workload) {
            continue;
        }
        let (pipeline, resp) = (row.pipeline, row.resp);
        sheets.push(OwnedSheet {
            name: row.workload.clone(),
            about: format!("`redis-benchmark -c {CLIENTS} -P {pipeline}`, RESP{resp}."),
            bars: match (pipeline, row.workload.starts_with(TLS_PREFIX)) {
                (1, _) => &[],
                (_, true) => ENCRYPTED,
                (_, false) => PIPELINED,
            },
        });
    }
    sheets
}

/// Runs the tool with every pipeline and protocol in every round against every server.
///
/// # Errors
/// When redis-benchmark fails or prints a line that speaks of an error.
pub(crate) fn run(
    peers: &[Peer],
    options: &Options,
    keep: &mut dyn FnMut(Measurement) -> Result<()>,
) -> Result<()> {
    let tls = if options.tls { Some(Tls::new()?) } else { None };
    let prefix = if options.tls { TLS_PREFIX } else { "redis-benchmark" };
    for (pipeline, resp) in
        PIPELINES.into_iter().flat_map(|pipeline| [(pipeline, 2), (pipeline, 3)])
    {
        for round in 1..=options.rounds {
            for peer in peers {
                let (server, how) = match &tls {
                    None => (peer.start(&options.pinning)?, Vec::new()),
                    Some(tls) => tls.start(peer, options)?,
                };
                let requests = options.requests * pipeline as u64;
                for (test, figures) in measure(&server, &how, pipeline, resp, requests)? {
                    keep(Measurement {
                        round,
                        server: server.name.clone(),
                        version: server.version.clone(),
                        workload: format!("{prefix}-{test}-p{pipeline}-resp{resp}"),
                        clients: CLIENTS,
                        pipeline,
                        resp,
                        figures,
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// How the names of workloads over TLS begin.
const TLS_PREFIX: &str = "redis-benchmark-tls";

/// A certificate that signs itself, for servers and for the tool to trust.
struct Tls {
    folder: tempfile::TempDir,
}

impl Tls {
    fn new() -> Result<Self> {
        let why = |error: &dyn std::fmt::Display| Error::Program {
            program: "a certificate for the run".into(),
            why: error.to_string(),
        };
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.map_err(|error| why(&error))?;
        let folder = tempfile::TempDir::new().map_err(Error::io("temporary folder"))?;
        for (name, text) in
            [("own.crt", made.cert.pem()), ("own.key", made.signing_key.serialize_pem())]
        {
            fs::write(folder.path().join(name), text).map_err(Error::io("certificate"))?;
        }
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A server with a TLS port, and what tells the tool to use it.
    fn start(&self, peer: &Peer, options: &Options) -> Result<(Server, Vec<String>)> {
        let port = free_address()?.port().to_string();
        let own = self.path("own.crt");
        let words = ["--tls-port", &port, "--tls-cert-file", &own, "--tls-key-file"];
        let mut more: Vec<String> = words.map(str::to_owned).to_vec();
        more.extend([self.path("own.key"), "--tls-auth-clients".to_owned(), "no".to_owned()]);
        let server = peer.start_with(&options.pinning, &more)?;
        let how = ["--tls", "--cacert", &own, "-p", &port, "-t", "get,set"];
        Ok((server, how.map(str::to_owned).to_vec()))
    }
}

type Test = (String, Vec<(Metric, f64)>);

/// One run of the tool: its tests with what each of them took; `how` is what it is told besides.
fn measure(
    server: &Server,
    how: &[String],
    pipeline: usize,
    resp: u8,
    requests: u64,
) -> Result<Vec<Test>> {
    let failed = |why: String| Error::Program { program: "redis-benchmark".into(), why };
    // Into a pipe it would keep its lines back until the end.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "redis-benchmark", "-h", "127.0.0.1"]);
    command.args(["-p", &server.address.port().to_string(), "-n", &requests.to_string()]);
    command.args(["-c", &CLIENTS.to_string(), "-P", &pipeline.to_string(), "--csv"]);
    command.args(how);
    if resp == 3 {
        command.arg("-3");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut before = (Instant::now(), CpuTime::of(server.pid())?);
    let mut tool = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut tests = Vec::new();
    let output = tool.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines());
    for line in output {
        let line = line.map_err(|error| failed(error.to_string()))?;
        let now = (Instant::now(), CpuTime::of(server.pid())?);
        let took = (now.0 - before.0, now.1.since(&before.1));
        before = now;
        if let Some(why) = complaint(&line) {
            return Err(failed(format!("{}: {why}", server.name)));
        }
        tests.extend(figures(&line, requests, took.0, took.1));
    }
    let status = tool.wait().map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    if let Some(mut errors) = tool.stderr.take() {
        errors.read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    }
    match text.lines().find_map(complaint) {
        Some(why) => Err(failed(format!("{}: {why}", server.name))),
        None if !status.success() => Err(failed(format!("{}: {status}", server.name))),
        None if tests.is_empty() => Err(failed("no figures in its output".into())),
        None => Ok(tests),
    }
}

/// A line in which the tool complains about the server.
fn complaint(line: &str) -> Option<&str> {
    let lower = line.to_lowercase();
    ["error", "warning", "could not"].iter().any(|word| lower.contains(word)).then_some(line)
}

/// A test's name and figures from its line: rps, then latencies in milliseconds: avg, min, p50, p95,
/// p99, max. `None` for the line of headings.
fn figures(line: &str, requests: u64, elapsed: Duration, cpu: Spent) -> Option<Test> {
    let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
    let title = cells.next()?;
    let numbers: Vec<f64> = cells.filter_map(|cell| cell.parse().ok()).collect();
    let [rps, _, _, p50, _, p99, max] = numbers[..] else { return None };
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / requests as f64;
    let figures = vec![
        (Metric::Ops, requests as f64),
        (Metric::Seconds, elapsed.as_secs_f64()),
        (Metric::Rps, rps),
        (Metric::CpuPerOp, per_request(cpu.whole)),
        (Metric::KernelCpuPerOp, per_request(cpu.kernel)),
        (Metric::P50, p50 * 1e3),
        (Metric::P99, p99 * 1e3),
        (Metric::Max, max * 1e3),
        (Metric::Errors, 0.0),
    ];
    Some((short(title), figures))
}

/// A title as part of a workload's name: `LRANGE_100 (first 100 elements)` is `lrange_100`; the LPUSH
/// that fills the list for LRANGE is not the LPUSH before it.
fn short(title: &str) -> String {
    let name = title.split(' ').next().unwrap_or(title).to_lowercase();
    if title.contains("needed") { format!("{name}-fill") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_lines_are_read() {
        let second = Duration::from_secs(1);
        let cpu = Spent { whole: second, kernel: second / 2 };
        let heading = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                       \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"";
        assert_eq!(figures(heading, 1, second, cpu), None);
        let line = "\"LRANGE_100 (first 100 elements)\",\"100.5\",\"0.2\",\"0.1\",\"0.25\",\"0.3\",\
                    \"0.4\",\"1.5\"";
        let (name, figures) = figures(line, 1_000_000, second, cpu).unwrap();
        assert_eq!(name, "lrange_100");
        assert!(figures.contains(&(Metric::Rps, 100.5)));
        assert!(figures.contains(&(Metric::CpuPerOp, 1.0)));
        assert!(figures.contains(&(Metric::KernelCpuPerOp, 0.5)));
        assert!(figures.contains(&(Metric::Max, 1500.0)));
        assert_eq!(short("LPUSH (needed to benchmark LRANGE)"), "lpush-fill");
        assert_eq!(complaint(line), None);
        assert!(complaint("Error from server: no").is_some());
    }
}
