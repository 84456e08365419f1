//! DUMP and RESTORE answer as Redis does, and are logged with deadlines as instants.

use larder_tests::{Redis, Server, compare, compare_on};

/// DUMP of `SET k hello` by Redis 7.0.
const HELLO: &str = r"\x00\x05hello\x0a\x00cr\xdfve4 \x0a";

#[test]
fn arguments_and_errors() {
    let script = r#"
        DUMP nothing
        RESTORE
        RESTORE k
        RESTORE k 0
        RESTORE k 0 HELLO
        GET k
        RESTORE k 0 HELLO
        RESTORE k 0 HELLO REPLACE
        RESTORE k -1 HELLO REPLACE
        RESTORE k x HELLO REPLACE
        RESTORE k -1 HELLO
        RESTORE k 0 nonsense REPLACE
        RESTORE k 0 "" REPLACE
        RESTORE k 0 "\x00\x05hello\x0a\x00cr\xdfve4 \x0b" REPLACE
        RESTORE k 0 HELLO REPLACE ABSTTL IDLETIME 100
        OBJECT IDLETIME k
        RESTORE k 0 HELLO REPLACE IDLETIME -1
        RESTORE k 0 HELLO REPLACE IDLETIME x
        RESTORE k 0 HELLO REPLACE IDLETIME
        RESTORE k 0 HELLO REPLACE FREQ 256
        RESTORE k 0 HELLO REPLACE FREQ -1
        RESTORE k 0 HELLO REPLACE FREQ 3
        RESTORE k 0 HELLO REPLACE FREQ 3 IDLETIME 3
        RESTORE k 0 HELLO REPLACE IDLETIME 3 FREQ 3
        RESTORE k 0 HELLO REPLACE nonsense
        RESTORE k 100000 HELLO replace
        PERSIST k
        RESTORE k 99999999999999 HELLO REPLACE absttl
        PEXPIRETIME k
        RESTORE k 1 HELLO REPLACE ABSTTL
        EXISTS k
        RESTORE k 0 HELLO
        RESTORE k 9223372036854775807 HELLO REPLACE
        EXISTS k
        RESTORE k 9223372036854775807 HELLO
        EXISTS k
        RESTORE k 9223372036854775807 HELLO ABSTTL
        PEXPIRETIME k
        DEL k
        RESTORE k 1 HELLO ABSTTL
        EXISTS k
        RESTORE k 1 "c\x0a\x00\xae\x7f\x81\xd3\xec\xda\xe1\xfb"
    "#;
    compare(&script.replace("HELLO", &format!("\"{HELLO}\"")));
}

#[test]
fn frequencies() {
    let args = ["--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb"];
    let (larder, redis) = (Server::with(&args), Redis::with(&args));
    let script = r#"
        RESTORE k 0 HELLO FREQ 77
        OBJECT FREQ k
        RESTORE l 0 HELLO IDLETIME 77
        OBJECT FREQ l
    "#;
    compare_on(&larder, &redis, 2, &script.replace("HELLO", &format!("\"{HELLO}\"")));
}
