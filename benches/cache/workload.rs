//! Readers and writers over a slow database, the same for every contestant.
//!
//! Each row is a version. A writer changes a row, invalidates it and says so; a reader that began
//! after that and gets an older version has read stale.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_benches::process::CpuTime;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::Result;
use crate::contestant::{Contestant, Kind, Server};

const ROWS: u64 = 500;
const PROCESSES: usize = 8;
const READERS: usize = 8;
/// What the database takes to answer.
const QUERY: Duration = Duration::from_millis(20);
/// Between two changes of one process.
const CHANGE: Duration = Duration::from_millis(20);
/// Between two reads of one reader.
const THINK: Duration = Duration::from_millis(1);

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

pub(crate) fn measure(program: &Path, round: u64, span: Duration) -> Result<()> {
    let contestants = [
        Kind::Larder,
        Kind::LarderLocal,
        Kind::Plain,
        Kind::Amalgam,
        Kind::AmalgamStrict,
        Kind::AmalgamLocal,
    ];
    for kind in contestants {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let server = Server::start(program)?;
        runtime.block_on(run(kind, &server, round, span))?;
    }
    Ok(())
}

async fn run(kind: Kind, server: &Server, round: u64, span: Duration) -> Result<()> {
    let database = Arc::new(Database {
        rows: (0..ROWS).map(|_| Row::default()).collect(),
        loads: AtomicU64::new(0),
        running: AtomicU64::new(0),
        most: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let mut contestants = Vec::new();
    for _ in 0..PROCESSES {
        contestants.push(Contestant::connect(kind, server.addr).await?);
    }
    let before = CpuTime::of(std::process::id())?;
    let mut readers = Vec::new();
    for (process, contestant) in contestants.iter().enumerate() {
        for reader in 0..READERS {
            let seed = (process * READERS + reader) as u64;
            readers.push(tokio::spawn(read(contestant.clone(), Arc::clone(&database), seed)));
        }
        tokio::spawn(write(contestant.clone(), Arc::clone(&database), process as u64));
    }
    tokio::time::sleep(span).await;
    database.over.store(true, Ordering::SeqCst);
    let (mut waits, mut stale, mut errors) = (Vec::new(), 0, 0);
    for reader in readers {
        let seen = reader.await?;
        waits.extend(seen.waits);
        stale += seen.stale;
        errors += seen.errors;
    }
    let spent = CpuTime::of(std::process::id())?.since(&before);
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
        println!("{round},workload,{},{figure},{value}", kind.name());
    }
    Ok(())
}

#[derive(Default)]
struct Seen {
    waits: Vec<u128>,
    stale: u128,
    errors: u128,
}

async fn read(contestant: Contestant, database: Arc<Database>, seed: u64) -> Seen {
    let mut random = SmallRng::seed_from_u64(seed);
    let Ok(popular) = Zipf::new(ROWS as f64, 0.99) else { return Seen::default() };
    let mut seen = Seen::default();
    while !database.over.load(Ordering::SeqCst) {
        let key = popular.sample(&mut random) as u64 - 1;
        let least = database.rows[key as usize].finished.load(Ordering::SeqCst);
        let source = Arc::clone(&database);
        let began = Instant::now();
        match contestant.read(key, move || query(source, key)).await {
            Ok(version) => seen.stale += u128::from(version < least),
            Err(_) => seen.errors += 1,
        }
        seen.waits.push(began.elapsed().as_micros());
        tokio::time::sleep(THINK).await;
    }
    seen
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
