//! HyperLogLogs: approximate cardinalities kept in strings.

pub mod commands;
pub mod table;
