//! What a server under a memory limit keeps, and how well it keeps to the limit.
//!
//! Miss ratio: an application's cache pattern (GET, and SET upon a miss) over keys of Zipf
//! popularity. Under the same `maxmemory`, as users would set it, a server that needs less
//! per key also keeps more; with the limit tuned until all keep the same number of keys,
//! only the choice of victims is left to differ. Both are measured.
//!
//! One connection, and the same sequence of keys for every server. GETs go out 32 at a time:
//! a key that is missed twice within a batch counts twice and is set once, for all alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use larder_benches::connection::Connection;
use larder_benches::load::{self, Load, Window};
use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::scanner::Outcome;
use larder_benches::{Error, Result, process};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};

use crate::options::Options;
use crate::throughput;

/// Number of different keys asked for.
const UNIVERSE: u64 = 1_000_000;

/// YCSB's skew.
const EXPONENT: f64 = 0.99;

/// Holds some 15 to 20 % of the universe, depending on what a server needs per key.
const MEMORY: u64 = 32 * 1024 * 1024;

/// Keys that stay when the limit is tuned.
const TARGET_KEYS: u64 = 150_000;

/// Reads before misses count; several times what fills the cache.
const WARMUP: u64 = 2_000_000;

/// Reads whose misses count.
const MEASURED: u64 = 2_000_000;

/// Steps of tuning, spread over the second half of the warm-up.
const TUNING_STEPS: u64 = 8;

const BATCH: usize = 32;

/// How victims are chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    /// `allkeys-lru`.
    Lru,
    /// `allkeys-lfu`.
    Lfu,
}

/// What is the same for all servers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cap {
    /// The limit in bytes.
    Memory,
    /// The number of keys that stay.
    Keys,
}

/// Miss ratio under the policy.
pub(crate) fn measure(
    server: &Server,
    policy: Policy,
    cap: Cap,
    round: u32,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let mut link = server.connect()?;
    let base = link.used_memory()?;
    let name = match policy {
        Policy::Lru => "allkeys-lru",
        Policy::Lfu => "allkeys-lfu",
    };
    link.ask(&["CONFIG", "SET", "maxmemory-policy", name])?;
    let mut cache = Cache::new(link, options.scaled(UNIVERSE), u64::from(round))?;
    let warmup = options.scaled(WARMUP);
    let limit = match cap {
        Cap::Memory => {
            // Scaled around the empty server's needs, so that a small trial still evicts.
            let limit = base + options.scaled(MEMORY.saturating_sub(base).max(1));
            cache.limit(limit)?;
            cache.read(warmup)?;
            limit
        }
        Cap::Keys => cache.tune(base, options.scaled(TARGET_KEYS), warmup)?,
    };
    let reads = options.scaled(MEASURED);
    let misses = cache.read(reads)?;
    let resident = cache.resident()?;
    Ok(vec![
        (Metric::Ops, reads as f64),
        (Metric::Maxmemory, limit as f64),
        (Metric::ResidentKeys, resident as f64),
        (Metric::MissRatio, misses as f64 / reads as f64),
    ])
}

/// An application that reads through the server.
struct Cache {
    link: Connection,
    get: Request,
    set: Request,
    popularity: Zipf<f64>,
    rng: SmallRng,
}

impl Cache {
    fn new(link: Connection, universe: u64, seed: u64) -> Result<Self> {
        let popularity = Zipf::new(universe as f64, EXPONENT)
            .map_err(|error| Error::Usage(format!("Zipf: {error}")))?;
        Ok(Self {
            link,
            get: Request::new(&["GET", "key:############"]),
            set: Request::new(&["SET", "key:############", &"v".repeat(100)]),
            popularity,
            rng: SmallRng::seed_from_u64(seed),
        })
    }

