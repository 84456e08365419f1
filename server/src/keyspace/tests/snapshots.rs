//! A snapshot shows the data set as it was at the cut, whatever happens while it is walked.

use super::super::held::{Held, Shards as _};
use super::super::snapshot::{Capture, Piece, Spoiled};
use super::*;
use crate::commands::server::digest::Digest;
use crate::raw::EntryRef;

/// Databases, keys and signatures of their values.
type Shown = BTreeMap<(usize, Vec<u8>), String>;

fn signature(entry: EntryRef<'_>) -> String {
    let mut digest = Digest::default();
    digest.add_entry(entry);
    format!("{digest} {:?}", entry.deadline_ms())
}

fn shown(held: &Held<'_>) -> Shown {
    let mut shown = Shown::new();
    for index in 0..SHARDS {
        for (number, db) in held.shard(index).databases().enumerate() {
            for entry in db.table().iter() {
                shown.insert((number, entry.key().to_vec()), signature(entry));
            }
        }
    }
    shown
}

fn capture(limit_bytes: u64) -> Arc<Capture> {
    Arc::new(Capture::new(
        limit_bytes,
        Box::new(|out, entry| {
            let key = String::from_utf8_lossy(entry.key());
            out.extend_from_slice(format!("{key}={}\n", signature(entry)).as_bytes());
        }),
    ))
}

/// Cuts; gives what is there at that instant.
fn cut(keyspace: &Keyspace, capture: &Arc<Capture>) -> Shown {
    let mut held = Held::All((0..SHARDS).map(|shard| keyspace.lock(shard)).collect());
    keyspace.cut(&mut held, capture);
    shown(&held)
}

/// Adds what a piece has; nothing may come twice.
fn add(snapshot: &mut Shown, piece: &mut Piece) {
    let mut insert = |db, key: &[u8], signature| {
        let twin = snapshot.insert((db, key.to_vec()), signature);
        assert!(twin.is_none(), "{:?} was taken twice", String::from_utf8_lossy(key));
    };
    for (db, taken) in &piece.taken {
        taken.copies.iter().for_each(|entry| insert(*db, entry.key(), signature(entry)));
        let objects = String::from_utf8(taken.objects.clone()).unwrap();
        for (key, signature) in objects.lines().map(|line| line.split_once('=').unwrap()) {
            insert(*db, key.as_bytes(), signature.to_owned());
        }
    }
    piece.clear();
}

fn word(random: &mut fastrand::Rng) -> String {
    let long = if random.u8(..4) == 0 { 1500 } else { 1 };
    format!("{}{}", random.u32(..), "x".repeat(random.usize(..long)))
}

/// A random command that changes something.
fn change(random: &mut fastrand::Rng) -> String {
    let (key, other, db) = (random.u16(..300), random.u16(..300), random.u8(..4));
    match random.u8(..24) {
        0..4 => format!("SET s{key} {}", word(random)),
        4 => format!("APPEND s{key} {}", word(random)),
        5 => format!("SET s{key} {} PX {}", word(random), random.u16(1..50)),
        6 => format!("PEXPIRE s{key} {}", random.u16(1..50)),
        7 => format!("PERSIST s{key}"),
        8..10 => format!("DEL s{key} h{other} l{key}"),
        10 => format!("RENAME s{key} s{other}"),
        11 => format!("COPY h{key} h{other} DB {db} REPLACE"),
        12 => format!("MOVE s{key} {db}"),
        13 => format!("HSET h{key} {} {}", random.u8(..), word(random)),
        14 => format!("RPUSH l{key} {} {}", word(random), word(random)),
        15 => format!("LPOP l{key}"),
        16 => format!("SADD t{} {}", key % 8, random.u16(..)),
        17 => format!("ZADD z{} {} {}", key % 8, random.u8(..), random.u16(..)),
        18 => format!("XADD x{} * field {}", key % 8, word(random)),
        19 => format!("HPEXPIRE h{key} {} FIELDS 1 {}", random.u8(1..50), random.u8(..)),
        20 => format!("SETRANGE s{key} {} {}", random.u8(..), word(random)),
        21 => format!("SELECT {db}"),
        22 if random.u8(..30) == 0 => format!("SWAPDB {} {db}", random.u8(..4)),
        23 if random.u8(..60) == 0 => "FLUSHDB".to_owned(),
        23 if random.u8(..90) == 0 => "FLUSHALL ASYNC".to_owned(),
        _ => format!("INCRBY n{key} {db}"),
    }
}

