//! The dump file: what saves it, what it says after a restart, and what becomes of it when the disk is
//! full, the folder gone, or the process killed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use larder_tests::{Conn, Redis, Server, Value, eventually, program};
use tempfile::TempDir;

/// Fills a server with a few keys of every type in two databases.
fn fill(conn: &mut Conn) {
    for command in [
        "SET string value",
        "SET number 12345",
        "SET volatile value EX 10000",
        "RPUSH list a b c 1 2 3",
        "HSET hash a 1 b 2",
        "SADD ints 1 2 3",
        "SADD words a b c",
        "ZADD zset 1 a 2.5 b",
        "XADD stream 1-1 field value",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group reader COUNT 1 STREAMS stream >",
        "SELECT 3",
        "SET other database",
        "SELECT 0",
    ] {
        assert_ne!(conn.run(command).kind(), '-', "{command}");
    }
    let long = "abc".repeat(1000);
    conn.run(&format!("SET long {long}"));
    for number in 0..600 {
        conn.run(&format!("ZADD many {number} member:{number}"));
    }
}

/// A reply as text, be it an error.
#[track_caller]
fn answer(conn: &mut Conn, line: &str) -> String {
    match conn.run(line) {
        Value::Error(text) => text,
        value => value.text(),
    }
}

fn digest(server: &Server) -> String {
    server.connect().run("DEBUG DIGEST").text()
}

fn args_of(dir: &TempDir) -> Vec<String> {
    ["--dir", &dir.path().display().to_string(), "--dbfilename", "dump.rdb"]
        .map(str::to_owned)
        .to_vec()
}

/// A server that works in a folder which stays.
fn larder_in(dir: &TempDir, more: &[&str]) -> Server {
    let args = args_of(dir);
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::with(&args)
}

fn unfinished(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("a folder").flatten().map(|entry| entry.path());
    files
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("temp-")))
        .collect()
}

