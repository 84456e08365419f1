//! Entries come, are read, and go: XADD, XLEN, XRANGE, XREVRANGE, XREAD, XDEL, XTRIM, XSETID.

use larder_tests::{Server, compare, compare_with};

#[test]
fn xadd_takes_ids_in_order() {
    compare(
        r#"
        XADD s 1-1 f v
        XADD s 1-1 f v
        XADD s 1-0 f v
        XADD s 1-* f v
        XADD s 2 f v g "a longer value"
        XADD s 2-* f v
        XADD s 5-* "" ""
        XADD s 0-0 f v
        XADD s 0 f v
        XADD new 0-* f v
        XADD s abc f v
        XADD s 1-2-3 f v
        XADD s -5 f v
        XADD s + f v
        XADD s - f v
        XADD s *-5 f v
        XADD s 007-01 f v
        XADD s 18446744073709551616-0 f v
        XADD s 9-18446744073709551615 f v
        XADD s 9-* f v
        = -ERR The ID specified in XADD is equal or smaller than the target stream top item
        XADD s 9-18446744073709551615 f v
        XRANGE s - +
        XADD s 18446744073709551615-18446744073709551615 f v
        XADD s * f v
        XADD s 1-1 f v
        XADD s 18446744073709551615-* f v
        XLEN s
        XLEN missing
        TYPE s
        OBJECT ENCODING s
        XADD
        XADD s
        XADD s 1
        XADD s * f
        XADD s * f v g
        XADD s MAXLEN 5 f v
        SET str x
        XADD str 1-1 f v
        XLEN str
        XADD none NOMKSTREAM 1-1 f v
        EXISTS none
        XADD none nomkstream
        XADD s NOMKSTREAM 1-1
        "#,
    );
}

#[test]
fn times_are_the_clock_s_and_never_go_back() {
    let server = Server::start();
    let mut conn = server.connect();
    let first = conn.run("XADD s * f v").text();
    let second = conn.run("XADD s * f v").text();
    let parts = |id: &str| -> (u64, u64) {
        let (ms, seq) = id.split_once('-').expect("two parts");
        (ms.parse().expect("a time"), seq.parse().expect("a number"))
    };
    assert!(parts(&first) < parts(&second), "{first} {second}");
    let seconds = conn.run("TIME").items()[0].text().parse::<u64>().expect("a time");
    assert!((parts(&second).0 / 1000).abs_diff(seconds) <= 1);
    conn.expect("XADD future 9999999999999-7 f v", "\"9999999999999-7\"");
    conn.expect("XADD future * f v", "\"9999999999999-8\"");
    conn.expect(
        "XADD edge 9999999999999-18446744073709551615 f v",
        "\"9999999999999-18446744073709551615\"",
    );
    conn.expect("XADD edge * f v", "\"10000000000000-0\"");
}

