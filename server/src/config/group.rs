//! The directives of a replication group: its name, its nodes' names, who its members are.

use std::fmt;
use std::str::FromStr;

use super::kinds::{Kind, Line, Reason, one};

/// Characters of a group's name, as in ElastiCache.
const MAX_GROUP_NAME: usize = 40;
/// Characters of a node's name: a group's name and a number.
const MAX_NODE_NAME: usize = 64;
/// Characters of a zone's name.
const MAX_ZONE_NAME: usize = 64;
/// Members that a group is given: six nodes and some witnesses, with room.
const MAX_PEERS: usize = 32;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = ();

    /// Reads `host:port`, an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(());
        }
        let host = bare.unwrap_or(host);
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        let port: u16 = port.parse().map_err(|_| ())?;
        if host.is_empty() || port == 0 || !host.chars().all(legal) {
            return Err(());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A member of a group, as a file or a command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPeer {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub zone: String,
    /// Where clients and replicas reach it; none for a witness.
    pub client: Option<HostPort>,
    /// Where the other members reach it.
    pub group: HostPort,
}

/// What is added to a node's port to make the port for the other members.
const GROUP_PORT_ABOVE: u16 = 10_000;

/// The port for the other members, where none is named.
pub fn group_port(client_port: u16) -> Option<u16> {
    client_port.checked_add(GROUP_PORT_ABOVE)
}

impl fmt::Display for GroupPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}@", self.id, self.zone)?;
        if let Some(client) = &self.client {
            write!(f, "{client}")?;
        }
        write!(f, "/{}", self.group)
    }
}

impl FromStr for GroupPeer {
    type Err = Reason;

    /// Reads `id=zone@host:port/host:port`: for clients, then for members. Without the second the
    /// members' port is 10,000 above that of the clients; without the first it is a witness.
    fn from_str(text: &str) -> Result<Self, Reason> {
        let wrong = || -> Reason {
            format!("'{text}' is no member: id=zone@client_host:port/group_host:port is one").into()
        };
        let (id, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (zone, addresses) = rest.split_once('@').ok_or_else(wrong)?;
        if id.is_empty() {
            return Err(wrong());
        }
        node_name(id)?;
        zone_name(zone)?;
        let (client, group) = match addresses.split_once('/') {
            Some((client, group)) => (client, Some(group)),
            None => (addresses, None),
        };
        let client = match client {
            "" => None,
            client => Some(client.parse::<HostPort>().map_err(|()| wrong())?),
        };
        let group = match (group, &client) {
            (Some(group), _) => group.parse().map_err(|()| wrong())?,
            (None, Some(client)) => {
                let port = group_port(client.port).ok_or_else(wrong)?;
                HostPort { host: client.host.clone(), port }
            }
            (None, None) => return Err(wrong()),
        };
        Ok(Self { id: id.to_ascii_lowercase(), zone: zone.to_owned(), client, group })
    }
}

/// `group`: a name as ElastiCache takes it, kept in lower case.
pub(crate) struct GroupName;

impl Kind<String> for GroupName {
    fn parse(&self, words: &[&str], _: &String, _: bool) -> Result<String, Reason> {
        let name = one(words)?;
        if !name.is_empty() {
            group_name(name)?;
        }
        Ok(name.to_ascii_lowercase())
    }

    fn text(&self, value: &String) -> String {
        value.clone()
    }

    fn lines(&self, name: &str, value: &String, _: &String) -> Vec<Line> {
        if value.is_empty() {
            return vec![];
        }
        vec![Line { text: format!("{name} {value}"), force: true }]
    }

    fn syntax(&self) -> String {
        "name".to_owned()
    }
}

/// Whether a group may have this name.
///
/// # Errors
/// ElastiCache's rule that it breaks.
pub fn group_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_GROUP_NAME {
        return Err("a group's name has 1 to 40 characters");
    }
    legal_name(name)
}

/// Whether a node may have this name: a group's name, somewhat longer.
pub(crate) fn node_name(name: &str) -> Result<(), &'static str> {
    if name.len() > MAX_NODE_NAME {
        return Err("a node's name has at most 64 characters");
    }
    if name.is_empty() { Ok(()) } else { legal_name(name) }
}

fn legal_name(name: &str) -> Result<(), &'static str> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("a name may only contain alphanumeric characters and hyphens");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err("a name begins with a letter");
    }
    if name.contains("--") || name.ends_with('-') {
        return Err("a name contains no two hyphens in a row, and no hyphen at its end");
    }
    Ok(())
}

/// Whether a zone may have this name.
pub(crate) fn zone_name(name: &str) -> Result<(), &'static str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MAX_ZONE_NAME || !name.bytes().all(legal) {
        return Err("a zone's name has 1 to 64 letters, digits, hyphens, underscores and dots");
    }
    Ok(())
}

/// `group-peers`: the members. In a file, each further line adds to them.
pub(crate) struct Peers;

impl Kind<Vec<GroupPeer>> for Peers {
    fn parse(
        &self,
        words: &[&str],
        old: &Vec<GroupPeer>,
        repeated: bool,
    ) -> Result<Vec<GroupPeer>, Reason> {
        let mut peers = if repeated { old.clone() } else { Vec::new() };
        let words = words.iter().flat_map(|word| word.split([',', ' ']));
        for word in words.filter(|word| !word.is_empty()) {
            let peer: GroupPeer = word.parse()?;
            if peers.iter().any(|other| other.id == peer.id) {
                return Err(format!("two members are named '{}'", peer.id).into());
            }
            if peers.len() == MAX_PEERS {
                return Err(format!("a group has at most {MAX_PEERS} members").into());
            }
            peers.push(peer);
        }
        Ok(peers)
    }

    fn text(&self, value: &Vec<GroupPeer>) -> String {
        let shown: Vec<String> = value.iter().map(GroupPeer::to_string).collect();
        shown.join(" ")
    }

    fn lines(&self, name: &str, value: &Vec<GroupPeer>, _: &Vec<GroupPeer>) -> Vec<Line> {
        if value.is_empty() {
            return vec![];
        }
        vec![Line { text: format!("{name} {}", self.text(value)), force: true }]
    }

    fn syntax(&self) -> String {
        "id=zone@client_host:port/group_host:port ...".to_owned()
    }
}

/// The members that a group file names: one or more a line, `#` begins a comment.
///
/// # Errors
/// The first word that is no member.
pub fn read_group_file(text: &str) -> Result<Vec<GroupPeer>, Reason> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words: Vec<&str> = lines.flat_map(str::split_ascii_whitespace).collect();
    Peers.parse(&words, &Vec::new(), false)
}
