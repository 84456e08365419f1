//! XREAD and XREADGROUP that wait: who is woken, by what, and with which reply.

use larder_tests::{Conn, Server, encode, eventually, words};

const GROUP: &str = "XGROUP CREATE s g $ MKSTREAM";
const READ: &str = "XREADGROUP GROUP g c BLOCK 0 STREAMS s >";

/// Sends a command that will wait, and comes back when it does.
fn waiting(server: &Server, line: &str) -> Conn {
    let (mut conn, mut observer) = (server.connect(), server.connect());
    let client = format!("CLIENT LIST ID {}", conn.run("CLIENT ID").int());
    conn.send(&encode(&words(line)));
    eventually("the client waits", || observer.run(&client).text().contains(" flags=b "));
    conn
}

fn is(conn: &mut Conn, notation: &str) {
    let got = conn.reply().to_string();
    assert!(got.contains(notation), "{got} has no {notation}");
}

#[test]
fn xread_waits_for_what_comes_after() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("XADD s 5-0 f old");
    let mut last = waiting(&server, "XREAD BLOCK 0 STREAMS t s $ $");
    let mut later = waiting(&server, "XREAD BLOCK 0 COUNT 1 STREAMS s 6");
    conn.prepare("XADD s 5-1 f new");
    assert_eq!(last.reply().to_string(), r#"[["s", [["5-1", ["f", "new"]]]]]"#);
    conn.prepare("XADD s 6-0 f not-yet\nXADD s 7-0 f now\nXADD s 8-0 f then");
    assert_eq!(later.reply().to_string(), r#"[["s", [["7-0", ["f", "now"]]]]]"#);
    // A key that comes, goes, or is something else for a while does not end the wait.
    let mut patient = waiting(&server, "XREAD BLOCK 0 STREAMS n $");
    conn.prepare("LPUSH n x\nDEL n\nSET n x\nDEL n\nXGROUP CREATE n g $ MKSTREAM\nXADD n 1-1 f v");
    is(&mut patient, "1-1");
    let mut timed = waiting(&server, "XREAD BLOCK 20 STREAMS s $");
    assert_eq!(timed.reply().to_string(), "nil-array");
}

#[test]
fn groups_share_what_comes() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare(GROUP);
    let mut first = waiting(&server, "XREADGROUP GROUP g a COUNT 1 BLOCK 0 STREAMS s >");
    let mut second = waiting(&server, "XREADGROUP GROUP g b BLOCK 0 STREAMS s >");
    let mut reader = waiting(&server, "XREAD BLOCK 0 STREAMS s $");
    conn.prepare("XADD s 1-0 f v\nXADD s 2-0 f v");
    is(&mut first, "1-0");
    is(&mut second, "2-0");
    is(&mut reader, "1-0");
    conn.expect("XPENDING s g", r#"[:2, "1-0", "2-0", [["a", "1"], ["b", "1"]]]"#);
    // Acknowledged at once.
    let mut third = waiting(&server, "XREADGROUP GROUP g c BLOCK 0 NOACK STREAMS s >");
    conn.prepare("XADD s 3-0 f v");
    is(&mut third, "3-0");
    conn.expect("XPENDING s g", r#"[:2, "1-0", "2-0", [["a", "1"], ["b", "1"]]]"#);
}

/// Each way in which a group may be gone ends the wait with what reading would say then.
#[test]
fn a_group_that_goes_ends_the_wait() {
    let gone = "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    for (line, expected) in [
        ("DEL s", gone),
        ("UNLINK s", gone),
        ("FLUSHALL", gone),
        ("FLUSHDB", gone),
        ("XGROUP DESTROY s g", gone),
        ("RENAME s t", gone),
        ("RENAME other s", gone),
        ("SWAPDB 0 1", gone),
        ("MOVE s 1", gone),
        ("PEXPIREAT s 1", gone),
        ("PEXPIRE s 1", gone),
        ("SET s x", "WRONGTYPE"),
        ("RENAME list s", "WRONGTYPE"),
        ("COPY list s REPLACE", "WRONGTYPE"),
    ] {
        let server = Server::start();
        let mut conn = server.connect();
        conn.prepare(GROUP);
        conn.prepare("XADD other 1-1 f v\nRPUSH list x");
        let mut waiter = waiting(&server, READ);
        conn.run(line);
        let got = waiter.reply().to_string();
        assert!(got.contains(expected), "{line}: {got}");
        conn.expect("PING", "+PONG");
    }
}

#[test]
fn a_group_that_comes_with_another_key_serves() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare(GROUP);
    let mut waiter = waiting(&server, READ);
    conn.prepare("XADD t 1-1 f v\nXGROUP CREATE t g 0\nRENAME t s");
    is(&mut waiter, "1-1");
    let mut again = waiting(&server, READ);
    conn.prepare("SELECT 1\nXADD s 2-2 f v\nXGROUP CREATE s g 0\nSWAPDB 0 1");
    is(&mut again, "2-2");
}

/// Nobody touches the key: time alone takes it.
#[test]
fn a_group_whose_key_expires_ends_the_wait() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare(GROUP);
    conn.prepare("PEXPIRE s 300");
    let mut waiter = waiting(&server, READ);
    is(&mut waiter, "NOGROUP");
}

#[test]
fn a_group_whose_key_is_evicted_ends_the_wait() {
    let server = Server::with(&["--maxmemory-policy", "volatile-ttl"]);
    let mut conn = server.connect();
    conn.prepare(GROUP);
    conn.prepare("EXPIRE s 1000");
    let mut waiter = waiting(&server, READ);
    conn.prepare("CONFIG SET maxmemory 1");
    conn.run("SET a b");
    is(&mut waiter, "NOGROUP");
}

/// An entry that is gone before anybody was served wakes nobody, and who waits is not left behind.
#[test]
fn waits_outlive_streams_that_run_dry() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("XGROUP CREATE s g $ MKSTREAM\nXADD s 666 f v\nXREADGROUP GROUP g a STREAMS s >");
    conn.prepare("XDEL s 666");
    let mut waiter = waiting(&server, READ);
    conn.prepare("XADD s MAXLEN 0 667 f v\nXADD s 668 f v");
    is(&mut waiter, "668-0");
    // History is never waited for.
    conn.expect("XREADGROUP GROUP g nobody BLOCK 0 STREAMS s 0", r#"[["s", []]]"#);
}
