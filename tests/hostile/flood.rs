//! More than a server wants to hold: queries without end, replies that nobody reads, huge values,
//! many clients being killed under load.

use std::thread;
use std::time::Duration;

use larder_tests::{Server, encode, eventually};

use super::{CALM, assert_serves, shove};

#[test]
fn a_client_that_never_reads_is_bounded() {
    let server = Server::with(&[
        "--client-output-buffer-limit",
        "normal 16mb 0 0",
        "--proto-max-bulk-len",
        "2mb",
    ]);
    let mut witness = server.connect();
    witness.call(&["SET", "big", &"x".repeat(1 << 20)]);
    let before = server.resident();
    let mut conn = server.connect();
    // A gigabyte of replies is asked for and never read.
    let burst = encode(&["GET", "big"]).repeat(1000);
    eventually("the client is dropped", || conn.try_send(&burst).is_err());
    eventually("and its memory with it", || {
        server.resident().saturating_sub(before) < CALM && server.info("connected_clients") == "2"
    });
    assert_serves(&server, &mut witness);
}

#[test]
fn the_default_limits_are_finite() {
    // Redis leaves normal clients unlimited; a cache node must not die of one that stopped reading.
    let server = Server::start();
    let mut conn = server.connect();
    let limits = conn.run("CONFIG GET client-output-buffer-limit").items()[1].text();
    let words: Vec<&str> = limits.split(' ').collect();
    let normal = words.iter().position(|word| *word == "normal").expect("a class of its own");
    let hard: u64 = words[normal + 1].parse().expect("a number");
    assert!(hard > 0, "unlimited output: {limits}");
    let query: u64 = conn.run("CONFIG GET client-query-buffer-limit").items()[1]
        .text()
        .parse()
        .expect("a number");
    assert!(query > 0 && query <= 1 << 30);
}

#[test]
fn a_slow_reader_gets_everything_and_hinders_nobody() {
    let server = Server::start();
    let mut witness = server.connect();
    witness.call(&["SET", "big", &"x".repeat(1 << 20)]);
    let mut slow = server.connect();
    slow.send(&encode(&["GET", "big"]).repeat(20));
    for _ in 0..20 {
        assert_serves(&server, &mut witness);
        thread::sleep(Duration::from_millis(10));
        assert_eq!(slow.reply().text().len(), 1 << 20);
    }
}

#[test]
fn a_query_beyond_the_buffer_is_refused() {
    let server = Server::with(&["--client-query-buffer-limit", "2mb"]);
    let mut witness = server.connect();
    let before = server.resident();
    let mut conn = server.connect();
    let mut bytes = b"*100001\r\n$3\r\nDEL\r\n".to_vec();
    for _ in 0..100_000 {
        bytes.extend_from_slice(b"$100\r\n");
        bytes.extend_from_slice(&[b'k'; 100]);
        bytes.extend_from_slice(b"\r\n");
    }
    shove(&mut conn, &bytes[..bytes.len() - 200]);
    conn.finish_sending();
    conn.wait_closed();
    let grown = server.resident().saturating_sub(before);
    assert!(grown < CALM, "a query of 10 MB against a limit of 2 MB took {grown}");
    assert_serves(&server, &mut witness);
}

#[test]
fn a_greedy_pipeline_does_not_starve_others() {
    let server = Server::with(&["--io-threads", "1"]);
    let mut witness = server.connect();
    let addr = server.addr();
    let greedy: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut conn = larder_tests::Conn::tcp(addr).expect("it accepts");
                let mut reader_bytes = 0;
                for _ in 0..20 {
                    conn.send(&encode(&["PING"]).repeat(50_000));
                    for _ in 0..50_000 {
                        assert_eq!(conn.reply().to_string(), "+PONG");
                        reader_bytes += 1;
                    }
                }
                reader_bytes
            })
        })
        .collect();
    // Served while the pipelines run, not after them: the patience of a connection is the bound.
    let mut served = 0;
    while greedy.iter().any(|thread| !thread.is_finished()) {
        assert_serves(&server, &mut witness);
        served += 1;
    }
    for thread in greedy {
        assert_eq!(thread.join().expect("no panic"), 1_000_000);
    }
    assert!(served > 3, "others were served {served} times");
}

#[test]
fn huge_values_are_refused_before_they_are_made() {
    let server = Server::start();
    let mut witness = server.connect();
    let before = server.resident();
    let mut conn = server.connect();
    for line in [
        "SETRANGE a 536870912 x",
        "SETRANGE a 9223372036854775807 x",
        "SETRANGE a 4294967295 xyz",
        "SETRANGE a -1 x",
    ] {
        assert!(conn.run(line).is_error("ERR "), "{line}");
    }
    let small = Server::with(&["--proto-max-bulk-len", "1mb"]);
    let mut conn = small.connect();
    let half = "x".repeat(600_000);
    conn.call(&["SET", "a", &half]);
    conn.call(&["APPEND", "a", &half]);
    let reply = conn.call(&["APPEND", "a", &half]);
    assert!(reply.is_error("ERR string exceeds maximum allowed size"), "{reply}");
    assert!(server.resident().saturating_sub(before) < CALM);
    assert_serves(&server, &mut witness);
}

#[test]
fn many_connections_come_and_go() {
    let server = Server::start();
    let mut witness = server.connect();
    for _ in 0..20 {
        let conns: Vec<_> = (0..100).map(|_| server.connect()).collect();
        drop(conns);
    }
    // Some leave in the middle of a request, some in the middle of a reply.
    for i in 0..200 {
        let mut conn = server.connect();
        conn.send(&encode(&["SET", "a", &"x".repeat(i * 100)])[..10]);
    }
    witness.call(&["SET", "big", &"x".repeat(1 << 20)]);
    for _ in 0..50 {
        server.connect().send(&encode(&["GET", "big"]).repeat(4));
    }
    eventually("all are gone", || server.info("connected_clients") == "2");
    assert_serves(&server, &mut witness);
}

#[test]
fn killing_clients_under_load() {
    let server = Server::start();
    let mut witness = server.connect();
    let addr = server.addr();
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            thread::spawn(move || {
                let mut killed = 0;
                for round in 0..60 {
                    let Ok(mut conn) = larder_tests::Conn::tcp(addr) else { continue };
                    let mut bytes = encode(&["SET", &format!("k{worker}"), &"v".repeat(1000)]);
                    bytes.extend(encode(&["GET", &format!("k{worker}")]).repeat(200));
                    if round % 7 == 0 {
                        bytes.extend(encode(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"]));
                    }
                    if conn.try_send(&bytes).is_err() {
                        killed += 1;
                        continue;
                    }
                    // Reads what comes until it is killed or all came.
                    for _ in 0..201 {
                        match conn.try_reply() {
                            Ok(reply) if reply.value != larder_tests::Value::Closed => {}
                            _ => {
                                killed += 1;
                                break;
                            }
                        }
                    }
                }
                killed
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no panic in a worker");
    }
    // The witness may be among the killed.
    if witness.try_send(&encode(&["PING"])).is_err()
        || witness.reply() == larder_tests::Value::Closed
    {
        witness = server.connect();
    }
    assert_serves(&server, &mut witness);
    eventually("the killed are gone", || server.info("connected_clients") == "2");
}
