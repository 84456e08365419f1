//! SSCAN: the reply's form, its options, and that nothing is missed.

use crate::on_all;
use larder_tests::Server;
use std::collections::BTreeSet;

#[test]
fn options_and_errors() {
    on_all(
        r#"
        SADD s a b ab 10
        SADD i 1 2 12
        @unordered SSCAN s 0 COUNT 100
        @unordered SSCAN i 0 COUNT 100
        @unordered SSCAN s 0 MATCH a* COUNT 100
        @unordered SSCAN s 0 COUNT 100 MATCH ?
        @unordered SSCAN i 0 match 1* count 100
        SSCAN s 0 MATCH nothing COUNT 100
        SSCAN missing 0
        SSCAN missing 5
        SSCAN missing 0 BOGUS
        SSCAN s x
        SSCAN missing x
        SSCAN s 18446744073709551616
        SSCAN s 0 COUNT 0
        SSCAN s 0 COUNT -1
        SSCAN s 0 COUNT x
        SSCAN s 0 COUNT
        SSCAN s 0 MATCH
        SSCAN s 0 BOGUS
        SSCAN s 0 TYPE set
        SSCAN missing 0 COUNT 0
        "#,
    );
}

#[test]
fn a_scan_sees_everything_that_stays() {
    let server = Server::start();
    let mut conn = server.connect();
    for number in 0..2000 {
        conn.prepare(&format!("SADD s stays:{number}\nSADD s goes:{number}"));
    }
    let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let reply = conn.run(&format!("SSCAN s {cursor} COUNT 50")).items();
        seen.extend(reply[1].items().iter().map(larder_tests::Value::text));
        // The table shrinks while the scan goes on.
        for number in calls * 40..(calls + 1) * 40 {
            conn.prepare(&format!("SREM s goes:{number}"));
        }
        calls += 1;
        cursor = reply[0].text();
        if cursor == "0" {
            break;
        }
    }
    assert!(calls > 10);
    for number in 0..2000 {
        assert!(seen.contains(&format!("stays:{number}")), "stays:{number}");
    }
}
