//! An encrypted byte stream that can change threads.
//!
//! Its socket is watched by the runtime of one thread, or loose on its way to another: then it is
//! neither read nor written. However a connection ends, the peer is told so before the socket closes
//! (`close_notify`), if the socket takes it at once; otherwise a client could not tell an end from a
//! cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Memory of a connection's keys and of the buffers that it holds while it is idle.
pub const TLS_BYTES: usize = 12 * 1024;

/// One side of a TLS connection, after its handshake.
pub struct TlsStream(tokio_rustls::server::TlsStream<Socket>);

impl TlsStream {
    pub(super) fn new(inner: tokio_rustls::server::TlsStream<Socket>) -> Self {
        Self(inner)
    }

    /// Takes the socket from the runtime that watches it.
    ///
    /// # Errors
    /// When the runtime does not let go.
    pub fn detach(&mut self) -> io::Result<()> {
        self.0.get_mut().0.exchange(|socket| match socket {
            Socket::Watched(stream) => stream.into_std().map(Socket::Loose),
            other => Ok(other),
        })
    }

    /// Gives the socket to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn attach(&mut self) -> io::Result<()> {
        self.0.get_mut().0.exchange(|socket| match socket {
            Socket::Loose(stream) => tokio::net::TcpStream::from_std(stream).map(Socket::Watched),
            other => Ok(other),
        })
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        let (socket, session) = self.0.get_mut();
        if let Socket::Watched(stream) = socket {
            session.send_close_notify();
            // What the socket does not take now is lost, as is the rest of what it did not take.
            let _ = session.write_tls(&mut AtOnce(stream));
        }
    }
}

/// Writes what a socket takes without waiting.
struct AtOnce<'s>(&'s tokio::net::TcpStream);

impl io::Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for TlsStream {
    /// Fills the buffer with as many records as there are: each of a client's writes is one.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            let filled = buffer.filled().len();
            let polled = Pin::new(&mut self.0).poll_read(context, buffer);
            let is_first = filled == before;
            match polled {
                Poll::Ready(Ok(())) if buffer.filled().len() == filled => {
                    // The end: told again at the next call.
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if buffer.remaining() > 0 => {}
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) | Poll::Pending if !is_first => return Poll::Ready(Ok(())),
                polled => return polled,
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A TCP socket, watched by a runtime or loose.
pub(super) enum Socket {
    /// A runtime tells when it is ready.
    Watched(tokio::net::TcpStream),
    /// It is on its way to another thread.
    Loose(std::net::TcpStream),
    /// A change of threads failed, and the socket is closed.
    Lost,
}

impl Socket {
    fn exchange(&mut self, change: impl FnOnce(Self) -> io::Result<Self>) -> io::Result<()> {
        *self = change(std::mem::replace(self, Self::Lost))?;
        Ok(())
    }

    fn watched(self: Pin<&mut Self>) -> io::Result<Pin<&mut tokio::net::TcpStream>> {
        match self.get_mut() {
            Self::Watched(stream) => Ok(Pin::new(stream)),
            Self::Loose(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.watched()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watched()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watched()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched()?.poll_shutdown(context)
    }
}
