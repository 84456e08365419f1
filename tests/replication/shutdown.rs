//! The end of a primary: it waits for its replicas, and what ends that wait. All but the signals'
//! details runs against Larder and against Redis.

use std::time::{Duration, Instant};

use larder_tests::{Conn, Redis, Server, encode, eventually};

use crate::follower::Follower;

const FAILED: &str = "-ERR Errors trying to SHUTDOWN. Check logs.";
const NOBODY: &str = "-ERR No shutdown in progress.";

/// Runs a test on Larder and on Redis.
fn on_both(args: &[&str], test: impl Fn(Server)) {
    let args = [&["--repl-diskless-sync-delay", "0"], args].concat();
    test(Server::with(&args));
    test(Redis::with(&args));
}

/// A replica that lacks a write.
fn lagging(server: &Server) -> Follower {
    let follower = Follower::new(server);
    // Redis puts it online when it acknowledges.
    eventually("it is online", || server.info("slave0").contains("state=online"));
    server.connect().prepare("SET key value");
    follower
}

fn says_shutdown(server: &Server, words: &str) -> Conn {
    let before: u32 = server.info("blocked_clients").parse().expect("a number");
    let mut conn = server.connect();
    conn.send(&encode(&larder_tests::words(words)));
    let waits = || server.info("blocked_clients") == (before + 1).to_string();
    eventually("the client waits", waits);
    conn
}

fn is_leaving(server: &Server) -> bool {
    let text = server.connect().run("INFO server").text();
    let left = text.lines().find_map(|line| line.strip_prefix("shutdown_in_milliseconds:"));
    left.is_some_and(|left| (-10_000..=300_000).contains(&left.parse().expect("a number")))
}

/// Lets a replica have everything.
fn catch_up(server: &Server, follower: &mut Follower) {
    follower.offset = server.info("master_repl_offset").parse().expect("an offset");
    follower.acknowledge();
}

#[test]
fn the_end_comes_when_replicas_have_everything() {
    on_both(&["--shutdown-timeout", "300"], |mut server| {
        let mut follower = lagging(&server);
        assert!(!is_leaving(&server));
        let mut asks = says_shutdown(&server, "SHUTDOWN");
        assert!(is_leaving(&server));
        // Writes wait, reads do not.
        let mut writer = says_shutdown(&server, "SET key other");
        server.connect().expect("GET key", "\"value\"");
        catch_up(&server, &mut follower);
        assert!(server.wait_exit().success());
        assert!(asks.wait_closed().is_empty() && writer.wait_closed().is_empty());
        let log = server.log();
        for line in [
            "User requested shutdown...",
            "Waiting for replicas before shutting down.",
            "1 of 1 replicas are in sync when shutting down.",
            "ready to exit, bye bye...",
        ] {
            assert_eq!(log.matches(line).count(), 1, "{line}\n{log}");
        }
        assert!(!log.contains("Lagging replica"), "{log}");
    });
}

#[test]
fn a_signal_waits_as_well() {
    on_both(&["--shutdown-timeout", "300"], |mut server| {
        let mut follower = lagging(&server);
        server.signal("TERM");
        eventually("it is about to end", || is_leaving(&server));
        server.signal("TERM");
        std::thread::sleep(Duration::from_millis(150));
        server.connect().expect("GET key", "\"value\"");
        catch_up(&server, &mut follower);
        assert!(server.wait_exit().success());
        let log = server.log();
        assert!(log.contains("Received SIGTERM scheduling shutdown..."), "{log}");
        assert!(log.contains("1 of 1 replicas are in sync when shutting down."), "{log}");
    });
}

#[test]
fn who_insists_does_not_wait() {
    on_both(&["--shutdown-timeout", "300"], |mut server| {
        let _follower = lagging(&server);
        server.signal("TERM");
        eventually("it is about to end", || is_leaving(&server));
        server.signal("INT");
        assert_eq!(server.wait_exit().code(), Some(1));
        assert!(server.log().contains("You insist... exiting now."), "{}", server.log());
    });
}

