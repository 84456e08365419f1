//! What every test of Larder across crates stands on.
//!
//! The idea: real Redis is the specification. A test is mostly a *script* of commands that runs
//! on a Larder node and on a `redis-server` side by side, and the replies have to be equal byte by
//! byte, once in RESP2 and once in RESP3 ([`compare`]). Where the installed Redis is of another
//! version than the one Larder follows (7.2), the script states the reply literally.
//!
//! * [`Server`] a process under test: free port, own folder, killed when dropped.
//! * [`Redis`] the same for the peer.
//! * [`cluster`] a group of such processes.
//! * [`Conn`] a blocking client that shows the bytes as they are.
//! * [`Authority`], [`TlsClient`] certificates and connections for TLS.
//! * [`Value`] one reply, parsed, with a notation that fits on a line.
//! * [`compare`], [`transcript`] scripts of commands, and raw bytes, on both servers.
//! * [`Rule`] how two replies are compared.
//!
//! Nothing here links Larder's own code: a mistake in Larder's parser or encoder must not hide
//! itself in the test's view of it.
//!
//! Environment: `LARDER_TEST_SERVER` a server binary to test instead of the one cargo builds,
//! `LARDER_TEST_REDIS` and `LARDER_TEST_REDIS82` other peers.

pub mod cluster;
mod connection;
mod process;
mod rng;
mod rule;
mod script;
mod tls;
mod value;
mod words;

pub use connection::{Conn, Reply};
pub use process::{Redis, Server, eventually, program};
pub use rng::Rng;
pub use rule::{Rule, difference, sorted};
pub use script::{compare, compare_on, compare_with, glob, transcript};
pub use tls::{Authority, TlsClient};
pub use value::{Malformed, Value, info_field};
pub use words::{encode, quoted, words};
