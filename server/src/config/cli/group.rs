//! The command line that runs a whole group in one process.
//!
//! ```text
//! larder-server group --zones a,b,c [--replicas N] [--name NAME] [--port PORT]
//!                     [--reader-port PORT] [--directive value ...]
//! ```
//!
//! What is no option of the group is a directive, and holds for each of its nodes.

use std::ffi::OsString;

use super::{CliError, Start, options_to_lines};
use crate::config::file::{Loaded, Loader};
use crate::config::group::{group_name, zone_name};

/// The word that asks for a group.
pub(super) const WORD: &str = "group";
/// Nodes that a group has at most: a primary and five replicas.
const MAX_NODES: usize = 6;
/// Zones that a command line may name.
const MAX_ZONES: usize = 16;

/// A group to run in this process.
#[derive(Debug)]
pub struct GroupLaunch {
    /// Its name.
    pub name: String,
    /// Its zones, the most wanted first.
    pub zones: Vec<String>,
    /// How many replicas the primary has.
    pub replicas: usize,
    /// Where the primary is always found.
    pub port: u16,
    /// Where the replicas are found in turn.
    pub reader_port: u16,
    /// The settings of each node, and what of them has no effect.
    pub loaded: Loaded,
    /// Whether the nodes keep their data in files, in `dir`.
    pub keeps_data: bool,
}

const HELP: &str = "\
Runs a whole replication group in this process: a primary and its replicas in several zones.

Usage: larder-server group [--zones ZONE,ZONE,...] [OPTION VALUE]... [--DIRECTIVE VALUE...]...

Options:
  --zones ZONE,...     The zones, the most wanted first (default: a,b,c)
  --replicas NUMBER    Replicas of the primary, up to 5 (default: one less than there are zones)
  --name NAME          The name of the group (default: larder)
  --port PORT          Always leads to the primary (default: 6379)
  --reader-port PORT   Leads to the replicas in turn (default: the port above)
  --DIRECTIVE VALUE    A directive of every node, such as --write-acks quorum; with --dir the nodes
                       keep their data there, otherwise in memory alone

Examples:
  larder-server group --zones a,b,c
  larder-server group --zones a,b,c --replicas 5 --write-acks quorum --maxmemory 1gb
";

/// Reads what follows the word `group`.
///
/// # Errors
/// An option without a good value, a directive that is unknown or refused.
pub(super) fn parse(arguments: &[OsString]) -> Result<Start, CliError> {
    let mut options = Options::default();
    let mut rest = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(known) = argument.to_str().and_then(Known::of) else {
            rest.push(argument.clone());
            continue;
        };
        if known == Known::Help {
            return Ok(Start::Print(HELP.to_owned()));
        }
        let value = arguments.next().and_then(|value| value.to_str());
        let value = value.ok_or_else(|| wrong(argument, "needs a value"))?;
        options.set(known, value).map_err(|reason| wrong(argument, reason))?;
    }
    if let Some(first) = rest.first().filter(|first| !first.as_encoded_bytes().starts_with(b"--")) {
        return Err(wrong(first, "is no option of a group"));
    }
    let mut loader = Loader::default();
    let lines = options_to_lines(&rest, false).lines;
    loader.command_line(&lines)?;
    let keeps_data = rest.iter().any(|argument| argument.eq_ignore_ascii_case("--dir"));
    options.launch(loader.finish(), keeps_data)
}

fn wrong(argument: &OsString, reason: &str) -> CliError {
    CliError::Usage(format!("larder-server group: {} {reason}", argument.to_string_lossy()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Help,
    Zones,
    Replicas,
    Name,
    Port,
    ReaderPort,
}

impl Known {
    fn of(argument: &str) -> Option<Self> {
        Some(match argument.to_ascii_lowercase().as_str() {
            "--help" | "-h" => Self::Help,
            "--zones" => Self::Zones,
            "--replicas" => Self::Replicas,
            "--name" | "--group" => Self::Name,
            "--port" => Self::Port,
            "--reader-port" => Self::ReaderPort,
            _ => return None,
        })
    }
}

#[derive(Default)]
struct Options {
    zones: Option<Vec<String>>,
    replicas: Option<usize>,
    name: Option<String>,
    port: Option<u16>,
    reader_port: Option<u16>,
}

impl Options {
    fn set(&mut self, known: Known, value: &str) -> Result<(), &'static str> {
        match known {
            Known::Help => {}
            Known::Zones => self.zones = Some(zones(value)?),
            Known::Replicas => {
                let replicas = value.parse().ok().filter(|replicas| *replicas < MAX_NODES);
                self.replicas = Some(replicas.ok_or("is a number from 0 to 5")?);
            }
            Known::Name => {
                group_name(value)?;
                self.name = Some(value.to_ascii_lowercase());
            }
            Known::Port => self.port = Some(port(value)?),
            Known::ReaderPort => self.reader_port = Some(port(value)?),
        }
        Ok(())
    }

    fn launch(self, loaded: Loaded, keeps_data: bool) -> Result<Start, CliError> {
        let zones =
            self.zones.unwrap_or_else(|| ["a", "b", "c"].map(str::to_owned).into_iter().collect());
        let port = self.port.unwrap_or(6379);
        let reader_port = match self.reader_port.or_else(|| port.checked_add(1)) {
            Some(reader_port) if reader_port != port => reader_port,
            _ => {
                let reason = "larder-server group: --reader-port has to be another one than --port";
                return Err(CliError::Usage(reason.to_owned()));
            }
        };
        Ok(Start::Group(Box::new(GroupLaunch {
            name: self.name.unwrap_or_else(|| "larder".to_owned()),
            replicas: self.replicas.unwrap_or((zones.len() - 1).clamp(1, MAX_NODES - 1)),
            zones,
            port,
            reader_port,
            loaded,
            keeps_data,
        })))
    }
}

fn zones(value: &str) -> Result<Vec<String>, &'static str> {
    let mut zones: Vec<String> = Vec::new();
    for zone in value.split(',') {
        zone_name(zone)?;
        if zones.iter().any(|other| other == zone) {
            return Err("names a zone twice");
        }
        zones.push(zone.to_owned());
    }
    if zones.len() > MAX_ZONES {
        return Err("names more than 16 zones");
    }
    Ok(zones)
}

fn port(value: &str) -> Result<u16, &'static str> {
    value.parse().ok().filter(|port| *port > 0).ok_or("is a port from 1 to 65535")
}
