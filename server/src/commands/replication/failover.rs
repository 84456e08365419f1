//! FAILOVER: changes places with a replica.

use crate::config::PrimaryAddress;
use crate::dispatch::call::{Call, CommandResult};
use crate::node::failover::Request;
use larder_protocol::{CommandError, Reply, number};

/// FAILOVER \[TO host port \[FORCE\]\] \[ABORT\] \[TIMEOUT milliseconds\]
pub fn failover<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, node) = (call.args, call.node);
    if args.len() == 2 && args.at(1).eq_ignore_ascii_case(b"abort") {
        if let Some(member) = node.member() {
            return Err(member.refusal());
        }
        let db = &call.db;
        node.abort_failover("Failover manually aborted", |node| {
            if db.holds_all() {
                node.promote_within(db);
            } else {
                node.promote();
            }
        })?;
        return Ok(Reply::Ok);
    }
    let mut request = Request::default();
    let mut at = 1;
    while at < args.len() {
        let (left, word) = (args.len() - at - 1, args.at(at));
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("timeout") && left >= 1 && request.timeout_ms.is_none() {
            let timeout_ms = number::parse_i64(args.at(at + 1)).ok_or(CommandError::NOT_INTEGER)?;
            if timeout_ms <= 0 {
                return Err(CommandError::FAILOVER_TIMEOUT);
            }
            request.timeout_ms = Some(timeout_ms);
            at += 2;
        } else if is("to") && left >= 2 && request.target.is_none() {
            let port = number::parse_i64(args.at(at + 2)).ok_or(CommandError::NOT_INTEGER)?;
            // No replica listens on a port that does not exist.
            let port = u16::try_from(port).unwrap_or(0);
            let host = String::from_utf8_lossy(args.at(at + 1)).into_owned();
            request.target = Some(PrimaryAddress { host, port });
            at += 3;
        } else if is("force") && !request.force {
            request.force = true;
            at += 1;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    match node.member() {
        Some(member) => member.failover(&request)?,
        None => node.begin_failover(request)?,
    }
    Ok(Reply::Ok)
}
