//! Where connections come from: TCP sockets of both address families, those of them that speak TLS,
//! those for who watches the node over HTTP, and a Unix socket.

use crate::config::{BindAddress, Settings, bind_address};
use crate::node::clients::Peer;
use crate::node::workers::Stream;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;

/// Sockets that are bound and listen, not yet tied to a runtime.
pub struct Listeners {
    tcp: Vec<std::net::TcpListener>,
    tls: Vec<std::net::TcpListener>,
    metrics: Vec<std::net::TcpListener>,
    unix: Option<(std::os::unix::net::UnixListener, PathBuf)>,
    keepalive_s: u32,
}

/// Listening sockets of a runtime.
#[derive(Default)]
pub struct Registered {
    tcp: Vec<tokio::net::TcpListener>,
    tls: Vec<tokio::net::TcpListener>,
    metrics: Vec<tokio::net::TcpListener>,
    unix: Option<(tokio::net::UnixListener, PathBuf)>,
    keepalive_s: u32,
}

/// A connection that came in.
pub struct Accepted<S = Stream> {
    /// Its socket.
    pub stream: S,
    /// Both addresses.
    pub peer: Peer,
    /// Its file descriptor.
    pub fd: i32,
}

impl Listeners {
    /// Binds what the settings ask for; port 0 and an empty socket path ask for nothing.
    ///
    /// # Errors
    /// An address that cannot be bound, with the address in the error's text.
    pub fn bind(settings: &Settings) -> io::Result<Self> {
        let bind = |addresses, port| bind_port(addresses, port, settings.tcp_backlog);
        let mut tcp = bind(&settings.bind, settings.port)?;
        tcp.extend(bind(&settings.bind, settings.group_sentinel_port)?);
        let tls = bind(&settings.bind, settings.tls_port)?;
        let metrics = bind(&settings.metrics_bind, settings.metrics_port)?;
        let unix = match settings.unixsocket.as_str() {
            "" => None,
            path => {
                let backlog = settings.tcp_backlog;
                Some((bind_unix(Path::new(path), settings.unixsocketperm, backlog)?, path.into()))
            }
        };
        Ok(Self { tcp, tls, metrics, unix, keepalive_s: settings.tcp_keepalive_s })
    }

    /// The addresses of the TCP sockets without TLS.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.tcp)
    }

    /// The addresses on which metrics are told.
    pub fn metrics_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.metrics)
    }

    /// The addresses of the TCP sockets that speak TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.tls)
    }

    /// Ties the sockets to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch a socket.
    pub fn register(self) -> io::Result<Registered> {
        let watch = |sockets: Vec<std::net::TcpListener>| {
            sockets.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()
        };
        let (tcp, tls, metrics) = (watch(self.tcp)?, watch(self.tls)?, watch(self.metrics)?);
        let unix = match self.unix {
            Some((listener, path)) => Some((tokio::net::UnixListener::from_std(listener)?, path)),
            None => None,
        };
        Ok(Registered { tcp, tls, metrics, unix, keepalive_s: self.keepalive_s })
    }
}

impl Registered {
    /// Waits for the next connection on any socket without TLS; for ever when there is none.
    ///
    /// # Errors
    /// When the system refuses to accept, for example for lack of file descriptors.
    pub async fn accept(&self) -> io::Result<Accepted> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// Waits for the next connection on a TLS port; for ever when there is none.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub async fn accept_tls(&self) -> io::Result<Accepted<std::net::TcpStream>> {
        std::future::poll_fn(|context| self.poll_tcp(&self.tls, context)).await
    }

    /// Waits for the next connection for metrics; for ever when there is no port for them.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub async fn accept_metrics(&self) -> io::Result<tokio::net::TcpStream> {
        std::future::poll_fn(|context| {
            let mut polled = self.metrics.iter().map(|listener| listener.poll_accept(context));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
        .map(|(stream, _)| stream)
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        if let Poll::Ready(accepted) = self.poll_tcp(&self.tcp, context) {
            let plain =
                |Accepted { stream, peer, fd }| Accepted { stream: Stream::Tcp(stream), peer, fd };
            return Poll::Ready(accepted.map(plain));
        }
        if let Some((listener, path)) = &self.unix
            && let Poll::Ready(accepted) = listener.poll_accept(context)
        {
            let accepted = accepted.and_then(|(stream, _)| {
                let stream = stream.into_std()?;
                let fd = stream.as_raw_fd();
                let peer = Peer::Unix(path.to_string_lossy().into_owned());
                Ok(Accepted { stream: Stream::Unix(stream), peer, fd })
            });
            return Poll::Ready(accepted);
        }
        Poll::Pending
    }

    fn poll_tcp(
        &self,
        listeners: &[tokio::net::TcpListener],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Accepted<std::net::TcpStream>>> {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.and_then(|(stream, remote)| {
                    stream.set_nodelay(true)?;
                    if self.keepalive_s > 0 {
                        SockRef::from(&stream).set_tcp_keepalive(&keepalive(self.keepalive_s))?;
                    }
                    let peer = Peer::Tcp(remote, stream.local_addr()?);
                    let stream = stream.into_std()?;
                    let fd = stream.as_raw_fd();
                    Ok(Accepted { stream, peer, fd })
                }));
            }
        }
        Poll::Pending
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.unix {
            // Somebody may have taken it away already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Probes after `idle_s` seconds of silence, three times within the same time again, as Redis does.
fn keepalive(idle_s: u32) -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(idle_s.into()))
        .with_interval(Duration::from_secs((idle_s / 3).max(1).into()))
        .with_retries(3)
}

fn is_unavailable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// "Address family not supported", which a machine without IPv6 answers.
const EAFNOSUPPORT: i32 = 97;

/// The port on all these addresses; none for port 0.
pub(crate) fn bind_port(
    addresses: &[String],
    port: u16,
    backlog: u32,
) -> io::Result<Vec<std::net::TcpListener>> {
    let mut bound = Vec::new();
    if port == 0 {
        return Ok(bound);
    }
    for word in addresses {
        let BindAddress { host: address, optional } = bind_address(word);
        match bind_tcp(address, port, backlog) {
            Ok(listener) => bound.push(listener),
            Err(error) if optional && is_unavailable(&error) => {
                tracing::debug!(address, %error, "optional address is not available");
            }
            Err(error) => {
                let text = format!("cannot listen on {address}:{port}: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
    Ok(bound)
}

fn addresses(listeners: &[std::net::TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

fn bind_tcp(address: &str, port: u16, backlog: u32) -> io::Result<std::net::TcpListener> {
    let ip: IpAddr = match address {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        text => text
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an IP address"))?,
    };
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog as i32)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, mode: u32, backlog: u32) -> io::Result<std::os::unix::net::UnixListener> {
    let describe = |error: io::Error| {
        let text = format!("cannot listen on {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    };
    // A socket that a killed server left behind would refuse the bind for ever.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(describe(error)),
        _ => {}
    }
    let bind = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Before it listens: nobody can connect while the permissions are still the default ones.
        if mode != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        socket.listen(backlog as i32)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bind().map_err(describe)
}
