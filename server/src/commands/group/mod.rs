//! GROUP: what the replication group is, did, and shall do.
//!
//! What changes the group is only asked for here: the reply tells that it was accepted, and the
//! events tell what became of it, as with ElastiCache's own calls. What cannot be is refused at once.
//!
//! ```text
//! reply      a node, the state of the group and an event as replies
//! table      rows
//! ```

pub mod reply;
pub mod table;

use crate::commands::docs;
use crate::config::{GroupPeer, HostPort};
use crate::dispatch::call::{Call, CommandResult};
use crate::node::group::face::{Face, Request};
use larder_protocol::{CommandError, Reply, number};
use larder_replication::group::config::{Member, NodeId, Zone};
use std::net::SocketAddr;

/// Events that GROUP EVENTS shows unasked.
const DEFAULT_EVENTS: usize = 100;
/// The longest power interruption, as in the fault injection of ElastiCache: 12 hours.
const MAX_INTERRUPTION_MS: u64 = 12 * 3_600_000;

/// The group that the node belongs to.
pub(super) fn face<'n>(call: &Call<'n>) -> Result<&'n Face, CommandError> {
    let text = "ERR This node is not a member of a replication group";
    call.node.group.get().map(|face| &**face).ok_or(CommandError::from_static(text))
}

/// GROUP NODES
pub fn nodes<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let face = face(call)?;
    let config = face.config();
    Ok(Reply::array(config.members.values().map(|member| reply::node(&config, member))))
}

/// GROUP STATUS, GROUP INFO
pub fn status<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(reply::status(face(call)?))
}

/// GROUP EVENTS \[COUNT n | AFTER number\]
pub fn events<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, face) = (call.args, face(call)?);
    let config = face.config();
    let is = |word: &str| args.at(2).eq_ignore_ascii_case(word.as_bytes());
    let skipped = match args.len() {
        2 => config.events.len().saturating_sub(DEFAULT_EVENTS),
        4 => {
            let number = number::parse_i64(args.at(3)).ok_or(CommandError::NOT_INTEGER)?;
            let number = u64::try_from(number).map_err(|_| {
                CommandError::from_static("ERR value is out of range, must be positive")
            })?;
            if is("count") {
                let count = usize::try_from(number).unwrap_or(usize::MAX);
                config.events.len().saturating_sub(count)
            } else if is("after") {
                config.events.partition_point(|event| event.number <= number)
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        _ => return Err(CommandError::SYNTAX),
    };
    Ok(Reply::array(config.events.iter().skip(skipped).map(reply::event)))
}

/// GROUP FAILOVER \[TO node\]
pub fn failover<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, face) = (call.args, face(call)?);
    let target = match args.len() {
        2 => None,
        4 if args.at(2).eq_ignore_ascii_case(b"to") => Some(node_id(args.at(3))),
        _ => return Err(CommandError::SYNTAX),
    };
    ask(face, Request::Failover(target))
}

/// GROUP TEST-FAILOVER
pub fn test_failover<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    ask(face(call)?, Request::TestFailover)
}

/// GROUP INTERRUPT-ZONE zone duration
pub fn interrupt_zone<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, face) = (call.args, face(call)?);
    let zone = Zone(String::from_utf8_lossy(args.at(2)).into_owned());
    let for_ms = duration_ms(args.at(3)).filter(|ms| (1..=MAX_INTERRUPTION_MS).contains(ms));
    let text = "ERR a duration is seconds, or a number with ms, s, m or h, up to 12 hours";
    let for_ms = for_ms.ok_or(CommandError::from_static(text))?;
    ask(face, Request::InterruptZone { zone, for_ms })
}

/// GROUP ADD-NODE id=zone@host:port/host:port
pub fn add_node<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, face) = (call.args, face(call)?);
    let text = std::str::from_utf8(args.at(2)).map_err(|_| CommandError::SYNTAX)?;
    let peer: GroupPeer =
        text.parse().map_err(|reason| CommandError::custom(format!("ERR {reason}")))?;
    let address = |place: &HostPort| {
        let address = place.to_string().parse::<SocketAddr>();
        // A name would have to be looked up, and may be another one's later.
        address.map_err(|_| CommandError::from_static("ERR a node is added by its IP addresses"))
    };
    let member = Member {
        id: NodeId(peer.id),
        zone: Zone(peer.zone),
        client_address: peer.client.as_ref().map(address).transpose()?,
        group_address: address(&peer.group)?,
    };
    ask(face, Request::AddNode(member))
}

/// GROUP REMOVE-NODE id
pub fn remove_node<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    ask(face(call)?, Request::RemoveNode(node_id(call.args.at(2))))
}

/// GROUP RESTART
pub fn restart<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    ask(face(call)?, Request::Restart)
}

/// GROUP HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "ADD-NODE <id>=<zone>@<host:port>/<host:port>",
            "    Make a node a member: its addresses for clients, and for the other members.",
            "    It is started before, with --peers that name all members and itself.",
            "EVENTS [COUNT <n> | AFTER <number>]",
            "    Show the latest events, or those after the one of this number.",
            "FAILOVER [TO <node>]",
            "    Hand the primary over to a replica, without losing or failing a write. OK says that it",
            "    begins, here and with all that changes the group; how it ends the events say.",
            "INFO",
            "    The same as STATUS.",
            "INTERRUPT-ZONE <zone> <duration>",
            "    Take the power from all nodes of a zone for a time, such as 500ms, 90s or 5m.",
            "NODES",
            "    Show the members with their zones, roles and addresses.",
            "REMOVE-NODE <id>",
            "    End the membership of a node.",
            "RESTART",
            "    Restart all nodes one after another: the replicas, and after a failover the primary.",
            "    Connections end with the node that they lead to, when all that it took is answered.",
            "STATUS",
            "    Show what the group is like, as this node knows it.",
            "TEST-FAILOVER",
            "    Take the power from the primary's node for a moment.",
        ],
    ))
}

fn ask<'c>(face: &Face, request: Request) -> CommandResult<'c> {
    face.ask(request)?;
    Ok(Reply::Ok)
}

fn node_id(name: &[u8]) -> NodeId {
    NodeId(String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Milliseconds of `90`, `90s`, `500ms`, `5m`, `1h`, or of ISO 8601's `PT5M`.
fn duration_ms(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let text = text.strip_prefix("pt").unwrap_or(&text);
    let unit_at = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(unit_at)?;
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
