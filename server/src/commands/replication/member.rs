//! What the members of a group say to each other by REPLCONF: who follows whom, and tickets of
//! relayed connections. To other nodes these options do not exist.

use crate::dispatch::call::{Call, CommandResult};
use crate::node::member::relay;
use crate::node::member::ticket::Ticket;
use larder_protocol::{CommandError, Reply};
use larder_replication::group::card::{self, Card};

/// Whether an option is one of these.
pub(super) fn is_option(option: &[u8]) -> bool {
    card::is_option(option) || is_relays(option)
}

fn is_relays(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"larder-relay") || option.eq_ignore_ascii_case(b"larder-ticket")
}

/// REPLCONF larder-group group larder-node id larder-incarnation hex larder-epoch epoch, REPLCONF
/// larder-relay ?, REPLCONF larder-ticket ticket
pub(super) fn replconf<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    if args.at(1).eq_ignore_ascii_case(b"larder-relay") {
        let challenge = relay::challenge().ok_or(CommandError::SYNTAX)?;
        let announced = &mut call.session.replica.get_or_insert_default().announced;
        announced.challenge = Some(Box::new(challenge));
        return Ok(Reply::Status(challenge.to_vec().into()));
    }
    if args.at(1).eq_ignore_ascii_case(b"larder-ticket") {
        return admit(call);
    }
    let Some(member) = call.node.member() else { return Err(CommandError::SYNTAX) };
    let pairs = (1..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1)));
    let card = Card::of_options(pairs).ok_or(CommandError::SYNTAX)?;
    let (is_refusal, line) = member.answer(call.node, &card).line();
    if is_refusal {
        return Err(CommandError::custom(line));
    }
    call.session.replica.get_or_insert_default().announced.card = Some(card);
    Ok(Reply::status(line))
}

/// Lets a relayed connection in, once this node leads.
fn admit<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, session) = (call.node, &mut *call.session);
    let refused = || CommandError::from_static("NOPERM the ticket is not good here");
    let announced = session.replica.as_mut().map(|replica| &mut replica.announced);
    // It is good for one answer.
    let challenge = announced.and_then(|announced| announced.challenge.take());
    let (Some(member), Some(challenge)) = (node.member(), challenge) else {
        return Err(refused());
    };
    let ticket =
        Ticket::open(call.args.at(2), member.secret(), &challenge[..]).ok_or_else(refused)?;
    // A later epoch of the same primary will do: nothing that it was told is under way.
    let leads = member.leads().is_some_and(|epoch| epoch >= ticket.epoch);
    if !leads || !member.is_in_charge(node) {
        return Err(CommandError::NO_MASTER_LINK);
    }
    if !ticket.apply(node, session) {
        return Err(refused());
    }
    Ok(Reply::Ok)
}
