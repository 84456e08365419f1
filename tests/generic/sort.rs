//! SORT and SORT_RO: orders, patterns, limits, what is stored, what is refused.

use larder_tests::{Rng, Server, compare, compare_with, eventually};

/// A list, a set and a sorted set, in small and large forms, with weights and fields beside them.
fn collections() -> String {
    let mut script = String::from(
        r#"
        RPUSH l 3 10 1 2 -5 1.5 1e3 0x10 " 7" +4 "" inf
        RPUSH w d b a c b "" B "a b"
        SADD i 5 1 4 2 3 100
        SADD s d b a c
        ZADD z 1 d 2 b 3 a 4 c
        ZADD zn 1 30 2 20 3 10
        "#,
    );
    let mut rng = Rng::new(21);
    for number in 0..700 {
        let member = rng.below(1_000_000);
        script.push_str(&format!(
            "RPUSH ll {member}\nSADD ss x{member}\nZADD zz {number} {member}\n"
        ));
    }
    for (number, name) in ["a", "b", "c", "d", "1", "2", "3", "10", "20", "30"].iter().enumerate() {
        let weight = (number * 7) % 10;
        script.push_str(&format!("SET weight_{name} {weight}\nSET text_{name} t{weight}\n"));
        script.push_str(&format!("HSET hash_{name} w {weight} t t{weight} -> arrow \"\" none\n"));
    }
    script.push_str("RPUSH weight_list x\nSET weight_ 3\nDEL weight_b text_c\nHDEL hash_d w\n");
    script
}

#[test]
fn every_order_of_every_collection() {
    let mut script = collections();
    for key in ["l", "w", "i", "s", "z", "zn", "ll", "ss", "zz", "missing", "weight_a"] {
        for order in ["", "ASC", "desc", "ALPHA", "alpha DESC", "DESC ALPHA ASC"] {
            for limit in ["", "LIMIT 0 3", "LIMIT 2 -1", "LIMIT 1 0", "LIMIT -3 2", "LIMIT 100 5"] {
                script.push_str(&format!("SORT {key} {order} {limit}\n"));
                script.push_str(&format!("SORT_RO {key} {limit} {order}\n"));
            }
        }
    }
    compare(&script);
}

#[test]
fn nothing_to_sort_by() {
    let mut script = collections();
    for key in ["l", "z", "ll", "zz", "missing"] {
        for order in ["", "DESC", "ALPHA"] {
            for limit in ["", "LIMIT 0 3", "LIMIT 5 100", "LIMIT 3 0", "LIMIT 1000 1", "LIMIT -1 2"]
            {
                script.push_str(&format!("SORT {key} BY nosort {order} {limit}\n"));
                script.push_str(&format!("SORT {key} BY nosort {order} {limit} STORE to\n"));
                script.push_str("LRANGE to 0 -1\n");
            }
        }
    }
    for key in ["s", "ss", "i"] {
        script.push_str(&format!("@unordered SORT {key} BY nosort\n"));
        for rest in ["", "DESC", "LIMIT 1 2", "GET # GET weight_*"] {
            script.push_str(&format!("SORT {key} BY nosort {rest} STORE to\nLRANGE to 0 -1\n"));
        }
    }
    // A constant stays in force.
    script.push_str("SORT l BY nosort BY weight_*\nSORT l BY weight_* BY nosort\n");
    compare(&script);
}

#[test]
fn values_behind_patterns() {
    let mut script = collections();
    let patterns = [
        "weight_*",
        "text_*",
        "hash_*->w",
        "hash_*->t",
        "hash_*->",
        "hash_*->->",
        "hash_*->missing",
        "*",
        "weight_*x",
        "*->w",
        "hash_*",
        "weight_*->w",
        "**",
        "weight_**",
    ];
    for key in ["w", "z", "zn", "i"] {
        for pattern in patterns {
            script.push_str(&format!("SORT {key} ALPHA GET {pattern}\n"));
            script.push_str(&format!("SORT {key} ALPHA GET # GET {pattern} GET nothing GET #\n"));
            script.push_str(&format!("SORT {key} BY {pattern}\nSORT_RO {key} BY {pattern} DESC\n"));
            // Which of two comes first when both have the same weight, or none, is up to the server
            // where the collection has no order.
            let any = if key.starts_with('z') { "@unordered " } else { "" };
            script.push_str(&format!("{any}SORT {key} BY {pattern} ALPHA GET # GET weight_*\n"));
        }
    }
    script.push_str(
        r##"
        SORT w ALPHA GET #x GET "" GET "# "
        SORT zn BY weight_* GET hash_*->t LIMIT 1 2
        SORT_RO zn BY weight_* GET hash_*->t GET #
        SET weight_10 word
        SORT zn BY weight_*
        SORT_RO zn BY weight_*
        SORT zn BY weight_* ALPHA
        SET due_1 x PX 1
        RPUSH one 1
        @sleep 5 SORT one GET due_*
        "##,
    );
    compare(&script);
}

