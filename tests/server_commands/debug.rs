//! DEBUG: what tests of Redis-compatible servers lean on.

use std::time::{Duration, Instant};

use larder_tests::{Server, compare};

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
