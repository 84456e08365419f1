//! REPLICAOF: becomes the replica of another node, or a primary.

use crate::config::PrimaryAddress;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply, number};

/// REPLICAOF host port | NO ONE, and SLAVEOF
///
/// Its row makes it hold all shards: the role changes between any two other commands.
pub fn replicaof<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (host, port, node) = (call.args.at(1), call.args.at(2), call.node);
    let client = call.session.client.id;
    if let Some(member) = node.member() {
        return Err(member.refusal());
    }
    if node.failover.is_under_way() {
        let text = "ERR REPLICAOF not allowed while failing over.";
        return Err(CommandError::from_static(text));
    }
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if node.promote_within(&call.db) {
            tracing::info!(client, "MASTER MODE enabled by a user's request");
        }
        return Ok(Reply::Ok);
    }
    let port = number::parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(CommandError::from_static("ERR Invalid master port"))?;
    let host = String::from_utf8_lossy(host).into_owned();
    let known = node.role.primary();
    if known.is_some_and(|known| known.host.eq_ignore_ascii_case(&host) && known.port == port) {
        tracing::info!(client, "REPLICAOF names the primary that is followed already");
        return Ok(Reply::Simple("OK Already connected to specified master"));
    }
    tracing::info!(client, %host, port, "REPLICAOF enabled by a user's request");
    node.follow_within(&call.db, PrimaryAddress { host, port });
    Ok(Reply::Ok)
}
