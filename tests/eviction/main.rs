//! `maxmemory`: the limit holds under a flood, each policy takes what it says, and what may not be
//! evicted is refused.

use larder_tests::{Conn, Redis, Rng, Server, Value, compare_on, encode, eventually};

const LIMIT: u64 = 20 << 20;

fn used(server: &Server) -> u64 {
    server.info("used_memory").parse().expect("a number")
}

/// Writes `count` values of `size` bytes in pipelines; returns how many were refused.
fn flood(conn: &mut Conn, prefix: &str, count: usize, size: usize, extra: &[&str]) -> usize {
    let value = "v".repeat(size);
    let mut refused = 0;
    for batch in (0..count).collect::<Vec<_>>().chunks(100) {
        let mut bytes = Vec::new();
        for i in batch {
            let key = format!("{prefix}{i}");
            let mut args = vec!["SET", &key, &value];
            args.extend_from_slice(extra);
            bytes.extend(encode(&args));
        }
        conn.send(&bytes);
        for _ in batch {
            let reply = conn.reply();
            if reply.is_error("OOM ") {
                refused += 1;
            } else {
                assert_eq!(reply.to_string(), "+OK");
            }
        }
    }
    refused
}

fn limited(policy: &str) -> Server {
    Server::with(&["--maxmemory", &LIMIT.to_string(), "--maxmemory-policy", policy])
}

#[test]
fn the_limit_holds_under_a_flood() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let server = limited(policy);
        let mut conn = server.connect();
        for round in 0..10 {
            let refused = flood(&mut conn, &format!("k{round}:"), 5000, 1000, &[]);
            assert_eq!(refused, 0, "{policy} has enough to evict");
            let now = used(&server);
            assert!(now <= LIMIT + LIMIT / 50, "{policy}: {now} is more than 2 % above {LIMIT}");
        }
        assert!(server.info("evicted_keys").parse::<u64>().expect("a number") > 20_000);
        let keys = conn.run("DBSIZE").int();
        assert!(keys > 5000, "{policy} keeps the limit's worth of keys, not {keys}");
    }
}

#[test]
fn the_limit_holds_with_deadlines_and_large_values() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let server = limited(policy);
        let mut conn = server.connect();
        for size in [10, 1000, 100_000] {
            let count = 60_000_000 / (size + 100).max(2000);
            let refused = flood(&mut conn, &format!("{size}:"), count, size, &["EX", "1000"]);
            assert_eq!(refused, 0, "{policy}");
            let now = used(&server);
            assert!(now <= LIMIT + LIMIT / 50, "{policy}: {now} is more than 2 % above {LIMIT}");
        }
    }
}

#[test]
fn volatile_policies_leave_keys_without_a_deadline() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let server = limited(policy);
        let mut conn = server.connect();
        assert_eq!(flood(&mut conn, "stays", 2000, 1000, &[]), 0);
        assert_eq!(flood(&mut conn, "goes", 40_000, 1000, &["EX", "1000"]), 0);
        for i in 0..2000 {
            assert_eq!(conn.run(&format!("EXISTS stays{i}")).int(), 1, "{policy} took stays{i}");
        }
        // Without anything left to take, writes are refused.
        let refused = flood(&mut conn, "more", 40_000, 1000, &[]);
        assert!(refused > 10_000, "{policy} refused {refused}");
        assert_eq!(conn.run("EXISTS stays0 stays1999").int(), 2);
    }
}

#[test]
fn volatile_ttl_takes_the_nearest_deadline_first() {
    let server = limited("volatile-ttl");
    let mut conn = server.connect();
    flood(&mut conn, "far", 5000, 1000, &["EX", "100000"]);
    flood(&mut conn, "near", 30_000, 1000, &["EX", "1000"]);
    let far = (0..5000).filter(|i| conn.run(&format!("EXISTS far{i}")).int() == 1).count();
    assert!(far > 4500, "only {far} of the 5000 distant deadlines were spared");
}

