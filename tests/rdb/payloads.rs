//! Forms that no server at hand writes: those of old releases and of other servers.

use crate::hostile::{payload, versioned};
use larder_tests::{Conn, Server};

/// A string of the format.
fn text(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 0x4000);
    let len = (bytes.len() as u16 | 0x4000).to_be_bytes();
    [&len[..], bytes].concat()
}

/// A ziplist of short strings and of integers, which begin with `#`.
fn ziplist(elements: &[&str]) -> Vec<u8> {
    let (mut body, mut before, mut last) = (Vec::new(), 0, 0);
    for element in elements {
        last = body.len();
        body.push(before as u8);
        match element.strip_prefix('#') {
            Some(number) => {
                body.push(0xd0);
                body.extend_from_slice(&number.parse::<i32>().expect("an integer").to_le_bytes());
            }
            None => {
                body.push(element.len() as u8);
                body.extend_from_slice(element.as_bytes());
            }
        }
        before = body.len() - last;
    }
    let (total, tail) = (body.len() as u32 + 11, last as u32 + 10);
    let count = elements.len() as u16;
    [&total.to_le_bytes()[..], &tail.to_le_bytes(), &count.to_le_bytes(), &body, b"\xff"].concat()
}

/// A listpack of short strings and of integers, which begin with `#`.
fn listpack(elements: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        let begin = body.len();
        match element.strip_prefix('#') {
            Some(number) => {
                body.push(0xf4);
                body.extend_from_slice(&number.parse::<i64>().expect("an integer").to_le_bytes());
            }
            None => {
                body.push(0x80 | element.len() as u8);
                body.extend_from_slice(element.as_bytes());
            }
        }
        body.push((body.len() - begin) as u8);
    }
    let (total, count) = (body.len() as u32 + 7, elements.len() as u16);
    [&total.to_le_bytes()[..], &count.to_le_bytes(), &body, b"\xff"].concat()
}

#[track_caller]
fn restored(conn: &mut Conn, content: &[&[u8]], version: u8) {
    let payload = versioned(&content.concat(), version);
    let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload, b"REPLACE"]);
    assert_eq!(reply.to_string(), "+OK");
}

#[test]
fn lists() {
    let server = Server::start();
    let mut conn = server.connect();
    let all = r#"["a", "7", "-70000", "b"]"#;
    restored(&mut conn, &[b"\x01\x04\x01a\xc0\x07\x06-70000\x01b"], 6);
    conn.expect("LRANGE k 0 -1", all);
    restored(&mut conn, &[b"\x0a", &text(&ziplist(&["a", "#7", "#-70000", "b"]))], 6);
    conn.expect("LRANGE k 0 -1", all);
    conn.expect("OBJECT ENCODING k", "\"listpack\"");
    let (one, other) = (text(&ziplist(&["a", "#7"])), text(&ziplist(&["#-70000", "b"])));
    restored(&mut conn, &[b"\x0e\x02", &one, &other], 7);
    conn.expect("LRANGE k 0 -1", all);
    conn.expect("OBJECT ENCODING k", "\"quicklist\"");
    // An empty node, a single element, and a text that is an integer.
    let (empty, some) = (text(&listpack(&[])), text(&listpack(&["7", "#-70000", "b"])));
    restored(&mut conn, &[b"\x12\x03\x02", &empty, b"\x01\x01a\x02", &some], 10);
    conn.expect("LRANGE k 0 -1", all);
    conn.expect("LREM k 0 7", ":1");
}

