//! Replies to writes leave under the lease only, and when those who count have the write.

use super::*;

/// A primary that is alone in a set of two, so that replies to writes wait.
fn lonely() -> Peer {
    let wants = |builder: crate::Builder| {
        builder.write_acks(WriteAcks::Quorum).write_acks_timeout_ms(60_000)
    };
    let peer = Peer::with("a", wants);
    peer.lead(1, &["a", "b"]);
    peer
}

fn is_anybody_parked(peer: &Peer) -> bool {
    peer.node.shared().clients.all().iter().any(|client| client.parked.lock().is_some())
}

#[test]
fn without_the_lease_no_write_is_acknowledged() {
    let writes: [&[&str]; 7] = [
        &["SET key value"],
        &["INCR key"],
        &["MULTI", "INCR key", "EXEC"],
        &["EVAL \"return redis.call('INCR', KEYS[1])\" 1 key"],
        &["EVAL \"return redis.call('INCR', 'other')\" 0"],
        &["GET key", "SET key value", "GET key"],
        &["SETNX key value", "SETNX key value"],
    ];
    for commands in writes {
        let peer = lonely();
        let mut conn = peer.connect();
        commands.iter().for_each(|command| conn.send(command));
        eventually("it is written", || peer.offset() > 0);
        // What comes before the write leaves; the rest waits for the other one.
        while !conn.is_silent() {}
        peer.lease.set_end(0);
        peer.face.freeze();
        let mut said = Vec::new();
        while let Some(line) = conn.line() {
            said.push(line);
        }
        let expected: &[&str] = match commands[0] {
            "MULTI" => &["+OK", "+QUEUED"],
            "GET key" => &["$-1"],
            _ => &[],
        };
        assert_eq!(said, expected, "{commands:?}");
    }
}

#[test]
fn a_lease_that_runs_out_by_itself_fences_too() {
    let peer = Peer::start("a");
    peer.lead(1, &["a"]);
    let (mut writer, mut reader, mut waiting) = (peer.connect(), peer.connect(), peer.connect());
    assert_eq!(writer.run("SET key value"), "+OK");
    assert_eq!(reader.run("GET key"), "value");
    waiting.send("BLPOP nothing 0");
    eventually("it waits", || is_anybody_parked(&peer));
    let mut buffer = [0; 4096];
    peer.lease.set_end(0);
    assert!(reader.run("SET key other").starts_with("-READONLY"));
    assert_eq!(reader.run("GET key"), "value", "it reads on");
    assert_eq!(writer.line(), None, "who wrote is closed");
    let said = waiting.line();
    assert!(said.is_none_or(|line| line.starts_with("-UNBLOCKED")), "who waited is dropped");
    assert!(waiting.stream.read(&mut buffer).is_ok_and(|read| read == 0));
    assert!(!peer.local().set(b"key", b"other"));
    assert_eq!(reader.run("CONFIG SET replica-serve-stale-data no"), "+OK");
    assert!(reader.run("GET key").starts_with("-MASTERDOWN"));
    peer.lease.set_end(u64::MAX);
    assert_eq!(reader.run("SET key again"), "+OK", "the lease came back");
}

#[test]
fn a_pop_that_anothers_push_serves_is_a_write() {
    let peer = lonely();
    let (mut popper, mut pusher) = (peer.connect(), peer.connect());
    popper.send("BLPOP list 0");
    eventually("it waits", || is_anybody_parked(&peer));
    pusher.send("RPUSH list element");
    eventually("it is written", || peer.offset() > 0);
    assert!(popper.is_silent() && pusher.is_silent(), "nobody else has it");
    peer.freeze();
    assert_eq!((popper.line(), pusher.line()), (None, None));
}

#[test]
fn in_this_process_nothing_is_acknowledged_either() {
    let wants =
        |builder: crate::Builder| builder.write_acks(WriteAcks::Quorum).write_acks_timeout_ms(30);
    let peer = Peer::with("a", wants);
    peer.lead(1, &["a", "b"]);
    let mut local = peer.local();
    let said = local.call(&[b"SET", b"key", b"value"]);
    let error = said.as_error().expect("nobody else has it").to_string();
    assert!(error.starts_with("NOREPLICAS"), "{error}");
    peer.face.set_in_sync(&sets(&[&["a"]]));
    assert!(local.set(b"key", b"value"), "alone it confirms by itself");
    peer.lease.set_end(0);
    assert!(!local.set(b"key", b"value"));
    assert_eq!(local.get(b"key").as_deref(), Some(&b"value"[..]));
}

#[test]
fn who_waits_for_replicas_waits_no_more() {
    let peer = Peer::start("a");
    peer.lead(1, &["a"]);
    let mut conn = peer.connect();
    assert_eq!(conn.run("SET key value"), "+OK");
    conn.send("WAIT 1 0");
    eventually("it waits", || is_anybody_parked(&peer));
    peer.freeze();
    while let Some(line) = conn.line() {
        assert!(line.starts_with("-UNBLOCKED"), "{line}");
    }
}

#[test]
fn named_members_count_and_of_each_set_most() {
    let [a, b, c] = three(WriteAcks::Quorum);
    let mut conn = a.connect();
    assert_eq!(conn.run("SET key 1"), "+OK");
    // A stranger that follows counts for nothing.
    a.face.set_in_sync(&sets(&[&["a", "x"]]));
    conn.send("SET key 2");
    assert!(conn.is_silent());
    a.face.set_in_sync(&sets(&[&["a", "b", "c"], &["a", "x"]]));
    assert!(conn.is_silent(), "both sets have to have it");
    a.face.set_in_sync(&sets(&[&["a", "b", "c"], &["a", "b"]]));
    assert_eq!(conn.line().as_deref(), Some("+OK"));
    // Two of three is enough; without another one it is not.
    a.face.set_in_sync(&sets(&[&["a", "b", "c"]]));
    c.freeze();
    assert_eq!(conn.run("SET key 3"), "+OK");
    b.freeze();
    conn.send("SET key 4");
    assert!(conn.is_silent());
    b.follow(1, &a);
    assert_eq!(conn.line().as_deref(), Some("+OK"));
    let mut settings = a.connect();
    assert_eq!(settings.run("CONFIG SET write-acks all"), "+OK");
    conn.send("SET key 5");
    assert!(conn.is_silent(), "all of three are not there");
    c.follow(1, &a);
    assert_eq!(conn.line().as_deref(), Some("+OK"));
}
