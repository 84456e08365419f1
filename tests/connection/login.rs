//! Passwords: what is open before AUTH, how AUTH and HELLO log in, and protected mode.

use larder_tests::{Server, compare, compare_with};

#[test]
fn without_a_password() {
    compare(
        r#"
        AUTH any
        AUTH default any
        AUTH nobody any
        AUTH
        AUTH a b c
        AUTH default
        PING
        "#,
    );
}

#[test]
fn no_node_of_a_cluster() {
    compare(
        r#"
        READONLY
        READWRITE
        ASKING
        READONLY x
        "#,
    );
}

#[test]
fn before_and_after_auth() {
    compare_with(
        &["--requirepass", "secret"],
        r#"
        PING
        GET a
        SET a 1
        BOGUS
        GET
        CLIENT ID
        CLIENT
        COMMAND
        INFO
        RESET
        AUTH
        AUTH a b c
        AUTH wrong
        AUTH ""
        AUTH default wrong
        AUTH nobody secret
        AUTH secre
        AUTH secrets
        AUTH SECRET
        GET a
        AUTH secret
        SET a 1
        AUTH wrong
        GET a
        AUTH default secret
        @b GET a
        @b AUTH default secret
        @b GET a
        RESET
        GET a
        QUIT
        "#,
    );
}

#[test]
fn hello_logs_in() {
    let server = Server::with(&["--requirepass", "secret"]);
    let mut conn = server.connect();
    let noauth = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                  HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                  select the RESP protocol version at the same time";
    conn.expect("HELLO", noauth);
    conn.expect("HELLO 3", noauth);
    conn.expect("HELLO 3 SETNAME kim", noauth);
    conn.expect("HELLO 4", "-NOPROTO unsupported protocol version");
    conn.expect(
        "HELLO 3 AUTH default wrong",
        "-WRONGPASS invalid username-password pair or user is disabled.",
    );
    conn.expect("PING", "-NOAUTH Authentication required.");
    assert_eq!(conn.run("HELLO 3 AUTH default secret SETNAME kim").kind(), '%');
    conn.expect("CLIENT GETNAME", "\"kim\"");
    conn.expect("GET missing", "nil");
}

#[test]
fn the_password_can_change_while_it_runs() {
    compare(
        r#"
        @b SET a 1
        CONFIG SET requirepass first
        CONFIG GET requirepass
        GET a
        @b GET a
        @c GET a
        @c AUTH first
        @c GET a
        CONFIG SET requirepass second
        @c GET a
        @c AUTH first
        @c AUTH second
        CONFIG SET requirepass ""
        @c AUTH second
        @c GET a
        "#,
    );
    let server = Server::with(&["--requirepass", "secret"]);
    let mut admin = server.connect();
    admin.expect("AUTH secret", "+OK");
    admin.expect("CONFIG SET requirepass \"\"", "+OK");
    server.connect().expect("SET a 1", "+OK");
}

#[test]
fn a_very_long_password_is_compared_whole() {
    let password = "p".repeat(512);
    compare_with(
        &["--requirepass", &password],
        &format!(
            "AUTH {p}\nGET a\nAUTH {p}x\nAUTH {short}\n",
            p = password,
            short = &password[1..]
        ),
    );
}

#[test]
fn protected_mode_leaves_loopback_alone() {
    let server = Server::with(&["--protected-mode", "yes", "--bind", "127.0.0.1"]);
    server.connect().expect("PING", "+PONG");
}

#[test]
fn protected_mode_turns_others_away() {
    // Another address of this machine, if it has one: a route lookup names it, nothing is sent.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let outside = match probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()) {
        Ok(addr) if !addr.ip().is_loopback() && !addr.ip().is_unspecified() => addr.ip(),
        _ => return,
    };
    let server = Server::with(&["--protected-mode", "yes", "--bind", "*"]);
    let addr = std::net::SocketAddr::new(outside, server.addr().port());
    let mut conn = larder_tests::Conn::tcp(addr).expect("the port is open");
    let answer = String::from_utf8_lossy(&conn.wait_closed()).into_owned();
    assert!(answer.starts_with("-DENIED "), "{answer}");
    assert!(answer.ends_with("\r\n") && answer.matches('\n').count() == 1, "{answer}");
    let mut local = server.connect();
    local.expect("CONFIG SET requirepass secret", "+OK");
    let mut conn = larder_tests::Conn::tcp(addr).expect("the port is open");
    conn.expect("PING", "-NOAUTH Authentication required.");
    conn.expect("AUTH secret", "+OK");
}
