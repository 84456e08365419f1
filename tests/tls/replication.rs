//! `tls-replication`: Larder and `redis-server` as primary and as replica of each other, over TLS that
//! both sides prove themselves in, with a user of its own for replicas.

use larder_tests::{Authority, Conn, Redis, Server, encode, eventually};

use crate::Secured;

type Launch = fn(&[&str]) -> Server;

const LARDER: Launch = Server::with;
const REDIS: Launch = Redis::with;

/// What makes a server say TLS to its primary, and wait for nothing.
const ARGS: [&str; 4] = ["--tls-replication", "yes", "--repl-diskless-sync-delay", "0"];

fn start(launch: Launch, authority: &Authority, args: &[&str]) -> Secured {
    Secured::launch(launch, authority.clone(), &[&ARGS, args].concat())
}

fn follow(replica: &Secured, primary: &Secured) {
    let port = primary.tls.port();
    replica.server.connect().expect(&format!("REPLICAOF localhost {port}"), "+OK");
}

fn is_up(replica: &Secured) -> bool {
    replica.server.info("master_link_status") == "up"
}

/// Waits until a replica has everything, and compares the data.
fn assert_same(primary: &Secured, replica: &Secured) {
    let offset = |node: &Secured| node.server.info("master_repl_offset");
    eventually("the replica catches up", || is_up(replica) && offset(replica) == offset(primary));
    let digest = |node: &Secured| node.server.connect().run("DEBUG DIGEST").text();
    assert_eq!(digest(replica), digest(primary), "{}", replica.server.log());
}

/// Some megabytes of values that do not compress.
fn fill(conn: &mut Conn) {
    conn.prepare(
        "RPUSH list a b c\nHSET hash f v\nZADD zset 1 a\nXADD stream 1-1 f v\nSADD set a b",
    );
    let mut state = 1u64;
    for number in 0..40 {
        let value: String = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b' ' + (state >> 58) as u8)
            })
            .collect();
        assert_eq!(conn.call(&["SET", &format!("large:{number}"), &value]).to_string(), "+OK");
    }
}

/// One follows the other through a full sync, a stream, a cut, and as a user of its own.
fn follows(primary: Launch, replica: Launch) {
    let authority = Authority::new();
    let primary = start(primary, &authority, &[]);
    let mut theirs = primary.client_of(&authority);
    theirs.prepare("CONFIG SET requirepass closed\nAUTH closed\nACL SETUSER follower on >secret +psync +replconf +ping");
    fill(&mut theirs);
    let args = ["--masteruser", "follower", "--masterauth", "wrong"];
    let replica = start(replica, &authority, &args);
    follow(&replica, &primary);
    let mut ours = replica.server.connect();
    eventually("it is refused", || theirs.run("ACL LOG").to_string().contains("follower"));
    assert!(!is_up(&replica));
    ours.expect("CONFIG SET masterauth secret", "+OK");
    eventually("the full sync", || is_up(&replica));
    assert_eq!(theirs.run("DEBUG DIGEST").text(), ours.run("DEBUG DIGEST").text());
    // It says where it is to be found by those who speak TLS.
    let line = theirs.run("INFO replication").text();
    assert!(line.contains(&format!("port={},state=", replica.tls.port())), "{line}");
    // A burst in both directions: ACKs come while the stream goes.
    let burst: Vec<u8> =
        (0..20_000).flat_map(|n| encode(&["RPUSH", "burst", &n.to_string()])).collect();
    theirs.send(&burst);
    (0..20_000).for_each(|_| drop(theirs.reply()));
    eventually("the stream", || ours.run("LLEN burst").int() == 20_000);
    theirs.expect("CLIENT KILL TYPE replica", ":1");
    theirs.prepare("SET after cut");
    eventually("it goes on", || ours.run("GET after").to_string() == "\"cut\"");
    let info = theirs.run("INFO stats").text();
    assert!(info.contains("sync_full:1\r\n") && info.contains("sync_partial_ok:1\r\n"), "{info}");
    assert_eq!(theirs.run("WAIT 1 10000").int(), 1);
    assert_eq!(theirs.run("DEBUG DIGEST").text(), ours.run("DEBUG DIGEST").text());
}

