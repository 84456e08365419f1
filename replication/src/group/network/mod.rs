//! A network with faults on demand, for groups that live in one process and for tests.
//!
//! Every connection from node to node is made through a [`Network`]. Between two nodes, or zones,
//! each direction can be cut (nothing arrives and nobody is told, until it is healed), slowed, or
//! the connections reset; connections that exist already are affected as new ones are. The network
//! stands at the dialling end and plays both directions there. As long as nothing is set a
//! connection costs one atomic read and a free lock more than its socket.
//!
//! What was sent into a cut is kept, up to what socket buffers would keep, and arrives when it is
//! healed, as with TCP; so does the end of a connection that was closed meanwhile.

mod stream;

pub use stream::{FaultyStream, Transport};

use super::config::{Member, NodeId, Zone};
use super::link::{BoxFuture, Dial, Stream};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stream::Control;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

/// Where one end of a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One node.
    Node(NodeId),
    /// All nodes of a zone.
    Zone(Zone),
    /// All nodes that are not in the place at the other end; all nodes, where that is this as well.
    Elsewhere,
}

/// What befalls the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fault {
    is_cut: bool,
    latency: Duration,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    zones: HashMap<NodeId, Zone>,
    faults: Vec<(Place, Place, Fault)>,
    connections: Vec<Weak<dyn Control>>,
    /// How many connections there may be before those that are gone are looked for.
    sweep_at: usize,
}

impl Default for Network {
    fn default() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(()) }))
    }
}

impl Network {
    /// One without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says in which zone a node stands.
    pub fn place(&self, node: &NodeId, zone: &Zone) {
        self.change(|state| {
            state.zones.insert(node.clone(), zone.clone());
        });
    }

    /// Cuts the direction between two places; connections are neither made nor closed across it.
    pub fn cut(&self, from: &Place, to: &Place) {
        self.set(from, to, |fault| fault.is_cut = true);
    }

    /// Cuts both directions between two places.
    pub fn part(&self, one: &Place, other: &Place) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Cuts a place off from all others. Inside it everything stays as it is.
    pub fn isolate(&self, place: &Place) {
        self.part(place, &Place::Elsewhere);
    }

    /// Lets everything take this much longer in one direction between two places, in order; nothing
    /// to take that back.
    pub fn delay(&self, from: &Place, to: &Place, latency: Duration) {
        self.set(from, to, |fault| fault.latency = latency);
    }

    /// Takes back a cut, in both directions between exactly these two places.
    pub fn heal(&self, one: &Place, other: &Place) {
        self.set(one, other, |fault| fault.is_cut = false);
        self.set(other, one, |fault| fault.is_cut = false);
    }

    /// Takes back all cuts and delays.
    pub fn heal_all(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Resets all connections between two places, whoever made them: both ends get an error at once.
    pub fn reset(&self, one: &Place, other: &Place) {
        let state = self.0.state.lock();
        for connection in state.connections.iter().filter_map(Weak::upgrade) {
            let (from, to) = connection.ends();
            if state.lies_between(from, to, one, other) || state.lies_between(from, to, other, one)
            {
                connection.reset();
            }
        }
    }

    /// Connects a node to another one. Across a cut that lasts until it is healed.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn dial(
        &self,
        from: &NodeId,
        to: &NodeId,
        address: SocketAddr,
    ) -> io::Result<FaultyStream<TcpStream>> {
        self.open_way(from, to).await;
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(self.wrap(from, to, socket))
    }

    /// Puts a connection that exists already under the network's faults; `from` is the end that uses
    /// the result.
    pub fn wrap<S: Transport>(&self, from: &NodeId, to: &NodeId, transport: S) -> FaultyStream<S> {
        let stream = FaultyStream::new(from.clone(), to.clone(), transport);
        let mut state = self.0.state.lock();
        if state.connections.len() >= state.sweep_at {
            state.connections.retain(|connection| connection.strong_count() > 0);
            state.sweep_at = (2 * state.connections.len()).max(64);
        }
        let control = stream.control();
        state.apply(&*control);
        state.connections.push(Arc::downgrade(&control));
        stream
    }

    /// The way a node's group link dials.
    pub fn dialer(&self, from: &NodeId) -> Dialer {
        Dialer { network: self.clone(), from: from.clone() }
    }

    /// Waits until what asks for a connection and its answer could have gone from one node to the
    /// other and back.
    async fn open_way(&self, from: &NodeId, to: &NodeId) {
        let mut changed = self.0.changed.subscribe();
        loop {
            let (there, back) = {
                let state = self.0.state.lock();
                (state.fault(from, to), state.fault(to, from))
            };
            if !there.is_cut && !back.is_cut {
                let round = there.latency + back.latency;
                if !round.is_zero() {
                    sleep(round).await;
                }
                return;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn set(&self, from: &Place, to: &Place, change: impl FnOnce(&mut Fault)) {
        self.change(|state| {
            let known = state.faults.iter().position(|(a, b, _)| (a, b) == (from, to));
            let at = known.unwrap_or_else(|| {
                state.faults.push((from.clone(), to.clone(), Fault::default()));
                state.faults.len() - 1
            });
            change(&mut state.faults[at].2);
            state.faults.retain(|(_, _, fault)| *fault != Fault::default());
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock();
        change(&mut state);
        for connection in state.connections.iter().filter_map(Weak::upgrade) {
            state.apply(&*connection);
        }
        drop(state);
        self.0.changed.send_replace(());
    }
}

impl State {
    fn apply(&self, connection: &dyn Control) {
        let (from, to) = connection.ends();
        connection.set(self.fault(from, to), self.fault(to, from));
    }

    /// All that befalls what one node sends to another.
    fn fault(&self, from: &NodeId, to: &NodeId) -> Fault {
        let mut sum = Fault::default();
        for (a, b, fault) in &self.faults {
            if self.lies_between(from, to, a, b) {
                sum.is_cut |= fault.is_cut;
                sum.latency = sum.latency.max(fault.latency);
            }
        }
        sum
    }

    fn lies_between(&self, from: &NodeId, to: &NodeId, a: &Place, b: &Place) -> bool {
        self.is_in(from, a, b) && self.is_in(to, b, a)
    }

    fn is_in(&self, node: &NodeId, place: &Place, other: &Place) -> bool {
        match place {
            Place::Node(name) => node == name,
            Place::Zone(zone) => self.zones.get(node) == Some(zone),
            Place::Elsewhere if *other == Place::Elsewhere => true,
            Place::Elsewhere => !self.is_in(node, other, place),
        }
    }
}

/// Dials for one node.
#[derive(Clone)]
pub struct Dialer {
    network: Network,
    from: NodeId,
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, to: &'a Member) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = self.network.dial(&self.from, &to.id, to.group_address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

#[cfg(test)]
mod tests;
