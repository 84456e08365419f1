//! What happened to a group, in ElastiCache's words.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The whole group.
    ReplicationGroup(String),
    /// One node; `cache-cluster` in ElastiCache's words.
    CacheCluster(String),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order of all events of the group, from 1.
    pub number: u64,
    /// When it happened, in milliseconds since the Unix epoch, by the clock of who proposed it.
    pub unix_ms: i64,
    /// What it is about.
    pub source: Source,
    /// What happened.
    pub message: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReplicationGroup(id) => write!(f, "replication-group {id}"),
            Self::CacheCluster(id) => write!(f, "cache-cluster {id}"),
        }
    }
}
