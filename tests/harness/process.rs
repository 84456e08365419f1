//! Servers as processes: found or built, started on a free port, killed at the end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::connection::Conn;
use crate::value::{Value, info_field};

/// How long a server may take to start: a debug binary on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// How often a start is tried again after another process took the port in between.
const PORT_CLASHES: usize = 8;

/// The peer that replies are compared with.
#[derive(Debug)]
pub struct Redis;

impl Redis {
    /// The `redis-server` on the path, or the one `LARDER_TEST_REDIS` names.
    pub fn start() -> Server {
        Self::with(&[])
    }

    /// The same with directives, `--name value` in turn.
    pub fn with(args: &[&str]) -> Server {
        let program = std::env::var_os("LARDER_TEST_REDIS").unwrap_or("redis-server".into());
        Server::launch(Path::new(&program), args)
    }

    /// The same in a folder that `prepare` puts files into.
    pub fn with_files(args: &[&str], prepare: impl FnOnce(&Path)) -> Server {
        let program = std::env::var_os("LARDER_TEST_REDIS").unwrap_or("redis-server".into());
        Server::launch_with(Path::new(&program), args, prepare)
    }

    /// A Sentinel with the lines of a configuration file.
    pub fn sentinel(lines: &str) -> Server {
        let prepare = |dir: &Path| {
            // It writes into the file what it learns.
            fs::write(dir.join("sentinel.conf"), lines).expect("a file in a folder of our own");
        };
        Server::launch_with(Path::new("redis-sentinel"), &["{dir}/sentinel.conf"], prepare)
    }

    /// A Redis 8.2, where `LARDER_TEST_REDIS82` names one.
    pub fn newer(args: &[&str]) -> Option<Server> {
        let program = std::env::var_os("LARDER_TEST_REDIS82")?;
        Some(Server::launch(Path::new(&program), args))
    }
}

/// A running server with a folder of its own.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
    /// What started it.
    command: Command,
    /// Whether it is the server under test: its log is of interest when a test fails.
    tested: bool,
}

impl Server {
    /// A Larder node with default directives.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A Larder node with directives, `--name value` in turn; `{dir}` stands for its folder.
    pub fn with(args: &[&str]) -> Self {
        let mut server = Self::launch(program(), args);
        server.tested = true;
        server
    }

    /// The same in a folder that `prepare` puts files into.
    pub fn with_files(args: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let mut server = Self::launch_with(program(), args, prepare);
        server.tested = true;
        server
    }

    /// As [`with`](Self::with), but ready as soon as it answers that it loads.
    pub fn loading(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self::spawn(program(), args, dir);
        if let Err(log) = server.wait_for_answer(|_| true) {
            panic!("{args:?} did not start:\n{log}");
        }
        server.tested = true;
        server
    }

    fn launch_with(program: &Path, args: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        prepare(dir.path());
        let mut server = Self::spawn(program, args, dir);
        if let Err(log) = server.wait_ready() {
            panic!("{} {args:?} did not start:\n{log}", program.display());
        }
        server
    }

    /// Starts it again, after its end or in place of it: same folder, same port.
    ///
    /// # Panics
    /// When it does not start; the message carries its log.
    #[track_caller]
    pub fn restart(&mut self) {
        if let Err(log) = self.try_restart() {
            panic!("{:?} did not start again:\n{log}", self.command);
        }
    }

    /// The same; gives the log of one that ends instead of answering.
    ///
    /// # Errors
    /// It ended.
    pub fn try_restart(&mut self) -> Result<(), String> {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = self.command.spawn().expect("it started before");
        self.wait_ready()
    }

    /// Starts `program` and waits until it answers.
    ///
    /// # Panics
    /// When it does not; the message carries its log.
    pub fn launch(program: &Path, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self::spawn(program, args, dir);
        for _ in 0..PORT_CLASHES {
            let Err(log) = server.wait_ready() else { return server };
            let clash = log.to_lowercase().contains("address already in use");
            assert!(clash, "{} {args:?} did not start:\n{log}", program.display());
            let fresh = tempfile::tempdir().expect("a temporary folder");
            server = Self::spawn(program, args, fresh);
        }
        panic!("no free port in {PORT_CLASHES} tries");
    }

    fn spawn(program: &Path, args: &[&str], dir: TempDir) -> Self {
        let addr = free_port();
        let log = File::create(dir.path().join("log")).expect("a log file");
        let here = dir.path().display().to_string();
        let mut command = Command::new(program);
        // A configuration file has to come first, the harness's own directives before the test's.
        let mut args = args.iter().map(|arg| arg.replace("{dir}", &here)).peekable();
        command.args(args.next_if(|first| first.ends_with(".conf")));
        command
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
            .args(["--dir", &here, "--save", "", "--enable-debug-command", "yes"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle to the log"))
            .stderr(log);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; tests/run installs what is missing", program.display())
        });
        Self { child, addr, dir, command, tested: false }
    }

