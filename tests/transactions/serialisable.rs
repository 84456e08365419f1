//! Clients that run transactions at the same time, and a judge over what they saw.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{Conn, Rng, Server, Value, encode};

use crate::history::{Op, Txn, check};

const CLIENTS: u64 = 6;
const ROUNDS: usize = 400;
/// On a loaded machine less is enough.
const TIME: Duration = Duration::from_secs(6);
/// Few lists, so that clients meet.
const LISTS: usize = 6;

/// What all clients share.
struct World<'a> {
    server: &'a Server,
    begin: Instant,
    serial: AtomicU64,
    tried: AtomicUsize,
}

impl World<'_> {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }
}

fn name(list: u64) -> String {
    format!("list{list}")
}

fn command(op: &Op) -> Vec<u8> {
    match op {
        Op::Append(list, number) => encode(&["RPUSH", &name(*list), &number.to_string()]),
        Op::Read(list, _) => encode(&["LRANGE", &name(*list), "0", "-1"]),
    }
}

fn numbers(value: &Value) -> Vec<u64> {
    let Value::Array(items) = value else { panic!("a list, not {value}") };
    let number = |item: &Value| match item {
        Value::Bulk(digits) => {
            std::str::from_utf8(digits).expect("text").parse().expect("a number")
        }
        other => panic!("a number, not {other}"),
    };
    items.iter().map(number).collect()
}

/// What the client shall do next.
fn draw(world: &World<'_>, rng: &mut Rng, len: usize) -> Vec<Op> {
    let op = |rng: &mut Rng| {
        let list = rng.below(LISTS) as u64;
        if rng.below(2) == 0 {
            Op::Append(list, world.serial.fetch_add(1, Ordering::Relaxed))
        } else {
            Op::Read(list, Vec::new())
        }
    };
    (0..len).map(|_| op(rng)).collect()
}

fn fill(op: &mut Op, reply: &Value) {
    match op {
        Op::Append(..) => assert!(matches!(reply, Value::Integer(_)), "{reply}"),
        Op::Read(_, seen) => *seen = numbers(reply),
    }
}

/// MULTI, some operations, EXEC, in one write.
fn transaction(world: &World<'_>, conn: &mut Conn, mut ops: Vec<Op>) -> Txn {
    let mut bytes = encode(&["MULTI"]);
    ops.iter().for_each(|op| bytes.extend(command(op)));
    bytes.extend(encode(&["EXEC"]));
    let begin = world.now();
    conn.send(&bytes);
    for _ in 0..=ops.len() {
        conn.reply();
    }
    let Value::Array(replies) = conn.reply() else { panic!("EXEC gives an array") };
    let time = (begin, world.now());
    ops.iter_mut().zip(&replies).for_each(|(op, reply)| fill(op, reply));
    Txn { time, ops }
}

/// WATCH, a look at some lists, and a transaction that only counts if they stayed as they were.
fn optimistic(world: &World<'_>, conn: &mut Conn, rng: &mut Rng) -> Option<Txn> {
    let first = rng.below(LISTS) as u64;
    let watched = [first, (first + 1) % LISTS as u64];
    let begin = world.now();
    conn.call(&["WATCH", &name(watched[0]), &name(watched[1])]);
    let mut ops = Vec::new();
    for list in watched {
        let seen = numbers(&conn.call(&["LRANGE", &name(list), "0", "-1"]));
        ops.push(Op::Read(list, seen));
    }
    let mut queued = draw(world, rng, 2);
    conn.call(&["MULTI"]);
    for op in &queued {
        conn.send(&command(op));
        conn.reply();
    }
    let replies = match conn.call(&["EXEC"]) {
        Value::Array(replies) => replies,
        Value::NilArray => return None,
        other => panic!("EXEC gives an array or nothing, not {other}"),
    };
    let time = (begin, world.now());
    queued.iter_mut().zip(&replies).for_each(|(op, reply)| fill(op, reply));
    ops.extend(queued);
    Some(Txn { time, ops })
}

fn client(world: &World<'_>, seed: u64) -> Vec<Txn> {
    let mut rng = Rng::new(seed);
    let mut conn = world.server.connect();
    let mut history = Vec::new();
    for _ in 0..ROUNDS {
        if world.begin.elapsed() > TIME {
            break;
        }
        world.tried.fetch_add(1, Ordering::Relaxed);
        let txn = match rng.below(10) {
            0..=4 => {
                let len = 1 + rng.below(5);
                let ops = draw(world, &mut rng, len);
                Some(transaction(world, &mut conn, ops))
            }
            5..=6 => optimistic(world, &mut conn, &mut rng),
            7 => {
                // All shards: DBSIZE names no key.
                let mut bytes = encode(&["MULTI"]);
                let mut ops = draw(world, &mut rng, 2);
                ops.iter().for_each(|op| bytes.extend(command(op)));
                bytes.extend(encode(&["DBSIZE"]));
                bytes.extend(encode(&["EXEC"]));
                let begin = world.now();
                conn.send(&bytes);
                (0..4).for_each(|_| drop(conn.reply()));
                let Value::Array(replies) = conn.reply() else { panic!("EXEC gives an array") };
                let time = (begin, world.now());
                ops.iter_mut().zip(&replies).for_each(|(op, reply)| fill(op, reply));
                Some(Txn { time, ops })
            }
            _ => {
                let mut ops = draw(world, &mut rng, 1);
                let begin = world.now();
                conn.send(&command(&ops[0]));
                let reply = conn.reply();
                let time = (begin, world.now());
                fill(&mut ops[0], &reply);
                Some(Txn { time, ops })
            }
        };
        history.extend(txn);
    }
    history
}

#[test]
fn transactions_of_many_clients_are_strictly_serialisable() {
    let server = Server::with(&["--threads", "2"]);
    let world = World {
        server: &server,
        begin: Instant::now(),
        serial: AtomicU64::new(1),
        tried: AtomicUsize::new(0),
    };
    // Otherwise so few clients would share one thread.
    assert_eq!(server.connect().run("DEBUG SPREAD 2").to_string(), "+OK");
    let mut history: Vec<Txn> = thread::scope(|scope| {
        let world = &world;
        let clients: Vec<_> =
            (0..CLIENTS).map(|seed| scope.spawn(move || client(world, seed))).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    let ops = (0..LISTS as u64).map(|list| Op::Read(list, Vec::new())).collect();
    history.push(transaction(&world, &mut server.connect(), ops));
    let tried = world.tried.into_inner() + 1;
    assert!(history.len() > tried / 2, "most transactions took place");
    assert!(history.len() < tried, "no watch ever saw a change: the clients did not meet");
    if let Err(reason) = check(&history) {
        panic!("{} transactions: {reason}", history.len());
    }
}
