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
        // What is no geohash is another place for another server.
        ("GEOADD geo 13 38 a", &["zadd geo 3479065152021743 a"]),
        ("GEOADD geo CH 13 38 a", &[]),
        ("GEOADD geo NX 14 38 a", &[]),
        ("GEOADD none XX 14 38 a", &[]),
        (
            "GEOSEARCHSTORE to geo FROMLONLAT 13 38 BYRADIUS 1 km STOREDIST",
            &["MULTI", "DEL to", "ZADD to 1.* a", "EXEC"],
        ),
        (
            "GEORADIUS geo 13 38 1 km STORE to",
            &["MULTI", "DEL to", "ZADD to 3479065152021743 a", "EXEC"],
        ),
        ("GEORADIUSBYMEMBER geo a 1 km", &[]),
        ("GEORADIUSBYMEMBER none a 1 km STORE to", &["DEL to"]),
        ("GEORADIUSBYMEMBER none a 1 km STORE to", &[]),
        // Not every server reads such a number where a range begins or ends.
        ("ZADD z 1 a 2 b 3 c", &["ZADD z 1 a 2 b 3 c"]),
        ("ZRANGESTORE to z 1.5 +inf BYSCORE", &["ZRANGESTORE to z 1.5 +inf BYSCORE"]),
        ("ZRANGESTORE to z (0x1 INFINITY BYSCORE", &["MULTI", "DEL to", "ZADD to 2 b 3 c", "EXEC"]),
        ("ZRANGESTORE to none 0x1 9 BYSCORE", &["DEL to"]),
        ("ZREMRANGEBYSCORE z -inf 1e0", &["ZREMRANGEBYSCORE z -inf 1e0"]),
        ("ZREMRANGEBYSCORE z \" 1\" 0X2", &["ZREM z b"]),
        ("ZREMRANGEBYSCORE z 0 0x9", &["DEL z"]),
        ("XADD s 1-1 f v", &["XADD s 1-1 f v"]),
        (
            "XGROUP CREATE s g 0 ENTRIESREAD 9223372036854775807",
            &["XGROUP CREATE s g 0 ENTRIESREAD 9223372036854775807"],
        ),
        (
            "XREADGROUP GROUP g c NOACK STREAMS s >",
            &[
                "MULTI",
                "XGROUP CREATECONSUMER s g c",
                "XGROUP SETID s g 1-1 ENTRIESREAD -1",
                "EXEC",
            ],
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
fn what_a_command_does_in_several_steps_comes_as_one_transaction() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    let claim = |id: &str| format!("XCLAIM s g * 0 {id} TIME * RETRYCOUNT * FORCE JUSTID LASTID *");
    let (one, two) = (claim("1-1"), claim("2-1"));
    let both = ["MULTI", &one, &two, "EXEC"];
    let lines = "XGROUP CREATE s g 0 MKSTREAM\nXADD s 1-1 f v\nXADD s 2-1 f v";
    leaves(&mut follower, &mut conn, lines, &lines.split('\n').collect::<Vec<_>>());
    leaves(&mut follower, &mut conn, "XREADGROUP GROUP g c STREAMS s >", &both);
    leaves(&mut follower, &mut conn, "XCLAIM s g d 0 1-1 2-1", &both);
    leaves(&mut follower, &mut conn, "XAUTOCLAIM s g e 0 0", &both);
    leaves(&mut follower, &mut conn, "XCLAIM s g d 0 1-1", &[&one]);
    for (line, name) in [
        ("XCLAIM s g h 0 9-9", "h"),
        ("XAUTOCLAIM s g i 1000000 0", "i"),
        ("XREADGROUP GROUP g j STREAMS s >", "j"),
        ("XREADGROUP GROUP g k STREAMS s 0", "k"),
    ] {
        // Nothing is given, but the consumer is there.
        leaves(&mut follower, &mut conn, line, &[&format!("XGROUP CREATECONSUMER s g {name}")]);
        leaves(&mut follower, &mut conn, line, &[]);
    }
    let lines = "XADD s 3-1 f v\nXGROUP CREATE t g 0 MKSTREAM\nXADD t 1-1 f v";
    leaves(&mut follower, &mut conn, lines, &lines.split('\n').collect::<Vec<_>>());
    let each = [&claim("3-1"), &one.replace(" s ", " t ")];
    leaves(
        &mut follower,
        &mut conn,
        "XREADGROUP GROUP g c STREAMS s t > >",
        &["MULTI", each[0], each[1], "EXEC"],
    );
    // More than one command takes.
    let members: String = (0..1500).map(|member| format!(" {member}")).collect();
    let fill = format!("SADD set{members}");
    leaves(&mut follower, &mut conn, &fill, &[&fill]);
    leaves(&mut follower, &mut conn, "SPOP set 1000", &["SREM set *"]);
    leaves(&mut follower, &mut conn, &fill, &[&fill]);
    leaves(
        &mut follower,
        &mut conn,
        "SPOP set 1400",
        &["MULTI", "SREM set *", "SREM set *", "EXEC"],
    );
    leaves(&mut follower, &mut conn, "SPOP set 1000", &["DEL set"]);
}