#[test]
fn lru_keeps_what_is_used() {
    let server = limited("allkeys-lru");
    let mut conn = server.connect();
    flood(&mut conn, "hot", 2000, 1000, &[]);
    for round in 0..20 {
        flood(&mut conn, &format!("cold{round}:"), 1500, 1000, &[]);
        for i in 0..2000 {
            conn.run(&format!("GET hot{i}"));
        }
    }
    let hot = (0..2000).filter(|i| conn.run(&format!("EXISTS hot{i}")).int() == 1).count();
    assert!(hot > 1600, "only {hot} of the 2000 used keys survived");
}

#[test]
fn lfu_keeps_what_is_used_often() {
    let server = limited("allkeys-lfu");
    let mut conn = server.connect();
    flood(&mut conn, "hot", 1000, 1000, &[]);
    for _ in 0..60 {
        for i in 0..1000 {
            conn.send(&encode(&["GET", &format!("hot{i}")]));
        }
        for _ in 0..1000 {
            conn.reply();
        }
    }
    // A single pass over much more than fits must not wash them out.
    flood(&mut conn, "scan", 60_000, 1000, &[]);
    let hot = (0..1000).filter(|i| conn.run(&format!("EXISTS hot{i}")).int() == 1).count();
    assert!(hot > 800, "only {hot} of the 1000 frequent keys survived");
}

#[test]
fn noeviction_refuses_writes_and_serves_the_rest() {
    let (server, redis) = (Server::start(), Redis::start());
    for each in [&server, &redis] {
        each.connect().prepare("SET a word\nSET n 1\nSET e v EX 1000\nCONFIG SET maxmemory 1");
    }
    let script = r#"
        SET b 1
        SET a other
        APPEND a x
        INCR n
        INCRBYFLOAT n 1
        MSET a 1 b 2
        SETRANGE a 0 x
        SETNX c 1
        GETSET a 1
        COPY a b
        SETEX a 100 v
        GET a
        GETDEL none
        GETEX a EX 100
        EXPIRE a 100
        PERSIST a
        STRLEN a
        EXISTS a
        RENAME a b
        RENAME b a
        MOVE a 1
        OBJECT ENCODING n
        SET
        SET a
        BOGUS
        DEL n
        @near 1 TTL e
        CONFIG SET maxmemory 0
        SET b 1
    "#;
    compare_on(&server, &redis, 2, script);
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.";
    let mut conn = server.connect();
    conn.prepare("CONFIG SET maxmemory 1");
    conn.expect("SET b 1", oom);
}

#[test]
fn noeviction_recovers_when_something_is_deleted() {
    let server = limited("noeviction");
    let mut conn = server.connect();
    let refused = flood(&mut conn, "k", 40_000, 1000, &[]);
    assert!(refused > 10_000, "refused {refused}");
    assert!(used(&server) <= LIMIT + LIMIT / 50);
    assert_eq!(server.info("evicted_keys"), "0");
    conn.prepare("FLUSHALL");
    eventually("there is room again", || conn.run("SET a 1") == Value::Simple("OK".into()));
}

#[test]
fn lowering_the_limit_evicts_down_to_it() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
    let mut conn = server.connect();
    flood(&mut conn, "k", 30_000, 1000, &[]);
    conn.prepare(&format!("CONFIG SET maxmemory {LIMIT}"));
    eventually("memory is at the limit", || {
        conn.run("SET another one");
        used(&server) <= LIMIT + LIMIT / 50
    });
    assert!(conn.run("DBSIZE").int() > 5000, "and not far below");
}

/// Each key that goes is told to ten clients, which takes ten times what it held until it is sent.
#[test]
fn what_clients_are_told_of_evicted_keys_evicts_no_others() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
    let mut conn = server.connect();
    let mut readers: Vec<Conn> = (0..10).map(|_| server.connect3()).collect();
    readers.iter_mut().for_each(|reader| reader.expect("CLIENT TRACKING ON", "+OK"));
    for number in 0..300 {
        let key = format!("{number}{}", "x".repeat(1000));
        conn.call(&["SET", &key, "value"]);
        for reader in &mut readers {
            assert_eq!(reader.call(&["GET", &key]).to_string(), "\"value\"");
        }
    }
    conn.prepare(&format!("CONFIG SET maxmemory {}", used(&server) - 40_000));
    eventually("it is at the limit", || server.info("evicted_keys") != "0");
    let keys = conn.run("DBSIZE").int();
    assert!((200..300).contains(&keys), "{keys} of 300 keys are left");
    for mut reader in readers {
        assert!(reader.reply().to_string().contains("invalidate"));
    }
}

