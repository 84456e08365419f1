//! Strangers on the TLS port: plain text, garbage, and handshakes that never end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::eventually;

use super::Secured;

/// What the server sends before it hangs up.
fn answer(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(addr).expect("it accepts");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout is legal");
    // A server that hung up already has answered, too.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it hangs up");
    }
    answer
}

#[test]
fn what_is_no_tls_is_hung_up_on() {
    let node = Secured::start();
    let mut witness = node.connect();
    let mut random = larder_tests::Rng::new(7);
    let garbage: Vec<u8> = (0..100_000).map(|_| random.below(256) as u8).collect();
    let huge_record = [&[22, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    for bytes in [
        &b"PING\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &garbage,
        &huge_record,
        &[22, 3, 1, 0, 4, 1, 0, 0, 0],
    ] {
        let answer = answer(node.tls, bytes);
        // At most an alert, which is a record of seven bytes, and only for what began as a handshake.
        let longest = if bytes[0] == 22 { 7 } else { 0 };
        assert!(answer.len() <= longest, "{answer:?}");
        witness.expect("PING", "+PONG");
    }
    let text = witness.run("INFO clients").text();
    assert!(text.contains("connected_clients:1\r\n"), "{text}");
}

#[test]
fn silent_strangers_keep_nobody_out() {
    let node = Secured::start();
    let mut inside = node.connect();
    let begun = Instant::now();
    // More than there are places for handshakes; some say a few bytes and stop.
    let mut strangers: Vec<TcpStream> = (0..400)
        .map(|number| {
            let mut socket = TcpStream::connect(node.tls).expect("the kernel accepts");
            if number % 2 == 0 {
                let _ = socket.write_all(&[22, 3, 1, 2, 0, 1]);
            }
            socket
        })
        .collect();
    for _ in 0..50 {
        inside.expect("PING", "+PONG");
    }
    node.connect().expect("PING", "+PONG");
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(8), "a newcomer waited for {waited:?}");
    assert_eq!(node.server.info("connected_clients"), "2", "nobody else is a client");
    let first = &mut strangers[0];
    first.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout is legal");
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = first.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(60), "and its place was given away");
}

#[test]
fn a_handshake_byte_by_byte_has_its_time() {
    let node = Secured::start();
    let begun = Instant::now();
    let mut socket = TcpStream::connect(node.tls).expect("it accepts");
    // A record that announces 16,000 bytes, and a hello of as many.
    let _ = socket.write_all(&[22, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c]);
    eventually("it is cut off in mid-handshake", || {
        thread::sleep(Duration::from_millis(100));
        socket.write_all(&[0]).is_err()
    });
    let lasted = begun.elapsed();
    assert!(lasted > Duration::from_secs(5) && lasted < Duration::from_secs(60), "{lasted:?}");
    node.connect().expect("PING", "+PONG");
}

#[test]
fn newcomers_beyond_maxclients_are_cut_off() {
    let node = Secured::with(&["--tls-auth-clients", "no", "--maxclients", "3"]);
    let mut first = node.connect();
    first.expect("PING", "+PONG");
    let mut second = node.connect();
    second.expect("PING", "+PONG");
    let mut third = node.connect();
    third.expect("PING", "+PONG");
    assert!(answer(node.tls, &[]).is_empty());
    assert!(first.run("INFO stats").text().contains("rejected_connections:1\r\n"));
    drop(third);
    eventually("there is room again", || {
        node.client().connect(node.tls).is_ok_and(|mut conn| {
            conn.try_send(b"PING\r\n").is_ok()
                && conn.try_reply().is_ok_and(|reply| !reply.raw.is_empty())
        })
    });
}
