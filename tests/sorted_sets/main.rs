//! Sorted sets: every command and option, in both forms, against a real server.

mod operations;
mod pop;
mod ranges;

use larder_tests::compare;

#[test]
fn adding_and_its_options() {
    compare(
        r#"
        ZADD z 1 a
        ZADD z 2 a 3 b
        ZADD z CH 4 a 3 b 5 c
        ZADD z NX 9 a 9 d
        ZADD z XX 1 a 1 none
        ZADD z XX CH 2 a 1 none
        ZADD z GT 1 a 10 b
        ZADD z LT 1 a 20 b
        ZADD z GT CH 5 a 5 new
        ZADD z INCR 2.5 a
        ZADD z XX INCR 2 none
        ZADD z NX INCR 2 a
        ZADD z GT INCR -1 a
        ZADD z LT INCR 1 a
        ZADD z gt xx ch 100 a 1 b
        ZRANGE z 0 -1 WITHSCORES
        ZADD missing XX 1 a
        ZADD missing XX INCR 1 a
        EXISTS missing
        ZADD z
        ZADD z 1
        ZADD z 1 a 2
        ZADD z NX
        ZADD z NX XX 1 a
        ZADD z NX GT 1 a
        ZADD z NX LT 1 a
        ZADD z GT LT 1 a
        ZADD z INCR 1 a 2 b
        ZADD z nan a
        ZADD z 1 a x b
        ZADD z 1e400 a
        ZADD z "" a
        ZADD z inf i -inf m +inf p
        ZADD z INCR -inf i
        ZADD z INCR 0x10 h
        ZINCRBY z 1 i
        ZINCRBY z nan a
        ZINCRBY z x a
        ZINCRBY z 1.5 fresh
        ZINCRBY fresh -0 m
        ZSCORE fresh m
        ZSCORE z a
        ZSCORE z none
        ZSCORE missing a
        ZMSCORE z a none i
        ZMSCORE missing a b
        ZCARD z
        ZCARD missing
        SET s 1
        ZADD s 1 a
        ZADD s nan a
        ZINCRBY s 1 a
        ZSCORE s a
        ZMSCORE s a
        ZCARD s
        ZADD e 1 ""
        ZSCORE e ""
        ZRANGE e 0 -1
        OBJECT ENCODING e
        TYPE e
        "#,
    );
}

#[test]
fn scores_are_printed_as_redis_does() {
    // Below the threshold as packed text, above it as doubles.
    for entries in [128, 0] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z 0 zero -0 minus 0.1 tenth 1e15 e15 1e16 e16 123456789012345678 long 1e21 e21
            ZADD z 1.5 half 3.0 three 1e-7 small 5e-324 least 1.7976931348623157e308 most
            ZADD z 4611686018427387904 p62 9223372036854775807 p63 0.30000000000000004 third
            OBJECT ENCODING z
            @7 ZRANGE z 0 -1
            ZSCORE z zero
            ZSCORE z tenth
            =2 "0.1"
            =3 ,0.1
            ZSCORE z e15
            ZSCORE z e16
            ZSCORE z e21
            ZSCORE z half
            ZSCORE z three
            ZSCORE z small
            =2 "1e-7"
            =3 ,1e-7
            ZSCORE z third
            ZINCRBY z 0.1 tenth
            =2 "0.2"
            =3 ,0.2
            ZINCRBY z 0.2 three
            =2 "3.2"
            =3 ,3.2
            "#
        ));
    }
}

#[test]
fn scans() {
    for entries in [128, 0] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD q 0.5 a 3 b 1e20 c
            @unordered ZSCAN q 0
            ZSCAN q 0 MATCH a
            ZSCAN q 0 MATCH a* COUNT 100
            ZSCAN q x
            ZSCAN q 0 COUNT 0
            ZSCAN q 0 NOVALUES
            ZSCAN missing 0
            "#
        ));
    }
    // A double with all its digits in a large one, the packed text in a small one.
    compare(
        r#"
        ZADD q 0.1 a
        ZSCAN q 0
        = ["0", ["a", "0.1"]]
        CONFIG SET zset-max-listpack-entries 0
        ZADD q 0.1 b
        ZSCAN q 0 MATCH a
        = ["0", ["a", "0.10000000000000001"]]
        "#,
    );
}

