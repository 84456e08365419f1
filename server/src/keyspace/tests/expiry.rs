//! Deadlines: found at their exact millisecond, for little memory.

use super::*;
use crate::keyspace::notify::KeyEvent;
use crate::raw::{Entry, NewValue};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;
use tokio::sync::broadcast::error::TryRecvError;

#[derive(Clone, Debug)]
enum Move {
    /// The key gets this deadline, relative to now, or none.
    Set(usize, Option<i64>),
    Remove(usize),
    Wait(i64),
}

const KEYS: usize = 60;

fn movement() -> impl Strategy<Value = Move> {
    let deadline = prop_oneof![
        6 => (-5..300_i64).prop_map(Some),
        2 => Just(None),
        1 => Just(Some(i64::MAX)),
    ];
    prop_oneof![
        8 => (0..KEYS, deadline).prop_map(|(key, deadline)| Move::Set(key, deadline)),
        2 => (0..KEYS).prop_map(Move::Remove),
        1 => (0..40_i64).prop_map(Move::Wait),
    ]
}

/// A hash whose tag is one of few.
fn colliding(key: usize, tags: usize) -> KeyHash {
    KeyHash(((key % tags) as u64) << (u64::BITS - SHARD_BITS - TAG_BITS))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_key_is_taken_in_the_millisecond_after_its_deadline(
        tags in prop::sample::select(vec![1_usize, 3, KEYS]),
        moves in prop::collection::vec(movement(), 1..400),
    ) {
        let mut db = Db::default();
        let mut model: BTreeMap<usize, Option<i64>> = BTreeMap::new();
        let names: Vec<_> = (0..KEYS).map(|key| key.to_string()).collect();
        let mut now_ms = START_MS;
        for step in &moves {
            match step {
                Move::Set(number, deadline) => {
                    let deadline_ms = deadline.map(|ms| now_ms.saturating_add(ms));
                    let hash = colliding(*number, tags);
                    let key = Key { bytes: names[*number].as_bytes(), hash };
                    match db.find(key) {
                        Some(at) => db.set_deadline(hash, at, deadline_ms),
                        None => {
                            let entry = Entry::new(key.bytes, NewValue::Int(0), deadline_ms, 0);
                            db.insert(hash, entry);
                        }
                    }
                    model.insert(*number, deadline_ms);
                }
                Move::Remove(number) => {
                    let key =
                        Key { bytes: names[*number].as_bytes(), hash: colliding(*number, tags) };
                    let at = db.find(key);
                    prop_assert_eq!(at.is_some(), model.remove(number).is_some());
                    if let Some(at) = at {
                        drop(db.remove(at));
                    }
                }
                Move::Wait(ms) => {
                    for _ in 0..*ms {
                        now_ms += 1;
                        let due: BTreeSet<_> = model
                            .iter()
                            .filter(|(_, deadline)| deadline.is_some_and(|at| at < now_ms))
                            .map(|(key, _)| *key)
                            .collect();
                        let mut taken = BTreeSet::new();
                        while let Some(entry) = db.take_due(now_ms) {
                            let name = std::str::from_utf8(entry.view().key()).unwrap();
                            prop_assert!(taken.insert(name.parse::<usize>().unwrap()));
                        }
                        prop_assert_eq!(&taken, &due, "at {}", now_ms - START_MS);
                        model.retain(|key, _| !due.contains(key));
                        prop_assert!(db.next_deadline_ms().is_none_or(|next| next >= now_ms));
                    }
                }
            }
            let volatile = model.values().flatten().count();
            prop_assert_eq!(db.volatile(), volatile);
            let bytes = db.deadlines().size_bytes();
            prop_assert!(bytes <= 16 * volatile + INDEX_FLOOR_BYTES, "{} for {}", bytes, volatile);
        }
    }
}

