//! The group, its nodes and its events as replies.

use crate::node::group::face::Face;
use larder_protocol::Reply;
use larder_replication::group::config::{GroupConfig, Member, NodeId};
use larder_replication::group::event::{Event, Source};

/// Pairs of a map.
type Pairs<'r> = Vec<(Reply<'r>, Reply<'r>)>;

fn text<'r>(text: impl Into<String>) -> Reply<'r> {
    Reply::Owned(text.into().into_bytes())
}

fn put<'r>(pairs: &mut Pairs<'r>, name: &'static str, value: impl Into<Reply<'r>>) {
    pairs.push((Reply::Bulk(name.as_bytes()), value.into()));
}

/// A member: where it is, what it does, how it does.
pub(super) fn node(config: &GroupConfig, member: &Member) -> Reply<'static> {
    let mut pairs = Pairs::new();
    put(&mut pairs, "id", text(&*member.id.0));
    put(&mut pairs, "zone", text(&*member.zone.0));
    put(&mut pairs, "role", text(role(config, member)));
    if let Some(address) = member.client_address {
        put(&mut pairs, "ip", text(address.ip().to_string()));
        put(&mut pairs, "port", Reply::Int(address.port().into()));
    }
    put(&mut pairs, "group-address", text(member.group_address.to_string()));
    put(&mut pairs, "in-sync", Reply::Int(config.in_sync.contains_key(&member.id).into()));
    put(&mut pairs, "state", text(state(config, member)));
    Reply::Map(pairs)
}

/// What a member is.
pub(crate) fn role(config: &GroupConfig, member: &Member) -> &'static str {
    if member.client_address.is_none() {
        "witness"
    } else if config.primary.as_ref() == Some(&member.id) {
        "primary"
    } else {
        "replica"
    }
}

/// How a member does, in ElastiCache's words where it has one.
fn state(config: &GroupConfig, member: &Member) -> &'static str {
    if config.interrupted.as_ref() == Some(&member.zone) {
        "interrupted"
    } else if member.client_address.is_none() || config.in_sync.contains_key(&member.id) {
        "available"
    } else {
        "creating"
    }
}

/// The group as a member knows it.
pub(super) fn status(face: &Face) -> Reply<'static> {
    let config = face.config();
    let id = |id: &Option<NodeId>| id.as_ref().map_or(Reply::Null, |id| text(&*id.0));
    let me = config.members.get(&face.me);
    let mut pairs = Pairs::new();
    put(&mut pairs, "name", text(&*face.name));
    put(
        &mut pairs,
        "status",
        text(if config.primary.is_some() { "available" } else { "creating" }),
    );
    put(&mut pairs, "epoch", Reply::Int(config.epoch as i64));
    put(&mut pairs, "primary", id(&config.primary));
    put(&mut pairs, "members", Reply::from(config.members.len()));
    put(&mut pairs, "majority", Reply::from(config.members.len() / 2 + 1));
    put(&mut pairs, "in-sync", Reply::array(config.in_sync.keys().map(|id| text(&*id.0))));
    let interrupted = config.interrupted.as_ref();
    put(&mut pairs, "interrupted-zone", interrupted.map_or(Reply::Null, |zone| text(&*zone.0)));
    put(&mut pairs, "last-event", Reply::Int(config.events.last().map_or(0, |e| e.number as i64)));
    put(&mut pairs, "node", text(&*face.me.0));
    put(&mut pairs, "zone", me.map_or(Reply::Null, |me| text(&*me.zone.0)));
    put(&mut pairs, "role", me.map_or(Reply::Null, |me| text(role(&config, me))));
    let failovers = face.failovers();
    put(&mut pairs, "failovers", Reply::Int(config.failovers as i64));
    put(&mut pairs, "last-failover-ms", Reply::Int(failovers.last.as_millis() as i64));
    Reply::Map(pairs)
}

/// An event as ElastiCache tells it, with its number and in milliseconds.
pub(super) fn event(event: &Event) -> Reply<'static> {
    let (kind, id) = match &event.source {
        Source::ReplicationGroup(id) => ("replication-group", id),
        Source::CacheCluster(id) => ("cache-cluster", id),
    };
    let mut pairs = Pairs::new();
    put(&mut pairs, "number", Reply::Int(event.number as i64));
    put(&mut pairs, "date-ms", Reply::Int(event.unix_ms));
    put(&mut pairs, "source-type", text(kind));
    put(&mut pairs, "source-identifier", text(&**id));
    put(&mut pairs, "message", text(&*event.message));
    Reply::Map(pairs)
}
