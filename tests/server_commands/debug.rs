//! DEBUG: what tests of Redis-compatible servers lean on.

use std::time::{Duration, Instant};

use larder_tests::{Server, compare, compare_with};

#[test]
fn debug_is_off_unless_allowed() {
    let refused = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \
                   \"local\", you can run it from a local connection, otherwise you need to set this \
                   option in the configuration file, and then restart the server.";
    let server = Server::with(&["--enable-debug-command", "no"]);
    server.connect().expect("DEBUG SLEEP 0", refused);
    let server = Server::with(&["--enable-debug-command", "local"]);
    server.connect().expect("DEBUG SLEEP 0", "+OK");
}

#[test]
fn sleep_holds_the_reply() {
    let server = Server::start();
    let mut conn = server.connect();
    let start = Instant::now();
    conn.expect("DEBUG SLEEP 0.2", "+OK");
    assert!(start.elapsed() >= Duration::from_millis(200));
    compare("DEBUG SLEEP 0\nDEBUG SLEEP 0.001\nDEBUG SLEEP\nDEBUG sleep 0.01\n");
}

#[test]
fn the_digest_depends_on_content_alone() {
    let server = Server::start();
    let mut conn = server.connect();
    let zero = "+0000000000000000000000000000000000000000";
    conn.expect("DEBUG DIGEST", zero);
    conn.prepare("SET a 1\nSET b word\nSET c 1 EX 1000");
    let first = conn.run("DEBUG DIGEST").to_string();
    assert_eq!(first.len(), 41);
    assert_ne!(first, zero);
    conn.prepare("FLUSHALL\nSET c 1 EX 2000\nSET b wo\nAPPEND b rd\nSET a 0\nINCR a");
    assert_eq!(conn.run("DEBUG DIGEST").to_string(), first, "order and history do not count");
    conn.prepare("SET a 2");
    assert_ne!(conn.run("DEBUG DIGEST").to_string(), first);
    conn.prepare("SET a 1\nSELECT 1\nSET z 1");
    assert_ne!(conn.run("DEBUG DIGEST").to_string(), first, "every database counts");
    conn.prepare("SELECT 0\nSET same 1\nSET same2 1");
    let values = conn.run("DEBUG DIGEST-VALUE same same2 missing").items();
    assert_eq!(values[0], values[1]);
    assert_eq!(values[2].text(), "0".repeat(40));
}

#[test]
fn digests_are_redis_digests() {
    // The digest of strings is defined byte by byte, so two implementations can be compared.
    compare(
        r#"
        DEBUG DIGEST
        SET a 1
        SET b word
        SET c "\x00\xff"
        SET d v EX 1000
        DEBUG DIGEST
        DEBUG DIGEST-VALUE a b c d missing
        DEBUG DIGEST-VALUE
        SELECT 5
        SET a 1
        DEBUG DIGEST
        "#,
    );
}

#[test]
fn digests_of_collections_are_redis_digests() {
    let mut script = String::from(
        r#"
        RPUSH list a 1 "" b
        RPUSH other b 1 "" a
        SADD ints 1 2 -3
        SADD words 1 2 word ""
        HSET hash a 1 b "" "" 2
        PEXPIRE hash 1000000
        ZADD zset 1 a 1.5 b -inf c inf d 1e10 e 123456789 f 0.1 g 1e-9 h -0 i 3e20 j
        XADD stream 1-1 a 1 b 2
        XADD stream 2-0 a 1 b 3
        XADD stream 2-1 c 1
        XDEL stream 2-0
        "#,
    );
    for number in 0..300 {
        script.push_str(&format!("RPUSH long element:{number}\nSADD large member:{number}\n"));
        script.push_str(&format!(
            "HSET fields f{number} {number}\nZADD scores {number}.25 m{number}\n"
        ));
    }
    // 7.0 prints 17 digits of a score here, 7.2 as few as it takes.
    script.push_str(
        "DEBUG DIGEST-VALUE zset
        = [+0bd7bfeee1e7b2cf0f41fbc000e45f12d8ae7dff]
        DEL zset
        DEBUG DIGEST-VALUE list other ints words hash stream long large fields scores
        DEBUG DIGEST\n",
    );
    compare_with(&["--list-max-listpack-size", "100"], &script);
}

