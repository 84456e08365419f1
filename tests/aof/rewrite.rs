//! BGREWRITEAOF and its automatic kin: the files become small, and nothing is lost whenever the server
//! dies.

use crate::{ALWAYS, digest};
use larder_tests::{Rng, Server, encode, eventually};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn manifest(server: &Server) -> String {
    let path = server.dir().join("appendonlydir/appendonly.aof.manifest");
    fs::read_to_string(path).expect("a manifest")
}

/// The names of all files of the set, the manifest's among them.
fn files(server: &Server) -> Vec<String> {
    let folder = fs::read_dir(server.dir().join("appendonlydir")).expect("a folder");
    let mut names: Vec<_> = folder
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

fn rewritten(server: &Server) {
    eventually("the rewrite ends", || {
        server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0"
    });
    assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
}

fn check_files(server: &Server) {
    let path = server.dir().join("appendonlydir/appendonly.aof.manifest");
    let output = Command::new("redis-check-aof").arg(&path).output().expect("redis-tools");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("All AOF files and manifest are valid"), "{text}");
}

#[test]
fn a_rewrite_leaves_a_base_and_an_increment() {
    let mut server = Server::with(&ALWAYS);
    let mut conn = server.connect();
    conn.prepare("SELECT 3\nSET a 1\nSET soon x PX 100000");
    for number in 0..500 {
        conn.run(&format!("LPUSH list {number}"));
        conn.run("RPOP list");
    }
    conn.prepare("RPUSH list last");
    let size: u64 = server.info("aof_current_size").parse().expect("a number");
    conn.expect("BGREWRITEAOF", "+Background append only file rewriting started");
    rewritten(&server);
    let expected = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                    file appendonly.aof.2.incr.aof seq 2 type i\n";
    assert_eq!(manifest(&server), expected);
    let expected =
        ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"];
    assert_eq!(files(&server), expected);
    assert!(server.info("aof_current_size").parse::<u64>().expect("a number") < size / 10);
    assert_eq!(server.info("aof_rewrites"), "1");
    // The new file says itself which database it speaks of.
    conn.prepare("SET b 2");
    check_files(&server);
    let before = digest(&mut conn);
    server.restart();
    let mut conn = server.connect();
    assert_eq!(digest(&mut conn), before);
    conn.prepare("SELECT 3");
    conn.expect("MGET a b", r#"["1", "2"]"#);
}

#[test]
fn a_file_can_begin_and_end_while_the_server_runs() {
    let mut server = Server::start();
    let mut conn = server.connect();
    conn.prepare("SET a 1\nCONFIG SET appendonly yes");
    rewritten(&server);
    eventually("it is on", || server.info("aof_enabled") == "1");
    conn.prepare("SET b 1");
    conn.prepare("CONFIG SET appendonly no\nSET c 1");
    assert_eq!(server.info("aof_enabled"), "0");
    conn.prepare("CONFIG SET appendonly yes");
    rewritten(&server);
    conn.prepare("CONFIG SET appendfsync always\nSET d 1");
    check_files(&server);
    server.signal("KILL");
    server.wait_exit();
    let port = server.addr().port().to_string();
    let dir = server.dir().display().to_string();
    let mut again = Command::new(larder_tests::program());
    again.args(["--port", &port, "--dir", &dir, "--save", "", "--appendonly", "yes"]);
    let mut again = again
        .stdout(fs::File::create(server.dir().join("log2")).expect("a log"))
        .spawn()
        .expect("it starts");
    eventually("all is there", || {
        larder_tests::Conn::tcp(server.addr())
            .is_ok_and(|mut conn| conn.run("MGET a b c d").to_string() == r#"["1", "1", "1", "1"]"#)
    });
    again.kill().expect("the child is ours");
    again.wait().expect("the child is ours");
}

#[test]
fn a_file_that_has_grown_is_rewritten() {
    let server = Server::with(
        &[&ALWAYS[..], &["--auto-aof-rewrite-min-size", "10kb", "--appendfsync", "no"]].concat(),
    );
    let mut conn = server.connect();
    let value = "x".repeat(1000);
    for _ in 0..40 {
        conn.call(&["SET", "a", &value]);
    }
    eventually("it is rewritten", || server.info("aof_rewrites") != "0");
    rewritten(&server);
    let base: u64 = server.info("aof_base_size").parse().expect("a number");
    assert!(base < 10_000, "{base}");
}

#[test]
fn kills_in_the_middle_of_rewrites_lose_nothing() {
    let mut server = Server::with(&ALWAYS);
    let mut rng = Rng::new(7);
    let mut conn = server.connect();
    for number in 0..2000 {
        conn.send(&encode(&["SET", &format!("filler:{number}"), &"y".repeat(100)]));
    }
    (0..2000).for_each(|_| drop(conn.reply()));
    let mut last = 0;
    for round in 0..15 {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let (server, stop) = (&server, &stop);
            let writer = scope.spawn(move || {
                let mut conn = server.connect();
                let mut confirmed = last;
                while !stop.load(Ordering::Relaxed) {
                    let sent = conn.try_send(&encode(&["INCR", "counter"]));
                    match sent.and_then(|()| conn.try_reply()) {
                        Ok(reply) if reply.value.kind() == ':' => confirmed = reply.value.int(),
                        _ => break,
                    }
                }
                confirmed
            });
            let mut conn = server.connect();
            conn.run("BGREWRITEAOF");
            thread::sleep(Duration::from_micros(rng.below(30_000) as u64));
            server.signal("KILL");
            stop.store(true, Ordering::Relaxed);
            last = writer.join().expect("the writer");
        });
        server.restart();
        let mut conn = server.connect();
        let found = match conn.run("GET counter") {
            larder_tests::Value::Nil => 0,
            value => value.text().parse::<i64>().expect("a number"),
        };
        assert!((last..=last + 1).contains(&found), "round {round}: {found} after {last}");
        conn.expect("DBSIZE", if found > 0 { ":2001" } else { ":2000" });
        check_files(&server);
        last = found;
    }
}

#[test]
fn debug_loadaof_finds_what_is_there() {
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "no"]);
    let mut conn = server.connect();
    conn.prepare("SELECT 2\nRPUSH list a b\nPEXPIRE list 100000\nHSET hash f v");
    let before = digest(&mut conn);
    conn.prepare("DEBUG LOADAOF");
    assert_eq!(digest(&mut conn), before);
    conn.prepare("BGREWRITEAOF");
    rewritten(&server);
    conn.prepare("RPUSH list c");
    let before = digest(&mut conn);
    conn.prepare("DEBUG LOADAOF");
    assert_eq!(digest(&mut conn), before);
}
