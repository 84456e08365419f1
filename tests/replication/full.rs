//! Full syncs: the data set as it was at one instant, and everything after it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use larder_tests::{Conn, Rng, Server, eventually};

use crate::follower::{Follower, line};
use crate::{assert_same, replica_of, wait_up};

/// Something of every type.
pub(crate) const ALL_TYPES: &str = "
    SET string value
    SET volatile value EX 1000
    SET counter 12345
    APPEND bits \\x00\\xff
    SETBIT bits 1000 1
    PFADD hll a b c d
    RPUSH list a b c 1 2 3
    HSET hash field value number 17
    SADD numbers 1 2 3
    SADD words a b c
    ZADD zset 1.5 a 2.5 b inf c
    GEOADD geo 13.361389 38.115556 Palermo
    XADD stream 1-1 field value
    XADD stream 2-1 field value
    XGROUP CREATE stream group 0
    XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >
    SELECT 9
    SET elsewhere 1
    SELECT 0";

/// Writes without end on a connection of its own until told to stop; counts what it wrote.
fn write_on(server: &Server, stop: &AtomicBool, seed: u64) -> u64 {
    let mut conn = server.connect();
    let mut rng = Rng::new(seed);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut batch = String::new();
        let len = 1 + rng.below(50);
        for _ in 0..len {
            batch.push_str(&random_write(&mut rng));
        }
        conn.send(batch.as_bytes());
        for _ in 0..len {
            conn.reply();
        }
        written += len as u64;
    }
    written
}

/// A write that says something else when it is done twice, or at another time.
fn random_write(rng: &mut Rng) -> String {
    let key = rng.below(500);
    match rng.below(12) {
        0 => format!("INCR n{key}\r\n"),
        1 => format!("RPUSH l{key} {}\r\n", rng.below(1000)),
        2 => format!("LPOP l{key}\r\n"),
        3 => format!("HINCRBY h{key} f{} 3\r\n", rng.below(30)),
        4 => format!("SADD t{key} {}\r\n", rng.below(1000)),
        5 => format!("SPOP t{key}\r\n"),
        6 => format!("ZINCRBY z{key} 1.5 m{}\r\n", rng.below(30)),
        7 => format!("APPEND s{key} {}\r\n", "x".repeat(rng.below(200))),
        8 => format!("SET v{key} {} PX {}\r\n", rng.below(9), 20 + rng.below(500)),
        9 => format!("XADD x{key} MAXLEN 20 * f {}\r\n", rng.below(100)),
        10 => format!("DEL n{key} l{key} h{key}\r\n"),
        _ => format!("INCRBYFLOAT f{key} 0.1\r\n"),
    }
}

/// Tells writers to stop, also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until nothing is left that goes by itself.
fn let_expire(server: &Server) {
    let mut conn = server.connect();
    eventually("all keys with a short time are gone", || {
        let script =
            "local n = 0 for i = 0, 499 do n = n + redis.call('EXISTS', 'v' .. i) end return n";
        conn.call(&["EVAL", script, "0"]).int() == 0
    });
}

#[test]
fn a_redis_replica_gets_every_type() {
    let primary = Server::start();
    primary.connect().prepare(ALL_TYPES);
    let replica = replica_of(&primary);
    wait_up(&replica);
    assert_same(&primary, &replica);
    let ttl = replica.connect().run("TTL volatile").int();
    assert!((900..=1000).contains(&ttl), "{ttl}");
    primary.connect().prepare("SET string other\nSELECT 9\nDEL elsewhere\nHSET later a b");
    assert_same(&primary, &replica);
    assert_eq!(primary.info("sync_full"), "1");
    assert_eq!(primary.info("connected_slaves"), "1");
}

