//! Data that survives a restart, and the stream of bytes that a replica begins with.
//!
//! ```text
//! snapshots   one snapshot at a time, from the cut to its last byte, into a sink
//! ```

pub mod snapshots;
