//! Lists: the commands on their elements, each on a packed list and on one of several nodes.

mod blocking;
mod encoding;
mod moves;

use larder_tests::{compare, compare_with};

/// Runs a script on packed lists, and again where every list of more than two elements has nodes.
#[track_caller]
fn on_both(script: &str) {
    compare(script);
    compare_with(&["--list-max-listpack-size", "2"], script);
}

#[test]
fn pushes_add_at_their_end() {
    on_both(
        r#"
        LPUSH l a b c
        RPUSH l d e f
        LRANGE l 0 -1
        LLEN l
        LPUSHX l g h
        RPUSHX l i j
        LRANGE l 0 -1
        LPUSHX missing a
        RPUSHX missing a b
        EXISTS missing
        RPUSH l "" "\x00" 12 -7 012 9223372036854775808
        LRANGE l 0 -1
        LLEN missing
        SET s v
        LPUSH s a
        RPUSH s a
        LPUSHX s a
        RPUSHX s a
        LLEN s
        LPUSH
        LPUSH l
        RPUSH l
        LPUSHX l
        RPUSHX
        LLEN
        LLEN l l
        "#,
    );
}

#[test]
fn pops_take_from_their_end() {
    on_both(
        r#"
        RPUSH l a b c d e f g 1 2 3
        LPOP l
        RPOP l
        LPOP l 2
        RPOP l 3
        LRANGE l 0 -1
        LPOP l 0
        RPOP l 0
        LPOP missing
        RPOP missing
        LPOP missing 0
        RPOP missing 2
        LPOP l -1
        RPOP l -1
        LPOP missing -1
        LPOP l x
        LPOP l 9223372036854775808
        LPOP l 1 2
        RPOP l 1 2
        LPOP
        RPOP
        RPOP l 100
        EXISTS l
        RPUSH l a b
        LPOP l 9223372036854775807
        EXISTS l
        SET s v
        LPOP s
        RPOP s
        LPOP s 1
        LPOP s -1
        RPUSH l only
        LPOP l
        EXISTS l
        "#,
    );
}

#[test]
fn positions_are_read_and_set() {
    on_both(
        r#"
        RPUSH l a b c d e f
        LINDEX l 0
        LINDEX l 5
        LINDEX l 6
        LINDEX l -1
        LINDEX l -6
        LINDEX l -7
        LINDEX l x
        LINDEX l 9223372036854775807
        LINDEX l -9223372036854775808
        LINDEX missing 0
        LINDEX missing x
        LSET l 0 A
        LSET l -1 F
        LSET l 3 1234567
        LSET l 2 ""
        LSET l 6 x
        LSET l -7 x
        # 7.2 cuts these to 32 bits on a packed list, and sets the last and the first element.
        LSET l 9223372036854775807 x
        = -ERR index out of range
        LSET l -9223372036854775808 x
        = -ERR index out of range
        LSET l x x
        LSET missing 0 x
        LSET missing x x
        LRANGE l 0 -1
        SET s v
        LINDEX s 0
        LINDEX s x
        LSET s 0 x
        LSET s x x
        LINDEX l
        LSET l 0
        LSET l 0 a b
        "#,
    );
}

#[test]
fn ranges_are_clipped() {
    on_both(
        r#"
        RPUSH l 0 1 2 3 4 5 6 7 8 9
        LRANGE l 0 -1
        LRANGE l 2 4
        LRANGE l -3 -1
        LRANGE l -100 2
        LRANGE l 5 100
        LRANGE l 5 2
        LRANGE l 10 20
        LRANGE l -1 -3
        LRANGE l -100 -90
        LRANGE l -9223372036854775808 9223372036854775807
        LRANGE l 9223372036854775807 -9223372036854775808
        LRANGE missing 0 -1
        LRANGE missing x 1
        LRANGE l x 1
        LRANGE l 1 x
        LRANGE l 0
        SET s v
        LRANGE s 0 -1
        LRANGE s x y
        "#,
    );
}

#[test]
fn ltrim_keeps_a_range() {
    on_both(
        r#"
        RPUSH l 0 1 2 3 4 5 6 7 8 9
        LTRIM l 0 -1
        LRANGE l 0 -1
        LTRIM l 1 -2
        LRANGE l 0 -1
        LTRIM l -6 100
        LRANGE l 0 -1
        LTRIM l -100 3
        LRANGE l 0 -1
        LTRIM l x 1
        LTRIM l 1 x
        LTRIM missing 0 1
        LTRIM missing x 1
        LTRIM l 2 1
        EXISTS l
        RPUSH l a b c
        LTRIM l 5 10
        EXISTS l
        RPUSH l a b c
        LTRIM l 1 1
        LRANGE l 0 -1
        LTRIM l -9223372036854775808 9223372036854775807
        LRANGE l 0 -1
        SET s v
        LTRIM s 0 -1
        LTRIM l 0
        "#,
    );
}

