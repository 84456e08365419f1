//! What one peer may make the parser hold.
//!
//! The limits are checked against the lengths a peer declares, before the bytes arrive, so that a
//! refusal costs nothing. They never serve as a size to allocate. Limits on whole connections
//! (query buffer, output buffer) belong to the server.

/// Bounds on a single request. Copied per call, so a changed configuration or an AUTH takes effect
/// with the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest argument, in bytes (`proto-max-bulk-len`).
    pub max_bulk_bytes: usize,
    /// Most arguments in one command, its name included.
    pub max_args: usize,
    /// Longest line, in bytes, line end not counted: an inline command, or the digits of a count.
    pub max_inline_bytes: usize,
    /// Whether these are the bounds for a peer that has not authenticated; decides only the error
    /// text, so that a client can tell "log in first" from "too large".
    pub unauthenticated: bool,
}

impl Limits {
    /// For a peer that may run commands: Redis's default of 512 MB an argument, and 2^20 arguments,
    /// which no client reaches by accident and which costs 8 MB of positions at most.
    pub const DEFAULT: Limits = Limits {
        max_bulk_bytes: 512 * 1024 * 1024,
        max_args: 1024 * 1024,
        max_inline_bytes: 64 * 1024,
        unauthenticated: false,
    };

    /// For a peer that still has to authenticate: room for HELLO and AUTH, as in Redis since
    /// CVE-2021-32675.
    pub const UNAUTHENTICATED: Limits = Limits {
        max_bulk_bytes: 16 * 1024,
        max_args: 10,
        max_inline_bytes: 64 * 1024,
        unauthenticated: true,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}