#[test]
fn one_value_larger_than_the_limit() {
    let server = Server::with(&["--maxmemory", "5mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut conn = server.connect();
    conn.call(&["SET", "huge", &"x".repeat(10 << 20)]);
    // Whatever became of it, the next write finds room or says why not.
    eventually("a small write goes through", || conn.run("SET small 1").to_string() == "+OK");
    conn.expect("GET small", "\"1\"");
}

#[test]
fn evictions_and_random_writes_keep_the_books_straight() {
    let server = Server::with(&["--maxmemory", "8mb", "--maxmemory-policy", "allkeys-random"]);
    let mut conn = server.connect();
    let mut rng = Rng::new(11);
    for _ in 0..30_000 {
        let key = format!("k{}", rng.below(3000));
        match rng.below(5) {
            0 => conn.call(&["DEL", &key]),
            1 => conn.call(&["APPEND", &key, &"a".repeat(rng.below(300))]),
            2 => conn.call(&["SET", &key, &"s".repeat(rng.below(8000)), "EX", "1000"]),
            3 => conn.call(&["SETRANGE", &key, &rng.below(4000).to_string(), "x"]),
            _ => conn.call(&["GETDEL", &key]),
        };
    }
    assert!(used(&server) <= (8 << 20) + (8 << 20) / 50);
    conn.prepare("CONFIG SET maxmemory 0\nFLUSHALL");
    let empty = Server::start();
    let fresh = used(&empty);
    eventually("an emptied server is as small as a fresh one", || {
        used(&server) < fresh + (4 << 20)
    });
}

#[test]
fn the_time_above_the_limit_is_told() {
    let server = Server::with(&["--latency-monitor-threshold", "1"]);
    let mut conn = server.connect();
    conn.call(&["SET", "key", &"x".repeat(1 << 20)]);
    let told = |field: &str| server.info(field).parse::<u64>().expect("a number");
    assert_eq!(told("total_eviction_exceeded_time"), 0);
    conn.expect("CONFIG SET maxmemory 1mb", "+OK");
    assert!(conn.run("SET other value").is_error("OOM "));
    eventually("it counts", || told("current_eviction_exceeded_time") > 20);
    conn.expect("CONFIG SET maxmemory 0", "+OK");
    eventually("it ends", || told("current_eviction_exceeded_time") == 0);
    let total = told("total_eviction_exceeded_time");
    assert!(total >= 20);
    assert_eq!(told("total_eviction_exceeded_time"), total);
    conn.expect("CONFIG RESETSTAT", "+OK");
    assert_eq!(told("total_eviction_exceeded_time"), 0);
}

#[test]
fn long_rounds_of_eviction_and_expiry_are_remembered() {
    let server = Server::with(&["--latency-monitor-threshold", "1"]);
    let mut conn = server.connect();
    let fill = |conn: &mut Conn, key: &str| {
        for batch in 0..200 {
            let members: Vec<String> =
                (0..1000).map(|member| format!("member:{batch}:{member}")).collect();
            let mut args = vec!["SADD", key];
            args.extend(members.iter().map(String::as_str));
            conn.call(&args);
        }
    };
    fill(&mut conn, "expires");
    conn.expect("PEXPIRE expires 10", ":1");
    let events = |conn: &mut Conn| conn.run("LATENCY LATEST").to_string();
    eventually("its end takes a while", || events(&mut conn).contains("expire-cycle"));
    // On a fast machine not each time.
    eventually("eviction takes a while", || {
        conn.expect("CONFIG SET maxmemory 0", "+OK");
        fill(&mut conn, "goes");
        conn.expect("CONFIG SET maxmemory-policy allkeys-random maxmemory 1mb", "+OK");
        conn.run("SET other value");
        let seen = events(&mut conn);
        seen.contains("eviction-cycle") && seen.contains("eviction-del")
    });
}
