//! What needs a look inside, or no server at all; what readers get is tested against every make of
//! server, in `tests/cache`.

use super::Cache;
use super::builder::LocalOptions;
use crate::{Endpoints, Error, Net};
use larder_server::Node;
use larder_server::config::DirectiveOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Numbers = Cache<u64, u64>;

async fn net() -> Net {
    let node = Arc::new(Node::builder().threads(1).start().expect("a node starts"));
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await;
    net.expect("a node in the process can be reached")
}

/// A database of one number.
#[derive(Clone, Default)]
struct Database {
    value: Arc<AtomicU64>,
}

impl Database {
    async fn read(&self, delay_ms: u64) -> Result<Option<u64>, std::io::Error> {
        let value = self.value.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        Ok((value > 0).then_some(value))
    }

    fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }
}

async fn get(cache: &Numbers, database: &Database, key: u64) -> Option<u64> {
    let database = database.clone();
    let value = cache.fetch(&key, move |_| async move { database.read(0).await });
    value.await.expect("a database that answers").map(|value| *value)
}

async fn fails(_: super::load::LoadContext<u64, u64>) -> Result<Option<u64>, std::io::Error> {
    Err(std::io::Error::other("the database is down"))
}

/// What a subscriber writes down.
#[derive(Clone, Default)]
struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_loader_says_is_said_in_the_span_of_its_load() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let cache: Numbers = net().await.cache("numbers").build();
    let load = |_| async {
        tracing::info!("asked the database");
        Ok::<_, std::io::Error>(Some(7))
    };
    for _ in 0..2 {
        assert_eq!(cache.fetch(&1, load).await.unwrap().as_deref(), Some(&7));
    }
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("asked the database")).collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(said[0].contains("load{namespace=\"numbers\"}"), "{log}");
}

#[tokio::test]
async fn who_joins_after_an_invalidation_does_not_get_what_was_read_before_it() {
    let cache: Numbers = net().await.cache("numbers").build();
    let database = Database::default();
    database.set(1);
    let first = {
        let (cache, database) = (cache.clone(), database.clone());
        tokio::spawn(async move {
            cache.fetch(&1, move |_| async move { database.read(600).await }).await
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    database.set(2);
    // As another process does it: this one's own flights know nothing of it.
    let name = cache.inner.store.names.value(&1_u64);
    let lease = super::key::lease(&name);
    cache.inner.store.net.write(&[b"DEL", &name, &lease]).await.unwrap();
    assert_eq!(get(&cache, &database, 1).await, Some(2));
    assert_eq!(first.await.unwrap().unwrap().as_deref(), Some(&1));
}

#[tokio::test]
async fn the_last_handle_of_a_cache_ends_its_tasks() {
    let net = net().await;
    let cache: Numbers = net.cache("numbers").local(LocalOptions::default()).build();
    let database = Database::default();
    database.set(1);
    get(&cache, &database, 1).await;
    cache.invalidate(&1).await;
    let inner = Arc::downgrade(&cache.inner);
    drop(cache);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while inner.strong_count() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "something still holds it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn without_a_cache_loads_go_on_within_their_limit() {
    let net = Net::builder().endpoints(Endpoints::single("127.0.0.1:1").unwrap()).start().unwrap();
    let cache: Numbers = net.cache("numbers").loads(3).build();
    let running = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..60)
        .map(|key| {
            let (cache, running, most) = (cache.clone(), Arc::clone(&running), Arc::clone(&most));
            let load = move |_| async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Error>(Some(key))
            };
            tokio::spawn(async move { cache.fetch(&key, load).await })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap().unwrap().is_some());
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(cache.is_down());
    let done = cache.invalidate(&1).await;
    assert!(done.is_queued);
    let strict: Numbers = net.cache("numbers").fail_when_down(true).build();
    assert!(strict.fetch(&1, fails).await.unwrap_err().is_failover());
}
