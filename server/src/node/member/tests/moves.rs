//! The primary is moved and no write fails.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Moves the primary as a driver does; `first` and `second` change places in `epoch`.
fn hand_over(epoch: u64, first: &Peer, second: &Peer, third: &Peer) {
    let end = first.face.hold_writes(true);
    eventually("the target has everything", || {
        let followers = first.face.followers();
        let target = followers.iter().find(|follower| follower.id.0 == second.name);
        target.is_some_and(|target| target.acked_offset >= end)
    });
    first.lease.set_end(0);
    // Both are right: a member that promised is frozen, one that proposes its successor need not be.
    match epoch {
        2 => assert_eq!(first.face.position().offset, end, "nothing was let in since"),
        _ => assert_eq!(first.face.freeze().offset, end, "nothing was let in since"),
    }
    assert_eq!(second.freeze(), end);
    third.freeze();
    second.face.lead(epoch, &sets(&[&["a", "b", "c"]]));
    second.lease.set_end(u64::MAX);
    first.face.hand_over(epoch, &second.as_member());
    first.face.follow(epoch, &second.as_member());
    first.face.hold_writes(false);
    third.face.follow(epoch, &second.as_member());
}

/// Ends the writers also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn under_load_no_write_fails_and_nothing_is_lost() {
    for write_acks in [WriteAcks::Primary, WriteAcks::Quorum] {
        let [a, b, c] = three(write_acks);
        let stops = AtomicBool::new(false);
        let worst = AtomicU64::new(0);
        let written: Vec<u64> = std::thread::scope(|scope| {
            let _stop = Stop(&stops);
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (address, stops, worst) = (a.address, &stops, &worst);
                    scope.spawn(move || {
                        let mut conn = Conn::to(address);
                        let mut count = 0;
                        while !stops.load(Ordering::Relaxed) {
                            let began = Instant::now();
                            let said = match writer {
                                // A transaction in one piece.
                                3 => {
                                    conn.send("MULTI\r\nINCR count:3\r\nEXEC");
                                    let said = [(); 4].map(|()| conn.line().unwrap_or_default());
                                    assert_eq!(said[..3], ["+OK", "+QUEUED", "*1"], "{said:?}");
                                    said[3].clone()
                                }
                                _ => conn.run(&format!("INCR count:{writer}")),
                            };
                            worst.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                            count += 1;
                            assert_eq!(said, format!(":{count}"), "writer {writer}");
                        }
                        count
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(100));
            hand_over(2, &a, &b, &c);
            std::thread::sleep(Duration::from_millis(100));
            // And on to another one: those that came by the first go on to it.
            b.is_followed_by(&[&c]);
            hand_over(3, &b, &c, &a);
            std::thread::sleep(Duration::from_millis(100));
            stops.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().expect("no write fails")).collect()
        });
        c.is_followed_by(&[&a, &b]);
        for (writer, count) in written.iter().enumerate() {
            assert!(*count > 10, "writer {writer} wrote {count}");
            for peer in [&a, &b, &c] {
                let found = peer.local().get(format!("count:{writer}").as_bytes());
                assert_eq!(
                    found,
                    Some(count.to_string().into_bytes()),
                    "{} on {}",
                    writer,
                    peer.name
                );
            }
        }
        assert_eq!((b.syncs().0, c.syncs().0), (0, 0), "nobody took everything anew");
        let worst = worst.load(Ordering::Relaxed);
        assert!(worst < 3000, "a writer waited {worst} ms");
    }
}

