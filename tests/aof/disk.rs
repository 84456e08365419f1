//! A disk that is full: nothing half-written counts, and clients are told.
//!
//! A limit on the size of files stands in for the disk: a write ends in the middle, the next one
//! fails, and `prlimit` lifts the limit while the server runs.

use crate::{ALWAYS, increment};
use larder_tests::{Conn, Server, Value, encode, eventually, program};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

/// A server that gets an error, and no signal, where a file would grow beyond the limit.
fn server(args: &[&str]) -> (Server, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let script = dir.path().join("server");
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nexec {} \"$@\"\n", program().display());
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    (Server::launch(&script, args), dir)
}

fn limit(server: &Server, bytes: &str) {
    let fsize = format!("--fsize={bytes}:unlimited");
    let pid = server.pid().to_string();
    let status = Command::new("prlimit").args([&fsize, "--pid", &pid]).status();
    assert!(status.expect("prlimit is part of every Debian").success());
}

/// SELECT and SET.
const WHOLE_BYTES: u64 = 50;

/// Writes to an empty increment, and once more when there is room for a part of it only.
fn fail_half_way(server: &Server, conn: &mut Conn, size: impl Fn() -> u64) {
    conn.prepare("SET a 1");
    eventually("it is written", || size() == WHOLE_BYTES);
    limit(server, &(WHOLE_BYTES + 10).to_string());
    // With luck its failure is known before the reply.
    conn.run("SET a 2");
    eventually("it fails", || server.info("aof_last_write_status") == "err");
}

#[test]
fn writes_are_refused_until_there_is_room_again() {
    let (mut server, _script) = server(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut conn = server.connect();
    let path = increment(&server);
    let size = || fs::metadata(&path).expect("the increment").len();
    fail_half_way(&server, &mut conn, size);
    assert_eq!(size(), WHOLE_BYTES, "what was half-written is taken away");
    const REFUSED: &str = "-MISCONF Errors writing to the AOF file: File too large";
    conn.expect("SET a 3", REFUSED);
    conn.expect("PING", REFUSED);
    let scripted = conn.run("EVAL \"return redis.call('SET', KEYS[1], 1)\" 1 b");
    assert!(scripted.is_error("MISCONF Errors writing to the AOF file"), "{scripted}");
    conn.expect("GET a", "\"2\"");
    limit(&server, "unlimited");
    eventually("it goes on", || server.info("aof_last_write_status") == "ok");
    conn.expect("SET b 1", "+OK");
    assert!(server.log().contains("AOF write error looks solved"));
    server.signal("TERM");
    server.wait_exit();
    server.restart();
    server.connect().expect("MGET a b", r#"["2", "1"]"#);
}

#[test]
fn what_is_taken_away_leaves_no_hole_in_a_file_that_began_later() {
    let (server, _script) = server(&["--appendfsync", "everysec"]);
    let mut conn = server.connect();
    conn.prepare("CONFIG SET appendonly yes");
    eventually("it is kept", || {
        server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0"
    });
    let path = increment(&server);
    let size = || fs::metadata(&path).expect("the increment").len();
    fail_half_way(&server, &mut conn, size);
    limit(&server, "unlimited");
    eventually("it goes on", || server.info("aof_last_write_status") == "ok");
    // It is written and read again, from the first byte to the last.
    conn.expect("DEBUG LOADAOF", "+OK");
    conn.expect("GET a", "\"2\"");
    assert_eq!(size(), WHOLE_BYTES + 27);
}

#[test]
fn where_replies_wait_for_the_disk_the_server_ends() {
    let (mut server, _script) = server(&ALWAYS);
    let mut conn = server.connect();
    conn.prepare("SET a 1");
    let whole = fs::metadata(increment(&server)).expect("the increment").len();
    limit(&server, &(whole + 10).to_string());
    conn.send(&encode(&["SET", "a", "2"]));
    assert_eq!(conn.reply(), Value::Closed, "it is not confirmed");
    assert_eq!(server.wait_exit().code(), Some(1));
    assert_eq!(fs::metadata(increment(&server)).expect("the increment").len(), whole);
    server.restart();
    server.connect().expect("GET a", "\"1\"");
}
