//! A replication group, as the server runs it: one member around a node, or all members in a process.
//!
//! ```text
//! face       what commands see of the group, and what they may ask
//! news       what clients are told when the group changed
//! ```

pub mod face;
pub mod news;
