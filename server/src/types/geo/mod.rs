//! Geo: positions as scores of a sorted set.

pub mod commands;
pub mod table;
