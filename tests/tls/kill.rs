//! CLIENT KILL under load: clients of all kinds, over TLS and without, are killed at random from
//! several threads while they do what they do. The node stays right and keeps nothing of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{Conn, Rng, TlsClient, encode, eventually};

use super::Secured;

/// How long the storm lasts.
const STORM: Duration = Duration::from_secs(4);
/// Used memory that may differ afterwards: histograms and counters of commands that are new.
const SLACK_BYTES: u64 = 256 * 1024;
/// Clients with this name are spared.
const SPARED: &str = "spared";

/// What a client does until it is killed: lines that it sends, and whether it goes on sending.
const KINDS: [(&str, &[&str]); 9] = [
    ("load", &[]),
    ("blocked", &["BLPOP nokey othernokey 0"]),
    ("blocked on a stream", &["XREAD BLOCK 0 STREAMS nostream $"]),
    ("in MULTI", &["WATCH counter", "MULTI", "SET queued value", "LPUSH queued2 a"]),
    ("subscribed", &["SUBSCRIBE news", "PSUBSCRIBE n*", "SSUBSCRIBE sharded"]),
    ("tracking", &["HELLO 3", "CLIENT TRACKING ON BCAST", "GET counter"]),
    ("monitoring", &["MONITOR"]),
    ("not reading", &["GET big", "GET big", "GET big", "GET big", "GET big", "GET big", "GET big"]),
    ("in half a command", &[]),
];

struct Storm {
    plain: SocketAddr,
    tls: SocketAddr,
    client: TlsClient,
    over: AtomicBool,
    killed: AtomicU64,
    connected: AtomicU64,
    counted: AtomicU64,
}

impl Storm {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// A connection of one kind or the other; none while the node is busy with refusing.
    fn connect(&self, random: &mut Rng) -> Option<Conn> {
        let conn = match random.below(2) {
            0 => Conn::tcp(self.plain),
            _ => self.client.connect(self.tls),
        };
        let mut conn = conn.ok()?;
        conn.set_patience(Duration::from_millis(200)).ok()?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Some(conn)
    }

