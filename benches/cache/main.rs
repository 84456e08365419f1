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

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use larder_benches::arguments::{count, read_count};

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
        .arg(count("rounds", "How often everything is measured", "3"))
        .arg(
            Arg::new("hits")
                .long("hits")
                .action(ArgAction::SetTrue)
                .help("Measure what hits cost, and no workload"),
        )
        .arg(count("seconds", "How long the workload runs each time", "5"))
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
    let seconds = Duration::from_secs(read_count(options, "seconds"));
    println!("round,what,contestant,figure,value");
    for round in 1..=read_count(options, "rounds") {
        hits::measure(program, round)?;
        if !options.get_flag("hits") {
            workload::measure(program, round, seconds)?;
        }
    }
    Ok(())
}
