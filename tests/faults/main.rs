//! What goes wrong around a node: it is stopped, killed, frozen, refuses clients, or loses them.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use larder_tests::{Conn, Redis, Server, Value, compare, encode, eventually};

#[test]
fn signals_stop_it_gracefully() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::with(&["--unixsocket", "{dir}/socket"]);
        let mut conn = server.connect();
        conn.prepare("SET a 1");
        server.signal(signal);
        let status = server.wait_exit();
        assert_eq!(status.code(), Some(0), "SIG{signal}: {status}; log:\n{}", server.log());
        assert!(conn.wait_closed().is_empty(), "clients see an end, not a stray reply");
        assert!(!server.dir().join("socket").exists(), "SIG{signal} leaves the socket file behind");
    }
}

#[test]
fn a_signal_lets_running_requests_finish() {
    let mut server = Server::start();
    let mut conn = server.connect();
    let mut bytes = encode(&["SET", "a", "1"]);
    bytes.extend(encode(&["DEBUG", "SLEEP", "0.5"]));
    bytes.extend(encode(&["GET", "a"]));
    conn.send(&bytes);
    assert_eq!(conn.reply().to_string(), "+OK");
    thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    // The sleep was being executed, so it is answered; what stood behind it may be or not.
    assert_eq!(conn.reply().to_string(), "+OK");
    let last = conn.reply();
    assert!(last == Value::Closed || last.to_string() == "\"1\"", "{last}");
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn idle_clients_do_not_delay_the_stop() {
    let mut server = Server::start();
    let conns: Vec<Conn> = (0..200).map(|_| server.connect()).collect();
    // One is in the middle of a request, one never reads its replies.
    let mut half = server.connect();
    half.send(b"*2\r\n$3\r\nGET\r\n");
    let mut deaf = server.connect();
    deaf.call(&["SET", "big", &"x".repeat(1 << 20)]);
    deaf.send(&encode(&["GET", "big"]).repeat(50));
    thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    assert_eq!(server.wait_exit().code(), Some(0));
    drop(conns);
}

#[test]
fn shutdown_ends_it_without_a_reply() {
    for line in ["SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown nosave now", "SHUTDOWN NOW FORCE NOSAVE"]
    {
        let mut server = Server::start();
        let mut conn = server.connect();
        conn.expect(line, "closed");
        assert_eq!(server.wait_exit().code(), Some(0), "{line}");
    }
}

#[test]
fn shutdown_grammar() {
    compare(
        r#"
        SHUTDOWN BOGUS
        SHUTDOWN SAVE NOSAVE
        SHUTDOWN ABORT
        SHUTDOWN ABORT NOW
        SHUTDOWN NOSAVE NOW FORCE SAVE extra
        PING
        "#,
    );
}

#[test]
fn killed_and_started_again_it_is_empty_and_well() {
    let mut server = Server::start();
    let mut conn = server.connect();
    conn.prepare("SET a 1");
    server.signal("KILL");
    assert!(!server.wait_exit().success());
    assert!(conn.wait_closed().is_empty());
    let error = Conn::tcp(server.addr()).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // On the same port: what the old process left in TIME_WAIT is no reason not to start.
    let port = server.addr().port().to_string();
    let again = std::process::Command::new(larder_tests::program())
        .args(["--bind", "127.0.0.1", "--port", &port, "--save", ""])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut again = again.expect("it starts");
    eventually("the port answers again", || {
        Conn::tcp(server.addr()).is_ok_and(|mut conn| conn.run("GET a") == Value::Nil)
    });
    again.kill().expect("the child is ours");
    again.wait().expect("the child is ours");
}

#[test]
fn frozen_and_thawed_it_goes_on() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("SET a 1\nSET soon 1 PX 300");
    server.signal("STOP");
    // The signal reaches one thread after the other.
    eventually("every thread has stopped", || stopped(&server));
    conn.send(b"GET soon\r\nGET a\r\n");
    assert!(conn.silent_for(Duration::from_millis(600)));
    server.signal("CONT");
    assert_eq!(conn.reply().to_string(), "nil", "its deadline passed while frozen");
    assert_eq!(conn.reply().to_string(), "\"1\"");
}

/// Whether the kernel holds every thread of the server.
fn stopped(server: &Server) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it exists");
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    })
}

#[test]
fn clients_beyond_the_maximum_are_told_so() {
    for server in [Server::with(&["--maxclients", "10"]), Redis::with(&["--maxclients", "10"])] {
        eventually("the starter's connection is gone", || server.info("connected_clients") == "1");
        let mut admin = server.connect();
        admin.expect("PING", "+PONG");
        let mut inside: Vec<Conn> = (0..9).map(|_| server.connect()).collect();
        for conn in &mut inside {
            conn.expect("PING", "+PONG");
        }
        for _ in 0..20 {
            let answer = server.connect().wait_closed();
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(text, "-ERR max number of clients reached\r\n");
        }
        admin.expect("PING", "+PONG");
        let info = admin.run("INFO stats").text();
        assert!(info.contains("\r\nrejected_connections:20\r\n"), "{info}");
        drop(inside.pop());
        eventually("the free place is given away", || {
            Conn::tcp(server.addr()).is_ok_and(|mut conn| {
                // A refused connection may be reset before the request is read.
                conn.try_send(b"PING\r\n").is_ok()
                    && conn.try_reply().is_ok_and(|reply| reply.value.to_string() == "+PONG")
            })
        });
    }
}

#[test]
fn clients_that_vanish_leave_nothing() {
    let server = Server::start();
    let mut witness = server.connect();
    for round in 0..50 {
        let mut conn = server.connect();
        conn.send(&encode(&["SET", &format!("k{round}"), &"x".repeat(10_000)]));
        conn.send(b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$100\r\nhalf");
    }
    eventually("they are forgotten", || server.info("connected_clients") == "2");
    witness.expect("EXISTS z", ":0");
    witness.expect("DBSIZE", ":50");
}

#[test]
fn many_nodes_on_one_machine_do_not_disturb_each_other() {
    let servers: Vec<Server> = (0..4).map(|_| Server::start()).collect();
    for (index, server) in servers.iter().enumerate() {
        server.connect().prepare(&format!("SET who {index}"));
    }
    for (index, server) in servers.iter().enumerate() {
        server.connect().expect("GET who", &format!("\"{index}\""));
        server.connect().expect("DBSIZE", ":1");
    }
}

#[test]
fn writers_and_readers_from_many_threads_agree() {
    let server = Server::start();
    let addr = server.addr();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let mut conn = Conn::tcp(addr).expect("it accepts");
                for _ in 0..500 {
                    conn.send(&encode(&["INCR", "counter"]).repeat(10));
                    let mut last = 0;
                    for _ in 0..10 {
                        let now = conn.reply().int();
                        assert!(now > last, "a counter went back");
                        last = now;
                    }
                    conn.send(&encode(&["MSET", "left", "1", "right", "1"]));
                    conn.send(&encode(&["MSET", "left", "2", "right", "2"]));
                    conn.send(&encode(&["MGET", "left", "right"]));
                    conn.reply();
                    conn.reply();
                    let both = conn.reply().items();
                    assert_eq!(both[0], both[1], "MSET was seen half done");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no assertion failed");
    }
    server.connect().expect("GET counter", "\"40000\"");
}