#[test]
fn replicas_that_come_under_load_end_with_the_same_data() {
    let primary = Server::start();
    primary.connect().prepare("DEBUG POPULATE 100000 key 64");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        let writers: Vec<_> = (0..2)
            .map(|seed| {
                scope.spawn({
                    let (primary, stop) = (&primary, &stop);
                    move || write_on(primary, stop, seed)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        let replicas = [replica_of(&primary), replica_of(&primary)];
        for replica in &replicas {
            wait_up(replica);
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let written: u64 = writers.into_iter().map(|writer| writer.join().expect("a writer")).sum();
        assert!(written > 1000, "{written} writes are no load");
        let_expire(&primary);
        for replica in &replicas {
            assert_same(&primary, replica);
        }
        assert_eq!(primary.info("sync_full"), "2");
    });
}

#[test]
fn replicas_that_ask_together_share_one_snapshot() {
    let primary = Server::start();
    primary.connect().prepare("DEBUG POPULATE 1000 key 64");
    let mut conns: Vec<Conn> = (0..5).map(|_| primary.connect()).collect();
    for conn in &mut conns {
        conn.expect("REPLCONF capa eof capa psync2", "+OK");
    }
    conns.iter_mut().for_each(|conn| conn.send(b"PSYNC ? -1\r\n"));
    let mut followers: Vec<Follower> = conns.into_iter().map(Follower::greeted).collect();
    let data: Vec<Vec<u8>> = followers.iter_mut().map(Follower::take_data).collect();
    let mut snapshots = data;
    snapshots.dedup();
    assert!(snapshots.len() < 5, "each had its own snapshot");
    followers.iter_mut().for_each(Follower::acknowledge);
    primary.connect().run("SET after 1");
    for follower in &mut followers {
        assert_eq!(follower.next(), "SET after 1");
    }
}

#[test]
fn a_replica_that_wants_to_know_the_size_is_told() {
    let primary = Server::start();
    primary.connect().prepare(ALL_TYPES);
    let mut conn = primary.connect();
    conn.send(b"PSYNC ? -1\r\n");
    let mut follower = Follower::greeted(conn);
    let head = line(&mut follower.conn);
    let size: usize = head[1..].parse().unwrap_or_else(|_| panic!("{head}"));
    let data = follower.conn.take(size);
    assert!(data.starts_with(b"REDIS"));
    primary.connect().run("SET after 1");
    assert_eq!(follower.next(), "SET after 1", "nobody has to say that it has loaded");
    let mut old = primary.connect();
    old.send(b"SYNC\r\n");
    let head = line(&mut old);
    assert!(head.starts_with('$') && !head.contains("EOF"), "{head}");
}

#[test]
fn one_that_needs_a_file_that_cannot_be_had_takes_nothing_from_the_others() {
    let primary = Server::start();
    primary.connect().prepare("DEBUG POPULATE 5000 key 64");
    // What the file would be called.
    let name = format!("temp-sync-{}.rdb", primary.info("run_id"));
    std::fs::write(primary.dir().join(name), b"").expect("a file");
    let mut conn = primary.connect();
    conn.expect("CONFIG SET rdb-key-save-delay 1000", "+OK");
    conn.prepare("BGSAVE");
    let (mut old, mut new) = (primary.connect(), primary.connect());
    old.send(b"SYNC\r\n");
    new.send(b"REPLCONF capa eof\r\nPSYNC ? -1\r\n");
    eventually("both wait for the next one", || primary.info("connected_slaves") == "2");
    conn.expect("CONFIG SET rdb-key-save-delay 0", "+OK");
    assert_eq!(line(&mut new), "+OK");
    Follower::greeted(new).take_data();
    let said = String::from_utf8_lossy(&old.wait_closed()).into_owned();
    assert_eq!(said.trim(), "", "it may try again");
}

#[test]
fn one_that_wants_the_data_alone_is_let_go_with_it() {
    let primary = Server::start();
    primary.connect().prepare(ALL_TYPES);
    let mut conn = primary.connect();
    conn.expect("REPLCONF rdb-only 1 capa eof", "+OK");
    conn.send(b"PSYNC ? -1\r\n");
    let mut follower = Follower::greeted(conn);
    follower.take_data();
    assert_eq!(follower.conn.wait_closed(), b"");
}

#[test]
fn a_replica_that_dies_in_the_middle_costs_nothing() {
    let primary = Server::start();
    primary.connect().prepare("DEBUG POPULATE 200000 key 100");
    let mut conn = primary.connect();
    conn.expect("REPLCONF capa eof", "+OK");
    conn.send(b"PSYNC ? -1\r\n");
    let follower = Follower::greeted(conn);
    drop(follower);
    eventually("it is forgotten", || primary.info("connected_slaves") == "0");
    primary.connect().prepare("SET after 1");
    let replica = replica_of(&primary);
    wait_up(&replica);
    assert_same(&primary, &replica);
}
