//! INFO, COMMAND, TIME, MEMORY, LATENCY, SLOWLOG, LOLWUT and DEBUG, and what is not there.

mod absent;
mod command;
mod debug;
mod info;

use larder_tests::{Server, Value, compare, eventually};

#[test]
fn time_is_now() {
    let server = Server::start();
    let mut conn = server.connect();
    let parts = conn.run("TIME").items();
    let number = |value: &Value| value.text().parse::<u64>().expect("digits");
    assert_eq!(parts.len(), 2);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    assert!(number(&parts[0]).abs_diff(now) < 60);
    assert!(number(&parts[1]) < 1_000_000);
    compare("TIME x\n@kind TIME\n");
}

#[test]
fn memory_subcommands() {
    compare(
        r#"
        MEMORY
        MEMORY BOGUS
        MEMORY USAGE
        MEMORY USAGE missing
        MEMORY USAGE a b
        MEMORY USAGE a SAMPLES
        SET a word
        @kind MEMORY USAGE a
        @kind MEMORY USAGE a SAMPLES 0
        @kind MEMORY USAGE a SAMPLES 5
        MEMORY USAGE a SAMPLES -1
        MEMORY USAGE a SAMPLES x
        MEMORY USAGE a BOGUS 1
        MEMORY USAGE missing SAMPLES 5
        MEMORY PURGE
        MEMORY PURGE x
        @kind MEMORY STATS
        MEMORY STATS x
        @kind MEMORY DOCTOR
        MEMORY DOCTOR x
        MEMORY MALLOC-STATS x
        MEMORY HELP x
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect();
    conn.call(&["SET", "small", "x"]);
    conn.call(&["SET", "large", &"x".repeat(100_000)]);
    let (small, large) =
        (conn.run("MEMORY USAGE small").int(), conn.run("MEMORY USAGE large").int());
    assert!(small > 0 && small < 200, "a small key takes {small}");
    assert!((100_000..140_000).contains(&large), "100 KB take {large}");
    let stats = conn.run("MEMORY STATS");
    for field in [
        "peak.allocated",
        "total.allocated",
        "startup.allocated",
        "replication.backlog",
        "clients.slaves",
        "clients.normal",
        "aof.buffer",
        "overhead.total",
        "keys.count",
        "keys.bytes-per-key",
        "dataset.bytes",
        "dataset.percentage",
        "peak.percentage",
        "fragmentation",
    ] {
        assert!(stats.field(field).is_some(), "MEMORY STATS has no {field}: {stats}");
    }
    assert_eq!(stats.field("keys.count"), Some(Value::Integer(2)));
}

#[test]
fn used_memory_is_real() {
    let server = Server::start();
    let mut conn = server.connect();
    let used = || server.info("used_memory").parse::<i64>().expect("a number");
    let before = used();
    let value = "x".repeat(10_000);
    for i in 0..1000 {
        conn.call(&["SET", &format!("k{i}"), &value]);
    }
    let grown = used() - before;
    assert!((9_500_000..16_000_000).contains(&grown), "10 MB of values count as {grown}");
    conn.expect("FLUSHALL", "+OK");
    eventually("the memory is counted free", || used() - before < 1_000_000);
    let peak = server.info("used_memory_peak").parse::<i64>().expect("a number");
    assert!(peak >= before + grown, "the peak stays");
}

#[test]
fn latency_subcommands() {
    compare(
        r#"
        LATENCY
        LATENCY BOGUS
        LATENCY LATEST
        LATENCY LATEST x
        LATENCY HISTORY
        LATENCY HISTORY command
        LATENCY HISTORY nothing
        LATENCY RESET
        LATENCY RESET command fork
        LATENCY GRAPH
        LATENCY GRAPH command
        LATENCY HELP x
        @kind LATENCY DOCTOR
        LATENCY DOCTOR x
        LATENCY HISTOGRAM bogus
        CONFIG SET latency-monitor-threshold 1
        DEBUG SLEEP 0.02
        @kind LATENCY LATEST
        @kind LATENCY HISTORY command
        @kind LATENCY GRAPH command
        LATENCY RESET command
        LATENCY LATEST
        "#,
    );
    let server = Server::with(&["--latency-monitor-threshold", "5"]);
    let mut conn = server.connect();
    conn.prepare("DEBUG SLEEP 0.02\nDEBUG SLEEP 0.03");
    let latest = conn.run("LATENCY LATEST").items();
    assert_eq!(latest.len(), 1);
    let event = latest[0].items();
    assert_eq!(event.len(), 4);
    assert_eq!(event[0].text(), "command");
    assert!(event[2].int() >= 20 && event[3].int() >= event[2].int().min(30));
    let history = conn.run("LATENCY HISTORY command").items();
    assert!(!history.is_empty() && history.iter().all(|sample| sample.items().len() == 2));
    conn.expect("LATENCY RESET", ":1");
    conn.expect("LATENCY LATEST", "[]");
}

#[test]
fn latency_histogram_counts_calls() {
    let server = Server::start();
    let mut conn = server.connect3();
    conn.prepare("SET a 1\nSET a 2\nSET a 3\nGET a");
    let histogram = conn.run("LATENCY HISTOGRAM set get");
    let set = histogram.field("set").expect("SET ran");
    assert_eq!(set.field("calls"), Some(Value::Integer(3)));
    let buckets = set.field("histogram_usec").expect("its buckets").items();
    assert_eq!(buckets.last().map(Value::int), Some(3), "buckets are cumulative");
    assert!(histogram.field("get").is_some() && histogram.field("hello").is_none());
    assert!(conn.run("LATENCY HISTOGRAM").field("hello").is_some());
    conn.prepare("CONFIG RESETSTAT");
    conn.expect("LATENCY HISTOGRAM set", "{}");
}

#[test]
fn slowlog() {
    compare(
        r#"
        SLOWLOG
        SLOWLOG BOGUS
        SLOWLOG LEN
        SLOWLOG GET
        SLOWLOG GET 10
        SLOWLOG GET 0
        SLOWLOG GET -1
        SLOWLOG GET -2
        SLOWLOG GET x
        SLOWLOG GET 1 2
        SLOWLOG LEN x
        SLOWLOG RESET
        SLOWLOG RESET x
        SLOWLOG HELP x
        CONFIG SET slowlog-log-slower-than 0
        PING
        CONFIG SET slowlog-log-slower-than -1
        SLOWLOG LEN
        CONFIG SET slowlog-log-slower-than 1000
        DEBUG SLEEP 0.01
        SLOWLOG LEN
        SLOWLOG RESET
        SLOWLOG LEN
        "#,
    );
    let server = Server::with(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "5"]);
    let mut conn = server.connect();
    conn.prepare("CLIENT SETNAME kim\nSLOWLOG RESET");
    let many: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    let mut args = vec!["MGET"];
    args.extend(many.iter().map(String::as_str));
    conn.call(&args);
    conn.call(&["SET", "a", &"v".repeat(200)]);
    conn.prepare("AUTH default secret-word");
    let entries = conn.run("SLOWLOG GET").items();
    let texts: Vec<String> = entries.iter().map(ToString::to_string).collect();
    assert_eq!(entries.len(), 4, "{texts:?}");
    let ids: Vec<i64> = entries.iter().map(|entry| entry.items()[0].int()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1] + 1), "newest first: {ids:?}");
    let set = entries[1].items();
    assert_eq!(set.len(), 6);
    let cut = format!("{}... (72 more bytes)", "v".repeat(128));
    assert_eq!(set[3].items()[2].text(), cut, "arguments are cut at 128 bytes");
    assert_eq!(set[4].text(), conn.local_addr().to_string());
    assert_eq!(set[5].text(), "kim");
    let mget = entries[2].items()[3].items();
    assert_eq!(mget.len(), 32);
    assert_eq!(mget[31].text(), "... (10 more arguments)");
    assert!(!texts.join(" ").contains("secret-word"), "passwords stay out of the log");
    for _ in 0..10 {
        conn.prepare("PING");
    }
    conn.expect("SLOWLOG LEN", ":5");
    assert_eq!(conn.run("SLOWLOG GET 2").items().len(), 2);
    assert_eq!(conn.run("SLOWLOG GET -1").items().len(), 5);
}

#[test]
fn lolwut_answers_with_its_version() {
    let server = Server::start();
    let mut conn = server.connect();
    let version = server.info("redis_version");
    for line in [
        "LOLWUT",
        "LOLWUT 1 2 3",
        "LOLWUT VERSION 5",
        "LOLWUT VERSION 5 1 1 1",
        "LOLWUT VERSION 99",
    ] {
        let text = conn.run(line).text();
        let signed = text.contains(&format!("Redis ver. {version}")) && text.ends_with('\n');
        assert!(signed, "{line} gave {text}");
    }
    assert_eq!(server.connect3().run("LOLWUT").kind(), '=');
}
