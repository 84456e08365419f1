//! A thin client on top of the [`redis`] crate, for Larder as for any server that speaks its
//! protocol.
//!
//! So far it does one thing: it opens connections, to an address or to a node inside this process,
//! and sees to it that they speak RESP3. What it gives is redis-rs's own
//! [`MultiplexedConnection`](redis::aio::MultiplexedConnection), with everything that crate can do.
//!
//! With the feature `embedded` no server is needed:
#![cfg_attr(feature = "embedded", doc = "```")]
#![cfg_attr(not(feature = "embedded"), doc = "```ignore")]
//! use larder_client::{Client, redis::AsyncCommands};
//! use larder_server::Node;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Arc::new(Node::builder().start()?);
//! let client = Client::builder().embedded(node).build()?;
//! let mut connection = client.connect().await?;
//! let () = connection.set("greeting", "hello").await?;
//! let greeting: String = connection.get("greeting").await?;
//! assert_eq!(greeting, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! * [`builder`]: where the server is, and how long to wait for it
//! * [`link`]: the way to it, over a socket or inside the process
//! * [`error`]: why there is no connection

pub mod builder;
pub mod error;
pub mod link;

pub use builder::{Builder, Client};
pub use error::Error;
/// The crate that the connections come from, in the version that they come from.
pub use redis;
