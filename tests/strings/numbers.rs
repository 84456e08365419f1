//! Counters: integers at the edges of 64 bits, and decimal numbers in Redis's own notation.

use larder_tests::compare;

#[test]
fn counting_up_and_down() {
    compare(
        r#"
        INCR a
        INCR a
        DECR a
        DECRBY a 10
        INCRBY a 20
        GET a
        OBJECT ENCODING a
        DECR fresh
        INCRBY other -5
        EXPIRE a 100
        INCR a
        @near 1 TTL a
        INCRBY a 0
        INCRBY a -0
        INCR
        INCR a b
        INCRBY a
        INCRBY a 1 2
        DECRBY a
        DECRBY
        "#,
    );
}

#[test]
fn what_is_no_integer() {
    let mut script = String::new();
    for value in [
        "\"\"",
        "\" 1\"",
        "\"1 \"",
        "+1",
        "01",
        "-0",
        "1.0",
        "1e3",
        "0x10",
        "word",
        "--1",
        "-",
        "\"1\\x00\"",
        "\"1\\r\\n\"",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
        "0",
        "-1",
    ] {
        script.push_str(&format!(
            "SET a {value}\nINCR a\nSET a {value}\nDECRBY a 3\nSET a 5\nINCRBY a {value}\n\
             DECRBY a {value}\nGET a\n"
        ));
    }
    compare(&script);
}

#[test]
fn overflow_leaves_the_value_alone() {
    let mut script = String::new();
    let edges = [i64::MIN, i64::MIN + 1, -2, -1, 0, 1, 2, i64::MAX - 1, i64::MAX];
    for value in edges {
        for step in edges {
            script.push_str(&format!("SET a {value}\nINCRBY a {step}\nGET a\n"));
            script.push_str(&format!("SET a {value}\nDECRBY a {step}\nGET a\n"));
        }
        script.push_str(&format!("SET a {value}\nINCR a\nSET a {value}\nDECR a\nGET a\n"));
    }
    compare(&script);
}

#[test]
fn incrbyfloat_prints_like_redis() {
    let mut script = String::new();
    let starts =
        ["", "0", "10.5", "5.0e3", "-1.5", "3", "1e300", "0.1", "\"1\\x00\"", "\" 1\"", "inf"];
    let steps = [
        "0.1",
        "-0.1",
        "2.0e2",
        "1e-5",
        "1e-17",
        "1e-18",
        "5e-324",
        "1e17",
        "1e18",
        "1e308",
        "0",
        "-0",
        "-0.0",
        "3.0000000000000000001",
        "123456789.123456789",
        ".5",
        "5.",
        "+5",
        "0x1p3",
        "0x10",
        "1e",
        "e1",
        "nan",
        "inf",
        "-inf",
        "+inf",
        "infinity",
        "-nan",
        "1e400",
        "1e4940",
        "1e-400",
        "\"\"",
        "\" 1\"",
        "\"1 \"",
        "1,5",
        "word",
        "\"1\\x00\"",
    ];
    for start in starts {
        for step in steps {
            script.push_str("DEL a\n");
            if !start.is_empty() {
                script.push_str(&format!("SET a {start}\n"));
            }
            script.push_str(&format!("INCRBYFLOAT a {step}\nGET a\n"));
        }
    }
    compare(&script);
}

#[test]
fn incrbyfloat_adds_up() {
    let mut script = String::new();
    for step in ["0.1", "1.1", "-2.3", "0.0001", "1000000.7", "3e-9", "12345678901234567"] {
        script.push_str(&"INCRBYFLOAT sum STEP\n".replace("STEP", step).repeat(7));
    }
    script.push_str(
        "GET sum\nOBJECT ENCODING sum\nEXPIRE sum 100\nINCRBYFLOAT sum 1\n@near 1 TTL sum\n\
         INCRBYFLOAT sum\nINCRBYFLOAT\nINCRBYFLOAT sum 1 2\n",
    );
    compare(&script);
}