#[test]
fn what_a_client_said_of_itself_goes_along() {
    let [a, b, c] = three(WriteAcks::Primary);
    for peer in [&a, &b] {
        let said = peer.connect().run("ACL SETUSER alice on >secret ~* &* +@all");
        assert_eq!(said, "+OK");
    }
    let mut conn = a.connect();
    for command in ["AUTH alice secret", "SELECT 5", "CLIENT SETNAME worker", "SET key value"] {
        assert_eq!(conn.run(command), "+OK", "{command}");
    }
    let mut half = a.connect();
    assert_eq!(half.run("SET half 0"), "+OK");
    half.stream.write_all(b"SET ha").expect("it is open");
    let (mut watching, mut subscriber) = (a.connect(), a.connect());
    assert_eq!(watching.run("WATCH key"), "+OK");
    let mut multi = a.connect();
    for (command, reply) in [("MULTI", "+OK"), ("INCR count", "+QUEUED"), ("INCR count", "+QUEUED")]
    {
        assert_eq!(multi.run(command), reply);
    }
    subscriber.send("SUBSCRIBE channel");
    assert_eq!(subscriber.line().as_deref(), Some("*3"));
    while !subscriber.is_silent() {}
    subscriber.read.clear();
    let origin = conn.stream.local_addr().expect("an address").to_string();
    hand_over(2, &a, &b, &c);
    half.stream.write_all(b"lf 1\r\n").expect("it is open");
    assert_eq!(half.line().as_deref(), Some("+OK"));
    assert_eq!(conn.run("GET key"), "value");
    assert_eq!(conn.run("SET key other"), "+OK");
    let info = conn.run("CLIENT INFO");
    for part in [format!("addr={origin}"), "db=5".to_owned(), "name=worker".to_owned()] {
        assert!(info.contains(&part), "{part} in {info}");
    }
    assert!(info.contains("user=alice"), "{info}");
    assert_eq!(b.local().call(&[b"SELECT", b"5"]), crate::Reply::Ok);
    assert_eq!(multi.run("EXEC"), "*2", "its transaction goes along");
    assert_eq!([multi.line().as_deref(), multi.line().as_deref()], [Some(":1"), Some(":2")]);
    assert_eq!(watching.line(), None, "what it watches cannot be moved");
    assert_eq!(subscriber.line(), None);
}

#[test]
fn a_pipe_in_this_process_is_moved_like_any_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let [a, b, c] = three(WriteAcks::Primary);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut pipe = a.node.connect();
    let incr = |pipe: &mut tokio::io::DuplexStream| {
        runtime.block_on(async {
            pipe.write_all(b"INCR count\r\n").await.expect("it is open");
            let mut reply = [0; 4];
            pipe.read_exact(&mut reply).await.expect("it answers");
            String::from_utf8_lossy(&reply).into_owned()
        })
    };
    assert_eq!(incr(&mut pipe), ":1\r\n");
    hand_over(2, &a, &b, &c);
    assert_eq!(incr(&mut pipe), ":2\r\n");
    eventually("it is there", || b.local().get(b"count").as_deref() == Some(&b"2"[..]));
}

#[test]
fn a_handover_that_fails_is_taken_back() {
    let [a, b, c] = three(WriteAcks::Quorum);
    let mut conn = a.connect();
    assert_eq!(conn.run("SET key 1"), "+OK");
    let end = a.face.hold_writes(true);
    conn.send("SET key 2");
    assert!(conn.is_silent(), "it waits and is not refused");
    assert_eq!(a.connect().run("GET key"), "1", "reads go on");
    a.lease.set_end(0);
    assert_eq!(a.face.freeze().offset, end);
    assert!(conn.is_silent());
    a.lead(3, &["a", "b", "c"]);
    b.follow(3, &a);
    c.follow(3, &a);
    assert_eq!(conn.line().as_deref(), Some("+OK"));
    // One that is called off before anything happened.
    a.face.hold_writes(true);
    conn.send("SET key 3");
    assert!(conn.is_silent());
    a.face.hold_writes(false);
    assert_eq!(conn.line().as_deref(), Some("+OK"));
    // One that ends with another primary, but not by a handover: what waits is refused.
    a.face.hold_writes(true);
    conn.send("SET key 4");
    assert!(conn.is_silent());
    a.freeze();
    b.freeze();
    b.lead(4, &["b"]);
    a.follow(4, &b);
    let said = conn.line();
    assert!(said.is_none_or(|line| line.starts_with("-READONLY")));
}

#[test]
fn a_ticket_of_somebody_else_opens_nothing() {
    let a = Peer::start("a");
    a.lead(1, &["a"]);
    let mut conn = a.connect();
    assert_eq!(conn.run("ACL SETUSER default resetpass >secret"), "+OK");
    let mut stranger = a.connect();
    assert!(stranger.run("REPLCONF larder-relay ?").starts_with("-NOAUTH"));
    assert_eq!(conn.run("REPLCONF larder-ticket forged"), "-NOPERM the ticket is not good here");
    let challenge = conn.run("REPLCONF larder-relay ?");
    assert_eq!(challenge.len(), 33, "{challenge}");
    assert_eq!(conn.run("REPLCONF larder-ticket forged"), "-NOPERM the ticket is not good here");
    let plain = Node::builder().threads(1).start().expect("a node");
    let said = plain.local().call(&[b"REPLCONF", b"larder-relay", b"?"]);
    let error = said.as_error().expect("it knows no such thing").to_string();
    assert_eq!(error, "ERR Unrecognized REPLCONF option: larder-relay");
}
