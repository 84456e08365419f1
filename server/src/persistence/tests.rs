//! Snapshots beside writers: what is loaded from one is what the log says there was at its cut.

use super::loading::put_in_place;
use super::rdb::{LoadOptions, load};
use super::snapshots::{Busy, Purpose, SnapshotError, SnapshotSink, Summary};
use crate::clock::Clock;
use crate::commands::server::digest::Digest;
use crate::config::{DirectiveOptions, MaxmemoryPolicy};
use crate::keyspace::dataset::DataSet;
use crate::keyspace::{Keyspace, SHARDS};
use crate::node::shared::Shared;
use crate::{Local, Node, Reply};
use bytes::Bytes;
use larder_protocol::{Limits, Parsed, Parser};
use larder_replication::{FrameKind, Position, Sink};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

const START_MS: i64 = 1_700_000_000_000;

/// The log from its beginning.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Sink for Log {
    fn append(&mut self, offset: u64, bytes: &[u8], _: FrameKind) -> bool {
        let mut kept = self.0.lock();
        kept.extend_from_slice(bytes);
        assert_eq!(kept.len() as u64, offset);
        true
    }
}

/// A snapshot that stays in memory.
struct Kept {
    cut: Option<u64>,
    bytes: Vec<u8>,
    /// How long it takes for each chunk.
    delay: Duration,
    done: SyncSender<Outcome>,
}

type Outcome = (Option<u64>, Vec<u8>, Result<Summary, SnapshotError>);

impl Kept {
    fn new(delay: Duration) -> (Box<Self>, Receiver<Outcome>) {
        let (done, outcome) = sync_channel(1);
        (Box::new(Self { cut: None, bytes: Vec::new(), delay, done }), outcome)
    }
}

impl SnapshotSink for Kept {
    fn begin(&mut self, cut: &Position) {
        assert!(self.cut.replace(cut.offset).is_none(), "one cut");
    }

    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    fn end(self: Box<Self>, result: Result<Summary, SnapshotError>) {
        let outcome = (self.cut, self.bytes, result);
        self.done.send(outcome).expect("the test waits");
    }
}

/// Databases, keys and signatures of their values.
type Contents = BTreeMap<(usize, Vec<u8>), String>;

fn contents(keyspace: &Keyspace) -> Contents {
    let mut contents = Contents::new();
    for index in 0..SHARDS {
        for (number, db) in keyspace.lock(index).databases().enumerate() {
            for entry in db.table().iter() {
                let mut digest = Digest::default();
                digest.add_entry(entry);
                let signature = format!("{digest} {:?}", entry.deadline_ms());
                contents.insert((number, entry.key().to_vec()), signature);
            }
        }
    }
    contents
}

fn first_difference(one: &Contents, other: &Contents) -> String {
    let keys = one.keys().chain(other.keys());
    let mut differs = keys.map(|key| (key, one.get(key), other.get(key)));
    let found = differs.find(|(_, one, other)| one != other);
    found.map_or(String::new(), |((db, key), one, other)| {
        format!("{} in {db}: {one:?} and {other:?}", String::from_utf8_lossy(key))
    })
}

fn call(local: &mut Local, words: &[String]) -> Reply<'static> {
    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    local.call(&words)
}

