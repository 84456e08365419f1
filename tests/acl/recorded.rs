//! Scripts whose replies were recorded from Redis 7.2.
//!
//! 7.0, which Debian has, words its denials and describes a user's commands otherwise, so the replies
//! of 7.2.6 lie in `recorded/`, in both protocols. Where `LARDER_TEST_REDIS` names a 7.2, its replies
//! are compared as well; with `LARDER_RECORD=1` they are what is recorded from then on.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use larder_tests::{Conn, Redis, Server, Value};

/// Runs a script on a Larder with these directives; the replies must be the recorded ones.
///
/// Lines are as in [`larder_tests::compare`], with `@b`, `@c` and `@kind` alone.
#[track_caller]
pub(crate) fn recorded(name: &str, args: &[&str], script: &str) {
    for protocol in [2, 3] {
        let file = format!("{}/acl/recorded/{name}.{protocol}.txt", env!("CARGO_MANIFEST_DIR"));
        if let Some(redis) = peer(args) {
            let theirs = transcript(&redis, protocol, script);
            if std::env::var_os("LARDER_RECORD").is_some() {
                fs::create_dir_all(Path::new(&file).parent().expect("a folder")).expect("made");
                fs::write(&file, &theirs).expect("it can be written");
            }
            compare(name, protocol, &transcript(&Server::with(args), protocol, script), &theirs);
        }
        let wanted = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        compare(name, protocol, &transcript(&Server::with(args), protocol, script), &wanted);
    }
}

/// A Redis 7.2, if that is what the environment names.
fn peer(args: &[&str]) -> Option<Server> {
    std::env::var_os("LARDER_TEST_REDIS")?;
    let redis = Redis::start();
    let is_7_2 = redis.info("redis_version").starts_with("7.2");
    is_7_2.then(|| Redis::with(args))
}

#[track_caller]
fn compare(name: &str, protocol: u8, ours: &str, wanted: &str) {
    let differ: Vec<String> = ours
        .lines()
        .zip(wanted.lines())
        .filter(|(ours, wanted)| ours != wanted)
        .take(12)
        .map(|(ours, wanted)| format!("  larder: {ours}\n  redis:  {wanted}"))
        .collect();
    assert!(differ.is_empty(), "{name}, RESP{protocol}:\n{}", differ.join("\n"));
    assert_eq!(ours.lines().count(), wanted.lines().count(), "{name} was recorded otherwise");
}

/// Each line of the script with its reply.
fn transcript(server: &Server, protocol: u8, script: &str) -> String {
    let mut open: HashMap<char, Conn> = HashMap::new();
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (mut on, mut only_kind, mut rest) = ('a', false, line);
        while let Some((modifier, tail)) = rest.strip_prefix('@').and_then(|r| r.split_once(' ')) {
            match modifier {
                "b" => on = 'b',
                "c" => on = 'c',
                "kind" => only_kind = true,
                _ => panic!("unknown modifier: {line}"),
            }
            rest = tail;
        }
        let conn = open.entry(on).or_insert_with(|| {
            let mut conn = server.connect();
            if protocol == 3 {
                conn.run("HELLO 3");
            }
            conn
        });
        let reply = conn.run(rest);
        let shown = if only_kind { reply.kind().to_string() } else { reply.to_string() };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line} => {shown}");
        if reply == Value::Closed {
            open.remove(&on);
        }
    }
    text
}
