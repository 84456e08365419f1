//! Who runs where: servers on one core, this process on the same or on another.
//!
//! What a round trip costs depends on where the server's thread runs more than on what is asked: on the
//! client's own core it takes 8 us of the client's CPU, on another core, which has to be woken each time,
//! 25 to 34 us (two cores of a virtual machine). Left to itself the kernel changes between the two from
//! moment to moment, and whoever had more of the cheap moments has won. So both places are measured,
//! each by itself: one core for both, where what a client adds weighs most and the machine's noise least,
//! and a core for each.

use larder_benches::peer::{Peer, Pinning, Server};

use crate::Result;

/// The servers' core, in taskset's notation.
const SERVER: &str = "0";
/// The client's, where it has one of its own.
pub(crate) const CLIENT: &str = "1";
/// Where several processes share the machine.
pub(crate) const BOTH: &str = "0,1";
/// Where the client runs, with a name.
pub(crate) const PLACES: [(&str, &str); 2] = [(SERVER, "one core"), (CLIENT, "two cores")];

/// Keeps this thread and those it starts from now on to one core.
pub(crate) fn pin(core: &str) -> Result<()> {
    Ok(Pinning { server: None, client: Some(core.to_owned()) }.apply_to_self()?)
}

/// Starts a server, empty, on its core.
pub(crate) fn start(peer: &Peer) -> Result<Server> {
    Ok(peer.start(&Pinning { server: Some(SERVER.to_owned()), client: None })?)
}
