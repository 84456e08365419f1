//! CLIENT KILL.

use super::{Kind, unknown_type};
use crate::acl::users::{User, Users};
use crate::commands::connection::quoting;
use crate::dispatch::call::{Call, CommandResult};
use crate::node::clients::Client;
use larder_protocol::{Args, CommandError, Reply, number};
use std::sync::Arc;

/// Which clients to kill: those to which all of it applies.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    kind: Option<Kind>,
    user: Option<Arc<User>>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    spare_self: bool,
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>, users: &Users) -> Result<Self, CommandError> {
        let mut filter = Self { spare_self: true, ..Self::default() };
        let mut reader = args.reader(2);
        while reader.has_next() {
            let option = reader.next();
            if !reader.has_next() {
                return Err(CommandError::SYNTAX);
            }
            let value = reader.next();
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("id") {
                let id = number::parse_i64(value).and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0).ok_or(CommandError::CLIENT_ID_NOT_POSITIVE)?;
                filter.id = Some(id);
            } else if is("type") {
                filter.kind = Some(Kind::named(value).ok_or_else(|| unknown_type(value))?);
            } else if is("addr") {
                filter.address = Some(value);
            } else if is("laddr") {
                filter.local_address = Some(value);
            } else if is("user") {
                let user = users.get(value);
                filter.user = Some(user.ok_or_else(|| quoting("No such user '", value, "'"))?);
            } else if is("skipme") && value.eq_ignore_ascii_case(b"yes") {
                filter.spare_self = true;
            } else if is("skipme") && value.eq_ignore_ascii_case(b"no") {
                filter.spare_self = false;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(filter)
    }

    fn applies_to(&self, client: &Client, own_id: u64) -> bool {
        let is = |wanted: Option<&[u8]>, text: &dyn Fn() -> String| {
            wanted.is_none_or(|wanted| text().as_bytes() == wanted)
        };
        self.id.is_none_or(|id| client.id == id)
            && self.kind.is_none_or(|kind| kind.holds(client))
            && !(self.spare_self && client.id == own_id)
            && self.user.as_ref().is_none_or(|user| {
                client.user.lock().as_ref().is_some_and(|known| Arc::ptr_eq(known, user))
            })
            && is(self.address, &|| client.address())
            && is(self.local_address, &|| client.local_address())
    }
}

/// CLIENT KILL ip:port | filter value [filter value ...]
///
/// A killed client leaves the registry at once, so that nobody sees it any more, although its task
/// may still be finishing a command; the caller itself stays until it has its reply.
pub fn kill<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let by_address = args.len() == 3;
    let filter = if by_address {
        Filter { address: Some(args.at(2)), ..Filter::default() }
    } else {
        Filter::parse(args, &call.node.acl.users)?
    };
    let own_id = call.session.client.id;
    let mut killed = 0;
    for client in call.node.clients.all() {
        if !filter.applies_to(&client, own_id) {
            continue;
        }
        killed += 1;
        if client.id == own_id {
            call.session.closing = true;
        } else {
            client.kill();
            call.node.close_mail(&client);
            call.node.clients.remove(client.id);
        }
    }
    match (by_address, killed) {
        (true, 0) => Err(CommandError::NO_SUCH_CLIENT),
        (true, _) => Ok(Reply::Ok),
        (false, killed) => Ok(Reply::Int(killed)),
    }
}
