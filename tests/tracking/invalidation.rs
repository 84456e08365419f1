//! CLIENT TRACKING in its modes, compared with Redis where both order alike.

use larder_tests::{Conn, Server, compare, encode};

/// What a connection is told next.
fn told(conn: &mut Conn) -> String {
    conn.reply().to_string()
}

#[test]
fn options_and_their_errors() {
    compare(
        r#"
        CLIENT TRACKING
        CLIENT TRACKING maybe
        CLIENT TRACKING ON x
        CLIENT TRACKING ON REDIRECT
        CLIENT TRACKING ON REDIRECT x
        CLIENT TRACKING ON REDIRECT 99999
        CLIENT TRACKING ON PREFIX a
        CLIENT TRACKING ON BCAST OPTIN
        CLIENT TRACKING ON BCAST OPTOUT
        CLIENT TRACKING ON OPTIN OPTOUT
        CLIENT CACHING YES
        CLIENT TRACKINGINFO
        CLIENT GETREDIR
        CLIENT TRACKING ON
        CLIENT TRACKINGINFO
        CLIENT GETREDIR
        CLIENT CACHING YES
        CLIENT CACHING NO
        CLIENT CACHING x
        CLIENT TRACKING ON BCAST
        CLIENT TRACKING ON OPTIN NOLOOP
        CLIENT CACHING NO
        CLIENT CACHING YES
        CLIENT TRACKINGINFO
        PING
        CLIENT TRACKINGINFO
        CLIENT TRACKING ON OPTOUT
        CLIENT TRACKING OFF
        CLIENT TRACKING ON OPTOUT
        CLIENT CACHING NO
        CLIENT TRACKINGINFO
        CLIENT TRACKING OFF
        CLIENT TRACKINGINFO
        CLIENT TRACKING ON BCAST PREFIX foo PREFIX foobar
        CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar
        CLIENT TRACKING ON BCAST PREFIX fo
        CLIENT TRACKING ON BCAST PREFIX foo
        CLIENT TRACKING ON BCAST PREFIX baz NOLOOP
        CLIENT TRACKINGINFO
        CLIENT TRACKING ON
        RESET
        CLIENT TRACKINGINFO
        "#,
    );
}

#[test]
fn a_key_that_was_read_is_told_once_when_it_changes() {
    compare(
        r#"
        @b CLIENT TRACKING ON
        @b GET a
        @b MGET b c
        SET a 1
        SET a 2
        MSET c 1 d 1
        @b GET a
        "#,
    );
    let server = Server::start();
    let (mut reader, mut writer) = (server.connect3(), server.connect());
    reader.prepare("CLIENT TRACKING ON\nGET a\nMGET b c\nEXISTS h");
    writer.prepare("SET a 1\nSET a 2\nMSET c 1 d 1\nHSET h f v");
    for key in ["a", "c", "h"] {
        assert_eq!(told(&mut reader), format!(">[\"invalidate\", [\"{key}\"]]"));
    }
    reader.prepare("GET a\nHGET h f\nTTL b");
    writer.prepare("EXPIRE a 100\nHDEL h f\nRENAME a b\nFLUSHALL");
    for key in ["a", "h", "b"] {
        assert_eq!(told(&mut reader), format!(">[\"invalidate\", [\"{key}\"]]"));
    }
    assert_eq!(told(&mut reader), ">[\"invalidate\", nil]");
    assert_eq!(server.info("tracking_total_keys"), "0");
    assert_eq!(server.info("tracking_total_items"), "0");
    assert_eq!(server.info("tracking_clients"), "1");
    drop(reader);
    larder_tests::eventually("who is gone tracks no more", || {
        server.info("tracking_clients") == "0"
    });
}

#[test]
fn own_changes_are_told_after_their_reply() {
    let server = Server::start();
    let mut conn = server.connect3();
    conn.prepare("CLIENT TRACKING ON\nGET a");
    conn.send(&[encode(&["SET", "a", "1"]), encode(&["PING"])].concat());
    assert_eq!(told(&mut conn), "+OK");
    assert_eq!(told(&mut conn), ">[\"invalidate\", [\"a\"]]");
    assert_eq!(told(&mut conn), "+PONG");
    conn.prepare("CLIENT TRACKING ON NOLOOP\nGET a\nSET a 2");
    conn.expect("PING", "+PONG");
    conn.send(&[encode(&["GET", "a"]), encode(&["FLUSHDB"])].concat());
    for expected in ["\"2\"", "+OK", ">[\"invalidate\", nil]"] {
        assert_eq!(told(&mut conn), expected);
    }
}