#[test]
fn a_replica_has_so_much_time_and_no_more() {
    on_both(&["--shutdown-timeout", "1"], |mut server| {
        let follower = lagging(&server);
        let began = Instant::now();
        let _asks = says_shutdown(&server, "SHUTDOWN");
        assert!(server.wait_exit().success());
        assert!(began.elapsed() >= Duration::from_millis(900));
        let log = server.log();
        let line = log.lines().find(|line| line.contains("Lagging replica")).expect("it lags");
        assert!(line.contains("Lagging replica 127.0.0.1:7777 reported offset "), "{line}");
        assert!(line.contains(" behind master, lag="), "{line}");
        assert!(line.ends_with(", state=online."), "{line}");
        assert!(log.contains("0 of 1 replicas are in sync when shutting down."), "{log}");
        drop(follower);
    });
}

#[test]
fn nobody_waits_who_was_told_not_to() {
    for (timeout, how) in [("300", "SHUTDOWN NOW"), ("0", "SHUTDOWN"), ("300", "shutdown now save")]
    {
        on_both(&["--shutdown-timeout", timeout], |mut server| {
            let _follower = lagging(&server);
            let mut conn = server.connect();
            conn.expect(how, "closed");
            assert!(server.wait_exit().success(), "{how}");
            let log = server.log();
            assert!(!log.contains("Waiting for replicas"), "{log}");
            assert!(log.contains("0 of 1 replicas are in sync when shutting down."), "{log}");
        });
    }
    // Whoever has everything is not waited for.
    on_both(&["--shutdown-timeout", "300"], |mut server| {
        let mut follower = Follower::new(&server);
        catch_up(&server, &mut follower);
        let offset = format!("offset={},", server.info("master_repl_offset"));
        eventually("it has everything", || server.info("slave0").contains(&offset));
        server.connect().expect("SHUTDOWN", "closed");
        assert!(server.wait_exit().success());
        let log = server.log();
        assert!(!log.contains("Waiting for replicas"), "{log}");
        assert!(log.contains("1 of 1 replicas are in sync when shutting down."), "{log}");
    });
}

#[test]
fn it_can_be_called_off() {
    on_both(&["--shutdown-timeout", "300"], |server| {
        let mut follower = lagging(&server);
        let mut conn = server.connect();
        conn.expect("SHUTDOWN ABORT", NOBODY);
        for round in ["command", "signal"] {
            let mut waiting = Vec::new();
            if round == "command" {
                waiting.push(says_shutdown(&server, "SHUTDOWN"));
                // A second one changes nothing, whatever it says.
                waiting.push(says_shutdown(&server, "SHUTDOWN NOW NOSAVE"));
                waiting.push(says_shutdown(&server, "SHUTDOWN SAVE"));
                // Nor does one that goes away.
                drop(says_shutdown(&server, "SHUTDOWN"));
                eventually("it is gone", || server.info("blocked_clients") == "3");
            } else {
                server.signal("TERM");
                eventually("it is about to end", || is_leaving(&server));
            }
            let mut writer = says_shutdown(&server, &format!("SET written {round}"));
            // It is no client's pause.
            conn.expect("CLIENT UNPAUSE", "+OK");
            conn.expect("GET written", if round == "command" { "nil" } else { "\"command\"" });
            conn.expect("SHUTDOWN ABORT", "+OK");
            for mut waiting in waiting {
                assert_eq!(waiting.reply().to_string(), FAILED);
                // Redis dies of the next command of such a client, up to 7.2.
                if server.is_larder() {
                    waiting.expect("PING", "+PONG");
                }
            }
            assert_eq!(writer.reply().to_string(), "+OK");
            assert!(!is_leaving(&server));
            conn.expect("SHUTDOWN ABORT", NOBODY);
        }
        conn.expect("SET key value", "+OK");
        let log = server.log();
        assert_eq!(log.matches("Shutdown manually aborted.").count(), 2, "{log}");
        catch_up(&server, &mut follower);
    });
}

