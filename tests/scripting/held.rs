//! Threads that wait for a shard that a slow script holds: their clients are answered, and new ones get
//! in.

use crate::busy::{start, wait_busy, wait_free};
use larder_tests::{Conn, Server, eventually};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A script that holds its one key and does not end.
const HOLDS: &[u8] = b"redis.call('get',KEYS[1]) while true do end";
/// One that holds all there is.
const HOLDS_ALL: &[u8] = b"redis.call('dbsize') while true do end";

/// Two threads with clients of their own.
struct Pair {
    server: Server,
    /// Those of the second thread.
    beside: Vec<Conn>,
    /// Tells what is called; of the second thread as well.
    monitor: Conn,
}

impl Pair {
    fn new() -> Self {
        let server = Server::with(&["--threads", "2", "--busy-reply-threshold", "10"]);
        let mut first = server.connect();
        first.run("PING");
        let mut running = start(&server, &[b"EVAL", b"while true do end", b"0"]);
        wait_busy(&mut first);
        // The first thread is stuck, so these are the other one's.
        let mut beside: Vec<Conn> = (0..4).map(|_| server.connect()).collect();
        beside.iter_mut().for_each(wait_busy);
        first.expect("SCRIPT KILL", "+OK");
        running.reply();
        beside.iter_mut().for_each(wait_free);
        // Long enough for a command to be sent while the script is not known to be slow.
        first.expect("CONFIG SET busy-reply-threshold 500", "+OK");
        let Some(mut monitor) = beside.pop() else { unreachable!("there are four") };
        monitor.expect("MONITOR", "+OK");
        Self { server, beside, monitor }
    }

    /// Runs a script on the first thread; once it holds the key, `then` says what happens on the other.
    /// From then on everybody is told, and the script is killed.
    #[track_caller]
    fn run(&mut self, what: &str, then: impl FnOnce(&mut Conn)) {
        let mut running = start(&self.server, &[b"EVAL", HOLDS, b"1", b"x"]);
        eventually("the script holds its key", || self.monitor.reply().text().contains(" lua] "));
        then(&mut self.beside[0]);
        for conn in &mut self.beside[1..] {
            // It was sent before the thread began to wait, or while it does.
            wait_busy(conn);
            assert!(conn.run("GET y").is_error("BUSY"), "{what}");
        }
        let mut late = self.server.connect();
        wait_busy(&mut late);
        late.expect("SCRIPT KILL", "+OK");
        let reply = running.reply().to_string();
        assert!(reply.contains("killed by user"), "{what}: {reply}");
        self.beside[1..].iter_mut().for_each(wait_free);
    }
}

/// Redis reads them when the script is slow, and refuses them.
#[test]
fn commands_give_up_that_lock_by_themselves() {
    let mut pair = Pair::new();
    let commands =
        ["DBSIZE", "KEYS *", "SCAN 0", "RANDOMKEY", "INFO", "MEMORY STATS", "SAVE", "SET x v"];
    for command in commands {
        pair.run(command, |conn| conn.send(format!("{command}\r\n").as_bytes()));
        let reply = pair.beside[0].reply();
        assert!(reply.is_error("BUSY"), "{command}: {reply}");
    }
    pair.beside[0].expect("MULTI", "+OK");
    pair.beside[0].expect("SET x v", "+QUEUED");
    pair.run("EXEC", |conn| conn.send(b"EXEC\r\n"));
    let conn = &mut pair.beside[0];
    let reply = conn.reply();
    assert!(reply.is_error("EXECABORT Transaction discarded because of: BUSY"), "{reply}");
    conn.expect("EXEC", "-ERR EXEC without MULTI");
    conn.expect("DBSIZE", ":0");
}

/// What cannot be given up is waited for, but not in silence.
#[test]
fn a_thread_that_waits_answers_its_clients() {
    let mut pair = Pair::new();
    pair.beside[0].expect("WATCH x", "+OK");
    pair.run("UNWATCH", |conn| conn.send(b"UNWATCH\r\n"));
    assert_eq!(pair.beside[0].reply().to_string(), "+OK");

    // Its time is over before the script is known to be slow.
    pair.beside[0].send(b"BLPOP x 0.2\r\n");
    eventually("it waits", || pair.server.info("blocked_clients") == "1");
    pair.run("BLPOP", |_| {});
    assert_eq!(pair.beside[0].reply().to_string(), "nil-array");

    pair.beside[0].expect("WATCH x", "+OK");
    let fresh = pair.server.connect();
    pair.run("a watching client that goes", |conn| *conn = fresh);
    pair.beside[0].expect("DBSIZE", ":0");
}

/// A script that comes upon a held key begins anew, also where a coroutine does: what its caller calls
/// meanwhile is not done twice.
#[test]
fn what_a_coroutine_came_upon_is_done_once() {
    let mut pair = Pair::new();
    let script = "local get = coroutine.create(function() redis.call('get', 'x') end) \
                  coroutine.resume(get) return redis.call('incr', KEYS[1])";
    let eval = [&b"EVAL"[..], script.as_bytes(), b"1", b"own"].map(<[u8]>::to_vec);
    pair.run("EVAL", |conn| conn.send(&larder_tests::encode(&eval)));
    assert_eq!(pair.beside[0].reply().to_string(), ":1");
    pair.beside[0].expect("GET own", "\"1\"");
}

/// The thread that lets clients in waits for no script: not to tell its replicas that it is there, not
/// for who asks for its figures.
#[test]
fn new_clients_get_in_whatever_the_script_holds() {
    let server = Server::with(&["--busy-reply-threshold", "10", "--repl-ping-replica-period", "1"]);
    let replica = Server::start();
    let addr = server.addr();
    let (ip, port) = (addr.ip(), addr.port());
    replica.connect().expect(&format!("REPLICAOF {ip} {port}"), "+OK");
    eventually("it follows", || replica.info("master_link_status") == "up");
    let metrics = open(&server);
    server.connect().expect("SET key value", "+OK");
    assert!(get(metrics).contains("\nredis_db_keys{db=\"db0\"} 1\n"));
    let mut running = start(&server, &[b"EVAL", HOLDS_ALL, b"0"]);
    wait_busy(&mut server.connect());
    assert!(get(metrics).contains("\nredis_db_keys{db=\"db0\"} 1\n"), "what was seen last");
    // Longer than a period of PING.
    for _ in 0..30 {
        wait_busy(&mut server.connect());
        std::thread::sleep(Duration::from_millis(50));
    }
    server.connect().expect("SCRIPT KILL", "+OK");
    assert!(running.reply().to_string().contains("killed by user"));
    wait_free(&mut server.connect());
}

/// Opens a port for metrics that nobody has.
fn open(server: &Server) -> SocketAddr {
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = probe.local_addr().expect("a bound socket");
        drop(probe);
        let command = format!("CONFIG SET metrics-port {}", addr.port());
        if server.connect().run(&command).to_string() == "+OK" {
            return addr;
        }
    }
}

fn get(addr: SocketAddr) -> String {
    let mut socket = TcpStream::connect(addr).expect("it accepts");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout is legal");
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer
}
