//! Failovers of real processes: a Larder group beside Redis with Sentinel, in the same run.
//!
//! For each service in turn: N times the primary is killed under load, N times it is moved as planned,
//! and a larger group rests for a while. The services take turns, so that all see the same machine.

mod client;
mod hop;
mod ports;
mod program;
mod report;
mod rounds;
mod service;
mod writers;

use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use larder_benches::environment;
use larder_benches::peer::{LARDER, Peer, run_program};
use larder_benches::{Error, Result};

use report::{Event, Run};
use rounds::Pressure;
use service::Service;

/// The services, in the order in which they take turns.
const SERVICES: [&str; 3] = ["larder-primary", "larder-quorum", "sentinel"];

/// Servers that a service has while it is measured, and while it rests.
const SERVERS: usize = 3;
const RESTING_SERVERS: usize = 6;

fn main() -> ExitCode {
    let options = command().get_matches();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole run; false when a bar is missed.
fn run(options: &ArgMatches) -> Result<bool> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let wanted: Vec<&str> = options
        .get_many::<String>("services")
        .map_or(SERVICES.to_vec(), |names| names.map(String::as_str).collect());
    if let Some(name) = wanted.iter().find(|name| !SERVICES.contains(name)) {
        return Err(Error::Usage(format!("no service {name}, only {}", SERVICES.join(", "))));
    }
    let larder = match wanted.iter().any(|name| name.starts_with(LARDER)) {
        true => Peer::larder(workspace)?.program,
        false => PathBuf::new(),
    };
    let parent = options.get_one::<PathBuf>("out").cloned();
    let parent = parent.unwrap_or_else(|| workspace.join("benches/runs"));
    let mut run = Run::create(&parent, &environment::run_name(Some("failover")))?;
    let measured = measure(options, &wanted, &larder, &mut run);
    if run.is_empty() {
        std::fs::remove_dir_all(run.path()).map_err(Error::io("discard the run's folder"))?;
        return measured.map(|()| true);
    }
    // A run that broke off still reports what it has.
    let stock = run_program(Process::new(stock_server(options)).arg("--version"));
    let stock = stock.map_or_else(|error| error.to_string(), |text| text.trim().to_owned());
    run.finish(&environment::describe(workspace, "none", &[format!("sentinel: {stock}")]))?;
    println!("written to {}", run.path().display());
    measured.map(|()| run.is_good())
}

fn measure(options: &ArgMatches, wanted: &[&str], larder: &Path, run: &mut Run) -> Result<()> {
    let count = |name: &str| options.get_one::<u64>(name).copied().unwrap_or(1);
    let pressure = Pressure {
        writers: usize::try_from(count("writers")).unwrap_or(1),
        rate: options.get_one::<f64>("rate").copied().unwrap_or(1.0).clamp(0.1, 100_000.0),
    };
    for (event, times) in [(Event::Kill, count("kills")), (Event::Planned, count("planned"))] {
        // A handful of rounds each in turn: what the machine does meanwhile meets all.
        let mut left = times;
        while left > 0 {
            let batch = left.min(10);
            left -= batch;
            for name in wanted {
                let mut service = start(options, name, larder, SERVERS)?;
                for _ in 0..batch {
                    let outcome = match event {
                        Event::Kill => rounds::kill(&mut service, pressure)?,
                        Event::Planned => rounds::hand_over(&mut service, pressure)?,
                    };
                    run.keep(event, name, outcome)?;
                }
            }
        }
    }
    if wanted.contains(&"larder-primary") && !options.get_flag("no-hop") {
        let service = start(options, "larder-primary", larder, SERVERS)?;
        for hop in hop::measure(&service)? {
            run.keep_hop(hop);
        }
    }
    let rest = Duration::from_secs(count("rest"));
    // How writes are acknowledged makes no difference to who rests.
    for name in wanted.iter().filter(|name| !rest.is_zero() && **name != "larder-primary") {
        let service = start(options, name, larder, RESTING_SERVERS)?;
        std::thread::sleep(Duration::from_secs(5));
        run.keep_rest(name, RESTING_SERVERS, rounds::rest(&service, rest)?);
    }
    Ok(())
}

fn start(options: &ArgMatches, name: &str, larder: &Path, servers: usize) -> Result<Service> {
    if name == "sentinel" {
        let stock = stock_server(options);
        let down_after = options.get_one::<u64>("down-after").copied().unwrap_or(1_000);
        return Service::sentinel(&stock, &stock, servers, down_after);
    }
    let acks = name.rsplit('-').next().unwrap_or("primary");
    Service::group(larder, name, servers, &["--write-acks", acks])
}

fn stock_server(options: &ArgMatches) -> PathBuf {
    options.get_one::<PathBuf>("redis").cloned().unwrap_or_else(|| "redis-server".into())
}

fn command() -> Command {
    let text = |name: &'static str, what: &'static str| Arg::new(name).long(name).help(what);
    let count = |name: &'static str, what: &'static str, default: &'static str| {
        text(name, what).value_parser(value_parser!(u64)).default_value(default)
    };
    let path = |name: &'static str, what: &'static str| {
        text(name, what).value_parser(value_parser!(PathBuf))
    };
    Command::new("failover")
        .about("Measures failovers of a Larder group beside Redis with Sentinel")
        .after_help(
            "Environment: LARDER_BENCH_SERVER (Larder's binary).\n\
             Exit status: 1 when the run failed, 2 when a bar was missed.",
        )
        .arg(count("kills", "How often each service's primary is killed", "50"))
        .arg(count("planned", "How often it is moved as planned", "50"))
        .arg(count("rest", "Seconds for which six nodes rest; 0: not measured", "30"))
        .arg(
            text("no-hop", "Do not measure what the way through the endpoint costs")
                .action(ArgAction::SetTrue),
        )
        .arg(count("writers", "Connections that write", "8"))
        .arg(
            text("rate", "Writes a second of each")
                .value_parser(value_parser!(f64))
                .default_value("250"),
        )
        .arg(count("down-after", "Sentinel's down-after-milliseconds", "1000"))
        .arg(
            text("services", "Only these: larder-primary, larder-quorum, sentinel")
                .value_delimiter(',')
                .action(ArgAction::Append),
        )
        .arg(path("redis", "The stock server, which is Sentinel as well [default: redis-server]"))
        .arg(path("out", "Parent of the run's folder [default: benches/runs]"))
}