fn command(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

/// A random command that changes something.
fn change(random: &mut fastrand::Rng) -> Vec<String> {
    let (key, other, db) = (random.u16(..200), random.u16(..200), random.u8(..3));
    let (few, member) = (random.u8(..4), random.u16(..2000));
    let long = match random.u8(..16) {
        0 => 5000,
        1..4 => 300,
        _ => 10,
    };
    let word = format!("{}{}", random.u32(..), "x".repeat(random.usize(..long)));
    let ttl = random.u8(1..60);
    command(&match random.u8(..40) {
        0..4 => format!("SET s{key} {word}"),
        4 => format!("APPEND s{key} {word}"),
        5 => format!("SET s{key} {word} PX {ttl}"),
        6 => format!("PEXPIRE s{key} {ttl}"),
        7 => format!("PERSIST s{key}"),
        8 => format!("SETRANGE s{key} {few} {word}"),
        9 => format!("DEL s{key} h{other} l{key}"),
        10 => format!("RENAME s{key} s{other}"),
        11 => format!("COPY h{key} h{other} DB {db} REPLACE"),
        12 => format!("MOVE s{key} {db}"),
        13..16 => format!("HSET h{key} {few} {word}"),
        16 => format!("HPEXPIRE h{key} {ttl} FIELDS 1 {few}"),
        17 => format!("HDEL h{key} {few}"),
        18 => format!("RPUSH l{key} {word} {word}"),
        19 => format!("LPOP l{key}"),
        20 => format!("LMOVE l{key} l{other} LEFT RIGHT"),
        21..23 => format!("SADD t{few} {member} {word}"),
        23 => format!("SPOP t{few} 2"),
        24..26 => format!("ZADD z{few} {ttl} {member} {key} {word}"),
        26 => format!("ZPOPMIN z{few}"),
        27..29 => format!("XADD x{few} * field {word}"),
        29 => format!("XTRIM x{few} MAXLEN 100"),
        30 => format!("HSET big{few} {member} {word}"),
        31 => format!("INCRBY n{key} {few}"),
        32 => format!("SINTERSTORE t9 t{few} t0"),
        33 => format!("UNLINK t{few} z{few}"),
        34 => format!("SELECT {db}"),
        35 if random.u8(..20) == 0 => format!("SWAPDB {few} {db}"),
        36 if random.u8(..60) == 0 => "FLUSHDB".to_owned(),
        37 if random.u8(..120) == 0 => "FLUSHALL ASYNC".to_owned(),
        38 => {
            let script = "redis.call('SET',KEYS[1],ARGV[1]);redis.call('RPUSH',KEYS[2],ARGV[1])";
            let mut words = command("EVAL");
            words.push(script.to_owned());
            words.extend(command(&format!("2 s{key} l{other} {word}")));
            return words;
        }
        _ => format!("GETDEL s{key}"),
    })
}

/// Changes the data set until told to stop.
fn write(node: &Arc<Shared>, clock: &Clock, stop: &AtomicBool, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut local = Local::new(Arc::clone(node));
    while !stop.load(Ordering::Relaxed) {
        if random.u8(..10) == 0 {
            call(&mut local, &command("MULTI"));
            for _ in 0..random.u8(1..6) {
                call(&mut local, &change(&mut random));
            }
            call(&mut local, &command("EXEC"));
        } else {
            call(&mut local, &change(&mut random));
        }
        if random.u8(..50) == 0 {
            clock.advance(1);
        }
    }
}

/// Runs the commands of a part of the log.
fn replay(local: &mut Local, mut log: &[u8]) {
    let mut parser = Parser::new();
    while !log.is_empty() {
        let Ok(Parsed::Command { consumed }) = parser.parse(log, &Limits::DEFAULT) else {
            panic!("a cut lies between two commands");
        };
        let words: Vec<Vec<u8>> = parser.args(log).iter().map(<[u8]>::to_vec).collect();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let reply = local.call(&words);
        assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply:?}");
        log = &log[consumed..];
    }
}

/// What is in a snapshot.
fn loaded(node: &Node, bytes: &[u8]) -> Contents {
    let shared = node.shared();
    let settings = shared.config.load();
    let mut data = DataSet::default();
    let options =
        LoadOptions { settings: &settings, now_ms: START_MS, drops_due: false, checks_sum: true };
    load(bytes, &shared.keyspace, &mut data, options).expect("a whole dump file");
    put_in_place(shared, data);
    contents(&shared.keyspace)
}