#[test]
fn what_was_saved_is_there_after_a_restart_and_in_redis() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = larder_in(&dir, &[]);
    let mut conn = server.connect();
    fill(&mut conn);
    let expected = digest(&server);
    let before = conn.run("LASTSAVE").int();
    assert_eq!(answer(&mut conn, "SAVE"), "OK");
    assert!(conn.run("LASTSAVE").int() >= before);
    assert_eq!(server.info("rdb_changes_since_last_save"), "0");
    assert_eq!(server.info("rdb_saves"), "1");
    assert!(unfinished(dir.path()).is_empty());
    server.signal("KILL");
    server.wait_exit();
    let check = Command::new("redis-check-rdb").arg(dir.path().join("dump.rdb")).output();
    let check = check.expect("redis-check-rdb runs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let again = larder_in(&dir, &[]);
    assert_eq!(digest(&again), expected);
    assert_eq!(again.info("rdb_last_load_keys_loaded"), "12");
    assert_eq!(again.info("loading"), "0");
    let args = args_of(&dir);
    let redis = Redis::with(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(digest(&redis), expected);
}

#[test]
fn bgsave_answers_as_redis_does() {
    for server in [Server::start(), Redis::start()] {
        let mut conn = server.connect();
        conn.run("SET key value");
        assert_eq!(answer(&mut conn, "CONFIG SET rdb-key-save-delay 300000"), "OK");
        assert_eq!(answer(&mut conn, "BGSAVE"), "Background saving started");
        let in_progress = "ERR Background save already in progress";
        assert_eq!(answer(&mut conn, "BGSAVE"), in_progress);
        assert_eq!(answer(&mut conn, "BGSAVE SCHEDULE"), in_progress);
        assert_eq!(answer(&mut conn, "SAVE"), in_progress);
        assert_eq!(answer(&mut conn, "BGSAVE LATER"), "ERR syntax error");
        assert_eq!(server.info("rdb_bgsave_in_progress"), "1");
        assert_eq!(server.info("rdb_current_bgsave_time_sec"), "0");
        eventually("the save ends", || server.info("rdb_bgsave_in_progress") == "0");
        assert_eq!(server.info("rdb_last_bgsave_status"), "ok");
        assert_eq!(server.info("rdb_changes_since_last_save"), "0");
        assert_eq!(answer(&mut conn, "MULTI"), "OK");
        let refused = "ERR Command not allowed inside a transaction";
        assert_eq!(answer(&mut conn, "SAVE"), refused);
    }
}

#[test]
fn writers_go_on_while_a_save_runs() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.run("DEBUG POPULATE 2000 key 100");
    let expected = digest(&server);
    assert_eq!(answer(&mut conn, "CONFIG SET rdb-key-save-delay 500"), "OK");
    assert_eq!(answer(&mut conn, "BGSAVE"), "Background saving started");
    for number in 0..2000 {
        conn.run(&format!("SET key:{number} changed"));
    }
    assert_eq!(answer(&mut conn, "FLUSHDB"), "OK");
    assert_eq!(server.info("rdb_bgsave_in_progress"), "1", "so it takes about a second");
    assert_ne!(server.info("current_cow_peak"), "0");
    eventually("the save ends", || server.info("rdb_bgsave_in_progress") == "0");
    assert_ne!(server.info("rdb_last_cow_size"), "0");
    assert_eq!(answer(&mut conn, "CONFIG SET rdb-key-save-delay 0"), "OK");
    assert_eq!(answer(&mut conn, "DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(digest(&server), expected, "the file is as of the cut");
}

#[test]
fn save_points_save_by_themselves() {
    let server = Server::with(&["--save", "1 2"]);
    let mut conn = server.connect();
    conn.run("SET a 1");
    std::thread::sleep(Duration::from_millis(2300));
    assert_eq!(server.info("rdb_saves"), "0", "one change is not enough");
    conn.run("SET b 1");
    eventually("a save", || server.info("rdb_saves") == "1");
    eventually("its end", || server.info("rdb_changes_since_last_save") == "0");
    assert!(server.dir().join("dump.rdb").exists());
    // A flush is followed by a save at once.
    assert_eq!(answer(&mut conn, "FLUSHALL"), "OK");
    assert_eq!(server.info("rdb_changes_since_last_save"), "0");
    eventually("another save", || server.info("rdb_saves") == "2");
}

#[test]
fn the_end_saves_where_there_are_save_points() {
    for (save, how, is_saved) in [
        ("900 1", "SHUTDOWN", true),
        ("900 1", "SHUTDOWN NOSAVE", false),
        ("", "SHUTDOWN", false),
        ("", "SHUTDOWN SAVE", true),
        ("900 1", "TERM", true),
        ("", "INT", false),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut server = larder_in(&dir, &["--save", save]);
        let mut conn = server.connect();
        conn.run("SET key value");
        if how.starts_with("SHUTDOWN") {
            conn.send(format!("{how}\r\n").as_bytes());
        } else {
            server.signal(how);
        }
        assert!(server.wait_exit().success(), "{how}");
        assert_eq!(dir.path().join("dump.rdb").exists(), is_saved, "{how} with save '{save}'");
        assert!(unfinished(dir.path()).is_empty());
    }
}

#[test]
fn without_its_folder_a_server_does_not_leave_unsaved() {
    let dir = tempfile::tempdir().expect("a folder");
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    let mut server = Server::with(&["--dir", &inner.display().to_string(), "--save", "900 1"]);
    fs::remove_dir(&inner).expect("it is empty");
    let mut conn = server.connect();
    assert_eq!(answer(&mut conn, "SET key value"), "OK");
    let failed = "ERR Errors trying to SHUTDOWN. Check logs.";
    assert_eq!(answer(&mut conn, "SHUTDOWN"), failed);
    assert_eq!(answer(&mut conn, "SAVE"), "ERR");
    assert!(server.running());
    assert!(server.log().contains("Write error while saving DB to the disk"), "{}", server.log());
    server.signal("TERM");
    eventually("the signal's save fails", || server.log().matches("can't exit").count() == 2);
    assert!(server.running());
    // Whoever asked for these saves was told; one in the background that fails is told to writers.
    assert_eq!(answer(&mut conn, "SET key value"), "OK");
    assert_eq!(answer(&mut conn, "BGSAVE"), "Background saving started");
    eventually("the save fails", || server.info("rdb_last_bgsave_status") == "err");
    // Reads go on, writes and PING tell what is wrong.
    assert_eq!(answer(&mut conn, "GET key"), "value");
    for command in ["SET key other", "PING", "DEL key"] {
        assert!(answer(&mut conn, command).starts_with("MISCONF Redis is configured"), "{command}");
    }
    let script = "return redis.call('SET',KEYS[1],1)";
    assert!(conn.call(&["EVAL", script, "1", "key"]).is_error("MISCONF"));
    assert_eq!(answer(&mut conn, "CONFIG SET stop-writes-on-bgsave-error no"), "OK");
    assert_eq!(answer(&mut conn, "SET key other"), "OK");
    assert_eq!(answer(&mut conn, "CONFIG SET stop-writes-on-bgsave-error yes"), "OK");
    // The folder is back, and with the next save all is well.
    fs::create_dir(&inner).expect("a folder");
    assert_eq!(answer(&mut conn, "SAVE"), "OK");
    assert_eq!(answer(&mut conn, "SET key third"), "OK");
    fs::remove_file(inner.join("dump.rdb")).expect("it was saved");
    fs::remove_dir(&inner).expect("it is empty again");
    conn.send(b"SHUTDOWN FORCE\r\n");
    assert!(server.wait_exit().success());
}

#[test]
fn a_full_disk_costs_nothing_that_was_saved() {
    // A limit on the size of files stands for a disk that is full.
    let dir = tempfile::tempdir().expect("a folder");
    let limited = dir.path().join("limited");
    let text =
        format!("#!/bin/bash\ntrap '' XFSZ\nulimit -f 200\nexec {} \"$@\"\n", program().display());
    fs::write(&limited, text).expect("a script");
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o755)).expect("to be run");
    let args = args_of(&dir);
    let args: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .chain(["--save", "900 1", "--rdbcompression", "no"])
        .collect();
    let server = Server::launch(&limited, &args);
    let mut conn = server.connect();
    assert_eq!(answer(&mut conn, "SET key value"), "OK");
    assert_eq!(answer(&mut conn, "SAVE"), "OK");
    let saved = fs::read(dir.path().join("dump.rdb")).expect("the dump");
    conn.run("DEBUG POPULATE 5000 key 100");
    assert_eq!(answer(&mut conn, "BGSAVE"), "Background saving started");
    eventually("the save ends", || server.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(server.info("rdb_last_bgsave_status"), "err", "{}", server.log());
    assert!(answer(&mut conn, "SET key other").starts_with("MISCONF"));
    assert_eq!(fs::read(dir.path().join("dump.rdb")).expect("the dump"), saved);
    assert!(unfinished(dir.path()).is_empty());
    assert!(server.log().contains("File too large"), "{}", server.log());
    assert_eq!(answer(&mut conn, "CONFIG SET stop-writes-on-bgsave-error no"), "OK");
    assert_eq!(answer(&mut conn, "FLUSHALL"), "OK");
    assert_eq!(answer(&mut conn, "SET key other"), "OK");
    eventually("the flush's save succeeds", || server.info("rdb_last_bgsave_status") == "ok");
}

#[test]
fn a_killed_save_leaves_the_old_file_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = larder_in(&dir, &[]);
    let mut conn = server.connect();
    fill(&mut conn);
    let expected = digest(&server);
    assert_eq!(answer(&mut conn, "SAVE"), "OK");
    conn.run("DEBUG POPULATE 10000 key 1000");
    assert_eq!(answer(&mut conn, "CONFIG SET rdb-key-save-delay 1000"), "OK");
    assert_eq!(answer(&mut conn, "BGSAVE"), "Background saving started");
    eventually("it is written", || !unfinished(dir.path()).is_empty());
    server.signal("KILL");
    server.wait_exit();
    assert_eq!(unfinished(dir.path()).len(), 1);
    let again = larder_in(&dir, &[]);
    assert_eq!(digest(&again), expected);
    assert!(unfinished(dir.path()).is_empty());
}

