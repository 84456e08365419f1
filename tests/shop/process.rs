//! Programs: started with their output in a file or a pipe, ended with the test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a program may take to start or to end, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs, in a folder of its own.
pub(crate) struct Program {
    pub(crate) child: Child,
    folder: TempDir,
}

impl Program {
    /// Starts it; what it complains of goes to a file.
    pub(crate) fn start(mut command: Command, folder: TempDir) -> Self {
        let log = File::create(folder.path().join("log")).expect("a folder to write to");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program().display();
            panic!("{program}: {error}; tests/run installs what is missing")
        });
        Self { child, folder }
    }

    /// What follows `mark` in the first line of its output that has it.
    pub(crate) fn line_after(&mut self, mark: &str) -> String {
        let line = self.try_line_after(mark);
        line.unwrap_or_else(|| panic!("it ends before it says {mark:?}; log:\n{}", self.log()))
    }

    /// The same; nothing where it ends before it says so.
    pub(crate) fn try_line_after(&mut self, mark: &str) -> Option<String> {
        let mut lines = BufReader::new(self.child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if let Some((_, rest)) = line.split_once(mark) {
                let rest = rest.trim().to_owned();
                // What comes later is read, so that it does not hold the program up.
                thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Some(rest);
            }
            line.clear();
        }
        None
    }

    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self, signal: &str) -> ExitStatus {
        let kill = format!("kill -{signal} {}", self.child.id());
        // Fails only where the process is gone already.
        let _ = Command::new("sh").args(["-c", &kill]).status();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            if Instant::now() > deadline {
                // Both fail only when it is gone, which is what is wanted.
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("still running; log:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until something listens.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().expect("the child is ours");
            assert!(ended.is_none() && Instant::now() < deadline, "log:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- its log ---\n{}", self.log());
        }
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nothing uses at this moment.
pub(crate) fn free_port() -> SocketAddr {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    probe.local_addr().expect("a bound socket has an address")
}

/// A command that runs as nobody where we are root: database servers refuse to be it.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--"]).arg(program);
    command
}

/// A folder that such a command may write to.
pub(crate) fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if is_root() {
        run(Command::new("chown").arg("nobody:nogroup").arg(folder.path()));
    }
    folder
}

/// Runs a program to its end, which has to be a good one.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        let program = command.get_program().display();
        panic!("{program}: {error}; tests/run installs what is missing")
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{text}");
}

/// A program on the path, or in one of these folders besides.
pub(crate) fn find(name: &str, besides: &[PathBuf]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(besides.iter().cloned());
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not there; tests/run installs what is missing"))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
