//! What a replica makes of a stream.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{Conn, Rng, Server, eventually};

use crate::generate::Generator;
use crate::pool::KEYS;
use crate::rows::rows;
use crate::{SMALL, assert_same, attach, is_caught_up, next_told, stock};

/// How long random writes are played.
const SPAN: Duration = Duration::from_secs(8);
/// Commands between two cuts.
const BLOCK: usize = 2000;

/// Sends commands in a pipeline and forgets the replies.
fn pipeline(conn: &mut Conn, commands: &[Vec<Vec<u8>>]) {
    let bytes: Vec<u8> = commands.iter().flat_map(|words| larder_tests::encode(words)).collect();
    conn.send(&bytes);
    commands.iter().for_each(|_| drop(conn.try_reply().expect("a reply")));
}

#[test]
fn random_writes_of_all_types_give_the_same_data() {
    let args = [&["--repl-backlog-size", "64mb"], &SMALL[..]].concat();
    let (primary, replica) = (stock(&args), Server::with(&SMALL));
    let seconds = std::env::var("LARDER_DIFF_SECONDS").ok().and_then(|text| text.parse().ok());
    let seed = std::env::var("LARDER_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(1);
    eprintln!("LARDER_SEED={seed}");
    let mut rows = rows(&primary);
    rows.retain(|_, row| row.flags.iter().any(|flag| flag == "write"));
    let (mut generator, mut rng) = (Generator::new(&rows, seed), Rng::new(seed));
    let mut theirs = primary.connect();
    theirs.run("CONFIG SET active-expire-effort 10");
    attach(&replica, &primary);
    let end = Instant::now() + seconds.map_or(SPAN, Duration::from_secs);
    let mut cuts = 0;
    while Instant::now() < end {
        let mut commands = Vec::with_capacity(BLOCK);
        while commands.len() < BLOCK {
            let words = next_told(&mut generator);
            let is_transaction = rng.below(20) == 0;
            let word = |word: &str| vec![word.as_bytes().to_vec()];
            if is_transaction {
                commands.extend([word("MULTI"), words, next_told(&mut generator), word("EXEC")]);
            } else {
                commands.push(words);
            }
            if rng.below(10) == 0 {
                let ms = rng.below(30).to_string();
                let (_, keys) = rng.pick(KEYS);
                let key = rng.pick(keys).to_string();
                commands.push(["PEXPIRE", &key, &ms].map(|word| word.as_bytes().to_vec()).into());
            }
        }
        pipeline(&mut theirs, &commands);
        if rng.below(4) == 0 && is_caught_up(&mut primary.connect(), 1) {
            theirs.run("CLIENT KILL TYPE replica");
            cuts += 1;
        }
    }
    // Nothing may be due in between two digests.
    theirs.run("SELECT 0");
    settle(&mut theirs);
    assert_same(&primary, &replica);
    assert_eq!(primary.info("sync_full"), "1", "after {cuts} cuts");
    assert!(replica.log().lines().all(|line| !line.contains("CRITICAL")), "{}", replica.log());
}

#[test]
fn a_count_that_went_round_is_taken_as_it_is() {
    let (primary, replica) = (stock(&[]), Server::start());
    let mut theirs = primary.connect();
    theirs.prepare(
        "XGROUP CREATE full g 0 MKSTREAM ENTRIESREAD 9223372036854775807\nXADD full 1-1 f v
         XADD full 2-1 f v\nXREADGROUP GROUP g c COUNT 1 NOACK STREAMS full >",
    );
    attach(&replica, &primary);
    assert_same(&primary, &replica);
    theirs.prepare(
        "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS full >
         XGROUP CREATE told g 0 MKSTREAM ENTRIESREAD 9223372036854775807\nXADD told 1-1 f v
         XADD told 2-1 f v\nXREADGROUP GROUP g c COUNT 1 STREAMS told >
         XREADGROUP GROUP g c COUNT 1 NOACK STREAMS told >",
    );
    assert_same(&primary, &replica);
    let mut ours = replica.connect();
    for key in ["full", "told"] {
        let line = format!("XINFO GROUPS {key}");
        let groups = ours.run(&line).to_string();
        assert!(groups.contains("-922337203685477580"), "{groups}");
        assert_eq!(groups, theirs.run(&line).to_string());
    }
    assert!(!replica.log().contains("CRITICAL"), "{}", replica.log());
}

#[test]
fn groups_know_how_many_entries_they_read() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    let mut same = |line: &str| {
        theirs.prepare(line);
        assert_same(&primary, &replica);
        let groups = theirs.run("XINFO GROUPS s").to_string();
        assert_eq!(ours.run("XINFO GROUPS s").to_string(), groups, "{line}");
    };
    same("XGROUP CREATE s g 0 MKSTREAM\nXADD s 1-1 f v\nXADD s 2-1 f v\nXADD s 3-1 f v");
    same("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    same("XADD s 4-1 f v\nXDEL s 3-1\nXREADGROUP GROUP g c COUNT 1 STREAMS s >");
    same("XREADGROUP GROUP g d COUNT 1 STREAMS s >\nXCLAIM s g c 0 2-1 LASTID 1-1");
    same("XADD s 5-1 f v\nXREADGROUP GROUP g d NOACK STREAMS s >\nXADD s 6-1 f v");
}

/// Takes the deadlines from all keys, after those that are due went.
fn settle(conn: &mut Conn) {
    thread::sleep(Duration::from_millis(200));
    for db in 0..16 {
        conn.run(&format!("SELECT {db}"));
        for key in conn.run("KEYS *").items() {
            conn.call(&[b"PERSIST".to_vec(), key.text().into_bytes()]);
        }
    }
}

#[test]
fn half_a_transaction_is_never_seen() {
    let (primary, replica) = (stock(&[]), Server::with(&["--threads", "2"]));
    attach(&replica, &primary);
    let mut theirs = primary.connect();
    eventually("the full sync", || is_caught_up(&mut theirs, 1));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut conn = replica.connect();
                    let mut seen = 0;
                    while !done.load(Ordering::Relaxed) {
                        let values = conn.run("MGET {a}1 b2 c3 {a}4").items();
                        assert!(values.windows(2).all(|two| two[0] == two[1]), "{values:?}");
                        seen += 1;
                    }
                    seen
                })
            })
            .collect();
        for number in 0..300 {
            let mut bytes = b"MULTI\r\n".to_vec();
            for key in ["{a}1", "b2", "c3", "{a}4"] {
                bytes.extend_from_slice(format!("SET {key} {number}\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"EXEC\r\n");
            theirs.send(&bytes);
            (0..6).for_each(|_| drop(theirs.reply()));
        }
        eventually("the stream", || is_caught_up(&mut theirs, 1));
        done.store(true, Ordering::Relaxed);
        let seen: u32 = readers.into_iter().map(|reader| reader.join().expect("a reader")).sum();
        assert!(seen > 0);
    });
    assert_same(&primary, &replica);
}

