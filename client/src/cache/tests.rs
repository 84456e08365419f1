//! What needs a look inside, or no server at all; what readers get is tested against every make of
//! server, in `tests/cache`.

use super::Cache;
use super::builder::LocalOptions;
use super::load::Loaded;
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
async fn for_ever_is_a_time_like_any_other() {
    let local = LocalOptions { max_age: Duration::MAX, ..LocalOptions::default() };
    let cache: Numbers = net()
        .await
        .cache("numbers")
        .ttl(Duration::MAX)
        .negative_ttl(Duration::MAX)
        .stale_for(Duration::MAX)
        .throttle(Duration::MAX)
        .soft_timeout(Some(Duration::MAX))
        .hard_timeout(Duration::MAX)
        .lease_wait(Duration::MAX)
        .read_timeout(Duration::MAX)
        .write_timeout(Duration::MAX)
        .local(local)
        .build();
    let database = Database::default();
    database.set(7);
    for _ in 0..3 {
        assert_eq!(get(&cache, &database, 1).await, Some(7));
    }
    cache.invalidate(&1).hold_off(Duration::MAX).await;
    database.set(8);
    assert_eq!(get(&cache, &database, 1).await, Some(8));
}

#[tokio::test]
async fn a_value_with_more_tags_than_can_be_kept_is_not_stored() {
    let cache: Numbers = net().await.cache("numbers").build();
    let long = "t".repeat(1025);
    let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    for (key, tags) in [(1, many), (2, vec![long])] {
        for value in [7, 8] {
            let tags = tags.clone();
            let load = move |_| async move { Ok::<_, Error>(Loaded::new(value).tags(tags)) };
            let fetched = cache.fetch(&key, load).await.unwrap();
            assert_eq!(fetched.as_deref(), Some(&value));
        }
    }
    assert_eq!(cache.stats().of(super::metrics::Event::TooLarge), 4);
}

/// Writes nothing down.
struct Unwritten;

impl super::codec::Codec<u64> for Unwritten {
    fn id(&self) -> u8 {
        9
    }

    fn encode(&self, _: &u64, _: &mut Vec<u8>) -> Result<(), Error> {
        Err(Error::Encode("no".to_owned()))
    }

