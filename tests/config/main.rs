//! Configuration: CONFIG at run time, the file, the command line, and what happens to mistakes.

mod start;

use std::collections::BTreeMap;

use larder_tests::{Conn, Redis, Server, compare};

fn all(conn: &mut Conn) -> BTreeMap<String, String> {
    let items = conn.run("CONFIG GET *").items();
    items.chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect()
}

#[test]
fn get_grammar() {
    compare(
        r#"
        CONFIG GET maxmemory
        CONFIG GET MAXMEMORY
        CONFIG GET maxmemory-po*
        CONFIG GET bogus
        CONFIG GET ""
        CONFIG GET maxmemory maxmemory
        @unordered CONFIG GET databases bogus proto-max-bulk-len
        @unordered CONFIG GET ?ash-max-listpack-value hz
        @unordered CONFIG GET lazyfree*
        CONFIG GET [m]axmemory
        CONFIG GET
        CONFIG
        CONFIG BOGUS
        CONFIG HELP x
        CONFIG RESETSTAT
        CONFIG RESETSTAT x
        CONFIG REWRITE
        CONFIG REWRITE x
        config get databases
        "#,
    );
}

#[test]
fn what_is_set_holds_for_what_stands_behind_it() {
    let script = "CONFIG SET slowlog-log-slower-than 0\r\nSLOWLOG RESET\r\nPING\r\n\
        CONFIG SET slowlog-log-slower-than -1\r\nPING\r\nSLOWLOG LEN\r\n\
        CONFIG SET slowlog-log-slower-than 0\r\nSLOWLOG LEN\r\n\
        CONFIG SET maxmemory 1 slowlog-log-slower-than -1\r\nSET key value\r\n";
    for server in [Server::start(), Redis::start()] {
        let mut conn = server.connect();
        conn.send(script.as_bytes());
        let replies: Vec<String> = (0..10).map(|_| conn.reply().to_string()).collect();
        assert_eq!(replies[5], ":2", "SLOWLOG RESET and PING: {replies:?}");
        assert_eq!(replies[7], ":3", "and the CONFIG SET that began it: {replies:?}");
        assert!(replies[9].starts_with("-OOM command not allowed"), "{replies:?}");
    }
}

#[test]
fn set_and_its_errors() {
    compare(
        r#"
        CONFIG SET maxmemory 1gb
        CONFIG GET maxmemory
        CONFIG SET maxmemory 1g
        CONFIG GET maxmemory
        CONFIG SET maxmemory 10MB
        CONFIG GET maxmemory
        CONFIG SET maxmemory 10m
        CONFIG SET maxmemory 1kb
        CONFIG SET maxmemory 1k
        CONFIG SET maxmemory 100b
        CONFIG SET maxmemory 0
        CONFIG SET maxmemory 10x
        CONFIG SET maxmemory -1
        CONFIG SET maxmemory ""
        CONFIG SET maxmemory 1.5gb
        # Redis 7 lets this wrap around; a limit nobody meant is worse than a refusal.
        CONFIG SET maxmemory 99999999999999999999gb
        =* -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be *
        CONFIG SET maxmemory 0
        CONFIG SET maxmemory-policy allkeys-lru
        CONFIG GET maxmemory-policy
        CONFIG SET maxmemory-policy ALLKEYS-LFU
        CONFIG GET maxmemory-policy
        CONFIG SET maxmemory-policy bogus
        @7 CONFIG SET maxmemory-samples 0
        CONFIG SET maxmemory-samples 10
        CONFIG SET maxmemory-samples x
        @7 CONFIG SET maxmemory-samples 99999
        CONFIG SET hz 100
        CONFIG GET hz
        CONFIG SET timeout -1
        CONFIG SET timeout 10
        CONFIG SET timeout 1 timeout 2
        CONFIG SET TIMEOUT 7 HZ 20
        CONFIG GET timeout
        CONFIG GET hz
        CONFIG SET timeout 8 bogus 1
        CONFIG SET timeout 9 hz x
        CONFIG GET timeout
        CONFIG SET timeout
        CONFIG SET timeout 1 hz
        CONFIG SET
        CONFIG SET bogus 1
        CONFIG SET databases 4
        CONFIG SET port x
        CONFIG SET port 99999
        CONFIG SET lazyfree-lazy-expire yes
        CONFIG SET lazyfree-lazy-expire YES
        CONFIG SET lazyfree-lazy-expire 1
        CONFIG SET lazyfree-lazy-expire maybe
        CONFIG GET lazyfree-lazy-expire
        CONFIG SET slowlog-log-slower-than -1
        CONFIG SET slowlog-log-slower-than -2
        CONFIG SET slowlog-max-len -1
        CONFIG SET maxclients 0
        CONFIG SET maxclients 50
        CONFIG GET maxclients
        CONFIG SET loglevel debug
        CONFIG SET loglevel loud
        = -ERR CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of the following: debug, verbose, notice, warning, nothing
        CONFIG SET notify-keyspace-events KEA
        CONFIG GET notify-keyspace-events
        CONFIG SET notify-keyspace-events Kx
        CONFIG GET notify-keyspace-events
        CONFIG SET notify-keyspace-events q
        CONFIG SET notify-keyspace-events ""
        CONFIG GET notify-keyspace-events
        CONFIG SET save "900 1 300 10"
        CONFIG GET save
        CONFIG SET save "900"
        CONFIG SET save ""
        CONFIG SET client-output-buffer-limit "normal 100 50 10"
        CONFIG SET client-output-buffer-limit "normal 1 2 3 4"
        CONFIG SET client-output-buffer-limit "bogus 1 2 3"
        CONFIG SET client-output-buffer-limit "pubsub 32mb 8mb 60 normal 0 0 0"
        CONFIG SET proto-max-bulk-len 1mb
        CONFIG GET proto-max-bulk-len
        CONFIG SET proto-max-bulk-len 1kb
        CONFIG SET client-query-buffer-limit 1mb
        CONFIG SET client-query-buffer-limit 1kb
        CONFIG SET latency-tracking-info-percentiles "50 99.9"
        CONFIG GET latency-tracking-info-percentiles
        CONFIG SET latency-tracking-info-percentiles "50 101"
        CONFIG SET lfu-log-factor 0
        CONFIG SET lfu-decay-time -1
        CONFIG SET slaveof "x 1"
        CONFIG SET dir /nonexistent
        CONFIG SET requirepass ""
        "#,
    );
}

