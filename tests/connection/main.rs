//! The connection commands, and what a connection remembers: name, database, protocol, user, flags.

mod client;
mod login;

use std::time::Duration;

use larder_tests::{Server, compare, eventually};

#[test]
fn ping_echo_select_quit() {
    compare(
        r#"
        PING
        PING hello
        PING "with\r\nline ends"
        PING ""
        PING a b
        ping
        ECHO hello
        ECHO ""
        ECHO "\x00\r\n"
        ECHO
        ECHO a b
        SELECT 3
        SELECT 0
        QUIT
        PING
        QUIT now
        PING
        "#,
    );
}

#[test]
fn unknown_commands_are_quoted_back() {
    let long = "x".repeat(200);
    compare(&format!(
        r#"
        BOGUS
        bogus a
        BOGUS a b "c d" 'e'
        BOGUS {long}
        {long} a b
        BOGUS {long} {long}
        BOGUS a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z
        "BO\x00GUS" "a\x00b"
        "" a
        "BO GUS" a
        GET
        CONFIG
        CONFIG BOGUS
        CLIENT
        CLIENT {long}
        "CLIENT|ID"
        client|id
        "#
    ));
}

#[test]
fn line_ends_in_echoed_errors_become_spaces() {
    // An error is one line: whatever a client echoes into it must not look like another reply.
    compare(
        r#"
        "BO\r\nGUS" a
        "\r\n+OK\r\n"
        BOGUS "a\r\n-ERR b\r\n"
        "a\nb" "c\rd"
        CONFIG "GE\r\nT"
        CLIENT "x\r\ny" 1
        OBJECT "\r\n"
        CONFIG SET "maxmem\r\nory" 1
        HELLO "3\r\n"
        HELLO 3 "BO\r\nGUS"
        SET a 1 "N\r\nX"
        PING
        "#,
    );
}

#[test]
fn hello_switches_the_protocol() {
    let server = Server::start();
    let mut conn = server.connect();
    assert!(conn.raw("GET missing").starts_with("$-1\r\n"));
    let reply = conn.run("HELLO 3");
    let names: Vec<String> = reply.items().iter().step_by(2).map(ToString::to_string).collect();
    let quoted = ["server", "version", "proto", "id", "mode", "role", "modules"];
    assert_eq!(names, quoted.map(|name| format!("\"{name}\"")));
    assert_eq!(reply.kind(), '%');
    assert_eq!(reply.field("server").expect("server").text(), "redis");
    assert_eq!(reply.field("proto").expect("proto").int(), 3);
    assert_eq!(reply.field("id"), Some(conn.run("CLIENT ID")));
    assert_eq!(reply.field("mode").expect("mode").text(), "standalone");
    assert_eq!(reply.field("role").expect("role").text(), "master");
    assert_eq!(reply.field("modules").expect("modules").to_string(), "[]");
    assert_eq!(conn.raw("GET missing"), "_\r\n");
    assert_eq!(conn.run("HELLO").kind(), '%');
    assert_eq!(conn.run("HELLO 2").kind(), '*');
    assert_eq!(conn.raw("GET missing"), "$-1\r\n");
    assert_eq!(conn.run("HELLO").kind(), '*');
}

