//! Eviction: who may go, who should, and that the limit holds.

use super::*;
use crate::config::MaxmemoryPolicy;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

const POLICIES: [MaxmemoryPolicy; 8] = [
    MaxmemoryPolicy::VolatileLru,
    MaxmemoryPolicy::VolatileLfu,
    MaxmemoryPolicy::VolatileRandom,
    MaxmemoryPolicy::VolatileTtl,
    MaxmemoryPolicy::AllkeysLru,
    MaxmemoryPolicy::AllkeysLfu,
    MaxmemoryPolicy::AllkeysRandom,
    MaxmemoryPolicy::Noeviction,
];

const LIMIT_BYTES: u64 = 3 << 20;
const WRITERS: usize = 4;

fn used_bytes(node: &Node) -> u64 {
    node.shared().keyspace.memory().used_bytes()
}

/// How many of these keys exist.
fn survivors(node: &Node, keys: impl Iterator<Item = String>) -> usize {
    let mut local = node.local();
    keys.filter(|key| run(&mut local, &format!("EXISTS {key}")) == Reply::Int(1)).count()
}

#[test]
fn a_flood_stays_within_the_limit_and_takes_only_what_it_may() {
    const KEPT: usize = 1000;
    for policy in POLICIES {
        let node = Node::builder()
            .threads(1)
            .maxmemory_bytes(LIMIT_BYTES)
            .maxmemory_policy(policy)
            .start()
            .unwrap();
        let mut local = node.local();
        for number in 0..KEPT {
            local.set(format!("kept{number}").as_bytes(), &[b'v'; 100]);
        }
        drop(local);
        let refused = AtomicUsize::new(0);
        let written = AtomicUsize::new(0);
        let together = Barrier::new(WRITERS);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (node, refused, written, together) = (&node, &refused, &written, &together);
                scope.spawn(move || {
                    let mut local = node.local();
                    let mut random = fastrand::Rng::with_seed(writer as u64);
                    let value = [b'v'; 4000];
                    together.wait();
                    for number in 0..8000 {
                        let key = format!("flood{writer}:{number}");
                        let len = if number % 50 == 0 { 4000 } else { random.usize(100..400) };
                        let value = std::str::from_utf8(&value[..len]).unwrap();
                        let reply = run(&mut local, &format!("SET {key} {value} EX 100000"));
                        match reply {
                            Reply::Ok => written.fetch_add(1, Ordering::Relaxed),
                            Reply::Error(error) => {
                                assert_eq!(error.code(), "OOM");
                                refused.fetch_add(1, Ordering::Relaxed)
                            }
                            other => panic!("{other:?}"),
                        };
                        let used = used_bytes(node);
                        assert!(used <= LIMIT_BYTES + LIMIT_BYTES / 50, "{policy:?}: {used} bytes");
                    }
                });
            }
        });
        let (refused, written) = (refused.into_inner(), written.into_inner());
        let kept = survivors(&node, (0..KEPT).map(|number| format!("kept{number}")));
        if policy.is_volatile() || policy == MaxmemoryPolicy::Noeviction {
            assert_eq!(kept, KEPT, "{policy:?}");
        }
        assert_eq!(refused > 0, policy == MaxmemoryPolicy::Noeviction, "{policy:?}");
        let left = contents(&node.shared().keyspace).len();
        let evicted = node.shared().stats.totals().evicted_keys as usize;
        assert_eq!(left + evicted, KEPT + written, "{policy:?}: every key is accounted for");
        assert_eq!(evicted > 0, policy != MaxmemoryPolicy::Noeviction, "{policy:?}");
        audit(&node.shared().keyspace);
    }
}

#[test]
fn without_a_key_that_may_go_writes_are_refused() {
    for policy in POLICIES {
        if !policy.is_volatile() && policy != MaxmemoryPolicy::Noeviction {
            continue;
        }
        let node = Node::builder()
            .threads(1)
            .maxmemory_bytes(1 << 20)
            .maxmemory_policy(policy)
            .start()
            .unwrap();
        let mut local = node.local();
        let mut stored = 0;
        while local.set(format!("key{stored}").as_bytes(), &[b'v'; 500]) {
            stored += 1;
            assert!(stored < 10_000);
        }
        let error = run(&mut local, "SET other value");
        assert!(matches!(&error, Reply::Error(error) if error.code() == "OOM"), "{error:?}");
        // What needs no memory runs, and makes room.
        assert_eq!(local.get(b"key0").map(|value| value.len()), Some(500));
        assert_eq!(run(&mut local, "EXPIRE key1 1000"), Reply::Int(1));
        assert_eq!(run(&mut local, "DEL key0 key2 key3"), Reply::Int(3));
        assert!(local.set(b"other", b"value"));
        assert_eq!(survivors(&node, (4..stored).map(|number| format!("key{number}"))), stored - 4);
    }
}

