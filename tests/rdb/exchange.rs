//! Files and payloads go from server to server, and the keys stay what they are.

use crate::populate::{bytes, essence, names, populate, populate_fields};
use larder_tests::{Redis, Server};
use std::fs;
use std::process::Command;

/// Every key of `from` is copied to `to` as a payload, and is the same there.
fn dump_and_restore(from: &Server, to: &Server) {
    let (mut source, mut target) = (from.connect(), to.connect());
    for key in names(&mut source) {
        let payload = bytes(source.call(&[b"DUMP", &key[..]]));
        let ttl = source.call(&[b"PEXPIRETIME", &key[..]]).int().max(0).to_string();
        let reply =
            target.call(&[b"RESTORE", &key[..], ttl.as_bytes(), &payload, b"ABSTTL", b"REPLACE"]);
        let name = String::from_utf8_lossy(&key);
        assert_eq!(reply.to_string(), "+OK", "{name}");
        assert_eq!(essence(&mut target, &key), essence(&mut source, &key), "{name}");
    }
    let size = source.run("DBSIZE");
    assert_eq!(target.run("DBSIZE"), size);
    assert!(size.int() > 30);
}

/// The data set of `from` goes to `to` as a file.
fn save_and_load(from: &Server, to: &Server) {
    let (mut source, mut target) = (from.connect(), to.connect());
    // Writes the file and reads it again.
    source.expect("DEBUG RELOAD", "+OK");
    fs::copy(from.dir().join("dump.rdb"), to.dir().join("dump.rdb")).expect("a dump file");
    target.expect("DEBUG RELOAD NOSAVE", "+OK");
    let mut keys = names(&mut target);
    keys.sort();
    let mut wanted = names(&mut source);
    wanted.sort();
    assert_eq!(keys, wanted);
    for key in keys {
        let name = String::from_utf8_lossy(&key);
        assert_eq!(essence(&mut target, &key), essence(&mut source, &key), "{name}");
    }
    assert_eq!(target.run("DEBUG DIGEST"), source.run("DEBUG DIGEST"));
}

fn check(server: &Server) {
    let output = Command::new("redis-check-rdb")
        .arg(server.dir().join("dump.rdb"))
        .output()
        .expect("redis-check-rdb");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Checksum OK"), "{text}");
}

#[test]
fn payloads_of_redis_are_restored_here_and_ours_there() {
    let (larder, redis) = (Server::start(), Redis::start());
    populate(&redis);
    dump_and_restore(&redis, &larder);
    redis.connect().expect("FLUSHALL", "+OK");
    dump_and_restore(&larder, &redis);
}

#[test]
fn files_of_redis_are_loaded_here_and_ours_there() {
    let (larder, redis) = (Server::start(), Redis::start());
    populate(&redis);
    redis.connect().prepare("SELECT 3\nSET elsewhere x\nSELECT 9\nSADD there 1 2");
    save_and_load(&redis, &larder);
    redis.connect().expect("FLUSHALL", "+OK");
    save_and_load(&larder, &redis);
    check(&larder);
}

#[test]
fn files_are_exchanged_with_a_newer_redis() {
    let Some(redis) = Redis::newer(&[]) else { return };
    let larder = Server::start();
    populate(&redis);
    populate_fields(&redis);
    dump_and_restore(&redis, &larder);
    save_and_load(&redis, &larder);
    redis.connect().expect("FLUSHALL", "+OK");
    dump_and_restore(&larder, &redis);
    redis.connect().expect("FLUSHALL", "+OK");
    save_and_load(&larder, &redis);
    let mut conns = [&larder, &redis].map(Server::connect);
    for size in [3, 130, 700] {
        let line = format!("HPEXPIRETIME timed:{size} FIELDS 3 0 1 2");
        let [ours, theirs] = conns.each_mut().map(|conn| conn.run(&line).to_string());
        assert_eq!(ours, theirs);
    }
}

#[test]
fn settings_of_forms_are_kept_to() {
    let small = [
        "--hash-max-listpack-entries",
        "2",
        "--zset-max-listpack-entries",
        "2",
        "--set-max-listpack-entries",
        "1",
        "--set-max-intset-entries",
        "2",
        "--list-max-listpack-size",
        "2",
        "--rdbcompression",
        "no",
    ];
    let (larder, redis) = (Server::with(&small), Redis::start());
    populate(&redis);
    save_and_load(&redis, &larder);
    larder.connect().expect("OBJECT ENCODING scores", "\"skiplist\"");
    larder.connect().expect("OBJECT ENCODING ints", "\"hashtable\"");
    let back = Server::start();
    save_and_load(&larder, &back);
    back.connect().expect("OBJECT ENCODING scores", "\"listpack\"");
}

#[test]
fn functions_go_with_the_file() {
    let (larder, redis) = (Server::start(), Redis::start());
    let code = "#!lua name=lib\nredis.register_function('one', function() return 1 end)";
    redis.connect().call(&["FUNCTION", "LOAD", code]);
    redis.connect().expect("SET k v", "+OK");
    save_and_load(&redis, &larder);
    larder.connect().expect("FCALL one 0", ":1");
    larder.connect().expect("FLUSHALL", "+OK");
    larder.connect().expect("SET mine v", "+OK");
    redis.connect().expect("FUNCTION FLUSH", "+OK");
    save_and_load(&larder, &redis);
    redis.connect().expect("FCALL one 0", ":1");
    let (mut conn, all) = (larder.connect(), "DEBUG RELOAD NOSAVE NOFLUSH");
    let reply = conn.run(all);
    assert!(reply.is_error("ERR Error trying to load the RDB dump"), "{reply}");
    conn.expect(&format!("{all} MERGE"), "+OK");
    conn.expect("FCALL one 0", ":1");
}
