//! AUTH and HELLO.
//!
//! A password that changes counts for those who authenticate from then on: nobody who is in is
//! thrown out.

use super::{client, quoting};
use crate::acl::check;
use crate::acl::users::DEFAULT_USER;
use crate::commands;
use crate::config::COMPATIBLE_REDIS_VERSION;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply, Version, number};
use std::sync::atomic::Ordering;

/// AUTH [username] password
pub fn auth<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    match args.len() {
        2 if call.node.acl.users.default_user().rules().needs_no_password() => {
            return Err(CommandError::NO_PASSWORD_SET);
        }
        2 => authenticate(call, DEFAULT_USER.as_bytes(), args.at(1))?,
        3 => authenticate(call, args.at(1), args.at(2))?,
        _ => return Err(CommandError::SYNTAX),
    }
    Ok(Reply::Ok)
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]
pub fn hello<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut reader = call.args.reader(1);
    let version = match reader.peek() {
        None => None,
        Some(_) => match number::parse_i64(reader.next()) {
            None => return Err(CommandError::PROTO_NOT_INTEGER),
            Some(2) => Some(Version::Resp2),
            Some(3) => Some(Version::Resp3),
            Some(_) => return Err(CommandError::NO_PROTO),
        },
    };
    let (mut credentials, mut name) = (None, None);
    while reader.has_next() {
        let (option, values) = (reader.next(), reader.remaining());
        if option.eq_ignore_ascii_case(b"auth") && values >= 2 {
            credentials = Some((reader.next(), reader.next()));
        } else if option.eq_ignore_ascii_case(b"setname") && values >= 1 {
            let wanted = reader.next();
            client::check_name(wanted)?;
            name = Some(wanted);
        } else {
            return Err(quoting("Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(call, user, password)?;
    }
    if !call.session.identity.is_authenticated() {
        return Err(CommandError::HELLO_NO_AUTH);
    }
    let session = &mut *call.session;
    if let Some(name) = name {
        session.client.texts.lock().name = name.to_vec();
    }
    if let Some(version) = version {
        session.version = version;
    }
    let protocol = match session.version {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    };
    session.client.resp.store(protocol, Ordering::Relaxed);
    let role = if call.node.role.is_replica() { "replica" } else { "master" };
    let mut facts = vec![
        ("server", Reply::Bulk(b"redis")),
        ("version", Reply::Bulk(COMPATIBLE_REDIS_VERSION.as_bytes())),
        ("proto", Reply::Int(protocol.into())),
        ("id", Reply::Int(session.client.id as i64)),
        ("mode", Reply::Bulk(b"standalone")),
        ("role", Reply::Bulk(role.as_bytes())),
        ("modules", Reply::Array(Vec::new())),
    ];
    let zone = &call.settings.availability_zone;
    if !zone.is_empty() {
        facts.push(("availability_zone", Reply::Owned(zone.clone().into_bytes())));
    }
    Ok(Reply::map(facts))
}

/// Lets the connection in as `user`, or leaves it as it was.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let users = &call.node.acl.users;
    if call.session.identity.authenticate(users, user, password) {
        call.session.client.show_user(&call.session.identity);
        // One who was removed just now may have been shown too late to be found among the clients.
        check::refresh(call.node, call.session);
        return Ok(());
    }
    let now_ms = call.now_ms();
    let command = commands::find(call.row.name.as_bytes());
    if let Some(command) = command {
        check::record_login(call.node, call.session, user, (command, call.args), now_ms);
    }
    Err(CommandError::WRONG_PASS)
}