#[test]
fn sets() {
    let server = Server::start();
    let mut conn = server.connect();
    restored(&mut conn, &[b"\x0b\x0e\x02\0\0\0\x03\0\0\0\xff\xff\x01\0\x05\0"], 6);
    conn.expect("SMEMBERS k", r#"["-1", "1", "5"]"#);
    restored(&mut conn, &[b"\x14", &text(&listpack(&["a", "7", "#8"]))], 11);
    conn.expect("SMEMBERS k", r#"["a", "7", "8"]"#);
    conn.expect("SISMEMBER k 7", ":1");
    conn.expect("OBJECT ENCODING k", "\"listpack\"");
}

#[test]
fn sorted_sets() {
    let server = Server::start();
    let mut conn = server.connect();
    let all = r#"["b", "-inf", "a", "1.5", "c", "2"]"#;
    restored(&mut conn, &[b"\x03\x03\x01a\x031.5\x01b\xff\x01c\x012"], 6);
    conn.expect("ZRANGE k 0 -1 WITHSCORES", all);
    let packed = ["b", "-inf", "a", "1.5", "c", "#2"];
    restored(&mut conn, &[b"\x0c", &text(&ziplist(&packed))], 6);
    conn.expect("ZRANGE k 0 -1 WITHSCORES", all);
    let disordered = ["c", "#2", "b", "-inf", "a", "1.5"];
    restored(&mut conn, &[b"\x11", &text(&listpack(&disordered))], 10);
    conn.expect("ZRANGE k 0 -1 WITHSCORES", all);
    conn.expect("ZRANK k c", ":2");
}

#[test]
fn hashes() {
    let server = Server::start();
    let mut conn = server.connect();
    let zipmap = text(b"\x02\x01f\x01\x02v..\x02gg\x02\x0012\xff");
    for (longest_bytes, encoding) in [(1, "hashtable"), (64, "listpack")] {
        conn.expect(&format!("CONFIG SET hash-max-ziplist-value {longest_bytes}"), "+OK");
        restored(&mut conn, &[b"\x09", &zipmap], 6);
        conn.expect("HMGET k f gg", r#"["v", "12"]"#);
        conn.expect("OBJECT ENCODING k", &format!("\"{encoding}\""));
    }
    restored(&mut conn, &[b"\x0d", &text(&ziplist(&["f", "v", "gg", "#12"]))], 6);
    conn.expect("HGETALL k", r#"["f", "v", "gg", "12"]"#);
    conn.expect("OBJECT ENCODING k", "\"listpack\"");
}

#[test]
fn hashes_with_deadlines() {
    let server = Server::start();
    let mut conn = server.connect();
    let late = 9_999_999_999_999_u64;
    let long = [&[0x81][..], &late.to_be_bytes()].concat();
    let all = "HPEXPIRETIME k FIELDS 3 f g h";
    // Redis, before and since 7.4 was released.
    restored(&mut conn, &[b"\x16\x03\0\x01f\x01v", &long, b"\x01g\x01w\0\x01h\x01x"], 12);
    conn.expect(all, "[:-1, :9999999999999, :-1]");
    let first = late.to_le_bytes();
    restored(&mut conn, &[b"\x18", &first, b"\x03\0\x01f\x01v\x01\x01g\x01w\x03\x01h\x01x"], 12);
    conn.expect(all, "[:-1, :9999999999999, :10000000000001]");
    let parts = ["f", "v", "#0", "g", "w", "#9999999999999", "h", "x", "#9999999999998"];
    restored(&mut conn, &[b"\x17", &text(&listpack(&parts))], 12);
    conn.expect(all, "[:-1, :9999999999999, :9999999999998]");
    conn.expect("HKEYS k", r#"["h", "g", "f"]"#);
    restored(&mut conn, &[b"\x19", &first, &text(&listpack(&parts))], 12);
    conn.expect(all, "[:-1, :9999999999999, :9999999999998]");
    conn.expect("OBJECT ENCODING k", "\"listpackex\"");
    // Valkey 9.
    let none = (-1_i64).to_le_bytes();
    let fields = [b"\x01f\x01v", &none[..], b"\x01g\x01w", &first, b"\x01h\x01x", &none].concat();
    restored(&mut conn, &[b"\x16\x03", &fields], 80);
    conn.expect(all, "[:-1, :9999999999999, :-1]");
    conn.expect("HGET k g", "\"w\"");
}

#[test]
fn streams() {
    let server = Server::start();
    let mut conn = server.connect();
    let node = listpack(&[
        "#2", "#1", "#1", "f", "#0", "#2", "#0", "#0", "v", "#4", "#3", "#0", "#1", "w", "#4",
        "#0", "#2", "#-1", "#1", "g", "x", "#6",
    ]);
    let id = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];
    let head = [b"\x01\x10", &id[..], &text(&node)].concat();
    let pending = [&id[..], &77_u64.to_le_bytes(), b"\x03"].concat();
    let group =
        |active: &[u8]| [b"\x01\x01c", &88_u64.to_le_bytes()[..], active, b"\x01", &id].concat();
    let xrange = r#"[["5-1", ["f", "v"]], ["7-0", ["g", "x"]]]"#;
    let cases: [[&[u8]; 4]; 3] = [
        [b"\x0f", b"", b"", b""],
        [b"\x13", b"\x05\x01\x05\x02\x03", b"\x01", b""],
        [b"\x15", b"\x05\x01\x05\x02\x03", b"\x01", &99_u64.to_le_bytes()],
    ];
    for [kind, marks, read, active] in cases {
        let middle = [b"\x02\x07\x00", marks, b"\x01\x03all\x05\x01", read, b"\x01"].concat();
        restored(&mut conn, &[kind, &head, &middle, &pending, &group(active)], 11);
        conn.expect("XRANGE k - +", xrange);
        conn.expect("XPENDING k all", r#"[:1, "5-1", "5-1", [["c", "1"]]]"#);
        let full = conn.run("XINFO STREAM k FULL").to_string();
        assert!(full.contains(r#"["5-1", "c", :77, :3]"#), "{full}");
        assert!(full.contains(r#""seen-time", :88"#), "{full}");
        let active = if active.is_empty() { 88 } else { 99 };
        assert!(full.contains(&format!(r#""active-time", :{active}"#)), "{full}");
    }
    conn.expect(
        "XADD k 7-0 a b",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
}

#[test]
fn what_is_not_here_is_refused_with_a_reason() {
    let server = Server::with(&["--loglevel", "verbose"]);
    let mut conn = server.connect();
    // "ReJSON-RL", version 3.
    let json = [b"\x07\x81", &0x4447_e8d2_4e0d_24eb_u64.to_be_bytes()[..], b"\0"].concat();
    for (content, reason) in [
        (&json[..], "module type '"),
        (b"\x06", "before Redis 4.0"),
        (b"\x64", "unknown type 100"),
        (b"\x02\x02\x01a\x01a", "a member twice"),
    ] {
        let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload(content)]);
        assert!(reply.is_error("ERR Bad data format"), "{reply}");
        assert!(server.log().contains(reason), "{reason} is not in the log");
    }
    for version in [0, 15, 79, 82] {
        let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &versioned(b"\x00\x01v", version)]);
        assert!(reply.is_error("ERR DUMP payload version"), "{version}: {reply}");
    }
}
