//! Sets: the commands on their members, each on integers, on a packed set and on a table.

mod encoding;
mod operations;
mod random;
mod scan;

use larder_tests::{compare, compare_with};

/// Runs a script on small sets, and again where every set is a table. `@unordered` is for the latter.
#[track_caller]
fn on_all(script: &str) {
    compare(script);
    // The names of 7.0 and what 7.2 added differ, so Redis keeps its own defaults here.
    compare_with(
        &["--set-max-intset-entries", "0"],
        &format!("@skip CONFIG SET set-max-listpack-entries 0\n{script}"),
    );
}

#[test]
fn members_come_and_go() {
    on_all(
        r#"
        SADD s a b c
        SADD s c d d
        SADD s a
        SCARD s
        SCARD missing
        @unordered SMEMBERS s
        SMEMBERS missing
        SISMEMBER s a
        SISMEMBER s x
        SISMEMBER missing a
        SMISMEMBER s a x b a
        SMISMEMBER missing a b
        SREM s a x b a
        SREM missing a
        SREM s x
        @unordered SMEMBERS s
        SREM s c d e
        EXISTS s
        SADD s "" "\x00" "\xff" 012 12 " 1" 9223372036854775808
        SISMEMBER s ""
        SISMEMBER s 12
        SISMEMBER s 1
        SREM s 12
        SISMEMBER s 012
        @unordered SMEMBERS s
        TYPE s
        "#,
    );
}

#[test]
fn integers_are_members_like_others() {
    on_all(
        r#"
        SADD i 3 1 2 -1 300 70000 5000000000 -5000000000
        SADD i 1 01
        SADD j 3 1 2 -1 300 70000 5000000000 -5000000000 9223372036854775807 -9223372036854775808
        SCARD j
        @unordered SMEMBERS j
        SISMEMBER j 9223372036854775807
        SISMEMBER j -9223372036854775808
        SISMEMBER j 70000
        SISMEMBER j 70001
        SISMEMBER j 3.0
        SISMEMBER j +3
        SMISMEMBER j 1 2 x 4
        SREM j 70000 x 4 -9223372036854775808
        @unordered SMEMBERS j
        SADD j word
        SISMEMBER j 300
        @unordered SMEMBERS j
        "#,
    );
}

#[test]
fn smove_from_set_to_set() {
    on_all(
        r#"
        SADD a 1 2 x
        SADD b 3 x
        SMOVE a b 1
        SMOVE a b 1
        SMOVE a b missing
        SMOVE a b x
        SMOVE missing b 1
        SMOVE a a 2
        SMOVE a a missing
        @unordered SMEMBERS a
        @unordered SMEMBERS b
        SMOVE a new 2
        EXISTS a
        SMEMBERS new
        SET s v
        SMOVE s a 1
        SMOVE b s 1
        SMOVE b s missing
        SMOVE missing s 1
        SMOVE s s 1
        SMOVE a b
        SCARD b
        "#,
    );
}

#[test]
fn what_is_wrong_is_said() {
    on_all(
        r#"
        SET s v
        SADD s a
        SREM s a
        SCARD s
        SMEMBERS s
        SISMEMBER s a
        SMISMEMBER s a
        SPOP s
        SPOP s 1
        SPOP s -1
        SRANDMEMBER s
        SRANDMEMBER s 1
        SRANDMEMBER s x
        SSCAN s 0
        SADD
        SADD s
        SREM s
        SCARD
        SCARD s s
        SMEMBERS
        SISMEMBER s
        SISMEMBER s a b
        SMISMEMBER s
        SPOP
        SRANDMEMBER
        SSCAN s
        EXISTS missing
        "#,
    );
}

#[test]
fn sets_are_values_like_others() {
    on_all(
        r#"
        SADD s a 1
        EXPIRE s 100
        SADD s b
        @near 1 TTL s
        SREM s b
        @near 1 TTL s
        COPY s copy
        SADD copy new
        SISMEMBER s new
        RENAME s m
        MOVE m 1
        SELECT 1
        @unordered SMEMBERS m
        SELECT 0
        GET copy
        INCR copy
        SET copy v
        GET copy
        SADD s a
        PEXPIREAT s 1
        SCARD s
        SADD s b
        SMEMBERS s
        TTL s
        "#,
    );
}
