//! What readers of the cache get, the same on every make of server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_client::cache::builder::{CacheBuilder, LocalOptions};
use larder_client::cache::load::{LoadContext, Loaded};
use larder_client::cache::metrics::Event;
use larder_client::cache::ttl::Ttl;
use larder_client::cache::{Durability, Freshness, Origin, StaleReason};
use larder_client::{Cache, Error, Net, Target};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::site::everywhere;

/// More than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

type Numbers = Cache<u64, u64>;

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

/// A cache that is read at the primary, since where several read a replica may be behind, and that
/// waits for a server of a loaded machine.
fn numbers<V: Send + Sync + Serialize + DeserializeOwned + 'static>(
    net: &Net,
) -> CacheBuilder<u64, V> {
    let cache = net.cache("numbers").target(Target::Primary);
    cache.read_timeout(PATIENCE).write_timeout(PATIENCE)
}

async fn get(cache: &Numbers, database: &Database, key: u64) -> Option<u64> {
    let database = database.clone();
    let value = cache.fetch(&key, move |_| async move { database.read(0).await });
    value.await.expect("a database that answers").map(|value| *value)
}

async fn fails(_: LoadContext<u64, u64>) -> Result<Option<u64>, std::io::Error> {
    Err(std::io::Error::other("the database is down"))
}

#[test]
fn a_value_is_loaded_once_and_found_after_that() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
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
    });
}

#[test]
fn concurrent_readers_share_one_load() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
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
    });
}

#[test]
fn nothing_is_remembered_apart_from_missing() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).negative_ttl(Duration::from_millis(1000)).build();
        let database = Database::default();
        assert_eq!(get(&cache, &database, 1).await, None);
        database.set(7);
        assert_eq!(get(&cache, &database, 1).await, None);
        assert_eq!((database.queries(), cache.stats().of(Event::NegativeHit)), (1, 1));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(get(&cache, &database, 1).await, Some(7));
    });
}

#[test]
fn an_invalidation_refuses_what_was_loaded_before_it() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
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
    });
}

#[test]
fn stale_values_stand_in_for_a_database_that_fails_or_is_slow() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net)
            .ttl(Ttl::fixed(Duration::from_millis(100)))
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
        assert!(matches!(
            throttled.freshness,
            Freshness::Stale { reason: StaleReason::Throttled, .. }
        ));
        assert_eq!(cache.stats().of(Event::Load), 2);
        // A hard invalidation takes the stale value too, and the throttle with it.
        cache.invalidate(&1).await;
        assert!(matches!(cache.fetch(&1, fails).await, Err(Error::Loader(_))));

        assert_eq!(get(&cache, &database, 2).await, Some(7));
        tokio::time::sleep(Duration::from_millis(150)).await;
        database.set(8);
        let slow = {
            let database = database.clone();
            cache
                .fetch(&2, move |_| async move { database.read(300).await })
                .detail()
                .await
                .unwrap()
        };
        assert!(matches!(slow.freshness, Freshness::Stale { reason: StaleReason::Slow, .. }));
        let loading = cache.fetch(&2, fails).detail().await.unwrap();
        assert!(matches!(loading.freshness, Freshness::Stale { .. }), "{loading:?}");
        // The load went on and stored.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while cache.fetch(&2, fails).await.unwrap().as_deref() != Some(&8) {
            assert!(tokio::time::Instant::now() < deadline, "the load was given up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn loads_have_an_end_and_their_panics_are_errors() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).hard_timeout(Duration::from_millis(100)).build();
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
    });
}

#[test]
fn tags_take_their_values_away() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
        let other: Numbers = numbers(&net).build();
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
    });
}

#[test]
fn fences_keep_out_what_a_lagging_database_gives() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
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
            let load = move |_| async move {
                Ok::<_, std::io::Error>(Loaded::new(version).version(version))
            };
            *cache.fetch(&2, load).await.unwrap().unwrap()
        };
        cache.invalidate(&2).min_version(5).await;
        assert_eq!(versioned(4).await, 4);
        assert_eq!(versioned(5).await, 5, "version 4 was not stored");
        assert_eq!(versioned(6).await, 5, "version 5 was");
    });
}

#[test]
fn soft_invalidations_leave_a_stale_value() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
        let database = Database::default();
        database.set(1);
        get(&cache, &database, 1).await;
        cache.invalidate(&1).soft().await;
        let stale = cache.fetch(&1, fails).detail().await.unwrap();
        assert!(matches!(stale.freshness, Freshness::Stale { reason: StaleReason::Failed, .. }));
    });
}

#[test]
fn many_are_loaded_by_one_call() {
    everywhere(async |net| {
        let cache: Numbers = numbers(&net).build();
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
    });
}

#[test]
fn many_wait_for_what_others_load() {
    everywhere(async |net| {
        let (theirs, mine): (Numbers, Numbers) = (numbers(&net).build(), numbers(&net).build());
        for (key, alone, fails_there) in [(1, 2, false), (3, 4, true)] {
            let (begins, has_begun) = tokio::sync::oneshot::channel();
            let loading = theirs.fetch(&key, move |_| async move {
                begins.send(()).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
                if fails_there { Err(std::io::Error::other("down")) } else { Ok(Some(7)) }
            });
            let asked = Mutex::new(Vec::new());
            let load = |keys: Vec<u64>| {
                asked.lock().push(keys.clone());
                async {
                    Ok::<_, Error>(keys.into_iter().map(|key| (key, Some(key * 10))).collect())
                }
            };
            let many = async {
                has_begun.await.unwrap();
                mine.fetch_many([key, alone], load).await.unwrap()
            };
            let (loaded, found) = tokio::join!(loading.into_future(), many);
            assert_eq!(
                (loaded.is_err(), found[&alone].as_deref()),
                (fails_there, Some(&(alone * 10)))
            );
            if fails_there {
                assert_eq!(*asked.lock(), [[alone], [key]]);
                let found = mine.fetch(&key, fails).await.unwrap();
                assert_eq!(found.as_deref(), Some(&(key * 10)), "it was stored");
            } else {
                assert_eq!(*asked.lock(), [[alone]]);
                assert_eq!(found[&key].as_deref(), Some(&7));
            }
        }
    });
}

