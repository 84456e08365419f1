//! Ranges by rank, score and name.

use larder_tests::compare;

#[test]
fn by_rank() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z 1 a 2 b 3 c 4 d 5 e
            ZRANGE z 0 -1
            ZRANGE z 1 3
            ZRANGE z -2 -1
            ZRANGE z -100 100
            ZRANGE z 3 1
            ZRANGE z 5 9
            ZRANGE z 0 -6
            ZRANGE z 0 1 WITHSCORES
            ZRANGE z 0 1 REV
            ZRANGE z 0 1 REV WITHSCORES
            ZRANGE z -2 -1 REV
            ZREVRANGE z 0 1
            ZREVRANGE z -2 -1 WITHSCORES
            ZREVRANGE z 2 9
            ZREVRANGE z 9 12
            ZRANGE z 0 9223372036854775807
            ZRANGE z -9223372036854775808 0
            ZREVRANGE z 0 9223372036854775807
            ZRANGE z 0 x
            ZRANGE z 1.5 2
            ZRANGE z 0 1 LIMIT 0 1
            ZRANGE z 0 1 LIMIT 0 -1
            ZRANGE z 0 1 LIMIT 0
            ZRANGE z 0 1 LIMIT x 1
            ZRANGE z 0 1 WITHSCORE
            ZREVRANGE z 0 1 REV
            ZREVRANGE z 0 1 BYLEX
            ZRANGE missing 0 -1
            ZREVRANGE missing 0 -1 WITHSCORES
            SET s 1
            ZRANGE s 0 -1
            ZREVRANGE s 0 -1
            "#
        ));
    }
}