#[test]
fn what_time_and_memory_take_is_told() {
    let server = Server::start();
    let (mut reader, mut writer) = (server.connect3(), server.connect());
    writer.run("SET a 1 PX 30");
    reader.prepare("CLIENT TRACKING ON\nGET a");
    assert_eq!(told(&mut reader), ">[\"invalidate\", [\"a\"]]");
    writer.run("SET b 1");
    reader.run("GET b");
    writer.prepare("CONFIG SET maxmemory-policy allkeys-lru\nCONFIG SET maxmemory 1");
    writer.run("GET c");
    assert_eq!(told(&mut reader), ">[\"invalidate\", [\"b\"]]");
}

#[test]
fn opting_in_and_out() {
    let server = Server::start();
    let (mut reader, mut writer) = (server.connect3(), server.connect());
    reader.prepare("CLIENT TRACKING ON OPTIN\nGET a\nCLIENT CACHING YES\nGET b\nGET c");
    writer.prepare("SET a 1\nSET b 1\nSET c 1");
    assert_eq!(told(&mut reader), ">[\"invalidate\", [\"b\"]]");
    reader.prepare("CLIENT TRACKING OFF\nCLIENT TRACKING ON OPTOUT\nGET a");
    reader.prepare("CLIENT CACHING NO\nGET b\nGET c");
    writer.prepare("SET a 1\nSET b 1\nSET c 1");
    assert_eq!(told(&mut reader), ">[\"invalidate\", [\"a\"]]");
    assert_eq!(told(&mut reader), ">[\"invalidate\", [\"c\"]]");
    reader.expect("PING", "+PONG");
}

#[test]
fn broadcasts_are_gathered_by_prefix() {
    let server = Server::start();
    let (mut all, mut some) = (server.connect3(), server.connect3());
    let mut writer = server.connect3();
    all.prepare("CLIENT TRACKING ON BCAST");
    some.prepare("CLIENT TRACKING ON BCAST PREFIX user: PREFIX item:");
    writer.prepare("CLIENT TRACKING ON BCAST PREFIX user: NOLOOP");
    writer.prepare("MSET user:2 x other x user:1 x");
    assert_eq!(told(&mut all), ">[\"invalidate\", [\"other\", \"user:1\", \"user:2\"]]");
    assert_eq!(told(&mut some), ">[\"invalidate\", [\"user:1\", \"user:2\"]]");
    writer.expect("PING", "+PONG");
    some.run("SET item:1 x");
    assert_eq!(told(&mut some), ">[\"invalidate\", [\"item:1\"]]");
    some.prepare("SET user:3 x");
    assert_eq!(told(&mut writer), ">[\"invalidate\", [\"user:3\"]]");
    assert_eq!(server.info("tracking_total_prefixes"), "3");
    all.run("CLIENT TRACKING OFF");
    assert_eq!(server.info("tracking_total_prefixes"), "2");
}

#[test]
fn invalidations_may_go_to_another_connection() {
    let server = Server::start();
    let (mut reader, mut target, mut writer) =
        (server.connect(), server.connect(), server.connect());
    let id = target.run("CLIENT ID").to_string().trim_start_matches(':').to_owned();
    target.run("SUBSCRIBE __redis__:invalidate");
    reader.prepare(&format!("CLIENT TRACKING ON REDIRECT {id}\nGET a"));
    assert_eq!(reader.run("CLIENT GETREDIR").to_string(), format!(":{id}"));
    writer.run("SET a 1");
    assert_eq!(told(&mut target), "[\"message\", \"__redis__:invalidate\", [\"a\"]]");
    writer.run("FLUSHALL");
    assert_eq!(told(&mut target), "[\"message\", \"__redis__:invalidate\", nil]");
    let line = writer.run("CLIENT LIST").text();
    assert!(line.contains(" flags=t ") && line.contains(&format!(" redir={id} ")), "{line}");
    reader.prepare("HELLO 3\nGET a");
    writer.run(&format!("CLIENT KILL ID {id}"));
    writer.run("SET a 2");
    assert_eq!(told(&mut reader), format!(">[\"tracking-redir-broken\", :{id}]"));
    assert!(reader.run("CLIENT TRACKINGINFO").to_string().contains("broken_redirect"));
    assert!(writer.run("CLIENT LIST").text().contains(" flags=tR "));
}

