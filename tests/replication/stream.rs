//! The stream of effects, command by command.

use larder_tests::{Conn, Server, eventually};

use crate::follower::Follower;

/// Runs lines and compares what they leave in the stream; `*` stands for anything.
#[track_caller]
fn leaves(follower: &mut Follower, conn: &mut Conn, lines: &str, effects: &[&str]) {
    conn.prepare(lines);
    conn.run("SET end of-it");
    let mut found = Vec::new();
    loop {
        let command = follower.next();
        if command == "SET end of-it" {
            break;
        }
        found.push(command);
    }
    let fits = found.len() == effects.len()
        && found.iter().zip(effects).all(|(found, wanted)| {
            larder_tests::glob(wanted.as_bytes().escape_ascii().to_string().as_str(), found)
                || found == wanted
        });
    assert!(fits, "{lines}\nleaves {found:#?}\nand not {effects:#?}");
}

#[test]
fn effects_say_the_same_later_and_elsewhere() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    let cases: &[(&str, &[&str])] = &[
        ("SET a 1", &["SET a 1"]),
        ("SET a 1 EX 100", &["SET a 1 PXAT *"]),
        ("SETEX a 100 1", &["SET a 1 PXAT *"]),
        ("EXPIRE a 50", &["PEXPIREAT a *"]),
        ("GETEX a PX 10000", &["PEXPIREAT a *"]),
        ("GETEX a PERSIST", &["PERSIST a"]),
        ("GETDEL a", &["DEL a"]),
        ("GETDEL a", &[]),
        ("GET a", &[]),
        ("DEL a", &[]),
        ("SADD s a", &["SADD s a"]),
        ("SPOP s", &["SREM s a"]),
        ("INCRBYFLOAT f 0.1", &["SET f 0.1 KEEPTTL"]),
        ("INCRBYFLOAT f 0.2", &["SET f 0.3 KEEPTTL"]),
        ("HINCRBYFLOAT h f 0.1", &["HSET h f 0.1"]),
        ("XADD x * f v", &["XADD x * f v"]),
        ("GETSET g 1", &["SET g 1"]),
        ("EXPIRE g -1", &["DEL g"]),
        // Where scores differ, nothing says which members lie between two names.
        ("ZADD z 0 a 0 b 0 c", &["ZADD z 0 a 0 b 0 c"]),
        ("ZREMRANGEBYLEX z [b [b", &["ZREMRANGEBYLEX z [b [b"]),
        ("ZADD z 1.5 b", &["ZADD z 1.5 b"]),
        ("ZRANGESTORE to z 0 -1", &["ZRANGESTORE to z 0 -1"]),
        ("ZRANGESTORE to z [a + BYLEX", &["MULTI", "DEL to", "ZADD to 0 a 0 c 1.5 b", "EXEC"]),
        ("ZREMRANGEBYLEX z - (b", &["ZREM z a"]),
        ("ZREMRANGEBYLEX z - +", &["DEL z"]),
        ("ZREMRANGEBYLEX z - +", &[]),
        ("RPUSH list 3 1 2", &["RPUSH list 3 1 2"]),
        ("SORT list BY none-* GET # STORE to", &["MULTI", "DEL to", "RPUSH to * * *", "EXEC"]),
        ("SORT none STORE to", &["DEL to"]),
        ("ZRANGESTORE to none 0 -1", &[]),
        ("XADD s 1-1 f v", &["XADD s 1-1 f v"]),
        (
            "XGROUP CREATE s g 0 ENTRIESREAD 9223372036854775807",
            &["XGROUP CREATE s g 0 ENTRIESREAD 9223372036854775807"],
        ),
        (
            "XREADGROUP GROUP g c NOACK STREAMS s >",
            &["XGROUP CREATECONSUMER s g c", "XGROUP SETID s g 1-1 ENTRIESREAD -1"],
        ),
        ("LREM list -1 3", &["LREM list -1 3"]),
        ("LREM list -9223372036854775808 2", &["LREM list 0 2"]),
        ("LREM list 0 none", &[]),
        ("BITFIELD bits OVERFLOW FAIL SET u2 0 9", &["BITFIELD bits OVERFLOW FAIL SET u2 0 9"]),
        ("BITFIELD bits OVERFLOW FAIL SET u2 0 9", &[]),
        ("SORT none STORE to", &[]),
    ];
    for (lines, effects) in cases {
        leaves(&mut follower, &mut conn, lines, effects);
    }
}

#[test]
fn what_belongs_together_comes_as_one_transaction() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    leaves(
        &mut follower,
        &mut conn,
        "MULTI\nINCR a\nGET a\nINCR b\nEXEC",
        &["MULTI", "INCR a", "INCR b", "EXEC"],
    );
    leaves(&mut follower, &mut conn, "MULTI\nINCR a\nGET a\nEXEC", &["INCR a"]);
    leaves(&mut follower, &mut conn, "MULTI\nGET a\nEXEC", &[]);
    let script = "EVAL \"redis.call('INCR', 'c') redis.call('RPUSH', 'l', 'x') return 1\" 0";
    leaves(&mut follower, &mut conn, script, &["MULTI", "INCR c", "RPUSH l x", "EXEC"]);
    leaves(&mut follower, &mut conn, "EVAL \"return redis.call('INCR', 'c')\" 0", &["INCR c"]);
}

#[test]
fn blocked_pops_and_messages_come_as_what_they_did() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    let mut waiting = primary.connect();
    waiting.send(b"BLPOP list 0\r\n");
    eventually("it waits", || primary.info("blocked_clients") == "1");
    leaves(&mut follower, &mut conn, "RPUSH list a", &["RPUSH list a", "LPOP list"]);
    assert_eq!(waiting.reply().items().len(), 2);
    leaves(&mut follower, &mut conn, "PUBLISH channel message", &["PUBLISH channel message"]);
    leaves(
        &mut follower,
        &mut conn,
        "MULTI\nINCR a\nPUBLISH c m\nEXEC",
        &["MULTI", "INCR a", "PUBLISH c m", "EXEC"],
    );
}

#[test]
fn what_goes_by_itself_is_deleted() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    conn.prepare("SET a 1 PX 30\nSET b 1");
    assert!(follower.next().starts_with("SET a 1 PXAT "));
    assert_eq!(follower.next(), "SET b 1");
    assert_eq!(follower.next(), "DEL a");
    conn.prepare("CONFIG SET maxmemory-policy allkeys-random\nCONFIG SET maxmemory 1");
    assert_eq!(follower.next(), "DEL b");
}

#[test]
fn databases_are_selected() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    conn.prepare("SET a 1\nSELECT 3\nSET b 1\nSET c 1\nSELECT 0\nMOVE a 5");
    let mut raw = Vec::new();
    for _ in 0..7 {
        let command = follower.conn.reply();
        let words: Vec<String> = command.items().iter().map(|word| word.text()).collect();
        raw.push(words.join(" "));
    }
    raw.retain(|command| command != "PING");
    let expected =
        ["SELECT 0", "SET a 1", "SELECT 3", "SET b 1", "SET c 1", "SELECT 0", "MOVE a 5"];
    assert_eq!(raw, expected[..raw.len()]);
}
