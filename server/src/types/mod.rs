//! The value types: one room each, with its data structure and its commands.
//!
//! In every room `mod` (and its neighbours) know how a value is stored and `commands` knows what a
//! client may ask; `table` holds the facts about each command.

pub mod string;
