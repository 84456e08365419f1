//! The commands that work on keys of any type: presence, names, databases, listing, OBJECT.

mod scan;
mod sort;

use larder_tests::{Server, compare, compare_with};

#[test]
fn del_unlink_exists_touch_type() {
    compare(
        r#"
        MSET a 1 b 2 c 3
        EXISTS a b c missing a
        TOUCH a b missing a
        DEL a a missing
        UNLINK b b missing
        EXISTS a b c
        TYPE c
        TYPE missing
        DEL missing
        UNLINK missing
        DEL
        UNLINK
        EXISTS
        TOUCH
        TYPE
        TYPE a b
        DBSIZE
        DBSIZE x
        DEL "" "\x00"
        "#,
    );
}

#[test]
fn rename_moves_value_and_deadline() {
    compare(
        r#"
        RENAME missing new
        RENAMENX missing new
        RENAME missing missing
        RENAMENX missing missing
        SET a 1 EX 100
        SET b 2
        RENAME a b
        GET b
        EXISTS a
        @near 1 TTL b
        SET a 3
        RENAME a b
        TTL b
        SET c 4
        RENAMENX b c
        GET b
        RENAMENX b d
        GET d
        RENAME d d
        GET d
        RENAMENX d d
        RENAME d
        RENAME
        RENAME d e f
        RENAMENX d
        DBSIZE
        "#,
    );
}

#[test]
fn copy_within_and_across_databases() {
    compare(
        r#"
        SET a 1 EX 100
        COPY a b
        GET b
        @near 1 TTL b
        COPY a b
        SET a 2
        COPY a b REPLACE
        GET b
        TTL b
        COPY a a
        COPY a a REPLACE
        COPY a a DB 0
        COPY a a DB 1
        COPY a a DB 1
        COPY a a DB 1 REPLACE
        COPY a a REPLACE DB 1
        COPY missing b
        COPY missing missing
        COPY a b DB 16
        COPY a b DB -1
        COPY a b DB x
        COPY a b DB 9223372036854775807
        COPY a b DB
        COPY a b DB 1 DB 2
        COPY a b REPLACE REPLACE
        COPY a b BOGUS
        COPY a
        COPY
        SELECT 1
        @unordered KEYS *
        GET a
        SELECT 2
        @unordered KEYS *
        "#,
    );
}

#[test]
fn move_and_swapdb_and_flush() {
    compare(
        r#"
        SET a 1 EX 100
        MOVE a 1
        EXISTS a
        SELECT 1
        GET a
        @near 1 TTL a
        SELECT 0
        SET a 2
        MOVE a 1
        GET a
        MOVE a 0
        MOVE missing 0
        MOVE missing 1
        MOVE a 16
        MOVE a -1
        MOVE a x
        MOVE a 9223372036854775808
        MOVE a
        MOVE
        SWAPDB 0 1
        GET a
        @b GET a
        SWAPDB 0 0
        SWAPDB 0 16
        SWAPDB -1 0
        SWAPDB x 0
        SWAPDB 0 x
        SWAPDB 0
        SWAPDB
        SELECT 1
        DBSIZE
        FLUSHDB
        DBSIZE
        SELECT 0
        DBSIZE
        FLUSHDB ASYNC
        DBSIZE
        SET a 1
        FLUSHDB SYNC
        SET a 1
        FLUSHALL sync
        DBSIZE
        SET a 1
        FLUSHALL ASYNC
        DBSIZE
        FLUSHALL BOGUS
        FLUSHDB ASYNC SYNC
        FLUSHDB x y z
        FLUSHALL ASYNC x
        "#,
    );
}

#[test]
fn every_database_is_apart() {
    compare(
        r#"
        SET k 0
        SELECT 15
        EXISTS k
        SET k 15
        SELECT 16
        GET k
        SELECT -1
        SELECT x
        SELECT 1.0
        SELECT ""
        SELECT 9223372036854775808
        SELECT
        SELECT 0 1
        SELECT 0
        GET k
        FLUSHALL
        SELECT 15
        EXISTS k
        "#,
    );
    compare_with(
        &["--databases", "2"],
        "SELECT 1\nSELECT 2\nCOPY a b DB 2\nSWAPDB 0 2\nMOVE a 2\n",
    );
}

