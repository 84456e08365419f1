//! Union, intersection and difference.

use larder_tests::compare;

#[test]
fn replies() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD a 1 one 2 two 3 three inf big
            ZADD b 10 two 20 three 30 four -inf big
            SADD s two four 7
            SADD ints 7 8
            ZUNION 2 a b
            ZUNION 2 a b WITHSCORES
            ZUNION 2 a b WEIGHTS 2 3 WITHSCORES
            ZUNION 2 a b AGGREGATE MIN WITHSCORES
            ZUNION 2 a b AGGREGATE MAX WITHSCORES
            ZUNION 3 a b s AGGREGATE sum WEIGHTS 1 0 -1 WITHSCORES
            ZUNION 2 a a WITHSCORES
            ZUNION 2 s ints WITHSCORES
            ZUNION 2 missing a
            ZUNION 1 missing
            ZINTER 2 a b WITHSCORES
            ZINTER 2 a b WEIGHTS 0.5 -1 AGGREGATE MAX WITHSCORES
            ZINTER 3 a b s WITHSCORES
            ZINTER 2 a a WITHSCORES WEIGHTS 1 2
            ZINTER 2 a missing
            ZDIFF 2 a b WITHSCORES
            ZDIFF 2 b s WITHSCORES
            ZDIFF 1 a
            ZDIFF 2 missing a
            ZDIFF 2 a a
            ZDIFF 2 s a WITHSCORES
            ZINTERCARD 2 a b
            ZINTERCARD 2 a b LIMIT 1
            ZINTERCARD 2 a b LIMIT 0
            ZINTERCARD 2 a missing
            "#
        ));
    }
}

#[test]
fn stores() {
    compare(
        r#"
        ZADD a 1 one 2 two 3 three
        ZADD b 10 two 20 three 30 four
        ZUNIONSTORE out 2 a b WEIGHTS 1 2 AGGREGATE MAX
        ZRANGE out 0 -1 WITHSCORES
        ZINTERSTORE out 2 a b
        ZRANGE out 0 -1 WITHSCORES
        ZDIFFSTORE out 2 a b
        ZRANGE out 0 -1 WITHSCORES
        ZINTERSTORE out 2 a missing
        EXISTS out
        SET out x
        ZUNIONSTORE out 1 a
        TYPE out
        ZUNIONSTORE a 2 a b
        ZRANGE a 0 -1 WITHSCORES
        ZUNIONSTORE out 1 missing
        EXISTS out
        ZUNIONSTORE out 1 a WITHSCORES
        ZDIFFSTORE out 1 a WEIGHTS 1
        "#,
    );
}

#[test]
fn what_is_refused() {
    compare(
        r#"
        ZADD a 1 one
        SET s 1
        RPUSH l 1
        ZUNION 0 a
        ZUNION -1 a
        ZUNION x a
        ZUNION 2 a
        ZUNION 9223372036854775807 a
        ZINTER 0 a
        ZDIFF 0 a
        ZINTERCARD 0 a
        ZUNIONSTORE out 0 a
        ZINTERSTORE out 0 a
        ZDIFFSTORE out 0 a
        ZUNION 1 s
        ZUNION 2 a l
        ZUNION 1 a WEIGHTS
        ZUNION 1 a WEIGHTS x
        ZUNION 1 a WEIGHTS nan
        ZUNION 1 a WEIGHTS 1 2
        ZUNION 1 a AGGREGATE
        ZUNION 1 a AGGREGATE AVG
        ZUNION 1 a LIMIT 1
        ZDIFF 1 a WEIGHTS 1
        ZDIFF 1 a AGGREGATE SUM
        ZINTERCARD 1 a WITHSCORES
        ZINTERCARD 1 a LIMIT
        ZINTERCARD 1 a LIMIT -1
        ZINTERCARD 1 a LIMIT x
        ZUNION 1 a WITHSCORES WITHSCORES
        "#,
    );
}