#[test]
fn a_script_that_only_reads_remembers_what_its_calls_read() {
    let server = Server::start();
    let (mut reader, mut writer) = (server.connect(), server.connect());
    reader.run("HELLO 3");
    reader.expect("CLIENT TRACKING ON", "+OK");
    reader.send(&encode(&["EVAL_RO", "return redis.call('get',KEYS[2])", "2", "a", "b"]));
    reader.reply();
    writer.run("SET a 1");
    reader.expect("PING", "+PONG");
    writer.run("SET b 1");
    assert_eq!(told(&mut reader), ">[\"invalidate\", [\"b\"]]");
}

/// Making room for a command evicts a key that its own client holds: it is told so before the reply.
#[test]
fn an_eviction_is_told_before_the_reply_of_the_command_that_needed_room() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.run("HELLO 3");
    conn.run("CLIENT TRACKING ON");
    let info = conn.run("INFO memory").to_string();
    let used = info.split("used_memory:").nth(1).and_then(|rest| rest.split("\\r").next());
    let used: u64 = used.and_then(|digits| digits.parse().ok()).expect("used_memory");
    conn.run(&format!("CONFIG SET maxmemory {}", used + 100 * 1024));
    conn.run("CONFIG SET maxmemory-policy volatile-random");
    conn.run("SETEX volatile 10000 x");
    conn.run("GET volatile");
    conn.run("SETBIT big 1600000 0");
    conn.send(&encode(&[b"GETBIT".to_vec(), b"big".to_vec(), b"0".to_vec()]));
    let first = told(&mut conn);
    assert!(first.contains("invalidate") && first.contains("volatile"), "{first}");
    assert_eq!(told(&mut conn), ":0");
}

#[test]
fn a_key_is_told_before_the_one_that_it_becomes() {
    let server = Server::start();
    let (mut holder, mut other) = (server.connect3(), server.connect());
    holder.run("CLIENT TRACKING ON");
    other.run("MSET from 1 to 2");
    holder.run("MGET from to");
    other.expect("RENAME from to", "+OK");
    assert_eq!(told(&mut holder), ">[\"invalidate\", [\"from\"]]");
    assert_eq!(told(&mut holder), ">[\"invalidate\", [\"to\"]]");
}

#[test]
fn a_count_that_is_stored_is_a_change() {
    let server = Server::start();
    let (mut holder, mut other) = (server.connect3(), server.connect());
    other.run("PFADD h a b c");
    holder.run("CLIENT TRACKING ON");
    // Its own count comes before it holds the key.
    holder.expect("PFCOUNT h", ":3");
    holder.expect("PFCOUNT h", ":3");
    other.run("PFADD h d");
    assert_eq!(told(&mut holder), ">[\"invalidate\", [\"h\"]]");
    holder.run("GET h");
    other.expect("PFCOUNT h", ":4");
    assert_eq!(told(&mut holder), ">[\"invalidate\", [\"h\"]]");
    holder.run("GET h");
    other.expect("PFCOUNT h", ":4");
    holder.expect("PING", "+PONG");
}

#[test]
fn a_flush_is_told_in_the_protocol_of_the_one_that_tracks() {
    let server = Server::start();
    for resp3 in [false, true] {
        let mut target = server.connect3();
        let id = target.run("CLIENT ID").int();
        let mut holder = if resp3 { server.connect3() } else { server.connect() };
        holder.expect(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK");
        server.connect().expect("FLUSHALL", "+OK");
        let null = if resp3 { "_\r\n" } else { "$-1\r\n" };
        let wanted = format!(">2\r\n$10\r\ninvalidate\r\n{null}");
        assert_eq!(String::from_utf8_lossy(&target.read_until(null.as_bytes())), wanted);
    }
}