/// What Valkey GLIDE's zone affinity asks each node, to the byte: a plain INFO, HELLO 3, INFO
/// REPLICATION.
#[test]
fn clients_learn_the_zone() {
    let primary = Server::with(&["--availability-zone", "apne2-az1"]);
    let mut conn = primary.connect();
    for command in ["INFO", "INFO server"] {
        let info = conn.run(command).text();
        assert!(info.contains("\r\navailability_zone:apne2-az1\r\n"), "{command}: {info}");
    }
    assert!(conn.run("INFO REPLICATION").text().contains("\r\nrole:master\r\n"));
    let hello = conn.raw("HELLO 3");
    assert!(hello.starts_with("%8\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{hello}");
    assert!(hello.ends_with("$17\r\navailability_zone\r\n$9\r\napne2-az1\r\n"), "{hello}");
    conn.expect("CONFIG SET availability-zone \"\"", "+OK");
    assert!(conn.raw("HELLO 3").starts_with("%7\r\n"), "it is told only when it is set");
    assert!(conn.run("INFO").text().contains("\r\navailability_zone:\r\n"));
    conn.expect("CONFIG SET availability-zone b", "+OK");
    assert!(conn.run("INFO").text().contains("\r\navailability_zone:b\r\n"));
    let port = primary.addr().port().to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    let mut reader = replica.connect();
    assert_eq!(reader.run("HELLO 3").field("role").expect("role").text(), "replica");
    let told = reader.run("INFO REPLICATION").text();
    let shown = format!("role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{port}\r\n");
    assert!(told.contains(&shown), "{told}");
    let listed = format!("slave0:ip=127.0.0.1,port={},", replica.addr().port());
    eventually("the replica is listed", || conn.run("INFO REPLICATION").text().contains(&listed));
}

#[test]
fn hello_grammar() {
    compare(
        r#"
        HELLO 1
        HELLO 4
        HELLO 0
        HELLO -1
        HELLO x
        HELLO 3.0
        HELLO 9223372036854775808
        HELLO ""
        HELLO 3 BOGUS
        HELLO 3 SETNAME
        HELLO 3 AUTH
        HELLO 3 AUTH user
        HELLO 3 AUTH user pass extra
        = -ERR Syntax error in HELLO option 'extra'
        HELLO 3 AUTH nobody wrong
        HELLO 3 SETNAME "with space"
        HELLO 3 SETNAME "line\n"
        CLIENT GETNAME
        GET missing
        @skip HELLO 3 SETNAME kim
        CLIENT GETNAME
        GET missing
        @skip HELLO 2 SETNAME "" AUTH default any
        CLIENT GETNAME
        GET missing
        HELLO 9 SETNAME late
        CLIENT GETNAME
        "#,
    );
}

#[test]
fn reset_forgets_everything() {
    compare(
        r#"
        SELECT 5
        CLIENT SETNAME kim
        @skip HELLO 3
        SET a 1
        RESET
        GET missing
        CLIENT GETNAME
        EXISTS a
        SELECT 5
        GET a
        RESET x
        CLIENT NO-EVICT on
        RESET
        CLIENT REPLY ON
        PING
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect3();
    conn.prepare("SELECT 5\nCLIENT SETNAME kim\nCLIENT NO-TOUCH on\nCLIENT NO-EVICT on");
    let before = conn.run("CLIENT INFO").text();
    assert!(before.contains(" name=kim ") && before.contains(" db=5 "), "{before}");
    assert!(before.contains(" resp=3") && before.contains(" flags=eT "), "{before}");
    conn.expect("RESET", "+RESET");
    let after = conn.run("CLIENT INFO").text();
    assert!(after.contains(" name= ") && after.contains(" db=0 "), "{after}");
    assert!(after.contains(" resp=2") && after.contains(" flags=N "), "{after}");
}

#[test]
fn reply_modes() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.send(
        b"CLIENT REPLY OFF\r\nSET a 1\r\nPING\r\nGET missing\r\nBOGUS\r\nCLIENT REPLY ON\r\n",
    );
    assert_eq!(conn.reply().to_string(), "+OK");
    conn.send(b"CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n");
    assert_eq!(conn.reply().to_string(), "\"2\"");
    conn.send(b"CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n");
    assert_eq!(conn.reply().to_string(), "\"x\"");
    conn.send(b"CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n");
    assert!(conn.silent_for(Duration::from_millis(200)));
    conn.expect("CLIENT REPLY ON", "+OK");
    compare("CLIENT REPLY\nCLIENT REPLY x\nCLIENT REPLY ON x\nCLIENT REPLY on\n");
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let server = Server::start();
    let mut conn = server.connect();
    let count = 20_000;
    let input: String = (0..count).map(|i| format!("ECHO {i}\r\n")).collect();
    let mut writer = server.connect();
    writer.send(b"SET other 1\r\n");
    conn.send(input.as_bytes());
    for i in 0..count {
        assert_eq!(conn.reply().text(), i.to_string());
    }
    assert_eq!(writer.reply().to_string(), "+OK");
}

#[test]
fn quit_answers_what_came_before_and_drops_what_comes_after() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.send(b"SET a 1\r\nQUIT\r\nSET a 2\r\n");
    assert_eq!(conn.wait_closed(), b"+OK\r\n+OK\r\n");
    server.connect().expect("GET a", "\"1\"");
}

#[test]
fn half_closed_clients_still_get_their_replies() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.send(b"SET a 1\r\nGET a\r\n");
    assert_eq!(conn.reply().to_string(), "+OK");
    assert_eq!(conn.reply().to_string(), "\"1\"");
    conn.finish_sending();
    assert!(conn.wait_closed().is_empty());
    eventually("the client is gone", || server.info("connected_clients") == "1");
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Server::with(&["--timeout", "1"]);
    let (mut idle, mut busy) = (server.connect(), server.connect());
    let [mut subscriber, mut monitor, mut replica, mut told] = [(); 4].map(|()| server.connect());
    idle.expect("PING", "+PONG");
    subscriber.run("SUBSCRIBE channel");
    monitor.expect("MONITOR", "+OK");
    replica.send(b"PSYNC ? -1\r\n");
    told.run("HELLO 3");
    told.expect("CLIENT TRACKING ON BCAST", "+OK");
    for _ in 0..30 {
        busy.expect("SET a 1", "+OK");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(idle.wait_closed().is_empty());
    busy.expect("PING", "+PONG");
    // Nobody is idle who listens, or who takes what it is sent.
    let list = busy.run("CLIENT LIST").text();
    let here = [(&subscriber, "P"), (&monitor, "O"), (&replica, "S"), (&told, "tB")];
    for (conn, flags) in here {
        let (address, flags) =
            (format!(" addr={} ", conn.local_addr()), format!(" flags={flags} "));
        let is_here = |line: &str| line.contains(&address) && line.contains(&flags);
        assert!(list.lines().any(is_here), "{address}{flags} in {list}");
    }
}

#[test]
fn a_unix_socket_serves_the_same_data() {
    let server = Server::with(&["--unixsocket", "{dir}/socket", "--unixsocketperm", "700"]);
    let path = server.dir().join("socket");
    server.connect().expect("SET a 1", "+OK");
    let mut conn = larder_tests::Conn::unix(&path).expect("the socket accepts");
    conn.expect("GET a", "\"1\"");
    let info = conn.run("CLIENT INFO").text();
    let expected = format!(" addr={}:0 laddr={}:0 ", path.display(), path.display());
    assert!(info.contains(&expected) && info.contains(" flags=U "), "{info}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&path).expect("the socket exists").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(conn.run("CONFIG GET unixsocketperm").items()[1].text(), "700");
}

#[test]
fn both_address_families_are_served() {
    let server = Server::with(&["--bind", "127.0.0.1 ::1", "--protected-mode", "no"]);
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // This machine has no IPv6 at all; then Redis does not start with it either.
        return;
    }
    let addr = format!("[::1]:{}", server.addr().port()).parse().expect("an address");
    let mut conn = larder_tests::Conn::tcp(addr).expect("IPv6 accepts");
    conn.expect("PING", "+PONG");
    let info = conn.run("CLIENT INFO").text();
    assert!(info.contains(&format!(" addr={} ", conn.local_addr())), "{info}");
}
