//! The client's database cache beside what one would use instead.
//!
//! ```text
//! cargo run --release -p larder-benches --bin cache -- --server target/release/larder-server
//! ```
//!
//! Three measurements: what a hit in the process's own memory takes; what a hit over loopback costs
//! the client, beside the `redis` crate's own GET; and a workload of several processes' worth of
//! readers and writers, in which loads, stale reads and waits are counted. The contestants take turns
//! within each round, each on a server of its own.

mod contestant;
mod hits;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let options = Command::new("cache")
        .about("The client's database cache beside what one would use instead")
        .arg(
            Arg::new("server")
                .long("server")
                .default_value("redis-server")
                .value_parser(value_parser!(PathBuf))
                .help("A server to start"),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .default_value("3")
                .value_parser(value_parser!(u32))
                .help("How often everything is measured"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .default_value("5")
                .value_parser(value_parser!(u64))
                .help("How long the workload runs each time"),
        )
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
    let program = options.get_one::<PathBuf>("server").ok_or("no server")?;
    let rounds = *options.get_one::<u32>("rounds").ok_or("no rounds")?;
    let seconds = *options.get_one::<u64>("seconds").ok_or("no seconds")?;
    println!("round,what,contestant,figure,value");
    for round in 1..=rounds {
        hits::measure(program, round)?;
        workload::measure(program, round, Duration::from_secs(seconds))?;
    }
    Ok(())
}