impl Secured {
    /// A client that shows a certificate.
    fn client_of(&self, authority: &Authority) -> Conn {
        let client = larder_tests::TlsClient::new(authority, Some(authority));
        client.connect(self.tls).expect("a handshake")
    }
}

#[test]
fn larder_follows_larder() {
    follows(LARDER, LARDER);
}

#[test]
fn larder_follows_redis() {
    follows(REDIS, LARDER);
}

#[test]
fn redis_follows_larder() {
    follows(LARDER, REDIS);
}

/// As Redis has it, who signed a certificate counts, and not the name that is in it.
#[test]
fn a_primary_may_be_called_by_any_name() {
    let authority = Authority::new();
    let primary = start(LARDER, &authority, &[]);
    primary.server.connect().expect("CONFIG SET bind '127.0.0.1 127.0.0.2'", "+OK");
    for launch in [LARDER, REDIS] {
        let replica = start(launch, &authority, &[]);
        let line = format!("REPLICAOF 127.0.0.2 {}", primary.tls.port());
        replica.server.connect().expect(&line, "+OK");
        eventually("the link", || is_up(&replica));
        assert_same(&primary, &replica);
    }
}

#[test]
fn a_chain_and_a_change_of_places() {
    let authority = Authority::new();
    let first = start(LARDER, &authority, &[]);
    let second = start(LARDER, &authority, &[]);
    let third = start(REDIS, &authority, &[]);
    follow(&second, &first);
    eventually("the link", || is_up(&second));
    follow(&third, &second);
    eventually("the link", || is_up(&third));
    first.server.connect().prepare("SET key value\nRPUSH list a b c");
    assert_same(&first, &second);
    assert_same(&second, &third);
    let port = second.tls.port();
    first.server.connect().expect(&format!("FAILOVER TO 127.0.0.1 {port}"), "+OK");
    eventually("they change places", || {
        first.server.info("role") == "slave" && second.server.info("role") == "master"
    });
    eventually("the link back", || is_up(&first));
    second.server.connect().prepare("SET key other");
    assert_same(&second, &first);
    assert_same(&second, &third);
    assert_eq!(second.server.info("sync_full"), "1", "nobody begins anew but the third, once");
}

/// Who is not trusted gets no data, and costs none.
fn keeps_strangers_out(primary: Launch, replica: Launch) {
    let (authority, other) = (Authority::new(), Authority::new());
    let primary = start(primary, &authority, &[]);
    let stranger = start(replica, &other, &[]);
    stranger.server.connect().prepare("SET own 1");
    follow(&stranger, &primary);
    let tried = || {
        let log = stranger.server.log().to_lowercase();
        log.matches("connecting to master").count() >= 2
    };
    eventually("it tries and tries again", tried);
    assert!(!is_up(&stranger));
    assert_eq!(primary.server.info("sync_full"), "0");
    stranger.server.connect().expect("GET own", "\"1\"");
    // Nor does one without TLS get anywhere, or one with it where there is none.
    let plain = Server::with(&["--replicaof", "127.0.0.1", &primary.tls.port().to_string()]);
    let lost = start(replica, &authority, &[]);
    let port = primary.server.addr().port();
    lost.server.connect().expect(&format!("REPLICAOF localhost {port}"), "+OK");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(plain.info("master_link_status"), "down");
    assert!(!is_up(&lost));
    primary.server.connect().expect("PING", "+PONG");
    // With the right certificate the stranger is none.
    authority.write(stranger.folder.path(), "own");
    let path = |name: &str| stranger.path(name).display().to_string();
    let line = format!(
        "CONFIG SET tls-ca-cert-file {} tls-cert-file {} tls-key-file {}",
        path("ca.crt"),
        path("own.crt"),
        path("own.key")
    );
    stranger.server.connect().expect(&line, "+OK");
    eventually("the link", || is_up(&stranger));
    assert_same(&primary, &stranger);
}

#[test]
fn larder_keeps_larder_out() {
    keeps_strangers_out(LARDER, LARDER);
}

#[test]
fn redis_keeps_larder_out() {
    keeps_strangers_out(REDIS, LARDER);
}

#[test]
fn larder_keeps_redis_out() {
    keeps_strangers_out(LARDER, REDIS);
}