#[test]
fn a_failed_set_changes_nothing() {
    let server = Server::start();
    let mut conn = server.connect();
    let before = all(&mut conn);
    for line in
        ["timeout 77 hz x", "maxmemory 1gb bogus 1", "timeout 5 timeout 6", "hz 50 databases 3"]
    {
        assert!(conn.run(&format!("CONFIG SET {line}")).is_error("ERR "), "{line}");
    }
    assert_eq!(all(&mut conn), before);
}

#[test]
fn every_directive_of_redis_is_known() {
    let (server, redis) = (Server::start(), Redis::start());
    if redis.major() > 7 {
        // Redis 8 has directives of its own; which ones 7 has, only a 7 can tell.
        return;
    }
    let (ours, theirs) = (all(&mut server.connect()), all(&mut redis.connect()));
    // Redis 7.2 has dropped the first; the others are new in it.
    let known = |name: &str| ours.contains_key(name);
    let missing: Vec<&String> =
        theirs.keys().filter(|name| *name != "aof-disable-auto-gc" && !known(name)).collect();
    assert!(missing.is_empty(), "CONFIG GET does not know {missing:?}");
    for name in ["locale-collate", "set-max-listpack-entries", "set-max-listpack-value"] {
        assert!(known(name), "CONFIG GET does not know {name}");
    }
}

#[test]
fn defaults_are_redis_defaults() {
    let (server, redis) = (Server::start(), Redis::start());
    if redis.major() > 7 {
        // Redis 8 has directives of its own; which ones 7 has, only a 7 can tell.
        return;
    }
    let (ours, theirs) = (all(&mut server.connect()), all(&mut redis.connect()));
    let own = [
        // The place and the port are each server's own.
        "bind",
        "dir",
        "port",
        "pidfile",
        "unixsocket",
        "logfile",
        "tcp-backlog",
        // Finite here, so that one client can not take all memory.
        "client-output-buffer-limit",
        "client-query-buffer-limit",
        // Answers to the machine or the build they run on.
        "maxclients",
        "oom-score-adj-values",
        "io-threads",
        "supervised",
        "proc-title-template",
        // Gone from Redis 7.2.
        "aof-disable-auto-gc",
    ];
    let differ: Vec<String> = theirs
        .iter()
        .filter(|(name, value)| !own.contains(&name.as_str()) && ours.get(*name) != Some(value))
        .map(|(name, value)| format!("{name}: redis {value:?}, larder {:?}", ours.get(name)))
        .collect();
    assert!(differ.is_empty(), "defaults differ:\n{}", differ.join("\n"));
}

#[test]
fn what_was_set_is_read_back() {
    let server = Server::start();
    let mut conn = server.connect();
    // Setting everything that can be set to what it is changes nothing.
    let fixed = [
        "port",
        "bind",
        "dir",
        "dbfilename",
        "requirepass",
        "replicaof",
        "slaveof",
        "tls-port",
        "oom-score-adj",
        "oom-score-adj-values",
        "unixsocket",
    ];
    for (name, value) in all(&mut conn) {
        if fixed.contains(&name.as_str()) {
            continue;
        }
        let reply = conn.call(&["CONFIG", "SET", &name, &value]);
        let constant = reply.is_error("ERR CONFIG SET failed (possibly related to argument");
        assert!(reply.to_string() == "+OK" || constant, "{name} {value:?} gave {reply}");
        let back = conn.run(&format!("CONFIG GET {name}")).items();
        assert_eq!(back[1].text(), value, "{name}");
    }
}

#[test]
fn settings_take_effect_at_once() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("CONFIG SET maxmemory-policy allkeys-lfu\nSET a word");
    assert!(conn.run("OBJECT FREQ a").int() >= 0);
    conn.prepare("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3");
    for _ in 0..9 {
        conn.prepare("PING");
    }
    conn.expect("SLOWLOG LEN", ":3");
    let extra = (0..2).map(|_| server.connect()).collect::<Vec<_>>();
    conn.prepare("CONFIG SET maxclients 1");
    let mut late = server.connect();
    let answer = late.wait_closed();
    assert_eq!(String::from_utf8_lossy(&answer), "-ERR max number of clients reached\r\n");
    conn.prepare("CONFIG SET maxclients 100");
    server.connect().expect("PING", "+PONG");
    drop(extra);
}
