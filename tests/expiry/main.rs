//! Deadlines: the EXPIRE and TTL families beside Redis, and what Larder promises beyond: expiry that is
//! exact instead of sampled.

mod exact;

use larder_tests::{compare, compare_with};

#[test]
fn expire_family_sets_and_reports() {
    compare(
        r#"
        EXPIRE missing 100
        PEXPIRE missing 100
        EXPIREAT missing 33177117420
        PEXPIREAT missing 33177117420000
        TTL missing
        PTTL missing
        EXPIRETIME missing
        PEXPIRETIME missing
        PERSIST missing
        SET a 1
        TTL a
        PTTL a
        EXPIRETIME a
        PEXPIRETIME a
        PERSIST a
        EXPIRE a 100
        @near 1 TTL a
        @near 1000 PTTL a
        @near 1 EXPIRETIME a
        @near 1000 PEXPIRETIME a
        PEXPIRE a 200000
        @near 1 TTL a
        EXPIREAT a 33177117420
        EXPIRETIME a
        PEXPIRETIME a
        PEXPIREAT a 33177117420789
        EXPIRETIME a
        PEXPIRETIME a
        PERSIST a
        PERSIST a
        TTL a
        "#,
    );
}

#[test]
fn a_deadline_in_the_past_deletes() {
    let mut script = String::new();
    for command in [
        "EXPIRE a 0",
        "EXPIRE a -1",
        "PEXPIRE a 0",
        "PEXPIRE a -1",
        "EXPIREAT a 0",
        "EXPIREAT a 1",
        "EXPIREAT a -1",
        "PEXPIREAT a 0",
        "PEXPIREAT a 1",
        "PEXPIREAT a -1",
        "EXPIRE a -9223372036854775",
        "PEXPIRE a -9223372036854775808",
        "PEXPIREAT a -9223372036854775808",
    ] {
        script.push_str(&format!("SET a 1\n{command}\nEXISTS a\nTTL a\nDBSIZE\nDEL a\n"));
    }
    compare(&script);
}

#[test]
fn conditions() {
    let mut script = String::new();
    let verbs = [
        ("EXPIRE", "100", "200", "50"),
        ("PEXPIRE", "100000", "200000", "50000"),
        ("EXPIREAT", "33177117420", "33177117421", "33177117419"),
        ("PEXPIREAT", "33177117420000", "33177117421000", "33177117419000"),
    ];
    for (verb, middle, more, less) in verbs {
        for condition in [
            "NX",
            "XX",
            "GT",
            "LT",
            "nx",
            "XX GT",
            "XX LT",
            "GT XX",
            "NX XX",
            "NX GT",
            "NX LT",
            "GT LT",
            "NX NX",
            "XX XX",
            "BOGUS",
            "NX BOGUS",
            "GT LT NX XX",
        ] {
            script.push_str(&format!("SET a 1\n{verb} a {middle} {condition}\n@near 2 TTL a\n"));
            // A relative deadline set twice may be a millisecond later the second time.
            let same = if verb.ends_with("AT") { middle } else { more };
            for other in [same, more, less, "-1", "0"] {
                script.push_str(&format!(
                    "SET a 1\n{verb} a {middle}\n{verb} a {other} {condition}\n@near 2 TTL a\n"
                ));
            }
            script.push_str(&format!("{verb} missing {middle} {condition}\n"));
        }
    }
    compare(&script);
}

#[test]
fn numbers_out_of_range() {
    let mut script = String::from("SET a 1\n");
    for verb in ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"] {
        for number in [
            "9223372036854775807",
            "9223372036854775806",
            "9223372036854775808",
            "9223372036854775",
            "9223372036854776",
            "-9223372036854776",
            "-9223372036854775807",
            "-9223372036854775809",
            "x",
            "1.5",
            "\"\"",
            "\" 1\"",
            "+1",
            "01",
            "nan",
        ] {
            script
                .push_str(&format!("SET a 1\n{verb} a {number}\nPEXPIREAT a 33177117420000 XX\n"));
            script.push_str(&format!("{verb} missing {number}\nEXISTS a\n"));
        }
        script.push_str(&format!("{verb}\n{verb} a\n{verb} a 1 NX XX GT LT extra\n"));
    }
    script.push_str("TTL\nTTL a b\nPTTL\nEXPIRETIME\nPEXPIRETIME a b\nPERSIST\nPERSIST a b\n");
    compare(&script);
}

#[test]
fn the_far_future_is_kept_to_the_millisecond() {
    compare(
        r#"
        SET a 1
        PEXPIREAT a 9223372036854775807
        PEXPIRETIME a
        @near 2 TTL a
        PEXPIREAT a 9223372036854775000
        PEXPIRETIME a
        EXPIREAT a 9223372036854775
        EXPIRETIME a
        SET b 1 PXAT 9223372036854775807
        PEXPIRETIME b
        "#,
    );
}

#[test]
fn the_dead_are_gone_for_every_command() {
    let mut script = String::from("DEBUG SET-ACTIVE-EXPIRE 0\n");
    for command in [
        "GET a",
        "STRLEN a",
        "EXISTS a",
        "TYPE a",
        "TTL a",
        "TOUCH a",
        "DEL a",
        "UNLINK a",
        "APPEND a x",
        "INCR a",
        "SETNX a 2",
        "SET a 2 XX",
        "SET a 2 NX",
        "SET a 2 GET",
        "SET a 2 KEEPTTL",
        "GETSET a 2",
        "GETDEL a",
        "GETEX a PERSIST",
        "MGET a",
        "MSETNX a 2",
        "GETRANGE a 0 -1",
        "SETRANGE a 2 x",
        "PERSIST a",
        "EXPIRE a 100",
        "RENAME a b",
        "RENAMENX b a",
        "COPY a b",
        "COPY b a",
        "MOVE a 1",
        "OBJECT ENCODING a",
        "KEYS *",
        "RANDOMKEY",
        "LCS a a",
        "INCRBYFLOAT a 1.5",
        "SCAN 0",
    ] {
        script.push_str(&format!(
            "FLUSHALL\nSET a 1 PX 1\n@sleep 5 {command}\nGET a\nTTL a\nGET b\n"
        ));
    }
    compare(&script);
}

#[test]
fn writing_keeps_or_drops_the_deadline_as_redis_does() {
    let mut script = String::new();
    for command in [
        "APPEND a x",
        "INCR a",
        "DECRBY a 2",
        "INCRBYFLOAT a 1",
        "SETRANGE a 0 9",
        "SET a 2",
        "SET a 2 KEEPTTL",
        "GETSET a 2",
        "MSET a 2",
        "SETEX a 200 2",
        "GETEX a",
        "SET a 2 GET",
        "COPY b a REPLACE",
        "RENAME b a",
    ] {
        script.push_str(&format!("SET a 1 EX 100\nSET b 2\n{command}\n@near 1 TTL a\nDEL a b\n"));
    }
    compare(&script);
}

#[test]
fn time_to_live_rounds_like_redis() {
    compare_with(
        &[],
        r#"
        SET a 1 PX 1499
        @near 60 PTTL a
        TTL a
        SET a 1 PX 1700
        TTL a
        SET a 1 PX 400
        TTL a
        PEXPIREAT a 33177117420501
        EXPIRETIME a
        PEXPIREAT a 33177117420499
        EXPIRETIME a
        "#,
    );
}
