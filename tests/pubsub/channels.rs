//! Channels, patterns and shard channels, compared with Redis.

use larder_tests::{Server, compare, encode, eventually};

#[test]
fn messages_reach_those_who_listen() {
    compare(
        r#"
        PUBLISH nobody x
        @b SUBSCRIBE one two one
        @b @read
        @b @read
        PUBLISH one "a message"
        @b @read
        PUBLISH two ""
        @b @read
        PUBLISH three x
        @c PSUBSCRIBE o?e [a-c]*
        @c @read
        PUBLISH one both
        @b @read
        @c @read
        PUBLISH cat meow
        @c @read
        PUBSUB NUMSUB one two three one
        PUBSUB NUMSUB
        PUBSUB NUMPAT
        PUBSUB CHANNELS t*
        PUBSUB CHANNELS x*
        @unordered PUBSUB CHANNELS
        @b UNSUBSCRIBE two
        PUBLISH two x
        @b SUBSCRIBE one
        PUBLISH one twice?
        @b @read
        @c PUNSUBSCRIBE nothing o?e
        @c @read
        PUBLISH one y
        @b @read
        @c PUNSUBSCRIBE
        @c PUNSUBSCRIBE
        @c UNSUBSCRIBE
        @b UNSUBSCRIBE
        @b UNSUBSCRIBE one
        @b GET key
        PUBSUB NUMPAT
        PUBSUB CHANNELS
        "#,
    );
}

#[test]
fn shard_channels_are_a_world_of_their_own() {
    compare(
        r#"
        @b SSUBSCRIBE one two
        @b @read
        @b SUBSCRIBE one
        @b PSUBSCRIBE *
        SPUBLISH one x
        @b @read
        SPUBLISH three x
        PUBLISH two y
        @b @read
        PUBSUB SHARDNUMSUB one two three
        PUBSUB SHARDCHANNELS o*
        PUBSUB SHARDCHANNELS z
        PUBSUB NUMSUB one two
        @b SUNSUBSCRIBE three
        @b SUNSUBSCRIBE one
        @b SUNSUBSCRIBE
        @b SUNSUBSCRIBE
        PUBSUB SHARDNUMSUB
        PUBSUB SHARDCHANNELS
        COMMAND GETKEYS SPUBLISH a b
        "#,
    );
}

#[test]
fn a_subscriber_may_do_little_in_resp2() {
    compare(
        r#"
        SUBSCRIBE one
        GET key
        PING
        PING hello
        PING a b
        SPUBLISH two x
        =2 -ERR Can't execute 'spublish': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
        =3 :0
        CLIENT ID
        =2 -ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
        =3* :*
        "#,
    );
}

/// Others may be subscribed to within a transaction.
#[test]
fn no_shard_channel_within_a_transaction() {
    compare(
        r#"
        MULTI
        SSUBSCRIBE one
        SUNSUBSCRIBE one
        SUBSCRIBE one
        UNSUBSCRIBE one
        EXEC
        PUBSUB SHARDCHANNELS
        "#,
    );
}

#[test]
fn a_message_to_oneself_comes_after_the_reply() {
    let server = Server::start();
    let mut conn = server.connect3();
    conn.run("SUBSCRIBE one");
    let requests = [encode(&["PUBLISH", "one", "x"]), encode(&["PING"])].concat();
    conn.send(&requests);
    let answers: Vec<String> = (0..3).map(|_| conn.reply().to_string()).collect();
    assert_eq!(answers[0], ":1");
    assert!(answers[1].contains("message") && answers[1].contains('x'), "{answers:?}");
    assert_eq!(answers[2], "+PONG");
}

#[test]
fn what_is_wrong_is_said() {
    compare(
        r#"
        SUBSCRIBE
        PSUBSCRIBE
        SSUBSCRIBE
        PUBLISH one
        SPUBLISH one
        PUBSUB
        PUBSUB NOTHING
        PUBSUB CHANNELS a b
        PUBSUB NUMPAT x
        @kind PUBSUB HELP
        "#,
    );
}

#[test]
fn a_reset_ends_all_subscriptions() {
    compare(
        r#"
        @b SUBSCRIBE one
        @b PSUBSCRIBE o*
        @b SSUBSCRIBE one
        @b RESET
        @b PING
        PUBLISH one x
        SPUBLISH one x
        PUBSUB NUMPAT
        PUBSUB CHANNELS
        PUBSUB SHARDCHANNELS
        "#,
    );
}

#[test]
fn silence_is_for_replies_alone() {
    let server = Server::start();
    let mut conn = server.connect3();
    conn.send(&encode(&["CLIENT", "REPLY", "OFF"]));
    conn.send(&encode(&["PING"]));
    conn.send(&encode(&["SUBSCRIBE", "one"]));
    assert!(conn.reply().to_string().contains("subscribe"));
    conn.send(&encode(&["PUBLISH", "one", "x"]));
    assert!(conn.reply().to_string().contains("message"));
}

#[test]
fn those_who_go_are_forgotten() {
    let server = Server::start();
    let mut conn = server.connect();
    let mut subscriber = server.connect();
    subscriber.run("SUBSCRIBE one");
    let mut other = server.connect();
    other.run("PSUBSCRIBE o*");
    conn.expect("PUBLISH one x", ":2");
    assert_eq!(conn.run("CLIENT KILL TYPE pubsub").to_string(), ":2");
    conn.expect("PUBLISH one x", ":0");
    conn.expect("PUBSUB NUMPAT", ":0");
    drop(other);
    let mut again = server.connect();
    again.run("SUBSCRIBE one");
    drop(again);
    eventually("a subscriber that hangs up is forgotten", || {
        conn.run("PUBLISH one x").to_string() == ":0"
    });
}

#[test]
fn the_lists_of_clients_tell_who_subscribed() {
    let server = Server::start();
    let mut conn = server.connect();
    let mut subscriber = server.connect();
    subscriber.run("SUBSCRIBE one");
    subscriber.run("PSUBSCRIBE a*");
    subscriber.run("SSUBSCRIBE s");
    let list = conn.run("CLIENT LIST TYPE pubsub").text();
    assert_eq!(list.lines().count(), 1, "{list}");
    for part in [" flags=P ", " sub=1 ", " psub=1 ", " ssub=1 "] {
        assert!(list.contains(part), "{part} in {list}");
    }
    assert_eq!(conn.run("CLIENT LIST TYPE normal").text().lines().count(), 1);
    assert_eq!(server.info("pubsub_channels"), "1");
    assert_eq!(server.info("pubsub_patterns"), "1");
    assert_eq!(server.info("pubsubshard_channels"), "1");
}
