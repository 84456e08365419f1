//! Where scripts that say what they do are refused: at once, when they are queued, at EXEC or within it.
//! Every script in every state of the server, on Larder and on Redis, byte by byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use larder_tests::{Conn, Server, eventually, program};
use tempfile::TempDir;

/// A state in which some commands are refused: how it begins and how it ends.
struct State {
    name: &'static str,
    begin: &'static [&'static str],
    end: &'static [&'static str],
}

const STATES: &[State] = &[
    State { name: "well", begin: &[], end: &[] },
    State { name: "a replica", begin: &["REPLICAOF 127.0.0.1 1"], end: &["REPLICAOF NO ONE"] },
    State {
        name: "a stale replica",
        begin: &["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"],
        end: &["REPLICAOF NO ONE", "CONFIG SET replica-serve-stale-data yes"],
    },
    State {
        name: "a stale replica that may be written to",
        begin: &[
            "CONFIG SET replica-serve-stale-data no replica-read-only no",
            "REPLICAOF 127.0.0.1 1",
        ],
        end: &["REPLICAOF NO ONE", "CONFIG SET replica-serve-stale-data yes replica-read-only yes"],
    },
    State {
        name: "out of memory",
        begin: &["CONFIG SET maxmemory 1"],
        end: &["CONFIG SET maxmemory 0"],
    },
    State {
        name: "without a dump file",
        begin: &["CONFIG SET stop-writes-on-bgsave-error yes"],
        end: &["CONFIG SET stop-writes-on-bgsave-error no"],
    },
    State {
        name: "without replicas",
        begin: &["CONFIG SET min-replicas-to-write 1"],
        end: &["CONFIG SET min-replicas-to-write 0"],
    },
];

const FLAGS: &[&str] = &[
    "",
    " flags=no-writes",
    " flags=allow-oom",
    " flags=allow-stale",
    " flags=allow-stale,no-writes",
    " flags=allow-oom,allow-stale",
];

/// A library whose functions have all these flags.
const LIBRARY: &str = "#!lua name=lib
    local function run(keys) return redis.call('GET', keys[1]) end
    redis.register_function{function_name='plain', callback=run}
    redis.register_function{function_name='reads', callback=run, flags={'no-writes'}}
    redis.register_function{function_name='oom', callback=run, flags={'allow-oom'}}
    redis.register_function{function_name='stale', callback=run, flags={'allow-stale'}}
    redis.register_function{function_name='both', callback=run, flags={'allow-stale', 'no-writes'}}";

/// The commands that are tried.
fn commands(conn: &mut Conn) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut add = |words: &[&str]| {
        commands.push(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    };
    for line in ["GET k", "SET k 1", "DEL k", "PFCOUNT k", "PUBLISH c m", "PING", "INFO nothing"] {
        add(&line.split(' ').collect::<Vec<_>>());
    }
    for (first, body) in
        FLAGS.iter().map(|flags| format!("#!lua{flags}\n")).chain([String::new()]).flat_map(
            |first| {
                [
                    "return 1",
                    "return redis.call('GET', KEYS[1])",
                    "return redis.call('SET', KEYS[1], 1)",
                ]
                .map(|body| (first.clone(), body))
            },
        )
    {
        let text = format!("{first}{body}");
        add(&["EVAL", &text, "1", "k"]);
        add(&["EVAL_RO", &text, "1", "k"]);
        let digest = conn.call(&["SCRIPT", "LOAD", &text]).text();
        add(&["EVALSHA", &digest, "1", "k"]);
        add(&["EVALSHA_RO", &digest.to_uppercase(), "1", "k"]);
    }
    for name in ["plain", "reads", "oom", "stale", "both", "nobody", "PLAIN"] {
        add(&["FCALL", name, "1", "k"]);
        add(&["FCALL_RO", name, "1", "k"]);
    }
    for wrong in ["#!lua flags=nonsense\nreturn 1", "#!lua", "#!other\nreturn 1"] {
        add(&["EVAL", wrong, "0"]);
    }
    add(&["EVALSHA", &"a".repeat(40), "0"]);
    add(&["EVALSHA", "short", "0"]);
    add(&["EVAL", "#!lua\nreturn 1", "x"]);
    add(&["EVAL", "#!lua flags=no-writes\nreturn 1", "-1"]);
    commands
}

/// Two connections to a server, and what it answered.
struct Side {
    conn: Conn,
    other: Conn,
    said: Vec<(String, String)>,
}

impl Side {
    fn new(server: &Server) -> Self {
        Self { conn: server.connect(), other: server.connect(), said: Vec::new() }
    }

