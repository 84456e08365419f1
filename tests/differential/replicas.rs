//! Random writes of every row on a primary, whose replica is a `redis-server`: in the end both have the
//! same data, whatever the commands left to chance and to the clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use larder_tests::{Conn, Redis, Server, encode, eventually};

use crate::generate::Generator;
use crate::pool::KEYS;
use crate::rows::{Row, rows};

/// Rounds, and commands in each.
const ROUNDS: u64 = 6;
const COMMANDS: usize = 1500;

/// Commands that say nothing about data, or stop the run.
const LEFT_OUT: [&str; 2] = ["flushall", "function|restore"];

#[test]
fn random_writes_make_the_same_data_on_a_redis_replica() {
    let primary = Server::start();
    let port = primary.addr().port().to_string();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]);
    eventually("the link is up", || replica.info("master_link_status") == "up");
    let theirs = rows(&replica);
    let mut rows: BTreeMap<String, Row> = rows(&primary);
    rows.retain(|name, row| {
        let writes = row.flags.iter().any(|flag| flag == "write");
        writes && theirs.contains_key(name) && !LEFT_OUT.contains(&name.as_str())
    });
    assert!(rows.len() > 100, "{} rows write", rows.len());
    for seed in 0..ROUNDS {
        round(&primary, &replica, &rows, seed);
    }
    assert_eq!(primary.info("sync_full"), "1", "a replica that stops at an effect comes back");
}

/// Runs one round and compares.
fn round(primary: &Server, replica: &Server, rows: &BTreeMap<String, Row>, seed: u64) {
    let mut generator = Generator::new(rows, seed);
    let (mut conn, mut cutter) = (primary.connect(), primary.connect());
    let mut lines = Vec::new();
    let mut run = |conn: &mut Conn, words: &[Vec<u8>]| {
        lines.push(
            words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" "),
        );
        conn.send(&encode(words));
        conn.try_reply().expect("an answer");
    };
    run(&mut conn, &[b"FLUSHALL".to_vec()]);
    for number in 0..COMMANDS {
        if number % 100 == 0 {
            for key in KEYS.iter().flat_map(|(_, keys)| keys.iter()) {
                let Some((_, words)) = generator.maker(key) else { continue };
                run(&mut conn, &words);
            }
        }
        if number % 500 == 499 {
            cutter.run("CLIENT KILL TYPE replica");
        }
        let in_transaction = generator.pool.chance(3);
        if in_transaction {
            run(&mut conn, &[b"MULTI".to_vec()]);
        }
        for _ in 0..if in_transaction { 4 } else { 1 } {
            let (_, words) = generator.command();
            run(&mut conn, &words);
        }
        if in_transaction {
            run(&mut conn, &[b"EXEC".to_vec()]);
        }
    }
    compare(primary, replica, &lines, seed);
}

/// A value, read in one way, as words; weights as the numbers that they are, since releases write them
/// differently.
fn shown(conn: &mut Conn, key: &str) -> Vec<String> {
    let kind = conn.call(&["TYPE", key]).text();
    let words: &[&str] = match kind.as_str() {
        "zset" => &["ZRANGE", key, "0", "-1", "WITHSCORES"],
        _ => &["DEBUG", "DIGEST-VALUE", key],
    };
    let deadline = conn.call(&["PEXPIRETIME", key]).to_string();
    let items = conn.call(words).items();
    let words = items.iter().enumerate().map(|(at, item)| match item.text().parse::<f64>() {
        Ok(weight) if at % 2 == 1 => format!("{weight:e}"),
        _ => item.to_string(),
    });
    [kind, deadline].into_iter().chain(words).collect()
}

fn compare(primary: &Server, replica: &Server, lines: &[String], seed: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while primary.info("master_repl_offset") != replica.info("slave_repl_offset") {
        assert!(Instant::now() < deadline, "the replica does not follow:\n{}", replica.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    for db in 0..16 {
        let (mut ours, mut theirs) = (primary.connect(), replica.connect());
        ours.run(&format!("SELECT {db}"));
        theirs.run(&format!("SELECT {db}"));
        let mut keys = ours.run("KEYS *").items();
        keys.extend(theirs.run("KEYS *").items());
        for key in keys {
            let key = key.text();
            let [here, there] = [&mut ours, &mut theirs].map(|conn| shown(conn, &key));
            if here != there {
                let related: Vec<&str> =
                    lines.iter().filter(|line| line.contains(&key)).map(String::as_str).collect();
                let last = related[related.len().saturating_sub(15)..].join("\n  ");
                panic!(
                    "seed {seed}, database {db}: {key} is {here:?} and on the replica {there:?}\n  \
                     {last}"
                );
            }
        }
    }
}
