//! Bits of strings: single ones, counted, searched, combined; ranges at every edge, limits, types.

mod fields;

use larder_tests::{compare, compare_with};

#[test]
fn single_bits() {
    compare(
        r#"
        SETBIT a 7 1
        GET a
        SETBIT a 7 1
        SETBIT a 7 0
        GET a
        SETBIT a 100 0
        STRLEN a
        GETBIT a 100
        GETBIT a 103
        GETBIT a 104
        GETBIT a 4294967295
        GETBIT missing 0
        EXISTS missing
        SET n 12345
        GETBIT n 2
        GETBIT n 3
        GETBIT n 39
        GETBIT n 40
        OBJECT ENCODING n
        SETBIT n 1 0
        OBJECT ENCODING n
        GET n
        SET e short
        OBJECT ENCODING e
        SETBIT e 0 0
        OBJECT ENCODING e
        SET b "\xff\x00\xf0"
        SETBIT b 0 0
        SETBIT b 9 1
        SETBIT b 23 1
        GET b
        EXPIRE b 100
        SETBIT b 0 1
        @near 1 TTL b
        "#,
    );
}

#[test]
fn offsets_and_bits_that_are_none() {
    let mut script = String::new();
    let wrong = [
        "-1",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "x",
        "\"\"",
        "1.0",
        "+1",
        "01",
        "#1",
        "\" 1\"",
    ];
    for offset in wrong {
        script.push_str(&format!("SETBIT a {offset} 1\nGETBIT a {offset}\nSETBIT a {offset} 2\n"));
    }
    for bit in ["2", "-1", "x", "\"\"", "10", "01", "+1", "4294967296"] {
        script.push_str(&format!("SETBIT a 0 {bit}\n"));
    }
    script.push_str("EXISTS a\nSETBIT a 1\nSETBIT a\nSETBIT a 1 1 1\nGETBIT a\nGETBIT a 1 1\n");
    compare(&script);
}

#[test]
fn a_string_of_bits_ends_at_the_limit() {
    compare_with(
        &["--proto-max-bulk-len", "1mb"],
        r#"
        SETBIT a 8388607 1
        STRLEN a
        SETBIT a 8388608 1
        GETBIT a 8388607
        GETBIT a 8388608
        BITCOUNT a
        BITPOS a 1
        BITFIELD a SET u8 8388607 255
        STRLEN a
        BITFIELD a SET u8 8388608 255
        BITFIELD a GET u63 8388607
        BITFIELD a GET u63 #133152
        BITFIELD a GET u63 #133153
        BITFIELD b SET i64 #131071 -1
        STRLEN b
        BITFIELD b SET i64 #131072 -1
        CONFIG SET proto-max-bulk-len 2mb
        SETBIT a 8388608 1
        "#,
    );
}

/// Strings with what a search can stumble over: empty, runs that end inside a word, an integer.
const STRINGS: &str = r#"
    SET empty ""
    SET ones "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
    SET zeros "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    SET mixed "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x01\xff\xfe\x00"
    SET late "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xef\xff"
    SET one "\x42"
    SET n 123456
    "#;
const KEYS: [&str; 8] = ["empty", "ones", "zeros", "mixed", "late", "one", "n", "missing"];
const EDGES: [&str; 17] = [
    "0",
    "1",
    "3",
    "7",
    "8",
    "9",
    "13",
    "77",
    "80",
    "1000",
    "-1",
    "-2",
    "-9",
    "-80",
    "-1000",
    "9223372036854775807",
    "-9223372036854775808",
];

#[test]
fn bitcount_at_every_edge() {
    let mut script = STRINGS.to_owned();
    for key in KEYS {
        script.push_str(&format!("BITCOUNT {key}\nBITCOUNT {key} 0\n"));
        for start in EDGES {
            for end in EDGES {
                for unit in ["", "BYTE", "bit"] {
                    script.push_str(&format!("BITCOUNT {key} {start} {end} {unit}\n"));
                }
            }
        }
        for wrong in ["0 x", "x 0", "0 1 bits", "-1 -2 bits", "0 1 bit 2", "0 1.0", "\"\" 1"] {
            script.push_str(&format!("BITCOUNT {key} {wrong}\n"));
        }
    }
    script.push_str("BITCOUNT\n");
    compare(&script);
}

