//! The keyspace as commands use it: what it counts, what it forgets when, what it evicts, how its
//! locks stand many threads, and what it tells the log.
//!
//! Nothing here measures time: clocks are set by hand, and what another thread has to do is waited
//! for as long as it takes.

mod effects;
mod eviction;
mod expiry;
mod fields;
mod locks;
mod memory;
mod snapshots;

use super::*;
use crate::clock::Clock;
use crate::config::DirectiveOptions;
use crate::raw::Value;
use crate::{Builder, Local, Node, Reply};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the clocks of these tests begin, in milliseconds since the Unix epoch.
const START_MS: i64 = 1_700_000_000_000;

/// Bytes that a deadline index may take however few its keys are.
const INDEX_FLOOR_BYTES: usize = 256;

/// A node of one connection thread whose clock only the test moves.
fn still(clock: &Clock) -> Builder {
    Node::builder().clock(clock.clone()).threads(1)
}

/// Leaves keys that are due to those who look for them.
fn expire_only_on_access(node: &Node) {
    node.shared().active_expire.store(false, Ordering::Relaxed);
}

/// Runs a command given as words.
fn run(local: &mut Local, words: &str) -> Reply<'static> {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    local.call(&words)
}

/// Runs a command that must succeed.
fn succeed(local: &mut Local, words: &str) -> Reply<'static> {
    let reply = run(local, words);
    assert!(!matches!(reply, Reply::Error(_)), "{words}: {reply:?}");
    reply
}

/// A key with its database, and what it holds.
type Contents = BTreeMap<(usize, Vec<u8>), (Vec<u8>, Option<i64>)>;

/// All keys of all databases, those that are due included.
fn contents(keyspace: &Keyspace) -> Contents {
    let mut contents = Contents::new();
    for index in 0..SHARDS {
        for (number, db) in keyspace.lock(index).databases().enumerate() {
            for entry in db.table().iter() {
                let bytes = match entry.value() {
                    Value::Int(number) => number.to_string().into_bytes(),
                    Value::Bytes(bytes) => bytes.to_vec(),
                    Value::Heap(string) => string.as_ref().to_vec(),
                    Value::Packed(_) | Value::Object(_) => unreachable!("only strings here"),
                };
                let known = (number, entry.key().to_vec());
                contents.insert(known, (bytes, entry.deadline_ms()));
            }
        }
    }
    contents
}

/// Checks every figure that the keyspace keeps against what is there.
///
/// All handles must be gone, since each may keep some bytes to itself.
fn audit(keyspace: &Keyspace) {
    let mut total = keyspace.startup_bytes() as usize;
    for index in 0..SHARDS {
        let shard = keyspace.lock(index);
        for db in shard.databases() {
            let entry_bytes: usize = db.table().iter().map(|entry| entry.size_bytes()).sum();
            assert_eq!(db.size_bytes(), entry_bytes + db.overhead_bytes());
            let index_bytes = db.deadlines().size_bytes();
            let fields_bytes = db.field_deadlines().size_bytes();
            let overhead_bytes = db.table().size_bytes() + index_bytes + fields_bytes;
            assert_eq!(db.overhead_bytes(), overhead_bytes);
            total += db.size_bytes();

            let deadlines: Vec<_> =
                db.table().iter().filter_map(|entry| entry.deadline_ms()).collect();
            assert_eq!(db.volatile(), deadlines.len());
            let allowed_bytes = 16 * deadlines.len() + INDEX_FLOOR_BYTES;
            assert!(index_bytes <= allowed_bytes, "{index_bytes} for {} keys", deadlines.len());
            if let Some(first) = deadlines.iter().min() {
                assert!(keyspace.next_deadline_ms(index) <= *first);
                assert!(db.next_deadline_ms().is_some_and(|next| next <= (*first).max(0)));
            }
            audit_fields(keyspace, index, db);
            for entry in db.table().iter() {
                let key = keyspace.key(entry.key());
                assert_eq!(key.hash.shard(), index);
                assert!(db.find(key).is_some());
            }
        }
    }
    assert_eq!(keyspace.memory().data_bytes(), total as u64);
}

/// Checks what a shard knows of the deadlines of fields.
fn audit_fields(keyspace: &Keyspace, index: usize, db: &Db) {
    let mut hashes = 0;
    for entry in db.table().iter() {
        let next = crate::types::hash::expiry::next_deadline_ms(entry);
        assert_eq!(entry.has_field_deadlines(), next.is_some());
        if let Some(next) = next {
            hashes += 1;
            assert!(keyspace.next_deadline_ms(index) <= next);
            assert!(db.field_deadlines().next_ms().is_some_and(|first| first <= next));
        }
    }
    assert_eq!(db.field_deadlines().volatile(), hashes);
    let bytes = db.field_deadlines().size_bytes();
    assert!(bytes <= 16 * hashes + INDEX_FLOOR_BYTES, "{bytes} for {hashes} hashes");
}