    fn say(&mut self, label: &str, words: &[String]) {
        self.conn.send(&larder_tests::encode(words));
        let reply = self.conn.try_reply().expect("a reply");
        let label = format!("{label}: {words:?}");
        self.said.push((label, String::from_utf8_lossy(&reply.raw).into_owned()));
    }

    fn line(&mut self, label: &str, line: &str) {
        self.say(label, &larder_tests::words(line).into_iter().map(text).collect::<Vec<_>>());
    }

    fn on_other(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| self.other.expect(line, "+OK"));
    }

    /// Tries a command in a state: alone, queued in it, queued before it, and queued behind what
    /// brings it about.
    fn try_in(&mut self, state: &State, command: &[String]) {
        self.on_other(state.begin);
        self.say(&format!("{}, alone", state.name), command);
        let label = format!("{}, queued", state.name);
        self.line(&label, "MULTI");
        self.say(&label, command);
        self.line(&label, "EXEC");
        self.on_other(state.end);
        let label = format!("{}, since it was queued", state.name);
        self.line(&label, "MULTI");
        self.say(&label, command);
        self.on_other(state.begin);
        self.line(&label, "EXEC");
        self.on_other(state.end);
        let label = format!("{}, within EXEC", state.name);
        self.line(&label, "MULTI");
        state.begin.iter().for_each(|line| self.line(&label, line));
        self.say(&label, command);
        self.line(&label, "EXEC");
        self.on_other(state.end);
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// A server whose folder is gone, so that nothing can be saved. It gets an error, and no signal, where
/// a file would grow beyond a limit.
fn server(binary: &Path, args: &[&str]) -> (Server, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let script = dir.path().join("server");
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nexec {} \"$@\"\n", binary.display());
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    let gone = dir.path().join("gone");
    fs::create_dir(&gone).expect("a folder");
    let gone = gone.display().to_string();
    let all = [&["--dir", &gone], args].concat();
    (Server::launch(&script, &all), dir)
}

fn binaries() -> [std::path::PathBuf; 2] {
    let redis = std::env::var_os("LARDER_TEST_REDIS").unwrap_or("redis-server".into());
    [program().to_owned(), redis.into()]
}

/// Compares what two servers said.
fn assert_same(sides: [Side; 2]) {
    let [ours, theirs] = sides.map(|side| side.said);
    assert_eq!(ours.len(), theirs.len());
    let differences: Vec<String> = ours
        .iter()
        .zip(&theirs)
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| format!("{}\n  larder {:?}\n  redis  {:?}", ours.0, ours.1, theirs.1))
        .collect();
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} of {}:\n{shown}", differences.len(), ours.len());
}

#[test]
fn scripts_are_refused_where_redis_refuses_them() {
    let sides = binaries().map(|binary| {
        let (server, folder) = server(&binary, &["--save", "900 1000000"]);
        fs::remove_dir(folder.path().join("gone")).expect("an empty folder");
        let mut side = Side::new(&server);
        side.on_other(&["CONFIG SET stop-writes-on-bgsave-error no"]);
        side.other.run("BGSAVE");
        eventually("the save fails", || server.info("rdb_last_bgsave_status") == "err");
        assert_eq!(side.other.call(&["FUNCTION", "LOAD", LIBRARY]).text(), "lib");
        for command in commands(&mut server.connect()) {
            for state in STATES {
                side.on_other(&["FLUSHALL"]);
                side.try_in(state, &command);
            }
        }
        side
    });
    assert_same(sides);
}

#[test]
fn so_are_they_while_the_append_only_file_cannot_be_written() {
    let sides = binaries().map(|binary| {
        let (server, _folder) =
            server(&binary, &["--appendonly", "yes", "--appendfsync", "everysec"]);
        let mut side = Side::new(&server);
        assert_eq!(side.other.call(&["FUNCTION", "LOAD", LIBRARY]).text(), "lib");
        let commands = commands(&mut server.connect());
        side.line("before", "MULTI");
        side.line("before", "EVAL '#!lua\nreturn 1' 0");
        let pid = server.pid().to_string();
        let limit = Command::new("prlimit").args(["--fsize=10:unlimited", "--pid", &pid]).status();
        assert!(limit.expect("prlimit is part of every Debian").success());
        side.other.run("SET k 1");
        eventually("it fails", || server.info("aof_last_write_status") == "err");
        side.line("since it was queued", "EXEC");
        for command in commands {
            side.say("alone", &command);
            side.line("queued", "MULTI");
            side.say("queued", &command);
            side.line("queued", "EXEC");
        }
        side
    });
    assert_same(sides);
}