    /// Lives one client's life after the other.
    fn live(&self, seed: u64) {
        let mut random = Rng::new(seed);
        while self.goes_on() {
            let Some(mut conn) = self.connect(&mut random) else { continue };
            let (kind, lines) = *random.pick(&KINDS);
            for line in lines {
                // It may be killed at any moment from here on.
                if conn.try_send(format!("{line}\r\n").as_bytes()).is_err() {
                    break;
                }
            }
            match kind {
                "load" => self.load(&mut conn, &mut random),
                "in half a command" => {
                    let _ = conn.try_send(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1000000\r\nxxx");
                }
                _ => {}
            }
            if kind != "not reading" {
                let until = Instant::now() + Duration::from_millis(random.below(60) as u64);
                while Instant::now() < until
                    && conn.try_reply().is_ok_and(|got| !got.raw.is_empty())
                {}
            }
            // A third leave by themselves in the middle of it, some kill themselves.
            if random.below(8) == 0 {
                let _ = conn.try_send(b"CLIENT KILL SKIPME no TYPE normal ID 1\r\nCLIENT ID\r\n");
            }
        }
    }

    /// Pipelines until somebody ends it, or for some rounds.
    fn load(&self, conn: &mut Conn, random: &mut Rng) {
        for _ in 0..random.below(30) {
            let mut batch = Vec::new();
            for number in 0..50 {
                batch.extend(encode(&["SET", &format!("key{}", random.below(100)), "value"]));
                batch.extend(encode(&["LPUSH", "list", &number.to_string()]));
                batch.extend(encode(&["RPOP", "list"]));
                batch.extend(encode(&["PUBLISH", "news", "text"]));
            }
            if conn.try_send(&batch).is_err() {
                return;
            }
            for _ in 0..200 {
                match conn.try_reply() {
                    Ok(reply) if !reply.raw.is_empty() => {}
                    _ => return,
                }
            }
        }
    }

    /// A connection that nobody kills, once it is named.
    fn spared(&self) -> Conn {
        let mut conn = Conn::tcp(self.plain).expect("it accepts");
        conn.expect(&format!("CLIENT SETNAME {SPARED}"), "+OK");
        conn
    }

    /// Kills by every way there is.
    fn kill(&self, seed: u64, mut conn: Conn) {
        let mut random = Rng::new(seed);
        while self.goes_on() {
            let list = conn.run("CLIENT LIST").text();
            let (spared, mut victims): (Vec<&str>, Vec<&str>) =
                list.lines().partition(|line| line.contains(&format!("name={SPARED}")));
            // A client's port may lead to both ports of the node, and an address then means two.
            victims.retain(|victim| {
                spared.iter().all(|line| field(line, "addr=") != field(victim, "addr="))
            });
            if victims.is_empty() {
                continue;
            }
            for _ in 0..victims.len().div_ceil(3) {
                let victim = random.pick(&victims);
                let line = match random.below(4) {
                    0 => format!("CLIENT KILL ID {}", field(victim, "id=")),
                    1 => format!("CLIENT KILL ADDR {}", field(victim, "addr=")),
                    2 => format!("CLIENT UNBLOCK {} ERROR", field(victim, "id=")),
                    _ => format!("CLIENT KILL {}", field(victim, "addr=")),
                };
                let reply = conn.run(&line);
                let is_done = [":1", "+OK"].contains(&reply.to_string().as_str());
                self.killed.fetch_add(u64::from(is_done), Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// A client that nobody kills has to see a node that is right.
    fn witness(&self, mut conn: Conn) {
        while self.goes_on() {
            let number = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
            conn.expect("INCR counter", &format!(":{number}"));
            conn.expect("SET own value", "+OK");
            conn.expect("GET own", "\"value\"");
        }
    }
}

/// A field of a line of CLIENT LIST.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let found = line.split(' ').find_map(|word| word.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn killed_clients_of_all_kinds_leave_nothing_behind() {
    let node = Secured::start();
    let mut admin = node.server.connect();
    admin.call(&["SET", "big", &"x".repeat(300_000)]);
    let storm = Storm {
        plain: node.server.addr(),
        tls: node.tls,
        client: node.client(),
        over: AtomicBool::new(false),
        killed: AtomicU64::new(0),
        connected: AtomicU64::new(0),
        counted: AtomicU64::new(0),
    };
    admin.expect(&format!("CLIENT SETNAME {SPARED}"), "+OK");
    // Keys that the load leaves are there from the beginning.
    for number in 0..100 {
        admin.run(&format!("SET key{number} value"));
    }
    admin.prepare("SET own value\n SET counter 0\n RPUSH list a");
    let used = || node.server.info("used_memory").parse::<u64>().expect("a number");
    let before = used();
    // They have their names before anybody kills.
    let (killers, witness) = ([storm.spared(), storm.spared()], storm.spared());
    thread::scope(|scope| {
        let storm = &storm;
        for seed in 0..6 {
            scope.spawn(move || storm.live(seed));
        }
        for (seed, conn) in (100..).zip(killers) {
            scope.spawn(move || storm.kill(seed, conn));
        }
        scope.spawn(|| storm.witness(witness));
        thread::sleep(STORM);
        storm.over.store(true, Ordering::Relaxed);
    });
    let (killed, connected) = (storm.killed.into_inner(), storm.connected.into_inner());
    assert!(killed > 50 && connected > 100, "{killed} killed of {connected}");
    eventually("only the administrator is left", || {
        admin.run("CLIENT LIST").text().lines().count() == 1
    });
    let info = admin.run("INFO everything").text();
    for field in ["connected_clients:1", "blocked_clients:0", "total_blocking_keys:0"] {
        assert!(info.contains(&format!("{field}\r\n")), "{field} after {killed} kills: {info}");
    }
    admin.prepare("DEL list\n RPUSH list a");
    eventually("memory is what it was", || used().abs_diff(before) < SLACK_BYTES);
    let expected = storm.counted.into_inner().to_string();
    assert_eq!(admin.run("GET counter").text(), expected);
}