#[test]
fn what_is_due_is_hidden_until_the_primary_takes_it() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    let (mut theirs, mut ours) = (primary.connect(), replica.connect());
    theirs.run("DEBUG SET-ACTIVE-EXPIRE 0");
    theirs.prepare("SET a 1 PX 50\nRPUSH list x\nPEXPIRE list 50\nSET stays 1");
    eventually("the stream", || is_caught_up(&mut theirs, 1));
    thread::sleep(Duration::from_millis(150));
    ours.expect("GET a", "nil");
    ours.expect("EXISTS a list stays", ":1");
    ours.expect("TTL a", ":-2");
    ours.expect("LRANGE list 0 -1", "[]");
    ours.expect("KEYS *", "[\"stays\"]");
    ours.expect("DBSIZE", ":3");
    theirs.expect("GET a", "nil");
    theirs.expect("RPUSH list y", ":1");
    eventually("the stream", || is_caught_up(&mut theirs, 1));
    ours.expect("DBSIZE", ":2");
    ours.expect("LRANGE list 0 -1", "[\"y\"]");
    assert_same(&primary, &replica);
}

#[test]
fn blocked_readers_and_subscribers_are_served() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    let mut theirs = primary.connect();
    theirs.prepare("XADD stream 1-1 f v\nCONFIG SET notify-keyspace-events ''");
    eventually("the stream", || is_caught_up(&mut theirs, 1));
    let (mut reader, mut tracker) = (replica.connect(), replica.connect3());
    let mut subscriber = replica.connect();
    subscriber.run("SUBSCRIBE channel");
    tracker.prepare("CLIENT TRACKING ON");
    tracker.run("GET tracked");
    reader.send(b"XREAD BLOCK 0 STREAMS stream $\r\n");
    eventually("it waits", || replica.info("blocked_clients") == "1");
    theirs.prepare("XADD stream 2-1 f w\nSET tracked 1\nPUBLISH channel message");
    assert_eq!(reader.reply().items()[0].items()[1].items()[0].items()[0].text(), "2-1");
    assert_eq!(subscriber.reply().items()[2].text(), "message");
    assert_eq!(tracker.reply().items()[0].text(), "invalidate");
}

