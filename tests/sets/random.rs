//! SPOP and SRANDMEMBER: what may come, how many of it, and what is left.

use crate::on_all;
use larder_tests::{Server, Value};
use std::collections::BTreeSet;

#[test]
fn replies_that_leave_no_choice_are_the_same() {
    on_all(
        r#"
        SADD one a
        SRANDMEMBER one
        SRANDMEMBER one 1
        SRANDMEMBER one 10
        SRANDMEMBER one -3
        SRANDMEMBER one 0
        SRANDMEMBER missing
        SRANDMEMBER missing 1
        SRANDMEMBER missing -1
        SRANDMEMBER missing x
        SRANDMEMBER one x
        SRANDMEMBER one 1 2
        SRANDMEMBER one -9223372036854775808
        SADD all a b 1 2
        @unordered SRANDMEMBER all 4
        @unordered SRANDMEMBER all 9223372036854775807
        SPOP all 0
        SPOP missing
        SPOP missing 0
        SPOP missing 3
        SPOP missing -1
        SPOP all -1
        SPOP all x
        SPOP all 1 2
        SCARD all
        @unordered SPOP all 9223372036854775807
        EXISTS all
        SPOP one
        EXISTS one
        SADD one 5
        SPOP one 1
        EXISTS one
        "#,
    );
}

/// An encoding, the `set-max-listpack-entries` under which a set of some hundred members has it, and
/// what its members are called.
type Encoding = (&'static str, &'static str, fn(usize) -> String);

fn encodings() -> [Encoding; 3] {
    [
        ("intset", "512", |n| n.to_string()),
        ("listpack", "1000", |n| format!("m{n}")),
        ("hashtable", "0", |n| format!("m{n}")),
    ]
}

fn with_set(len: usize, packed_max: &str, name: fn(usize) -> String) -> (Server, BTreeSet<String>) {
    let server = Server::with(&["--set-max-listpack-entries", packed_max]);
    let set: BTreeSet<String> = (0..len).map(name).collect();
    let members: Vec<&str> = set.iter().map(String::as_str).collect();
    server.connect().expect(&format!("SADD s {}", members.join(" ")), &format!(":{len}"));
    (server, set)
}

fn texts(reply: &Value) -> Vec<String> {
    reply.items().iter().map(Value::text).collect()
}

#[test]
fn different_members_are_different() {
    for (encoding, packed_max, name) in encodings() {
        let (server, set) = with_set(100, packed_max, name);
        let mut conn = server.connect();
        conn.expect("OBJECT ENCODING s", &format!("\"{encoding}\""));
        for count in [1, 2, 10, 40, 60, 99, 100, 200] {
            let drawn = texts(&conn.run(&format!("SRANDMEMBER s {count}")));
            let unique: BTreeSet<String> = drawn.iter().cloned().collect();
            assert_eq!((drawn.len(), unique.len()), (count.min(100), count.min(100)));
            assert!(unique.is_subset(&set));
        }
    }
}

#[test]
fn every_member_comes_up() {
    for (_, packed_max, name) in encodings() {
        let (server, set) = with_set(10, packed_max, name);
        let mut conn = server.connect();
        // Ten members: that one is missing from 1000 draws has a chance of 1 in 10^44.
        let drawn = texts(&conn.run("SRANDMEMBER s -1000"));
        assert_eq!(drawn.len(), 1000);
        assert_eq!(drawn.into_iter().collect::<BTreeSet<_>>(), set);
        let mut single = BTreeSet::new();
        while single.len() < set.len() {
            single.insert(conn.run("SRANDMEMBER s").text());
        }
        assert_eq!(single, set);
    }
}

#[test]
fn what_is_popped_is_gone() {
    for (_, packed_max, name) in encodings() {
        for count in [1, 7, 60, 99] {
            let (server, mut set) = with_set(100, packed_max, name);
            let mut conn = server.connect();
            while !set.is_empty() {
                let popped = match count {
                    1 => vec![conn.run("SPOP s").text()],
                    _ => texts(&conn.run(&format!("SPOP s {count}"))),
                };
                assert_eq!(popped.len(), count.min(set.len()));
                for member in popped {
                    assert!(set.remove(&member), "{member} came twice or from nowhere");
                }
                conn.expect("SCARD s", &format!(":{}", set.len()));
                let left: BTreeSet<String> = texts(&conn.run("SMEMBERS s")).into_iter().collect();
                assert_eq!(left, set);
            }
            conn.expect("EXISTS s", ":0");
        }
    }
}
