//! The replica's side of a link: what it says, what it understands, and when it is time.
//!
//! All of it is decided here without a socket or a clock: whoever owns those feeds lines and instants
//! in and does what comes out.

mod handshake;
mod payload;
mod pulse;

pub use handshake::{Handshake, Introduction, Outcome, Resume, Step};
pub use payload::{Payload, parse_payload};
pub use pulse::{Backoff, Beat, Pulse};

/// Longest line that a primary may send before the data set.
pub const LINE_BYTES: usize = 8 * 1024;
