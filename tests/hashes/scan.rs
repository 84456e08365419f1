//! HSCAN: the reply's form, its options, and that nothing is missed.

use crate::on_both;
use larder_tests::Server;
use std::collections::BTreeMap;

#[test]
fn options_and_errors() {
    on_both(
        r#"
        HSET h a 1 b 2 ab 3 10 4
        @unordered HSCAN h 0
        @unordered HSCAN h 0 COUNT 100
        @unordered HSCAN h 0 MATCH a* COUNT 100
        @unordered HSCAN h 0 COUNT 100 MATCH ?
        @unordered HSCAN h 0 match 1* count 100
        HSCAN h 0 MATCH nothing COUNT 100
        HSCAN missing 0
        HSCAN missing 5
        HSCAN missing 0 BOGUS
        HSCAN h x
        HSCAN missing x
        @kind HSCAN h -1
        HSCAN h 18446744073709551616
        HSCAN h 0 COUNT 0
        HSCAN h 0 COUNT -1
        HSCAN h 0 COUNT x
        HSCAN h 0 COUNT
        HSCAN h 0 MATCH
        HSCAN h 0 BOGUS
        HSCAN h 0 TYPE hash
        HSCAN missing 0 COUNT 0
        "#,
    );
}

#[test]
fn a_scan_sees_everything_that_stays() {
    let server = Server::start();
    let mut conn = server.connect();
    for number in 0..2000 {
        conn.prepare(&format!("HSET h stays:{number} {number}"));
    }
    let (mut seen, mut cursor, mut calls) = (BTreeMap::new(), "0".to_owned(), 0);
    loop {
        let reply = conn.run(&format!("HSCAN h {cursor} COUNT 50")).items();
        for pair in reply[1].items().chunks(2) {
            seen.insert(pair[0].text(), pair[1].text());
        }
        // The table grows while the scan goes on.
        for number in 0..50 {
            conn.prepare(&format!("HSET h comes:{calls}:{number} x"));
        }
        calls += 1;
        cursor = reply[0].text();
        if cursor == "0" {
            break;
        }
    }
    assert!(calls > 10);
    for number in 0..2000 {
        assert_eq!(seen.get(&format!("stays:{number}")), Some(&number.to_string()));
    }
}
