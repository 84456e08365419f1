//! What makes a stream of requests unreadable. There is no way on from any of it but to report it
//! and to close the connection.

use super::CommandError;

/// The request stream cannot be understood any more; the connection has to be closed after the
/// text was sent. `Display` gives the text without the leading `-ERR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line of an inline command exceeds the limit.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// An inline command's quotes do not match.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line after `*` goes on without an end.
    #[error("Protocol error: too big mbulk count string")]
    CountLineTooBig,
    /// What follows `*` is no number, or above the limit.
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// More arguments than a peer may send before it authenticates.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,
    /// An argument that does not begin with `$`; holds what came instead.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    /// The line after `$` goes on without an end.
    #[error("Protocol error: too big bulk count string")]
    LengthLineTooBig,
    /// What follows `$` is no length, or above the limit.
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,
    /// A longer argument than a peer may send before it authenticates.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedLength,
    /// A single command spans more bytes than positions can express.
    #[error("Protocol error: request exceeds 4294967295 bytes")]
    RequestTooBig,
}

/// The offending byte as it may appear inside an error line.
fn printable(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' | 0 => ' ',
        other => char::from(other),
    }
}

impl From<ProtocolError> for CommandError {
    fn from(error: ProtocolError) -> Self {
        Self::custom(format!("ERR {error}"))
    }
}
