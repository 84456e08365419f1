//! Why something could not be done.
//!
//! One type for everything, cheap to clone: callers that share one load share its error. No type of
//! the crate that carries the bytes shows, so a new version of it changes nothing here.

use std::sync::Arc;
use std::time::Duration;

/// Why something could not be done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings contradict themselves or cannot be understood.
    #[error("the settings cannot be used: {0}")]
    Settings(String),
    /// No node could be reached, or none accepted us.
    #[error("no connection: {0}")]
    Connect(String),
    /// No node that can be reached says that it is the primary.
    #[error("no primary is in reach")]
    NoPrimary,
    /// No node can be read from.
    #[error("no node is in reach")]
    NoNode,
    /// No answer came in time. Whether the command ran is not known.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke. Whether the command ran is not known.
    #[error("the connection broke")]
    Disconnected,
    /// The server answered with an error.
    #[error("{code} {message}")]
    Server {
        /// Its first word: `ERR`, `READONLY`, `WRONGTYPE`, ...
        code: String,
        /// The rest.
        message: String,
    },
    /// The server answered with something of another shape than the command has.
    #[error("the reply is not {0}")]
    Reply(&'static str),
    /// A value could not be turned into bytes.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// Bytes could not be turned into a value.
    #[error("the bytes cannot be decoded: {0}")]
    Decode(String),
    /// What loads values for the cache failed.
    #[error("the loader failed: {0}")]
    Loader(Arc<dyn std::error::Error + Send + Sync>),
    /// What loads values for the cache took longer than it may.
    #[error("the loader took longer than {0:?}")]
    LoaderTimeout(Duration),
    /// What loads values for the cache panicked.
    #[error("the loader panicked")]
    LoaderPanic,
    /// The loader says that the stored value is still right, and none is stored.
    #[error("nothing is stored that could be unmodified")]
    Unmodified,
    /// Too many loads waited for the database at once.
    #[error("too many loads wait already")]
    Overloaded,
}

impl Error {
    /// The first word of a server's error.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether another node may be the primary by now, so that the same call may succeed there.
    pub fn is_failover(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Disconnected | Self::NoPrimary | Self::NoNode => true,
            Self::Server { code, .. } => {
                matches!(&**code, "READONLY" | "LOADING" | "MASTERDOWN" | "UNBLOCKED")
            }
            _ => false,
        }
    }

    pub(crate) fn server(code: &str, message: Option<&str>) -> Self {
        Self::Server { code: code.to_owned(), message: message.unwrap_or_default().to_owned() }
    }

    pub(crate) fn of(error: &redis::RedisError) -> Self {
        match error.code() {
            Some(code) => Self::server(code, error.detail()),
            None if error.is_timeout() => Self::Timeout(Duration::ZERO),
            None if error.is_io_error() => Self::Disconnected,
            None => Self::Connect(error.to_string()),
        }
    }
}