#[test]
fn a_replica_tells_how_late_it_is() {
    let replica = Server::start();
    let mut primary = crate::hostile::lead(&replica);
    let mut conn = replica.connect();
    let mut lag = || {
        let text = conn.run("INFO replication").text();
        let number = |unit: &str| -> u64 {
            let name = format!("master_lag_{unit}:");
            let value = text.lines().find_map(|line| line.strip_prefix(&name)).expect("it is told");
            value.parse().expect("a number")
        };
        (number("bytes"), number("milliseconds"))
    };
    assert_eq!(lag(), (0, 0));
    let command = larder_tests::encode(&["SET", "key", "value"]);
    let (one, other) = command.split_at(command.len() / 2);
    for _ in 0..2 {
        let written = Instant::now();
        primary.write_all(one).expect("the replica takes it");
        eventually("half a command came", || lag().0 == one.len() as u64);
        thread::sleep(Duration::from_millis(300));
        let ((_, ms), elapsed_ms) = (lag(), written.elapsed().as_millis() as u64);
        // All of them are cut to whole milliseconds.
        assert!((250..=elapsed_ms + 1).contains(&ms), "{ms} of {elapsed_ms}");
        primary.write_all(other).expect("the replica takes it");
        eventually("the rest came", || lag() == (0, 0));
    }
    replica.connect().expect("GET key", "\"value\"");
}

#[test]
fn what_a_stock_primary_does_is_not_judged() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    let mut theirs = primary.connect();
    eventually("the full sync", || is_caught_up(&mut theirs, 1));
    // Told with the limit, although what is left is told exactly.
    theirs.prepare("CONFIG SET stream-node-max-entries 2");
    for number in 1..=20 {
        theirs.prepare(&format!("XADD stream MAXLEN ~ 4 LIMIT 2 {number}-1 f v"));
    }
    theirs.prepare("XTRIM stream MAXLEN ~ 1 LIMIT 4\nXTRIM stream MINID ~ 19-1 LIMIT 100");
    // The lower half of an index is all that counts, since 7.2.
    theirs.prepare("RPUSH list a b c");
    theirs.run("LSET list 4294967297 x");
    theirs.run("LSET list -4294967297 y");
    // What was deleted is not looked at, in 7.0.
    theirs.prepare("XADD log 5-1 f v\nXADD log 6-1 f v\nXDEL log 6-1");
    theirs.run("XSETID log 5-5");
    // What follows the last register is looked at by newer ones alone.
    theirs.prepare("PFADD hll a b");
    theirs.call(&[&b"APPEND"[..], b"hll", b"\x80"]);
    theirs.run("PFMERGE merged hll");
    assert_same(&primary, &replica);
    assert!(!replica.log().contains("CRITICAL"), "{}", replica.log());
}