#[test]
fn bitpos_at_every_edge() {
    let mut script = STRINGS.to_owned();
    for key in KEYS {
        for bit in [0, 1] {
            script.push_str(&format!("BITPOS {key} {bit}\n"));
            for start in EDGES {
                script.push_str(&format!("BITPOS {key} {bit} {start}\n"));
                for end in EDGES {
                    for unit in ["", "byte", "BIT"] {
                        script.push_str(&format!("BITPOS {key} {bit} {start} {end} {unit}\n"));
                    }
                }
            }
        }
        let wrong = ["2", "-1", "x", "0 x", "0 0 x", "0 x x bits", "0 0 x bits", "0 0 1 bit 2"];
        for wrong in wrong {
            script.push_str(&format!("BITPOS {key} {wrong}\n"));
        }
    }
    script.push_str("BITPOS\nBITPOS one\n");
    compare(&script);
}

#[test]
fn bitop_combines() {
    let mut script = STRINGS.to_owned();
    script
        .push_str("SETRANGE long 0 abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567\n");
    for operation in ["AND", "or", "Xor"] {
        for sources in [
            "ones",
            "missing",
            "mixed late",
            "mixed missing late",
            "missing mixed",
            "long long",
            "long late n one",
            "empty missing",
            "empty one",
            "long long long long long long long long long long long long long long long long long",
        ] {
            script.push_str(&format!("BITOP {operation} r {sources}\nGET r\nEXISTS r\n"));
            script.push_str("OBJECT ENCODING r\n");
        }
    }
    for key in KEYS {
        script.push_str(&format!("BITOP NOT r {key}\nGET r\n"));
    }
    script.push_str(
        r#"
        BITOP NOT one one
        GET one
        SET r x EX 100
        BITOP OR r one
        TTL r
        SET r x
        BITOP OR r missing empty
        EXISTS r
        BITOP NOT r one n
        BITOP NOT r
        BITOP NAND r one
        BITOP "" r one
        BITOP AND r
        BITOP
        RPUSH list x
        BITOP AND r one list
        BITOP NOT list one
        TYPE list
        RPUSH list2 x
        BITOP OR list2 missing
        EXISTS list2
        "#,
    );
    compare(&script);
}

#[test]
fn other_types_are_refused() {
    compare(
        r#"
        RPUSH a x
        SETBIT a 0 1
        GETBIT a 0
        BITCOUNT a
        BITCOUNT a 0 x
        BITPOS a 1
        BITPOS a 1 x
        BITPOS a 2
        BITOP NOT b a
        BITFIELD a
        BITFIELD a GET u8 0
        BITFIELD a SET u8 0 1
        BITFIELD_RO a GET u8 0
        "#,
    );
}

#[test]
fn only_changes_count_as_changes() {
    // Redis counts a bit that stays as it is since 7.2 no more.
    let changes = "@skip INFO persistence\n";
    let mut script = String::new();
    for (command, dirty) in [
        ("SETBIT a 0 0", 1),
        ("SETBIT a 0 0", 1),
        ("SETBIT a 0 1", 2),
        ("SETBIT a 9 0", 3),
        ("BITFIELD a SET u8 0 128 GET u8 0 INCRBY u8 0 0", 3),
        ("BITFIELD a SET u8 0 1 SET u8 8 1 SET u8 8 1", 5),
        ("BITFIELD a GET u8 1000", 5),
        ("BITFIELD a OVERFLOW FAIL INCRBY u2 0 100", 5),
        ("BITFIELD a SET u8 80 0 SET u8 0 1", 7),
        ("BITOP NOT b a", 8),
        ("BITOP NOT b missing", 9),
        ("BITOP NOT b missing", 9),
    ] {
        script
            .push_str(&format!("@skip {command}\n{changes}=* *changes_since_last_save:{dirty}*\n"));
    }
    compare(&script);
}
