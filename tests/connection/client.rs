//! The CLIENT family. What 7.0 does not know yet (NO-TOUCH, SETINFO, newer filters) is stated
//! literally, as Redis 7.2 answers.

use std::time::Duration;

use larder_tests::{Server, Value, compare, eventually};

#[test]
fn names() {
    compare(
        r#"
        CLIENT GETNAME
        CLIENT SETNAME kim
        CLIENT GETNAME
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT SETNAME "with space"
        CLIENT SETNAME "line\n"
        CLIENT SETNAME "\x01"
        CLIENT SETNAME "caf\xc3\xa9"
        CLIENT SETNAME "~!#"
        CLIENT GETNAME
        CLIENT SETNAME
        CLIENT SETNAME a b
        CLIENT GETNAME x
        CLIENT ID x
        @kind CLIENT ID
        CLIENT INFO x
        CLIENT
        CLIENT BOGUS
        CLIENT BOGUS x
        client getname
        "#,
    );
}

#[test]
fn setinfo_and_no_touch() {
    compare(
        r#"
        CLIENT SETINFO lib-name larder
        = +OK
        CLIENT SETINFO LIB-VER 1.2.3
        = +OK
        CLIENT SETINFO lib-name "with space"
        = -ERR lib-name cannot contain spaces, newlines or special characters.
        CLIENT SETINFO lib-ver "line\n"
        = -ERR lib-ver cannot contain spaces, newlines or special characters.
        CLIENT SETINFO bogus x
        = -ERR Unrecognized option 'bogus'
        CLIENT SETINFO lib-name
        = -ERR wrong number of arguments for 'client|setinfo' command
        CLIENT NO-TOUCH ON
        = +OK
        CLIENT NO-TOUCH off
        = +OK
        CLIENT NO-TOUCH
        = -ERR wrong number of arguments for 'client|no-touch' command
        CLIENT NO-TOUCH maybe
        = -ERR syntax error
        CLIENT NO-EVICT on
        CLIENT NO-EVICT OFF
        CLIENT NO-EVICT
        CLIENT NO-EVICT maybe
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("CLIENT SETINFO LIB-NAME larder\nCLIENT SETINFO lib-ver 1.2\nSET a word");
    let info = conn.run("CLIENT INFO").text();
    assert!(info.contains(" lib-name=larder lib-ver=1.2"), "{info}");
    conn.prepare("CLIENT SETINFO LIB-NAME \"\"");
    assert!(conn.run("CLIENT INFO").text().contains(" lib-name= lib-ver=1.2"));
    std::thread::sleep(Duration::from_millis(2100));
    conn.prepare("CLIENT NO-TOUCH ON\nGET a");
    assert!(conn.run("OBJECT IDLETIME a").int() >= 1, "NO-TOUCH must not touch");
    conn.prepare("TOUCH a");
    assert_eq!(conn.run("OBJECT IDLETIME a").int(), 0, "TOUCH touches all the same");
}

#[test]
fn ids_grow_and_never_return() {
    let server = Server::start();
    let mut last = 0;
    for _ in 0..5 {
        let id = server.connect().run("CLIENT ID").int();
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}

#[test]
fn list_and_info_have_redis_fields_in_order() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("CLIENT SETNAME kim\nSELECT 2");
    let line = conn.run("CLIENT INFO").text();
    let names: Vec<&str> =
        line.trim_end().split(' ').map(|field| field.split('=').next().unwrap_or("")).collect();
    let wanted = [
        "id",
        "addr",
        "laddr",
        "fd",
        "name",
        "age",
        "idle",
        "flags",
        "db",
        "sub",
        "psub",
        "ssub",
        "multi",
        "qbuf",
        "qbuf-free",
        "argv-mem",
        "multi-mem",
        "rbs",
        "rbp",
        "obl",
        "oll",
        "omem",
        "tot-mem",
        "events",
        "cmd",
        "user",
        "redir",
        "resp",
        "lib-name",
        "lib-ver",
    ];
    assert_eq!(names, wanted, "{line}");
    assert!(line.ends_with('\n'));
    let id = conn.run("CLIENT ID").int();
    for part in [
        format!("id={id} "),
        format!(" addr={} ", conn.local_addr()),
        format!(" laddr={} ", server.addr()),
        " name=kim ".into(),
        " flags=N ".into(),
        " db=2 ".into(),
        " sub=0 psub=0 ssub=0 multi=-1 ".into(),
        " cmd=client|info ".into(),
        " user=default redir=-1 resp=2 ".into(),
    ] {
        assert!(line.starts_with(&part) || line.contains(&part), "{part:?} is not in {line}");
    }
    let _others: Vec<_> = (0..3)
        .map(|_| {
            let mut other = server.connect3();
            other.expect("PING", "+PONG");
            other
        })
        .collect();
    let list = conn.run("CLIENT LIST").text();
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(list.lines().filter(|line| line.contains(" cmd=ping ")).count(), 3, "{list}");
    assert_eq!(list.lines().filter(|line| line.contains(" resp=3 ")).count(), 3, "{list}");
    let mut in3 = server.connect3();
    assert_eq!(in3.run("CLIENT INFO").kind(), '=', "RESP3 shows it verbatim");
    assert_eq!(in3.run("CLIENT LIST").kind(), '=');
}

#[test]
fn list_filters() {
    let server = Server::start();
    let (mut one, mut two) = (server.connect(), server.connect());
    let (first, second) = (one.run("CLIENT ID").int(), two.run("CLIENT ID").int());
    let count = |text: Value| text.text().lines().count();
    assert_eq!(count(one.run(&format!("CLIENT LIST ID {first} {second} {first} 999"))), 3);
    assert_eq!(count(one.run("CLIENT LIST TYPE normal")), 2);
    assert_eq!(count(one.run("CLIENT LIST type NORMAL")), 2);
    for kind in ["master", "replica", "slave", "pubsub"] {
        one.expect(&format!("CLIENT LIST TYPE {kind}"), "\"\"");
    }
    compare(
        r#"
        CLIENT LIST TYPE
        CLIENT LIST TYPE bogus
        CLIENT LIST TYPE primary
        CLIENT LIST TYPE normal x
        CLIENT LIST ID
        CLIENT LIST ID x
        CLIENT LIST ID -1
        CLIENT LIST ID 0
        CLIENT LIST ID 999999
        CLIENT LIST ID 1 x
        CLIENT LIST bogus
        CLIENT LIST bogus x
        "#,
    );
}

#[test]
fn kill_by_address_and_by_filter() {
    let server = Server::start();
    let mut admin = server.connect();
    let mut victim = server.connect();
    victim.expect("PING", "+PONG");
    admin.expect(&format!("CLIENT KILL {}", victim.local_addr()), "+OK");
    assert!(victim.wait_closed().is_empty());

    let mut victim = server.connect();
    let id = victim.run("CLIENT ID").int();
    admin.expect(&format!("CLIENT KILL ID {id}"), ":1");
    admin.expect(&format!("CLIENT KILL ID {id}"), ":0");
    assert!(victim.wait_closed().is_empty());

    let mut victim = server.connect();
    victim.expect("PING", "+PONG");
    admin.expect(&format!("CLIENT KILL ADDR {} SKIPME yes", victim.local_addr()), ":1");
    assert!(victim.wait_closed().is_empty());

    let mut victims: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for victim in &mut victims {
        victim.expect("PING", "+PONG");
    }
    admin.expect(&format!("CLIENT KILL LADDR {} SKIPME yes", server.addr()), ":5");
    for victim in &mut victims {
        assert!(victim.wait_closed().is_empty());
    }

    let mut victims: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for victim in &mut victims {
        victim.expect("PING", "+PONG");
    }
    admin.expect("CLIENT KILL USER default TYPE normal", ":3");
    admin.expect("CLIENT KILL TYPE pubsub", ":0");
    admin.expect("PING", "+PONG");
}

#[test]
fn killing_oneself_is_answered_first() {
    let server = Server::start();
    let mut conn = server.connect();
    let id = conn.run("CLIENT ID").int();
    conn.send(format!("CLIENT KILL ID {id} SKIPME no\r\nPING\r\n").as_bytes());
    assert_eq!(conn.wait_closed(), b":1\r\n");
    let mut conn = server.connect();
    conn.send(format!("CLIENT KILL {}\r\nPING\r\n", conn.local_addr()).as_bytes());
    assert_eq!(conn.wait_closed(), b"+OK\r\n");
    let mut conn = server.connect();
    let id = conn.run("CLIENT ID").int();
    conn.expect(&format!("CLIENT KILL ID {id}"), ":0");
    conn.expect("PING", "+PONG");
}

#[test]
fn kill_grammar() {
    compare(
        r#"
        CLIENT KILL
        CLIENT KILL 127.0.0.1:1
        CLIENT KILL bogus
        CLIENT KILL ID
        CLIENT KILL ID 0
        CLIENT KILL ID -1
        CLIENT KILL ID x
        CLIENT KILL ID 9223372036854775808
        CLIENT KILL ID 999999
        CLIENT KILL TYPE bogus
        CLIENT KILL USER nobody
        CLIENT KILL SKIPME maybe
        CLIENT KILL ADDR 127.0.0.1:1 SKIPME
        CLIENT KILL ADDR 127.0.0.1:1 BOGUS x
        CLIENT KILL ID 999999 ADDR 127.0.0.1:1 LADDR 127.0.0.1:1 TYPE normal USER default SKIPME no
        CLIENT KILL a b c
        "#,
    );
}

#[test]
fn pause_holds_writes_or_everything() {
    let server = Server::start();
    let (mut admin, mut other) = (server.connect(), server.connect());
    other.expect("SET a 1", "+OK");
    admin.expect("CLIENT PAUSE 100000 WRITE", "+OK");
    other.expect("GET a", "\"1\"");
    other.send(b"SET a 2\r\n");
    assert!(other.silent_for(Duration::from_millis(200)), "the write has to wait");
    let mut third = server.connect();
    third.expect("GET a", "\"1\"");
    admin.expect("CLIENT UNPAUSE", "+OK");
    assert_eq!(other.reply().to_string(), "+OK");

    // A pause of everything holds CLIENT UNPAUSE too, so it has to end by itself.
    admin.expect("CLIENT PAUSE 700", "+OK");
    other.send(b"GET a\r\n");
    assert!(other.silent_for(Duration::from_millis(200)), "reads wait too");
    assert_eq!(other.reply().to_string(), "\"2\"");

    admin.expect("CLIENT PAUSE 300 ALL", "+OK");
    other.send(b"GET a\r\nSET a 3\r\nGET a\r\n");
    let replies: Vec<String> = (0..3).map(|_| other.reply().to_string()).collect();
    assert_eq!(replies, ["\"2\"", "+OK", "\"3\""], "the pause ends by itself");
}

#[test]
fn a_pause_keeps_keys_from_expiring() {
    let server = Server::start();
    let (mut admin, mut other) = (server.connect(), server.connect());
    admin.expect("SET a 1 PX 300", "+OK");
    admin.expect("CLIENT PAUSE 1500 WRITE", "+OK");
    std::thread::sleep(Duration::from_millis(500));
    // Logically gone, yet still counted: deleting would be a write.
    other.expect("GET a", "nil");
    other.expect("DBSIZE", ":1");
    admin.expect("CLIENT UNPAUSE", "+OK");
    eventually("the key is deleted after the pause", || other.run("DBSIZE").int() == 0);
}

#[test]
fn other_subcommands_and_errors() {
    compare(
        r#"
        CLIENT PAUSE
        CLIENT PAUSE x
        CLIENT PAUSE -1
        CLIENT PAUSE 9223372036854775808
        CLIENT PAUSE 10 BOGUS
        CLIENT PAUSE 10 WRITE x
        CLIENT UNPAUSE
        CLIENT UNPAUSE x
        CLIENT UNBLOCK
        CLIENT UNBLOCK x
        CLIENT UNBLOCK 999999
        CLIENT UNBLOCK 999999 TIMEOUT
        CLIENT UNBLOCK 999999 ERROR
        CLIENT UNBLOCK 999999 BOGUS
        CLIENT GETREDIR
        CLIENT GETREDIR x
        CLIENT NO-EVICT x y
        CLIENT HELP x
        "#,
    );
}
