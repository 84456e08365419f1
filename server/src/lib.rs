//! Larder's server: a Redis-compatible cache node, as a library and as the thin binary around it.
//!
//! The modules stand in the order in which a request travels: a [`listener`] accepts, [`tls`] shakes
//! hands where the port asks for it, a [`connection`] reads and parses, its [`session`] remembers,
//! [`dispatch`] looks the command up in [`commands`], passes its gates, locks the shards of its keys and
//! runs its handler, which works on [`types`] in the [`keyspace`]; [`propagate`] hands the effects on,
//! [`persistence`] keeps them, and the reply goes out through the connection's [`output`]. What it did
//! not ask for reaches it by [`push`]. [`node`] is the face for programs that run a node in process.
//!
//! ```
//! use larder_server::Node;
//!
//! let node = Node::builder().start()?;
//! let mut local = node.local();
//! local.set(b"key", b"value");
//! assert_eq!(local.get(b"key"), Some(b"value".to_vec()));
//! # Ok::<(), larder_server::StartError>(())
//! ```

pub mod listener;

pub mod tls;

pub mod connection;

pub mod session;

pub mod dispatch;

pub mod acl;

#[allow(clippy::missing_errors_doc, reason = "the errors of a handler are those of its command")]
pub mod commands;

pub mod scripting;

#[allow(clippy::missing_errors_doc, reason = "the errors of a handler are those of its command")]
pub mod types;

pub mod keyspace;

pub mod propagate;

pub mod persistence;

pub mod output;

pub mod held;

pub mod push;

pub mod replicas;

pub mod node;

pub mod config;

pub mod observe;

pub mod clock;

pub mod glob;

pub mod raw;

mod sync;

pub use larder_protocol::Reply;
pub use node::group::{self, Group, GroupBuilder, GroupError, GroupMember};
pub use node::member;
pub use node::{Builder, Local, Node, StartError, StopSignal};
pub use scripting::{NativeCall, NativeError, NativeFunction, NativeResult};
