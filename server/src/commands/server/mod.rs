//! Commands about the server itself: what it is, what it knows, how it runs.
//!
//! None of them touches a client's data, but for the looks that MEMORY USAGE and DEBUG take.
//!
//! ```text
//! introspection   INFO, TIME, MONITOR       config    CONFIG and its subcommands
//! command         COMMAND                   memory    MEMORY
//! latency         LATENCY                   slowlog   SLOWLOG
//! save            SAVE, BGSAVE, LASTSAVE    debug     DEBUG; digest: DEBUG DIGEST
//! aof             BGREWRITEAOF              lolwut    LOLWUT
//! shutdown        SHUTDOWN                  module    MODULE
//! table           the rows
//! ```

pub mod aof;
pub mod command;
pub mod config;
pub mod debug;
pub mod digest;
pub mod introspection;
pub mod latency;
pub mod lolwut;
pub mod memory;
pub mod module;
mod reload;
pub mod save;
pub mod shutdown;
pub mod slowlog;
pub mod table;
