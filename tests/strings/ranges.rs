//! GETRANGE, SUBSTR and SETRANGE: inside, at and far beyond the ends.

use larder_tests::compare;

#[test]
fn getrange_at_every_edge() {
    let mut script = String::from("SET a \"Hello, World\"\nSET n 1234567\nSET e \"\"\n");
    let edges = [
        "0",
        "1",
        "6",
        "7",
        "11",
        "12",
        "13",
        "100",
        "-1",
        "-2",
        "-7",
        "-12",
        "-13",
        "-100",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775806",
    ];
    for start in edges {
        for end in edges {
            for key in ["a", "n", "e", "missing"] {
                script.push_str(&format!("GETRANGE {key} {start} {end}\n"));
            }
        }
        script.push_str(&format!("SUBSTR a {start} -1\n"));
    }
    for wrong in ["x", "1.0", "\"\"", "9223372036854775808", "+1", "\" 1\""] {
        script.push_str(&format!("GETRANGE a {wrong} 1\nGETRANGE a 1 {wrong}\n"));
        script.push_str(&format!("GETRANGE missing {wrong} 1\nSUBSTR a {wrong} 1\n"));
    }
    script.push_str("GETRANGE\nGETRANGE a\nGETRANGE a 1\nGETRANGE a 1 2 3\nSUBSTR a 1\n");
    compare(&script);
}

#[test]
fn setrange_pads_and_overwrites() {
    compare(
        r#"
        SETRANGE a 0 hello
        SETRANGE a 1 EL
        GET a
        SETRANGE a 8 x
        GET a
        SETRANGE a 20 ""
        STRLEN a
        SETRANGE new 0 ""
        EXISTS new
        SETRANGE new 100 ""
        EXISTS new
        SETRANGE new 3 abc
        GET new
        SET n 12345
        SETRANGE n 1 9
        GET n
        OBJECT ENCODING n
        INCR n
        EXPIRE n 100
        SETRANGE n 0 7
        @near 1 TTL n
        SETRANGE n 0 "\x00\xff"
        GET n
        SETRANGE
        SETRANGE a
        SETRANGE a 1
        SETRANGE a 1 x y
        "#,
    );
}

#[test]
fn setrange_beyond_what_a_string_may_hold() {
    let mut script = String::from("SET a keep\n");
    for offset in [
        "-1",
        "-9223372036854775808",
        "536870911",
        "536870912",
        "536870913",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "9223372036854775806",
        "9223372036854775808",
        "x",
        "\"\"",
        "1.0",
    ] {
        // 536870911 is the last offset that fits, and would really take half a gigabyte.
        if offset != "536870911" {
            script.push_str(&format!("SETRANGE a {offset} v\nSETRANGE none {offset} v\n"));
        }
        script.push_str(&format!("SETRANGE a {offset} \"\"\nSETRANGE none {offset} \"\"\n"));
        script.push_str(&format!("SETRANGE a {offset} vv\n"));
    }
    script.push_str("GET a\nEXISTS none\nDBSIZE\n");
    compare(&script);
}

#[test]
fn a_string_may_hold_what_the_limit_says() {
    larder_tests::compare_with(
        &["--proto-max-bulk-len", "1mb"],
        r#"
        SETRANGE a 1048575 x
        STRLEN a
        APPEND a y
        STRLEN a
        SETRANGE a 1048576 y
        SETRANGE b 1048575 xy
        EXISTS b
        CONFIG GET proto-max-bulk-len
        "#,
    );
}