/// Takes `rounds` snapshots beside writers.
fn take_snapshots(rounds: usize, maxmemory_bytes: u64, seed: u64) {
    let clock = Clock::manual(START_MS);
    let node = Node::builder()
        .clock(clock.clone())
        .threads(1)
        .maxmemory_bytes(maxmemory_bytes)
        .maxmemory_policy(MaxmemoryPolicy::AllkeysLru)
        .start()
        .unwrap();
    let log = Log::default();
    node.read_log(Box::new(log.clone()));
    // Their clocks stand still, so that nothing is due there.
    let still = || Node::builder().clock(Clock::manual(START_MS)).threads(1).start().unwrap();
    let (replayed, reloaded) = (still(), still());
    let mut replica = replayed.local();
    let mut done = 0;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (node, clock, stop) = (node.shared(), &clock, &stop);
            scope.spawn(move || write(node, clock, stop, seed + writer));
        }
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(20));
            let (sink, outcome) = Kept::new(Duration::from_millis(round as u64 % 3));
            node.shared().snapshots.start(node.shared(), Purpose::Replication, sink).unwrap();
            let (cut, bytes, result) = outcome.recv().expect("it ends");
            let (cut, summary) = (cut.expect("it was cut"), result.expect("it is whole"));
            node.shared().snapshots.wait();
            assert_eq!(summary.bytes, bytes.len() as u64);
            let part = log.0.lock()[done..cut as usize].to_vec();
            replay(&mut replica, &part);
            done = cut as usize;
            let expected = contents(&replayed.shared().keyspace);
            let found = loaded(&reloaded, &bytes);
            assert_eq!(summary.keys, found.len() as u64);
            assert!(
                found == expected,
                "seed {seed}, round {round}: {}",
                first_difference(&found, &expected)
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_snapshot_is_the_instant_that_the_log_tells() {
    take_snapshots(25, 0, fastrand::u64(..1 << 40));
}

#[test]
fn eviction_does_not_reach_into_a_snapshot() {
    take_snapshots(10, 3 << 20, fastrand::u64(..1 << 40));
}

#[test]
fn one_at_a_time_and_none_is_left_behind() {
    let node = Node::builder().threads(1).start().unwrap();
    let mut local = node.local();
    (0..20_000).for_each(|key| assert!(local.set(format!("key:{key}").as_bytes(), &[b'x'; 100])));
    let shared = node.shared();
    let (sink, outcome) = Kept::new(Duration::from_millis(20));
    shared.snapshots.start(shared, Purpose::Replication, sink).unwrap();
    let (second, _) = Kept::new(Duration::ZERO);
    let busy = shared.snapshots.start(shared, Purpose::Save, second);
    assert_eq!(busy, Err(Busy(Purpose::Replication)));
    shared.snapshots.give_up(Purpose::Save);
    shared.snapshots.give_up(Purpose::Replication);
    let (_, _, result) = outcome.recv().unwrap();
    assert!(matches!(result, Err(SnapshotError::Unwanted)), "{result:?}");
    shared.snapshots.wait();
    assert!(shared.snapshots.running().is_none());
    // What was given up leaves no trace: the next one is whole.
    let (sink, outcome) = Kept::new(Duration::ZERO);
    shared.snapshots.start(shared, Purpose::Replication, sink).unwrap();
    let (_, bytes, result) = outcome.recv().unwrap();
    assert_eq!(result.expect("it is whole").keys, 20_000);
    let other = Node::builder().threads(1).start().unwrap();
    assert_eq!(loaded(&other, &bytes), contents(&shared.keyspace));
}

#[test]
fn who_gives_a_snapshot_up_before_its_cut_sees_none() {
    let node = Node::builder().threads(1).start().unwrap();
    let shared = node.shared();
    let last = shared.keyspace.lock(SHARDS - 1);
    let (sink, outcome) = Kept::new(Duration::ZERO);
    shared.snapshots.start(shared, Purpose::Replication, sink).unwrap();
    // It waits for the last shard when it has the first.
    while std::thread::scope(|scope| {
        let first = || shared.keyspace.lock_unless(0, || true).is_some();
        scope.spawn(first).join().expect("it only looks")
    }) {}
    shared.snapshots.give_up(Purpose::Replication);
    drop(last);
    let (cut, _, result) = outcome.recv().expect("it ends");
    assert!(matches!(result, Err(SnapshotError::Unwanted)), "{result:?}");
    assert_eq!(cut, None, "it was given up before");
}

/// One that cannot take anything.
struct Full(SyncSender<Result<Summary, SnapshotError>>);

impl SnapshotSink for Full {
    fn begin(&mut self, _: &Position) {}

    fn write(&mut self, _: Bytes) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn end(self: Box<Self>, result: Result<Summary, SnapshotError>) {
        self.0.send(result).expect("the test waits");
    }
}

#[test]
fn a_sink_that_refuses_ends_the_snapshot() {
    let node = Node::builder().threads(1).start().unwrap();
    node.local().set(b"key", b"value");
    let (done, outcome) = sync_channel(1);
    node.shared().snapshots.start(node.shared(), Purpose::Save, Box::new(Full(done))).unwrap();
    let error = outcome.recv().unwrap().expect_err("nothing could be written");
    assert!(matches!(error, SnapshotError::Write(_)), "{error:?}");
}

#[test]
fn the_end_of_a_node_is_the_end_of_its_snapshot() {
    let node = Node::builder().threads(1).start().unwrap();
    let mut local = node.local();
    (0..50_000).for_each(|key| assert!(local.set(format!("key:{key}").as_bytes(), &[b'x'; 100])));
    let (sink, outcome) = Kept::new(Duration::from_millis(100));
    node.shared().snapshots.start(node.shared(), Purpose::Replication, sink).unwrap();
    drop(local);
    drop(node);
    assert!(outcome.recv().unwrap().2.is_err());
}
