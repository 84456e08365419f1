//! Which encoding a set has: integers, then a packed set, then a table. 7.0 does not know packed
//! sets, so the encodings are stated as 7.2 has them.

use larder_tests::{Server, compare};

/// A connection to a server that has small thresholds.
fn small() -> (Server, larder_tests::Conn) {
    let server = Server::with(&[
        "--set-max-intset-entries",
        "4",
        "--set-max-listpack-entries",
        "3",
        "--set-max-listpack-value",
        "8",
    ]);
    let conn = server.connect();
    (server, conn)
}

#[track_caller]
fn expect(conn: &mut larder_tests::Conn, lines: &str, encoding: &str) {
    conn.prepare("DEL s");
    conn.prepare(lines);
    conn.expect("OBJECT ENCODING s", &format!("\"{encoding}\""));
}

#[test]
fn integers_stay_together_up_to_a_number() {
    let (_server, mut conn) = small();
    expect(&mut conn, "SADD s 1 2 3 4", "intset");
    expect(&mut conn, "SADD s 1 2 3 4\nSADD s 4", "intset");
    expect(&mut conn, "SADD s 1 2 3 4\nSADD s 5", "hashtable");
    expect(&mut conn, "SADD s 1 2 3 4\nSADD s 5\nSREM s 1 2", "hashtable");
    // The number of arguments counts while a set is made: it is given room at once.
    expect(&mut conn, "SADD s 1 1 1 1 1", "hashtable");
    expect(&mut conn, "SADD s 9223372036854775807 -9223372036854775808", "intset");
    expect(&mut conn, "SADD s +1", "listpack");
    expect(&mut conn, "SADD s 01", "listpack");
}

#[test]
fn one_word_makes_integers_a_packed_set_or_a_table() {
    let (_server, mut conn) = small();
    expect(&mut conn, "SADD s 1 2\nSADD s a", "listpack");
    expect(&mut conn, "SADD s 1 2 3\nSADD s a", "hashtable");
    expect(&mut conn, "SADD s 1\nSADD s 123456789", "intset");
    expect(&mut conn, "SADD s 1\nSADD s x12345678", "hashtable");
    expect(&mut conn, "SADD s 123456789 1\nSADD s a", "hashtable");
}

#[test]
fn packed_sets_have_a_number_and_a_length() {
    let (_server, mut conn) = small();
    expect(&mut conn, "SADD s a b c", "listpack");
    expect(&mut conn, "SADD s a b c\nSADD s a", "listpack");
    expect(&mut conn, "SADD s a b c\nSADD s d", "hashtable");
    expect(&mut conn, "SADD s a b c d", "hashtable");
    expect(&mut conn, "SADD s 12345678x", "hashtable");
    expect(&mut conn, "SADD s a\nSADD s 12345678x", "hashtable");
    expect(&mut conn, "SADD s a b c d\nSREM s b c d", "hashtable");
}

#[test]
fn what_is_stored_has_the_encoding_of_its_members() {
    let (_server, mut conn) = small();
    conn.prepare("SADD i 1 2 3\nSADD j 2 3 4\nSADD w a b c\nSADD v b c d\nSADD long x12345678 1");
    expect(&mut conn, "SINTERSTORE s i j", "intset");
    expect(&mut conn, "SUNIONSTORE s i j", "intset");
    expect(&mut conn, "SUNIONSTORE s i j\nSADD j 5\nSUNIONSTORE s i j", "hashtable");
    expect(&mut conn, "SINTERSTORE s w v", "listpack");
    expect(&mut conn, "SUNIONSTORE s w v", "hashtable");
    expect(&mut conn, "SDIFFSTORE s w v", "listpack");
    expect(&mut conn, "SDIFFSTORE s i w", "intset");
    expect(&mut conn, "SUNIONSTORE s long", "hashtable");
    expect(&mut conn, "SMOVE i s 1", "intset");
    expect(&mut conn, "SMOVE w s a", "listpack");
    expect(&mut conn, "COPY w s", "listpack");
}

#[test]
fn large_sets_read_the_same() {
    let mut script = String::new();
    for number in 0..700 {
        script.push_str(&format!("SADD i {}\n", number * 37 % 1009 - 300));
        script.push_str(&format!("SADD w member:{}\n", number * 37 % 1009));
        script.push_str(&format!("SADD v member:{}\n", number * 53 % 1009));
        if number % 3 == 0 {
            script.push_str(&format!("SREM i {}\nSREM w member:{number}\n", number - 300));
        }
    }
    script.push_str(
        "SCARD i
        SCARD w
        OBJECT ENCODING i
        OBJECT ENCODING w
        @unordered SMEMBERS i
        @unordered SMEMBERS w
        @unordered SINTER v w
        @unordered SUNION i v w
        @unordered SDIFF v w
        SINTERCARD 2 v w
        SINTERCARD 2 w v LIMIT 100
        SUNIONSTORE u i v w
        COPY u copy
        DEL u
        @unordered SMEMBERS copy
        @unordered SRANDMEMBER copy 100000
        @unordered SPOP copy 100000
        EXISTS copy\n",
    );
    compare(&script);
}
