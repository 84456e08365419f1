//! Full syncs, and going on after a cut.

use std::time::Duration;

use larder_tests::{Server, eventually};

use crate::{assert_same, attach, digest, is_caught_up, stock};

/// Something of every type, with deadlines, in two databases.
const DATA: &str = "
    SET string value
    SET number 12345
    SETRANGE long 20000 x
    APPEND long tail
    SET volatile v PX 1000000
    RPUSH list a b c 1 2 3
    SADD ints 1 2 3
    SADD words a b c
    HSET hash f v g w
    ZADD zset 1 a 2.5 b
    XADD stream 1-1 f v
    XADD stream 2-1 f w g x
    XGROUP CREATE stream group 0
    XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >
    PFADD hll a b c
    EXPIRE hash 100000
    SELECT 9
    SET other db
    SELECT 0
    FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 7 end)\"
";

/// Follows a stock primary with these directives through a full sync and a stream.
fn follows(args: &[&str]) {
    let (primary, replica) = (stock(args), Server::start());
    let mut theirs = primary.connect();
    theirs.prepare(DATA);
    for index in 0..2000 {
        theirs.run(&format!("RPUSH many:{} {index}", index % 7));
    }
    replica.connect().prepare("SET gone 1");
    attach(&replica, &primary);
    eventually("the full sync", || is_caught_up(&mut theirs, 1));
    assert_same(&primary, &replica);
    let mut ours = replica.connect();
    ours.expect("EXISTS gone", ":0");
    ours.expect("FCALL_RO f 0", "-READONLY You can't write against a read only replica.");
    theirs.prepare(
        "INCR number
         SELECT 9
         LPUSH other:list 1
         SELECT 3
         SPOP nothing
         SADD set a b c d e f
         SPOP set 2
         EXPIRE set 1000
         SELECT 0
         MULTI
         SET pair:1 a
         SET pair:2 a
         EXEC
         EVAL \"redis.call('SET', KEYS[1], 'x'); redis.call('SET', KEYS[2], 'y')\" 2 s1 s2
         DEL string
         FUNCTION FLUSH
         FLUSHDB
         SWAPDB 0 9",
    );
    assert_same(&primary, &replica);
    ours.expect("GET other", "\"db\"");
    assert_eq!(primary.info("sync_full"), "1");
}

#[test]
fn a_data_set_between_marks_is_taken() {
    follows(&[]);
}

#[test]
fn a_data_set_of_known_length_is_taken() {
    follows(&["--repl-diskless-sync", "no"]);
}

#[test]
fn one_that_was_cut_off_goes_on() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    let mut theirs = primary.connect();
    eventually("the full sync", || is_caught_up(&mut theirs, 1));
    theirs.prepare("SELECT 5\nSET a 1");
    for cut in 1..=5 {
        theirs.expect("CLIENT KILL TYPE replica", ":1");
        theirs.run(&format!("RPUSH list {cut}"));
        theirs.run("INCR counter");
        let goes_on = || primary.info("sync_partial_ok") == cut.to_string();
        eventually("it goes on where it was", goes_on);
        eventually("the stream", || is_caught_up(&mut theirs, 1));
    }
    // From the replica's side as well.
    replica.connect().expect("CLIENT KILL TYPE master", ":1");
    eventually("it goes on where it was", || primary.info("sync_partial_ok") == "6");
    theirs.run("INCR counter");
    assert_same(&primary, &replica);
    assert_eq!(primary.info("sync_full"), "1");
}

#[test]
fn a_cut_inside_a_transaction_goes_on_before_it() {
    let (primary, replica) = (stock(&[]), Server::start());
    attach(&replica, &primary);
    let mut theirs = primary.connect();
    eventually("the full sync", || is_caught_up(&mut theirs, 1));
    let large = "x".repeat(100_000);
    for round in 0..10 {
        theirs.run("MULTI");
        for index in 0..50 {
            theirs.call(&["SET", &format!("key:{index}"), &large]);
        }
        theirs.run("INCR rounds");
        theirs.run("EXEC");
        if round % 2 == 0 {
            theirs.run("CLIENT KILL TYPE replica");
        }
    }
    assert_same(&primary, &replica);
}

#[test]
fn a_sync_that_fails_costs_nothing() {
    let primary = stock(&["--rdb-key-save-delay", "2000"]);
    primary.connect().run("DEBUG POPULATE 5000 key 100");
    let replica = Server::start();
    let mut ours = replica.connect();
    ours.prepare("SET old 1\nRPUSH list a b");
    let before = digest(&mut ours);
    attach(&replica, &primary);
    eventually("the sync is under way", || primary.info("rdb_bgsave_in_progress") == "1");
    std::thread::sleep(Duration::from_millis(300));
    ours.expect("GET old", "\"1\"");
    primary.signal("KILL");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(digest(&mut ours), before);
    ours.expect("GET old", "\"1\"");
    ours.expect("REPLICAOF NO ONE", "+OK");
    ours.expect("RPUSH list c", ":3");
}

#[test]
fn the_stream_goes_on_in_its_database_under_another_id() {
    let (mut primary, sibling) = (stock(&[]), stock(&[]));
    let port = primary.addr().port().to_string();
    let args = ["--save", "3600 1000000000", "--replicaof", "127.0.0.1", &port];
    let mut replica = Server::with(&args);
    attach(&sibling, &primary);
    let mut theirs = primary.connect();
    theirs.prepare("SELECT 5\nSET before 1");
    eventually("both have it", || is_caught_up(&mut theirs, 2));
    replica.signal("TERM");
    assert!(replica.wait_exit().success(), "{}", replica.log());
    // In the middle of what db 5 is told, which says so no more.
    theirs.prepare("SET between 1");
    eventually("the sibling has it", || is_caught_up(&mut theirs, 1));
    primary.signal("KILL");
    primary.wait_exit();
    sibling.connect().expect("REPLICAOF NO ONE", "+OK");
    replica.restart();
    attach(&replica, &sibling);
    assert_same(&sibling, &replica);
    assert_eq!(sibling.info("sync_partial_ok"), "1", "{}", replica.log());
    let mut ours = replica.connect();
    ours.prepare("SELECT 5");
    ours.expect("MGET before between", "[\"1\", \"1\"]");
}