#[test]
fn layouts_are_told_of_values_that_have_them() {
    let server = Server::with(&["--list-max-listpack-size", "10"]);
    let mut conn = server.connect();
    conn.prepare("HSET hash a 1\nRPUSH short 1\nSADD set a b");
    for number in 0..200 {
        conn.prepare(&format!(
            "SADD table m{number}\nRPUSH long {number}\nZADD scores 1 m{number}"
        ));
    }
    conn.expect("DEBUG LISTPACK hash", "+The listpack's layout is in the log");
    conn.expect("DEBUG LISTPACK short", "+The listpack's layout is in the log");
    conn.expect("DEBUG LISTPACK long", "-ERR Not a listpack encoded object.");
    conn.expect("DEBUG QUICKLIST long 1", "+The quicklist's layout is in the log");
    conn.expect("DEBUG QUICKLIST short", "-ERR Not a quicklist encoded object.");
    conn.expect("DEBUG QUICKLIST missing", "-ERR no such key");
    let text = conn.run("DEBUG OBJECT long").text();
    assert!(text.contains(" ql_nodes:2") && text.contains(" ql_listpack_max:10 "), "{text}");
    for key in ["table", "scores"] {
        let text = conn.run(&format!("DEBUG HTSTATS-KEY {key}")).text();
        assert!(text.contains("\n number of elements: 200\n"), "{text}");
    }
    let refused =
        "-ERR The value stored at the specified key is not represented using an hash table";
    conn.expect("DEBUG HTSTATS-KEY set", refused);
    conn.expect("DEBUG HTSTATS-KEY long", refused);
}

#[test]
fn other_subcommands() {
    compare(
        r#"
        DEBUG
        DEBUG BOGUS
        DEBUG SET-ACTIVE-EXPIRE 0
        DEBUG SET-ACTIVE-EXPIRE 1
        DEBUG CHANGE-REPL-ID
        DEBUG QUICKLIST-PACKED-THRESHOLD 100b
        DEBUG QUICKLIST-PACKED-THRESHOLD x
        DEBUG OBJECT missing
        SET a word
        @kind DEBUG OBJECT a
        DEBUG OBJECT
        DEBUG STRINGMATCH-LEN 1000 x*
        DEBUG LOG hello
        DEBUG ERROR "some error"
        @kind DEBUG HELP
        DEBUG POPULATE 10
        DBSIZE
        GET key:3
        DEBUG POPULATE 5 pre 20
        STRLEN pre:4
        DBSIZE
        DEBUG PROTOCOL string
        DEBUG PROTOCOL integer
        DEBUG PROTOCOL double
        DEBUG PROTOCOL null
        DEBUG PROTOCOL array
        DEBUG PROTOCOL set
        DEBUG PROTOCOL map
        DEBUG PROTOCOL bignum
        DEBUG PROTOCOL true
        DEBUG PROTOCOL false
        DEBUG PROTOCOL verbatim
        DEBUG PROTOCOL bogus
        DEBUG JMAP
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect();
    let before = server.info("master_replid");
    conn.prepare("DEBUG CHANGE-REPL-ID");
    assert_ne!(server.info("master_replid"), before);
    conn.prepare("SET a word");
    let text = conn.run("DEBUG OBJECT a").text();
    for field in [
        "Value at:",
        " refcount:1 ",
        " encoding:embstr ",
        " serializedlength:",
        " lru:",
        " lru_seconds_idle:",
    ] {
        assert!(text.contains(field), "{field:?} is not in {text}");
    }
}

#[test]
fn attributes_and_pushes_of_resp3() {
    let server = Server::start();
    let mut conn = server.connect3();
    conn.expect(
        "DEBUG PROTOCOL attrib",
        "|{\"key-popularity\": [\"key:123\", :90]} \"Some real reply following the attribute\"",
    );
    // A push that a command causes never comes between the command and its reply.
    conn.expect("DEBUG PROTOCOL push", "\"Some real reply following the push reply\"");
    assert_eq!(conn.reply().to_string(), ">[\"server-cpu-usage\", :42]");
}