    fn limit(&mut self, bytes: u64) -> Result<()> {
        self.link.ask(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]).map(drop)
    }

    fn resident(&mut self) -> Result<u64> {
        self.link.ask_number(&["DBSIZE"])
    }

    /// `count` reads, rounded up to whole batches; returns the number of misses.
    fn read(&mut self, count: u64) -> Result<u64> {
        let mut misses = 0;
        let mut requests = Vec::new();
        let mut keys = [0; BATCH];
        let mut missed: Vec<u64> = Vec::with_capacity(BATCH);
        for _ in 0..count.div_ceil(BATCH as u64) {
            requests.clear();
            for key in &mut keys {
                *key = self.popularity.sample(&mut self.rng) as u64;
                self.get.append_numbered(*key, &mut requests);
            }
            missed.clear();
            let mut asked = keys.iter();
            self.link.exchange(&requests, BATCH, |outcome| {
                let key = asked.next();
                if outcome == Outcome::Null {
                    missed.extend(key);
                }
            })?;
            misses += missed.len() as u64;
            missed.sort_unstable();
            missed.dedup();
            requests.clear();
            for key in &missed {
                self.set.append_numbered(*key, &mut requests);
            }
            self.link.load(&requests, missed.len(), "get-else-set")?;
        }
        Ok(misses)
    }

    /// Finds the limit under which `target` keys stay, within about `reads` reads: fill
    /// without a limit up to the target, take the memory used as the first guess, correct
    /// it by the number of keys that did stay.
    fn tune(&mut self, base: u64, target: u64, reads: u64) -> Result<u64> {
        let step = (reads / (2 * TUNING_STEPS)).max(1);
        // The first half of the warm-up fills; far fewer reads do if the target is small.
        for _ in 0..8 * TUNING_STEPS {
            if self.resident()? >= target {
                break;
            }
            self.read(step / 8)?;
        }
        let mut limit = self.link.used_memory()?;
        self.limit(limit)?;
        for _ in 0..TUNING_STEPS {
            self.read(step)?;
            let resident = self.resident()?.max(1);
            let keys_bytes = limit.saturating_sub(base) as f64;
            limit = base + (keys_bytes * target as f64 / resident as f64) as u64;
            self.limit(limit)?;
        }
        self.read(step)?;
        Ok(limit)
    }
}

/// The limit of the overshoot workload.
const FLOOD_LIMIT: u64 = 100 * 1024 * 1024;

/// Sizes of the values written. Mixed, as the memory one victim frees and one write needs
/// then differ.
const FLOOD_SIZES: [usize; 6] = [16, 4096, 64, 1024, 256, 2048];

/// Keys written are drawn from so many: several times what fits.
const FLOOD_KEYS: u64 = 2_000_000;

/// How long writes go on once the limit must have been reached.
const FLOOD_MEASURED: Duration = Duration::from_secs(5);

/// Fills a hundred megabytes at any plausible rate.
const FLOOD_WARMUP: Duration = Duration::from_secs(2);

const FLOOD_SAMPLE: Duration = Duration::from_millis(2);

/// How far a flood of writes pushes the server over its limit.
pub(crate) fn overshoot(
    server: &Server,
    round: u32,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let mut link = server.connect()?;
    link.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
    link.ask(&["CONFIG", "SET", "maxmemory", &FLOOD_LIMIT.to_string()])?;
    let requests: Vec<Request> = FLOOD_SIZES
        .iter()
        .map(|size| Request::new(&["SET", "key:############", &"v".repeat(*size)]))
        .collect();
    let flood = Load { clients: 8, pipeline: 30, resp3: false, requests, keyspace: FLOOD_KEYS };
    let window =
        Window { warmup: FLOOD_WARMUP, measured: FLOOD_MEASURED.mul_f64(options.scale.min(1.0)) };

    let over = AtomicBool::new(false);
    let (outcome, highest) = thread::scope(|scope| {
        let sampler = scope.spawn(|| highest_used(&mut link, &over));
        let seed = u64::from(round);
        let outcome = load::run(server.address, server.pid(), &flood, window, 1, seed);
        over.store(true, Ordering::Relaxed);
        (outcome, sampler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let outcome = outcome?;
    if let Some(reply) = outcome.first_error {
        return Err(Error::Reply { command: "write flood".into(), reply });
    }
    let limit = FLOOD_LIMIT as f64;
    let highest = highest? as f64;
    let mut figures = throughput::figures(&outcome);
    figures.extend([
        (Metric::Maxmemory, limit),
        (Metric::Overshoot, highest / limit),
        (Metric::RssOverLimit, process::resident(server.pid())? as f64 / limit),
    ]);
    Ok(figures)
}

/// Samples `used_memory` until told that the flood is over.
fn highest_used(link: &mut Connection, over: &AtomicBool) -> Result<u64> {
    let mut highest = 0;
    // The flag ends it; the count only bounds it should the flag never come.
    for _ in 0..100_000 {
        if over.load(Ordering::Relaxed) {
            break;
        }
        highest = highest.max(link.used_memory()?);
        thread::sleep(FLOOD_SAMPLE);
    }
    Ok(highest)
}
