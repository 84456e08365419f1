//! The table of directives, by topic. `directive.rs` says what a row means.
//!
//! Each file is a macro that adds its rows to those it is given and hands all of them on, so that
//! one struct can have the fields of all topics. A new topic is a file here and one word in
//! `settings.rs`.

#[macro_use]
mod networking;
#[macro_use]
mod memory;
#[macro_use]
mod operation;
#[macro_use]
mod keyspace;
#[macro_use]
mod persistence;
#[macro_use]
mod replication;
#[macro_use]
mod cluster;
#[macro_use]
mod tls;
#[macro_use]
mod group;
