//! MONITOR: what those who look on are shown.

use larder_tests::{Server, encode};

#[test]
fn commands_of_all_are_shown_as_they_run() {
    let server = Server::with(&["--threads", "2", "--requirepass", "secret"]);
    let mut monitor = server.connect();
    monitor.run("AUTH secret");
    monitor.expect("MONITOR", "+OK");
    let mut conn = server.connect();
    conn.run("AUTH secret");
    conn.run("SELECT 3");
    conn.send(&encode(&[b"SET", &b"a\"\n\x00\xff"[..], b"1"]));
    conn.reply();
    conn.run("CONFIG GET maxmemory");
    conn.run("GET");
    conn.run("LPUSH a");
    conn.run("HELLO 3 AUTH default secret");
    let address = conn.local_addr();
    for (db, shown) in [
        (0, r#""AUTH" "(redacted)""#),
        (3, r#""SELECT" "3""#),
        (3, r#""SET" "a\"\n\x00\xff" "1""#),
        (3, r#""HELLO" "3" "AUTH" "(redacted)" "(redacted)""#),
    ] {
        let line = monitor.reply().to_string();
        let (time, rest) = line.split_once(' ').expect("a time");
        let (seconds, micros) = time.split_once('.').expect("microseconds");
        assert!(seconds.starts_with('+') && micros.len() == 6, "{line}");
        assert_eq!(rest, format!("[{db} {address}] {shown}"));
    }
    let mut admin = server.connect();
    admin.run("AUTH secret");
    assert!(admin.run("CLIENT LIST").text().contains(" flags=O "));
    monitor.reply();
    monitor.expect("RESET", "+RESET");
    monitor.run("AUTH secret");
    admin.run("GET a");
    monitor.expect("PING", "+PONG");
}

#[test]
fn an_onlooker_that_never_reads_is_cut() {
    let server = Server::with(&["--client-output-buffer-limit", "normal 4mb 0 0"]);
    let (mut monitor, mut writer) = (server.connect(), server.connect());
    monitor.run("MONITOR");
    let burst = encode(&["SET", "a", &"x".repeat(10_000)]).repeat(100);
    larder_tests::eventually("it is cut", || {
        writer.send(&burst);
        (0..100).for_each(|_| drop(writer.reply()));
        server.info("client_output_buffer_limit_disconnections") == "1"
    });
}

#[test]
fn a_script_is_shown_before_what_it_calls() {
    let server = Server::start();
    let (mut monitor, mut conn) = (server.connect(), server.connect());
    monitor.expect("MONITOR", "+OK");
    conn.send(&encode(&["EVAL", "return redis.call('set',KEYS[1],'v')", "1", "a"]));
    conn.reply();
    let address = conn.local_addr();
    for shown in [
        format!(r#"[0 {address}] "EVAL" "return redis.call('set',KEYS[1],'v')" "1" "a""#),
        r#"[0 lua] "set" "a" "v""#.to_owned(),
    ] {
        let line = monitor.reply().to_string();
        assert_eq!(line.split_once(' ').expect("a time").1, shown);
    }
}

#[test]
fn an_onlooker_stays_out_of_the_data_set() {
    let server = Server::start();
    let mut monitor = server.connect();
    monitor.expect("MONITOR", "+OK");
    // A second one has no reply.
    monitor.send(b"MONITOR\r\nPING\r\n");
    assert_eq!(monitor.reply().to_string(), "+PONG");
    assert!(monitor.reply().to_string().ends_with(r#""PING""#));
    for line in ["GET a", "SET a 1", "PUBLISH a b", "EVAL 'return 1' 0", "FCALL f 0"] {
        monitor.expect(line, "-ERR Replica can't interact with the keyspace");
    }
    server.connect().expect("CLIENT PAUSE 600000", "+OK");
    monitor.expect("PING", "+PONG");
}

#[test]
fn monitor_in_a_transaction_is_refused() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.expect("MULTI", "+OK");
    conn.expect("MONITOR", "+QUEUED");
    conn.expect("EXEC", "[-ERR MONITOR isn't allowed for DENY BLOCKING client]");
    conn.expect("SET a 1", "+OK");
}

#[test]
fn what_is_refused_early_is_shown_all_the_same() {
    let server = Server::start();
    let (mut monitor, mut conn) = (server.connect(), server.connect());
    monitor.expect("MONITOR", "+OK");
    for line in ["EVALSHA abc 0", "EVALSHA_RO abc 0", "EXEC x", "MULTI", "EXEC y"] {
        conn.run(line);
        let shown = line.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
        let told = monitor.reply().to_string();
        assert!(told.ends_with(&format!("] {shown}")), "{told} and not {shown}");
    }
}
