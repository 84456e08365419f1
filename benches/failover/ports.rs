//! Ports that stay free while their server is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use larder_benches::{Error, Result};

/// Below what the kernel gives to outgoing connections.
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;

/// So many different loopback addresses that nothing listens on now.
///
/// # Errors
/// When there are not as many.
pub(crate) fn free_ports(count: usize) -> Result<Vec<SocketAddr>> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at the same time begin at different places.
    let span = LAST - FIRST;
    let start = (std::process::id() as u16).wrapping_mul(97) % span;
    let mut found = Vec::new();
    for _ in 0..span {
        if found.len() == count {
            return Ok(found);
        }
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port =
            FIRST + (u32::from(start) + u32::from(offset)).rem_euclid(u32::from(span)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            found.push((Ipv4Addr::LOCALHOST, port).into());
        }
    }
    Err(Error::Usage("no free ports".into()))
}
