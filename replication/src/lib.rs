//! Larder's replication stream: ids, offsets and the log of effects.
//!
//! The log is the single ordered list of what changed the data set, in the protocol that replicas
//! and the append-only file read. This crate moves bytes and offsets; it never sees a value.

mod log;
mod replid;

pub use log::{EffectLog, Sink};
pub use replid::ReplicationId;
