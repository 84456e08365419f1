//! Members, and a driver by hand: what a group may do to nodes, seen by their clients.

mod fences;
mod follows;
mod moves;

use super::{MemberEvent, MemberNode, MemberOptions};
use crate::config::{DirectiveOptions, WriteAcks};
use crate::{Local, Node};
use larder_replication::group::config::{Incarnation, Member, NodeId, Zone};
use larder_replication::group::data::{AckSets, DataNode, Lease};
use parking_lot::Mutex;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn id(name: &str) -> NodeId {
    NodeId(name.to_owned())
}

fn sets(sets: &[&[&str]]) -> AckSets {
    let any_life = |name: &&str| (id(name), None);
    AckSets(sets.iter().map(|set| set.iter().map(any_life).collect()).collect())
}

/// A group's name that no other test has: ports come and go.
fn group() -> String {
    std::thread::current().name().unwrap_or("g").replace("::", "-")
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A member with what a driver has of it.
struct Peer {
    name: &'static str,
    node: Node,
    face: MemberNode,
    lease: Arc<Lease>,
    address: SocketAddr,
    events: Arc<Mutex<Vec<MemberEvent>>>,
    _dir: tempfile::TempDir,
}

impl Peer {
    fn start(name: &'static str) -> Self {
        Self::with(name, |builder| builder)
    }

    fn with(name: &'static str, change: impl Fn(crate::Builder) -> crate::Builder) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (lease, events) = (Arc::new(Lease::default()), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&events);
        let options =
            MemberOptions::new(&group(), id(name), Arc::clone(&lease), b"a secret of the group")
                .lost_writes_dir(dir.path())
                .on_event(move |event| seen.lock().push(event));
        // Somebody else may take the port before the node does.
        let (node, address) = (0..20)
            .find_map(|_| {
                let free = TcpListener::bind("127.0.0.1:0").expect("a port");
                let address = free.local_addr().expect("an address");
                drop(free);
                let builder = Node::builder()
                    .bind(vec!["127.0.0.1".to_owned()])
                    .port(address.port())
                    .threads(1)
                    .dir(dir.path().to_owned())
                    .member(options.clone());
                Some((change(builder).start().ok()?, address))
            })
            .expect("a free port");
        let face = node.member().expect("it is a member");
        Self { name, node, face, lease, address, events, _dir: dir }
    }

    fn as_member(&self) -> Member {
        Member {
            id: id(self.name),
            zone: Zone("z".to_owned()),
            client_address: Some(self.address),
            group_address: self.address,
        }
    }

    /// Leads, with the lease.
    fn lead(&self, epoch: u64, in_sync: &[&str]) {
        self.face.lead(epoch, &sets(&[in_sync]));
        self.lease.set_end(u64::MAX);
    }

    fn follow(&self, epoch: u64, primary: &Self) {
        self.lease.set_end(0);
        self.face.follow(epoch, &primary.as_member());
    }

    fn freeze(&self) -> u64 {
        self.lease.set_end(0);
        self.face.freeze().offset
    }

    fn connect(&self) -> Conn {
        Conn::to(self.address)
    }

    fn local(&self) -> Local {
        self.node.local()
    }

    fn offset(&self) -> u64 {
        self.face.position().offset
    }

    /// Full and partial syncs that it served.
    fn syncs(&self) -> (u64, u64) {
        let replicas = &self.node.shared().replicas;
        let load =
            |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        (load(&replicas.full_syncs), load(&replicas.partial_syncs))
    }

    /// Waits until the others follow it in its epoch and have all that it has now.
    fn is_followed_by(&self, others: &[&Self]) {
        let end = self.offset();
        for other in others {
            eventually(&format!("{} follows {}", other.name, self.name), || {
                let followers = self.face.followers();
                let follower = followers.iter().find(|follower| follower.id.0 == other.name);
                let position = other.face.position();
                let ours = self.face.position();
                (position.replid, position.epoch) == (ours.replid, ours.epoch)
                    && follower.is_some_and(|follower| {
                        follower.acked_offset >= end && follower.incarnation == position.incarnation
                    })
            });
        }
    }
}

/// Three members, of which the first leads in epoch 1.
fn three(write_acks: WriteAcks) -> [Peer; 3] {
    let peers = ["a", "b", "c"].map(|name| {
        Peer::with(name, |builder| builder.write_acks(write_acks).write_acks_timeout_ms(8000))
    });
    let [a, b, c] = &peers;
    a.lead(1, &["a", "b", "c"]);
    b.follow(1, a);
    c.follow(1, a);
    a.is_followed_by(&[b, c]);
    peers
}

/// A client that reads replies as lines; those here are short.
struct Conn {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Conn {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        Self { stream, read: Vec::new() }
    }

    fn send(&mut self, line: &str) {
        // One that is closed already is noticed when it is read.
        let _ = self.stream.write_all(format!("{line}\r\n").as_bytes());
    }

    /// The next line; none at the end.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.read.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Runs a command whose reply is one line, or a short string.
    fn run(&mut self, line: &str) -> String {
        self.send(line);
        let first = self.line().unwrap_or_default();
        match first.strip_prefix('$') {
            Some("-1") | None => first,
            Some(_) => self.line().unwrap_or_default(),
        }
    }

    /// Whether nothing comes for a while.
    fn is_silent(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(30))).expect("an option");
        let mut chunk = [0; 4096];
        let silent = match self.stream.read(&mut chunk) {
            Ok(read) => {
                self.read.extend_from_slice(&chunk[..read]);
                false
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        self.stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        silent
    }
}

#[test]
fn a_member_starts_undecided() {
    let peer = Peer::start("a");
    let mut conn = peer.connect();
    assert!(conn.run("SET key value").starts_with("-READONLY"));
    assert_eq!(conn.run("GET key"), "$-1");
    assert!(conn.run("PSYNC ? -1").starts_with("-NOMASTERLINK"));
    let refusal = format!(
        "-ERR this node is a member of the group {}, which decides who is primary",
        group()
    );
    for command in ["REPLICAOF NO ONE", "SLAVEOF 127.0.0.1 1", "FAILOVER", "FAILOVER ABORT"] {
        assert_eq!(conn.run(command), refusal, "{command}");
    }
    assert!(!peer.local().set(b"key", b"value"));
    conn.send("ROLE");
    assert_eq!((conn.line().as_deref(), conn.line().as_deref()), (Some("*5"), Some("$5")));
    let position = peer.face.position();
    assert_eq!((position.epoch, position.offset), (0, 0));
    assert_ne!(position.incarnation, Incarnation(0));
    let primary = crate::config::PrimaryAddress { host: "127.0.0.1".to_owned(), port: 1 };
    let options = MemberOptions::new("g", id("x"), Arc::default(), b"");
    let refused = Node::builder().replicaof(Some(primary)).member(options).start().err();
    assert!(refused.is_some_and(|error| error.to_string().contains("whom its members follow")));
}