#[test]
fn the_forms_change_at_the_thresholds() {
    compare(
        r#"
        CONFIG SET zset-max-listpack-entries 3
        CONFIG SET zset-max-listpack-value 5
        ZADD z 1 a 2 b 3 c
        OBJECT ENCODING z
        ZADD z 4 a
        OBJECT ENCODING z
        ZADD z 4 d
        OBJECT ENCODING z
        ZREM z a b c
        OBJECT ENCODING z
        ZADD v 1 12345
        OBJECT ENCODING v
        ZADD v 1 123456
        OBJECT ENCODING v
        ZADD many 1 a 2 b 3 c 4 d
        OBJECT ENCODING many
        ZADD again 1 a 2 a 3 a 4 a
        OBJECT ENCODING again
        = "skiplist"
        ZADD long 1 123456
        OBJECT ENCODING long
        ZADD q 1 a
        ZADD q XX 1 a 2 b 3 c 4 d
        OBJECT ENCODING q
        = "skiplist"
        ZUNIONSTORE u 2 z v
        OBJECT ENCODING u
        ZADD p 1 a 2 b
        ZUNIONSTORE u 1 p
        OBJECT ENCODING u
        ZRANGESTORE r many 0 -1
        OBJECT ENCODING r
        ZRANGESTORE r many 0 1
        OBJECT ENCODING r
        "#,
    );
}

#[test]
fn ranks_and_removal() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z 1 a 2 b 2 c 3 d 3 10 3 9
            ZRANK z a
            ZRANK z 10
            ZRANK z 9
            ZREVRANK z a
            ZREVRANK z d
            ZRANK z none
            ZRANK missing a
            ZREVRANK missing a
            ZREM z none
            ZREM z a none b
            ZREM missing a
            ZRANGE z 0 -1
            ZREMRANGEBYRANK z 1 -2
            ZRANGE z 0 -1 WITHSCORES
            ZREM z c d 9 10
            EXISTS z
            ZADD z 1 a 2 b 3 c 4 d 5 e
            ZREMRANGEBYSCORE z (1 3
            ZREMRANGEBYSCORE z 9 1
            ZREMRANGEBYSCORE z -inf +inf
            EXISTS z
            ZADD z 0 a 0 b 0 c 0 d
            ZREMRANGEBYLEX z (a [c
            ZREMRANGEBYLEX z + -
            ZREMRANGEBYLEX z - +
            EXISTS z
            ZREMRANGEBYRANK missing 0 -1
            ZREMRANGEBYRANK missing x 1
            ZREMRANGEBYSCORE missing x 1
            ZREMRANGEBYLEX missing a b
            SET s 1
            ZREM s a
            ZRANK s a
            ZREMRANGEBYRANK s 0 1
            ZREMRANGEBYLEX s - +
            ZREMRANGEBYSCORE s 0 1
            "#
        ));
    }
}

#[test]
fn a_rank_with_its_score() {
    // Since 7.2.
    compare(
        r#"
        ZADD z 1 a 2.5 b
        ZRANK z b WITHSCORE
        =2 [:1, "2.5"]
        =3 [:1, ,2.5]
        ZREVRANK z b withscore
        =2 [:0, "2.5"]
        =3 [:0, ,2.5]
        ZRANK z none WITHSCORE
        =2 nil-array
        =3 nil
        ZRANK missing a WITHSCORE
        =2 nil-array
        =3 nil
        ZRANK z a SCORE
        = -ERR syntax error
        ZRANK z a WITHSCORE more
        = -ERR wrong number of arguments for 'zrank' command
        "#,
    );
}

#[test]
fn members_are_drawn() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z 1 a 2 b 3 c
            @kind ZRANDMEMBER z
            @unordered ZRANDMEMBER z 3
            @unordered ZRANDMEMBER z 30
            @unordered ZRANDMEMBER z 3 WITHSCORES
            ZRANDMEMBER z 0
            ZADD one 1.5 a
            ZRANDMEMBER one
            ZRANDMEMBER one -3
            ZRANDMEMBER one -2 WITHSCORES
            ZRANDMEMBER missing
            ZRANDMEMBER missing 3
            ZRANDMEMBER missing -3 WITHSCORES
            ZRANDMEMBER z x
            ZRANDMEMBER z 1 SCORES
            ZRANDMEMBER z 1 WITHSCORES more
            ZRANDMEMBER z -9223372036854775808
            ZRANDMEMBER z 9223372036854775807 WITHSCORES
            ZRANDMEMBER z -9223372036854775807 WITHSCORES
            SET s 1
            ZRANDMEMBER s
            ZRANDMEMBER s 1
            "#
        ));
    }
}
