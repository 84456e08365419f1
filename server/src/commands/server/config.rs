//! CONFIG: settings of the running node.
//!
//! What a directive is and which values it takes is the configuration's matter; this only speaks
//! its protocol.

use crate::acl::users::User;
use crate::commands::docs;
use crate::config::{self, Caller};
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// CONFIG GET parameter [parameter ...]
pub fn get<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let patterns: Vec<&[u8]> = call.args.iter().skip(2).collect();
    let settings = call.node.config.load();
    Ok(Reply::map(config::matching(&settings, &patterns)))
}

/// CONFIG SET parameter value [parameter value ...]
pub fn set<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    if args.len() % 2 == 1 {
        return Err(CommandError::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> =
        (2..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1))).collect();
    let node = call.node;
    let local = call.session.client.peer.is_local();
    let caller = Caller { local, loading: node.loading.is_active() };
    let names = pairs.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok());
    // Naming a certificate's file loads it anew, also where the name is the same.
    let tls = names.filter_map(config::lookup).find(|row| row.name.starts_with("tls-"));
    node.config
        .set(&pairs, caller, |old, new| node.apply(old, new, tls.map(|row| row.name)))
        .map_err(|error| CommandError::custom(error.to_string()))?;
    // Fewer may have to have a write than those who wait for them were told.
    node.count_replicas();
    Ok(Reply::Ok)
}

/// CONFIG RESETSTAT
pub fn resetstat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.stats.reset();
    call.node.errors.reset();
    call.node.rates.reset();
    call.node.pressure.reset();
    call.node.replicas.reset_counts();
    call.node.reaped.freed.store(0, Ordering::Relaxed);
    Ok(Reply::Ok)
}

/// CONFIG REWRITE
pub fn rewrite<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    // Users are the ACL file's matter where there is one.
    let has_file = !call.node.config.load().aclfile.is_empty();
    let users = if has_file { Vec::new() } else { call.node.acl.users.all() };
    let line = |user: &Arc<User>| String::from_utf8_lossy(&user.describe()).into_owned();
    let users = users.iter().map(line).collect();
    call.node.config.rewrite(&[("user", users)]).map_err(|error| {
        tracing::warn!(%error, "CONFIG REWRITE failed");
        CommandError::custom(error.to_string())
    })?;
    tracing::info!("the configuration file was rewritten");
    Ok(Reply::Ok)
}

/// CONFIG HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "GET <pattern> [<pattern> ...]",
            "    Show directives whose names match, with their values.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change directives, all of them or none.",
            "RESETSTAT",
            "    Begin the counters of INFO again from zero.",
            "REWRITE",
            "    Bring the configuration file up to date with what is set now.",
        ],
    ))
}
