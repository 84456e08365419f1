//! Why a measurement could not be taken. A benchmark that failed has no number: nothing here
//! is recovered from, it is printed with its cause.

use std::io;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a measurement could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The refusal.
        source: io::Error,
    },
    /// A server did not come up.
    #[error("{server} did not start: {why}")]
    Start {
        /// The server's name in the run.
        server: String,
        /// What its log or its exit said.
        why: String,
    },
    /// A server answered with an error reply where none is acceptable.
    #[error("{command} was answered by: {reply}")]
    Reply {
        /// The command, or the workload that sent it.
        command: String,
        /// The reply's text.
        reply: String,
    },
    /// Bytes that are no RESP.
    #[error("not RESP: {0}")]
    Protocol(String),
    /// No reply within the time a healthy server needs many times over.
    #[error("no progress: {0}")]
    Stalled(String),
    /// A helper program (cargo, pip, taskset, redis-benchmark) failed.
    #[error("{program} failed: {why}")]
    Program {
        /// Its name.
        program: String,
        /// Its exit status or the line that gave it away.
        why: String,
    },
    /// The option or environment variable makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// Adapter for `map_err`: names what was attempted.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
