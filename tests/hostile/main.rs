//! Clients that mean harm, or behave as if they did. After each of them the server has to be alive,
//! serve others, and keep its memory within bounds.
//!
//! Bounds only, no speeds: what hangs is caught by the patience of a connection.

mod extremes;
mod flood;
mod unauthenticated;

use larder_tests::{Conn, Server, encode};

/// Resident memory a node of a few keys may have; far above what it needs, far below what the attacks
/// below would make it take if they worked.
const CALM: u64 = 128 << 20;

/// Other clients are served, from a connection that was there before and from a new one.
#[track_caller]
fn assert_serves(server: &Server, witness: &mut Conn) {
    assert_eq!(witness.run("SET witness alive").to_string(), "+OK");
    assert_eq!(server.connect().run("GET witness").to_string(), "\"alive\"");
}

/// Sends what a server may refuse half way.
fn shove(conn: &mut Conn, bytes: &[u8]) {
    for part in bytes.chunks(64 * 1024) {
        if conn.try_send(part).is_err() {
            return;
        }
    }
}

#[test]
fn nested_arrays() {
    let server = Server::start();
    let mut witness = server.connect();
    for opener in ["*1\r\n", "*2\r\n", "%1\r\n", "~1\r\n", ">1\r\n", "|1\r\n"] {
        let mut conn = server.connect();
        shove(&mut conn, opener.repeat(32 * 1024 / opener.len()).as_bytes());
        conn.finish_sending();
        conn.wait_closed();
        assert_serves(&server, &mut witness);
    }
    assert_eq!(
        larder_tests::transcript(&server, "*1\r\n".repeat(8000).as_bytes(), usize::MAX),
        "-ERR Protocol error: expected '$', got '*'\r\n<closed>"
    );
}

#[test]
fn counts_without_content_take_no_memory() {
    let server = Server::start();
    let mut witness = server.connect();
    let before = server.resident();
    let mut held = Vec::new();
    for header in [
        "*1000000\r\n",
        "*1048576\r\n",
        "*1000000\r\n$3\r\nSET\r\n",
        "*1\r\n$536870912\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n",
    ] {
        for _ in 0..50 {
            let mut conn = server.connect();
            conn.send(header.as_bytes());
            held.push(conn);
        }
    }
    assert_serves(&server, &mut witness);
    // 250 promises of up to half a gigabyte each.
    let grown = server.resident().saturating_sub(before);
    assert!(grown < CALM, "promises alone took {grown} bytes");
}

#[test]
fn a_million_arguments() {
    let server = Server::start();
    let mut witness = server.connect();
    let mut conn = server.connect();
    let mut bytes = b"*1000001\r\n$6\r\nEXISTS\r\n".to_vec();
    for _ in 0..1_000_000 {
        bytes.extend_from_slice(b"$1\r\nk\r\n");
    }
    shove(&mut conn, &bytes);
    let reply = conn.reply();
    // Either a count or a refusal, but an answer.
    assert!(reply.to_string() == ":0" || reply.is_error("ERR "), "{reply}");
    assert_serves(&server, &mut witness);
}

#[test]
fn a_byte_at_a_time_behind_two_megabytes() {
    let server = Server::start();
    let mut witness = server.connect();
    let mut conn = server.connect();
    // 200 000 arguments are announced; 2 MB of them come at once, the rest in single bytes.
    let mut bytes = b"*200001\r\n$3\r\nDEL\r\n".to_vec();
    for i in 0..200_000 {
        bytes.extend_from_slice(format!("$6\r\n{i:06}\r\n").as_bytes());
    }
    let (head, tail) = bytes.split_at(bytes.len() - 3000);
    conn.send(head);
    let ticks = cpu_ticks(&server);
    for byte in tail {
        conn.send(&[*byte]);
    }
    assert_eq!(conn.reply().to_string(), ":0");
    let spent = cpu_ticks(&server) - ticks;
    // Parsing from the start at each byte took 5 ms a byte: 15 s, or 1500 ticks. A parser that goes on
    // where it stopped needs a hundredth of that even in a slow build.
    assert!(spent < 500, "3000 single bytes took {spent} ticks of CPU");
    assert_serves(&server, &mut witness);
}

/// CPU the process has used, in hundredths of a second.
fn cpu_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let number = |index: usize| fields[index].parse::<u64>().expect("a number");
    number(11) + number(12)
}

