//! Primaries that are none.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use larder_tests::{Server, eventually};

use crate::{attach, digest};

const ID: &str = "0123456789012345678901234567890123456789";

/// An empty data set as Redis 7.0 writes it, its checksum left out.
const EMPTY: &[u8] = b"REDIS0010\xff\0\0\0\0\0\0\0\0";

/// What is said after PSYNC, piece by piece.
type Script = Vec<Vec<u8>>;

/// Answers a handshake, follows a script, and hangs up.
fn play(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    greet(&mut stream)?;
    for piece in script {
        stream.write_all(piece)?;
        thread::sleep(Duration::from_millis(20));
    }
    // Time enough for what was said to be read.
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

/// Answers a handshake up to PSYNC.
fn greet(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    for (question, answer) in
        [("PING\r\n", "+PONG\r\n"), ("psync2\r\n", "+OK\r\n+OK\r\n"), ("PSYNC", "")]
    {
        while !contains(&heard, question.as_bytes()) {
            match stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => heard.extend_from_slice(&chunk[..count]),
            }
        }
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Lets a node follow whoever accepts its links here.
fn listen(node: &Server) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    node.connect().expect(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK");
    listener
}

/// Lets a node follow a primary by hand, whose data set is empty.
pub(crate) fn lead(node: &Server) -> TcpStream {
    let (mut stream, _) = listen(node).accept().expect("the node comes");
    greet(&mut stream).expect("a handshake");
    stream.write_all(&full(&[b"$18\r\n", EMPTY].concat())).expect("the node takes it");
    eventually("the link is up", || node.info("master_link_status") == "up");
    stream
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Lets a node follow whoever follows a script, until it was there `visits` times.
fn follow(node: &Server, script: Script, visits: usize) {
    let listener = listen(node);
    let mut players = Vec::new();
    for _ in 0..visits {
        let (stream, _) = listener.accept().expect("the node comes");
        let script = script.clone();
        players.push(thread::spawn(move || drop(play(stream, &script))));
    }
    // The last one shall be heard to its end as well.
    players.into_iter().for_each(|player| player.join().expect("a player"));
    node.connect().expect("REPLICAOF NO ONE", "+OK");
    drop(listener);
}

fn full(rest: &[u8]) -> Vec<u8> {
    [format!("+FULLRESYNC {ID} 100\r\n").as_bytes(), rest].concat()
}

#[test]
fn what_makes_no_sense_costs_nothing() {
    let node = Server::with(&["--repl-timeout", "1"]);
    let mut conn = node.connect();
    conn.prepare("SET old 1\nRPUSH list a b c");
    let before = digest(&mut conn);
    let long_line = vec![b'x'; 1 << 20];
    let of_length = |length: &str, bytes: &[u8]| full(&[length.as_bytes(), bytes].concat());
    let mut damaged = EMPTY.to_vec();
    damaged[12] = 7;
    let scripts: Vec<(&str, Script)> = vec![
        ("an id that is too short", vec![b"+FULLRESYNC 0123 100\r\n$9\r\n".to_vec()]),
        ("no offset", vec![format!("+FULLRESYNC {ID}\r\n").into_bytes()]),
        ("an offset below zero", vec![format!("+FULLRESYNC {ID} -5\r\n").into_bytes()]),
        ("an error", vec![b"-ERR no\r\n".to_vec()]),
        ("not now", vec![b"-NOMASTERLINK Can't SYNC\r\n".to_vec()]),
        ("something else", vec![b"*3\r\n$3\r\nSET\r\n".to_vec()]),
        ("a line without an end", vec![long_line.clone()]),
        ("an endless length", vec![of_length("$99999999999999999999\r\n", b"")]),
        ("a length below zero", vec![of_length("$-1\r\n", b"")]),
        ("a mark that is too short", vec![full(b"$EOF:abc\r\n")]),
        ("an error instead of data", vec![full(b"-ERR snapshot failed\r\n")]),
        ("garbage", vec![of_length("$1000000\r\n", &long_line[..1_000_000])]),
        ("a checksum that is wrong", vec![of_length("$18\r\n", &damaged)]),
        ("more bytes than the data set has", vec![of_length("$20\r\n", EMPTY), b"xx".to_vec()]),
        ("another mark", vec![full(&[format!("$EOF:{ID}\r\n").as_bytes(), EMPTY, &[b'y'; 40]].concat())]),
        (
            "a string that claims 2^40 bytes",
            vec![full(b"$100\r\nREDIS0010\x00\x01k\x81\0\0\x01\0\0\0\0\0abc"), vec![b'x'; 60]],
        ),
        (
            "a table that claims 2^60 places",
            vec![full(
                b"$EOF:0123456789012345678901234567890123456789\r\nREDIS0010\xfb\x81\x10\0\0\0\0\0\0\0\0",
            )],
        ),
    ];
    for (name, script) in scripts {
        let size = node.resident();
        follow(&node, script, 2);
        assert_eq!(digest(&mut conn), before, "{name}");
        let grown = node.resident().saturating_sub(size);
        assert!(grown < 64 << 20, "{name}: grown by {grown} bytes");
    }
    conn.expect("SET a 1", "+OK");
}

#[test]
fn a_stream_that_makes_no_sense_ends_the_link_and_nothing_else() {
    let node = Server::with(&["--repl-timeout", "2"]);
    let mut conn = node.connect();
    let set = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    let head = |rest: &[u8]| vec![full(&[b"$18\r\n", EMPTY].concat()), [&set[..], rest].concat()];
    let scripts = [
        ("inline", head(b"SET b 1\r\n")),
        ("an argument that claims 4 GB", head(b"*2\r\n$3\r\nGET\r\n$4294967296\r\n")),
        ("a billion arguments", head(b"*1000000000\r\n$1\r\n")),
        ("a length below zero", head(b"*2\r\n$-1\r\n")),
        ("an endless transaction", head(&b"*1\r\n$5\r\nMULTI\r\n".repeat(200_000))),
        (
            "an endless argument",
            head(&[&b"*2\r\n$3\r\nGET\r\n$100000000\r\n"[..], &[b'x'; 2 << 20]].concat()),
        ),
        ("no request at all", head(&[0xff; 100])),
    ];
    for (name, script) in scripts {
        conn.prepare("FLUSHALL");
        let size = node.resident();
        follow(&node, script, 2);
        conn.expect("GET a", "\"1\"");
        let grown = node.resident().saturating_sub(size);
        assert!(grown < 64 << 20, "{name}: grown by {grown} bytes");
    }
    let log = node.log();
    assert!(log.contains("Protocol error from master"), "{log}");
}

#[test]
fn commands_that_fail_are_told_and_passed_over() {
    let node = Server::start();
    let stream =
        b"*1\r\n$5\r\nBOGUS\r\n*2\r\n$3\r\nSET\r\n$1\r\na\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n\
        *1\r\n$4\r\nEXEC\r\n*1\r\n$7\r\nDISCARD\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nBOGUS\r\n\
        *2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    let (mut primary, mut conn) = (lead(&node), node.connect());
    primary.write_all(stream).expect("the node takes it");
    // The broken transaction is left out as a whole.
    eventually("the stream", || conn.run("GET n").to_string() == "\"2\"");
    assert!(node.log().contains("sending an error to its master"), "{}", node.log());
    conn.expect("REPLICAOF NO ONE", "+OK");
}

#[test]
fn numbers_that_a_newer_primary_sorts_by_are_taken() {
    let node = Server::start();
    let commands = ["RPUSH l 1e400 5 1e-320", "SORT l STORE to"];
    let stream = commands.map(|line| larder_tests::encode(&line.split(' ').collect::<Vec<_>>()));
    let (mut primary, mut conn) = (lead(&node), node.connect());
    primary.write_all(&stream.concat()).expect("the node takes it");
    eventually("the stream", || conn.run("EXISTS to").int() == 1);
    conn.expect("LRANGE to 0 -1", "[\"1e-320\", \"5\", \"1e400\"]");
    conn.expect("REPLICAOF NO ONE", "+OK");
    assert!(conn.run("SORT l").is_error("ERR One or more scores"));
}

/// As in Redis: the limit is for clients, and the primary would only send the same again.
#[test]
fn a_primary_may_send_more_than_clients_may() {
    let (primary, replica) =
        (Server::start(), Server::with(&["--client-query-buffer-limit", "1mb"]));
    attach(&replica, &primary);
    eventually("it follows", || replica.info("master_link_status") == "up");
    let mut conn = primary.connect();
    let large = vec![b'x'; 5 << 20];
    for key in ["a", "b"] {
        assert_eq!(conn.call(&[b"SET".as_slice(), key.as_bytes(), &large]).to_string(), "+OK");
        eventually("it comes", || replica.connect().run(&format!("STRLEN {key}")).int() == 5 << 20);
    }
    assert_eq!(primary.info("sync_full"), "1", "one link brought all");
    assert!(!replica.log().contains("Protocol error"), "{}", replica.log());
}
