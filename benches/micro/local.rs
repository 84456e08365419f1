//! A read inside the process: what an application gets that embeds the node, beside the two
//! crates it would otherwise reach for. `dashmap` is the floor (a map: no limit, no expiry),
//! `moka` the field's in-process cache (a limit, and recency kept on every read).
//!
//! All run on the server's allocator. The crates hand out a counted reference to the value;
//! the node's `get` copies it, `get_with` lets the caller look at it in place.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use dashmap::DashMap;
use larder_server::Node;
use moka::sync::Cache;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keys resident. The few leave the first two levels of the cache, the many leave all of it: there
/// a figure is the number of times that a lookup waits for memory.
const SIZES: [usize; 2] = [20_000, 200_000];

const VALUE: [u8; 64] = [b'v'; 64];

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

/// All keys in a fixed scrambled order no prefetcher guesses, one behind the other so that
/// fetching the key itself costs the same for all: a stride without a common divisor visits
/// every number once.
fn order(count: usize) -> Vec<[u8; 16]> {
    let numbers = (0..count).map(|step| step * 48_271 % count);
    numbers.map(|number| key(number).as_bytes().try_into().expect("keys have 16 bytes")).collect()
}

fn get(criterion: &mut Criterion) {
    for count in SIZES {
        get_among(criterion, count);
    }
}

fn get_among(criterion: &mut Criterion, count: usize) {
    let keys = order(count);
    let mut group = criterion.benchmark_group(format!("get 64 B among {count}"));
    let mut run = |name: &str, hits: &mut dyn FnMut(&[u8]) -> bool| {
        let mut next = keys.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(next.next().is_some_and(|key| hits(key))));
        });
    };

    let node = Node::builder().start().expect("a node that listens nowhere starts");
    let mut local = node.local();
    for number in 0..count {
        assert!(local.set(key(number).as_bytes(), &VALUE));
    }
    run("larder get", &mut |key| black_box(local.get(key)).is_some());
    run("larder get_with", &mut |key| {
        local.get_with(key, |value| black_box(value.len())).is_some()
    });
    // Its threads must not run beside the others' turns.
    drop(local);
    node.shutdown();

    let map: DashMap<Bytes, Bytes> =
        (0..count).map(|number| (key(number).into(), Bytes::copy_from_slice(&VALUE))).collect();
    run("dashmap", &mut |key| black_box(map.get(key).map(|value| value.clone())).is_some());

    let cache: Cache<Bytes, Bytes> = Cache::new(2 * count as u64);
    for number in 0..count {
        cache.insert(key(number).into(), Bytes::copy_from_slice(&VALUE));
    }
    cache.run_pending_tasks();
    run("moka", &mut |key| black_box(cache.get(key)).is_some());
}

criterion_group!(benches, get);
criterion_main!(benches);
