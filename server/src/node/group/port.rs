//! A port that stays a node's own while the node is not there.
//!
//! A socket that is bound and never listens keeps it: who connects meanwhile is refused, the kernel
//! gives the port to nobody, and the node can listen on it when it comes back.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// More than wait to be accepted at a time.
const BACKLOG: i32 = 1024;

/// A port of the loopback interface.
#[derive(Debug)]
pub(super) struct Port {
    address: SocketAddr,
    _held: Socket,
}

impl Port {
    /// Takes a port that nobody has, or this one.
    pub(super) fn take(port: u16) -> io::Result<Self> {
        let held = bound((Ipv4Addr::LOCALHOST, port).into())?;
        let address = held.local_addr()?.as_socket();
        let address = address.ok_or_else(|| io::Error::other("a socket without an address"))?;
        Ok(Self { address, _held: held })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let socket = bound(self.address)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::Port;
    use std::net::TcpStream;

    #[test]
    fn a_port_is_kept_between_two_lives() {
        let port = Port::take(0).expect("a port");
        for _ in 0..3 {
            assert!(TcpStream::connect(port.address()).is_err(), "nobody listens");
            let listener = port.listen().expect("it is ours");
            assert!(TcpStream::connect(port.address()).is_ok());
            drop(listener);
        }
        assert!(Port::take(0).expect("another port").address() != port.address());
    }
}
