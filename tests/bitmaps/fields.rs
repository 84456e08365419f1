//! BITFIELD and BITFIELD_RO: types, offsets, overflows, and what grows.

use larder_tests::{Rng, compare};

#[test]
fn integers_are_read_and_written() {
    compare(
        r#"
        BITFIELD a SET i8 0 100 GET u4 0 GET i4 4 INCRBY u2 100 1
        GET a
        STRLEN a
        BITFIELD a GET u63 0 GET i64 0 GET u1 1 GET i1 1
        BITFIELD a GET u8 1000 GET i64 4294967232
        STRLEN a
        BITFIELD a SET u8 #1 200 SET u8 #2 300 GET u8 #1 GET u8 #2
        BITFIELD a set I8 0 1
        BITFIELD a set i8 0 1 overflow sat incrby i8 0 1000 Overflow Wrap incrby i8 0 1
        BITFIELD a
        BITFIELD missing
        BITFIELD missing GET u8 0 GET i5 100
        EXISTS missing
        BITFIELD_RO a GET u8 0 GET i8 #1
        BITFIELD_RO a
        BITFIELD_RO missing GET u8 0
        SET n 1234
        BITFIELD n GET u8 0 GET u8 8
        OBJECT ENCODING n
        BITFIELD n SET u8 0 65
        GET n
        OBJECT ENCODING n
        EXPIRE n 100
        BITFIELD n INCRBY u8 0 1
        @near 1 TTL n
        "#,
    );
}

#[test]
fn what_does_not_fit() {
    let mut script = String::new();
    let types = ["u1", "u8", "u63", "i1", "i2", "i8", "i63", "i64"];
    let values = [
        "0",
        "1",
        "-1",
        "2",
        "127",
        "128",
        "255",
        "256",
        "-128",
        "-129",
        "4611686018427387904",
        "9223372036854775807",
        "-9223372036854775807",
        "-9223372036854775808",
    ];
    for kind in types {
        for overflow in ["WRAP", "SAT", "FAIL"] {
            for value in values {
                script.push_str(&format!(
                    "BITFIELD a OVERFLOW {overflow} SET {kind} 3 {value} GET {kind} 3 \
                     INCRBY {kind} 3 {value} INCRBY {kind} 3 -1 INCRBY {kind} 3 1\nGET a\n"
                ));
            }
        }
    }
    script.push_str("BITFIELD b OVERFLOW FAIL INCRBY u2 1000 7\nEXISTS b\nSTRLEN b\n");
    script.push_str("BITFIELD b OVERFLOW FAIL SET u2 2000 7 GET u2 2000\nSTRLEN b\n");
    compare(&script);
}

#[test]
fn what_is_no_operation() {
    let mut script = String::from("SET a abc\n");
    let kinds = [
        "u0",
        "u64",
        "u65",
        "i0",
        "i65",
        "i-1",
        "u",
        "i",
        "8",
        "x8",
        "\"\"",
        "u08",
        "u8 ",
        "U8",
        "u9223372036854775808",
    ];
    for kind in kinds {
        script.push_str(&format!("BITFIELD a GET {kind} 0\nBITFIELD a SET {kind} x x\n"));
    }
    let offsets = [
        "-1",
        "x",
        "\"\"",
        "#",
        "#-1",
        "#x",
        "##1",
        "4294967296",
        "#536870912",
        "1#",
        "#4294967296",
    ];
    for offset in offsets {
        script.push_str(&format!("BITFIELD a GET u8 {offset}\nBITFIELD a SET u8 {offset} x\n"));
        script.push_str(&format!("BITFIELD_RO a GET u8 {offset}\n"));
    }
    script.push_str(
        r#"
        BITFIELD a GET u8 536870911
        BITFIELD a GET
        BITFIELD a GET u8
        BITFIELD a SET u8 0
        BITFIELD a INCRBY u8 0
        BITFIELD a SET u8 0 x
        BITFIELD a INCRBY u8 0 9223372036854775808
        BITFIELD a OVERFLOW
        BITFIELD a OVERFLOW nothing
        BITFIELD a OVERFLOW nothing SET u8 0 1
        BITFIELD a SET u8 0 1 OVERFLOW
        BITFIELD a SET u8 0 1 nothing
        BITFIELD a SET u8 0 1 GET u99 0
        BITFIELD a OVERFLOW SAT
        BITFIELD_RO a SET u8 0 1
        BITFIELD_RO a GET u8 0 INCRBY u8 0 1
        BITFIELD_RO a SET u8 0 x
        BITFIELD_RO a OVERFLOW SAT
        BITFIELD_RO a OVERFLOW SAT GET u8 0
        BITFIELD
        BITFIELD_RO
        GET a
        "#,
    );
    compare(&script);
}

#[test]
fn random_operations() {
    let mut rng = Rng::new(7);
    let mut script = String::new();
    for _ in 0..600 {
        let mut command = String::from("BITFIELD a");
        for _ in 0..rng.below(5) {
            let (sign, most) = *rng.pick(&[('u', 63), ('i', 64)]);
            let kind = format!("{sign}{}", 1 + rng.below(most));
            let offset = match rng.below(2) {
                0 => rng.below(200).to_string(),
                _ => format!("#{}", rng.below(6)),
            };
            let value = (rng.bits() as i64) >> rng.below(64);
            command.push_str(&match rng.below(4) {
                0 => format!(" GET {kind} {offset}"),
                1 => format!(" SET {kind} {offset} {value}"),
                2 => format!(" INCRBY {kind} {offset} {value}"),
                _ => format!(" OVERFLOW {}", rng.pick(&["WRAP", "SAT", "FAIL"])),
            });
        }
        script.push_str(&format!("{command}\nGET a\n"));
    }
    compare(&script);
}
