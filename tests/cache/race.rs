//! Invalidations racing loads: no reader ever gets what is older than an invalidation that was
//! finished before it began.
//!
//! Rows are versions. Writers change a row, invalidate, and then say that it is finished; readers note
//! what was finished before they begin and compare. Times are drawn at random, so is who does what.
//! `LARDER_RACE_SECONDS` sets how long each site runs, `LARDER_RACE_SEED` the seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_client::cache::Durability;
use larder_client::cache::load::Loaded;
use larder_client::{Cache, Error, Net, Target};
use tokio::task::JoinHandle;

use crate::database::Rows;
use crate::site::{MAKES, Make, Site};

const KEYS: usize = 6;
const PROCESSES: usize = 4;
const TASKS: usize = 6;

type Versions = Cache<u64, u64>;

/// What there is beside readers and writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// The nodes change places, in agreement.
    Handover,
    /// The replica is made the primary, whatever it has.
    Promotion,
}

/// Readers and writers of the same rows, and what they found.
pub(crate) struct Race {
    rows: Arc<Rows>,
    over: AtomicBool,
    reads: AtomicU64,
    invalidations: AtomicU64,
    durability: Durability,
}

fn span() -> Duration {
    let seconds = std::env::var("LARDER_RACE_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(3))
}

/// Where the draws begin.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("LARDER_RACE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LARDER_RACE_SEED={seed}");
    seed
}

fn run(make: Make, trouble: Trouble) {
    let seed = seed();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let site = if trouble == Trouble::Nothing { Site::single(make) } else { Site::pair(make) };
    let durability = match trouble {
        Trouble::Nothing => Durability::Primary,
        _ => Durability::Replicas { count: 1, timeout: Duration::from_millis(500) },
    };
    let race = runtime.block_on(async {
        let mut nets = Vec::new();
        for _ in 0..PROCESSES {
            nets.push(site.net().await);
        }
        let end = Instant::now() + span();
        let trouble = |_: &Race| {
            std::thread::sleep(Duration::from_millis(700));
            change_places(&site, trouble);
            Instant::now() < end
        };
        Race::run(&nets, TASKS, durability, seed, trouble).await
    });
    println!("{make:?}, {trouble:?}: {}", race.told());
}

