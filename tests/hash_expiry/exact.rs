//! Exact expiry of fields. Redis leaves fields that are due where they are until somebody looks at
//! them or a round of its own comes by, and some of its commands show them; these hold Larder to its
//! own promise.

use std::time::Duration;

use larder_tests::{Conn, Server, encode, eventually};

/// What a server does with small hashes and with large ones.
fn servers() -> [Server; 2] {
    [Server::start(), Server::with(&["--hash-max-listpack-entries", "0"])]
}

fn number(server: &Server, field: &str) -> u64 {
    server.info(field).parse().unwrap_or_else(|_| panic!("{field} is a number"))
}

/// Makes hashes of a hundred fields that expire after so many milliseconds.
fn store(conn: &mut Conn, hashes: usize, span_ms: &str, value: &str) {
    for hash in 0..hashes {
        let (mut bytes, hash) = (Vec::new(), format!("h{hash}"));
        for field in 0..100 {
            let field = format!("f{field}");
            let command = ["HSETEX", &hash, "PX", span_ms, "FIELDS", "1", &field, value];
            bytes.extend(encode(&command));
        }
        conn.send(&bytes);
        (0..100).for_each(|_| assert_eq!(conn.reply().to_string(), ":1"));
    }
}

#[test]
fn what_is_due_is_gone_though_nobody_asks() {
    for server in servers() {
        let mut conn = server.connect();
        conn.expect("HSET stays a 1 b 2", ":2");
        conn.expect("HPEXPIRE stays 200 FIELDS 1 a", "[:1]");
        store(&mut conn, 200, "300", "value");
        // DBSIZE touches no key.
        eventually("all that is due is gone", || conn.run("DBSIZE").int() == 1);
        assert_eq!(number(&server, "expired_subkeys"), 20_001);
        assert_eq!(number(&server, "expired_keys"), 0);
        conn.expect("HLEN stays", ":1");
        conn.expect("HGET stays b", "\"2\"");
    }
}

#[test]
fn fields_that_are_due_are_seen_by_nobody() {
    for server in servers() {
        let mut conn = server.connect();
        conn.prepare("DEBUG SET-ACTIVE-EXPIRE 0\nHSET h a 1 b 2 c 3\nHSET g a 1");
        conn.expect("HPEXPIRE h 300 FIELDS 2 a b", "[:1, :1]");
        conn.expect("HPEXPIRE g 300 FIELDS 1 a", "[:1]");
        conn.expect("HEXPIRE h 100 FIELDS 1 c", "[:1]");
        let left_ms = conn.run("HPTTL h FIELDS 1 c").items()[0].int();
        assert!((1..=100_000).contains(&left_ms), "{left_ms}");
        conn.expect("HPERSIST h FIELDS 1 c", "[:1]");
        conn.expect("HPTTL h FIELDS 2 c d", "[:-1, :-2]");
        assert_eq!(server.info("db0").rsplit(',').next(), Some("subexpiry=2"));
        std::thread::sleep(Duration::from_millis(310));
        assert_eq!(number(&server, "expired_subkeys"), 0);
        // A paused node removes nothing, and hides what is due all the same.
        conn.expect("CLIENT PAUSE 100000 WRITE", "+OK");
        for (command, reply) in [
            ("HGET h a", "nil"),
            ("HMGET h a c", "[nil, \"3\"]"),
            ("HLEN h", ":1"),
            ("HKEYS h", "[\"c\"]"),
            ("HVALS h", "[\"3\"]"),
            ("HGETALL h", "[\"c\", \"3\"]"),
            ("HEXISTS h b", ":0"),
            ("HSTRLEN h b", ":0"),
            ("HSCAN h 0", "[\"0\", [\"c\", \"3\"]]"),
            ("HRANDFIELD h", "\"c\""),
            ("HRANDFIELD h -2", "[\"c\", \"c\"]"),
            ("HTTL h FIELDS 2 a c", "[:-2, :-1]"),
            ("HPTTL h FIELDS 2 a c", "[:-2, :-1]"),
            ("HLEN g", ":0"),
            ("EXISTS g", ":0"),
            ("TYPE g", "+none"),
            ("KEYS *", "[\"h\"]"),
            ("SCAN 0 COUNT 10000", "[\"0\", [\"h\"]]"),
        ] {
            conn.expect(command, reply);
        }
        assert_eq!(number(&server, "expired_subkeys"), 0);
        conn.expect("CLIENT UNPAUSE", "+OK");
        conn.expect("EXISTS g", ":0");
        assert_eq!(number(&server, "expired_subkeys"), 1);
        for (command, reply) in [
            ("HDEL h a", ":0"),
            ("HSET h b 5", ":1"),
            ("HTTL h FIELDS 1 b", "[:-1]"),
            ("HLEN h", ":2"),
            ("DBSIZE", ":1"),
        ] {
            conn.expect(command, reply);
        }
        assert_eq!(number(&server, "expired_subkeys"), 3);
        assert!(!server.info("db0").contains("subexpiry"));
    }
}

#[test]
fn memory_does_not_keep_the_dead() {
    for server in servers() {
        let mut conn = server.connect();
        let before = number(&server, "used_memory");
        let value = "v".repeat(60);
        store(&mut conn, 200, "1000", &value);
        eventually("all fields expired", || conn.run("DBSIZE").int() == 0);
        let bound = before + (1 << 20);
        eventually("their memory is counted free", || number(&server, "used_memory") < bound);
    }
}