#[test]
fn what_a_replica_can_take_at_once_it_gets() {
    let mut server = Server::start();
    let mut follower = lagging(&server);
    let burst = "x".repeat(1_000_000);
    let mut conn = server.connect();
    for number in 0..5 {
        conn.send(&larder_tests::encode(&["SET", &format!("key:{number}"), &burst]));
    }
    conn.send(b"SHUTDOWN NOW\r\n");
    assert_eq!(follower.next(), "SET key value");
    for number in 0..5 {
        assert_eq!(follower.next(), format!("SET key:{number} {burst}"));
    }
    assert!(server.wait_exit().success());
}

#[test]
fn only_its_end_ends_the_wait() {
    let server = Server::start();
    let _follower = lagging(&server);
    let (mut first, mut conn) = (server.connect(), server.connect());
    let id = first.run("CLIENT ID").int();
    first.send(b"SHUTDOWN\r\n");
    eventually("it waits", || server.info("blocked_clients") == "1");
    conn.expect(&format!("CLIENT UNBLOCK {id}"), ":0");
    conn.expect(&format!("CLIENT UNBLOCK {id} ERROR"), ":0");
    conn.expect("SHUTDOWN ABORT", "+OK");
    assert_eq!(first.reply().to_string(), FAILED);
}

#[test]
fn where_it_may_not_stand() {
    on_both(&[], |server| {
        let mut conn = server.connect();
        conn.prepare("MULTI");
        conn.expect("SHUTDOWN NOW", "-ERR Command not allowed inside a transaction");
        assert!(conn.run("EXEC").is_error("EXECABORT"));
        let script = conn.run("EVAL \"return redis.call('SHUTDOWN')\" 0");
        assert!(script.to_string().contains("This Redis command is not allowed from script"));
    });
}

#[test]
fn it_fails_while_the_first_append_only_file_is_made() {
    on_both(&["--rdb-key-save-delay", "30000000", "--shutdown-timeout", "300"], |mut server| {
        let mut follower = lagging(&server);
        let mut waiting = [says_shutdown(&server, "SHUTDOWN"), says_shutdown(&server, "SHUTDOWN")];
        server.connect().expect("CONFIG SET appendonly yes", "+OK");
        eventually("its base is being made", || server.info("aof_rewrite_in_progress") == "1");
        catch_up(&server, &mut follower);
        for conn in &mut waiting {
            assert_eq!(conn.reply().to_string(), FAILED);
        }
        let log = server.log();
        for line in [
            "1 of 1 replicas are in sync when shutting down.",
            "Writing initial AOF, can't exit.",
            "Errors trying to shut down the server. Check the logs for more information.",
        ] {
            assert!(log.contains(line), "{line}\n{log}");
        }
        let mut conn = server.connect();
        conn.expect("SET key value", "+OK");
        conn.expect("SHUTDOWN NOW FORCE", "closed");
        assert!(server.wait_exit().success());
        let log = server.log();
        assert!(log.contains("Writing initial AOF. Exit anyway."), "{log}");
        assert!(log.contains("There is a child rewriting the AOF. Killing it!"), "{log}");
    });
}

#[test]
fn signals_do_what_their_directives_say() {
    for (signal, value, is_saved) in [
        ("TERM", "default", true),
        ("TERM", "nosave now", false),
        ("INT", "now save force", true),
        ("INT", "nosave", false),
    ] {
        let directive = format!("--shutdown-on-sig{}", signal.to_lowercase());
        let mut args = vec!["--shutdown-timeout", "1", "--save", "900 1", &directive];
        args.extend(value.split(' '));
        on_both(&args, |mut server| {
            let _follower = lagging(&server);
            server.signal(signal);
            assert!(server.wait_exit().success(), "{value}");
            let log = server.log();
            let waits = !value.contains("now");
            assert_eq!(log.contains("Waiting for replicas"), waits, "{value}:\n{log}");
            let saves = log.contains("Saving the final RDB snapshot before exiting.");
            assert_eq!(saves, is_saved, "{value}:\n{log}");
            assert_eq!(server.dir().join("dump.rdb").exists(), is_saved, "{value}");
        });
    }
}