impl Race {
    /// Lets all run for as long as `trouble`, which is called again and again, says.
    pub(crate) async fn run(
        nets: &[Net],
        tasks_each: usize,
        durability: Durability,
        seed: u64,
        mut trouble: impl FnMut(&Self) -> bool,
    ) -> Arc<Self> {
        let race = Arc::new(Self {
            rows: Rows::new(KEYS),
            over: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
            durability,
        });
        let mut tasks = Vec::new();
        for (process, net) in nets.iter().enumerate() {
            let cache: Versions = net
                .cache("race")
                .ttl(Duration::from_millis(300))
                .durability(durability)
                .hard_timeout(Duration::from_millis(500))
                .build();
            for task in 0..tasks_each {
                let number = (process * tasks_each + task) as u64;
                let random = fastrand::Rng::with_seed(seed ^ number);
                tasks.push(tokio::spawn(Arc::clone(&race).act(cache.clone(), random)));
            }
        }
        let goes_on = |tasks: &[JoinHandle<()>]| !tasks.iter().any(JoinHandle::is_finished);
        while tokio::task::block_in_place(|| trouble(&race)) && goes_on(&tasks) {}
        race.over.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.expect("no reader found anything wrong");
        }
        // What is stored is right too, when all is quiet.
        let cache: Versions = nets[0].cache("race").build();
        for key in 0..KEYS {
            let found =
                race.read(&cache, key, Target::Primary, Duration::ZERO, Duration::ZERO).await;
            found.expect("a database that answers");
        }
        let (reads, invalidations) = (race.reads(), race.invalidations.load(Ordering::SeqCst));
        assert!(reads > 100 && invalidations > 10, "{reads} {invalidations}");
        race
    }

    /// Reads that were judged so far.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// What happened, in a line.
    pub(crate) fn told(&self) -> String {
        format!(
            "{} reads, {} invalidations finished, {} loads",
            self.reads(),
            self.invalidations.load(Ordering::SeqCst),
            self.rows.loads()
        )
    }

    async fn act(self: Arc<Self>, cache: Versions, mut random: fastrand::Rng) {
        while !self.over.load(Ordering::SeqCst) {
            let key = random.usize(..KEYS);
            let (before, after) = (moment(&mut random), moment(&mut random));
            match random.u32(..10) {
                0 | 1 => self.write(&cache, key, random.bool(), before).await,
                2 => {
                    // What is dropped half way must not harm anybody.
                    let read = self.read(&cache, key, Target::Primary, before, after);
                    let _ =
                        tokio::time::timeout(Duration::from_micros(random.u64(..2000)), read).await;
                }
                choice => {
                    let (_, token) = self.rows.finished(key);
                    let target = match (choice, token) {
                        (3..6, Some(token)) => Target::After(token),
                        _ => Target::Primary,
                    };
                    let read = self.read(&cache, key, target, before, after).await;
                    read.expect("a database that answers");
                }
            }
        }
    }

    async fn read(
        &self,
        cache: &Versions,
        key: usize,
        target: Target,
        before: Duration,
        after: Duration,
    ) -> Result<(), Error> {
        let least = self.rows.finished(key).0;
        let rows = Arc::clone(&self.rows);
        let load = move |_| async move {
            let version = rows.read(key, before, after).await;
            Ok::<_, Error>(Loaded::new(version).tags([format!("row{key}")]))
        };
        let found = cache.fetch(&(key as u64), load).target(target).detail().await?;
        let version = found.value.as_deref().copied().unwrap_or_default();
        assert!(
            version >= least,
            "row {key}: {version} although {least} was finished; {target:?}, {:?}, {:?}",
            found.origin,
            found.freshness
        );
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn write(&self, cache: &Versions, key: usize, by_tag: bool, time: Duration) {
        let done = if by_tag {
            tokio::time::sleep(time).await;
            let version = self.rows.change(key);
            (version, cache.drop_tag(&format!("row{key}")).await)
        } else {
            let change = async {
                tokio::time::sleep(time).await;
                Ok::<u64, Error>(self.rows.change(key))
            };
            cache.after_commit(&(key as u64), change).await.expect("a change that is made")
        };
        let (version, done) = done;
        let is_safe = match self.durability {
            Durability::Replicas { count, .. } => done.replicas >= Some(count),
            _ => true,
        };
        if !done.is_queued && is_safe {
            self.invalidations.fetch_add(1, Ordering::SeqCst);
            self.rows.finish(key, version, done.token);
        }
    }
}

fn moment(random: &mut fastrand::Rng) -> Duration {
    match random.u32(..4) {
        0 => Duration::ZERO,
        _ => Duration::from_micros(random.u64(..3000)),
    }
}

fn change_places(site: &Site, trouble: Trouble) {
    if trouble == Trouble::Nothing {
        return;
    }
    let primary = usize::from(site.nodes[0].info("role") != "master");
    let replica = 1 - primary;
    match trouble {
        Trouble::Nothing => {}
        Trouble::Handover => {
            // Refused while the replica is not in sync; then they change places the next time.
            site.run(primary, "FAILOVER TIMEOUT 2000");
        }
        Trouble::Promotion => {
            site.run(replica, "REPLICAOF NO ONE");
            site.follow(primary, replica);
            site.wait_in_sync(primary);
        }
    }
}

#[test]
fn readers_never_see_what_was_invalidated_before_they_began() {
    for make in MAKES {
        run(make, Trouble::Nothing);
    }
}

#[test]
fn nor_while_the_nodes_change_places() {
    for make in MAKES {
        run(make, Trouble::Handover);
    }
}

#[test]
fn nor_while_replicas_are_promoted() {
    for make in MAKES {
        run(make, Trouble::Promotion);
    }
}