#[test]
fn by_score() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z -inf m 1 a 2 b 2 bb 3 c 4.5 d inf p
            ZRANGEBYSCORE z 1 3
            ZRANGEBYSCORE z (1 3
            ZRANGEBYSCORE z (1 (3
            ZRANGEBYSCORE z -inf +inf WITHSCORES
            ZRANGEBYSCORE z (-inf (+inf
            ZRANGEBYSCORE z 3 1
            ZRANGEBYSCORE z 2 2
            ZRANGEBYSCORE z (2 2
            ZRANGEBYSCORE z 1 5 LIMIT 1 2
            ZRANGEBYSCORE z 1 5 LIMIT 1 -1
            ZRANGEBYSCORE z 1 5 LIMIT 1 -5 WITHSCORES
            ZRANGEBYSCORE z 1 5 LIMIT -1 2
            ZRANGEBYSCORE z 1 5 LIMIT 0 0
            ZRANGEBYSCORE z 1 5 LIMIT 100 1
            ZRANGEBYSCORE z 1 5 LIMIT 9223372036854775807 9223372036854775807
            ZRANGEBYSCORE z 1 5 WITHSCORES LIMIT 0 2
            ZREVRANGEBYSCORE z 3 1
            ZREVRANGEBYSCORE z (3 1 WITHSCORES
            ZREVRANGEBYSCORE z +inf -inf LIMIT 1 3
            ZREVRANGEBYSCORE z +inf -inf LIMIT -1 3
            ZREVRANGEBYSCORE z 1 3
            ZRANGE z 1 3 BYSCORE
            ZRANGE z 3 1 BYSCORE REV
            ZRANGE z 3 1 BYSCORE REV LIMIT 1 1 WITHSCORES
            ZRANGE z (1 +inf byscore limit 0 2
            ZRANGE z x 1 BYSCORE
            ZRANGEBYSCORE z 1 (x
            ZRANGEBYSCORE z nan 1
            ZRANGEBYSCORE z "" ""
            ZRANGEBYSCORE z ( (
            ZRANGEBYSCORE z " 1" 2
            ZRANGEBYSCORE z 1 "2 "
            ZRANGEBYSCORE z -1e400 1e400
            ZRANGEBYSCORE z 1 2 BYSCORE
            ZRANGEBYSCORE z 1 2 REV
            ZCOUNT z 1 3
            ZCOUNT z (1 (3
            ZCOUNT z -inf +inf
            ZCOUNT z 5 1
            ZCOUNT z x 1
            ZCOUNT missing 0 1
            ZCOUNT missing x 1
            ZRANGEBYSCORE missing 0 1
            SET s 1
            ZRANGEBYSCORE s 0 1
            ZCOUNT s 0 1
            "#
        ));
    }
}

#[test]
fn by_name() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z 0 a 0 b 0 ba 0 c 0 10 0 9 0 ""
            ZRANGEBYLEX z - +
            ZRANGEBYLEX z [a [b
            ZRANGEBYLEX z (a (c
            ZRANGEBYLEX z [ [~
            ZRANGEBYLEX z ( [~
            ZRANGEBYLEX z [1 [9
            ZRANGEBYLEX z + -
            ZRANGEBYLEX z - -
            ZRANGEBYLEX z + +
            ZRANGEBYLEX z [c [a
            ZRANGEBYLEX z - + LIMIT 1 2
            ZRANGEBYLEX z - + LIMIT -1 2
            ZREVRANGEBYLEX z + -
            ZREVRANGEBYLEX z [b (10
            ZREVRANGEBYLEX z + - LIMIT 2 2
            ZRANGE z [a [c BYLEX
            ZRANGE z [c [a BYLEX REV
            ZRANGE z + - BYLEX REV LIMIT 0 3
            ZRANGE z - + BYLEX WITHSCORES
            ZRANGEBYLEX z - + WITHSCORES
            ZRANGEBYLEX z a b
            ZRANGEBYLEX z -a +
            ZRANGEBYLEX z "" +
            ZLEXCOUNT z - +
            ZLEXCOUNT z [a (c
            ZLEXCOUNT z [c [a
            ZLEXCOUNT z a b
            ZLEXCOUNT missing - +
            SET s 1
            ZLEXCOUNT s - +
            ZRANGEBYLEX s - +
            "#
        ));
    }
}

/// Such ranges mean nothing, but a replica has to take the same as its primary.
#[test]
fn by_name_where_scores_differ() {
    let mut script = "ZADD z 1 c 2 a 2 d 3 b 4 e\n".to_owned();
    let ends = ["-", "[a", "(a", "[b", "(c", "[d", "(e", "+"];
    for (min, max) in ends.iter().flat_map(|min| ends.iter().map(move |max| (min, max))) {
        script.push_str(&format!(
            "ZRANGEBYLEX z {min} {max}\nZREVRANGEBYLEX z {max} {min}\nZLEXCOUNT z {min} {max}\n\
             ZRANGEBYLEX z {min} {max} LIMIT 1 2\nZREVRANGEBYLEX z {max} {min} LIMIT 2 1\n\
             ZRANGESTORE out z {min} {max} BYLEX LIMIT 3 -1\nZRANGE out 0 -1 WITHSCORES\n\
             ZRANGESTORE out z {min} {max} BYLEX\nZRANGESTORE out z {max} {min} BYLEX REV\n\
             ZRANGE out 0 -1 WITHSCORES\nCOPY z copy REPLACE\nZREMRANGEBYLEX copy {min} {max}\n\
             ZRANGE copy 0 -1 WITHSCORES\n"
        ));
    }
    compare(&script);
}

#[test]
fn stored() {
    compare(
        r#"
        ZADD z 1 a 2 b 3 c 4 d
        ZRANGESTORE out z 0 1
        ZRANGE out 0 -1 WITHSCORES
        ZRANGESTORE out z 2 4 BYSCORE LIMIT 1 5
        ZRANGE out 0 -1 WITHSCORES
        ZRANGESTORE out z 0 1 REV
        ZRANGE out 0 -1 WITHSCORES
        ZRANGESTORE out z [b [c BYLEX
        ZRANGE out 0 -1
        ZRANGESTORE out z 9 12
        EXISTS out
        SET out x
        ZRANGESTORE out z 0 0
        TYPE out
        ZRANGESTORE out missing 0 -1
        EXISTS out
        ZRANGESTORE z z 0 0
        ZRANGE z 0 -1
        ZRANGESTORE out z 0 0 WITHSCORES
        ZRANGESTORE out z 0 0 LIMIT 0 1
        SET s 1
        ZRANGESTORE out s 0 0
        EXPIRE z 100
        ZRANGESTORE z z 0 -1
        TTL z
        "#,
    );
}
