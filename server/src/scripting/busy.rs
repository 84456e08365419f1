//! Scripts that run for too long, and how they are told to end.
//!
//! A script is known here from the moment on that it exceeds `busy-reply-threshold`; those that end
//! sooner cost nothing. While there is one, clients are answered BUSY for all but the commands that
//! are allowed then. A kill is a flag that the script's own thread sees within a millisecond.

use larder_protocol::CommandError;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The error of a script that was killed.
pub const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// A script that has run for too long.
pub struct SlowScript {
    /// What it is called: the digest of a script, the name of a function.
    pub name: String,
    /// The command that runs it.
    pub command: Vec<Vec<u8>>,
    /// Whether it is a script given to EVAL, not a function.
    pub is_eval: bool,
    /// When it began, in nanoseconds of the node's monotonic clock.
    pub began_nanos: u64,
    written: AtomicBool,
    killed: AtomicBool,
}

impl SlowScript {
    /// A script that has just been found to be slow.
    pub fn new(
        name: String,
        command: Vec<Vec<u8>>,
        is_eval: bool,
        began_nanos: u64,
        written: bool,
    ) -> Self {
        Self {
            name,
            command,
            is_eval,
            began_nanos,
            written: AtomicBool::new(written),
            killed: AtomicBool::new(false),
        }
    }

    /// Notes that it has called a command that writes.
    pub fn note_written(&self) {
        self.written.store(true, Ordering::SeqCst);
    }

    /// Whether it was told to end.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// The error that others get meanwhile.
    fn busy_error(&self) -> CommandError {
        if self.is_eval { CommandError::BUSY_SCRIPT } else { CommandError::BUSY_FUNCTION }
    }
}

/// The slow scripts of a node.
#[derive(Default)]
pub struct SlowScripts {
    scripts: Mutex<Vec<Arc<SlowScript>>>,
    count: AtomicUsize,
}

impl SlowScripts {
    /// Whether there are any.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// The error for whoever has to wait for one.
    #[cold]
    pub fn error(&self) -> Option<CommandError> {
        self.scripts.lock().first().map(|script| script.busy_error())
    }

    /// The same for one that gave up waiting, where the script may have ended just now.
    #[cold]
    pub fn error_or_script(&self) -> CommandError {
        self.error().unwrap_or(CommandError::BUSY_SCRIPT)
    }

    /// The one that has run for longest.
    pub fn first(&self) -> Option<Arc<SlowScript>> {
        self.scripts.lock().first().cloned()
    }

    /// Adds one.
    pub fn add(&self, script: Arc<SlowScript>) {
        let mut scripts = self.scripts.lock();
        scripts.push(script);
        self.count.store(scripts.len(), Ordering::SeqCst);
    }

    /// Takes one out that has ended.
    pub fn remove(&self, script: &Arc<SlowScript>) {
        let mut scripts = self.scripts.lock();
        scripts.retain(|other| !Arc::ptr_eq(other, script));
        self.count.store(scripts.len(), Ordering::SeqCst);
    }

    /// Tells all slow scripts to end that have not written: scripts when `is_eval`, else functions.
    ///
    /// # Errors
    /// Redis's texts for why there is nothing to kill.
    pub fn kill(&self, is_eval: bool) -> Result<(), CommandError> {
        let scripts = self.scripts.lock();
        let Some(first) = scripts.first() else { return Err(CommandError::NOT_BUSY) };
        let mut killed = false;
        for script in scripts.iter().filter(|script| script.is_eval == is_eval) {
            if !script.written.load(Ordering::SeqCst) {
                script.killed.store(true, Ordering::SeqCst);
                killed = true;
            }
        }
        match killed {
            true => Ok(()),
            false if first.written.load(Ordering::SeqCst) => Err(CommandError::UNKILLABLE),
            // It is of the other kind.
            false => Err(first.busy_error()),
        }
    }
}
