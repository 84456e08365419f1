//! Where the nodes are: the one line that differs between a test, a laptop and ElastiCache.

use crate::error::Error;
use crate::link::address::Address;
use std::sync::Arc;

#[cfg(feature = "embedded")]
use larder_server::group::NodeRole;
#[cfg(feature = "embedded")]
use larder_server::{Group, Node};

/// Where the nodes are.
///
/// Hosts are `host`, `host:port`, `[v6]:port` or the path of a socket file.
#[derive(Clone)]
pub struct Endpoints {
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Nodes(Vec<Endpoint>),
    Sentinel { sentinels: Vec<Address>, name: String },
}

/// One node.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) zone: Option<Arc<str>>,
    /// A name that is moved from node to node: one that leads to a replica is looked up again.
    pub(crate) must_lead: bool,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |addresses: Vec<String>| addresses.join(", ");
        match &self.kind {
            Kind::Nodes(nodes) => {
                let names = nodes.iter().map(|node| node.address.to_string()).collect();
                write!(out, "Endpoints({})", show(names))
            }
            Kind::Sentinel { sentinels, name } => {
                let names = sentinels.iter().map(Address::to_string).collect();
                write!(out, "Endpoints({name} by {})", show(names))
            }
        }
    }
}

impl Endpoints {
    /// One node that stands alone.
    ///
    /// # Errors
    /// [`Error::Settings`] when the address cannot be understood.
    pub fn single(address: &str) -> Result<Self, Error> {
        Self::nodes([address])
    }

    /// An ElastiCache replication group with cluster mode disabled, by its primary and its reader
    /// endpoint. To read in one's own zone, give the endpoints of all nodes to
    /// [`nodes`](Self::nodes) instead.
    ///
    /// # Errors
    /// [`Error::Settings`] when an address cannot be understood.
    pub fn elasticache(primary: &str, reader: &str) -> Result<Self, Error> {
        let node = |address, must_lead| Endpoint { address, zone: None, must_lead };
        let primary = node(Address::parse(primary)?, true);
        let reader = node(Address::parse(reader)?, false);
        Ok(Self { kind: Kind::Nodes(vec![primary, reader]) })
    }

    /// All nodes of a group, in any order and any role. A node's zone is its own word
    /// (`availability_zone` in INFO); for nodes that do not know it, see
    /// [`zoned`](Self::zoned).
    ///
    /// # Errors
    /// [`Error::Settings`] when there is none or an address cannot be understood.
    pub fn nodes<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        Self::of(addresses.into_iter().map(|address| (address, None)))
    }

    /// The same with the zone of each node: `(address, zone)`.
    ///
    /// # Errors
    /// [`Error::Settings`] when there is none or an address cannot be understood.
    pub fn zoned<'a>(
        addresses: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        Self::of(addresses.into_iter().map(|(address, zone)| (address, Some(zone))))
    }

    fn of<'a>(addresses: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self, Error> {
        let node = |(address, zone): (&str, Option<&str>)| {
            let address = Address::parse(address)?;
            Ok(Endpoint { address, zone: zone.map(Arc::from), must_lead: false })
        };
        let nodes = addresses.map(node).collect::<Result<Vec<_>, Error>>()?;
        if nodes.is_empty() {
            return Err(Error::Settings("no node was named".to_owned()));
        }
        Ok(Self { kind: Kind::Nodes(nodes) })
    }

    /// The nodes that Sentinels know under a name.
    ///
    /// # Errors
    /// [`Error::Settings`] when there is none or an address cannot be understood.
    pub fn sentinel<'a>(
        sentinels: impl IntoIterator<Item = &'a str>,
        name: &str,
    ) -> Result<Self, Error> {
        let sentinels: Vec<Address> =
            sentinels.into_iter().map(Address::parse).collect::<Result<_, _>>()?;
        if sentinels.is_empty() {
            return Err(Error::Settings("no Sentinel was named".to_owned()));
        }
        Ok(Self { kind: Kind::Sentinel { sentinels, name: name.to_owned() } })
    }

    /// A node or a group inside this process, to which bytes go without a socket: `&Arc<Node>` or
    /// `&Arc<Group>`. It is kept alive.
    #[cfg(feature = "embedded")]
    pub fn in_process(runs_here: impl Into<Self>) -> Self {
        runs_here.into()
    }

    /// The same for a primary and replicas that are no group.
    #[cfg(feature = "embedded")]
    pub fn in_process_all<'a>(nodes: impl IntoIterator<Item = &'a Arc<Node>>) -> Self {
        let node = |(number, node): (usize, &Arc<Node>)| Endpoint {
            address: Address::InProcess { node: Arc::clone(node), number },
            zone: None,
            must_lead: false,
        };
        Self { kind: Kind::Nodes(nodes.into_iter().enumerate().map(node).collect()) }
    }
}

#[cfg(feature = "embedded")]
impl From<&Arc<Node>> for Endpoints {
    fn from(node: &Arc<Node>) -> Self {
        Self::in_process_all([node])
    }
}

/// Each node is found again after it died and its place was refilled.
#[cfg(feature = "embedded")]
impl From<&Arc<Group>> for Endpoints {
    fn from(group: &Arc<Group>) -> Self {
        let with_data = group.nodes().into_iter().filter(|node| node.role != NodeRole::Witness);
        let endpoint = |node: larder_server::group::NodeView| Endpoint {
            address: Address::InGroup { group: Arc::clone(group), node: node.id },
            zone: Some(node.zone.into()),
            must_lead: false,
        };
        Self { kind: Kind::Nodes(with_data.map(endpoint).collect()) }
    }
}
