//! The last step of the path: what a command changed goes to the effect log, to clients that hold
//! copies, and to subscribers.
//!
//! Called while the command still holds its shards, so that the log's order is the order of
//! execution for every key. It does nothing when nobody reads.

use crate::keyspace::changes::Changes;
use crate::keyspace::notify::Classes;
use crate::node::shared::Shared;

/// Hands a command's effects and events on; the effects of commands that ran within another one as
/// one transaction.
#[inline]
pub fn publish(node: &Shared, changes: &mut Changes) {
    invalidate(node, changes);
    let Some(mut collected) = changes.take() else { return };
    if !collected.effects.is_empty() {
        let together = std::mem::take(&mut changes.nested);
        node.log.append(&collected.effects, together);
        changes.propagated = true;
    }
    if !collected.events.is_empty() {
        node.notifier.publish(node, std::mem::take(&mut collected.events));
    }
    changes.give_back(collected);
}

/// Tells those who hold copies of keys what a command changed; to be called before the keys that the
/// next one reads are remembered.
#[inline]
pub fn invalidate(node: &Shared, changes: &mut Changes) {
    if changes.wanted != Classes::default() {
        if changes.take_flush() {
            node.invalidate_all();
        }
        let by = changes.by;
        node.invalidate(changes.untold(), by);
    }
}