#[test]
fn it_shows_the_instant_of_the_cut() {
    let mut random = fastrand::Rng::with_seed(5);
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let keyspace = &node.shared().keyspace;
    let mut local = node.local();
    for round in 0..60 {
        for _ in 0..400 {
            run(&mut local, &change(&mut random));
        }
        clock.advance(random.i64(0..20));
        let capture = capture(u64::MAX);
        let expected = cut(keyspace, &capture);
        let (mut snapshot, mut piece) = (Shown::new(), Piece::default());
        // Some rounds change much between two pieces, some little.
        let pace = [0, 1, 3, 20][round % 4];
        for index in 0..SHARDS {
            loop {
                for _ in 0..random.usize(0..=pace) / 2 {
                    run(&mut local, &change(&mut random));
                    clock.advance(i64::from(random.bool()));
                }
                let is_walked = keyspace.walk_piece(index, &mut piece);
                add(&mut snapshot, &mut piece);
                if is_walked {
                    break;
                }
            }
            if random.u8(..20) == 0 {
                keyspace.collect(random.usize(..SHARDS), &mut piece);
                add(&mut snapshot, &mut piece);
            }
        }
        while let Some(mut adopted) = capture.take_adopted() {
            while !adopted.walk(&mut piece) {}
            add(&mut snapshot, &mut piece);
            capture.end_adopted(adopted);
        }
        assert_eq!(capture.spoiled(), None);
        assert_eq!(capture.held_bytes(), 0, "everything that was held is given back");
        assert!(
            snapshot == expected,
            "round {round}: {:?}",
            first_difference(&snapshot, &expected)
        );
    }
    drop(local);
    audit(keyspace);
}

fn first_difference<'a>(found: &'a Shown, expected: &'a Shown) -> impl std::fmt::Debug + 'a {
    let keys = found.keys().chain(expected.keys());
    keys.map(|key| (key, found.get(key), expected.get(key))).find(|(_, one, other)| one != other)
}

#[test]
fn one_that_holds_too_much_fails_and_leaves_no_trace() {
    let node = still(&Clock::manual(START_MS)).start().unwrap();
    let keyspace = &node.shared().keyspace;
    let mut local = node.local();
    let fill = |local: &mut Local, value: &str| {
        (0..2000).for_each(|key| drop(succeed(local, &format!("SET {key} {value}"))));
    };
    fill(&mut local, "before");
    let first = capture(10_000);
    cut(keyspace, &first);
    fill(&mut local, "meanwhile");
    assert_eq!(first.spoiled(), Some(Spoiled::TooLarge));
    let mut piece = Piece::default();
    for index in 0..SHARDS {
        while !keyspace.walk_piece(index, &mut piece) {}
        assert!(piece.taken.is_empty(), "what is spoiled is not taken");
        piece.clear();
    }
    assert_eq!(first.held_bytes(), 0);
    // The marks are as they should be: the next one is whole.
    let second = capture(u64::MAX);
    let expected = cut(keyspace, &second);
    let mut snapshot = Shown::new();
    for index in 0..SHARDS {
        while !keyspace.walk_piece(index, &mut piece) {
            add(&mut snapshot, &mut piece);
        }
        add(&mut snapshot, &mut piece);
    }
    assert!(snapshot == expected);
    drop(local);
    audit(keyspace);
}
