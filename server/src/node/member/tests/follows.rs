//! Who may follow whom, and what becomes of what one alone has.

use super::*;

/// Freezes all and lets the first lead, and the others follow it.
fn elect(epoch: u64, primary: &Peer, others: &[&Peer]) {
    primary.freeze();
    others.iter().for_each(|other| {
        other.freeze();
    });
    primary.lead(epoch, &["a", "b", "c"]);
    others.iter().for_each(|other| other.follow(epoch, primary));
    primary.is_followed_by(others);
}

#[test]
fn after_an_election_survivors_go_on_where_they_were() {
    let [a, b, c] = three(WriteAcks::Primary);
    let mut local = a.local();
    for number in 0..100 {
        assert!(local.set(format!("key:{number}").as_bytes(), b"value"));
    }
    a.is_followed_by(&[&b, &c]);
    assert_eq!(a.syncs().0, 2, "each took everything once");
    elect(2, &b, &[&a, &c]);
    assert_eq!(b.syncs(), (0, 2));
    assert!(b.local().set(b"key:0", b"of b"));
    b.is_followed_by(&[&a, &c]);
    elect(3, &c, &[&a, &b]);
    assert_eq!(c.syncs(), (0, 2));
    for peer in [&a, &b, &c] {
        assert_eq!(peer.local().get(b"key:0").as_deref(), Some(&b"of b"[..]));
        assert!(peer.events.lock().is_empty(), "{:?}", peer.events.lock());
        assert_eq!(peer.face.position().epoch, 3);
    }
}

#[test]
fn who_slept_through_two_elections_goes_on_as_well() {
    let [a, b, c] = three(WriteAcks::Primary);
    assert!(a.local().set(b"key", b"1"));
    a.is_followed_by(&[&b, &c]);
    c.freeze();
    elect(2, &b, &[&a]);
    assert!(b.local().set(b"key", b"2"));
    b.is_followed_by(&[&a]);
    elect(3, &a, &[&b]);
    let before = a.syncs();
    c.follow(3, &a);
    a.is_followed_by(&[&b, &c]);
    assert_eq!(a.syncs(), (before.0, before.1 + 1));
    assert_eq!(c.local().get(b"key").as_deref(), Some(&b"2"[..]));
}

