//! Tests of the configuration, by room.

mod cli;
mod file;
mod get_set;
mod group;
mod holder;
mod rewrite;
mod table;
mod values;
