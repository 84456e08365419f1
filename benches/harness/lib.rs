//! What Larder's benchmarks stand on: start a server, load it, account for it, write down
//! what came out.
//!
//! The idea: a number is worth keeping only next to the same number of a peer, taken on the
//! same machine in the same minutes, by the same generator. So everything here takes "a
//! server" and knows nothing of Larder; [`peer`] finds the servers, and the binary `node`
//! alternates them.
//!
//! In the order a measurement travels: [`peer`] starts a process, [`connection`] speaks to
//! it one command at a time, [`request`] encodes what will be sent, [`load`] (closed loop)
//! and [`pace`] (open loop) send it, [`scanner`] counts what comes back, [`process`] reads
//! the server's own CPU and memory accounting, [`measure`] holds the figures and compares
//! them, [`report`] and [`chart`] write the run's folder, [`environment`] says where it was. [`arguments`] are those of programs
//! with few.
//!
//! Invariants: only loopback is spoken to; every loop is bounded in count or time; a started
//! server dies with the value that holds it.

pub mod arguments;
pub mod chart;
pub mod connection;
pub mod environment;
mod error;
pub mod load;
pub mod measure;
pub mod pace;
pub mod peer;
pub mod process;
pub mod report;
pub mod request;
pub mod scanner;

pub use error::{Error, Result};
