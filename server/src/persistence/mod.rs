//! Data that survives a restart, and the stream of bytes that a replica begins with.
//!
//! ```text
//! aof         the append-only file: manifest, writer, load, rewrite
//! rdb         dump files: what stands around the keys, and how a file becomes a data set
//! snapshots   one snapshot at a time, from the cut to its last byte, into a sink
//! dump        the dump file: when it is written, how its saves went
//! file        a snapshot on its way into the dump file
//! loading     the dump file becomes the data set
//! leaving     what is saved before the node ends
//! ```

pub mod aof;
pub mod dump;
pub(crate) mod file;
pub mod leaving;
pub mod loading;
pub mod rdb;
pub mod snapshots;

#[cfg(test)]
mod tests;