#[test]
fn a_replica_lets_its_own_replicas_catch_up() {
    let primary = Server::start();
    let port = primary.addr().port().to_string();
    let args = ["--replicaof", "127.0.0.1", &port, "--shutdown-timeout", "300"];
    let mut replica = Server::with(&args);
    eventually("its link is up", || replica.info("master_link_status") == "up");
    let mut follower = lagging_behind(&primary, &replica);
    let _asks = says_shutdown(&replica, "SHUTDOWN");
    assert!(is_leaving(&replica));
    // What its primary sends now comes too late.
    primary.connect().prepare("SET key later");
    std::thread::sleep(Duration::from_millis(300));
    replica.connect().expect("GET key", "\"value\"");
    catch_up(&replica, &mut follower);
    assert!(replica.wait_exit().success());
    assert!(replica.log().contains("1 of 1 replicas are in sync when shutting down."));
}

#[test]
fn what_its_primary_flushes_does_not_end_its_last_save() {
    let primary = Server::with(&["--enable-debug-command", "yes"]);
    let port = primary.addr().port().to_string();
    primary.connect().prepare("DEBUG POPULATE 2000 key 100");
    let mut replica = Server::with(&["--replicaof", "127.0.0.1", &port, "--save", "900 1"]);
    eventually("its link is up", || replica.info("master_link_status") == "up");
    let mut conn = replica.connect();
    // Two seconds for all.
    conn.prepare("CONFIG SET rdb-key-save-delay 1000");
    replica.signal("TERM");
    eventually("the save begins", || replica.info("rdb_bgsave_in_progress") == "1");
    let mut writer = primary.connect();
    writer.prepare("FLUSHALL");
    eventually("it came", || conn.run("DBSIZE").int() == 0);
    writer.prepare("SET key later");
    assert!(replica.wait_exit().success());
    replica.restart();
    let log = replica.log();
    assert!(log.contains("DB saved on disk keys=2000"), "{log}");
    // The file is as of its cut, from where the stream goes on.
    eventually("it has the rest", || replica.connect().run("DBSIZE").to_string() == ":1");
    assert_eq!(primary.info("sync_full"), "1");
    assert_eq!(primary.info("sync_partial_ok"), "1");
}

fn lagging_behind(primary: &Server, replica: &Server) -> Follower {
    let follower = Follower::new(replica);
    eventually("it is online", || replica.info("slave0").contains("state=online"));
    primary.connect().prepare("SET key value");
    eventually("it came", || replica.connect().run("GET key").to_string() == "\"value\"");
    follower
}

/// A script that writes when it has run for a second or so.
const LATE: &str = "local left = 1e7 while left > 0 do left = left - 1 end \
                    return redis.call('SET', 'late', ARGV[1])";

/// Lets the end begin while such a script runs; tells whether it was answered.
fn ends_within_a_script(server: &mut Server, keys: &[&str]) -> bool {
    let mut conn = server.connect();
    let count = keys.len().to_string();
    conn.send(&encode(&[&["EVAL", LATE, &count][..], keys, &["written"]].concat()));
    std::thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    assert!(server.wait_exit().success());
    !conn.wait_closed().is_empty()
}

#[test]
fn what_a_script_writes_at_the_end_is_saved_or_not_answered() {
    for keys in [&[][..], &["late"]] {
        let mut server = Server::with(&["--save", "900 1"]);
        server.connect().prepare("SET key value");
        let is_answered = ends_within_a_script(&mut server, keys);
        server.restart();
        let mut conn = server.connect();
        conn.expect("GET key", "\"value\"");
        let is_there = conn.run("EXISTS late").int() == 1;
        assert!(is_there || !is_answered, "with {} keys", keys.len());
    }
}
