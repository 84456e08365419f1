//! Readers and writers over a slow database, the same for every contestant.
//!
//! Reads come at random moments, the same number for every contestant, however long one takes: what a
//! read costs the client is comparable only at the same rate, as it shares each wakening with the
//! others of its moment. Each row is a version. A writer changes a row, invalidates it and says so; a
//! reader that began after that and gets an older version has read stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_benches::peer::{Peer, Server};
use larder_benches::process::CpuTime;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp, Zipf};
use tokio::task::JoinSet;

use crate::Result;
use crate::contestant::{Contestant, Kind};
use crate::cores::{PLACES, pin, start};

const ROWS: u64 = 500;
const PROCESSES: usize = 8;
/// Reads a second that come to one process, and how long after the end they may take.
const RATE: f64 = 500.0;
const PATIENCE: Duration = Duration::from_secs(10);
/// What the database takes to answer.
const QUERY: Duration = Duration::from_millis(20);
/// Between two changes of one process.
const CHANGE: Duration = Duration::from_millis(40);

#[derive(Default)]
struct Row {
    version: AtomicU64,
    finished: AtomicU64,
}

struct Database {
    rows: Vec<Row>,
    loads: AtomicU64,
    running: AtomicU64,
    most: AtomicU64,
    over: AtomicBool,
}

pub(crate) fn measure(peer: &Peer, round: u64, span: Duration) -> Result<()> {
    for (core, place) in PLACES {
        pin(core)?;
        for kind in Kind::ALL {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).enable_all().build()?;
            let server = start(peer)?;
            runtime.block_on(run(kind, &server, &format!("{round},workload on {place}"), span))?;
        }
    }
    Ok(())
}

async fn run(kind: Kind, server: &Server, what: &str, span: Duration) -> Result<()> {
    let database = Arc::new(Database {
        rows: (0..ROWS).map(|_| Row::default()).collect(),
        loads: AtomicU64::new(0),
        running: AtomicU64::new(0),
        most: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let mut contestants = Vec::new();
    for _ in 0..PROCESSES {
        contestants.push(Contestant::connect(kind, server.address).await?);
    }
    let before = CpuTime::of(std::process::id())?;
    let mut processes = Vec::new();
    for (process, contestant) in contestants.iter().enumerate() {
        let (seed, database) = (process as u64, &database);
        processes.push(tokio::spawn(receive(contestant.clone(), Arc::clone(database), seed)));
        tokio::spawn(write(contestant.clone(), Arc::clone(database), seed));
    }
    tokio::time::sleep(span).await;
    database.over.store(true, Ordering::SeqCst);
    let (mut waits, mut stale, mut errors) = (Vec::new(), 0, 0);
    for process in processes {
        for seen in process.await? {
            waits.push(seen.wait.as_micros());
            stale += u128::from(seen.is_stale);
            errors += u128::from(seen.is_failed);
        }
    }
    let spent = CpuTime::of(std::process::id())?.since(&before).whole;
    waits.sort_unstable();
    let reads = waits.len().max(1);
    let figures = [
        ("reads", reads as u128),
        ("loads", u128::from(database.loads.load(Ordering::SeqCst))),
        ("most loads at once", u128::from(database.most.load(Ordering::SeqCst))),
        ("stale reads", stale),
        ("failed reads", errors),
        ("p50 us", waits.get(reads / 2).copied().unwrap_or_default()),
        ("p99 us", waits.get(reads * 99 / 100).copied().unwrap_or_default()),
        ("CPU ns a read", spent.as_nanos() / reads as u128),
    ];
    for (figure, value) in figures {
        println!("{what},{},{figure},{value}", kind.name());
    }
    Ok(())
}

struct Seen {
    wait: Duration,
    is_stale: bool,
    is_failed: bool,
}

/// Reads as they come to one process.
async fn receive(contestant: Contestant, database: Arc<Database>, seed: u64) -> Vec<Seen> {
    let mut random = SmallRng::seed_from_u64(seed);
    let Ok(popular) = Zipf::new(ROWS as f64, 0.99) else { return Vec::new() };
    let Ok(gap) = Exp::new(RATE) else { return Vec::new() };
    let (mut due, mut reads) = (Instant::now(), JoinSet::new());
    while !database.over.load(Ordering::SeqCst) {
        due += Duration::from_secs_f64(gap.sample(&mut random));
        tokio::time::sleep_until(due.into()).await;
        let key = popular.sample(&mut random) as u64 - 1;
        reads.spawn(read(contestant.clone(), Arc::clone(&database), key, due));
    }
    let (begun, end) = (reads.len(), tokio::time::Instant::now() + PATIENCE);
    let mut seen = Vec::with_capacity(begun);
    while let Ok(Some(read)) = tokio::time::timeout_at(end, reads.join_next()).await {
        seen.extend(read);
    }
    // Whoever has no answer by now gets none.
    seen.resize_with(begun, || Seen { wait: PATIENCE, is_stale: false, is_failed: true });
    seen
}

async fn read(contestant: Contestant, database: Arc<Database>, key: u64, due: Instant) -> Seen {
    let least = database.rows[key as usize].finished.load(Ordering::SeqCst);
    let source = Arc::clone(&database);
    let version = contestant.read(key, move || query(source, key)).await;
    Seen {
        wait: due.elapsed(),
        is_stale: version.as_ref().is_ok_and(|version| *version < least),
        is_failed: version.is_err(),
    }
}

async fn query(database: Arc<Database>, key: u64) -> u64 {
    database.loads.fetch_add(1, Ordering::SeqCst);
    let running = database.running.fetch_add(1, Ordering::SeqCst) + 1;
    database.most.fetch_max(running, Ordering::SeqCst);
    let version = database.rows[key as usize].version.load(Ordering::SeqCst);
    tokio::time::sleep(QUERY).await;
    database.running.fetch_sub(1, Ordering::SeqCst);
    version
}

async fn write(contestant: Contestant, database: Arc<Database>, seed: u64) {
    let mut random = SmallRng::seed_from_u64(!seed);
    let Ok(popular) = Zipf::new(ROWS as f64, 0.99) else { return };
    while !database.over.load(Ordering::SeqCst) {
        tokio::time::sleep(CHANGE.mul_f64(random.random_range(0.5..1.5))).await;
        let key = popular.sample(&mut random) as u64 - 1;
        let row = &database.rows[key as usize];
        let version = row.version.fetch_add(1, Ordering::SeqCst) + 1;
        if contestant.invalidate(key).await.unwrap_or(false) {
            row.finished.fetch_max(version, Ordering::SeqCst);
        }
    }
}
