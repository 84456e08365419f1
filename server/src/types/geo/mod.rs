//! Positions: sorted sets whose scores are geohashes.

pub mod commands;
mod hash;
mod search;
pub mod table;
