//! Channels and transactions: what is denied at once, and what is taken away later.

use larder_tests::{Server, eventually};

use crate::recorded::recorded;

#[test]
fn channels_need_a_right() {
    recorded(
        "channels_need_a_right",
        &[],
        r#"
        ACL SETUSER a on nopass +@pubsub +acl|whoami &news* &exact
        ACL SETUSER b on nopass +@all "(&one +subscribe)" "(&two +publish)"
        AUTH a x
        PUBLISH news:1 x
        PUBLISH other x
        SPUBLISH news x
        SPUBLISH other x
        PUBSUB CHANNELS *
        @b AUTH a x
        @b SUBSCRIBE other
        @b SUBSCRIBE news:1 other
        @b PSUBSCRIBE news
        @b PSUBSCRIBE news?
        @b SSUBSCRIBE other
        @b ACL WHOAMI
        @b UNSUBSCRIBE other
        @b PSUBSCRIBE news*
        AUTH default x
        ACL DRYRUN a subscribe news1 other
        ACL DRYRUN a psubscribe news*
        ACL DRYRUN a psubscribe news1
        ACL DRYRUN a unsubscribe other
        ACL DRYRUN a publish other x
        ACL DRYRUN b subscribe one
        ACL DRYRUN b publish one x
        ACL DRYRUN b publish two x
        "#,
    );
}

#[test]
fn transactions_ask_twice() {
    recorded(
        "transactions_ask_twice",
        &[],
        r#"
        ACL SETUSER a on nopass +@all ~k &c
        @b AUTH a x
        @b MULTI
        @b SET k 1
        @b SET x 1
        @b EXEC
        @b MULTI
        @b SET k 1
        @b GET k
        @b PUBLISH c x
        ACL SETUSER a -get resetkeys resetchannels
        @b EXEC
        ACL SETUSER a +get ~k
        @b GET k
        @b MULTI
        @b GET k
        ACL SETUSER a -exec
        @b EXEC
        @b DISCARD
        ACL SETUSER a +exec
        @b MULTI
        @b GET k
        @b AUTH default x
        @b SET other 1
        @b EXEC
        @b ACL WHOAMI
        ACL SETUSER a +@all ~*
        @b MULTI
        @b SET other 2
        @b AUTH a x
        @b ACL SETUSER a resetkeys
        @b SET other 3
        @b EXEC
        GET other
        @b DISCARD
        @b MULTI
        @b ACL WHOAMI
        @b ACL DELUSER a
        @b PING
        @b EXEC
        "#,
    );
}

#[test]
fn where_a_denial_happened() {
    let server = Server::start();
    let (mut admin, mut user) = (server.connect3(), server.connect());
    admin.expect("ACL SETUSER a on nopass +@all ~k", "+OK");
    user.expect("AUTH a x", "+OK");
    user.expect("MULTI", "+OK");
    user.expect("GET x", "-NOPERM No permissions to access a key");
    user.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    user.expect("MULTI", "+OK");
    user.expect("INCR k", "+QUEUED");
    admin.expect("ACL SETUSER a -incr", "+OK");
    assert_eq!(user.run("EXEC").items().len(), 1);
    let entries = admin.run("ACL LOG").items();
    let shown = |entry: usize, field: &str| entries[entry].field(field).expect("a field").text();
    assert_eq!(entries.len(), 2);
    assert_eq!([shown(0, "context"), shown(0, "object")], ["multi", "incr"]);
    assert!(shown(0, "client-info").contains(" cmd=exec "), "{}", shown(0, "client-info"));
    assert_eq!([shown(1, "context"), shown(1, "object")], ["multi", "x"]);
    admin.expect("GET k", "nil");
    // What EXEC runs, and what a script of it calls.
    admin.expect("ACL LOG RESET", "+OK");
    for queued in ["AUTH nobody x", "EVAL \"redis.pcall('incr', KEYS[1])\" 1 k"] {
        user.expect("MULTI", "+OK");
        user.expect(queued, "+QUEUED");
        assert_eq!(user.run("EXEC").items().len(), 1);
    }
    let entries = admin.run("ACL LOG").items();
    let shown = |entry: usize, field: &str| entries[entry].field(field).expect("a field").text();
    assert_eq!([shown(0, "context"), shown(0, "object")], ["lua", "incr"]);
    assert_eq!([shown(1, "context"), shown(1, "object")], ["multi", "AUTH"]);
    for entry in [0, 1] {
        assert!(shown(entry, "client-info").contains(" cmd=exec "));
    }
}

/// Subscribes as `a`, changes his rules, and tells whether he is still there.
fn stays_after(subscribe: &str, before: &str, change: &str) -> bool {
    let server = Server::start();
    let (mut admin, mut user) = (server.connect(), server.connect());
    admin.expect(&format!("ACL SETUSER a on nopass +@all {before}"), "+OK");
    user.expect("AUTH a x", "+OK");
    assert_eq!(user.run("CLIENT SETNAME watched").to_string(), "+OK");
    let reply = user.run(subscribe);
    assert_eq!(reply.kind(), '*', "{subscribe}: {reply}");
    admin.expect(&format!("ACL SETUSER a {change}"), "+OK");
    let there = admin.run("CLIENT LIST").text().contains(" name=watched ");
    if !there {
        user.wait_closed();
        eventually("no subscription is left", || {
            admin.run("PUBSUB NUMPAT").int() == 0
                && admin.run("PUBSUB CHANNELS").items().is_empty()
                && admin.run("PUBSUB SHARDCHANNELS").items().is_empty()
        });
    }
    there
}

#[test]
fn subscribers_who_lose_their_channel_are_cut_off() {
    assert!(!stays_after("SUBSCRIBE c1", "&c1", "resetchannels &c2"));
    assert!(!stays_after("SSUBSCRIBE c1", "&c1", "resetchannels"));
    assert!(!stays_after("PSUBSCRIBE c*", "&c*", "resetchannels &c1"));
    assert!(!stays_after("SUBSCRIBE c1", "allchannels", "resetchannels &c2"));
    assert!(!stays_after("SUBSCRIBE c1", "(+@all &c1)", "clearselectors"));
    assert!(stays_after("SUBSCRIBE c1", "&c1", "resetchannels &c*"));
    assert!(stays_after("SUBSCRIBE c1", "&c1", "allchannels"));
    assert!(stays_after("PSUBSCRIBE c*", "&c*", "resetchannels &d &c*"));
    assert!(stays_after("SUBSCRIBE c1", "&c1", "-get"));
    assert!(stays_after("SUBSCRIBE c1", "&c1", "resetchannels (+@all &c1)"));
}

#[test]
fn a_deleted_subscriber_is_gone() {
    let server = Server::start();
    let (mut admin, mut user) = (server.connect(), server.connect());
    admin.expect("ACL SETUSER a on nopass +subscribe allchannels", "+OK");
    user.expect("AUTH a x", "+OK");
    assert_eq!(user.run("SUBSCRIBE c").kind(), '*');
    admin.expect("ACL DELUSER a", ":1");
    user.wait_closed();
    eventually("nobody hears it", || admin.run("PUBLISH c x").int() == 0);
}
