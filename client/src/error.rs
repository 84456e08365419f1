//! Why there is no connection.
//!
//! What goes wrong on a connection later is redis-rs's own
//! [`RedisError`](redis::RedisError), which the connection's methods give.

use std::time::Duration;

/// Why a client could not be built or could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The builder was told neither an address nor a node.
    #[error("no server was named: give the builder an address or an embedded node")]
    NoTarget,
    /// The address cannot be understood, or needs what this build lacks (TLS).
    #[error("the address cannot be used: {0}")]
    Address(#[source] redis::RedisError),
    /// The server refused the connection, the password or the database, or does not speak RESP3.
    #[error("cannot connect: {0}")]
    Connect(#[source] redis::RedisError),
    /// The connection was not ready in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
}