#[test]
fn what_one_alone_had_is_kept_in_a_file() {
    let [a, b, c] = three(WriteAcks::Primary);
    assert!(a.local().set(b"common", b"1"));
    a.is_followed_by(&[&b, &c]);
    for epoch in [2, 4] {
        // Cut off from the others, it writes on.
        let fork = a.offset();
        b.freeze();
        c.freeze();
        let mut conn = a.connect();
        assert_eq!(conn.run("SELECT 3"), "+OK");
        assert_eq!(conn.run("SET alone 1"), "+OK");
        assert_eq!(conn.run("SET alone 2"), "+OK");
        let end = a.offset();
        b.lead(epoch, &["b", "c"]);
        assert!(b.local().set(b"common", b"2"));
        a.freeze();
        a.follow(epoch, &b);
        c.follow(epoch, &b);
        b.is_followed_by(&[&a, &c]);
        assert_eq!(a.local().get(b"common").as_deref(), Some(&b"2"[..]));
        let events = std::mem::take(&mut *a.events.lock());
        let [MemberEvent::LostWrites { path, from, to, is_whole: true }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!((*from, *to), (fork, end));
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(name, format!("lost-writes-a-{}.aof", epoch - 1));
        let text = std::fs::read(path).expect("the file is there");
        assert_eq!(replayed(&text), ["SELECT 0", "SELECT 3", "SET alone 1", "SET alone 2"]);
        assert_eq!(c.events.lock().len(), 0, "it had nothing of its own");
        elect(epoch + 1, &a, &[&b, &c]);
    }
}

#[test]
fn a_file_takes_no_older_ones_place() {
    let [a, b, c] = three(WriteAcks::Primary);
    let file = a._dir.path().join("lost-writes-a-1.aof");
    std::fs::write(&file, b"an older one").expect("a file");
    drop(c);
    b.freeze();
    assert!(a.local().set(b"alone", b"1"));
    b.lead(2, &["b"]);
    a.freeze();
    a.follow(2, &b);
    b.is_followed_by(&[&a]);
    assert_eq!(std::fs::read(&file).expect("it is there"), b"an older one");
    let events = a.events.lock();
    let [MemberEvent::LostWrites { path, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(path.ends_with("lost-writes-a-1-2.aof"), "{path:?}");
}

#[test]
fn data_stays_while_the_file_cannot_be_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("no-folder");
    std::fs::write(&file, b"").expect("a file");
    let events = Arc::<Mutex<Vec<MemberEvent>>>::default();
    let (seen, place) = (Arc::clone(&events), file.clone());
    let lease = Arc::new(Lease::default());
    let held = Arc::clone(&lease);
    let a = Peer::with("a", move |builder| {
        let seen = Arc::clone(&seen);
        let options = MemberOptions::new(&group(), id("a"), Arc::clone(&held), b"s");
        let options =
            options.lost_writes_dir(&place).on_event(move |event| seen.lock().push(event));
        builder.member(options)
    });
    let b = Peer::start("b");
    a.face.lead(1, &sets(&[&["a"]]));
    lease.set_end(u64::MAX);
    assert!(a.local().set(b"alone", b"1"));
    lease.set_end(0);
    b.lead(2, &["b"]);
    assert!(b.local().set(b"common", b"2"));
    a.freeze();
    a.follow(2, &b);
    eventually("it is told", || !events.lock().is_empty());
    assert!(matches!(events.lock()[..], [MemberEvent::LostWritesUnsaved { .. }]));
    assert_eq!(a.local().get(b"alone").as_deref(), Some(&b"1"[..]), "nothing is lost");
    std::fs::remove_file(&file).expect("it was there");
    eventually("it syncs", || a.local().get(b"common").is_some());
    assert!(matches!(events.lock()[..], [_, MemberEvent::LostWrites { .. }]));
}

#[test]
fn only_who_leads_in_ones_epoch_is_followed() {
    let (a, b) = (Peer::start("a"), Peer::start("b"));
    a.lead(1, &["a"]);
    assert!(a.local().set(b"key", b"value"));
    b.follow(2, &a);
    eventually("the later epoch is heard of", || {
        a.events.lock().contains(&MemberEvent::HigherEpoch { epoch: 2 })
    });
    assert!(a.face.followers().is_empty());
    assert_eq!(b.local().get(b"key"), None);
    a.freeze();
    a.lead(2, &["a"]);
    a.is_followed_by(&[&b]);
    // The other way round: who comes with an earlier epoch hears of the later one.
    let c = Peer::start("c");
    c.follow(1, &a);
    eventually("the later epoch is heard of", || {
        c.events.lock().contains(&MemberEvent::HigherEpoch { epoch: 2 })
    });
    assert_eq!(c.local().get(b"key"), None);
    // A frozen primary sends nothing more, and who followed it in its epoch is told of nobody.
    a.freeze();
    eventually("the link ends", || a.node.shared().replicas.is_empty());
}

#[test]
fn a_node_without_a_group_follows_and_is_not_counted() {
    let [a, b, c] = three(WriteAcks::Quorum);
    let plain = Node::builder().threads(1).start().expect("a node");
    let port = a.address.port().to_string();
    let said = plain.local().call(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]);
    assert_eq!(said, crate::Reply::Ok);
    assert!(a.local().set(b"key", b"value"));
    eventually("it has it", || plain.local().get(b"key").is_some());
    assert_eq!(a.face.followers().len(), 2);
    b.freeze();
    c.freeze();
    let mut conn = a.connect();
    conn.send("SET key other");
    assert!(conn.is_silent(), "it does not count");
    eventually("it has it", || plain.local().get(b"key").as_deref() == Some(&b"other"[..]));
    // A member does not follow one that is none.
    let (free, d) = (Node::builder().threads(1), Peer::start("d"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let free =
        free.bind(vec!["127.0.0.1".to_owned()]).port(address.port()).start().expect("a node");
    assert!(free.local().set(b"stray", b"1"));
    let mut stranger = d.as_member();
    stranger.client_address = Some(address);
    d.face.follow(1, &stranger);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(d.local().get(b"stray"), None);
}

/// The commands of a file.
fn replayed(mut bytes: &[u8]) -> Vec<String> {
    let mut parser = larder_protocol::Parser::new();
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        match parser.parse(bytes, &larder_protocol::Limits::DEFAULT) {
            Ok(larder_protocol::Parsed::Command { consumed }) => {
                let words = parser.args(bytes).iter().map(String::from_utf8_lossy);
                let words = words.collect::<Vec<_>>().join(" ");
                // What only replicas are told stands in the log as well.
                if !["PING", "REPLCONF"].iter().any(|control| words.starts_with(control)) {
                    commands.push(words);
                }
                bytes = &bytes[consumed..];
            }
            other => panic!("{other:?}"),
        }
    }
    commands
}
