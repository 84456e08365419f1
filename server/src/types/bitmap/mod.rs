//! Bitmaps: bit operations on strings.

pub mod commands;
pub mod table;