#[test]
fn endless_inline() {
    let server = Server::start();
    let mut witness = server.connect();
    for filler in ["x", " ", "\0", "\"", "a b "] {
        let mut conn = server.connect();
        shove(&mut conn, filler.repeat(200_000 / filler.len()).as_bytes());
        conn.finish_sending();
        let answer = String::from_utf8_lossy(&conn.wait_closed()).into_owned();
        let refused = answer == "-ERR Protocol error: too big inline request\r\n";
        // The refusal may be lost when the server closes over unread bytes.
        assert!(refused || answer.is_empty(), "{filler:?}: {answer}");
        assert_serves(&server, &mut witness);
    }
    for header in ["*", "$", "*1\r\n$"] {
        let mut conn = server.connect();
        shove(&mut conn, header.as_bytes());
        shove(&mut conn, "1".repeat(200_000).as_bytes());
        conn.finish_sending();
        conn.wait_closed();
        assert_serves(&server, &mut witness);
    }
}

#[test]
fn repeated_protocol_errors_do_not_keep_others_out() {
    let server = Server::start();
    let mut witness = server.connect();
    for round in 0..500 {
        let mut conn = server.connect();
        conn.send(b"*x\r\n");
        let answer = String::from_utf8_lossy(&conn.wait_closed()).into_owned();
        assert_eq!(answer, "-ERR Protocol error: invalid multibulk length\r\n");
        if round % 50 == 0 {
            assert_serves(&server, &mut witness);
        }
    }
    larder_tests::eventually("none of them is left", || server.info("connected_clients") == "2");
}

#[test]
fn empty_requests_leave_no_trace_in_the_parser() {
    let server = Server::start();
    let mut conn = server.connect();
    for nothing in ["*0\r\n", "*-1\r\n", "\r\n", "\n", "   \r\n", "*-5\r\n"] {
        for _ in 0..3 {
            conn.send(nothing.repeat(1000).as_bytes());
            conn.send(&encode(&["SET", "a", "1"]));
            assert_eq!(conn.reply().to_string(), "+OK", "after {nothing:?}");
            conn.send(nothing.as_bytes());
            conn.send(b"GET a\r\n");
            assert_eq!(conn.reply().to_string(), "\"1\"", "after {nothing:?}");
        }
    }
}

#[test]
fn glob_bombs_end() {
    let server = Server::start();
    let mut witness = server.connect();
    let mut conn = server.connect();
    conn.call(&["SET", &"a".repeat(10_000), "1"]);
    for bomb in [
        "*a".repeat(2000) + "b",
        "a*".repeat(2000) + "b",
        "*?".repeat(1000) + "b",
        "*[a]".repeat(1000) + "b",
        "*".repeat(10_000) + "b",
        "[".repeat(10_000),
        "\\".repeat(10_001),
        format!("{}b", "*[^b]".repeat(1000)),
    ] {
        let reply = conn.call(&["KEYS", &bomb]);
        assert!(
            matches!(reply, larder_tests::Value::Array(_)) || reply.is_error("ERR "),
            "{reply}"
        );
        conn.call(&["SCAN", "0", "MATCH", &bomb]);
        conn.call(&["CONFIG", "GET", &bomb]);
        conn.call(&["COMMAND", "LIST", "FILTERBY", "PATTERN", &bomb]);
        assert_serves(&server, &mut witness);
    }
}

#[test]
fn user_bytes_in_replies_never_make_a_second_reply() {
    let server = Server::start();
    for conn in [&mut server.connect(), &mut server.connect3()] {
        let evil = "a\r\n+OK\r\n$1\r\nx\r\n\0";
        for args in [
            &[evil][..],
            &[evil, evil, evil],
            &["CONFIG", "SET", evil, "1"],
            &["CONFIG", "SET", "maxmemory-policy", evil],
            &["CONFIG", "SET", "loglevel", evil],
            &["CONFIG", evil],
            &["CLIENT", evil],
            &["CLIENT", "SETNAME", evil],
            &["CLIENT", "SETINFO", evil, "x"],
            &["CLIENT", "KILL", evil],
            &["CLIENT", "LIST", "TYPE", evil],
            &["CLIENT", "LIST", "ID", evil],
            &["OBJECT", evil, "x"],
            &["HELLO", evil],
            &["HELLO", "3", "AUTH", evil, evil],
            &["HELLO", "3", evil],
            &["AUTH", evil, evil],
            &["SELECT", evil],
            &["SET", "a", "1", evil],
            &["EXPIRE", "a", "1", evil],
            &["DEBUG", evil],
            &["COMMAND", "INFO", evil],
            &["COMMAND", "GETKEYS", evil],
            &["INFO", evil],
            &["LATENCY", "GRAPH", evil],
            &["LATENCY", "HISTOGRAM", evil],
            &["MEMORY", "USAGE", evil],
            &["LOLWUT", "VERSION", evil],
            &["PING", evil],
        ] {
            let first = conn.call(args);
            let mark = conn.run("ECHO mark").to_string();
            assert_eq!(mark, "\"mark\"", "after {args:?}, which gave {first}");
        }
    }
}
