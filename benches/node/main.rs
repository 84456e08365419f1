//! Whole servers side by side: Larder and every peer this machine offers, one workload after
//! another, the servers taking turns within each round.
//!
//! ```text
//! cargo run --release -p larder-benches --bin node -- --list
//! cargo run --release -p larder-benches --bin node -- --only get-p16,set-p16 --rounds 3
//! ```
//!
//! Invariant: one server runs at a time, started fresh for each measurement, so that none is
//! measured beside another or upon what an earlier workload left behind.

mod eviction;
mod expiry;
mod external;
mod fanout;
mod keys;
mod memory;
mod options;
mod pause;
mod replication;
mod save;
mod throughput;
mod workloads;

use std::path::Path;
use std::process::ExitCode;

use larder_benches::environment;
use larder_benches::measure::{Figures, Measurement, Metric};
use larder_benches::peer::{LARDER, Peer, target_folder};
use larder_benches::report::{RunFolder, Sheet};
use larder_benches::{Error, Result};

use options::Options;
use workloads::{Row, WORKLOADS};

fn main() -> ExitCode {
    match Options::parse().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole run; false when a server replied with errors, which makes its figures void.
fn run(options: &Options) -> Result<bool> {
    if options.list {
        for row in WORKLOADS {
            println!("{:<22} {}", row.name, row.about);
        }
        return Ok(true);
    }
    let rows = options.rows()?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let peers = servers(options, workspace)?;
    options.pinning.apply_to_self()?;

    let parent = options.out.clone().unwrap_or_else(|| workspace.join("benches/runs"));
    let name = environment::run_name(options.name.as_deref());
    let mut folder = RunFolder::create(&parent, &name)?;
    let mut figures = Figures::default();
    let outcome = if options.redis_benchmark {
        external::run(&peers, options, &mut |measured| keep(measured, &mut folder, &mut figures))
    } else {
        measure(&rows, &peers, options, &mut |measured| keep(measured, &mut folder, &mut figures))
    };

    if figures.rows.is_empty() {
        folder.discard()?;
        return outcome.map(|()| true);
    }
    // A run that broke off still reports what it has: hours may lie behind it.
    let names: Vec<String> = peers.iter().map(|peer| peer.name.clone()).collect();
    let external_sheets = external::sheets(&figures);
    let sheets: Vec<Sheet<'_>> = if options.redis_benchmark {
        external_sheets.iter().map(external::OwnedSheet::sheet).collect()
    } else {
        rows.iter().map(|row| row.sheet()).collect()
    };
    let pinning = format!(
        "servers {}, generator {}, {} generator thread(s)",
        options.pinning.server.as_deref().unwrap_or("free"),
        options.pinning.client.as_deref().unwrap_or("free"),
        options.client_threads
    );
    let about: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let row = figures.rows.iter().find(|row| row.server == *name)?;
            Some(format!("{name}: {}", row.version))
        })
        .collect();
    let environment = environment::describe(workspace, &pinning, &about);
    folder.finish(&figures, &sheets, &names, &environment)?;
    println!("written to {}", folder.path().display());
    outcome?;
    Ok(figures.rows.iter().all(|row| row.figure(Metric::Errors).unwrap_or(0.0) == 0.0))
}

/// Larder first, then its peers, as far as `--servers` wants them.
fn servers(options: &Options, workspace: &Path) -> Result<Vec<Peer>> {
    let wanted =
        |name: &str| options.servers.is_empty() || options.servers.iter().any(|s| s == name);
    let mut all = Vec::new();
    if wanted(LARDER) {
        all.push(Peer::larder(workspace)?);
    }
    let cache = target_folder()?.join("bench-peers");
    let found = Peer::discover(&cache, options.download)?;
    all.extend(found.into_iter().filter(|peer| wanted(&peer.name)));
    if all.is_empty() {
        return Err(Error::Usage("no server to measure".into()));
    }
    Ok(all)
}

/// Every workload: its rounds, and within a round the servers in turn.
fn measure(
    rows: &[&Row],
    peers: &[Peer],
    options: &Options,
    keep: &mut dyn FnMut(Measurement) -> Result<()>,
) -> Result<()> {
    for row in rows {
        for round in 1..=options.rounds {
            for peer in peers {
                let server = peer.start(&options.pinning)?;
                keep(row.measure(&server, round, options)?)?;
            }
        }
    }
    Ok(())
}

fn keep(measured: Measurement, folder: &mut RunFolder, figures: &mut Figures) -> Result<()> {
    let shown = measured.figures.iter().map(|(metric, figure)| {
        let precision = if *figure >= 1000.0 { 0 } else { 3 };
        format!("{} {figure:.precision$}", metric.column())
    });
    println!(
        "{:<22} round {} {:<10} {}",
        measured.workload,
        measured.round,
        measured.server,
        shown.collect::<Vec<_>>().join("  ")
    );
    folder.append(&measured)?;
    figures.rows.push(measured);
    Ok(())
}
