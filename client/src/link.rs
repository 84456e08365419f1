//! The way to a server: an address, or a node inside this process.
//!
//! Both ways end in the same handshake and the same kind of connection, so nothing above this knows
//! which one was taken. A connection that is still being made when its time is over is dropped.

use crate::error::Error;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use std::future::Future;
use std::time::Duration;

#[cfg(feature = "embedded")]
use {larder_server::Node, std::sync::Arc};

/// What is agreed on while a connection is made.
pub(crate) struct Handshake {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<u32>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
}

impl Handshake {
    /// Completes what an address said about it.
    fn complete(&self, mut info: RedisConnectionInfo) -> RedisConnectionInfo {
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password);
        }
        if let Some(database) = self.database {
            info = info.set_db(database.into());
        }
        info.set_protocol(ProtocolVersion::RESP3)
    }
}

/// The way to one server.
#[derive(Clone)]
pub(crate) struct Link {
    route: Route,
    connect_timeout: Option<Duration>,
    response_timeout: Option<Duration>,
}

#[derive(Clone)]
enum Route {
    Address(redis::Client),
    #[cfg(feature = "embedded")]
    Embedded(Arc<Node>, RedisConnectionInfo),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut link = out.debug_struct("Link");
        match &self.route {
            // Without the password that may stand beside it.
            Route::Address(client) => {
                link.field("address", &client.get_connection_info().addr().to_string())
            }
            #[cfg(feature = "embedded")]
            Route::Embedded(..) => link.field("embedded", &true),
        };
        link.finish_non_exhaustive()
    }
}

impl Link {
    /// The way to an address.
    pub(crate) fn to_address(info: ConnectionInfo, handshake: Handshake) -> Result<Self, Error> {
        let settings = handshake.complete(info.redis_settings().clone());
        let info = info.set_redis_settings(settings);
        let client = redis::Client::open(info).map_err(Error::Address)?;
        Ok(Self::new(Route::Address(client), &handshake))
    }

    /// The way to a node inside this process.
    #[cfg(feature = "embedded")]
    pub(crate) fn to_node(node: Arc<Node>, handshake: Handshake) -> Self {
        let info = handshake.complete(RedisConnectionInfo::default());
        Self::new(Route::Embedded(node, info), &handshake)
    }

    fn new(route: Route, handshake: &Handshake) -> Self {
        let Handshake { connect_timeout, response_timeout, .. } = *handshake;
        Self { route, connect_timeout, response_timeout }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        // redis-rs bounds the connection alone; `in_time` bounds the handshake with it.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(self.response_timeout);
        match &self.route {
            Route::Address(client) => {
                self.in_time(client.get_multiplexed_async_connection_with_config(&config)).await
            }
            #[cfg(feature = "embedded")]
            Route::Embedded(node, info) => {
                let connecting =
                    MultiplexedConnection::new_with_config(info, node.connect(), config);
                let (connection, driver) = self.in_time(connecting).await?;
                // It ends with the last clone of the connection, or with the node.
                tokio::spawn(driver);
                Ok(connection)
            }
        }
    }

    async fn in_time<T>(
        &self,
        connecting: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, Error> {
        let result = match self.connect_timeout {
            None => connecting.await,
            Some(timeout) => match tokio::time::timeout(timeout, connecting).await {
                Ok(result) => result,
                Err(_) => return Err(Error::ConnectTimeout(timeout)),
            },
        };
        result.map_err(Error::Connect)
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
