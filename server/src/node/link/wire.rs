//! The connection to a primary: bytes, lines, time limits.

use super::LinkError;
use crate::config::PrimaryAddress;
use crate::node::shared::Shared;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long the primary may leave what we send unread.
const SEND: Duration = Duration::from_secs(10);

/// A connection to a primary.
pub(in crate::node) struct Wire {
    stream: Box<dyn Stream>,
    /// What was received and not used yet.
    pub(super) input: Vec<u8>,
    chunk: Vec<u8>,
    /// The primary's address and our own.
    pub(super) addresses: (SocketAddr, SocketAddr),
}

pub(in crate::node) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Wire {
    /// Connects, with TLS where `tls-replication` says so.
    pub(in crate::node) async fn connect(
        node: &Shared,
        primary: &PrimaryAddress,
    ) -> io::Result<Self> {
        let settings = node.config.load();
        let target = (primary.host.as_str(), primary.port);
        let source = &settings.bind_source_addr;
        let stream = open(target, source).await?;
        stream.set_nodelay(true)?;
        let addresses = (stream.peer_addr()?, stream.local_addr()?);
        let stream: Box<dyn Stream> = if settings.tls_replication {
            let context = node.tls.current();
            let client = context.and_then(|context| context.client.clone());
            let client = client.ok_or_else(|| io::Error::other("TLS is not set up"))?;
            // It is told to the other side only; what is no name of the internet is not.
            let address = || ServerName::from(addresses.0.ip());
            let name = ServerName::try_from(primary.host.clone()).unwrap_or_else(|_| address());
            Box::new(TlsConnector::from(Arc::clone(&client)).connect(name, stream).await?)
        } else {
            match node.member() {
                None => Box::new(stream),
                Some(member) => match member.through_network(stream) {
                    Ok(stream) => Box::new(stream),
                    Err(stream) => Box::new(stream),
                },
            }
        };
        Ok(Self { stream, input: Vec::new(), chunk: vec![0; READ_BYTES], addresses })
    }

    /// The stream, and what was received and not used yet.
    pub(in crate::node) fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.input)
    }

    /// Sends all of it.
    pub(in crate::node) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(SEND, sent).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Adds what comes next to the input; may be dropped while it waits.
    pub(super) async fn receive(&mut self) -> io::Result<usize> {
        let received = self.stream.read(&mut self.chunk).await?;
        if received == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "Connection lost"));
        }
        self.input.extend_from_slice(&self.chunk[..received]);
        Ok(received)
    }

    /// Takes a line, without its end.
    pub(in crate::node) async fn line(
        &mut self,
        max: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, LinkError> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.input.len() > max {
                return Err(LinkError::Refused("a line without an end".to_owned()));
            }
            let received = tokio::time::timeout(patience, self.receive());
            received.await.map_err(|_| LinkError::Silent)??;
        }
    }
}

/// The addresses that a name has. They are looked up by a thread of its own, since the runtime would
/// panic where it cannot have one.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (done, found) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new().name("larder-lookup".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Nobody may wait for it any more.
        let _ = done.send(found.map(Iterator::collect));
    })?;
    found.await.map_err(io::Error::other)?
}

/// Connects to one of the addresses that a name has.
async fn open((host, port): (&str, u16), source: &str) -> io::Result<TcpStream> {
    let addresses = look_up(host, port).await?;
    if source.is_empty() {
        return TcpStream::connect(&addresses[..]).await;
    }
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let own = look_up(source, 0).await?;
    for address in addresses {
        let Some(own) = own.iter().find(|own| own.is_ipv4() == address.is_ipv4()) else { continue };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(*own)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
