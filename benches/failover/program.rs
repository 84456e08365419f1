//! One member's process, with a folder and a port that it keeps over its deaths.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use larder_benches::{Error, Result};
use tempfile::TempDir;

use crate::client::ask_once;

/// An empty server listens within milliseconds; a loaded machine may take seconds.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A process.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its name in messages.
    pub(crate) name: String,
    /// Where it takes commands.
    pub(crate) address: SocketAddr,
    program: PathBuf,
    folder: TempDir,
    child: Option<Child>,
}

impl Program {
    /// One that is not yet started.
    ///
    /// # Errors
    /// When there is no room for its folder.
    pub(crate) fn new(name: String, address: SocketAddr, program: &Path) -> Result<Self> {
        let folder = TempDir::new().map_err(Error::io("temporary folder"))?;
        // It runs in its own folder, so a relative path must be made whole.
        let program = match program.components().count() {
            1 => program.to_owned(),
            _ => std::path::absolute(program).map_err(Error::io("program"))?,
        };
        Ok(Self { name, address, program, folder, child: None })
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it was started and not killed.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it with these arguments; it answers some time later.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn launch(&mut self, args: &[String]) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder().join("log"));
        let log = log.map_err(Error::io("server log"))?;
        let errors = log.try_clone().map_err(Error::io("server log"))?;
        let mut words: Vec<OsString> = Vec::new();
        let has_setpriv = env::var_os("PATH").is_some_and(|path| {
            env::split_paths(&path).any(|folder| folder.join("setpriv").is_file())
        });
        if has_setpriv {
            // Should this program be killed, so is what it started.
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(Into::into));
        }
        words.push(self.program.clone().into());
        words.extend(args.iter().map(Into::into));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Error::io(self.name.clone()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it answers at all, be it with an error.
    ///
    /// # Errors
    /// When it ends, or never answers; with the end of its log.
    pub(crate) fn wait_answer(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let error = match ask_once(self.address, &["PING"]) {
                Ok(_) | Err(Error::Reply { .. }) => return Ok(()),
                Err(error) => error,
            };
            let exited =
                self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()).is_some();
            if exited || Instant::now() > deadline {
                let why = format!("{error}; {}", self.log_end());
                return Err(Error::Start { server: self.name.clone(), why });
            }
            thread::sleep(LOOK);
        }
    }

    /// Ends it by a signal that cannot be caught; gives the moment at which that was sent.
    pub(crate) fn kill(&mut self) -> Instant {
        let moment = Instant::now();
        if let Some(mut child) = self.child.take() {
            // Both fail only when the process is gone already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
        moment
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read(self.folder().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("{} said at last: {}", self.name, tail.join(" / "))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until it is so.
///
/// # Errors
/// When it is not so in time.
pub(crate) fn wait_for(
    what: &str,
    patience: Duration,
    mut is_so: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !is_so() {
        if Instant::now() > deadline {
            return Err(Error::Stalled(format!("{what}: not within {patience:?}")));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}