#[test]
fn ranges_have_ends_of_all_kinds() {
    compare(
        r#"
        XADD s 1-1 a 1
        XADD s 1-2 a 2
        XADD s 2-0 a 3 b 4
        XADD s 3-18446744073709551615 c 5
        XADD s 4-0 a -1
        XRANGE s - +
        XREVRANGE s + -
        XRANGE s 1 1
        XRANGE s 1 2
        XRANGE s 1-2 3
        XRANGE s (1-2 (4
        XRANGE s (1 +
        XRANGE s - (1-1
        XRANGE s (3-18446744073709551615 +
        XRANGE s + -
        XREVRANGE s - +
        XREVRANGE s (4 (1-1
        XREVRANGE s 3 1-2 COUNT 2
        XRANGE s - + COUNT 2
        XRANGE s - + COUNT 0
        XRANGE s - + COUNT -1
        XRANGE s - + COUNT 9223372036854775807
        XRANGE s - + COUNT 9223372036854775808
        XRANGE s - + COUNT x
        XRANGE s - + COUNT
        XRANGE s - + COUNT 1 COUNT 3
        XRANGE s - + LIMIT 1
        XRANGE s (- +
        XRANGE s - (+
        XRANGE s ( +
        XRANGE s (18446744073709551615-18446744073709551615 +
        XRANGE s - (0-0
        XREVRANGE s (0-0 -
        XREVRANGE s + (18446744073709551615-18446744073709551615
        XRANGE s x +
        XRANGE s - x
        XRANGE s -
        XRANGE missing - +
        XRANGE missing - + COUNT 0
        XREVRANGE missing + -
        SET str x
        XRANGE str - +
        XREVRANGE str + -
        "#,
    );
}

#[test]
fn deleted_entries_are_remembered_as_marks() {
    compare(
        r#"
        XDEL missing 1-1
        XADD s 1-1 a 1
        XADD s 2-1 a 2
        XADD s 3-1 a 3
        XADD s 4-1 a 4
        XDEL s 2-1 2-1 9-9
        XRANGE s - +
        XREVRANGE s + -
        XINFO STREAM s
        XDEL s 1-1
        XINFO STREAM s
        XDEL s 4 4-1
        XINFO STREAM s
        XADD s 4-1 a 1
        XDEL s 3-1 x
        XDEL s 3-1
        XLEN s
        XINFO STREAM s
        XINFO STREAM s FULL
        EXISTS s
        XADD s 5-1 a 1
        XINFO STREAM s
        XDEL s
        SET str x
        XDEL str 1-1
        COPY s t
        XADD t 6-1 a 1
        XRANGE s - +
        XRANGE t - +
        RENAME t u
        XLEN u
        "#,
    );
}

#[test]
fn trims_are_exact_or_take_whole_nodes() {
    let mut script = String::new();
    for number in 1..=1000 {
        script.push_str(&format!("XADD s {number}-1 field value-{number}\n"));
    }
    script.push_str(
        r#"
        XINFO STREAM missing
        XTRIM missing MAXLEN 1
        XTRIM s MAXLEN 2000
        XTRIM s MAXLEN ~ 999
        XTRIM s MAXLEN ~ 850
        XLEN s
        XTRIM s MAXLEN = 850
        XTRIM s MAXLEN ~ 0 LIMIT 99
        XTRIM s MAXLEN ~ 0 LIMIT 150
        XTRIM s MAXLEN ~ 0 LIMIT 50
        XTRIM s MINID ~ 300
        XTRIM s MINID ~ 301-1
        XTRIM s MINID ~ 302 LIMIT 1000
        XTRIM s MINID 350
        XTRIM s MINID = 360-2
        XRANGE s - + COUNT 1
        XDEL s 400-1 361-1 1000-1
        XTRIM s MINID ~ 401
        XTRIM s MINID 410
        XRANGE s - + COUNT 1
        XADD s MAXLEN 100 2000-1 f v
        XLEN s
        XADD s MAXLEN ~ 5 2001-1 f v
        XLEN s
        XADD s MINID ~ 2001 LIMIT 5 2002-1 f v
        XADD s MINID 2003 2003-1 f v
        XRANGE s - +
        XADD s MINID 3000 2004-1 f v
        XLEN s
        XADD s MAXLEN 0 2005-1 f v
        XLEN s
        XTRIM s MAXLEN 0
        XTRIM s MAXLEN -1
        XTRIM s MAXLEN = -1
        XTRIM s MAXLEN ~
        XTRIM s MAXLEN = 
        XTRIM s MAXLEN x
        XTRIM s MINID x
        XTRIM s MINID
        XTRIM s MAXLEN 5 MINID 5
        XTRIM s MAXLEN 5 MAXLEN 5
        XTRIM s MAXLEN 5 LIMIT 5
        XTRIM s MAXLEN = 5 LIMIT 0
        XTRIM s MAXLEN ~ 5 LIMIT -1
        XTRIM s MAXLEN ~ 5 LIMIT x
        XTRIM s MAXLEN ~ 5 LIMIT
        XTRIM s LIMIT 5
        XTRIM s LIMIT 0
        XTRIM s LIMIT 0 MAXLEN 5
        XTRIM s NOMKSTREAM MAXLEN 5
        XTRIM s 5 5
        XTRIM s
        XADD s MAXLEN -1 * f v
        XADD s LIMIT 5 * f v
        XADD s LIMIT 0 * f v
        XADD new LIMIT 0 1-1 f v
        EXISTS new
        XADD s MAXLEN 5 LIMIT 5 * f v
        XADD s MAXLEN 5 MINID 5 * f v
        XADD s MAXLEN 9223372036854775807 3000-1 f v
        XADD s MAXLEN ~ 9223372036854775807 LIMIT 9223372036854775807 3001-1 f v
        XADD s MINID ~ 18446744073709551615-18446744073709551615 3002-1 f v
        XADD s MINID - 3003-1 f v
        SET str x
        XTRIM str MAXLEN 5
        "#,
    );
    compare(&script);
}

/// Nodes of every kind of limit hold as many entries as Redis's.
#[test]
fn nodes_are_as_full_as_redis_s() {
    for (bytes, entries) in
        [("4096", "100"), ("300", "0"), ("0", "7"), ("0", "0"), ("1000", "1000")]
    {
        let mut script = String::new();
        for number in 1..=400_u64 {
            let (wide, long) = (number * number * 7919 % 65536, "x".repeat(number as usize % 90));
            let field = if number % 17 == 0 { "other" } else { "field" };
            let (time, seq) = (1_700_000_000_000 + number / 5 * wide, 100 - number % 5 * 20);
            // The parts of an ID and the values take from one byte to eight.
            script.push_str(&format!("XADD s {time}-* {field} {wide} 12 {long}\n"));
            script.push_str(&format!("XADD s {}-{seq} {field} -{wide} 12 {number}\n", time + 1));
            if number % 40 == 0 {
                script.push_str(&format!("XTRIM s MAXLEN ~ {}\nXLEN s\n", 600 - number));
            }
        }
        script.push_str(
            "XTRIM s MAXLEN ~ 100 LIMIT 0\nXLEN s\nXTRIM s MAXLEN ~ 10 LIMIT 0\nXLEN s\n",
        );
        script.push_str("XRANGE s - +\n");
        let settings = ["--stream-node-max-bytes", bytes, "--stream-node-max-entries", entries];
        compare_with(&settings, &script);
    }
}

#[test]
fn xread_gives_what_comes_after() {
    compare(
        r#"
        XADD a 1-1 f 1
        XADD a 2-1 f 2
        XADD b 1-5 g 3
        XREAD STREAMS a 0
        XREAD STREAMS a 1-1
        XREAD STREAMS a 1
        XREAD STREAMS a 2-1
        XREAD STREAMS a $
        XREAD COUNT 1 STREAMS a b 0 0-0
        XREAD COUNT 0 STREAMS a b 0 5
        XREAD COUNT -5 STREAMS a b 1-1 1-5
        XREAD STREAMS missing a 0 0
        XREAD STREAMS missing 0
        XREAD STREAMS a a 0 1-1
        XREAD STREAMS a 18446744073709551615-18446744073709551615
        XREAD STREAMS a
        XREAD STREAMS a b 0
        =* -ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be*
        XREAD COUNT 1
        XREAD COUNT x STREAMS a 0
        XREAD COUNT STREAMS a 0
        XREAD BLOCK x STREAMS a 0
        XREAD BLOCK -1 STREAMS a 0
        XREAD BLOCK 9223372036854775807 STREAMS a 0
        = -ERR timeout is out of range
        XREAD BLOCK 1000 STREAMS a 0
        XREAD BLOCK 1 STREAMS a $
        XREAD STREAMS a >
        XREAD STREAMS a -
        XREAD STREAMS a x
        XREAD GROUP g c STREAMS a 0
        XREAD NOACK STREAMS a 0
        XREAD what STREAMS a 0
        XREAD STREAMS
        SET str x
        XREAD STREAMS a str 0 0
        XREAD STREAMS str 0
        XDEL a 2-1
        XREAD STREAMS a 1-1
        "#,
    );
}

#[test]
fn xsetid_sets_the_past() {
    compare(
        r#"
        XSETID missing 1-1
        XADD s 5-5 f v
        XADD s 6-0 f v
        XSETID s 6
        XSETID s 5-9
        XSETID s 10-1
        XADD s 10-1 f v
        XINFO STREAM s
        XSETID s 20-1 ENTRIESADDED 100 MAXDELETEDID 4-0
        XINFO STREAM s
        XSETID s 20-1 ENTRIESADDED 1
        XSETID s 20-1 ENTRIESADDED -1
        XSETID s 20-1 ENTRIESADDED x
        XSETID s 20-1 ENTRIESADDED
        XSETID s 20-1 MAXDELETEDID 21
        XSETID s 20-1 MAXDELETEDID x
        XSETID s 20-1 MAXDELETEDID 0-0
        XSETID s 20-1 MAXDELETEDID 15-0 MAXDELETEDID 16
        XSETID s 15-0
        = -ERR The ID specified in XSETID is smaller than current max_deleted_entry_id
        XSETID s 20-1
        XSETID s 20-1 WHAT 1
        XSETID s -
        XSETID s x
        XSETID s
        XINFO STREAM s
        XTRIM s MAXLEN 0
        XSETID s 19-0 ENTRIESADDED 0
        XINFO STREAM s
        SET str x
        XSETID str 1-1
        "#,
    );
}

#[test]
fn sizes_are_told_and_given_back() {
    let server = Server::start();
    let mut conn = server.connect();
    let used = || server.info("used_memory").parse::<i64>().expect("bytes");
    let before = used();
    for number in 1..=5000 {
        conn.expect(&format!("XADD s {number} field value"), &format!("\"{number}-0\""));
    }
    let size = conn.run("MEMORY USAGE s").int();
    assert!(size > 40_000 && size < 80_000, "{size}");
    conn.expect("XTRIM s MAXLEN 10", ":4990");
    assert!(conn.run("MEMORY USAGE s").int() < 3000);
    conn.expect("DEL s", ":1");
    assert!((used() - before).abs() < 64 * 1024, "{before} {}", used());
}
