//! Where a node is.

use crate::error::Error;
use std::path::PathBuf;

#[cfg(feature = "embedded")]
use {
    larder_server::{Group, Node},
    std::sync::Arc,
};

/// The port where none is given.
const PORT: u16 = 6379;

/// Where a node is.
#[derive(Clone)]
pub(crate) enum Address {
    /// A name or an address, looked up whenever a connection is opened: names move in failovers.
    Tcp { host: String, port: u16 },
    /// A socket file.
    Unix(PathBuf),
    /// A node inside this process.
    #[cfg(feature = "embedded")]
    InProcess { node: Arc<Node>, number: usize },
    /// A place in a group inside this process, whichever node has it at the moment.
    #[cfg(feature = "embedded")]
    InGroup { group: Arc<Group>, node: String },
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port`, `/path` or `unix:///path`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Error::Settings(format!("{text:?}: {why}"));
        if let Some(path) = text.strip_prefix("unix://").or(text.starts_with('/').then_some(text)) {
            return Ok(Self::Unix(path.into()));
        }
        if text.contains("://") || text.contains('@') {
            return Err(refuse(
                "a host and a port are wanted; user, password, database and TLS \
                               are settings of their own",
            ));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| refuse("`]` is missing"))?;
                (host, rest.strip_prefix(':'))
            }
            // More than one colon: an IPv6 address without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err(refuse("the host is missing"));
        }
        let port = match port {
            None => PORT,
            Some(port) => port.parse().map_err(|_| refuse("the port is no number"))?,
        };
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
            Self::Unix(path) => write!(out, "{}", path.display()),
            #[cfg(feature = "embedded")]
            Self::InProcess { number, .. } => write!(out, "in-process:{number}"),
            #[cfg(feature = "embedded")]
            Self::InGroup { node, .. } => out.write_str(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("localhost", "localhost:6379"),
            ("localhost:7000", "localhost:7000"),
            ("[::1]:7000", "[::1]:7000"),
            ("::1", "[::1]:6379"),
            ("/run/redis.sock", "/run/redis.sock"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", ":7000", "localhost:port", "redis://localhost", "a:b@c:1", "[::1"] {
            assert!(matches!(Address::parse(wrong), Err(Error::Settings(_))), "{wrong}");
        }
    }
}
