//! Scripts that run for too long: others are told so, and somebody can end it.

use larder_tests::{Conn, Server};
use std::thread;
use std::time::{Duration, Instant};

/// Sends a command and leaves its reply to be read later.
pub(crate) fn start(server: &Server, command: &[&[u8]]) -> Conn {
    let mut conn = server.connect();
    let args: Vec<Vec<u8>> = command.iter().map(|arg| arg.to_vec()).collect();
    conn.send(&larder_tests::encode(&args));
    conn
}

/// Waits until a client is told that a script is busy.
#[track_caller]
pub(crate) fn wait_busy(conn: &mut Conn) {
    // A reply that is ready when the script begins may be kept until it ends, so the script goes first.
    thread::sleep(Duration::from_millis(100));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reply = conn.run("PING");
        if reply.is_error("BUSY") {
            return;
        }
        assert_eq!(reply.to_string(), "+PONG");
        assert!(Instant::now() < deadline, "never busy");
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn wait_free(conn: &mut Conn) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while conn.run("PING").is_error("BUSY") {
        assert!(Instant::now() < deadline, "busy for ever");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Coroutines of which none takes long, within each other and caught: it takes for ever.
const SHORT_COROUTINES: &str = "local function f(d) if d == 0 then for i = 1, 1000 do end return end \
    for i = 1, 100 do pcall(coroutine.wrap(f), d - 1) end end while true do f(6) end";

/// A script that looks at the clock until a moment has come.
#[test]
fn time_goes_on_for_a_slow_script() {
    let server = Server::with(&["--busy-reply-threshold", "10"]);
    let mut conn = server.connect();
    let script = "local function now() local t = redis.call('TIME') return t[1] * 1e6 + t[2] end \
        local began = now() while now() < began + 200000 do end return now() >= began + 200000";
    assert_eq!(conn.call(&[b"EVAL" as &[u8], script.as_bytes(), b"0"]).to_string(), ":1");
}

/// With one thread and with several, from a connection of the script's own thread and a new one.
#[test]
fn an_endless_script_can_be_killed() {
    for threads in ["1", "2"] {
        let server = Server::with(&["--threads", threads, "--busy-reply-threshold", "10"]);
        let mut before = server.connect();
        before.run("PING");
        for script in [
            "while true do end",
            "local f = function() while true do redis.call('ping') end end while true do pcall(f) end",
            SHORT_COROUTINES,
            "while true do pcall(string.rep, '', 2147483647) end",
            "local t = {} for i = 1, 1000000 do t[i] = {} end while true do collectgarbage() end",
        ] {
            let mut running = start(&server, &[b"EVAL", script.as_bytes(), b"0"]);
            wait_busy(&mut before);
            let mut after = server.connect();
            wait_busy(&mut after);
            assert!(after.run("FUNCTION KILL").is_error("BUSY"));
            assert!(before.run("GET a").is_error("BUSY"));
            assert_eq!(after.run("SCRIPT KILL").to_string(), "+OK");
            let reply = running.reply().to_string();
            assert!(reply.contains("killed by user"), "{reply}");
            wait_free(&mut before);
            wait_free(&mut after);
            assert!(before.run("SCRIPT KILL").is_error("NOTBUSY"));
        }
        // And from a connection that the script's own thread serves.
        let mut running = start(&server, &[b"EVAL", b"while true do end", b"0"]);
        wait_busy(&mut before);
        assert_eq!(before.run("SCRIPT KILL").to_string(), "+OK");
        assert!(running.reply().to_string().contains("killed by user"));
        assert_eq!(running.run("PING").to_string(), "+PONG");
    }
}

/// They would take BUSY for the reply to what they ask next.
#[test]
fn who_wants_no_reply_gets_none() {
    let server = Server::with(&["--threads", "1", "--busy-reply-threshold", "10"]);
    let (mut off, mut skips, mut other) = (server.connect(), server.connect(), server.connect());
    off.send(b"CLIENT REPLY OFF\r\n");
    skips.send(b"PING\r\nCLIENT REPLY SKIP\r\n");
    assert_eq!(skips.reply().to_string(), "+PONG");
    other.expect("PING", "+PONG");
    let mut running = start(&server, &[b"EVAL", b"while true do end", b"0"]);
    wait_busy(&mut other);
    off.send(b"INCR a\r\nCLIENT REPLY ON\r\n");
    skips.send(b"INCR a\r\nINCR a\r\n");
    // Long enough for them to be looked at.
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(5));
        wait_busy(&mut other);
    }
    other.expect("SCRIPT KILL", "+OK");
    assert!(running.reply().to_string().contains("killed by user"));
    assert_eq!(off.reply().to_string(), "+OK");
    let last = skips.reply().to_string();
    assert!(last == ":2" || last == ":3", "{last}");
    wait_free(&mut other);
    other.expect("GET a", "\"3\"");
}

