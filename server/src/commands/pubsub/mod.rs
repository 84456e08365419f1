//! Publish and subscribe: PUBLISH, SUBSCRIBE and their kin, PUBSUB.
//!
//! A confirmation of SUBSCRIBE is a message like those that come later, one for each channel; a
//! command that subscribes or unsubscribes has no other reply. Messages go by
//! [`push`](crate::push), never through a reply.

pub mod table;

use crate::acl::subscribers;
use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::push::channels::Kind;
use larder_protocol::{CommandError, Reply};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// SUBSCRIBE channel [channel ...]
pub fn subscribe<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    subscribe_to(call, Kind::Channel, "subscribe")
}

/// PSUBSCRIBE pattern [pattern ...]
pub fn psubscribe<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    subscribe_to(call, Kind::Pattern, "psubscribe")
}

/// SSUBSCRIBE shardchannel [shardchannel ...]
pub fn ssubscribe<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    subscribe_to(call, Kind::Shard, "ssubscribe")
}

/// UNSUBSCRIBE [channel [channel ...]]
pub fn unsubscribe<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    unsubscribe_from(call, Kind::Channel, "unsubscribe")
}

/// PUNSUBSCRIBE [pattern [pattern ...]]
pub fn punsubscribe<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    unsubscribe_from(call, Kind::Pattern, "punsubscribe")
}

/// SUNSUBSCRIBE [shardchannel [shardchannel ...]]
pub fn sunsubscribe<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    unsubscribe_from(call, Kind::Shard, "sunsubscribe")
}

fn subscribe_to<'c>(call: &'c mut Call<'_>, kind: Kind, word: &'static str) -> CommandResult<'c> {
    let (client, node) = (Arc::clone(&call.session.client), call.node);
    // In process there is no connection that could be told anything. Of the three, SSUBSCRIBE alone is
    // refused within a transaction, as in Redis.
    let is_within = kind == Kind::Shard && !call.session.may_block;
    if is_within || node.clients.get(client.id).is_none() {
        return Err(CommandError::deny_blocking(call.row.name));
    }
    let names = call.args.iter().skip(1);
    let confirmations = names.map(|name| {
        let count = node.push.channels.subscribe(&client, kind, name);
        confirmation(word, Reply::Bulk(name), count)
    });
    let confirmations = confirmations.collect();
    call.node.count_subscriptions(&client);
    call.session.is_subscriber = client.is_subscriber.load(Ordering::Relaxed);
    subscribers::look_again(node, call.session);
    Ok(Reply::Several(confirmations))
}

fn unsubscribe_from<'c>(
    call: &'c mut Call<'_>,
    kind: Kind,
    word: &'static str,
) -> CommandResult<'c> {
    let (client, channels) = (Arc::clone(&call.session.client), &call.node.push.channels);
    let mut confirmations: Vec<_> = if call.args.len() > 1 {
        let names = call.args.iter().skip(1);
        let end = |name| {
            let count = channels.unsubscribe(&client, kind, name);
            confirmation(word, Reply::Bulk(name), count)
        };
        names.map(end).collect()
    } else {
        let names = client.subscriptions.lock().of(kind).clone();
        let end = |name: bytes::Bytes| {
            let count = channels.unsubscribe(&client, kind, &name);
            confirmation(word, Reply::Owned(name.to_vec()), count)
        };
        names.into_iter().map(end).collect()
    };
    if confirmations.is_empty() {
        let count = client.subscriptions.lock().told(kind);
        confirmations.push(confirmation(word, Reply::Null, count));
    }
    call.node.count_subscriptions(&client);
    call.session.is_subscriber = client.is_subscriber.load(Ordering::Relaxed);
    Ok(Reply::Several(confirmations))
}

fn confirmation<'r>(word: &'static str, name: Reply<'r>, count: usize) -> Reply<'r> {
    Reply::Push(vec![Reply::Bulk(word.as_bytes()), name, Reply::Int(count as i64)])
}

/// PUBLISH channel message
pub fn publish<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, args) = (call.node, call.args);
    let db = call.db.db();
    call.db.changes.tell_replicas(db, &[b"PUBLISH", args.at(1), args.at(2)]);
    Ok(node.push.channels.publish(node, args.at(1), args.at(2)).into())
}

/// SPUBLISH shardchannel message
pub fn spublish<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (node, args) = (call.node, call.args);
    let db = call.db.db();
    call.db.changes.tell_replicas(db, &[b"SPUBLISH", args.at(1), args.at(2)]);
    Ok(node.push.channels.publish_in_shard(node, args.at(1), args.at(2)).into())
}

/// PUBSUB CHANNELS [pattern]
pub fn channels<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    names(call, Kind::Channel)
}

/// PUBSUB SHARDCHANNELS [pattern]
pub fn shardchannels<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    names(call, Kind::Shard)
}

fn names<'c>(call: &'c mut Call<'_>, kind: Kind) -> CommandResult<'c> {
    let args = call.args;
    if args.len() > 3 {
        let container = String::from_utf8_lossy(args.at(0));
        return Err(CommandError::subcommand_syntax(args.at(1), &container));
    }
    let names = call.node.push.channels.names(kind, args.get(2));
    Ok(Reply::Array(names.into_iter().map(|name| Reply::Owned(name.to_vec())).collect()))
}

/// PUBSUB NUMSUB [channel [channel ...]]
pub fn numsub<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    numbers(call, Kind::Channel)
}

/// PUBSUB SHARDNUMSUB [shardchannel [shardchannel ...]]
pub fn shardnumsub<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    numbers(call, Kind::Shard)
}

fn numbers<'c>(call: &'c mut Call<'_>, kind: Kind) -> CommandResult<'c> {
    let channels = &call.node.push.channels;
    let number = |name| [Reply::Bulk(name), channels.subscribers(kind, name).into()];
    Ok(Reply::Array(call.args.iter().skip(2).flat_map(number).collect()))
}

/// PUBSUB NUMPAT
pub fn numpat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(call.node.push.channels.count(Kind::Pattern).into())
}

/// PUBSUB HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CHANNELS [<pattern>]",
            "    Name the channels that have subscribers and fit the pattern (default: '*').",
            "NUMPAT",
            "    Tell how many patterns are subscribed to.",
            "NUMSUB [<channel> ...]",
            "    Tell how many subscribers each channel has, those of patterns not counted.",
            "SHARDCHANNELS [<pattern>]",
            "    As CHANNELS, for shard channels.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    As NUMSUB, for shard channels.",
        ],
    ))
}
