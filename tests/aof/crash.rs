//! A node that is killed while clients write: with `appendfsync always` whatever was confirmed is
//! there again, and what belongs together is there as a whole or not at all.

use crate::ALWAYS;
use larder_tests::{Conn, Rng, Server, Value, encode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often a node is killed, over all tests in here.
const KILLS: usize = 200;
/// Nodes that are killed beside each other.
const NODES: usize = 4;
const CLIENTS: usize = 3;

/// What one client knows: the highest number that was confirmed, and the highest it asked for.
#[derive(Clone, Copy, Default)]
struct Known {
    confirmed: i64,
    asked: i64,
}

/// Writes until the connection breaks, several commands at a time.
fn write(mut conn: Conn, client: usize, known: &mut Known, rng: &mut Rng, stop: &AtomicBool) {
    let [single, left, right, scripted] =
        ["single", "left", "right", "scripted"].map(|name| format!("{name}:{client}"));
    let script =
        "redis.call('SET', KEYS[1], ARGV[1]); redis.call('RPUSH', KEYS[1] .. ':list', ARGV[1])";
    while !stop.load(Ordering::Relaxed) {
        let depth = 1 + rng.below(4) as i64;
        let mut bytes = Vec::new();
        for _ in 0..depth {
            known.asked += 1;
            let number = known.asked.to_string();
            bytes.extend(encode(&["SET", &single, &number]));
            bytes.extend(encode(&["MULTI"]));
            bytes.extend(encode(&["SET", &left, &number]));
            bytes.extend(encode(&["SET", &right, &number]));
            bytes.extend(encode(&["EXEC"]));
            bytes.extend(encode(&["EVAL", script, "1", &scripted, &number]));
        }
        if conn.try_send(&bytes).is_err() {
            return;
        }
        for _ in 0..depth {
            for _ in 0..6 {
                match conn.try_reply() {
                    Ok(reply) if reply.value != Value::Closed => {}
                    _ => return,
                }
            }
            known.confirmed += 1;
        }
    }
}

/// Looks at what a client wrote before the kill.
fn check(conn: &mut Conn, client: usize, known: &mut Known) {
    let mut number = |key: &str| match conn.run(&format!("GET {key}:{client}")) {
        Value::Nil => 0,
        value => value.text().parse::<i64>().expect("a number"),
    };
    let found = ["single", "left", "right", "scripted"].map(&mut number);
    for number in found {
        assert!(
            (known.confirmed..=known.asked).contains(&number),
            "client {client}: {found:?} after {} of {}",
            known.confirmed,
            known.asked
        );
    }
    let [single, left, right, scripted] = found;
    assert!(left == right && single >= left && left >= scripted, "client {client}: {found:?}");
    let list = conn.run(&format!("LINDEX scripted:{client}:list -1"));
    let last = if list == Value::Nil { 0 } else { list.text().parse().expect("a number") };
    assert_eq!(last, scripted, "a script's effects belong together");
    // What came and was not confirmed counts as there from now on.
    known.confirmed = single;
    known.asked = single;
    let next = single.to_string();
    for key in ["left", "right", "scripted"] {
        conn.run(&format!("SET {key}:{client} {next}"));
    }
    conn.run(&format!("RPUSH scripted:{client}:list {next}"));
}

#[test]
fn what_was_confirmed_survives_every_kill() {
    thread::scope(|scope| {
        for node in 0..NODES {
            scope.spawn(move || kill_again_and_again(node as u64));
        }
    });
}

fn kill_again_and_again(seed: u64) {
    let mut server = Server::with(&ALWAYS);
    let mut rng = Rng::new(seed);
    let mut known = [Known::default(); CLIENTS];
    for _ in 0..KILLS / NODES {
        let lifetime = Duration::from_micros(rng.below(25_000) as u64);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for (client, known) in known.iter_mut().enumerate() {
                let (conn, stop) = (server.connect(), &stop);
                let mut rng = Rng::new(rng.bits());
                scope.spawn(move || write(conn, client, known, &mut rng, stop));
            }
            thread::sleep(lifetime);
            server.signal("KILL");
            stop.store(true, Ordering::Relaxed);
        });
        server.restart();
        let mut conn = server.connect();
        for (client, known) in known.iter_mut().enumerate() {
            check(&mut conn, client, known);
        }
    }
    assert!(known.iter().all(|known| known.confirmed > 0), "somebody got nothing confirmed");
}

#[test]
fn who_waits_for_a_key_is_served_once_the_disk_knows() {
    let mut server = Server::with(&ALWAYS);
    let mut waiting = server.connect();
    waiting.send(&encode(&["BLPOP", "list", "0"]));
    let mut conn = server.connect();
    larder_tests::eventually("it waits", || server.info("blocked_clients") == "1");
    conn.run("DEBUG AOF-FLUSH-SLEEP 200000");
    conn.send(&encode(&["RPUSH", "list", "a", "b"]));
    assert!(waiting.silent_for(Duration::from_millis(100)), "it is not on the disk yet");
    assert_eq!(waiting.reply().to_string(), r#"["list", "a"]"#);
    server.signal("KILL");
    server.restart();
    server.connect().expect("LRANGE list 0 -1", r#"["b"]"#);
}

#[test]
fn others_go_on_while_replies_wait() {
    let server = Server::with(&[&ALWAYS[..], &["--threads", "1"]].concat());
    let mut conn = server.connect();
    conn.run("DEBUG AOF-FLUSH-SLEEP 300000");
    let mut writer = server.connect();
    writer.send(&encode(&["SET", "a", "1"]));
    // Only replies wait: a second one's commands run meanwhile, and one write covers both.
    let mut other = server.connect();
    other.send(&[encode(&["INCR", "a"]), encode(&["GET", "a"]), encode(&["INCR", "a"])].concat());
    larder_tests::eventually("it runs", || server.info("total_commands_processed") != "0");
    assert_eq!(writer.reply().to_string(), "+OK");
    assert_eq!(other.reply().to_string(), ":2");
    assert_eq!(other.reply().to_string(), "\"2\"");
    assert_eq!(other.reply().to_string(), ":3");
    // A message that comes meanwhile stays behind the replies before it.
    let mut subscriber = server.connect();
    subscriber.send(&[encode(&["SET", "a", "1"]), encode(&["SUBSCRIBE", "channel"])].concat());
    larder_tests::eventually("it subscribes", || server.info("pubsub_channels") == "1");
    conn.run("PUBLISH channel hello");
    assert_eq!(subscriber.reply().to_string(), "+OK");
    assert_eq!(subscriber.reply().to_string(), r#"["subscribe", "channel", :1]"#);
    assert_eq!(subscriber.reply().to_string(), r#"["message", "channel", "hello"]"#);
}

#[test]
fn a_stop_writes_what_there_is() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "no"]);
    let mut conn = server.connect();
    for number in 0..1000 {
        conn.send(&encode(&["RPUSH", "list", &number.to_string()]));
    }
    for _ in 0..1000 {
        conn.reply();
    }
    server.signal("TERM");
    assert_eq!(server.wait_exit().code(), Some(0));
    server.restart();
    server.connect().expect("LLEN list", ":1000");
}
