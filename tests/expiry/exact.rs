//! Exact expiry. Redis samples, so these hold Larder to its own promise: what is due is gone without
//! anyone asking for it, counted as expired once, and its memory is given back.

use std::time::{Duration, Instant};

use larder_tests::{Server, encode, eventually};

fn number(server: &Server, field: &str) -> u64 {
    server.info(field).parse().unwrap_or_else(|_| panic!("{field} is a number"))
}

/// Stores `count` keys that are due between `from` and `to` milliseconds from now.
fn store(server: &Server, count: usize, from: usize, to: usize) {
    let mut conn = server.connect();
    for batch in (0..count).collect::<Vec<_>>().chunks(1000) {
        let mut bytes = Vec::new();
        for i in batch {
            let deadline = (from + i * (to - from) / count).to_string();
            bytes.extend(encode(&["SET", &format!("due:{i:08}"), "value", "PX", &deadline]));
        }
        conn.send(&bytes);
        for _ in batch {
            assert_eq!(conn.reply().to_string(), "+OK");
        }
    }
}

#[test]
fn what_is_due_is_gone_though_nobody_asks() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.expect("SET stays 1", "+OK");
    store(&server, 20_000, 200, 1500);
    // DBSIZE touches no key. Seconds of grace on top: a bound against never, not a measurement.
    eventually("all that is due is gone", || conn.run("DBSIZE").int() == 1);
    assert_eq!(number(&server, "expired_keys"), 20_000);
    conn.expect("GET stays", "\"1\"");
    conn.expect("DBSIZE", ":1");
}

#[test]
fn a_key_read_late_counts_once() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("DEBUG SET-ACTIVE-EXPIRE 0\nSET a 1 PX 1");
    std::thread::sleep(Duration::from_millis(10));
    conn.expect("DBSIZE", ":1");
    assert_eq!(number(&server, "expired_keys"), 0);
    conn.expect("GET a", "nil");
    conn.expect("GET a", "nil");
    conn.expect("DBSIZE", ":0");
    assert_eq!(number(&server, "expired_keys"), 1);
    conn.prepare("SET b 1 PX 1\nDEBUG SET-ACTIVE-EXPIRE 1");
    eventually("the active expiry resumes", || conn.run("DBSIZE").int() == 0);
}

#[test]
fn memory_does_not_keep_the_dead() {
    let server = Server::start();
    let mut conn = server.connect();
    let before = number(&server, "used_memory");
    let value = "v".repeat(1000);
    let deadline = Instant::now() + Duration::from_secs(8);
    for i in 0..20_000 {
        conn.call(&["SET", &format!("k{i}"), &value, "PX", "1500"]);
        assert!(Instant::now() < deadline + Duration::from_secs(50), "stores crawl");
    }
    eventually("all keys expired", || conn.run("DBSIZE").int() == 0);
    let bound = before + (4 << 20);
    eventually("their memory is counted free", || number(&server, "used_memory") < bound);
}

#[test]
fn a_moved_deadline_counts_and_the_old_one_does_not() {
    let server = Server::start();
    let mut conn = server.connect();
    for i in 0..2000 {
        let key = format!("k{i}");
        conn.call(&["SET", &key, "v", "PX", "300"]);
        match i % 4 {
            0 => conn.call(&["PERSIST", &key]),
            1 => conn.call(&["EXPIRE", &key, "1000"]),
            2 => conn.call(&["SET", &key, "w", "KEEPTTL"]),
            _ => conn.call(&["RENAME", &key, &format!("renamed{i}")]),
        };
    }
    eventually("half of them are due", || conn.run("DBSIZE").int() == 1000);
    std::thread::sleep(Duration::from_millis(200));
    conn.expect("DBSIZE", ":1000");
    conn.expect("TTL k0", ":-1");
    assert!(conn.run("TTL k1").int() > 900);
    conn.expect("EXISTS k2 renamed3", ":0");
}

#[test]
fn each_database_expires_and_reports() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("SET a 1 EX 1000\nSELECT 3\nSET b 1 PX 300\nSET c 1 EX 1000\nSET d 1");
    assert!(server.info("db0").starts_with("keys=1,expires=1,avg_ttl="));
    assert!(server.info("db3").starts_with("keys=3,expires=2,avg_ttl="));
    eventually("the one in database 3 is gone", || conn.run("DBSIZE").int() == 2);
    assert!(server.info("db3").starts_with("keys=2,expires=1,avg_ttl="));
}