    /// `Err` with the log when the process ended.
    fn wait_ready(&mut self) -> Result<(), String> {
        self.wait_for_answer(|reply| !reply.is_error("LOADING"))
    }

    fn wait_for_answer(&mut self, is_fit: impl Fn(&Value) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Err(self.log());
            }
            // Any reply will do: with a password it is an error.
            if let Ok(mut conn) = Conn::tcp(self.addr)
                && conn.try_send(b"PING\r\n").is_ok()
                && conn.try_reply().is_ok_and(|reply| !reply.raw.is_empty() && is_fit(&reply.value))
                && self.listens()
            {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "no answer in {START:?}; log:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the socket that listens on its port is its own: another test's server may have been
    /// faster.
    fn listens(&self) -> bool {
        let port = format!(":{:04X}", self.addr.port());
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
        let lines = tables.iter().flatten().flat_map(|table| table.lines());
        let listeners: Vec<String> = lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|row| row.len() > 9 && row[1].ends_with(&port) && row[3] == "0A")
            .map(|row| format!("socket:[{}]", row[9]))
            .collect();
        let Ok(files) = fs::read_dir(format!("/proc/{}/fd", self.child.id())) else { return false };
        files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| listeners.iter().any(|socket| target.as_os_str() == socket.as_str()))
    }

    /// A connection.
    ///
    /// # Panics
    /// When the server does not accept one.
    #[track_caller]
    pub fn connect(&self) -> Conn {
        match Conn::tcp(self.addr) {
            Ok(conn) => conn,
            Err(error) => panic!("{}: {error}; log:\n{}", self.addr, self.log()),
        }
    }

    /// A connection that speaks RESP3.
    #[track_caller]
    pub fn connect3(&self) -> Conn {
        let mut conn = self.connect();
        assert_eq!(conn.run("HELLO 3").kind(), '%', "HELLO 3 answers with a map");
        conn
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its working folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.path().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The first number of the Redis version it follows.
    ///
    /// # Panics
    /// When INFO does not tell.
    #[track_caller]
    pub fn major(&self) -> u32 {
        let version = self.info("redis_version");
        let major = version.split('.').next().and_then(|number| number.parse().ok());
        major.unwrap_or_else(|| panic!("{version} is no version"))
    }

    /// Whether it is the server under test, and no peer.
    pub fn is_larder(&self) -> bool {
        self.tested
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory the process occupies.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.expect("a running process has VmRSS") * 1024
    }

    /// Sends a signal by its name, `TERM`, `KILL`, `STOP`, ...
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: no further package, and no unsafe code here.
        let command = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").arg("-c").arg(&command).status().expect("a shell");
        assert!(status.success(), "{command} failed");
        if name == "STOP" {
            // A thread that runs goes on for a moment.
            eventually("all threads stand still", || self.is_stopped());
        }
    }

    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the process runs");
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name, which may hold anything but is in brackets.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Waits until the process ended.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "still running; log:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// One field of INFO.
    ///
    /// # Panics
    /// When INFO does not have it.
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        let text = self.connect().run("INFO everything").text();
        match info_field(&text, field) {
            Some(value) => value.to_owned(),
            None => panic!("INFO has no {field}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() && self.tested {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- end of the log of {} ---\n{}", self.addr, tail.join("\n"));
        }
    }
}

/// The server binary under test. Cargo offers a binary's path only to tests of the same package, so
/// it is asked to build the server, once a process; that costs nothing when it is fresh.
///
/// # Panics
/// When the build fails.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = std::env::var_os("LARDER_TEST_SERVER") {
            return path.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--package", "larder-server", "--bin", "larder-server"]);
        command.arg("--message-format=json-render-diagnostics");
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let output = command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo could not build larder-server");
        let messages = String::from_utf8_lossy(&output.stdout);
        let path = messages.lines().rev().find_map(|line| {
            let rest = line.split_once(r#""executable":""#)?.1;
            Some(PathBuf::from(rest.split_once('"')?.0))
        });
        path.expect("cargo names the binary it built")
    })
}

/// A port that nothing uses at this moment. Port 0 would say "no TCP" to a Redis, so the kernel is
/// asked for a port here, and a clash is met by trying again.
fn free_port() -> SocketAddr {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    probe.local_addr().expect("a bound socket has an address")
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within a minute: a bound against hanging, not a measure of speed.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
