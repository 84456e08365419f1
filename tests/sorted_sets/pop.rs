//! Commands that take from an end, and wait for something to take.

use larder_tests::compare;

#[test]
fn pops() {
    for entries in [128, 2] {
        compare(&format!(
            r#"
            CONFIG SET zset-max-listpack-entries {entries}
            ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
            ZPOPMIN z
            ZPOPMAX z
            ZPOPMIN z 1
            ZPOPMAX z 2
            ZPOPMIN z 0
            ZPOPMIN z 100
            EXISTS z
            ZPOPMIN z
            ZPOPMIN z 2
            ZPOPMAX z -1
            ZPOPMAX z x
            ZPOPMAX z 1 2
            ZADD z 1 a 2 b 3 c
            ZADD y 1.5 q
            ZMPOP 2 missing z MIN
            ZMPOP 2 missing z MAX COUNT 1
            ZMPOP 2 y z max count 10
            ZMPOP 1 z MIN COUNT 10
            ZMPOP 1 z MIN
            ZMPOP 0 z MIN
            ZMPOP x z MIN
            ZMPOP 3 z MIN
            ZMPOP 1 z
            ZMPOP 1 z MEDIAN
            ZMPOP 1 z MIN COUNT
            ZMPOP 1 z MIN COUNT 0
            ZMPOP 1 z MIN COUNT 1 COUNT 1
            SET s 1
            ZPOPMIN s
            ZMPOP 2 s z MIN
            BZPOPMIN s 1
            BZMPOP 1 1 s MIN
            ZADD z 1 a 2 b 3 c
            BZPOPMIN missing z 0
            BZPOPMAX z missing 0
            BZMPOP 0 2 missing z MIN COUNT 5
            BZPOPMIN z 0.01
            BZPOPMAX z 0.01
            BZMPOP 0.01 1 z MAX
            BZPOPMIN z -1
            BZPOPMIN z x
            BZPOPMIN z inf
            = -ERR timeout is out of range
            BZMPOP -1 1 z MIN
            BZMPOP x 0 z MIN
            BZMPOP 1 1 z MEDIAN
            "#
        ));
    }
}
