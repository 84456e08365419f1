//! Bytes to and from a node.
//!
//! Sockets give up by themselves what the watchdog of a node does not see: the kernel's keepalive
//! and the limit on unacknowledged data close a connection into nothing within seconds.

use super::Settings;
use super::address::Address;
use crate::error::Error;
use socket2::{SockRef, TcpKeepalive};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Silence after which the kernel asks whether the other side is there, and how often it asks.
const KEEPALIVE: Duration = Duration::from_secs(5);
const KEEPALIVE_TRIES: u32 = 3;
/// How long sent bytes may stay unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Opens the way to a node. The caller bounds the time.
pub(crate) async fn open(address: &Address, settings: &Settings) -> Result<Box<dyn Stream>, Error> {
    let failed = |error: std::io::Error| Error::Connect(format!("{address}: {error}"));
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((&**host, *port)).await.map_err(failed)?;
            tune(&stream).map_err(failed)?;
            #[cfg(feature = "tls")]
            if let Some(tls) = &settings.tls {
                return Ok(Box::new(tls.over(stream, host).await?));
            }
            #[cfg(not(feature = "tls"))]
            let _ = settings;
            Ok(Box::new(stream))
        }
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
        #[cfg(feature = "embedded")]
        Address::InProcess { node, .. } => Ok(Box::new(node.connect())),
        #[cfg(feature = "embedded")]
        Address::InGroup { group, node } => match group.connect(node) {
            Some(stream) => Ok(Box::new(stream)),
            None => Err(Error::Connect(format!("{address}: the node is down"))),
        },
    }
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(KEEPALIVE_TRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}
