//! The HTTP side: Prometheus text that a strict reader accepts, figures that are INFO's, and requests
//! that are bounded.

mod exposition;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use exposition::Exposition;
use larder_tests::{Server, eventually, info_field};

/// Opens a port for metrics that nobody has.
fn open(server: &Server) -> SocketAddr {
    let mut conn = server.connect();
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = probe.local_addr().expect("a bound socket");
        drop(probe);
        let reply = conn.run(&format!("CONFIG SET metrics-port {}", addr.port()));
        if reply.to_string() == "+OK" {
            return addr;
        }
        assert!(reply.text().contains("Unable to listen on this port"), "{reply}");
    }
}

/// Everything that answers these bytes.
fn answer(addr: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(addr).expect("it accepts");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout is legal");
    // It may hang up before it has read everything.
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status line, headers in lower case, and body of a GET.
fn get(addr: SocketAddr, path: &str) -> (String, String, String) {
    let answer = answer(addr, format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    (status.to_owned(), headers.to_lowercase(), body.to_owned())
}

fn scrape(addr: SocketAddr) -> Exposition {
    let (status, headers, body) = get(addr, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("content-type: text/plain; version=0.0.4"), "{headers}");
    Exposition::parse(&body).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn figures_are_those_of_info() {
    let server = Server::start();
    let addr = open(&server);
    let mut conn = server.connect();
    conn.prepare(
        "SET key value\n SET other value EX 1000\n GET key\n GET key\n GET none\n LPUSH list a b\n
         SELECT 3\n HSET hash field value\n SELECT 0",
    );
    conn.expect("GET list", "-WRONGTYPE Operation against a key holding the wrong kind of value");
    conn.run("SET key");
    conn.run("NOSUCH");
    conn.run("DEBUG ERROR odd\\ code");
    let shown = scrape(addr);
    let info = conn.run("INFO everything").text();
    let field = |name: &str| {
        info_field(&info, name).unwrap_or_else(|| panic!("INFO has no {name}")).to_owned()
    };
    for (series, name) in [
        ("redis_connected_clients", "connected_clients"),
        ("redis_keyspace_hits_total", "keyspace_hits"),
        ("redis_keyspace_misses_total", "keyspace_misses"),
        ("redis_connections_received_total", "total_connections_received"),
        ("redis_total_error_replies", "total_error_replies"),
        ("redis_memory_max_bytes", "maxmemory"),
        ("redis_max_clients", "maxclients"),
    ] {
        assert_eq!(shown.value(series), field(name).parse().ok(), "{series}");
    }
    let count = |series: &str, label: &str, value: &str| shown.labelled(series, label, value);
    assert_eq!(count("redis_commands_total", "cmd", "get"), Some(4.0));
    assert_eq!(count("redis_commands_failed_calls_total", "cmd", "get"), Some(1.0));
    assert_eq!(count("redis_commands_rejected_calls_total", "cmd", "set"), Some(1.0));
    assert!(count("redis_commands_duration_seconds_total", "cmd", "set") > Some(0.0));
    assert_eq!(count("redis_latency_percentiles_usec_count", "cmd", "get"), Some(4.0));
    assert_eq!(count("redis_errors_total", "err", "WRONGTYPE"), Some(1.0));
    assert_eq!(count("redis_db_keys", "db", "db0"), Some(3.0));
    assert_eq!(count("redis_db_keys", "db", "db3"), Some(1.0));
    assert_eq!(count("redis_db_keys_expiring", "db", "db0"), Some(1.0));
    let used: f64 = field("used_memory").parse().expect("a number");
    let told = shown.value("redis_memory_used_bytes").expect("it is told");
    assert!((told - used).abs() < used / 2.0, "{told} against {used}");
}

#[test]
fn the_names_of_cloudwatch_are_told() {
    let server = Server::with(&["--maxmemory", "100mb"]);
    let addr = open(&server);
    let mut conn = server.connect();
    conn.prepare("SET key value\n GET key\n GET none\n GET none\n HSET hash f v\n HGET hash f");
    conn.prepare("ZADD zset 1 a\n EXPIRE key 100");
    let shown = scrape(addr);
    for (name, expected) in [
        ("CacheHits", 2.0),
        ("CacheMisses", 2.0),
        ("CacheHitRate", 50.0),
        ("GetTypeCmds", 4.0),
        ("SetTypeCmds", 3.0),
        ("StringBasedCmds", 4.0),
        ("HashBasedCmds", 2.0),
        ("SortedSetBasedCmds", 1.0),
        ("KeyBasedCmds", 1.0),
        ("ListBasedCmds", 0.0),
        ("CurrItems", 3.0),
        ("CurrVolatileItems", 1.0),
        ("Evictions", 0.0),
        ("IsMaster", 1.0),
    ] {
        assert_eq!(shown.value(name), Some(expected), "{name}");
    }
    assert!(shown.value("StringBasedCmdsLatency") > Some(0.0));
    assert_eq!(shown.value("ListBasedCmdsLatency"), None, "no call, no time");
    let share = shown.value("DatabaseMemoryUsagePercentage").expect("there is a limit");
    assert!(share > 0.0 && share < 100.0);
    assert!(shown.value("BytesUsedForCache") > Some(0.0));
}

#[test]
fn health_is_told() {
    let server = Server::start();
    let addr = open(&server);
    let (status, _, body) = get(addr, "/healthz");
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    assert_eq!(get(addr, "/elsewhere").0, "HTTP/1.1 404 Not Found");
    let posted = answer(addr, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405 Method Not Allowed"), "{posted}");
    let head = answer(addr, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    server.connect().expect("CONFIG SET metrics-port 0", "+OK");
    assert!(TcpStream::connect(addr).is_err(), "the port is closed");
}

#[test]
fn requests_are_bounded() {
    let server = Server::start();
    let addr = open(&server);
    // Too large, in one header and in many.
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for request in [large.as_bytes(), many.as_bytes(), b"\x16\x03\x01\x00garbage\r\n\r\n"] {
        let answer = answer(addr, request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // More silent connections than there are places: they have their time, and no more.
    let begun = Instant::now();
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(addr).expect("a queue")).collect();
    assert_eq!(get(addr, "/healthz").0, "HTTP/1.1 200 OK");
    assert!(begun.elapsed() < Duration::from_secs(40), "they hold nobody up for long");
    server.connect().expect("PING", "+PONG");
    drop(silent);
    eventually("and leave nothing behind", || get(addr, "/healthz").0 == "HTTP/1.1 200 OK");
}

#[test]
fn labels_survive_any_error_code() {
    let server = Server::start();
    let addr = open(&server);
    let mut conn = server.connect();
    conn.call(&["DEBUG", "ERROR", "QUOTE\"BACK\\SLASH text"]);
    conn.call(&["DEBUG", "ERROR", "ÜMLAUT text"]);
    let shown = scrape(addr);
    let codes: BTreeMap<String, f64> = shown.by_label("redis_errors_total", "err");
    let has = |code: &str| codes.keys().any(|known| known == code);
    assert!(has("QUOTE\"BACK\\SLASH") || has("ERR"), "{codes:?}");
}