/// One step of a random life of a node.
#[derive(Clone, Debug)]
enum Step {
    Command(String),
    /// Milliseconds that pass.
    Wait(i64),
}

/// Keys that random commands speak of: few, so that commands meet.
fn key() -> impl Strategy<Value = String> {
    (0..12_u8).prop_map(|key| match key {
        // One is long, and all lie in different shards, most likely.
        0 => "k".repeat(300),
        key => format!("key{key}"),
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (1..60_usize).prop_map(|len| "v".repeat(len)),
        (1000..3000_usize).prop_map(|len| "w".repeat(len)),
    ]
}

/// A span in milliseconds that ends within the test, or long after it.
fn span() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1..500_i64, 1 => 1_000_000..2_000_000_i64]
}

/// Random commands that change data, and time that passes.
fn step() -> impl Strategy<Value = Step> {
    let db = || 0..3_u8;
    let condition = || prop::sample::select(vec!["", " NX", " XX", " GT", " LT"]);
    let one = prop_oneof![
        3 => (key(), value()).prop_map(|(key, value)| format!("SET {key} {value}")),
        3 => (key(), value(), span())
            .prop_map(|(key, value, span)| format!("SET {key} {value} PX {span}")),
        1 => (key(), value()).prop_map(|(key, value)| format!("SET {key} {value} KEEPTTL XX")),
        1 => (key(), value(), span())
            .prop_map(|(key, value, span)| format!("PSETEX {key} {span} {value}")),
        1 => (key(), value()).prop_map(|(key, value)| format!("SETNX {key} {value}")),
        1 => (key(), value()).prop_map(|(key, value)| format!("GETSET {key} {value}")),
        2 => (key(), value()).prop_map(|(key, value)| format!("APPEND {key} {value}")),
        1 => (key(), 0..3000_u16, value())
            .prop_map(|(key, at, value)| format!("SETRANGE {key} {at} {value}")),
        1 => (key(), any::<i32>()).prop_map(|(key, by)| format!("INCRBY {key} {by}")),
        1 => (key(), 0..100_u8).prop_map(|(key, by)| format!("INCRBYFLOAT {key} {by}.5")),
        2 => (key(), key()).prop_map(|(first, second)| format!("DEL {first} {second}")),
        1 => key().prop_map(|key| format!("GETDEL {key}")),
        1 => (key(), span()).prop_map(|(key, span)| format!("GETEX {key} PX {span}")),
        1 => key().prop_map(|key| format!("GETEX {key} PERSIST")),
        1 => key().prop_map(|key| format!("GET {key}")),
    ];
    let other = prop_oneof![
        3 => (key(), span(), condition())
            .prop_map(|(key, span, condition)| format!("PEXPIRE {key} {span}{condition}")),
        1 => (key(), span())
            .prop_map(|(key, span)| format!("PEXPIREAT {key} {}", START_MS + span)),
        1 => key().prop_map(|key| format!("EXPIRE {key} -1")),
        2 => key().prop_map(|key| format!("PERSIST {key}")),
        2 => (key(), key()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        1 => (key(), key()).prop_map(|(from, to)| format!("RENAMENX {from} {to}")),
        2 => (key(), key(), db())
            .prop_map(|(from, to, db)| format!("COPY {from} {to} DB {db} REPLACE")),
        1 => (key(), key()).prop_map(|(from, to)| format!("COPY {from} {to}")),
        2 => (key(), db()).prop_map(|(key, db)| format!("MOVE {key} {db}")),
        2 => (key(), value(), key(), value())
            .prop_map(|(a, one, b, two)| format!("MSET {a} {one} {b} {two}")),
        1 => (key(), value(), key(), value())
            .prop_map(|(a, one, b, two)| format!("MSETNX {a} {one} {b} {two}")),
        2 => db().prop_map(|db| format!("SELECT {db}")),
        1 => (db(), db()).prop_map(|(first, second)| format!("SWAPDB {first} {second}")),
    ];
    let rare = prop::sample::select(vec!["FLUSHDB", "FLUSHDB ASYNC", "FLUSHALL SYNC"]);
    prop_oneof![
        20 => one.prop_map(Step::Command),
        20 => other.prop_map(Step::Command),
        1 => rare.prop_map(|flush| Step::Command(flush.to_owned())),
        4 => (1..200_i64).prop_map(Step::Wait),
    ]
}

/// Takes a step; errors are part of life.
fn take(local: &mut Local, clock: &Clock, step: &Step) {
    match step {
        Step::Command(words) => drop(run(local, words)),
        Step::Wait(ms) => clock.advance(*ms),
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}