    fn decode(&self, _: &[u8]) -> Result<u64, Error> {
        Err(Error::Decode("no".to_owned()))
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_keeps_nobody_out() {
    let patient = Duration::from_secs(1000);
    let builder = net().await.cache_with("numbers", Unwritten);
    let cache: Numbers = builder.hard_timeout(patient).lease_wait(patient).build();
    let limit = Duration::from_secs(20);
    for _ in 0..2 {
        let fetched = cache.fetch(&1, |_| async { Ok::<_, Error>(Some(7)) }).into_future();
        let fetched = tokio::time::timeout(limit, fetched).await.expect("nobody else loads it");
        assert!(matches!(fetched, Err(Error::Encode(_))));
        let fetched = cache.fetch(&1, |_| async { Ok::<_, Error>(Loaded::not_modified()) });
        let fetched = tokio::time::timeout(limit, fetched.into_future()).await;
        assert!(matches!(fetched.expect("nobody else loads it"), Err(Error::Unmodified)));
    }
}

#[tokio::test]
async fn what_runs_out_while_it_is_loaded_early_is_given_meanwhile() {
    let patient = Duration::from_secs(1000);
    let cache: Numbers = net()
        .await
        .cache("numbers")
        .ttl(super::ttl::Ttl::fixed(Duration::from_secs(2)))
        .hard_timeout(patient)
        .early(f64::MAX)
        .build();
    let database = Database::default();
    database.set(7);
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let database = database.clone();
    let slow = move |_| async move { database.read(5).await };
    assert_eq!(cache.fetch(&1, slow).await.unwrap().as_deref(), Some(&7));
    let hangs = move |_| async move {
        begun.send(()).unwrap();
        std::future::pending::<Result<Option<u64>, Error>>().await
    };
    // It is fresh, and loaded early by a database that answers no more.
    assert_eq!(cache.fetch(&1, hangs).await.unwrap().as_deref(), Some(&7));
    begins.recv().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let late = cache.fetch(&1, |_| async { Ok::<_, Error>(Some(8)) }).detail();
    let late = tokio::time::timeout(Duration::from_secs(20), late).await;
    let late = late.expect("the load has no end").unwrap();
    assert_eq!(late.value.as_deref(), Some(&7));
    assert!(matches!(late.freshness, super::Freshness::Stale { .. }));
}

#[tokio::test]
async fn an_invalidation_that_is_given_up_is_made_nevertheless() {
    let node = Arc::new(Node::builder().threads(1).start().unwrap());
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await.unwrap();
    let patient = Duration::from_secs(1000);
    let cache: Numbers = net.cache("numbers").read_timeout(patient).write_timeout(patient).build();
    let database = Database::default();
    database.set(1);
    assert_eq!(get(&cache, &database, 1).await, Some(1));
    database.set(2);
    node.local().call(&[b"CLIENT", b"PAUSE", b"100000", b"WRITE"]);
    let invalidation = cache.invalidate_many([&5, &1]);
    tokio::time::timeout(Duration::from_millis(50), invalidation).await.expect_err("a pause");
    assert_eq!(get(&cache, &database, 1).await, Some(2), "what is to go is not read");
    node.local().call(&[b"CLIENT", b"UNPAUSE"]);
    let name = cache.inner.store.names.value(&1_u64);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while node.local().get(&name).is_some() {
        assert!(tokio::time::Instant::now() < deadline, "it was not made");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_invalidation_amid_a_failover_waits_to_be_made_again() {
    let node = Arc::new(
        Node::builder()
            .threads(1)
            .enable_debug_command(larder_server::config::ProtectedAction::Local)
            .start()
            .unwrap(),
    );
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await.unwrap();
    let cache: Numbers = net.cache("numbers").write_timeout(Duration::from_secs(20)).build();
    let durability = super::Durability::Replicas { count: 1, timeout: Duration::from_secs(1000) };
    let invalidating = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.invalidate(&1).durability(durability).await })
    };
    // It is made, and waits for a replica that there is none of.
    let waiting = async || {
        let clients = net.command(&[b"CLIENT", b"LIST"]).await.unwrap();
        let clients = clients.as_str().unwrap();
        let waits = clients.lines().find(|line| line.contains("cmd=wait"))?;
        Some(waits.strip_prefix("id=")?.split(' ').next()?.to_owned())
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let waiting = loop {
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        match waiting().await {
            Some(id) => break id,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let epoch = net.epoch();
    node.local().call(&[b"DEBUG", b"CHANGE-REPL-ID"]);
    assert_ne!(net.epoch_after(epoch).await, epoch);
    net.command(&[b"CLIENT", b"UNBLOCK", waiting.as_bytes()]).await.unwrap();
    assert!(invalidating.await.unwrap().is_queued);
}

#[tokio::test]
async fn another_primary_is_not_read_before_it_knows_what_was_taken_away() {
    let builder = Node::builder().threads(1);
    let allowed = larder_server::config::ProtectedAction::Local;
    let node = Arc::new(builder.enable_debug_command(allowed).start().unwrap());
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await.unwrap();
    let patient = Duration::from_secs(20);
    let cache: Numbers = net.cache("numbers").read_timeout(patient).write_timeout(patient).build();
    let database = Database::default();
    database.set(1);
    assert_eq!(get(&cache, &database, 1).await, Some(1));
    let name = cache.inner.store.names.value(&1_u64);
    let old = net.read(&[b"GET", &name], crate::Target::Primary).await.unwrap();
    let old = old.into_bytes().unwrap().unwrap();
    database.set(2);
    assert!(!cache.invalidate(&1).await.is_queued);
    // What waits cannot be made, and is tried again ever later.
    node.local().call(&[b"ACL", b"SETUSER", b"default", b"-del"]);
    assert!(cache.invalidate(&2).await.is_queued);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // A replica that had not heard of it leads.
    node.local().call(&[&b"SET"[..], &name, &old]);
    let epoch = net.epoch();
    node.local().call(&[b"DEBUG", b"CHANGE-REPL-ID"]);
    assert_ne!(net.epoch_after(epoch).await, epoch);
    assert_eq!(get(&cache, &database, 1).await, Some(2));
}

type Row = std::collections::HashMap<u64, Option<u64>>;

#[tokio::test]
async fn what_cannot_be_read_among_many_is_loaded_once() {
    let cache: Numbers = net().await.cache("numbers").build();
    let texts: Cache<u64, String> = cache.inner.store.net.cache("numbers").build();
    let load = |_| async { Ok::<_, std::io::Error>(Some("of another type".to_owned())) };
    texts.fetch(&1, load).await.unwrap();
    let loads = AtomicU64::new(0);
    let load = |_| {
        loads.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Error>(Row::from([(1, Some(7))])) }
    };
    for _ in 0..3 {
        let found = cache.fetch_many([1], load).await.unwrap();
        assert_eq!(found[&1].as_deref(), Some(&7));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_to_be_taken_away_is_not_read_among_many() {
    let node = Arc::new(Node::builder().threads(1).start().unwrap());
    let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await.unwrap();
    let patient = Duration::from_secs(20);
    let cache: Numbers = net.cache("numbers").read_timeout(patient).write_timeout(patient).build();
    let load = async |value| {
        let load = move |_| async move { Ok::<_, Error>(Row::from([(1, Some(value))])) };
        *cache.fetch_many([1], load).await.unwrap()[&1].clone().unwrap()
    };
    assert_eq!(load(1).await, 1);
    assert_eq!(load(2).await, 1, "it is in the cache");
    node.local().call(&[b"ACL", b"SETUSER", b"default", b"-del"]);
    assert!(cache.invalidate(&1).await.is_queued);
    assert_eq!(load(3).await, 3);
}

#[tokio::test]
async fn who_gives_up_a_load_of_many_keeps_nobody_out() {
    let cache: Numbers =
        net().await.cache("numbers").hard_timeout(Duration::from_secs(1000)).build();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let load = |_| {
        begun.send(()).unwrap();
        std::future::pending::<Result<Row, Error>>()
    };
    tokio::select! {
        _ = cache.fetch_many([1, 2], load) => panic!("a load that has no end"),
        _ = begins.recv() => {}
    }
    let lease = super::key::lease(&cache.inner.store.names.value(&2_u64));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let left = cache.inner.store.net.read(&[b"EXISTS", &lease], crate::Target::Primary).await;
        if left.unwrap().as_int().unwrap() == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody else may load it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn of_very_many_keys_none_is_left_out() {
    let net = Net::builder().endpoints(Endpoints::single("127.0.0.1:1").unwrap()).start().unwrap();
    let cache: Numbers = net.cache("numbers").build();
    let load = |keys: Vec<u64>| async move {
        Ok::<_, Error>(keys.into_iter().map(|key| (key, Some(key))).collect::<Row>())
    };
    let found = cache.fetch_many(0..10_001, load).await.unwrap();
    assert!(
        found.len() == 10_001 && found.iter().all(|(key, value)| value.as_deref() == Some(key))
    );
}

#[tokio::test]
async fn a_user_needs_what_the_readme_says() {
    let (_, names) = include_str!("../../README.md").split_once("of a restricted user ").unwrap();
    let (names, _) = names.split_once(" for `Durability").unwrap();
    let names = names.split([',', ' ']).filter(|name| !matches!(*name, "" | "and"));
    let allowed: Vec<String> = names.map(|name| format!("+{name}")).collect();
    let node = Arc::new(Node::builder().threads(1).start().unwrap());
    let mut rules: Vec<&[u8]> = vec![b"ACL", b"SETUSER", b"app", b"on", b">pw", b"~*", b"&*"];
    rules.extend(allowed.iter().map(|rule| rule.as_bytes()));
    assert_eq!(node.local().call(&rules), larder_server::Reply::Ok);
    let cache = async || -> Numbers {
        let builder = Net::builder().endpoints(Endpoints::in_process(&node)).login("app", "pw");
        let patient = Duration::from_secs(1000);
        let builder = builder.connect().await.unwrap().cache("numbers").lease_wait(patient);
        builder.read_timeout(patient).write_timeout(patient).hard_timeout(patient).build()
    };
    let (mine, theirs) = (cache().await, cache().await);
    let (go, mut may) = tokio::sync::mpsc::unbounded_channel();
    let load = mine.fetch(&1, move |_| async move {
        may.recv().await;
        Ok::<_, Error>(Loaded::new(7).tags(["t"]))
    });
    let load = tokio::spawn(load.into_future());
    while mine.stats().of(super::metrics::Event::LeaseGranted) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let wait = tokio::spawn(theirs.fetch(&1, fails).into_future());
    while theirs.stats().of(super::metrics::Event::LeaseBusy) == 0 {
        assert!(!wait.is_finished(), "the lease could not be asked for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    go.send(()).unwrap();
    assert_eq!(load.await.unwrap().unwrap().as_deref(), Some(&7));
    assert_eq!(wait.await.unwrap().unwrap().as_deref(), Some(&7));
    let durability = super::Durability::Replicas { count: 0, timeout: Duration::from_secs(20) };
    for _ in 0..2 {
        let hold = Duration::from_secs(1000);
        assert!(!mine.invalidate(&1).soft().await.is_queued);
        assert!(!mine.invalidate(&2).hold_off(hold).durability(durability).await.is_queued);
        assert!(!mine.drop_tag("t").await.is_queued && !mine.clear().await.is_queued);
    }
    let change = async { Ok::<_, Error>(Some(8)) };
    assert!(!mine.write_through(&1, change).await.unwrap().1.is_queued);
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
