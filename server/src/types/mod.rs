//! The value types: one room each, with its data structure and its commands.
//!
//! In every room `mod` (and its neighbours) know how a value is stored and `commands` knows what a
//! client may ask; `table` holds the facts about each command. Small collections are [`packed`] into
//! their key's own block, large ones are an [`object::Object`], whose hash tables are [`members`].

pub mod bitmap;
pub mod draw;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod members;
pub mod object;
pub mod packed;
pub mod rdb;
pub mod set;
pub mod several;
pub mod stream;
pub mod string;
pub mod zset;

#[cfg(test)]
pub(crate) mod tests;
