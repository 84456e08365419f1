//! The link between the members of a group: requests and answers over connections that both ends
//! have made sure of.
//!
//! ```text
//! handshake   who is there
//! frame       what goes over a connection, sealed
//! caller      one connection to each other member, kept; requests on it, answers in any order
//! listener    the other members' connections; a handler answers
//! ```
//!
//! Each member keeps one connection to each other one for its own requests. Requests and answers are
//! opaque bytes, up to 1 MiB. Nothing here decides anything about the group: a request may be lost,
//! arrive late, or be carried out though its caller got an error.
//!
//! What connections run over is the business of [`Dial`] and [`Accept`]: plain TCP ([`Plain`]), TLS,
//! or a network with faults ([`Network`](super::network::Network)).

mod caller;
mod frame;
mod handshake;
mod listener;

pub use caller::{CallError, CallLimits, Links};
pub use frame::{Frame, FrameError, Kind, MAX_PAYLOAD_BYTES, Opener, Sealer};
pub use handshake::{
    Answerer, Caller, HandshakeError, Keys, MIN_SECRET_BYTES, PROOF_BYTES, Proven, Secret,
    WeakSecret,
};
pub use listener::{Handler, LinkListener, ListenLimits};

use super::config::Member;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection, whatever it runs over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// How connections to other members are made.
pub trait Dial: Send + Sync + 'static {
    /// Connects to a member's group address.
    fn dial<'a>(&'a self, to: &'a Member) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// What happens to a connection that came in before the members make sure of each other: TLS, say.
pub trait Accept: Send + Sync + 'static {
    /// Prepares it.
    fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}

/// TCP, without anything around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Dial for Plain {
    fn dial<'a>(&'a self, to: &'a Member) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let socket = TcpStream::connect(to.group_address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Stream>)
        })
    }
}

impl Accept for Plain {
    fn accept(
        &self,
        socket: TcpStream,
        _: SocketAddr,
    ) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Stream>)
        })
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The network.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other one is not who it should be.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// What it sent is not what it should be.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It took too long.
    #[error("no sign of life")]
    Silent,
}

#[cfg(test)]
mod tests;
