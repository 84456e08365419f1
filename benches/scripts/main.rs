//! What the client's scripts cost a server: as functions, as texts, and on another server.
//!
//! ```text
//! cargo run --release -p larder-benches --bin scripts -- target/release/larder-server redis-server
//! ```
//!
//! Servers are alternated, and on each a script by its own digest with the same script under
//! another one: a comment behind a text gives it another digest, and so no function. What is
//! counted is the server's own CPU time. One line a measurement: round, server, text or digest,
//! workload, how many are sent at once, nanoseconds a call.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use larder_benches::Result;
use larder_benches::arguments::{count, read_count, read_servers, servers};
use larder_benches::connection::Connection;
use larder_benches::peer::{Pinning, Server};
use larder_benches::process::CpuTime;
use larder_benches::request::{NUMBER, Request};

const ACQUIRE: &str = include_str!("../../client/src/scripts/cache/acquire.lua");
const FILL: &str = include_str!("../../client/src/scripts/cache/fill.lua");
const INVALIDATE: &str = include_str!("../../client/src/scripts/cache/invalidate.lua");
const CREATE: &str = concat!(
    include_str!("../../client/src/scripts/steps.lua"),
    include_str!("../../client/src/scripts/records/create.lua")
);
const SAVE: &str = concat!(
    include_str!("../../client/src/scripts/steps.lua"),
    include_str!("../../client/src/scripts/records/save.lua")
);

/// Keys that are used.
const KEYS: u64 = 1000;
/// How many requests are sent before their replies are read.
const PIPELINES: [usize; 2] = [1, 16];
/// The version of a value.
const VERSION: &str = "\0\0\0\0\0\0\0\u{1}";
/// The key of a record, with the place of its number.
const RECORD: &str = "{web:r:############}";
/// The end of the year 9999.
const DEADLINE_MS: &str = "253402300799000";

fn main() -> ExitCode {
    let options = Command::new("scripts")
        .about("What the client's scripts cost a server")
        .arg(servers())
        .arg(count("rounds", "How often everything is measured", "3"))
        .arg(count("calls", "Calls of each measurement", "100000"))
        .get_matches();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &ArgMatches) -> Result<()> {
    let calls = read_count(options, "calls");
    let started = read_servers(options).into_iter().map(|peer| peer.start(&Pinning::default()));
    let servers: Vec<Server> = started.collect::<Result<_>>()?;
    println!("round,server,as,workload,at once,CPU ns a call");
    for round in 1..=read_count(options, "rounds") {
        for server in &servers {
            for (name, suffix) in [("digest", ""), ("text", "-- under another digest\n")] {
                for workload in Workload::ALL {
                    for pipeline in PIPELINES {
                        let ns = workload.measure(server, suffix, pipeline, calls)?;
                        let (server, workload) = (&server.name, workload.name());
                        println!("{round},{server},{name},{workload},{pipeline},{ns}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// What is called.
#[derive(Clone, Copy)]
enum Workload {
    /// A value that is there and fresh.
    Hit,
    /// A lease, a value, and its end: three calls.
    Load,
    /// A change of one entry of a session's record.
    Save,
}

impl Workload {
    const ALL: [Self; 3] = [Self::Hit, Self::Load, Self::Save];

    fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Load => "lease fill invalidate",
            Self::Save => "save",
        }
    }

    /// The server's nanoseconds a call.
    fn measure(self, server: &Server, suffix: &str, pipeline: usize, calls: u64) -> Result<u128> {
        let mut link = server.connect()?;
        let mut digest = |text: &str| link.ask(&["SCRIPT", "LOAD", &format!("{text}{suffix}")]);
        let [acquire, fill, invalidate] = [digest(ACQUIRE)?, digest(FILL)?, digest(INVALIDATE)?];
        let [create, save] = [digest(CREATE)?, digest(SAVE)?];
        link.ask(&["FLUSHALL"])?;
        let acquire = on_value(&acquire, &["token", "1000", "0"]);
        let body = "x".repeat(100);
        let fill = on_value(&fill, &["token", "300000", "3600000", VERSION, "0", &body]);
        let invalidate = on_value(&invalidate, &["0", VERSION, "0", "0"]);
        let create = ["EVALSHA", &create, "1", RECORD, "first-call--", DEADLINE_MS, ".cart", "[]"];
        let (before, measured) = match self {
            Self::Hit => (vec![acquire.clone(), fill], vec![acquire]),
            Self::Load => (Vec::new(), vec![acquire, fill, invalidate]),
            Self::Save => (vec![Request::new(&create)], Vec::new()),
        };
        prepare(&mut link, &before)?;
        let batches = calls.div_ceil(pipeline as u64);
        let mut bytes = Vec::new();
        let spent = CpuTime::of(server.pid())?;
        for batch in 0..batches {
            bytes.clear();
            for turn in 0..pipeline as u64 {
                let number = batch * pipeline as u64 + turn;
                match measured.len() as u64 {
                    0 => save_of(&save, number).append_numbered(number % KEYS, &mut bytes),
                    of_key => measured[(number % of_key) as usize]
                        .append_numbered(number / of_key % KEYS, &mut bytes),
                }
            }
            link.load(&bytes, pipeline, self.name())?;
        }
        let spent = CpuTime::of(server.pid())?.since(&spent).whole;
        Ok(spent.as_nanos() / u128::from(batches * pipeline as u64))
    }
}

/// A change of a record, each under a name of its own.
fn save_of(digest: &str, number: u64) -> Request {
    let call = format!("{number:012}");
    let head = ["EVALSHA", digest, "1", RECORD, &call, DEADLINE_MS];
    Request::new(&[&head[..], &["0", "1", ".cart", "[1,2,3,4]"]].concat())
}

/// A script of the cache on a value's keys.
fn on_value(digest: &str, args: &[&str]) -> Request {
    let keys = ["", "#l", "#f"].map(|suffix| format!("{{bench:{NUMBER}}}{suffix}"));
    let mut parts = vec!["EVALSHA", digest, "3"];
    parts.extend(keys.iter().map(String::as_str));
    parts.extend_from_slice(args);
    Request::new(&parts)
}

/// Sends requests for every key.
fn prepare(link: &mut Connection, requests: &[Request]) -> Result<()> {
    for number in 0..KEYS {
        let mut bytes = Vec::new();
        for request in requests {
            request.append_numbered(number, &mut bytes);
        }
        link.load(&bytes, requests.len(), "prepare")?;
    }
    Ok(())
}