/// A full node whose limit the next write brings down to half of what is used.
fn halved(node: &Node) {
    let half = used_bytes(node) / 2;
    let mut local = node.local();
    succeed(&mut local, &format!("CONFIG SET maxmemory {half}"));
    while used_bytes(node) > half {
        succeed(&mut local, "SET another value EX 1000000");
    }
}

/// A node with `KEYS` keys, each made a second after the one before it and due `ttl_s` after that.
fn filled(policy: MaxmemoryPolicy, ttl_s: impl Fn(usize) -> usize) -> (Node, Clock) {
    let clock = Clock::manual(START_MS);
    let node = still(&clock).maxmemory_policy(policy).start().unwrap();
    let mut local = node.local();
    for number in 0..KEYS {
        succeed(&mut local, &format!("SET key{number} {:0>100} EX {}", number, ttl_s(number)));
        clock.advance(1000);
    }
    (node, clock)
}

const KEYS: usize = 10_000;

fn names(numbers: impl Iterator<Item = usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("key{number}"))
}

#[test]
fn recently_used_keys_stay() {
    for policy in [MaxmemoryPolicy::AllkeysLru, MaxmemoryPolicy::VolatileLru] {
        let (node, clock) = filled(policy, |_| 1_000_000);
        // Old keys, but wanted.
        let mut local = node.local();
        for name in names(0..500) {
            assert!(local.get(name.as_bytes()).is_some());
        }
        clock.advance(1000);
        halved(&node);
        let wanted = survivors(&node, names(0..500));
        let (old, young) =
            (survivors(&node, names(500..2500)), survivors(&node, names(8000..KEYS)));
        assert!(wanted >= 490, "{policy:?}: {wanted} of 500");
        assert!(old * 10 < young, "{policy:?}: {old} old ones, {young} young ones");
    }
}

#[test]
fn frequently_used_keys_stay() {
    for policy in [MaxmemoryPolicy::AllkeysLfu, MaxmemoryPolicy::VolatileLfu] {
        let clock = Clock::manual(START_MS);
        let node = still(&clock).maxmemory_policy(policy).start().unwrap();
        let mut local = node.local();
        for name in names(0..KEYS) {
            succeed(&mut local, &format!("SET {name} {:0>100} EX 1000000", 0));
        }
        for name in names(0..500) {
            for _ in 0..50 {
                local.get(name.as_bytes());
            }
        }
        // Seen last, but seldom.
        for name in names(500..KEYS) {
            local.get(name.as_bytes());
        }
        halved(&node);
        let wanted = survivors(&node, names(0..500));
        assert!(wanted >= 490, "{policy:?}: {wanted} of 500");
    }
}

#[test]
fn keys_with_much_time_to_live_stay() {
    // Made in one order, due in another.
    let ttl_s = |number: usize| 100_000 + number * 7919 % KEYS * 100;
    let (node, _) = filled(MaxmemoryPolicy::VolatileTtl, ttl_s);
    halved(&node);
    let deadline_s = |number: usize| number + ttl_s(number);
    let mut numbers: Vec<_> = (0..KEYS).collect();
    numbers.sort_unstable_by_key(|number| deadline_s(*number));
    let first = survivors(&node, names(numbers[..2000].iter().copied()));
    let last = survivors(&node, names(numbers[KEYS - 2000..].iter().copied()));
    // Some 1970: a shard that chance gave few early keys lets late ones go.
    assert!(last > 1900 && first < 400, "{first} that are due soon, {last} that are due late");
}

#[test]
fn at_random_means_at_random() {
    for policy in [MaxmemoryPolicy::AllkeysRandom, MaxmemoryPolicy::VolatileRandom] {
        let (node, _) = filled(policy, |number| 1_000_000 - number * 50);
        halved(&node);
        let quarters: Vec<_> = (0..4)
            .map(|quarter| survivors(&node, names(quarter * 2500..(quarter + 1) * 2500)))
            .collect();
        let mean = quarters.iter().sum::<usize>() / 4;
        assert!((500..1500).contains(&mean), "{policy:?}: {quarters:?}");
        // A fifth more or less is far more than chance would make it.
        let fair = |left: &usize| left.abs_diff(mean) * 5 < mean;
        assert!(quarters.iter().all(fair), "{policy:?}: {quarters:?}");
    }
}
