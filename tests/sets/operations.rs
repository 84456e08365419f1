//! Intersection, union and difference: replied, stored and counted.

use crate::on_all;

/// Three sets that overlap, of integers and of words.
const SETS: &str = "
    SADD a 1 2 3 4 5
    SADD b 3 4 5 6 7
    SADD c 5 6 3 -1 70000
    SADD x one two three 4
    SADD y two three four 4 5
    SET s v
";

#[test]
fn sets_are_combined() {
    on_all(&format!(
        "{SETS}
        @unordered SINTER a b
        @unordered SINTER a b c
        @unordered SINTER a
        @unordered SINTER a a
        @unordered SINTER x y
        @unordered SINTER a x
        SINTER a missing
        SINTER missing a
        SINTER missing
        SINTER a s
        SINTER s a
        SINTER missing s
        SINTER s missing
        @unordered SUNION a b
        @unordered SUNION a b c x y
        @unordered SUNION a
        @unordered SUNION a missing
        SUNION missing
        SUNION a s
        SUNION missing s
        @unordered SDIFF a b
        @unordered SDIFF a b c
        @unordered SDIFF a
        SDIFF a a
        @unordered SDIFF x y
        @unordered SDIFF a missing b
        SDIFF missing a
        SDIFF missing s
        SDIFF a s
        SINTER
        SUNION
        SDIFF
        "
    ));
}

#[test]
fn results_are_stored() {
    on_all(&format!(
        "{SETS}
        SINTERSTORE d a b
        @unordered SMEMBERS d
        SINTERSTORE d a missing
        EXISTS d
        SUNIONSTORE d a x
        @unordered SMEMBERS d
        EXPIRE d 100
        SDIFFSTORE d a b
        @unordered SMEMBERS d
        TTL d
        SDIFFSTORE d missing a
        EXISTS d
        SUNIONSTORE d missing missing
        EXISTS d
        SUNIONSTORE a a b
        @unordered SMEMBERS a
        SDIFFSTORE a a c
        @unordered SMEMBERS a
        SINTERSTORE a b a
        @unordered SMEMBERS a
        SINTERSTORE s a b
        TYPE s
        SET s v
        SINTERSTORE d a s
        SUNIONSTORE d s
        SDIFFSTORE d a s
        SINTERSTORE d missing s
        SDIFFSTORE s missing
        EXISTS s
        SINTERSTORE d
        SUNIONSTORE d
        SDIFFSTORE d
        SINTERSTORE
        "
    ));
}

#[test]
fn intersections_are_counted() {
    on_all(&format!(
        "{SETS}
        SINTERCARD 2 a b
        SINTERCARD 3 a b c
        SINTERCARD 1 a
        SINTERCARD 2 a missing
        SINTERCARD 1 missing
        SINTERCARD 2 a b LIMIT 0
        SINTERCARD 2 a b LIMIT 2
        SINTERCARD 2 a b LIMIT 3
        SINTERCARD 2 a b limit 100
        SINTERCARD 2 a b LIMIT 9223372036854775807
        SINTERCARD 2 a b LIMIT -1
        SINTERCARD 2 a b LIMIT x
        SINTERCARD 2 a b LIMIT
        SINTERCARD 2 a b LIMIT 1 LIMIT 2
        SINTERCARD 2 a b BOGUS 1
        SINTERCARD 2 a b c
        SINTERCARD 0 a
        SINTERCARD -1 a
        SINTERCARD x a
        SINTERCARD 2 a
        SINTERCARD 3 a b
        SINTERCARD 9223372036854775807 a
        SINTERCARD 1
        SINTERCARD
        SINTERCARD 2 a s
        SINTERCARD 2 missing s
        "
    ));
}
