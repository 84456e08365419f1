//! Intersection, union and difference of sets, and where their result goes.

use super::{SetRef, SetValue, Thresholds};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::access::Deadline;
use crate::keyspace::notify::Classes;
use crate::types::packed::Item;
use larder_protocol::{CommandError, Reply};

/// What is done with several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Inter,
    Union,
    Diff,
}

/// The sets under keys that were looked up; a missing one is `None`.
fn sets<'a>(call: &'a Call<'_>, keys: &[Key<'_>]) -> Result<Vec<Option<SetRef<'a>>>, CommandError> {
    keys.iter().map(|key| call.db.view(*key).map(SetRef::of).transpose()).collect()
}

/// Notes the reads of keys, up to one of another type, and removes what is due, before they are looked
/// at side by side.
fn look_up(call: &mut Call<'_>, keys: &[Key<'_>]) -> Result<(), CommandError> {
    for key in keys {
        call.db.find(*key).map(SetRef::of).transpose()?;
    }
    Ok(())
}

/// Shows `visit` the members that all sets have, until it says false.
pub(super) fn intersect<'a>(sets: &[Option<SetRef<'a>>], mut visit: impl FnMut(Item<'a>) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    smallest.each_while(|member| {
        let bytes = member.bytes();
        if others.iter().all(|other| other.contains(&bytes)) { visit(member) } else { true }
    });
}

fn value_of(operation: Operation, sets: &[Option<SetRef<'_>>], thresholds: Thresholds) -> SetValue {
    let mut value = SetValue::beginning(b"0", 0, thresholds);
    match operation {
        Operation::Inter => intersect(sets, |member| {
            value.add(&member.bytes(), thresholds);
            true
        }),
        Operation::Union => {
            for set in sets.iter().flatten() {
                set.each(|member| {
                    value.add(&member.bytes(), thresholds);
                });
            }
        }
        Operation::Diff => {
            let Some((Some(first), others)) = sets.split_first() else { return value };
            first.each(|member| {
                let bytes = member.bytes();
                if !others.iter().flatten().any(|other| other.contains(&bytes)) {
                    value.add(&bytes, thresholds);
                }
            });
        }
    }
    value
}

/// Replies with the result.
pub(super) fn reply<'c>(call: &'c mut Call<'_>, operation: Operation) -> CommandResult<'c> {
    let keys: Vec<_> = call.keys().collect();
    look_up(call, &keys)?;
    let sets = sets(call, &keys)?;
    let mut members = Vec::new();
    if operation == Operation::Inter {
        intersect(&sets, |member| {
            members.push(member.reply());
            true
        });
    } else {
        let value = value_of(operation, &sets, Thresholds::of(call.settings));
        value.as_ref().each(|member| members.push(member.to_owned_reply()));
    }
    Ok(Reply::Set(members))
}

/// Counts the members that all sets have, up to a limit.
pub(super) fn count(
    call: &mut Call<'_>,
    keys: &[Key<'_>],
    limit: usize,
) -> Result<usize, CommandError> {
    look_up(call, keys)?;
    let sets = sets(call, keys)?;
    let mut count = 0;
    intersect(&sets, |_| {
        count += 1;
        count < limit
    });
    Ok(count)
}

/// Stores the result under the first key.
pub(super) fn store<'c>(
    call: &'c mut Call<'_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult<'c> {
    let keys: Vec<_> = call.keys().collect();
    let Some((destination, sources)) = keys.split_first() else { return Err(CommandError::SYNTAX) };
    look_up(call, sources)?;
    let value = value_of(operation, &sets(call, sources)?, Thresholds::of(call.settings));
    let len = value.as_ref().len();
    if len == 0 {
        if call.db.remove(*destination) {
            call.changed(Classes::GENERIC, "del", *destination);
        }
        return Ok(Reply::Int(0));
    }
    value.store(|value| call.db.set(*destination, value, Deadline::Clear));
    call.changed(Classes::SET, event, *destination);
    Ok(Reply::from(len))
}