#[test]
fn what_was_due_goes_before_what_takes_its_place() {
    let primary = Server::start();
    let (mut follower, mut conn) = (Follower::new(&primary), primary.connect());
    conn.prepare("DEBUG SET-ACTIVE-EXPIRE 0");
    let lines = "RPUSH list a b c\nZADD z 0 a 1 b\nGEOADD geo 13 38 a";
    leaves(
        &mut follower,
        &mut conn,
        lines,
        &["RPUSH list a b c", "ZADD z 0 a 1 b", "zadd geo * a"],
    );
    let larder_tests::Value::Bulk(payload) = conn.run("DUMP z") else { panic!("no payload") };
    let payload: String = payload.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let cases: &[(&str, &[&str])] = &[
        ("SET to x", &["SET to x"]),
        ("SET to x PX 9000", &["SET to x PXAT *"]),
        ("SETNX to x", &["SETNX to x"]),
        ("GETSET to x", &["SET to x"]),
        ("INCRBYFLOAT to 1", &["SET to 1 KEEPTTL"]),
        ("HINCRBYFLOAT to f 1", &["HSET to f 1"]),
        ("HSETEX to PX 9000 FIELDS 1 f v", &["HSETEX to PXAT * FIELDS 1 f v"]),
        ("LMOVE list to LEFT LEFT", &["LMOVE list to LEFT LEFT"]),
        ("BLMOVE list to LEFT LEFT 1", &["LMOVE list to LEFT LEFT"]),
        ("BRPOPLPUSH list to 1", &["RPOPLPUSH list to"]),
        ("GEOADD to 13 38 a", &["zadd to * a"]),
        ("ZRANGESTORE to z 0 -1", &["ZRANGESTORE to z 0 -1"]),
        ("ZRANGESTORE to z - + BYLEX", &["MULTI", "DEL to", "ZADD to 0 a 1 b", "EXEC"]),
        ("SORT z ALPHA STORE to", &["MULTI", "DEL to", "RPUSH to a b", "EXEC"]),
        (
            "GEOSEARCHSTORE to geo FROMMEMBER a BYRADIUS 1 km",
            &["MULTI", "DEL to", "ZADD to * a", "EXEC"],
        ),
        ("COPY z to", &["COPY z to"]),
        ("XADD to 1-1 f v", &["XADD to 1-1 f v"]),
        ("XGROUP CREATE to g 0 MKSTREAM", &["XGROUP CREATE to g 0 MKSTREAM"]),
        ("PFADD to x", &["PFADD to x"]),
        ("RESTORE to 9000 \"%\"", &["RESTORE to * ABSTTL"]),
    ];
    for (line, effects) in cases {
        leaves(&mut follower, &mut conn, "SET to x PX 1", &["SET to x PXAT *"]);
        std::thread::sleep(std::time::Duration::from_millis(3));
        let own = effects.iter().filter(|effect| !["MULTI", "EXEC"].contains(effect));
        let expected: Vec<&str> =
            ["MULTI", "DEL to"].into_iter().chain(own.copied()).chain(["EXEC"]).collect();
        leaves(&mut follower, &mut conn, &line.replace('%', &payload), &expected);
        conn.run("DEL to");
        assert_eq!(follower.next(), "DEL to");
    }
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

/// What expiry and eviction tell, each word for word.
#[track_caller]
fn tells_of_what_goes(primary: &Server, word: &str) {
    let (mut follower, mut conn) = (Follower::new(primary), primary.connect());
    conn.prepare("SET a 1 PX 30\nSET b 1");
    assert!(follower.next().starts_with("SET a 1 PXAT "));
    assert_eq!(follower.next(), "SET b 1");
    assert_eq!(follower.next(), format!("{word} a"));
    conn.prepare("CONFIG SET maxmemory-policy allkeys-random\nCONFIG SET maxmemory 1");
    assert_eq!(follower.next(), format!("{word} b"));
}

#[test]
fn what_goes_by_itself_is_deleted() {
    tells_of_what_goes(&Server::start(), "DEL");
}

#[test]
fn what_is_freed_in_the_background_is_unlinked() {
    let primary = Server::start();
    let mut conn = primary.connect();
    let settings =
        ["expire", "eviction", "server-del"].map(|what| format!("lazyfree-lazy-{what} yes"));
    conn.expect(&format!("CONFIG SET {}", settings.join(" ")), "+OK");
    conn.prepare("SET p 1");
    let larder_tests::Value::Bulk(payload) = conn.run("DUMP p") else { panic!("no payload") };
    let payload: String = payload.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let mut follower = Follower::new(&primary);
    let restore = format!("RESTORE p 1 \"{payload}\" ABSTTL REPLACE");
    let cases: &[(&str, &[&str])] = &[
        ("SADD s a b\nSPOP s 2", &["SADD s a b", "UNLINK s"]),
        (&restore, &["UNLINK p"]),
        ("SET a 1\nEXPIRE a -1", &["SET a 1", "UNLINK a"]),
        ("SET a 1\nGETEX a PXAT 1", &["SET a 1", "UNLINK a"]),
        // What one command deletes as its very task.
        ("SET a 1\nGETDEL a", &["SET a 1", "DEL a"]),
        ("SET a 1\nDEL a", &["SET a 1", "DEL a"]),
        (
            "DEBUG SET-ACTIVE-EXPIRE 0\nSET a 1 PX 1\nDEBUG SLEEP 0.01\nGET a",
            &["SET a 1 PXAT *", "UNLINK a"],
        ),
    ];
    for (lines, effects) in cases {
        leaves(&mut follower, &mut conn, lines, effects);
    }
    conn.prepare("DEBUG SET-ACTIVE-EXPIRE 1\nDEL end");
    tells_of_what_goes(&primary, "UNLINK");
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
