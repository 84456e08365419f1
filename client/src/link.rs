//! One connection to one node: the `redis` crate's multiplexed connection over a stream we opened.
//!
//! The stream is a socket, TLS over one, or a pipe into this process; nothing above knows which. The
//! driver that moves the bytes ends with the link, so nothing waits on a link that was given up.
//! Every request has a time limit of its own. The link counts requests in a row that got no answer
//! and wakes whoever watches the node; whether the link is dead is decided there, by a PING.

pub(crate) mod address;
pub(crate) mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use crate::error::Error;
use crate::value::Value;
use address::Address;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

#[cfg(feature = "tls")]
use tls::Tls;

/// Requests that may wait for the writer of a link before callers wait for it; what callers wait for
/// is bounded by their own number and time limits.
const QUEUE: usize = 1024;

/// What a link is opened with.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) credentials: Arc<dyn Fn() -> Credentials + Send + Sync>,
    pub(crate) database: u32,
    pub(crate) connect_timeout: Duration,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

/// Who we are to a node.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The user, `default` where there is none.
    pub username: Option<String>,
    /// The password, or a token that stands for one.
    pub password: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password.
        out.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Who hears what a node says unasked.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// One connection.
pub(crate) struct Link {
    connection: MultiplexedConnection,
    health: Arc<Health>,
    driver: tokio::task::AbortHandle,
}

/// How a connection fares.
#[derive(Default)]
pub(crate) struct Health {
    closed: AtomicBool,
    tracking: AtomicBool,
    /// Requests in a row without an answer.
    timeouts: AtomicU32,
    /// Wakes the watcher of the node.
    pub(crate) concern: Arc<Notify>,
}

impl Link {
    /// Opens a connection that speaks RESP3. `concern` is woken when it breaks or is slow.
    pub(crate) async fn open(
        address: &Address,
        settings: &Settings,
        on_push: Option<OnPush>,
        concern: &Arc<Notify>,
    ) -> Result<Self, Error> {
        let health = Arc::new(Health { concern: Arc::clone(concern), ..Health::default() });
        let credentials = (settings.credentials)();
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(settings.database.into());
        if let Some(username) = credentials.username {
            info = info.set_username(username);
        }
        if let Some(password) = credentials.password {
            info = info.set_password(password);
        }
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        if let Some(on_push) = on_push {
            config = config.set_push_sender(move |push: PushInfo| {
                on_push(push);
                Ok::<(), ()>(())
            });
        }
        let opening = async {
            let stream = stream::open(address, settings).await?;
            MultiplexedConnection::new_with_config(&info, stream, config)
                .await
                .map_err(|error| Error::Connect(error.to_string()))
        };
        let limit = settings.connect_timeout;
        let (connection, driver) =
            timeout(limit, opening).await.map_err(|_| Error::Timeout(limit))??;
        let watched = Arc::clone(&health);
        let driver = tokio::spawn(async move {
            driver.await;
            watched.closed.store(true, Ordering::Release);
            watched.concern.notify_one();
        });
        Ok(Self { connection, health, driver: driver.abort_handle() })
    }

    /// Whether it can still be used, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.health.closed.load(Ordering::Acquire)
    }

    /// Whether it can be asked to tell of changes of keys.
    pub(crate) fn is_tracking(&self) -> bool {
        self.health.tracking.load(Ordering::Relaxed)
    }

    /// From now on it can be asked to tell of changes of keys.
    pub(crate) fn tracks(&self) {
        self.health.tracking.store(true, Ordering::Relaxed);
    }

    /// Whether the last requests got no answer.
    pub(crate) fn is_suspect(&self) -> bool {
        self.health.timeouts.load(Ordering::Relaxed) >= 2
    }

    /// Sends one command.
    pub(crate) async fn send(&self, command: &redis::Cmd, limit: Duration) -> Result<Value, Error> {
        let mut connection = self.connection.clone();
        let reply = timeout(limit, connection.send_packed_command(command)).await;
        Value::of(self.heard(reply, limit)?).checked()
    }

    /// Sends commands together; errors stand in the replies.
    pub(crate) async fn send_all(
        &self,
        commands: &redis::Pipeline,
        limit: Duration,
    ) -> Result<Vec<Value>, Error> {
        let mut connection = self.connection.clone();
        let replies = connection.send_packed_commands(commands, 0, commands.len());
        let replies = self.heard(timeout(limit, replies).await, limit)?;
        Ok(replies.into_iter().map(Value::of).collect())
    }

    /// Subscribes to channels, or unsubscribes from them.
    pub(crate) async fn subscribe(
        &self,
        channels: &[String],
        on: bool,
        limit: Duration,
    ) -> Result<(), Error> {
        if channels.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection.clone();
        let request = async {
            if on {
                connection.subscribe(channels).await
            } else {
                connection.unsubscribe(channels).await
            }
        };
        self.heard(timeout(limit, request).await, limit)
    }

    /// What became of a request, which tells how the connection fares.
    fn heard<T>(
        &self,
        reply: Result<redis::RedisResult<T>, Elapsed>,
        limit: Duration,
    ) -> Result<T, Error> {
        match reply {
            Ok(Ok(reply)) => {
                // A write to a line that others read costs more than the look.
                if self.health.timeouts.load(Ordering::Relaxed) != 0 {
                    self.health.timeouts.store(0, Ordering::Relaxed);
                }
                Ok(reply)
            }
            Ok(Err(error)) => {
                let error = Error::of(&error);
                if matches!(error, Error::Disconnected) {
                    self.health.closed.store(true, Ordering::Release);
                    self.health.concern.notify_one();
                }
                Err(error)
            }
            Err(_) => {
                if self.health.timeouts.fetch_add(1, Ordering::Relaxed) >= 1 {
                    self.health.concern.notify_one();
                }
                Err(Error::Timeout(limit))
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
