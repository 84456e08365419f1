//! The lock plan: which shards a command holds while it runs.

use crate::commands::Command;
use crate::commands::row::Flags;
use crate::keyspace::KeyHash;
use crate::keyspace::access::Access;
use crate::keyspace::held::Held;
use crate::node::shared::Shared;
use larder_protocol::Args;
use smallvec::SmallVec;

/// Argument indexes of keys with their hashes, in the order of the row's key specs.
pub(super) type PlannedKeys = SmallVec<[(usize, KeyHash); 4]>;

/// Hashes the keys that the command's row names.
#[inline(always)]
pub(super) fn plan(node: &Shared, command: &Command, args: Args<'_>) -> PlannedKeys {
    let mut keys = PlannedKeys::new();
    each_key(node, command, args, |at, hash| keys.push((at, hash)));
    keys
}

/// Shows `visit` each key that the command's row names.
#[inline(always)]
pub(super) fn each_key(
    node: &Shared,
    command: &Command,
    args: Args<'_>,
    mut visit: impl FnMut(usize, KeyHash),
) {
    if command.single_key {
        visit(1, node.keyspace.key(args.at(1)).hash);
    } else {
        command.row.each_key(args, |at| visit(at, node.keyspace.key(args.at(at)).hash));
    }
}

/// Locks the shards of the planned keys in ascending order for `db`, which holds none; a write that
/// names no keys gets all, and so does a command that uses keys beyond those it names.
///
/// False when a script runs for too long meanwhile: it may be the one that holds them.
#[inline(always)]
pub(super) fn lock<'k>(
    node: &'k Shared,
    command: &Command,
    args: Args<'_>,
    keys: &[(usize, KeyHash)],
    db: &mut Access<'k>,
) -> bool {
    let row = command.row;
    let held = match (keys, row.unnamed_keys) {
        ([(_, hash)], None) => {
            let shard = hash.shard();
            let guard = node.keyspace.lock_unless(shard, || node.scripts.slow.any());
            let Some(guard) = guard else { return false };
            db.hold(Held::One(shard, guard));
            if db.has_waiters() {
                db.hold_for_waiters(|held| lock_for_waiters(node, held));
            }
            return true;
        }
        (_, Some(uses)) if uses(args) => lock_planned(node, keys, true),
        (keys, _) => {
            let all = keys.is_empty() && row.keys.is_empty() && row.flags.has(Flags::WRITE);
            if keys.is_empty() && !all {
                return true;
            }
            lock_planned(node, keys, all)
        }
    };
    match held {
        Some(held) => {
            db.hold(held);
            true
        }
        None => false,
    }
}

/// Locks more until all shards are held that serving the held ones' waiters may need: a BLMOVE that
/// waits here has a destination elsewhere.
#[cold]
pub(super) fn lock_for_waiters<'k>(node: &'k Shared, mut held: Held<'k>) -> Held<'k> {
    loop {
        let shards = held.with_waiters_shards();
        let is_enough = match &held {
            Held::One(..) => shards.len() == 1,
            Held::Several(held) => shards.len() == held.len(),
            Held::None | Held::All(_) | Held::Lent(_) => true,
        };
        if is_enough {
            return held;
        }
        drop(held);
        held = node.keyspace.lock_several(&shards);
    }
}

fn lock_planned<'k>(node: &'k Shared, keys: &[(usize, KeyHash)], all: bool) -> Option<Held<'k>> {
    let is_busy = || node.scripts.slow.any();
    let held = match all {
        true => node.keyspace.lock_all_unless(is_busy)?,
        false => node.keyspace.lock_several_unless(&shards_of(keys), is_busy)?,
    };
    Some(if held.has_waiters() { lock_for_waiters(node, held) } else { held })
}

/// The shards of some keys, in ascending order.
pub(super) fn shards_of(keys: &[(usize, KeyHash)]) -> SmallVec<[usize; 16]> {
    let mut shards: SmallVec<[usize; 16]> = keys.iter().map(|(_, hash)| hash.shard()).collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}

/// Whether a command that runs within another one's hold needs all shards: it uses keys that it does
/// not name.
pub(super) fn needs_all(command: &Command, args: Args<'_>) -> bool {
    let row = command.row;
    row.roams
        || (row.flags.has(Flags::WRITE) && row.keys.is_empty())
        || row.unnamed_keys.is_some_and(|uses| uses(args))
}
