//! Before a password is given, a client may cost next to nothing.

use larder_tests::{Server, encode, eventually};

use super::{CALM, assert_serves, shove};

fn guarded() -> (Server, larder_tests::Conn) {
    let server = Server::with(&["--requirepass", "secret"]);
    let mut witness = server.connect();
    witness.expect("AUTH secret", "+OK");
    (server, witness)
}

#[test]
fn few_and_short_arguments() {
    let (server, _witness) = guarded();
    for (input, answer) in [
        ("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n<closed>"),
        ("*1000000\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n<closed>"),
        (
            "*2\r\n$4\r\nAUTH\r\n$16385\r\n",
            "-ERR Protocol error: unauthenticated bulk length\r\n<closed>",
        ),
        ("*1\r\n$536870912\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n<closed>"),
    ] {
        assert_eq!(larder_tests::transcript(&server, input.as_bytes(), usize::MAX), answer);
    }
    let mut conn = server.connect();
    let ten: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    assert!(conn.call(&ten).is_error("NOAUTH") || conn.call(&ten).is_error("ERR unknown command"));
    let longest = "x".repeat(16_384);
    assert!(conn.call(&["AUTH", &longest]).is_error("WRONGPASS"));
    conn.expect("AUTH secret", "+OK");
    let mut many = vec!["EXISTS"];
    many.resize(100, "k");
    conn.call(&many);
    assert_eq!(conn.call(&["SET", "a", &"x".repeat(100_000)]).to_string(), "+OK");
}

#[test]
fn many_strangers_take_little() {
    let (server, mut witness) = guarded();
    let before = server.resident();
    let mut held = Vec::new();
    // Each promises as much as is allowed and sends nearly all of it.
    let mut bytes = b"*10\r\n".to_vec();
    for _ in 0..9 {
        bytes.extend_from_slice(format!("$16384\r\n{}\r\n", "x".repeat(16_384)).as_bytes());
    }
    for _ in 0..100 {
        let mut conn = server.connect();
        shove(&mut conn, &bytes);
        held.push(conn);
    }
    witness.expect("SET witness alive", "+OK");
    let grown = server.resident().saturating_sub(before);
    assert!(grown < CALM, "100 strangers took {grown} bytes");
}

#[test]
fn a_stranger_that_never_reads_is_dropped() {
    let (server, mut witness) = guarded();
    let before = server.resident();
    let mut conn = server.connect();
    // Refusals pile up unread; beyond a kilobyte of them the connection has to go. The kernel's own
    // buffers hold megabytes, so it takes many.
    let burst = encode(&["GET", "a"]).repeat(20_000);
    eventually("the stranger is dropped", || conn.try_send(&burst).is_err());
    let grown = server.resident().saturating_sub(before);
    assert!(grown < CALM, "unread refusals took {grown} bytes");
    witness.expect("SET witness alive", "+OK");
}

#[test]
fn guessing_passwords_costs_only_the_guesser() {
    let (server, mut witness) = guarded();
    let mut conn = server.connect();
    for i in 0..2000 {
        let reply = conn.call(&["AUTH", &format!("guess{i}")]);
        assert!(reply.is_error("WRONGPASS"), "{reply}");
    }
    conn.expect("GET a", "-NOAUTH Authentication required.");
    witness.expect("SET witness alive", "+OK");
    assert_serves_guarded(&server);
}

fn assert_serves_guarded(server: &Server) {
    let mut conn = server.connect();
    conn.expect("AUTH secret", "+OK");
    assert_serves_plain(&mut conn);
}

fn assert_serves_plain(conn: &mut larder_tests::Conn) {
    conn.expect("PING", "+PONG");
}

#[test]
fn strangers_learn_nothing() {
    let (server, mut witness) = guarded();
    witness.expect("SET secret-key secret-value", "+OK");
    let mut conn = server.connect();
    for line in [
        "GET secret-key",
        "KEYS *",
        "CONFIG GET requirepass",
        "INFO",
        "CLIENT LIST",
        "DEBUG SLEEP 1",
        "COMMAND",
        "OBJECT ENCODING secret-key",
        "SELECT 1",
        "SLOWLOG GET",
        "FLUSHALL",
        "SHUTDOWN",
        "CLIENT SETNAME x",
        "MEMORY USAGE secret-key",
        "ECHO x",
        "PING",
        "TIME",
        "LOLWUT",
    ] {
        conn.expect(line, "-NOAUTH Authentication required.");
    }
    witness.expect("GET secret-key", "\"secret-value\"");
    let open = Server::start();
    let mut other = open.connect();
    assert_serves(&open, &mut other);
}
