//! Keys of every type in every form.

use larder_tests::{Conn, Server, Value};

/// What makes a server's small collections large, and short strings long.
const SIZES: [usize; 3] = [3, 130, 700];

/// Fills a server with keys of every type, some of them with deadlines; gives their names.
pub(crate) fn populate(server: &Server) -> Vec<Vec<u8>> {
    let mut conn = server.connect();
    conn.prepare(
        "SET int 42
         SET large -9223372036854775808
         SET digits 007
         SET later value PX 50000000
         SET empty ''
         APPEND raw abc
         SETRANGE long 70000 end
         SETBIT bits 9000 1
         PFADD counter a b c d
         SADD ints 1 -2 70000 9000000000
         SADD words a b 3 ''
         ZADD scores 1.5 a -inf b 3 c +inf d 0.25 e -70000 f
         ZADD equal 1 b 1 a 1 c
         GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
         RPUSH list a b 3 -70000 ''
         XADD stream 5-1 f v g w
         XADD stream 5-2 f v2 g w2
         XADD stream 7-0 other 1
         XADD stream 7-9 f v3 g w3
         XDEL stream 5-2
         XADD trimmed 1-1 a b
         XADD trimmed 1-2 a c
         XTRIM trimmed MAXLEN 1
         XADD none 1-1 a b
         XDEL none 1-1
         XGROUP CREATE stream all 0
         XGROUP CREATE stream other 5-1
         XGROUP CREATECONSUMER stream all idle
         XREADGROUP GROUP all one COUNT 2 STREAMS stream >
         XREADGROUP GROUP all two COUNT 1 STREAMS stream >
         XACK stream all 5-1
         XCLAIM stream all three 0 7-0 TIME 12345 RETRYCOUNT 7
         PEXPIREAT scores 99999999999999
         PEXPIREAT stream 99999999999999",
    );
    for size in SIZES {
        fill(&mut conn, size);
    }
    names(&mut conn)
}

/// Collections of so many elements, of strings about as long, and of integers of every width.
fn fill(conn: &mut Conn, size: usize) {
    let long = "x".repeat(size);
    let name = |kind: &str| format!("{kind}:{size}").into_bytes();
    let mut run = |words: &[&[u8]]| {
        let reply = conn.call(words);
        assert!(!matches!(reply, Value::Error(_)), "{words:?}: {reply}");
    };
    run(&[b"SET", &name("text"), long.as_bytes()]);
    for number in 0..size as i64 {
        let wide = (number * number * number * 1_000_003 - 500).to_string();
        let (short, wide) = (number.to_string(), wide.as_bytes());
        let text = format!("element {number} {}", &long[..size.min(90)]);
        let (short, text) = (short.as_bytes(), text.as_bytes());
        run(&[b"RPUSH", &name("list"), short, wide, text]);
        run(&[b"SADD", &name("ints"), wide]);
        run(&[b"SADD", &name("set"), short, text]);
        run(&[b"HSET", &name("hash"), short, wide]);
        run(&[b"HSET", &name("texts"), text, wide]);
        run(&[b"ZADD", &name("zset"), wide, short]);
        run(&[b"ZADD", &name("long"), short, text]);
        run(&[b"XADD", &name("stream"), short_id(number).as_bytes(), b"number", short, b"t", text]);
    }
}

fn short_id(number: i64) -> String {
    format!("{}-{}", 1000 + number / 7, 1 + number % 7)
}

/// Hashes some of whose fields have deadlines, where the server knows such.
pub(crate) fn populate_fields(server: &Server) {
    let mut conn = server.connect();
    for size in SIZES {
        let name = format!("timed:{size}");
        for field in 0..size {
            conn.run(&format!("HSET {name} {field} value-{field}"));
        }
        conn.prepare(&format!(
            "HPEXPIRE {name} 90000000 FIELDS 2 2 1
             HPEXPIRE {name} 80000000 FIELDS 1 0"
        ));
    }
}

/// All keys of the selected database.
pub(crate) fn names(conn: &mut Conn) -> Vec<Vec<u8>> {
    match conn.run("KEYS *") {
        Value::Array(keys) => keys.into_iter().map(bytes).collect(),
        reply => panic!("KEYS gave {reply}"),
    }
}

pub(crate) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Bulk(bytes) => bytes,
        other => panic!("{other} is no string"),
    }
}

/// What must be equal of a key on two servers.
pub(crate) fn essence(conn: &mut Conn, key: &[u8]) -> Vec<String> {
    let shown = |value: Value| value.to_string();
    let mut all = vec![
        shown(conn.call(&[&b"TYPE"[..], key])),
        shown(conn.call(&[&b"DEBUG"[..], b"DIGEST-VALUE", key])),
        shown(conn.call(&[&b"PEXPIRETIME"[..], key])),
    ];
    if all[0] == "stream" {
        // Consumers' idle times go on.
        all.push(shown(conn.call(&[&b"XINFO"[..], b"STREAM", key])));
        let groups = conn.call(&[&b"XINFO"[..], b"GROUPS", key]);
        all.push(shown(groups.clone()));
        for group in [&b"all"[..], b"other"] {
            if groups.to_string().contains(&*String::from_utf8_lossy(group)) {
                let pending = conn.call(&[&b"XINFO"[..], b"STREAM", key, b"FULL"]).to_string();
                all.push(without_times(&pending));
            }
        }
    }
    all
}

/// A notation without what a server says of the memory it takes, and without when a consumer was
/// last active, which version 10 of the format does not have.
fn without_times(notation: &str) -> String {
    let mut kept = Vec::new();
    let mut parts = notation.split(", ");
    while let Some(part) = parts.next() {
        if part.ends_with("\"active-time\"") || part.ends_with("\"seen-time\"") {
            parts.next();
        } else {
            kept.push(part);
        }
    }
    kept.join(", ")
}