#[test]
fn a_second_signal_does_not_wait_for_the_save() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = larder_in(&dir, &["--save", "900 1"]);
    let mut conn = server.connect();
    conn.run("DEBUG POPULATE 100 key 1000");
    assert_eq!(answer(&mut conn, "CONFIG SET rdb-key-save-delay 10000000"), "OK");
    server.signal("INT");
    eventually("the save begins", || server.log().contains("Saving the final RDB snapshot"));
    conn.send(b"SET key other\r\n");
    server.signal("INT");
    assert!(!server.wait_exit().success());
    assert!(unfinished(dir.path()).is_empty());
    assert!(!dir.path().join("dump.rdb").exists());
}

#[test]
fn clients_hear_that_a_file_is_being_loaded() {
    // A pipe is a file that takes as long as the test wants.
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = larder_in(&dir, &[]);
    let mut conn = server.connect();
    fill(&mut conn);
    let expected = digest(&server);
    assert_eq!(answer(&mut conn, "SAVE"), "OK");
    server.signal("KILL");
    server.wait_exit();
    let dump = fs::read(dir.path().join("dump.rdb")).expect("the dump");
    fs::remove_file(dir.path().join("dump.rdb")).expect("it is there");
    let made = Command::new("mkfifo").arg(dir.path().join("dump.rdb")).status();
    assert!(made.expect("mkfifo runs").success());
    let args = args_of(&dir);
    let loading = Server::loading(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut conn = loading.connect();
    let mut pipe =
        fs::OpenOptions::new().write(true).open(dir.path().join("dump.rdb")).expect("a reader");
    pipe.write_all(&dump[..dump.len() / 2]).expect("it is read");
    let text = "LOADING Redis is loading the dataset in memory";
    for command in ["GET string", "PING", "SET key value", "SAVE", "BGSAVE", "DBSIZE"] {
        assert_eq!(answer(&mut conn, command), text, "{command}");
    }
    for command in ["LASTSAVE", "COMMAND COUNT", "CONFIG GET dir", "CLIENT ID", "TIME"] {
        assert_ne!(conn.run(command).kind(), '-', "{command}");
    }
    assert_eq!(answer(&mut conn, "MULTI"), "OK");
    assert_eq!(answer(&mut conn, "GET string"), text);
    assert_eq!(loading.info("loading"), "1");
    eventually("half is loaded", || loading.info("loading_loaded_bytes") != "0");
    pipe.write_all(&dump[dump.len() / 2..]).expect("it is read");
    drop(pipe);
    eventually("all is loaded", || loading.info("loading") == "0");
    assert_eq!(digest(&loading), expected);
}

#[test]
fn who_loads_can_be_told_to_end() {
    for how in ["TERM", "INT", "SHUTDOWN", "SHUTDOWN SAVE"] {
        let dir = tempfile::tempdir().expect("a folder");
        let dump = dir.path().join("dump.rdb");
        assert!(Command::new("mkfifo").arg(&dump).status().expect("mkfifo runs").success());
        let pid_file = dir.path().join("pid").display().to_string();
        let mut args = args_of(&dir);
        args.extend(["--pidfile".to_owned(), pid_file.clone()]);
        let mut loading = Server::loading(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let mut pipe = fs::OpenOptions::new().write(true).open(&dump).expect("a reader");
        pipe.write_all(b"REDIS0011").expect("it is read");
        eventually("it has a file", || fs::exists(&pid_file).expect("a folder"));
        match how {
            "TERM" | "INT" => loading.signal(how),
            _ => loading.connect().expect(how, "closed"),
        }
        assert!(loading.wait_exit().success(), "{how}");
        assert!(!fs::exists(&pid_file).expect("a folder"), "{how}");
        assert!(unfinished(dir.path()).is_empty(), "nothing was saved");
    }
}

#[test]
fn a_file_that_is_not_right_stops_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("dump.rdb"), b"REDIS0011\xfe\x00\x00\x03key").expect("a file");
    let args = args_of(&dir);
    let output = Command::new(program())
        .args(["--port", "0", "--save", ""])
        .args(&args)
        .output()
        .expect("it ends by itself");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Fatal error loading the DB"), "{text}");
}

#[test]
fn the_cut_is_an_event_of_latency() {
    let server = Server::with(&["--latency-monitor-threshold", "0"]);
    let mut conn = server.connect();
    conn.run("SET key value");
    assert_eq!(answer(&mut conn, "SAVE"), "OK");
    assert_eq!(server.info("total_forks"), "1");
    assert!(server.info("latest_fork_usec").parse::<u64>().expect("a number") < 1_000_000);
}
