//! What one puts a cache node behind an application for: a cache of the database, and sessions.
//!
//! It works the same against Larder, over the network or inside the process, ElastiCache, Valkey and
//! Redis. A [`Net`] knows the nodes, follows the primary through failovers and reads in its own zone.
//! The atomic steps are Lua scripts called by digest; a Larder node has a function for each.
//!
//! With the feature `embedded` no server is needed:
#![cfg_attr(feature = "embedded", doc = "```")]
#![cfg_attr(not(feature = "embedded"), doc = "```ignore")]
//! use larder_client::{Endpoints, Net, Target};
//! use larder_server::Node;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Arc::new(Node::builder().start()?);
//! let net = Net::builder().endpoints(Endpoints::in_process(&node)).connect().await?;
//! net.write(&[b"SET", b"greeting", b"hello"]).await?;
//! let greeting = net.read(&[b"GET", b"greeting"], Target::default()).await?;
//! assert_eq!(greeting.as_str(), Some("hello"));
//! # Ok(())
//! # }
//! ```
//!
//! * [`cache`]: a cache of what a database holds
//! * `adapters`: sessions for other crates' web frameworks, as features
//! * [`sessions`]: sessions of users
//! * [`builder`]: where the nodes are, and how long to wait for them
//! * [`net`]: scripts and commands, sent to the right node
//! * `topology`: who the nodes are, which is the primary, how far behind the others are
//! * [`routing`]: which node answers a read
//! * `link`: one connection
//! * `journal`: changes that are owed, and made again after a failover
//! * [`script`], [`value`], [`error`]: what is sent, what comes back

#[cfg(any(feature = "axum", feature = "tower-sessions"))]
pub mod adapters;
pub mod builder;
pub mod cache;
pub mod error;
mod journal;
mod link;
pub mod net;
#[cfg(all(test, feature = "axum", feature = "embedded"))]
mod readme;
pub mod routing;
pub mod script;
pub mod sessions;
mod topology;
pub mod value;

pub use builder::Builder;
pub use cache::Cache;
pub use error::Error;
pub use link::Credentials;
#[cfg(feature = "tls")]
pub use link::tls::Tls;
pub use net::{Answered, Net, NodeStatus, Subscription};
pub use routing::Target;
pub use routing::token::Token;
pub use script::Script;
pub use sessions::Sessions;
pub use topology::endpoints::Endpoints;
pub use topology::pushes::Message;
pub use value::Value;