/// What an index of many keys pays, through storms of changes and while they run out.
#[test]
fn a_deadline_costs_at_most_sixteen_bytes() {
    const MANY: usize = 3000;
    let mut db = Db::default();
    let names: Vec<_> = (0..MANY).map(|key| key.to_string()).collect();
    let hash = |key: usize| KeyHash((key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let key = |number: usize| Key { bytes: names[number].as_bytes(), hash: hash(number) };
    let check = |db: &Db| {
        let (bytes, volatile) = (db.deadlines().size_bytes(), db.volatile());
        assert!(bytes <= 16 * volatile + INDEX_FLOOR_BYTES, "{bytes} for {volatile}");
    };
    for (number, name) in names.iter().enumerate() {
        let deadline_ms = Some(START_MS + number as i64);
        db.insert(hash(number), Entry::new(name.as_bytes(), NewValue::Int(0), deadline_ms, 0));
        check(&db);
    }
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..20 * MANY {
        let number = random.usize(..MANY);
        let at = db.find(key(number)).unwrap();
        // Deadlines that move, go and come back to where they were.
        let deadline_ms = match random.u8(..4) {
            0 => None,
            1 => Some(START_MS + number as i64),
            _ => Some(START_MS + random.i64(0..100_000)),
        };
        db.set_deadline(hash(number), at, deadline_ms);
        check(&db);
        if round % MANY == 0 {
            assert!(db.volatile() > MANY / 2);
        }
    }
    for now_ms in (START_MS..START_MS + 100_001).step_by(10) {
        while db.take_due(now_ms).is_some() {
            check(&db);
        }
    }
    assert_eq!(db.volatile(), 0);
    assert!(db.next_deadline_ms().is_none());
}

#[test]
fn a_key_lives_through_its_last_millisecond() {
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let mut local = node.local();
    expire_only_on_access(&node);
    for ms in 1..=50 {
        local.set_for(ms.to_string().as_bytes(), b"value", Duration::from_millis(ms));
    }
    for ms in 1..=50 {
        let name = ms.to_string();
        clock.advance(1);
        assert!(local.get(name.as_bytes()).is_some(), "{ms} has not passed");
        assert_eq!(run(&mut local, &format!("PTTL {name}")), Reply::Int(0));
        if ms > 1 {
            assert!(local.get((ms - 1).to_string().as_bytes()).is_none(), "{ms} has passed");
        }
    }
    // Nobody looks, and still nobody sees it: not in a count of what exists, a list or a scan.
    clock.advance(1);
    assert_eq!(run(&mut local, "KEYS *"), Reply::Array(vec![]));
    assert_eq!(run(&mut local, "EXISTS 50"), Reply::Int(0));
    assert_eq!(run(&mut local, "DBSIZE"), Reply::Int(0));
}

/// Waits for as many events as there are names, and gives them.
fn wait_for(
    events: &mut tokio::sync::broadcast::Receiver<KeyEvent>,
    name: &str,
    count: usize,
) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while keys.len() < count {
        match events.try_recv() {
            Ok(event) if event.name == name => keys.push(event.key),
            Ok(_) => {}
            Err(TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    keys
}

#[test]
fn keys_that_nobody_looks_at_expire_as_well() {
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let mut events = node.events();
    let mut local = node.local();
    for number in 0..2000 {
        succeed(&mut local, &format!("SELECT {}", number % 16));
        succeed(&mut local, &format!("SET key{number} value PX {}", 10 + number % 2 * 10));
    }
    clock.advance(11);
    let expired: HashSet<_> = wait_for(&mut events, "expired", 1000).into_iter().collect();
    assert_eq!(expired.len(), 1000);
    assert!((0..2000).step_by(2).all(|key| expired.contains(format!("key{key}").as_bytes())));
    assert_eq!(contents(&node.shared().keyspace).len(), 1000, "the others have 9 ms to live");
    clock.advance(10);
    wait_for(&mut events, "expired", 1000);
    drop(local);
    let shared = Arc::clone(node.shared());
    node.shutdown();
    assert!(contents(&shared.keyspace).is_empty());
    audit(&shared.keyspace);
    assert_eq!(shared.stats.totals().expired_keys, 2000);
}

#[test]
fn a_clock_set_back_brings_nothing_back() {
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let mut local = node.local();
    local.set_for(b"key", b"value", Duration::from_millis(10));
    clock.advance(20);
    assert_eq!(local.get(b"key"), None);
    clock.advance(-20);
    assert_eq!(local.get(b"key"), None);
    local.set_for(b"key", b"value", Duration::from_millis(10));
    assert!(local.get(b"key").is_some());
}
