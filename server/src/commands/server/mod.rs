//! Commands about the server itself: what it is, what it knows, how it runs.
//!
//! None of them touches a client's data, but for the looks that MEMORY USAGE and DEBUG take.
//!
//! ```text
//! introspection   INFO, TIME, MONITOR       config    CONFIG and its subcommands
//! command         COMMAND                   memory    MEMORY
//! latency         LATENCY                   slowlog   SLOWLOG
//! shutdown        SHUTDOWN                  debug     DEBUG; digest: DEBUG DIGEST
//! lolwut          LOLWUT                    table     the rows
//! ```

pub mod command;
pub mod config;
pub mod debug;
pub mod digest;
pub mod introspection;
pub mod latency;
pub mod lolwut;
pub mod memory;
pub mod reload;
pub mod shutdown;
pub mod slowlog;
pub mod table;