#[test]
fn own_memory_follows_the_node() {
    everywhere(async |net| {
        let near: Numbers = net.cache("numbers").local(LocalOptions::default()).build();
        let far: Numbers = numbers(&net).build();
        let database = Database::default();
        database.set(1);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // What was read before the server tracks this client is not kept, nor what a replica lacks.
        while near.stats().of(Event::LocalHit) == 0 {
            assert_eq!(get(&near, &database, 1).await, Some(1));
            assert!(tokio::time::Instant::now() < deadline, "{:?}", near.stats());
        }
        assert_eq!(database.queries(), 1);
        database.set(2);
        far.invalidate(&1).await;
        while get(&near, &database, 1).await != Some(2) {
            assert!(tokio::time::Instant::now() < deadline, "the change was not heard of");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        near.invalidate(&1).await;
        database.set(3);
        assert_eq!(get(&near, &database, 1).await, Some(3));
        // All of it gone at once, which the node says of no key.
        net.command(&[b"FLUSHALL"]).await.unwrap();
        let before = database.queries();
        while database.queries() == before {
            get(&near, &database, 1).await;
            assert!(tokio::time::Instant::now() < deadline, "that was not heard of");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn what_is_written_through_is_found() {
    everywhere(async |net| {
        let durability = Durability::Replicas { count: 0, timeout: PATIENCE };
        let cache: Numbers = numbers(&net).durability(durability).build();
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
        assert!(value.as_deref() == Some(&2) && !done.is_queued && done.replicas.is_some());
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
    });
}

#[test]
fn large_values_are_given_and_not_stored() {
    everywhere(async |net| {
        let cache: Cache<str, String> =
            net.cache("texts").target(Target::Primary).most_bytes(100).build();
        for _ in 0..2 {
            let load = |_| async { Ok::<_, Error>(Some("x".repeat(200))) };
            assert_eq!(cache.fetch("long", load).await.unwrap().unwrap().len(), 200);
        }
        assert_eq!((cache.stats().of(Event::Load), cache.stats().of(Event::TooLarge)), (2, 2));
    });
}

#[test]
fn what_cannot_be_read_is_loaded_anew() {
    everywhere(async |net| {
        let texts: Cache<u64, String> = numbers(&net).build();
        texts.fetch(&1, |_| async { Ok::<_, Error>(Some("text".to_owned())) }).await.unwrap();
        let cache: Numbers = numbers(&net).build();
        let database = Database::default();
        database.set(5);
        assert_eq!(get(&cache, &database, 1).await, Some(5));
        assert_eq!(get(&cache, &database, 1).await, Some(5));
        assert_eq!(database.queries(), 1);
    });
}

#[test]
fn values_are_compressed_where_that_is_wished() {
    everywhere(async |net| {
        let packing: Cache<u64, String> = numbers(&net).compress_from(100).build();
        let load = |text: &str| {
            let text = text.to_owned();
            move |_| async move { Ok::<_, Error>(Some(text)) }
        };
        let refuse = |_| async { Err::<Option<String>, _>(Error::Disconnected) };
        let long = "all work and no play ".repeat(1000);
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(500).collect();
        let texts = [(1, &*long), (2, "xxxxxxxxxx"), (3, &*random)];
        let stored_bytes = async |key: u64| {
            let name = format!("{{numbers:{key}}}");
            let bytes = net.read(&[b"STRLEN", name.as_bytes()], Target::Primary).await.unwrap();
            usize::try_from(bytes.as_int().unwrap()).unwrap()
        };
        let plain: Cache<u64, String> = numbers(&net).build();
        for (key, text) in texts {
            packing.fetch(&key, load(text)).await.unwrap();
            let read = plain.fetch(&key, refuse).await.unwrap();
            assert_eq!(read.unwrap().as_str(), text, "who does not wish it reads it");
            let is_smaller = stored_bytes(key).await < text.len();
            assert_eq!(is_smaller, key == 1, "{key}");
        }
        plain.invalidate(&1).soft().await;
        let same = |_| async { Ok::<_, Error>(Loaded::not_modified()) };
        assert_eq!(packing.fetch(&1, same).await.unwrap().unwrap().as_str(), long);
        assert_eq!(plain.fetch(&1, refuse).await.unwrap().unwrap().as_str(), long);
        assert!(stored_bytes(1).await < long.len(), "once and not twice");
        // What would become larger than allowed is not unpacked.
        let small: Cache<u64, String> = numbers(&net).most_bytes(10_000).build();
        small.fetch(&1, load("short")).await.unwrap();
        assert_eq!(plain.fetch(&1, refuse).await.unwrap().unwrap().as_str(), "short");
        assert!(small.stats().of(Event::Undecodable) >= 1);
    });
}
