//! HRANDFIELD: what may come, how many of it, and in which form.

use crate::on_both;
use larder_tests::{Server, Value};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn replies_that_leave_no_choice_are_the_same() {
    on_both(
        r#"
        HSET one a 1
        HRANDFIELD one
        HRANDFIELD one 1
        HRANDFIELD one 5
        HRANDFIELD one -3
        HRANDFIELD one 1 WITHVALUES
        HRANDFIELD one -3 withvalues
        HRANDFIELD one 0
        HRANDFIELD one 0 WITHVALUES
        HRANDFIELD missing
        HRANDFIELD missing 1
        HRANDFIELD missing -1 WITHVALUES
        HSET all a 1 b 2 c 3 10 20
        @unordered HRANDFIELD all 4
        @unordered HRANDFIELD all 9223372036854775807
        HRANDFIELD all 9223372036854775807 WITHVALUES
        HRANDFIELD all 4611686018427387904 WITHVALUES
        @unordered HRANDFIELD all 4611686018427387903
        HRANDFIELD all -4611686018427387904 WITHVALUES
        HRANDFIELD all x
        HRANDFIELD all 1 BOGUS
        HRANDFIELD all 1 WITHVALUES more
        HRANDFIELD all WITHVALUES
        HRANDFIELD all -9223372036854775808
        HRANDFIELD all -9223372036854775808 WITHVALUES
        "#,
    );
}

/// A server with a hash of `len` fields, packed if that many may be.
fn with_hash(len: usize, packed: bool) -> (Server, BTreeMap<String, String>) {
    let most = if packed { "1000" } else { "0" };
    let server = Server::with(&["--hash-max-listpack-entries", most]);
    let hash: BTreeMap<String, String> =
        (0..len).map(|n| (format!("f{n}"), format!("v{n}"))).collect();
    let pairs: Vec<String> = hash.iter().map(|(field, value)| format!("{field} {value}")).collect();
    server.connect().expect(&format!("HSET h {}", pairs.join(" ")), &format!(":{len}"));
    (server, hash)
}

#[test]
fn different_fields_are_different_and_come_with_their_values() {
    for packed in [true, false] {
        let (server, hash) = with_hash(100, packed);
        let mut conn = server.connect3();
        for count in [1, 2, 10, 40, 60, 99, 100, 200] {
            let fields = conn.run(&format!("HRANDFIELD h {count}")).items();
            let unique: BTreeSet<String> = fields.iter().map(Value::text).collect();
            assert_eq!((fields.len(), unique.len()), (count.min(100), count.min(100)));
            let pairs = conn.run(&format!("HRANDFIELD h {count} WITHVALUES")).items();
            assert_eq!(pairs.len(), count.min(100));
            for pair in pairs {
                let pair = pair.items();
                assert_eq!(hash.get(&pair[0].text()), Some(&pair[1].text()));
            }
        }
    }
}

#[test]
fn every_field_comes_up() {
    for packed in [true, false] {
        let (server, hash) = with_hash(10, packed);
        let mut conn = server.connect();
        // Ten fields: that one is missing from 1000 draws has a chance of 1 in 10^44.
        let drawn = conn.run("HRANDFIELD h -1000").items();
        assert_eq!(drawn.len(), 1000);
        let unique: BTreeSet<String> = drawn.iter().map(Value::text).collect();
        assert!(unique.iter().eq(hash.keys()));
        let pairs = conn.run("HRANDFIELD h -1000 WITHVALUES").items();
        assert_eq!(pairs.len(), 2000);
        for pair in pairs.chunks(2) {
            assert_eq!(hash.get(&pair[0].text()), Some(&pair[1].text()));
        }
        let mut single = BTreeSet::new();
        while single.len() < hash.len() {
            single.insert(conn.run("HRANDFIELD h").text());
        }
        assert!(single.iter().eq(hash.keys()));
    }
}
