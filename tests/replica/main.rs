//! A node as the replica of another one: a stock server, a Larder, or somebody who means no good.

#[path = "../differential/exceptions.rs"]
#[allow(dead_code, reason = "what random commands answer is of no matter here")]
mod exceptions;
#[path = "../differential/generate.rs"]
#[allow(dead_code, reason = "the same")]
mod generate;
#[path = "../differential/pool.rs"]
#[allow(dead_code, reason = "the same")]
mod pool;
#[path = "../differential/rows.rs"]
#[allow(dead_code, reason = "the same")]
mod rows;

mod hostile;
mod roles;
mod soak;
mod streams;
mod syncs;

use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{Conn, Redis, Server, Value, eventually, info_field};

use crate::generate::Generator;

/// Directives of a pair with a stock primary. What lies between two names is up to chance where a large
/// sorted set has several scores, so all of them are small.
const SMALL: [&str; 4] =
    ["--zset-max-listpack-entries", "100000", "--zset-max-listpack-value", "100000"];

/// A stock primary that does not wait for more replicas before it sends its data.
fn stock(args: &[&str]) -> Server {
    let prompt = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];
    Redis::with(&[&prompt, args].concat())
}

/// The next command of which Redis tells its replicas what it did: not of a BITFIELD that makes a string
/// longer and then fails, not in which order SORT stores a set whose weights are missing, and not what lay
/// between two names, which is up to chance once SORT has read a sorted set: it makes any a large one.
fn next_told(generator: &mut Generator) -> Vec<Vec<u8>> {
    let is = |word: &Vec<u8>, name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    loop {
        let (_, words) = generator.command();
        let begins = |name: &str| words.first().is_some_and(|word| is(word, name));
        let has = |names: &[&str]| names.iter().all(|name| words.iter().any(|word| is(word, name)));
        let is_untold = (begins("bitfield") && has(&["fail"]))
            || (begins("sort") && has(&["by", "alpha", "store"]))
            || begins("zremrangebylex")
            || (begins("zrangestore") && has(&["bylex"]));
        if !is_untold {
            return words;
        }
    }
}

/// Makes a node the replica of another one.
fn attach(replica: &Server, primary: &Server) {
    let port = primary.addr().port();
    replica.connect().expect(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK");
}

/// One field of INFO replication.
fn field(conn: &mut Conn, name: &str) -> String {
    let text = conn.run("INFO replication").text();
    info_field(&text, name).unwrap_or_default().to_owned()
}

/// Whether all replicas of a primary, `count` of them, have everything it sent.
fn is_caught_up(primary: &mut Conn, count: usize) -> bool {
    let offset = format!("offset={},", field(primary, "master_repl_offset"));
    (0..count).all(|index| {
        let line = field(primary, &format!("slave{index}"));
        line.contains("state=online") && line.contains(&offset)
    })
}

/// Waits until the only replica of a primary has everything, and compares the data.
fn assert_same(primary: &Server, replica: &Server) {
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    eventually("the replica catches up", || {
        is_caught_up(&mut theirs, 1)
            && field(&mut ours, "master_link_status") == "up"
            && field(&mut ours, "slave_repl_offset") == field(&mut theirs, "master_repl_offset")
    });
    assert_same_data(&mut theirs, &mut ours);
}

/// Compares the data of two servers. What is due in a hash goes by and by, and has some time for it.
fn assert_same_data(theirs: &mut Conn, ours: &mut Conn) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while digest(ours) != digest(theirs)
        && let Some(found) = difference(theirs, ours)
    {
        assert!(Instant::now() < deadline, "the data sets differ: {found}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The first key in which two servers differ. Digests alone do not tell: before 7.2 Redis writes scores
/// into them with more digits than they need.
fn difference(theirs: &mut Conn, ours: &mut Conn) -> Option<String> {
    let both =
        |conns: &mut [&mut Conn; 2], words: &[&str]| conns.each_mut().map(|conn| conn.call(words));
    let differ = |conns: &mut [&mut Conn; 2], words: &[&str]| {
        let [theirs, ours] = both(conns, words);
        theirs.to_string() != ours.to_string()
    };
    let mut conns = [theirs, ours];
    for db in 0..16 {
        both(&mut conns, &["SELECT", &db.to_string()]);
        let keys = both(&mut conns, &["KEYS", "*"]);
        let mut keys: Vec<_> =
            keys.iter().flat_map(|keys| keys.items()).map(|key| key.text()).collect();
        keys.sort();
        keys.dedup();
        for key in &keys {
            if !differ(&mut conns, &["DEBUG", "DIGEST-VALUE", key]) {
                continue;
            }
            let kinds = both(&mut conns, &["TYPE", key]).map(|kind| kind.to_string());
            if kinds.iter().all(|kind| kind == "+zset") && !differ(&mut conns, &["PTTL", key]) {
                let members = both(&mut conns, &["ZRANGE", key, "0", "-1", "WITHSCORES"]);
                let [theirs, ours] = members.map(|members| members_of(&members.items()));
                if theirs == ours {
                    continue;
                }
            }
            let dumps = both(&mut conns, &["DUMP", key]);
            return Some(format!("database {db}, {key}: {kinds:?}\n{}\n{}", dumps[0], dumps[1]));
        }
    }
    None
}

/// A sorted set as names and scores.
fn members_of(words: &[Value]) -> Vec<(String, f64)> {
    let pairs = words.chunks_exact(2);
    pairs.map(|pair| (pair[0].text(), pair[1].text().parse().expect("a score"))).collect()
}

fn digest(conn: &mut Conn) -> String {
    conn.run("DEBUG DIGEST").text()
}
