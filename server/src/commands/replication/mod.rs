//! Replication as clients command it.

pub mod replicaof;
pub mod table;
