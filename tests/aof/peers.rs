//! Redis's own tools and servers read our files, and we read theirs.

use crate::{ALWAYS, digest, increment};
use larder_tests::{Redis, Rng, Server, encode, eventually};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes of all types.
fn fill(server: &Server) {
    let mut conn = server.connect();
    conn.prepare(
        r##"
        SET string value
        SETRANGE long 200000 x
        INCRBYFLOAT number 10.5
        SET soon gone PX 100000
        RPUSH list a b c
        LPUSH list 1
        SADD set 1 2 3 x
        SPOP set
        HSET hash f v g w
        HINCRBY hash n 5
        ZADD zset 1 a 2.5 b
        XADD stream * field value
        XGROUP CREATE stream group 0
        XREADGROUP GROUP group consumer STREAMS stream >
        GEOADD geo 13.3 38.1 Palermo
        PFADD log a b c
        SETBIT bits 1000 1
        SELECT 7
        SET other db
        MULTI
        INCR x
        INCR y
        EXEC
        EVAL "redis.call('SET', KEYS[1], 1); redis.call('INCR', KEYS[1])" 1 scripted
        FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
        "##,
    );
    let mut rng = Rng::new(1);
    for _ in 0..2000 {
        let (key, value) = (format!("key:{}", rng.below(300)), rng.below(1000).to_string());
        let command = match rng.below(4) {
            0 => vec!["SET", &key, &value],
            1 => vec!["DEL", &key],
            2 => vec!["APPEND", &key, &value],
            _ => vec!["EXPIRE", &key, "1000"],
        };
        conn.send(&encode(&command));
    }
    for _ in 0..2000 {
        conn.reply();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

#[test]
fn the_checker_accepts_our_files() {
    let server = Server::with(&ALWAYS);
    fill(&server);
    let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
    let output = Command::new("redis-check-aof").arg(&manifest).output().expect("redis-tools");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("All AOF files and manifest are valid"), "{text}");
}

#[test]
fn redis_loads_our_files() {
    let server = Server::with(&ALWAYS);
    fill(&server);
    let expected = digest(&mut server.connect());
    let redis = Redis::with_files(&["--appendonly", "yes"], |dir| {
        copy(&server.dir().join("appendonlydir"), &dir.join("appendonlydir"));
    });
    assert_eq!(digest(&mut redis.connect()), expected);
    redis.connect().expect("FCALL f 0", ":1");
}

#[test]
fn we_load_the_files_of_redis() {
    let redis = Redis::with(&ALWAYS);
    fill(&redis);
    let expected = digest(&mut redis.connect());
    let server = Server::with_files(&["--appendonly", "yes"], |dir| {
        copy(&redis.dir().join("appendonlydir"), &dir.join("appendonlydir"));
    });
    assert_eq!(digest(&mut server.connect()), expected);
    server.connect().expect("FCALL f 0", ":1");
    assert!(increment(&server).exists());
}

#[test]
fn a_replica_keeps_a_file_of_what_its_primary_sends() {
    let redis = Redis::start();
    fill(&redis);
    let port = redis.addr().port().to_string();
    let primary = ["--replicaof", "127.0.0.1", &port];
    let mut server = Server::with(&[&ALWAYS[..], &primary].concat());
    let follows = |server: &Server| {
        eventually("it follows", || digest(&mut server.connect()) == digest(&mut redis.connect()));
    };
    follows(&server);
    eventually("the file begins with that", || {
        server.info("aof_rewrite_in_progress") == "0"
            && server.info("aof_rewrite_scheduled") == "0"
            && server.info("aof_rewrites") != "0"
    });
    let mut conn = redis.connect();
    conn.prepare("SELECT 7\nSET streamed 1");
    follows(&server);
    server.connect().prepare("BGREWRITEAOF");
    eventually("it is rewritten", || server.info("aof_rewrite_in_progress") == "0");
    // No SELECT comes over the link: the new file has to know.
    conn.prepare("RPUSH behind a b\nMULTI\nINCR x\nINCR y\nEXEC");
    follows(&server);
    let expected = digest(&mut conn);
    drop(redis);
    server.restart();
    assert_eq!(digest(&mut server.connect()), expected);
}
