//! Consumer groups: XGROUP, XREADGROUP, XACK, XCLAIM, XAUTOCLAIM, XPENDING, and XINFO on them.

use larder_tests::{Server, compare};

#[test]
fn groups_come_and_go() {
    compare(
        r#"
        XGROUP CREATE missing g $
        XGROUP CREATE missing g $ ENTRIESREAD 1
        XGROUP SETID missing g $
        XGROUP DESTROY missing g
        XGROUP CREATECONSUMER missing g c
        XGROUP DELCONSUMER missing g c
        XGROUP CREATE made g $ MKSTREAM
        XLEN made
        XGROUP CREATE made g $ MKSTREAM
        XGROUP CREATE made g 0
        XADD s 1-1 f v
        XADD s 2-1 f v
        XGROUP CREATE s g 0
        XGROUP CREATE s last $
        XGROUP CREATE s half 1-1 ENTRIESREAD 1
        XGROUP CREATE s odd 5 ENTRIESREAD -1 MKSTREAM
        XGROUP CREATE s bad x
        XGROUP CREATE s bad -
        XGROUP CREATE s bad 0 ENTRIESREAD -2
        XGROUP CREATE s bad 0 ENTRIESREAD x
        XGROUP CREATE s bad 0 ENTRIESREAD
        XGROUP CREATE s bad 0 WHAT
        XGROUP CREATE s bad 0 MKSTREAM MKSTREAM MKSTREAM MKSTREAM
        XGROUP CREATE s bad
        XGROUP CREATE s
        XINFO GROUPS s
        XGROUP SETID s g 1-1
        XGROUP SETID s g $ ENTRIESREAD 5
        XGROUP SETID s g -
        XGROUP SETID s g +
        XGROUP SETID s g 1-1 ENTRIESREAD -1
        XGROUP SETID s g x
        XGROUP SETID s g 0 MKSTREAM
        XGROUP SETID s g 0 ENTRIESREAD 1 ENTRIESREAD 2
        XGROUP SETID s none 0
        XINFO GROUPS s
        XGROUP CREATECONSUMER s g c
        XGROUP CREATECONSUMER s g c
        XGROUP CREATECONSUMER s none c
        XGROUP DELCONSUMER s g c
        XGROUP DELCONSUMER s g c
        XGROUP DELCONSUMER s none c
        XGROUP DESTROY s g
        XGROUP DESTROY s g
        XINFO GROUPS made
        XINFO GROUPS missing
        XINFO CONSUMERS s none
        XINFO CONSUMERS missing g
        XINFO CONSUMERS s
        XINFO STREAM s FULL
        XINFO STREAM s FULL COUNT 1
        XINFO STREAM s FULL COUNT 0
        XINFO STREAM s FULL COUNT -1
        XINFO STREAM s FULL COUNT x
        XINFO STREAM s FULL COUNT
        XINFO STREAM s FULL WHAT 1
        XINFO STREAM s WHAT
        XINFO STREAM s FULL COUNT 1 2
        XINFO STREAM
        XINFO WHAT s
        XINFO
        XGROUP
        XGROUP WHAT s
        SET str x
        XGROUP CREATE str g 0
        XGROUP CREATE str g 0 MKSTREAM
        XGROUP DESTROY str g
        XINFO GROUPS str
        XINFO STREAM str
        @kind XGROUP HELP
        @kind XINFO HELP
        XINFO HELP x
        "#,
    );
}

#[test]
fn new_entries_are_given_once() {
    compare(
        r#"
        XADD s 1-1 f 1
        XADD s 2-1 f 2
        XADD s 3-1 f 3
        XGROUP CREATE s g 0
        XREADGROUP GROUP g alice COUNT 1 STREAMS s >
        XREADGROUP GROUP g bob STREAMS s >
        XREADGROUP GROUP g bob STREAMS s >
        XREADGROUP GROUP g alice STREAMS s 0
        XREADGROUP GROUP g alice STREAMS s 1-1
        XREADGROUP GROUP g bob COUNT 1 STREAMS s 0
        XREADGROUP GROUP g bob COUNT 1 STREAMS s 2-1
        XREADGROUP GROUP g eve STREAMS s 0
        XPENDING s g
        XACK s g 2-1
        XACK s g 2-1 9-9
        XACK s none 2-1
        XACK missing g 2-1
        XACK s g x
        XACK s g 1-1 x
        XPENDING s g
        XDEL s 3-1
        XREADGROUP GROUP g bob STREAMS s 0
        XADD s 4-1 f 4
        XREADGROUP GROUP g bob NOACK STREAMS s >
        XPENDING s g
        XINFO GROUPS s
        XADD t 1-1 f 1
        XGROUP CREATE t g 0
        XREADGROUP GROUP g bob STREAMS s t > >
        XREADGROUP GROUP g bob STREAMS t s 0 0
        XREADGROUP GROUP g bob STREAMS t t 0 >
        XREADGROUP GROUP g bob STREAMS t 18446744073709551615-18446744073709551615
        XREADGROUP GROUP g bob STREAMS t missing > >
        XREADGROUP GROUP none bob STREAMS t >
        XREADGROUP GROUP g bob STREAMS t $
        XREADGROUP GROUP g bob STREAMS t +
        XREADGROUP GROUP g bob STREAMS t x
        XREADGROUP GROUP g bob STREAMS t t >
        =* -ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be*
        XREADGROUP GROUP g bob COUNT x STREAMS t >
        XREADGROUP GROUP g bob BLOCK -1 STREAMS t >
        XREADGROUP GROUP g bob BLOCK 1 STREAMS t >
        XREADGROUP GROUP g bob BLOCK 1 STREAMS t 0
        XREADGROUP COUNT 1 NOACK STREAMS t s > >
        XREADGROUP STREAMS t >
        XREADGROUP GROUP g bob WHAT STREAMS t >
        XREADGROUP GROUP g
        SET str x
        XREADGROUP GROUP g bob STREAMS str >
        XACK str g 1-1
        XPENDING str g
        XGROUP SETID s g 0
        XREADGROUP GROUP g alice STREAMS s >
        XPENDING s g
        XGROUP DELCONSUMER s g alice
        XPENDING s g
        "#,
    );
}

