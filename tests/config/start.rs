//! Starting: configuration file, standard input, command line, and refusals that say where and why.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use larder_tests::{Server, eventually, program};

/// A configuration file in a folder of its own.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node.conf");
        fs::write(&path, text).expect("a file");
        Self { _dir: dir, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("a path of text")
    }
}

/// Runs the server to its end. For starts that fail, and for what is printed.
fn run(args: &[&str]) -> Output {
    Command::new(program()).args(args).stdin(Stdio::null()).output().expect("it runs")
}

fn words_of(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

#[test]
fn the_file_has_redis_grammar() {
    let file = File::new(
        "# a comment\n\n   timeout   33\n\tMAXMEMORY 5mb\nmaxmemory-policy \"allkeys-lru\"\n\
         requirepass 'a b\\'c'\nslowlog-max-len 7\nslowlog-max-len 8\r\n\
         client-output-buffer-limit pubsub 1mb 2mb 3\nsave 60 1000\nloglevel notice\n\
         notify-keyspace-events \"\"\nproc-title-template \"{title} \\x41\"",
    );
    let server = Server::with(&[file.path()]);
    let mut conn = server.connect();
    conn.expect("GET a", "-NOAUTH Authentication required.");
    assert_eq!(conn.call(&["AUTH", "a b'c"]).to_string(), "+OK");
    for (name, value) in [
        ("timeout", "33"),
        ("maxmemory", "5242880"),
        ("maxmemory-policy", "allkeys-lru"),
        ("slowlog-max-len", "8"),
        ("proc-title-template", "{title} A"),
    ] {
        assert_eq!(conn.run(&format!("CONFIG GET {name}")).items()[1].text(), value, "{name}");
    }
    let limits = conn.run("CONFIG GET client-output-buffer-limit").items()[1].text();
    assert!(limits.contains("pubsub 1048576 2097152 3"), "{limits}");
}

#[test]
fn the_command_line_overrides_the_file() {
    let file = File::new("timeout 33\nhz 20\n");
    let server = Server::with(&[file.path(), "--timeout", "44"]);
    let mut conn = server.connect();
    assert_eq!(conn.run("CONFIG GET timeout").items()[1].text(), "44");
    assert_eq!(conn.run("CONFIG GET hz").items()[1].text(), "20");
    assert_eq!(server.info("config_file"), file.path());
}

#[test]
fn includes_are_read_in_place() {
    let inner = File::new("timeout 55\nhz 30\n");
    let outer = File::new(&format!("timeout 1\ninclude {}\nhz 40\n", inner.path()));
    let server = Server::with(&[outer.path()]);
    let mut conn = server.connect();
    assert_eq!(conn.run("CONFIG GET timeout").items()[1].text(), "55");
    assert_eq!(conn.run("CONFIG GET hz").items()[1].text(), "40");
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = Command::new(program())
        .args(["-", "--port", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"timeout 5\nbogus-directive 1\n").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(!output.status.success());
    assert!(words_of(&output).contains("bogus-directive"), "{}", words_of(&output));
}

#[test]
fn several_values_and_quoting_on_the_command_line() {
    let server = Server::with(&[
        "--client-output-buffer-limit",
        "pubsub",
        "1mb",
        "2mb",
        "3",
        "--maxmemory",
        "7mb",
        "--requirepass",
        "two words",
    ]);
    let mut conn = server.connect();
    assert_eq!(conn.call(&["AUTH", "two words"]).to_string(), "+OK");
    assert_eq!(conn.run("CONFIG GET maxmemory").items()[1].text(), "7340032");
}

#[test]
fn mistakes_stop_the_start_and_name_the_line() {
    for (text, part) in [
        ("timeout 1\nmaxmemroy 1gb\n", "maxmemroy 1gb"),
        ("timeout abc\n", "timeout abc"),
        ("maxmemory-policy sometimes\n", "maxmemory-policy sometimes"),
        ("timeout 1\n\nport 99999999\n", "port 99999999"),
        ("requirepass \"open\n", "requirepass \"open"),
        ("maxmemory\n", "maxmemory"),
        ("appendonly maybe\n", "appendonly maybe"),
        ("include /nonexistent/file\n", "/nonexistent/file"),
    ] {
        let file = File::new(text);
        let output = run(&[file.path(), "--port", "0"]);
        let said = words_of(&output);
        assert!(!output.status.success(), "{text:?} has to stop the start");
        assert!(said.contains(part), "{text:?}: {said}");
    }
}

#[test]
fn mistakes_on_the_command_line_stop_the_start() {
    for args in
        [&["--bogus", "1"][..], &["--timeout", "abc"], &["--timeout"], &["/nonexistent.conf"]]
    {
        let output = run(args);
        assert!(!output.status.success(), "{args:?}: {}", words_of(&output));
    }
}

#[test]
fn version_and_help() {
    for flag in ["--version", "-v"] {
        let output = run(&[flag]);
        assert!(output.status.success(), "{}", words_of(&output));
        let line = words_of(&output);
        assert!(line.contains("v=") && line.lines().count() == 1, "{line}");
    }
    for flag in ["--help", "-h"] {
        assert!(words_of(&run(&[flag])).contains("Usage:"), "{flag}");
    }
}

#[test]
fn a_taken_port_stops_the_start() {
    let server = Server::start();
    let port = server.addr().port().to_string();
    let output = run(&["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
    assert!(!output.status.success());
    assert!(words_of(&output).to_lowercase().contains("address already in use"));
}

#[test]
fn rewrite_keeps_comments_and_changes_what_changed() {
    let file = File::new("# kept\ntimeout 33\n\n# kept too\nhz 20\n");
    // The first server's folder stays to the end: its name is in the file it rewrites.
    let mut first = Server::with(&[file.path()]);
    let mut conn = first.connect();
    conn.prepare("CONFIG SET timeout 44 maxmemory 9mb\nCONFIG REWRITE");
    let text = fs::read_to_string(file.path()).expect("the file is there");
    assert!(text.starts_with("# kept\ntimeout 44\n\n# kept too\nhz 20\n"), "{text}");
    assert!(text.contains("\nmaxmemory 9437184\n") || text.contains("\nmaxmemory 9mb\n"), "{text}");
    first.signal("KILL");
    first.wait_exit();
    let server = Server::with(&[file.path()]);
    let mut conn = server.connect();
    assert_eq!(conn.run("CONFIG GET timeout").items()[1].text(), "44");
    assert_eq!(conn.run("CONFIG GET maxmemory").items()[1].text(), "9437184");
    conn.prepare("CONFIG REWRITE");
    let again = fs::read_to_string(file.path()).expect("the file is there");
    for name in ["timeout ", "maxmemory ", "hz "] {
        let lines = again.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(lines, 1, "a second rewrite repeats nothing: {again}");
    }
}

#[test]
fn rewrite_without_a_file_is_refused() {
    let server = Server::start();
    server.connect().expect("CONFIG REWRITE", "-ERR The server is running without a config file");
}

#[test]
fn huge_pages_are_disabled_unless_they_are_wanted() {
    let allowed = |process: &str| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        status.lines().find_map(|line| line.strip_prefix("THP_enabled:").map(|on| on.trim() == "1"))
    };
    let Some(own) = allowed("self") else { return };
    let (without, with) = (Server::start(), Server::with(&["--disable-thp", "no"]));
    assert_eq!(allowed(&without.pid().to_string()), Some(false));
    assert_eq!(allowed(&with.pid().to_string()), Some(own), "left as it was");
}

#[test]
fn the_log_level_changes_at_run_time() {
    let server = Server::with(&["--loglevel", "warning"]);
    let mut conn = server.connect();
    let lines = || server.log().lines().count();
    let refused = |conn: &mut larder_tests::Conn| {
        // Each of these is worth a line at the level notice: a client that is cut off.
        conn.run("CONFIG REWRITE");
    };
    refused(&mut conn);
    let quiet = lines();
    conn.expect("CONFIG SET loglevel nothing", "+OK");
    refused(&mut conn);
    assert_eq!(lines(), quiet, "nothing is said at this level");
    conn.expect("CONFIG SET loglevel debug", "+OK");
    refused(&mut conn);
    eventually("now it speaks", || lines() > quiet);
}

#[test]
fn a_node_in_the_background_leaves_its_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (pid_file, socket, log) = (path("pid"), path("socket"), path("log"));
    let mut args = vec!["--port", "0", "--unixsocket", &socket, "--daemonize", "yes"];
    args.extend(["--pidfile", &pid_file, "--logfile", &log]);
    assert!(run(&args).status.success(), "the first process ends at once");
    eventually("it answers", || larder_tests::Conn::unix(socket.as_ref()).is_ok());
    let pid = fs::read_to_string(&pid_file).expect("a file with the process id");
    let mut conn = larder_tests::Conn::unix(socket.as_ref()).expect("it accepts");
    let told = conn.run("INFO server").text();
    assert!(told.contains(&format!("process_id:{}\r\n", pid.trim())), "{pid}: {told}");
    conn.send(b"SHUTDOWN NOSAVE\r\n");
    eventually("it ends and takes its file along", || fs::metadata(&pid_file).is_err());
}
