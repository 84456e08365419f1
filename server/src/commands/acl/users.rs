//! ACL's subcommands about users.

use crate::acl::selector::{Selector, has_blank};
use crate::acl::users::{DEFAULT_USER, User};
use crate::acl::{self, file, subscribers};
use crate::commands::connection::quoting;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply};
use std::sync::Arc;

/// ACL SETUSER username [rule [rule ...]]
pub fn setuser<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let name = call.args.at(2);
    if has_blank(name) {
        return Err(CommandError::ACL_USER_NAME);
    }
    let rules: Vec<&[u8]> = call.args.iter().skip(3).collect();
    let all_channels = file::all_channels(&call.node.config.load());
    let changed = call.node.acl.users.set(name, &rules, all_channels);
    let changed = changed.map_err(|error| error.reply())?;
    if let Some((user, old)) = changed {
        let own_id = call.session.client.id;
        call.session.closing |= subscribers::cut_off(call.node, &user, &old, own_id);
    }
    Ok(Reply::Ok)
}

/// ACL DELUSER username [username ...]
///
/// The connections of a deleted user end, the caller's own after its reply.
pub fn deluser<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let names = || call.args.iter().skip(2);
    if names().any(|name| name == DEFAULT_USER.as_bytes()) {
        return Err(CommandError::ACL_DEFAULT_USER);
    }
    let gone: Vec<_> = names().filter_map(|name| call.node.acl.users.remove(name)).collect();
    cut_off(call, &gone);
    Ok(Reply::from(gone.len()))
}

fn cut_off(call: &mut Call<'_>, gone: &[Arc<User>]) {
    if !gone.is_empty() && acl::cut_off(call.node, gone, call.session.client.id) {
        call.session.closing = true;
    }
}

/// ACL GETUSER username
pub fn getuser<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let Some(user) = call.node.acl.users.get(call.args.at(2)) else { return Ok(Reply::Null) };
    let rules = user.rules();
    let passwords = rules.passwords().iter().map(|password| Reply::Owned(password.hex().into()));
    let mut fields = vec![
        (word("flags"), Reply::Set(rules.flags().map(word).collect())),
        (word("passwords"), Reply::Array(passwords.collect())),
    ];
    let mut selectors = rules.selectors();
    fields.extend(selectors.next().map(described).into_iter().flatten());
    let others = selectors.map(|selector| Reply::Map(described(selector).into()));
    fields.push((word("selectors"), Reply::Array(others.collect())));
    Ok(Reply::Map(fields))
}

fn word(text: &'static str) -> Reply<'static> {
    Reply::Bulk(text.as_bytes())
}

fn described(selector: &Selector) -> [(Reply<'static>, Reply<'static>); 3] {
    [
        (word("commands"), Reply::Owned(selector.describe_commands().into_bytes())),
        (word("keys"), Reply::Owned(selector.describe_keys())),
        (word("channels"), Reply::Owned(selector.describe_channels())),
    ]
}

/// ACL LIST
pub fn list<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let users = call.node.acl.users.all();
    Ok(Reply::Array(users.iter().map(|user| Reply::Owned(file::line(user))).collect()))
}

/// ACL USERS
pub fn users<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let users = call.node.acl.users.all();
    Ok(Reply::Array(users.iter().map(|user| Reply::Owned(user.name().to_vec())).collect()))
}

/// ACL WHOAMI
pub fn whoami<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let user = call.session.identity.user();
    Ok(user.map_or(Reply::Null, |user| Reply::Owned(user.name().to_vec())))
}

/// ACL LOAD
///
/// All users but the default one are new afterwards, so the connections of the old ones end.
pub fn load<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let settings = call.node.config.load();
    if settings.aclfile.is_empty() {
        return Err(CommandError::NO_ACL_FILE);
    }
    let read =
        file::read(&settings).map_err(|errors| CommandError::custom(format!("ERR {errors}")))?;
    let gone = call.node.acl.users.replace(read);
    cut_off(call, &gone);
    Ok(Reply::Ok)
}

/// ACL SAVE
pub fn save<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let settings = call.node.config.load();
    if settings.aclfile.is_empty() {
        return Err(CommandError::NO_ACL_FILE);
    }
    file::save(&settings, &call.node.acl.users.all()).map_err(|error| {
        tracing::warn!(%error, "ACL SAVE failed");
        CommandError::ACL_SAVE
    })?;
    Ok(Reply::Ok)
}

/// A user that must exist.
pub(super) fn named(call: &Call<'_>, name: &[u8]) -> Result<Arc<User>, CommandError> {
    call.node.acl.users.get(name).ok_or_else(|| quoting("User '", name, "' not found"))
}