#[test]
fn linsert_finds_its_pivot() {
    on_both(
        r#"
        RPUSH l a b c b 12
        LINSERT l BEFORE b x
        LINSERT l after b y
        LINSERT l BeFore a first
        LINSERT l AFTER 12 last
        LINSERT l AFTER 012 no
        LINSERT l AFTER missing no
        LINSERT missing AFTER a no
        LINSERT l BESIDE a no
        LINSERT missing BESIDE a no
        LRANGE l 0 -1
        SET s v
        LINSERT s AFTER a b
        LINSERT s BESIDE a b
        LINSERT l AFTER a
        LINSERT l AFTER a b c
        "#,
    );
}

#[test]
fn lrem_counts_from_either_end() {
    on_both(
        r#"
        RPUSH l a b a c a d a 1 01 1
        LREM l 1 a
        LREM l -1 a
        LRANGE l 0 -1
        LREM l 0 1
        LREM l 0 missing
        LREM l 100 c
        LREM l -100 b
        LRANGE l 0 -1
        LREM l x a
        LREM l -9223372036854775807 nothing
        LREM l -9223372036854775808 nothing
        LREM missing 0 a
        LREM missing x a
        LREM l 0 a
        LREM l 0 d
        LREM l 0 01
        EXISTS l
        SET s v
        LREM s 0 a
        LREM l 0
        "#,
    );
}

#[test]
fn lpos_takes_rank_count_and_maxlen() {
    on_both(
        r#"
        RPUSH l a b c 1 2 3 c c
        LPOS l a
        LPOS l c
        LPOS l x
        LPOS l 2
        LPOS l 02
        LPOS l c RANK 1
        LPOS l c RANK 2
        LPOS l c RANK 4
        LPOS l c RANK -1
        LPOS l c RANK -3
        LPOS l c RANK 0
        LPOS l c RANK -9223372036854775808
        = -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        LPOS l c RANK -9223372036854775807
        LPOS l c RANK 9223372036854775807
        LPOS l c RANK x
        LPOS l c COUNT 0
        LPOS l c COUNT 1
        LPOS l c COUNT 2
        LPOS l c COUNT 9223372036854775807
        LPOS l c COUNT -1
        LPOS l c COUNT x
        LPOS l x COUNT 0
        LPOS l x COUNT 1
        LPOS l c COUNT 0 RANK 2
        LPOS l c COUNT 2 RANK -1
        LPOS l c COUNT 5 RANK -2
        LPOS l c MAXLEN 0
        LPOS l c MAXLEN 2
        LPOS l c MAXLEN 3
        LPOS l c MAXLEN 3 RANK -2
        LPOS l c COUNT 0 MAXLEN 7
        LPOS l c COUNT 0 MAXLEN 2 RANK -1
        LPOS l c MAXLEN -1
        LPOS l c MAXLEN x
        LPOS l c MAXLEN
        LPOS l c COUNT
        LPOS l c RANK
        LPOS l c BOGUS 1
        LPOS l c RANK 1 RANK 2
        LPOS missing a
        LPOS missing a COUNT 0
        LPOS missing a RANK 0
        SET s v
        LPOS s a
        LPOS s a RANK 0
        LPOS l
        "#,
    );
}

#[test]
fn lists_are_values_like_others() {
    on_both(
        r#"
        RPUSH l a b c d e
        TYPE l
        EXPIRE l 100
        RPUSH l f
        @near 1 TTL l
        LPOP l
        @near 1 TTL l
        COPY l copy
        LPOP copy
        LRANGE l 0 -1
        LRANGE copy 0 -1
        RENAME l m
        LRANGE m 0 -1
        MOVE m 1
        SELECT 1
        LRANGE m 0 -1
        SET m v
        GET m
        SELECT 0
        GET copy
        SETNX copy v
        GETSET copy v
        APPEND copy v
        SET copy v GET
        INCR copy
        SET copy v
        GET copy
        RPUSH l a
        PEXPIREAT l 1
        EXISTS l
        RPUSH l b
        LRANGE l 0 -1
        TTL l
        "#,
    );
}
