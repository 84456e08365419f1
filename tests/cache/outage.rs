//! The cache is killed under load, stopped, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use larder_client::cache::Durability;
use larder_client::cache::metrics::Event;
use larder_client::{Cache, Error};

use crate::database::Rows;
use crate::site::{MAKES, Site};

const ROWS: usize = 40;
const LIMIT: usize = 4;
const PROCESSES: usize = 3;
const READERS: usize = 20;

type Versions = Cache<u64, u64>;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

async fn read(cache: &Versions, rows: &Arc<Rows>, row: usize) -> Result<u64, Error> {
    let rows = Arc::clone(rows);
    let load = move |_| async move {
        let version = rows.read(row, Duration::from_millis(2), Duration::from_millis(2)).await;
        Ok::<_, Error>(Some(version))
    };
    Ok(cache.fetch(&(row as u64), load).await?.as_deref().copied().unwrap_or_default())
}

/// Loads under a lease, of all processes.
fn shared(caches: &[Versions]) -> u64 {
    let one = |cache: &Versions| {
        let stats = cache.stats();
        stats.of(Event::Load).saturating_sub(stats.of(Event::LoadUnshared))
    };
    caches.iter().map(one).sum()
}

#[test]
fn a_cache_that_is_killed_under_load_costs_no_reader_anything() {
    for make in MAKES {
        let mut site = Site::single(make);
        let rows = Rows::new(ROWS);
        let over = Arc::new(AtomicBool::new(false));
        let reads = Arc::new(AtomicU64::new(0));
        runtime().block_on(async {
            let mut caches = Vec::new();
            let mut tasks = Vec::new();
            for _ in 0..PROCESSES {
                let cache: Versions = site.net().await.cache("outage").loads(LIMIT).build();
                for _ in 0..READERS {
                    let (cache, rows) = (cache.clone(), Arc::clone(&rows));
                    let (over, reads) = (Arc::clone(&over), Arc::clone(&reads));
                    tasks.push(tokio::spawn(async move {
                        while !over.load(Ordering::SeqCst) {
                            let row = fastrand::usize(..ROWS);
                            read(&cache, &rows, row).await.expect("no reader fails");
                            reads.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }));
                }
                caches.push(cache);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(shared(&caches) <= ROWS as u64, "{} loads", shared(&caches));
            site.nodes[0].signal("KILL");
            site.nodes[0].wait_exit();
            let (killed, asked) = (reads.load(Ordering::SeqCst), rows.loads());
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let (down, asked) = (reads.load(Ordering::SeqCst), rows.loads() - asked);
            assert!(caches.iter().all(Cache::is_down));
            assert!(down > killed, "readers went on");
            tokio::task::block_in_place(|| site.nodes[0].restart());
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            while caches.iter().any(Cache::is_down) {
                assert!(tokio::time::Instant::now() < deadline, "the cache is not used again");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // It is empty. Each row is loaded once more, by one of the processes, beside the loads
            // that readers already waited for: the database has less to do than before.
            let before = rows.loads();
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let after = rows.loads() - before;
            println!("{make:?}: {asked} loads in 1.5 s without the cache, {after} with it again");
            assert!(shared(&caches) <= 2 * ROWS as u64, "{} loads", shared(&caches));
            assert!(after < asked / 4, "{after} loads with an empty cache, {asked} without it");
            assert!(reads.load(Ordering::SeqCst) > down, "readers went on");
            over.store(true, Ordering::SeqCst);
            for task in tasks {
                task.await.expect("a reader");
            }
        });
        assert!(rows.most() <= (PROCESSES * LIMIT) as u64, "{} loads at once", rows.most());
        println!("{make:?}: {} reads, {} loads", reads.load(Ordering::SeqCst), rows.loads());
    }
}

#[test]
fn an_invalidation_that_cannot_be_made_is_made_later() {
    for make in MAKES {
        let site = Site::single(make);
        let rows = Rows::new(1);
        runtime().block_on(async {
            let mine: Versions = site.net().await.cache("owed").build();
            let theirs: Versions = site.net().await.cache("owed").build();
            assert_eq!(read(&mine, &rows, 0).await.expect("a value"), 1);
            site.nodes[0].signal("STOP");
            let change = async { Ok::<u64, Error>(rows.change(0)) };
            let (version, done) = mine.after_commit(&0, change).await.expect("a change");
            assert!(version == 2 && done.is_queued);
            // The cache still has the old one; who knows better does not take it.
            site.nodes[0].signal("CONT");
            assert_eq!(read(&mine, &rows, 0).await.expect("a value"), 2);
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            while read(&theirs, &rows, 0).await.expect("a value") != 2 {
                assert!(tokio::time::Instant::now() < deadline, "it was never made");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(mine.stats().of(Event::Queued), 1);
        });
    }
}

#[test]
fn an_invalidation_that_a_failover_undid_is_made_again() {
    for make in MAKES {
        let site = Site::pair(make);
        let rows = Rows::new(1);
        runtime().block_on(async {
            let mine: Versions =
                site.net().await.cache("undone").durability(Durability::Primary).build();
            let theirs: Versions = site.net().await.cache("undone").build();
            assert_eq!(read(&mine, &rows, 0).await.expect("a value"), 1);
            let net = site.net().await;
            assert_eq!(net.wait_replicas(1, Duration::from_secs(20)).await.expect("an answer"), 1);
            // The replica no longer hears of anything, and keeps what it has.
            tokio::task::block_in_place(|| site.run(1, "REPLICAOF NO ONE"));
            let change = async { Ok::<u64, Error>(rows.change(0)) };
            let (_, done) = mine.after_commit(&0, change).await.expect("a change");
            assert!(!done.is_queued);
            assert_eq!(theirs.stats().of(Event::Failover), 0);
            tokio::task::block_in_place(|| {
                site.follow(0, 1);
                site.wait_in_sync(0);
            });
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            let counts = || theirs.stats().of(Event::Failover);
            while read(&theirs, &rows, 0).await.expect("a value") != 2 || counts() == 0 {
                assert!(tokio::time::Instant::now() < deadline, "it was never made again");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let stats = mine.stats();
            // The promoted one may have been taken for the primary before it was asked.
            assert!(stats.of(Event::Replayed) >= 1 || rows.loads() == 2, "{stats:?}");
        });
    }
}
