//! What a client needs to know before it connects.
//!
//! Everything that can be wrong in the settings is found by [`Builder::build`]; what remains for
//! [`Client::connect`] are the faults of the moment. Both waits are bounded unless the bound is
//! taken away.

use crate::error::Error;
use crate::link::{Handshake, Link};
use redis::IntoConnectionInfo;
use redis::aio::MultiplexedConnection;
use std::time::Duration;

#[cfg(feature = "embedded")]
use {larder_server::Node, std::sync::Arc};

/// A connection that is not there after this time is given up. A server in reach answers within
/// milliseconds; a lost SYN is sent again after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A command without an answer for this long fails. Most take less than a millisecond; what is left
/// is room for a pause of either side.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens connections to one server.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
}

impl Client {
    /// A client to be configured.
    pub fn builder() -> Builder {
        Builder {
            target: None,
            username: None,
            password: None,
            database: None,
            connect_timeout: Some(CONNECT_TIMEOUT),
            response_timeout: Some(RESPONSE_TIMEOUT),
        }
    }

    /// Opens a connection that speaks RESP3.
    ///
    /// Its clones share it: commands of all of them are sent in the order in which they come, many
    /// at a time. It belongs to the tokio runtime that it was opened in, and is not opened again
    /// when it breaks.
    ///
    /// # Errors
    /// [`Error::ConnectTimeout`] and [`Error::Connect`].
    pub async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        self.link.connect().await
    }
}

/// What a client shall be.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    target: Option<Target>,
    username: Option<String>,
    password: Option<String>,
    database: Option<u32>,
    connect_timeout: Option<Duration>,
    response_timeout: Option<Duration>,
}

/// Where the server is.
#[derive(Clone)]
enum Target {
    Address(String),
    #[cfg(feature = "embedded")]
    Embedded(Arc<Node>),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            // May hold a password.
            Self::Address(_) => "Address",
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => "Embedded",
        })
    }
}

impl Builder {
    /// The server's address: `redis://[user:password@]host[:port][/database]`, or
    /// `unix:///path?db=database`. The protocol is RESP3 whatever the address says.
    ///
    /// ```no_run
    /// use larder_client::{Client, redis::AsyncCommands};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::builder().address("redis://127.0.0.1:6379").build()?;
    /// let mut connection = client.connect().await?;
    /// let visits: i64 = connection.incr("visits", 1).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.target = Some(Target::Address(address.into()));
        self
    }

    /// A node inside this process, to which bytes go without a socket. The client keeps it alive.
    ///
    /// ```
    /// use larder_client::{Client, redis};
    /// use larder_server::Node;
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Arc::new(Node::builder().start()?);
    /// let client = Client::builder().embedded(Arc::clone(&node)).database(2).build()?;
    /// let mut connection = client.connect().await?;
    /// let reply: String = redis::cmd("PING").query_async(&mut connection).await?;
    /// assert_eq!(reply, "PONG");
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "embedded")]
    pub fn embedded(mut self, node: Arc<Node>) -> Self {
        self.target = Some(Target::Embedded(node));
        self
    }

    /// The user to log in as, instead of `default` or the address's own.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, instead of the address's own.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The database to select, instead of 0 or the address's own.
    pub fn database(mut self, database: u32) -> Self {
        self.database = Some(database);
        self
    }

    /// How long opening a connection may take, handshake included; `None` waits for ever. Two
    /// seconds unless it is set.
    pub fn connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a command may take; `None` waits for ever. One second unless it is set.
    pub fn response_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// The client; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::NoTarget`] and [`Error::Address`].
    pub fn build(self) -> Result<Client, Error> {
        let handshake = Handshake {
            username: self.username,
            password: self.password,
            database: self.database,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
        };
        let link = match self.target {
            None => return Err(Error::NoTarget),
            Some(Target::Address(address)) => {
                let info = address.into_connection_info().map_err(Error::Address)?;
                Link::to_address(info, handshake)?
            }
            #[cfg(feature = "embedded")]
            Some(Target::Embedded(node)) => Link::to_node(node, handshake),
        };
        Ok(Client { link })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_before_connecting() {
        assert!(matches!(Client::builder().build(), Err(Error::NoTarget)));
        for address in ["", "localhost", "http://localhost", "redis://localhost:port"] {
            let built = Client::builder().address(address).build();
            assert!(matches!(built, Err(Error::Address(_))), "{address}");
        }
        for address in ["redis://localhost", "redis://a:b@[::1]:7000/3?protocol=resp2"] {
            assert!(Client::builder().address(address).build().is_ok(), "{address}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let builder = Client::builder().address("redis://user:secret@localhost");
        assert!(!format!("{builder:?}").contains("secret"));
        let client = builder.build().unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }
}
