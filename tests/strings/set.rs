//! SET and its options, every pair of them.

use larder_tests::compare;

#[test]
fn set_overwrites_and_clears_the_deadline() {
    compare(
        r#"
        SET a 1
        SET a 2
        GET a
        SET a 3 EX 100
        @near 1 TTL a
        SET a 4
        TTL a
        SET a 5 PX 100000
        @near 1000 PTTL a
        SET a 6 KEEPTTL
        @near 1000 PTTL a
        GET a
        SET a 7 EXAT 33177117420
        EXPIRETIME a
        SET a 8 PXAT 33177117420123
        PEXPIRETIME a
        SET b 1 KEEPTTL
        TTL b
        SET c 1 EXAT 1
        EXISTS c
        SET a 9 PXAT 1
        EXISTS a
        DBSIZE
        "#,
    );
}

#[test]
fn nx_xx_and_get() {
    compare(
        r#"
        SET a 1 XX
        EXISTS a
        SET a 1 NX
        SET a 2 NX
        GET a
        SET a 3 XX
        SET a 4 GET
        SET missing 5 GET
        GET missing
        SET a 6 NX GET
        GET a
        SET none 7 NX GET
        GET none
        SET nada 8 XX GET
        EXISTS nada
        SET a 9 XX GET
        SET a 10 GET EX 100
        @near 1 TTL a
        SET a 11 get xx keepttl
        @near 1 TTL a
        SET a 12 NX EX 100 GET
        SET a 13 nx
        SET fresh 14 NX EX 100
        @near 1 TTL fresh
        "#,
    );
}

#[test]
fn options_that_exclude_each_other() {
    let mut script = String::from("SET a 0\n");
    let options =
        ["NX", "XX", "GET", "KEEPTTL", "PERSIST", "EX 100", "PX 100000", "EXAT 33177117420"];
    for first in options {
        for second in options {
            script.push_str(&format!("SET a 1 {first} {second}\nSET new 1 {first} {second}\n"));
            script.push_str("GET a\nEXISTS new\nDEL new\n@near 2 TTL a\n");
        }
    }
    compare(&script);
}

#[test]
fn deadlines_out_of_range() {
    let mut script = String::from("SET a keep\n");
    for option in ["EX", "PX", "EXAT", "PXAT"] {
        for number in [
            "0",
            "-1",
            "-9223372036854775808",
            "9223372036854775808",
            "-9223372036854775809",
            "9223372036854775",
            "9223372036854776",
            "9223372036854775807",
            "1.5",
            "x",
            "\"\"",
            "\" 1\"",
            "+1",
            "01",
            "1\\x00",
        ] {
            script.push_str(&format!("SET a new {option} {number}\nGET a\n"));
        }
        script.push_str(&format!("SET a new {option}\nSET a new 10 {option}\n"));
    }
    compare(&script);
}

#[test]
fn malformed_set() {
    compare(
        r#"
        SET
        SET a
        SET a 1 BOGUS
        SET a 1 ""
        SET a 1 NX BOGUS
        SET a 1 NXX
        SET a 1 EX 100 EX 200
        SET a 1 EX 100 PX 100
        SET a 1 EX EX
        SET a 1 GET GET
        SET a 1 NX NX
        SET a 1 KEEPTTL KEEPTTL
        SET a 1 IFEQ 1
        SET a 1 EX x NX XX
        SET a 1 NX XX EX x
        SET a 1 "E\x58" 100
        set a 1 eX 100
        @near 1 TTL a
        "#,
    );
}
