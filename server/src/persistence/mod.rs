//! Data that survives a restart, and the stream of bytes that a replica begins with.
//!
//! ```text
//! snapshots   one snapshot at a time, from the cut to its last byte, into a sink
//! rdb         dump files: what stands around the keys, and how a file becomes a data set
//! ```

pub mod rdb;
pub mod snapshots;
