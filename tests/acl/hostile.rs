//! Rules, names and clients that mean harm.

use std::time::{Duration, Instant};

use larder_tests::{Server, encode};

fn send(conn: &mut larder_tests::Conn, args: &[&[u8]]) -> String {
    let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
    conn.send(&encode(&args));
    conn.reply().to_string()
}

/// CVE-2024-51741 and its kin: selectors and patterns that are cut off.
#[test]
fn malformed_selectors_are_refused_and_harm_nobody() {
    let server = Server::start();
    let mut conn = server.connect();
    for rule in [
        "%", "%R", "%W", "%RW", "%~", "%~x", "%RWR~", "(%", "(%)", "(%R)", "((", "))", "()(",
        "(()", "(", ")", "~", "&", "+", "-", "+@", "-@", "+|", "+||", "-|", "(+get", "(\"", "('",
    ] {
        let rules: [&[&[u8]]; 3] = [
            &[b"ACL", b"SETUSER", b"a", rule.as_bytes()],
            &[b"ACL", b"SETUSER", b"a", b"(", rule.as_bytes()],
            &[b"ACL", b"SETUSER", b"a", b"(", rule.as_bytes(), b")"],
        ];
        for args in rules {
            let reply = send(&mut conn, args);
            assert!(reply == "+OK" || reply.starts_with("-ERR "), "{rule}: {reply}");
            assert_eq!(conn.run("ACL LIST").kind(), '*');
            assert_ne!(conn.run("ACL GETUSER a").kind(), '-');
        }
    }
    conn.expect("PING", "+PONG");
}

#[test]
fn names_with_line_ends_break_no_reply() {
    let server = Server::start();
    let mut conn = server.connect();
    for args in [
        &[&b"ACL"[..], b"SETUSER", b"a\r\nb"][..],
        &[b"ACL", b"SETUSER", b"a", b"x\r\n+OK\r\n"],
        &[b"ACL", b"SETUSER", b"a", b"+x\r\n+OK\r\n"],
        &[b"ACL", b"SETUSER", b"a", b"(x\r\n"],
        &[b"ACL", b"CAT", b"x\r\n+OK\r\n"],
        &[b"ACL", b"DRYRUN", b"x\r\n", b"get"],
        &[b"ACL", b"DRYRUN", b"default", b"x\r\n"],
        &[b"ACL", b"x\r\ny"],
        &[b"AUTH", b"a\r\n", b"b"],
        &[b"CLIENT", b"KILL", b"USER", b"a\r\nb"],
    ] {
        let reply = send(&mut conn, args);
        assert!(reply.starts_with('-') && !reply.contains("\\r"), "{reply}");
        conn.expect("PING", "+PONG");
    }
    // A name may hold other odd bytes, and stays one line everywhere.
    assert_eq!(send(&mut conn, &[b"ACL", b"SETUSER", b"\xff\x01", b"on", b"nopass"]), "+OK");
    let mut odd = server.connect();
    assert_eq!(send(&mut odd, &[b"AUTH", b"\xff\x01", b""]), "+OK");
    assert!(odd.run("GET x").to_string().starts_with("-NOPERM User "));
    assert_eq!(conn.run("ACL LOG").items().len(), 2);
    assert_eq!(conn.run("CLIENT LIST").text().lines().count(), 2);
}

/// CVE-2024-31228: patterns that take a matcher for ever.
#[test]
fn costly_patterns_do_not_hold_a_key_up() {
    let server = Server::start();
    let mut conn = server.connect();
    let costly = format!("~{}b", "a*".repeat(2000));
    let deep = format!("~{}", "*".repeat(100_000));
    let rules: Vec<&[u8]> = vec![
        b"ACL",
        b"SETUSER",
        b"a",
        b"on",
        b"nopass",
        b"+get",
        costly.as_bytes(),
        deep.as_bytes(),
    ];
    assert_eq!(send(&mut conn, &rules), "+OK");
    conn.expect("ACL SETUSER a resetkeys", "+OK");
    assert_eq!(send(&mut conn, &[b"ACL", b"SETUSER", b"a", costly.as_bytes()]), "+OK");
    conn.expect("AUTH a x", "+OK");
    let key = vec![b'a'; 100_000];
    let start = Instant::now();
    assert_eq!(send(&mut conn, &[b"GET", &key]), "-NOPERM No permissions to access a key");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_huge_log_entry_is_cut() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.expect("ACL SETUSER a on nopass +get +acl", "+OK");
    conn.expect("AUTH a x", "+OK");
    let key = vec![b'k'; 8 << 20];
    assert_eq!(send(&mut conn, &[b"GET", &key]), "-NOPERM No permissions to access a key");
    let reply = conn.run("ACL LOG");
    assert!(reply.to_string().len() < 200_000);
}

#[test]
fn users_change_while_others_run_as_them() {
    let server = Server::with(&["--threads", "2"]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (server, stop) = (&server, &stop);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut conn = server.connect();
                    for line in ["AUTH a x", "SET k 1", "GET k", "ACL WHOAMI"] {
                        let args: Vec<Vec<u8>> =
                            line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
                        if conn.try_send(&encode(&args)).is_err() || conn.try_reply().is_err() {
                            break;
                        }
                    }
                }
            });
        }
        let mut admin = server.connect();
        for round in 0..300 {
            let rules = ["+@all ~*", "-@all resetkeys", "+get %R~k", "off", "on"][round % 5];
            admin.expect(&format!("ACL SETUSER a nopass on {rules}"), "+OK");
            if round % 7 == 0 {
                admin.expect("ACL DELUSER a", ":1");
                let listed = admin.run("CLIENT LIST").text();
                assert!(!listed.contains(" user=a "), "{listed}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    server.connect().expect("PING", "+PONG");
}
