//! The last step of the path: what a command changed goes to the effect log and to subscribers.
//!
//! Called while the command still holds its shards, so that the log's order is the order of
//! execution for every key. It does nothing when nobody reads.

use crate::keyspace::access::Changes;
use crate::node::shared::Shared;

/// Hands a command's effects and events on.
#[inline]
pub fn publish(node: &Shared, changes: &mut Changes) {
    if !changes.effects.is_empty() {
        node.log.append(changes.effects.drain(..));
    }
    if !changes.events.is_empty() {
        node.notifier.publish(changes.events.drain(..));
    }
}