#[test]
fn what_is_stored() {
    let mut script = collections();
    for (key, rest) in [
        ("i", ""),
        ("i", "DESC LIMIT 1 2"),
        ("w", "ALPHA"),
        ("z", "ALPHA GET weight_* GET # GET nothing"),
        ("ll", ""),
        ("l", "LIMIT 0 0"),
        ("missing", ""),
    ] {
        script.push_str("SET to x EX 100\n");
        script.push_str(&format!("SORT {key} {rest} STORE to\nTYPE to\nTTL to\nLRANGE to 0 -1\n"));
        script.push_str(&format!("SORT {key} {rest} STORE to\nSORT {key} {rest} STORE new\n"));
    }
    script.push_str(
        r#"
        SORT i STORE i
        TYPE i
        LRANGE i 0 -1
        SORT i STORE a STORE b
        EXISTS a b
        SORT i STORE
        SORT l STORE to
        SORT weight_a STORE to
        EXISTS to
        SORT_RO i STORE to
        SORT_RO i ALPHA STORE
        SORT i STORE by STORE store
        LRANGE store 0 -1
        EXISTS by
        "#,
    );
    compare(&script);
}

#[test]
fn what_is_stored_is_small_when_it_can_be() {
    // Redis 7.0 has no small lists, so 7.2's answers are stated.
    let mut script = String::new();
    for number in 0..200 {
        script.push_str(&format!(
            "SADD small {number}\nSADD large member:{number}:{}\n",
            "x".repeat(60)
        ));
    }
    script.push_str(
        r#"
        SORT small STORE to
        OBJECT ENCODING to
        = "listpack"
        SORT large ALPHA STORE to
        OBJECT ENCODING to
        = "quicklist"
        SORT large ALPHA LIMIT 0 100 STORE to
        OBJECT ENCODING to
        = "listpack"
        "#,
    );
    compare(&script);
    let script = r#"
        RPUSH a 3 2 1
        SORT a STORE to
        OBJECT ENCODING to
        = "listpack"
        RPUSH a 0
        SORT a STORE to
        OBJECT ENCODING to
        = "quicklist"
        "#;
    compare_with(&["--list-max-listpack-size", "3"], script);
}

#[test]
fn numbers_that_are_none() {
    let mut script = String::new();
    // Once a number was out of range, Redis takes any other for one as well, so they come last.
    let texts = [
        "x",
        "\"3\\x00x\"",
        "\"\\x00\"",
        "1x",
        "1 ",
        "nan",
        "-nan",
        "0x",
        "1e",
        ".",
        "-",
        "--1",
        "1,5",
        "\" \"",
        "infinity",
        "-inf",
        "+inf",
        "\"\\t\\n 5\"",
        ".5",
        "5.",
        "0x1p4",
        "-0",
        "1e308",
        "1e400",
        "1e-400",
    ];
    for text in texts {
        script.push_str(&format!("DEL a\nRPUSH a 2 {text} 1\nSORT a\nSORT a DESC\nSORT a ALPHA\n"));
        script.push_str(&format!("SET by_2 {text}\nSORT a BY by_* LIMIT 0 0\nSORT a BY by_*\n"));
    }
    script.push_str("SET to x\nRPUSH b x\nSORT b STORE to\nGET to\n");
    compare(&script);
}

#[test]
fn what_is_refused() {
    compare(
        r#"
        RPUSH a 2 1
        HSET h f v
        SORT h
        SORT h LIMIT x 1
        SORT
        SORT_RO
        SORT a b
        SORT a LIMIT
        SORT a LIMIT 1
        SORT a LIMIT x 1
        SORT a LIMIT 1 x
        SORT a LIMIT 1 9223372036854775808
        SORT a LIMIT 9223372036854775807 9223372036854775807
        SORT a LIMIT -9223372036854775808 -9223372036854775808
        SORT a BY
        SORT a GET
        SORT a STORE
        SORT a ASC DESC ALPHA nothing
        SORT_RO a STORE b
        COMMAND GETKEYS SORT a
        COMMAND GETKEYS SORT a BY w_* GET x STORE b
        COMMAND GETKEYS SORT a STORE b STORE c
        COMMAND GETKEYS SORT_RO a BY w_* GET x
        COMMAND GETKEYSANDFLAGS SORT a STORE b
        COMMAND GETKEYSANDFLAGS SORT_RO a
        "#,
    );
}

#[test]
fn changes_are_counted() {
    let mut script = String::from("RPUSH a 3 2 1\n");
    for (command, dirty) in [
        ("SORT a", 3),
        ("SORT a STORE b", 6),
        ("SORT a LIMIT 0 2 GET # GET x STORE b", 10),
        ("SORT a LIMIT 0 0 STORE b", 11),
        ("SORT a LIMIT 0 0 STORE b", 11),
    ] {
        script.push_str(&format!("{command}\nINFO persistence\n"));
        script.push_str(&format!("=* *changes_since_last_save:{dirty}\\r*\n"));
    }
    compare(&script);
}

#[test]
fn a_stored_list_wakes_who_waits_for_one() {
    let server = Server::start();
    let (mut waiting, mut conn) = (server.connect(), server.connect());
    conn.run("RPUSH a 2 1");
    waiting.send(b"BLPOP to 0\r\n");
    eventually("BLPOP waits", || server.info("blocked_clients") == "1");
    conn.expect("SORT a STORE to", ":2");
    assert_eq!(waiting.reply().to_string(), r#"["to", "1"]"#);
}
