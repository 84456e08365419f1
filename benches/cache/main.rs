//! The client's database cache beside what one would use instead.
//!
//! ```text
//! cargo run --release -p larder-benches --bin cache -- --server target/release/larder-server
//! ```
//!
//! Four measurements: what a hit in the process's own memory takes; what a hit over loopback costs
//! the client, beside the `redis` crate's own GET; a thousand readers in eight processes that want one
//! key at once; and a workload of several processes' worth of readers and writers, in which loads,
//! stale reads and waits are counted. The contestants take turns within each round.

mod contestant;
mod cores;
mod hits;
mod stampede;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use larder_benches::arguments::{count, read_count};
use larder_benches::peer::Peer;

use contestant::Kind;

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
            Arg::new("only")
                .long("only")
                .value_parser(["hits", "stampede", "workload"])
                .help("One measurement instead of all"),
        )
        .arg(
            Arg::new("readers")
                .long("readers")
                .num_args(3)
                .hide(true)
                .help("Be a process of readers: contestant, server, database"),
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
    if let Some(role) = options.get_many::<String>("readers") {
        let role: Vec<&String> = role.collect();
        let kind = Kind::named(role[0]).ok_or("no such contestant")?;
        return stampede::read(kind, role[1].parse()?, role[2].parse()?);
    }
    let peer = Peer::of(options.get_one::<PathBuf>("server").ok_or("no server")?.clone());
    let seconds = Duration::from_secs(read_count(options, "seconds"));
    let only = options.get_one::<String>("only");
    let is_wanted = |name: &str| only.is_none_or(|only| only == name);
    println!("round,what,contestant,figure,value");
    for round in 1..=read_count(options, "rounds") {
        if is_wanted("hits") {
            hits::measure(&peer, round)?;
        }
        if is_wanted("stampede") {
            stampede::measure(&peer, round)?;
        }
        if is_wanted("workload") {
            workload::measure(&peer, round, seconds)?;
        }
    }
    Ok(())
}
