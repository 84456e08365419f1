//! Reads, loads and invalidations of one process, against a node inside it.

use super::builder::LocalOptions;
use super::load::Loaded;
use super::metrics::Event;
use super::{Cache, Durability, Freshness, Origin, StaleReason};
use crate::{Endpoints, Error, Net};
use larder_server::Node;
use larder_server::config::DirectiveOptions;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Numbers = Cache<u64, u64>;

async fn net() -> Net {
    let node = Arc::new(Node::builder().threads(1).start().expect("a node starts"));
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await;
    net.expect("a node in the process can be reached")
}

/// A database that counts its queries.
#[derive(Clone, Default)]
struct Database {
    queries: Arc<AtomicU64>,
    value: Arc<AtomicU64>,
}

impl Database {
    async fn read(&self, delay_ms: u64) -> Result<Option<u64>, std::io::Error> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        Ok((value > 0).then_some(value))
    }

    fn queries(&self) -> u64 {
        self.queries.load(Ordering::SeqCst)
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

#[tokio::test]
async fn a_value_is_loaded_once_and_found_after_that() {
    let net = net().await;
    let cache: Numbers = net.cache("numbers").build();
    let database = Database::default();
    database.set(7);
    for _ in 0..5 {
        assert_eq!(get(&cache, &database, 1).await, Some(7));
    }
    assert_eq!(database.queries(), 1);
    let found = cache.fetch(&1, fails).detail().await.unwrap();
    assert_eq!(found.freshness, Freshness::Fresh);
    assert!(matches!(found.origin, Origin::Node(node) if node.is_primary));
    assert_eq!(cache.stats().of(Event::Load), 1);
    assert_eq!(cache.stats().hits(), 5);
    // The same name in another namespace is another value.
    let other: Numbers = net.cache("others").build();
    assert_eq!(get(&other, &database, 1).await, Some(7));
    assert_eq!(database.queries(), 2);
}

#[tokio::test]
async fn concurrent_readers_share_one_load() {
    let cache: Numbers = net().await.cache("numbers").build();
    let database = Database::default();
    database.set(7);
    let readers: Vec<_> = (0..200)
        .map(|_| {
            let (cache, database) = (cache.clone(), database.clone());
            let load = move |_| async move { database.read(30).await };
            tokio::spawn(async move { cache.fetch(&1, load).await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap().as_deref(), Some(&7));
    }
    assert_eq!(database.queries(), 1);
}

#[tokio::test]
async fn nothing_is_remembered_apart_from_missing() {
    let cache: Numbers =
        net().await.cache("numbers").negative_ttl(Duration::from_millis(1000)).build();
    let database = Database::default();
    assert_eq!(get(&cache, &database, 1).await, None);
    database.set(7);
    assert_eq!(get(&cache, &database, 1).await, None);
    assert_eq!((database.queries(), cache.stats().of(Event::NegativeHit)), (1, 1));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(get(&cache, &database, 1).await, Some(7));
}

#[tokio::test]
async fn an_invalidation_refuses_what_was_loaded_before_it() {
    let cache: Numbers = net().await.cache("numbers").build();
    let database = Database::default();
    database.set(1);
    let slow = {
        let (cache, database) = (cache.clone(), database.clone());
        tokio::spawn(async move {
            cache.fetch(&1, move |_| async move { database.read(600).await }).await
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ((), done) = cache
        .after_commit(&1, async {
            database.set(2);
            Ok::<(), Error>(())
        })
        .await
        .unwrap();
    assert!(!done.is_queued && done.token.is_some());
    assert_eq!(get(&cache, &database, 1).await, Some(2));
    // It began before: either is right for it. But it must not have stored the old one.
    assert!(slow.await.unwrap().unwrap().is_some());
    assert_eq!(get(&cache, &database, 1).await, Some(2));
    assert_eq!(cache.stats().of(Event::FillRefused), 1);
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
async fn stale_values_stand_in_for_a_database_that_fails_or_is_slow() {
    let cache: Numbers = net()
        .await
        .cache("numbers")
        .ttl(super::ttl::Ttl::fixed(Duration::from_millis(100)))
        .throttle(Duration::from_secs(60))
        .soft_timeout(Some(Duration::from_millis(50)))
        .early(0.0)
        .build();
    let database = Database::default();
    database.set(7);
    assert_eq!(get(&cache, &database, 1).await, Some(7));
    tokio::time::sleep(Duration::from_millis(150)).await;
    let stale = cache.fetch(&1, fails).detail().await.unwrap();
    assert_eq!(stale.value.as_deref(), Some(&7));
    assert!(
        matches!(stale.freshness, Freshness::Stale { reason: StaleReason::Failed, .. }),
        "{stale:?}"
    );
    let throttled = cache.fetch(&1, fails).detail().await.unwrap();
    assert!(matches!(throttled.freshness, Freshness::Stale { reason: StaleReason::Throttled, .. }));
    assert_eq!(cache.stats().of(Event::Load), 2);
    // A hard invalidation takes the stale value too, and the throttle with it.
    cache.invalidate(&1).await;
    assert!(matches!(cache.fetch(&1, fails).await, Err(Error::Loader(_))));

    assert_eq!(get(&cache, &database, 2).await, Some(7));
    tokio::time::sleep(Duration::from_millis(150)).await;
    database.set(8);
    let slow = {
        let database = database.clone();
        cache.fetch(&2, move |_| async move { database.read(300).await }).detail().await.unwrap()
    };
    assert!(matches!(slow.freshness, Freshness::Stale { reason: StaleReason::Slow, .. }));
    let loading = cache.fetch(&2, fails).detail().await.unwrap();
    assert!(matches!(loading.freshness, Freshness::Stale { .. }), "{loading:?}");
    // The load went on and stored.
    tokio::time::sleep(Duration::from_millis(350)).await;
    let name = cache.inner.store.names.value(&2_u64);
    let found = cache.inner.store.get(&name, crate::Target::Primary, false).await.unwrap();
    let (value, _) = cache.inner.decode(&found.unwrap()).unwrap();
    assert_eq!(value.as_deref(), Some(&8));
}

#[tokio::test]
async fn loads_have_an_end_and_their_panics_are_errors() {
    let cache: Numbers =
        net().await.cache("numbers").hard_timeout(Duration::from_millis(100)).build();
    let database = Database::default();
    let slow = {
        let database = database.clone();
        cache.fetch(&1, move |_| async move { database.read(10_000).await }).await
    };
    assert!(matches!(slow, Err(Error::LoaderTimeout(_))));
    let boom = |_| async { panic!("boom") as Result<Option<u64>, Error> };
    assert!(matches!(cache.fetch(&1, boom).await, Err(Error::LoaderPanic)));
    database.set(3);
    assert_eq!(get(&cache, &database, 1).await, Some(3), "the lease was given back");
}

#[tokio::test]
async fn tags_take_their_values_away() {
    let net = net().await;
    let cache: Numbers = net.cache("numbers").build();
    let other: Numbers = net.cache("numbers").build();
    let database = Database::default();
    let get = async |cache: &Numbers, key: u64| {
        let database = database.clone();
        let load = move |_| async move {
            let value = database.read(0).await?.unwrap();
            Ok::<_, std::io::Error>(
                Loaded::new(value).tags([format!("t{}", key % 2), "all".into()]),
            )
        };
        *cache.fetch(&key, load).await.unwrap().unwrap()
    };
    database.set(1);
    for key in 0..4 {
        assert_eq!(get(&cache, key).await, 1);
        assert_eq!(get(&other, key).await, 1);
    }
    assert_eq!(database.queries(), 4);
    database.set(2);
    cache.drop_tag("t1").await;
    for (key, value) in [(0, 1), (1, 2), (2, 1), (3, 2)] {
        assert_eq!(get(&other, key).await, value);
        assert_eq!(get(&cache, key).await, value);
    }
    cache.clear().await;
    for key in 0..4 {
        assert_eq!(get(&other, key).await, 2);
    }
}

#[tokio::test]
async fn fences_keep_out_what_a_lagging_database_gives() {
    let cache: Numbers = net().await.cache("numbers").build();
    let database = Database::default();
    database.set(1);
    cache.invalidate(&1).hold_off(Duration::from_millis(1000)).await;
    assert_eq!(get(&cache, &database, 1).await, Some(1));
    assert_eq!(get(&cache, &database, 1).await, Some(1));
    assert_eq!(database.queries(), 2, "nothing was stored");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    get(&cache, &database, 1).await;
    get(&cache, &database, 1).await;
    assert_eq!(database.queries(), 3);

    let versioned = async |version: u64| {
        let load =
            move |_| async move { Ok::<_, std::io::Error>(Loaded::new(version).version(version)) };
        *cache.fetch(&2, load).await.unwrap().unwrap()
    };
    cache.invalidate(&2).min_version(5).await;
    assert_eq!(versioned(4).await, 4);
    assert_eq!(versioned(5).await, 5, "version 4 was not stored");
    assert_eq!(versioned(6).await, 5, "version 5 was");
}

#[tokio::test]
async fn soft_invalidations_leave_a_stale_value() {
    let cache: Numbers = net().await.cache("numbers").build();
    let database = Database::default();
    database.set(1);
    get(&cache, &database, 1).await;
    cache.invalidate(&1).soft().await;
    let stale = cache.fetch(&1, fails).detail().await.unwrap();
    assert!(matches!(stale.freshness, Freshness::Stale { reason: StaleReason::Failed, .. }));
}

#[tokio::test]
async fn many_are_loaded_by_one_call() {
    let cache: Numbers = net().await.cache("numbers").build();
    let calls = Arc::new(AtomicU64::new(0));
    let load = |keys: Vec<u64>| {
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            let there = keys.into_iter().filter(|key| key % 2 == 0);
            Ok::<_, std::io::Error>(
                there.map(|key| (key, Some(key * 10))).collect::<HashMap<_, _>>(),
            )
        }
    };
    for _ in 0..2 {
        let found = cache.fetch_many(0..100, load).await.unwrap();
        assert_eq!(found.len(), 100);
        assert!(found.iter().all(|(key, value)| {
            value.as_deref().copied() == (key % 2 == 0).then_some(key * 10)
        }));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(cache.fetch(&4, fails).await.unwrap().as_deref(), Some(&40));
}

#[tokio::test]
async fn own_memory_follows_the_node() {
    let net = net().await;
    let near: Numbers = net.cache("numbers").local(LocalOptions::default()).build();
    let far: Numbers = net.cache("numbers").build();
    let database = Database::default();
    database.set(1);
    for _ in 0..4 {
        assert_eq!(get(&near, &database, 1).await, Some(1));
    }
    assert!(near.stats().of(Event::LocalHit) >= 1, "{:?}", near.stats());
    database.set(2);
    far.invalidate(&1).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while get(&near, &database, 1).await != Some(2) {
        assert!(tokio::time::Instant::now() < deadline, "the change was not heard of");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    near.invalidate(&1).await;
    database.set(3);
    assert_eq!(get(&near, &database, 1).await, Some(3));
}

#[tokio::test]
async fn what_is_written_through_is_found() {
    let cache: Numbers = net().await.cache("numbers").durability(Durability::Primary).build();
    let database = Database::default();
    database.set(1);
    get(&cache, &database, 1).await;
    let (value, done) = cache
        .write_through(&1, async {
            database.set(2);
            Ok::<_, std::io::Error>(Some(2))
        })
        .await
        .unwrap();
    assert!(value.as_deref() == Some(&2) && !done.is_queued);
    assert_eq!(cache.fetch(&1, fails).await.unwrap().as_deref(), Some(&2));
    // One that was overtaken takes the value away.
    let (first, second) = tokio::join!(
        cache.write_through(&1, async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::io::Error>(Some(3))
        }),
        cache.write_through(&1, async { Ok::<_, std::io::Error>(Some(4)) }),
    );
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(cache.fetch(&1, fails).await, Err(Error::Loader(_))));
}

#[tokio::test]
async fn large_values_are_given_and_not_stored() {
    let cache: Cache<str, String> = net().await.cache("texts").most_bytes(100).build();
    for _ in 0..2 {
        let load = |_| async { Ok::<_, Error>(Some("x".repeat(200))) };
        assert_eq!(cache.fetch("long", load).await.unwrap().unwrap().len(), 200);
    }
    assert_eq!((cache.stats().of(Event::Load), cache.stats().of(Event::TooLarge)), (2, 2));
}

#[tokio::test]
async fn what_cannot_be_read_is_loaded_anew() {
    let net = net().await;
    let texts: Cache<u64, String> = net.cache("numbers").build();
    texts.fetch(&1, |_| async { Ok::<_, Error>(Some("text".to_owned())) }).await.unwrap();
    let cache: Numbers = net.cache("numbers").build();
    let database = Database::default();
    database.set(5);
    assert_eq!(get(&cache, &database, 1).await, Some(5));
    assert_eq!(get(&cache, &database, 1).await, Some(5));
    assert_eq!(database.queries(), 1);
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
