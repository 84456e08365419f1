//! Every row within a transaction that holds a shard: none may ask for a shard that is not held, for
//! which another one might wait for ever. The debug build panics when one does, which closes the
//! connection.

use larder_tests::{Server, Value};

/// Rows that end the server or the connection, stop its replies, or let it refuse writes.
const LEFT_OUT: [&str; 7] =
    ["shutdown", "quit", "reset", "client|kill", "client|reply", "replicaof", "slaveof"];

/// Calls that get further than a single dummy argument does.
const CALLS: &[&str] = &[
    "INFO",
    "INFO everything",
    "MEMORY STATS",
    "MEMORY DOCTOR",
    "MEMORY USAGE k",
    "DBSIZE",
    "KEYS *",
    "SCAN 0 COUNT 10000",
    "RANDOMKEY",
    "SORT l BY w_* GET o_* GET #",
    "SORT l BY w_* STORE other",
    "SORT_RO l BY w_* GET h_*->f",
    "OBJECT ENCODING k",
    "DEBUG DIGEST",
    "DEBUG DIGEST-VALUE k l",
    "DEBUG OBJECT k",
    "DEBUG HTSTATS 0",
    "DEBUG POPULATE 100",
    "DEBUG SLEEP 0",
    "CONFIG SET maxmemory 100mb",
    "CONFIG SET maxmemory 0",
    "CONFIG RESETSTAT",
    "CLIENT LIST",
    "CLIENT INFO",
    "CLIENT UNBLOCK 1",
    "LATENCY DOCTOR",
    "LATENCY HISTOGRAM",
    "COMMAND GETKEYS SET a b",
    "SWAPDB 0 1",
    "MOVE k 1",
    "COPY k other DB 1",
    "FLUSHDB",
    "FLUSHALL ASYNC",
    "UNWATCH",
    "REPLICAOF NO ONE",
    "FAILOVER ABORT",
    "WAIT 1 0",
    "WAITAOF 0 1 0",
    "SAVE",
    "DEBUG RELOAD",
];

/// Runs a command within a transaction, beside one that holds a shard.
fn run(server: &Server, words: &[&str]) {
    let mut conn = server.connect();
    for line in ["SET k v", "RPUSH l 1 2 3", "SET due 1 PX 1"] {
        conn.run(line);
    }
    conn.prepare("MULTI");
    conn.run("SET k v");
    let queued = conn.call(words);
    conn.run("DBSIZE");
    let reply = conn.run("EXEC");
    assert!(
        !matches!(reply, Value::Closed),
        "{words:?}: {queued}, and then the connection is gone"
    );
    // It may have subscribed to something, so another one asks.
    assert!(matches!(server.connect().run("DEL l"), Value::Integer(_)), "{words:?}");
}

#[test]
fn no_row_asks_for_a_shard_that_a_transaction_does_not_hold() {
    let server = Server::with(&["--enable-debug-command", "yes"]);
    for call in CALLS {
        run(&server, &call.split(' ').collect::<Vec<_>>());
    }
    let mut conn = server.connect();
    let Value::Array(names) = conn.run("COMMAND LIST") else { panic!("COMMAND LIST gives names") };
    for name in names.iter().map(Value::text) {
        let Value::Array(rows) = conn.call(&["COMMAND", "INFO", &name]) else { panic!("{name}") };
        let arity = match rows.first() {
            Some(Value::Array(facts)) => match facts.get(1) {
                Some(Value::Integer(arity)) => arity.unsigned_abs() as usize,
                _ => panic!("{name} has an arity"),
            },
            _ => panic!("{name} has a row"),
        };
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let mut words: Vec<&str> = name.split('|').collect();
        words.resize(arity.max(words.len()), "1");
        run(&server, &words);
    }
}