#[test]
fn randomkey_and_keys() {
    compare(
        r#"
        RANDOMKEY
        KEYS *
        SET only 1
        RANDOMKEY
        RANDOMKEY x
        KEYS
        KEYS a b
        MSET one 1 two 2 three 3 four 4 o\ne x ONE y "t w" z
        @unordered KEYS *
        @unordered KEYS o*
        @unordered KEYS t?o
        @unordered KEYS t[hw]*
        @unordered KEYS [^o]*
        @unordered KEYS [a-o]n[a-f]*
        @unordered KEYS "o\\\\ne"
        @unordered KEYS "*\\\\n*"
        KEYS two
        KEYS nothing*
        KEYS ""
        @unordered KEYS **o**
        @unordered KEYS [
        @unordered KEYS [one
        @unordered KEYS [^
        @unordered KEYS *[
        @unordered KEYS "one\\"
        @unordered KEYS [o-]ne
        @unordered KEYS [z-a]ne
        @unordered KEYS "[\\o]ne"
        @unordered KEYS []one
        @unordered KEYS ???
        "#,
    );
}

#[test]
fn glob_agrees_with_redis_on_many_patterns() {
    let names =
        ["", "a", "ab", "abc", "b", "-", "]", "^", "\\\\", "a-c", "A", "[a]", "a*b", "\\xff"];
    let patterns = [
        "a",
        "?",
        "??",
        "*",
        "a*",
        "*a",
        "*b*",
        "[abc]",
        "[^abc]",
        "[a-c]",
        "[c-a]",
        "[a-]",
        "[-a]",
        "[]]",
        "[]a]",
        "[^]]",
        "[\\\\]]",
        "\\\\*",
        "\\\\[a\\\\]",
        "a\\\\*b",
        "[a",
        "[a-",
        "[^a",
        "*]",
        "[A-Z]",
        "\\\\",
        "\\\\\\\\",
        "?*?",
        "***a***",
        "[\\xf0-\\xff]",
        "a?",
        "[a-b][a-b]",
        "[^-]",
        "[a\\\\-c]",
    ];
    let mut script = String::new();
    for name in names {
        script.push_str(&format!("SET \"{name}\" 1\n"));
    }
    for pattern in patterns {
        script.push_str(&format!("@unordered KEYS \"{pattern}\"\n"));
    }
    compare(&script);
}

#[test]
fn object_subcommands() {
    compare(
        r#"
        SET a 1
        SET b word
        OBJECT ENCODING a
        OBJECT ENCODING b
        OBJECT ENCODING missing
        OBJECT REFCOUNT b
        OBJECT REFCOUNT missing
        @near 1 OBJECT IDLETIME b
        OBJECT IDLETIME missing
        OBJECT FREQ b
        OBJECT FREQ missing
        object encoding b
        OBJECT
        OBJECT BOGUS
        OBJECT BOGUS a
        OBJECT ENCODING
        OBJECT ENCODING a b
        OBJECT REFCOUNT
        OBJECT FREQ
        OBJECT IDLETIME a b
        @kind OBJECT HELP
        OBJECT HELP x
        "#,
    );
    compare_with(
        &["--maxmemory-policy", "allkeys-lfu"],
        r#"
        SET a word
        OBJECT FREQ a
        OBJECT FREQ missing
        OBJECT IDLETIME a
        OBJECT IDLETIME missing
        COPY a b
        OBJECT FREQ b
        "#,
    );
}

#[test]
fn idle_time_counts_seconds_and_is_not_touched_by_looking() {
    compare(
        r#"
        SET a word
        SET b word
        @sleep 2100 @near 4 OBJECT IDLETIME a
        TTL a
        TYPE a
        EXISTS a
        OBJECT ENCODING a
        @near 4 OBJECT IDLETIME a
        TOUCH a
        GET b
        @near 1 OBJECT IDLETIME a
        @near 1 OBJECT IDLETIME b
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect();
    conn.expect("SET a word", "+OK");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(conn.run("OBJECT IDLETIME a").int() >= 1, "two seconds without use");
    conn.run("TYPE a");
    assert!(conn.run("OBJECT IDLETIME a").int() >= 1, "TYPE is not a use");
}

#[test]
fn help_texts_are_lists_of_simple_strings() {
    let server = Server::start();
    let mut conn = server.connect();
    for container in
        ["OBJECT", "CLIENT", "CONFIG", "COMMAND", "MEMORY", "LATENCY", "SLOWLOG", "DEBUG"]
    {
        let lines = conn.run(&format!("{container} HELP")).items();
        let first = lines.first().map(ToString::to_string).unwrap_or_default();
        let start =
            format!("+{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
        assert_eq!(first, start);
        assert!(lines.iter().all(|line| line.kind() == '+'), "{container} HELP: {lines:?}");
        let tail: Vec<String> = lines.iter().rev().take(2).map(ToString::to_string).collect();
        assert_eq!(tail, ["+    Print this help.", "+HELP"], "{container} HELP");
    }
}

#[test]
fn case_of_names_does_not_matter() {
    compare(
        "sEt a 1\ngEt a\nObJeCt eNcOdInG a\nset a 2 xX gEt\nCLIENT getname\nconfig GET databases\n",
    );
}
