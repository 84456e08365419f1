//! Hashes: the commands on their fields, each on a packed hash and on a table.

mod encoding;
mod random;
mod scan;

use larder_tests::{compare, compare_with};

/// Runs a script on packed hashes, and again where every hash is a table. `@unordered` is for the
/// latter.
#[track_caller]
fn on_both(script: &str) {
    compare(script);
    compare_with(&["--hash-max-listpack-entries", "0"], script);
}

#[test]
fn fields_are_set_and_got() {
    on_both(
        r#"
        HSET h a 1
        HSET h a 2 b 3 c 4
        HSET h d 1 d 2
        HGET h a
        HGET h d
        HGET h missing
        HGET missing a
        HSET h "" empty e ""
        HGET h ""
        HGET h e
        HSET h "\x00" "\xff" 12 -7 012 9223372036854775808
        HGET h "\x00"
        HGET h 12
        HGET h 012
        HLEN h
        HLEN missing
        HMSET h m 1 n 2
        HMGET h m n missing m
        HMGET missing a b
        HSETNX h m 2
        HSETNX h o 3
        HSETNX new a 1
        HGET h m
        HGET new a
        HSTRLEN h a
        HSTRLEN h 012
        HSTRLEN h 12
        HSTRLEN h e
        HSTRLEN h missing
        HSTRLEN missing a
        HEXISTS h a
        HEXISTS h missing
        HEXISTS missing a
        TYPE h
        "#,
    );
}

#[test]
fn everything_is_listed() {
    on_both(
        r#"
        HSET h a 1 b 2 c word 10 -5
        @unordered HGETALL h
        @unordered HKEYS h
        @unordered HVALS h
        HGETALL missing
        HKEYS missing
        HVALS missing
        DEL h
        HSET h only field
        HGETALL h
        HKEYS h
        HVALS h
        "#,
    );
}

#[test]
fn a_packed_hash_keeps_the_order() {
    compare(
        r#"
        HSET h c 1 a 2 b 3 7 x
        HSET h a new-and-longer-than-before
        HDEL h c
        HSET h c 4
        HGETALL h
        HKEYS h
        HVALS h
        HSCAN h 0
        "#,
    );
}

#[test]
fn fields_are_deleted() {
    on_both(
        r#"
        HSET h a 1 b 2 c 3 d 4
        HDEL h a
        HDEL h a b missing b
        HDEL missing a
        HLEN h
        HDEL h d c d x
        EXISTS h
        HDEL h c
        "#,
    );
}

#[test]
fn hincrby_keeps_to_64_bits() {
    on_both(
        r#"
        HINCRBY h n 5
        HINCRBY h n -7
        HINCRBY h n 0
        HGET h n
        HSET h big 9223372036854775807 small -9223372036854775808 text x space " 1" long 00012 float 1.5 empty ""
        HINCRBY h big 1
        HINCRBY h big -1
        HINCRBY h small -1
        HINCRBY h small 9223372036854775807
        HINCRBY h text 1
        HINCRBY h space 1
        HINCRBY h long 1
        HINCRBY h float 1
        HINCRBY h empty 1
        HINCRBY h n x
        HINCRBY h n 1.5
        HINCRBY h n 9223372036854775808
        HINCRBY h text x
        HINCRBY new n -9223372036854775808
        HINCRBY new n -1
        HINCRBY missing n x
        EXISTS missing
        "#,
    );
}

#[test]
fn hincrbyfloat_writes_short_decimals() {
    on_both(
        r#"
        HINCRBYFLOAT h n 1.5
        HINCRBYFLOAT h n 1.5
        HINCRBYFLOAT h n -3
        HINCRBYFLOAT h n 1e3
        HINCRBYFLOAT h n 0.1
        HINCRBYFLOAT h n 1e-10
        HGET h n
        HSET h text x space " 1" i 12 e 5.0e3 inf inf nan nan empty ""
        HINCRBYFLOAT h text 1
        HINCRBYFLOAT h space 1
        HINCRBYFLOAT h empty 1
        HINCRBYFLOAT h i 0.5
        HINCRBYFLOAT h e 200
        HINCRBYFLOAT h n x
        HINCRBYFLOAT h n nan
        HINCRBYFLOAT h n inf
        HINCRBYFLOAT h n -inf
        HINCRBYFLOAT h n ""
        HINCRBYFLOAT h n " 1"
        HINCRBYFLOAT h text x
        HINCRBYFLOAT h text inf
        HINCRBYFLOAT missing n x
        HINCRBYFLOAT missing n inf
        EXISTS missing
        HINCRBYFLOAT h inf 1
        HINCRBYFLOAT h nan 1
        SET s v
        HINCRBYFLOAT s n x
        HINCRBYFLOAT s n 1
        "#,
    );
}

#[test]
fn what_is_wrong_is_said() {
    on_both(
        r#"
        SET s v
        HSET s a 1
        HMSET s a 1
        HSETNX s a 1
        HGET s a
        HMGET s a
        HDEL s a
        HLEN s
        HSTRLEN s a
        HEXISTS s a
        HKEYS s
        HVALS s
        HGETALL s
        HINCRBY s a 1
        HINCRBY s a x
        HSCAN s 0
        HRANDFIELD s
        HRANDFIELD s 1
        HRANDFIELD s 0
        HSET h a
        HSET h
        HSET h a 1 b
        HMSET h a 1 b
        HMSET h a
        HSETNX h a
        HSETNX h a 1 b
        HGET h
        HGET h a b
        HMGET h
        HDEL h
        HLEN
        HLEN h h
        HSTRLEN h
        HEXISTS h
        HKEYS
        HVALS h h
        HGETALL
        HINCRBY h a
        HINCRBYFLOAT h a
        HSCAN h
        HRANDFIELD
        EXISTS h
        "#,
    );
}

#[test]
fn hashes_are_values_like_others() {
    on_both(
        r#"
        HSET h a 1 b 2
        EXPIRE h 100
        HSET h c 3
        @near 1 TTL h
        HDEL h c
        @near 1 TTL h
        COPY h copy
        HSET copy a changed
        HGET h a
        @near 1 TTL copy
        RENAME h m
        HGET m b
        MOVE m 1
        SELECT 1
        HGET m b
        SELECT 0
        GET copy
        APPEND copy v
        SET copy v
        GET copy
        HSET h a 1
        PEXPIREAT h 1
        HLEN h
        HSET h b 1
        HLEN h
        TTL h
        "#,
    );
}
