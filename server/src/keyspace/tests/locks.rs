//! Lock plans under many threads: commands on several keys are one instant, and none waits for
//! ever. A deadlock shows as a test that does not end.

use super::*;
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;

const THREADS: u64 = 4;
const ROUNDS: usize = 4000;
/// Groups of keys that are only ever changed together.
const GROUPS: usize = 5;
const GROUP_KEYS: usize = 8;

/// The keys of a group, in any order, behind a command's name.
fn group_command(name: &str, random: &mut fastrand::Rng) -> (Vec<String>, usize) {
    let group = random.usize(..GROUPS);
    let mut keys: Vec<_> = (0..GROUP_KEYS).map(|key| format!("group{group}:{key}")).collect();
    random.shuffle(&mut keys);
    keys.insert(0, name.to_owned());
    (keys, group)
}

/// Some key that anybody may change in any way.
fn stray(random: &mut fastrand::Rng) -> String {
    format!("stray{}", random.u8(..30))
}

fn one_command(local: &mut Local, random: &mut fastrand::Rng, serial: &AtomicU64) {
    let words = match random.u8(..100) {
        0..25 => {
            let (keys, _) = group_command("MSET", random);
            let value = serial.fetch_add(1, Ordering::Relaxed).to_string();
            let pairs = keys[1..].iter().map(|key| format!("{key} {value}"));
            format!("MSET {}", pairs.collect::<Vec<_>>().join(" "))
        }
        25..30 => group_command("DEL", random).0.join(" "),
        30..60 => {
            let (keys, group) = group_command("MGET", random);
            let Reply::Array(values) = succeed(local, &keys.join(" ")) else {
                panic!("MGET gives an array");
            };
            let first = &values[0];
            assert!(values.iter().all(|value| value == first), "group {group}: {values:?}");
            return;
        }
        60..70 => {
            let (keys, _) = group_command("EXISTS", random);
            let found = succeed(local, &keys.join(" "));
            assert!(found == Reply::Int(0) || found == Reply::Int(GROUP_KEYS as i64), "{found:?}");
            return;
        }
        70..75 => format!("MSET {} 1 {} 2 {} 3", stray(random), stray(random), stray(random)),
        75..80 => format!("RENAME {} {}", stray(random), stray(random)),
        80..85 => format!("COPY {} {} REPLACE", stray(random), stray(random)),
        85..88 => format!("COPY {} {} DB 1 REPLACE", stray(random), stray(random)),
        88..90 => format!("MOVE {} 1", stray(random)),
        90..93 => format!("LCS {} {}", stray(random), stray(random)),
        93..95 => format!("SET {} value PX 1", stray(random)),
        95 => "DBSIZE".to_owned(),
        96 => format!("SCAN {} COUNT 100", random.u32(..)),
        97 => "RANDOMKEY".to_owned(),
        // All shards at once: every group goes, or goes elsewhere, as one.
        98 => "SWAPDB 0 1".to_owned(),
        _ => ["FLUSHALL", "FLUSHDB ASYNC", "KEYS stray*"][random.usize(..3)].to_owned(),
    };
    drop(run(local, &words));
}

#[test]
fn commands_on_several_keys_are_one_instant() {
    let node = Node::builder().threads(2).start().unwrap();
    let serial = AtomicU64::new(1);
    let together = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (node, serial, together) = (&node, &serial, &together);
            scope.spawn(move || {
                let mut local = node.local();
                let mut random = fastrand::Rng::with_seed(thread);
                together.wait();
                for _ in 0..ROUNDS {
                    one_command(&mut local, &mut random, serial);
                }
            });
        }
    });
    let shared = Arc::clone(node.shared());
    node.shutdown();
    audit(&shared.keyspace);
}

#[test]
fn eviction_and_expiry_get_along_with_commands() {
    let node = Node::builder()
        .threads(2)
        .maxmemory_bytes(1 << 20)
        .maxmemory_policy(crate::config::MaxmemoryPolicy::AllkeysRandom)
        .start()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let node = &node;
            scope.spawn(move || {
                let mut local = node.local();
                let mut random = fastrand::Rng::with_seed(thread);
                let value = "v".repeat(300);
                for number in 0..ROUNDS {
                    let key = format!("key{thread}:{number}");
                    let other = format!("key{}:{}", random.u64(..THREADS), random.usize(..ROUNDS));
                    drop(run(&mut local, &format!("SET {key} {value} PX {}", random.u8(1..))));
                    drop(run(&mut local, &format!("RENAME {other} {key}")));
                    drop(run(&mut local, &format!("MSET {other} 1 {key} 2")));
                }
            });
        }
    });
    let shared = Arc::clone(node.shared());
    node.shutdown();
    audit(&shared.keyspace);
}