#[test]
fn a_script_that_has_written_is_not_killed() {
    let mut server = Server::with(&["--threads", "1", "--busy-reply-threshold", "10"]);
    let mut witness = server.connect();
    witness.run("PING");
    let script = b"redis.call('set',KEYS[1],'y') while true do end";
    let _running = start(&server, &[b"EVAL", script, b"1", b"x"]);
    wait_busy(&mut witness);
    assert!(witness.run("SCRIPT KILL").is_error("UNKILLABLE"));
    assert!(witness.run("SHUTDOWN").is_error("BUSY"));
    witness.send(b"SHUTDOWN NOSAVE\r\n");
    server.wait_exit();
}

/// Who waits for a key that the script holds is told as well.
#[test]
fn a_held_key_keeps_nobody_for_ever() {
    let server = Server::with(&["--threads", "2", "--busy-reply-threshold", "50"]);
    let mut others: Vec<Conn> = (0..6).map(|_| server.connect()).collect();
    for conn in &mut others {
        conn.run("PING");
    }
    let script = b"redis.call('get',KEYS[1]) while true do end";
    let mut running = start(&server, &[b"EVAL", script, b"1", b"x"]);
    for conn in &mut others {
        conn.send(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n");
    }
    let mut killer = server.connect();
    wait_busy(&mut killer);
    assert_eq!(killer.run("SCRIPT KILL").to_string(), "+OK");
    assert!(running.reply().to_string().contains("killed by user"));
    for conn in &mut others {
        let reply = conn.reply();
        assert!(reply.is_error("BUSY") || reply.to_string() == "nil", "{reply:?}");
    }
}

/// What is sent within MULTI beside a slow script breaks the transaction, and EXEC ends it, from a
/// connection of the script's own thread too.
#[test]
fn a_transaction_beside_a_slow_script_is_discarded() {
    for threads in ["1", "2"] {
        let server = Server::with(&["--threads", threads, "--busy-reply-threshold", "10"]);
        let (mut first, mut second) = (server.connect(), server.connect());
        let mut idle = server.connect();
        for conn in [&mut first, &mut second] {
            assert_eq!(conn.run("MULTI").to_string(), "+OK");
            assert_eq!(conn.run("SET key value").to_string(), "+QUEUED");
        }
        let mut running = start(&server, &[b"EVAL", b"while true do end", b"0"]);
        wait_busy(&mut idle);
        let discarded = "EXECABORT Transaction discarded because of: BUSY";
        assert!(first.run("EXEC").is_error(discarded));
        assert!(second.run("INCR key").is_error("BUSY"));
        assert!(second.run("EXEC").is_error(discarded));
        assert_eq!(idle.run("SCRIPT KILL").to_string(), "+OK");
        assert!(running.reply().to_string().contains("killed by user"));
        wait_free(&mut idle);
        for conn in [&mut first, &mut second] {
            assert!(conn.run("EXEC").is_error("ERR EXEC without MULTI"));
            assert_eq!(conn.run("EXISTS key").to_string(), ":0");
            assert_eq!(conn.run("MULTI").to_string(), "+OK");
            assert_eq!(conn.run("SET key value").to_string(), "+QUEUED");
            assert_eq!(conn.run("EXEC").to_string(), "[+OK]");
            conn.run("DEL key");
        }
        // Broken meanwhile, executed afterwards.
        let reply = first.run("MULTI").to_string();
        assert_eq!(reply, "+OK");
        let mut running = start(&server, &[b"EVAL", b"while true do end", b"0"]);
        wait_busy(&mut idle);
        assert!(first.run("SET key value").is_error("BUSY"));
        assert_eq!(idle.run("SCRIPT KILL").to_string(), "+OK");
        running.reply();
        wait_free(&mut idle);
        assert!(first.run("EXEC").is_error("EXECABORT Transaction discarded because of previous"));
    }
}

/// MULTI itself is allowed meanwhile.
#[test]
fn a_transaction_begins_beside_a_slow_script() {
    for threads in ["1", "2"] {
        let server = Server::with(&["--threads", threads, "--busy-reply-threshold", "10"]);
        let mut conns: Vec<Conn> = (0..3).map(|_| server.connect()).collect();
        let mut idle = server.connect();
        conns.iter_mut().for_each(|conn| conn.expect("PING", "+PONG"));
        let mut running = start(&server, &[b"EVAL", b"while true do end", b"0"]);
        wait_busy(&mut idle);
        let [ended, broken, whole] = &mut conns[..] else { unreachable!("three") };
        for conn in [&mut *ended, broken, whole] {
            conn.expect("MULTI", "+OK");
        }
        assert!(ended.run("EXEC").is_error("EXECABORT Transaction discarded because of: BUSY"));
        assert!(broken.run("INCR key").is_error("BUSY"));
        idle.expect("SCRIPT KILL", "+OK");
        assert!(running.reply().to_string().contains("killed by user"));
        wait_free(&mut idle);
        ended.expect("EXEC", "-ERR EXEC without MULTI");
        broken.expect("INCR key", "+QUEUED");
        let because = "EXECABORT Transaction discarded because of previous errors.";
        assert!(broken.run("EXEC").is_error(because));
        whole.expect("INCR key", "+QUEUED");
        whole.expect("EXEC", "[:1]");
        ended.expect("GET key", "\"1\"");
    }
}