#[test]
fn pending_entries_are_shown() {
    compare(
        r#"
        XADD s 1-1 f 1
        XADD s 2-1 f 2
        XADD s 3-1 f 3
        XADD s 4-1 f 4
        XGROUP CREATE s g 0
        XPENDING s g
        XPENDING s g - + 10
        XREADGROUP GROUP g alice COUNT 3 STREAMS s >
        XREADGROUP GROUP g bob STREAMS s >
        XCLAIM s g alice 0 1-1 2-1 3-1 TIME 1000 RETRYCOUNT 3 JUSTID
        XPENDING s g
        @near 5000 XPENDING s g - + 10
        @near 5000 XPENDING s g - + 2
        @near 5000 XPENDING s g - + 10 alice
        @near 5000 XPENDING s g (1-1 3 10
        @near 5000 XPENDING s g (1-1 (3-1 10
        XPENDING s g + - 10
        XPENDING s g - + 0
        XPENDING s g - + -1
        XPENDING s g - + 10 nobody
        @near 5000 XPENDING s g IDLE 1000000 - + 10
        @near 5000 XPENDING s g IDLE 1000000 - + 10 alice
        XPENDING s g IDLE 1000000 - + 10 bob
        XPENDING s g IDLE 9223372036854775807 - + 10
        XPENDING s g IDLE x - + 10
        XPENDING s g IDLE 5 - +
        XPENDING s g IDLE 5
        XPENDING s g - +
        XPENDING s g - + x
        XPENDING s g x + 10
        XPENDING s g (18446744073709551615-18446744073709551615 + 10
        XPENDING s g - (0-0 10
        @near 5000 XPENDING s g - + 10 alice more
        XPENDING s g IDLE 5 - + 10 alice more
        XPENDING s none
        XPENDING missing g
        XPENDING missing g - + x
        COPY s t
        XACK t g 1-1
        XGROUP DELCONSUMER t g bob
        XPENDING s g
        XPENDING t g
        XINFO GROUPS t
        "#,
    );
}

#[test]
fn entries_change_hands() {
    compare(
        r#"
        XADD s 1-1 f 1
        XADD s 2-1 f 2
        XADD s 3-1 f 3
        XGROUP CREATE s g 0
        XREADGROUP GROUP g alice COUNT 2 STREAMS s >
        XCLAIM s g bob 0 1-1
        XCLAIM s g bob 0 1-1 2-1 9-9 JUSTID
        XCLAIM s g bob 100000 1-1
        XCLAIM s g bob 0 3-1
        XCLAIM s g bob 0 3-1 FORCE
        XCLAIM s g carol 0 3-1 RETRYCOUNT 7 IDLE 100000
        @near 5000 XPENDING s g - + 10
        XCLAIM s g carol 0 3-1 RETRYCOUNT -7 TIME -5
        XCLAIM s g carol 0 3-1 RETRYCOUNT 9223372036854775807 TIME 9223372036854775807
        XCLAIM s g carol 0 3-1 IDLE -9223372036854775808
        XCLAIM s g dave -5 2-1 LASTID 2-5
        @near 5000 XPENDING s g - + 10
        XCLAIM s g dave 0 LASTID 2-7
        XCLAIM s g dave 0 9-9 LASTID 1-0
        XINFO GROUPS s
        XDEL s 2-1
        XCLAIM s g alice 0 2-1
        XCLAIM s g alice 0 2-1 FORCE
        XPENDING s g
        XCLAIM s g alice x 1-1
        XCLAIM s g alice 0 1-1 WHAT
        XCLAIM s g alice 0 1-1 IDLE
        XCLAIM s g alice 0 1-1 IDLE x
        XCLAIM s g alice 0 1-1 TIME x
        XCLAIM s g alice 0 1-1 RETRYCOUNT x
        XCLAIM s g alice 0 1-1 LASTID x
        XCLAIM s none alice 0 1-1
        XCLAIM missing g alice 0 1-1
        XCLAIM missing g alice x 1-1
        SET str x
        XCLAIM str g alice 0 1-1
        XAUTOCLAIM str g alice 0 -
        "#,
    );
}

#[test]
fn xautoclaim_goes_on_where_it_was() {
    let mut script = String::from("XGROUP CREATE s g 0 MKSTREAM\n");
    for number in 1..=30 {
        script.push_str(&format!("XADD s {number}-1 f {number}\n"));
    }
    script.push_str(
        r#"
        XREADGROUP GROUP g alice STREAMS s >
        XAUTOCLAIM s g bob 0 - COUNT 2
        XAUTOCLAIM s g bob 0 3-1 COUNT 2 JUSTID
        XDEL s 6-1 7-1 20-1
        XAUTOCLAIM s g bob 0 5-1 COUNT 2
        XAUTOCLAIM s g bob 0 (7-1 COUNT 2
        XAUTOCLAIM s g bob 100000 - COUNT 1
        XAUTOCLAIM s g bob 100000 - COUNT 2
        XAUTOCLAIM s g bob 100000 -
        XAUTOCLAIM s g carol 0 25
        XAUTOCLAIM s g carol 0 + JUSTID
        XAUTOCLAIM s g carol 0 - COUNT 10 JUSTID
        XAUTOCLAIM s g carol 0 -
        XPENDING s g
        XAUTOCLAIM s g bob x -
        XAUTOCLAIM s g bob 0 x
        XAUTOCLAIM s g bob 0 (18446744073709551615-18446744073709551615
        XAUTOCLAIM s g bob 0 - COUNT 0
        XAUTOCLAIM s g bob 0 - COUNT -1
        XAUTOCLAIM s g bob 0 - COUNT x
        XAUTOCLAIM s g bob 0 - COUNT 9223372036854775807
        XAUTOCLAIM s g bob 0 - COUNT
        XAUTOCLAIM s g bob 0 - WHAT
        XAUTOCLAIM s none bob 0 -
        XAUTOCLAIM missing g bob 0 -
        XAUTOCLAIM missing g bob 0
        "#,
    );
    compare(&script);
}

#[test]
fn lag_is_told_where_it_is_known() {
    compare(
        r#"
        XGROUP CREATE s early 0 MKSTREAM
        XINFO GROUPS s
        XADD s 1-0 f v
        XADD s 2-0 f v
        XADD s 3-0 f v
        XADD s 4-0 f v
        XADD s 5-0 f v
        XGROUP CREATE s late $
        XGROUP CREATE s mid 3-0
        XGROUP CREATE s told 3-0 ENTRIESREAD 3
        XGROUP CREATE s first 1-0
        XGROUP CREATE s beyond 9-0
        XINFO GROUPS s
        XREADGROUP GROUP early c COUNT 1 STREAMS s >
        XREADGROUP GROUP mid c COUNT 1 STREAMS s >
        XREADGROUP GROUP told c COUNT 1 STREAMS s >
        XREADGROUP GROUP first c COUNT 10 STREAMS s >
        XINFO GROUPS s
        XREADGROUP GROUP mid c COUNT 1 STREAMS s >
        XINFO GROUPS s
        XTRIM s MAXLEN 3
        XINFO GROUPS s
        XREADGROUP GROUP early c COUNT 1 STREAMS s >
        XINFO GROUPS s
        XTRIM s MAXLEN 0
        XINFO GROUPS s
        "#,
    );
}

/// 7.2 knows when consumers tried and when they were given something.
#[test]
fn consumers_have_two_times() {
    let server = Server::start();
    let mut conn = server.connect3();
    conn.prepare("XGROUP CREATE s g 0 MKSTREAM\nXREADGROUP GROUP g idle STREAMS s >");
    let consumer =
        |conn: &mut larder_tests::Conn| conn.run("XINFO CONSUMERS s g").items().remove(0);
    let seen = consumer(&mut conn);
    assert_eq!(seen.field("inactive").map(|value| value.int()), Some(-1), "{seen}");
    assert!(seen.field("idle").is_some_and(|idle| idle.int() < 10_000), "{seen}");
    conn.prepare("XADD s 1-1 f v\nXREADGROUP GROUP g idle STREAMS s >");
    let active = consumer(&mut conn);
    assert!(active.field("inactive").is_some_and(|value| (0..10_000).contains(&value.int())));
    assert_eq!(active.field("pending").map(|value| value.int()), Some(1));
    let full = conn.run("XINFO STREAM s FULL");
    let group = full.field("groups").expect("groups").items().remove(0);
    let consumer = group.field("consumers").expect("consumers").items().remove(0);
    let times = ["seen-time", "active-time"].map(|name| consumer.field(name).map(|v| v.int()));
    assert!(times.iter().all(|time| time.is_some_and(|at| at > 1_600_000_000_000)), "{consumer}");
}
