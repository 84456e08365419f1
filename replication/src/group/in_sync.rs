//! Which replicas count for acknowledgements, as their primary decides.
//!
//! ```text
//!            somebody is behind, or caught up
//!   steady -----------------------------------> wary: a majority of both sets has to have a write
//!     ^                                           |
//!     |                                           |  a majority of the new set has all that was
//!     |                                           v  written before it became wary
//!     +------------ the group agreed --------- asking
//! ```
//!
//! The set is changed by consensus, and an answer may be lost. So from before the question on, writes
//! need both sets, until it is known which one counts. What was acknowledged before needed the old set
//! only, therefore the question waits until a majority of the new one has it. A question that was asked
//! is not taken back: the group may agree to it at any time, until the configuration has changed.
//!
//! The group may agree when the primary is gone already. Where writes wait for a majority of all data,
//! the set is therefore never made smaller than that: nothing could be acknowledged with less anyhow, and
//! whoever is left of it has what was. And who comes in with another life comes when it has all that
//! the primary had when it came: from then on it has what it had in the life before.

use super::config::{GroupConfig, Incarnation, NodeId};
use super::data::{AckSet, AckSets, Follower};
use std::collections::{BTreeMap, VecDeque};

/// Places in the log that are remembered to know how late a replica is.
const MAX_PLACES: usize = 64;

type Set = BTreeMap<NodeId, Incarnation>;

/// What a primary shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Tell the node who counts from now on.
    Count(AckSets),
    /// Ask the group to agree on who is in sync.
    Ask(Set),
}

/// The decision from look to look.
#[derive(Debug, Default)]
pub struct InSync {
    /// Offsets at times, the latest last.
    places: VecDeque<(u64, u64)>,
    /// When a member was last seen to be there and not late.
    well_nanos: BTreeMap<NodeId, u64>,
    /// Where the log ended when each replica was first seen.
    seen: BTreeMap<NodeId, (Incarnation, u64)>,
    wary: Option<Wary>,
    revision: u64,
}

#[derive(Debug)]
struct Wary {
    to: Set,
    since_offset: u64,
    /// Whether the group may have heard of it: then it may agree at any time, until the
    /// configuration has changed.
    is_asked: bool,
}

/// What a primary sees.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What the group agreed on.
    pub config: &'a GroupConfig,
    /// Itself.
    pub me: &'a NodeId,
    /// Its replicas.
    pub followers: &'a [Follower],
    /// The end of its log.
    pub offset: u64,
    /// Now, by its clock.
    pub now_nanos: u64,
    /// How late a replica may be.
    pub lag_nanos: u64,
    /// Whether replies to writes wait for who counts.
    pub awaits_acks: bool,
}

/// Who counts while a configuration is in force and nothing else is asked for: who is in sync, and
/// the majority of all nodes with data, so that no acknowledged write has a single copy.
pub fn ack_sets(config: &GroupConfig, also: Option<&Set>) -> AckSets {
    let named = |set: &Set| set.iter().map(|(id, life)| (id.clone(), Some(*life))).collect();
    let all: AckSet = config.data_members().map(|member| (member.id.clone(), None)).collect();
    let mut sets = vec![named(&config.in_sync), all];
    sets.extend(also.map(named));
    AckSets(sets)
}

impl InSync {
    /// Decides what to do now.
    pub fn step(&mut self, look: &Look<'_>) -> Step {
        self.remember(look);
        if self.revision != look.config.revision {
            self.revision = look.config.revision;
            self.wary = None;
            return Step::Count(ack_sets(look.config, None));
        }
        // Its members may have gone before it was asked for: then it is asked for another one.
        let ready =
            |wary: &&mut Wary| wary.is_asked || has_majority(&wary.to, look, wary.since_offset);
        if let Some(wary) = self.wary.as_mut().filter(ready) {
            wary.is_asked = true;
            return Step::Ask(wary.to.clone());
        }
        let to = self.wanted(look);
        let is_known = self.wary.as_ref().is_some_and(|wary| wary.to == to);
        let from = &look.config.in_sync;
        if is_known || (self.wary.is_none() && to == *from) {
            return Step::Rest;
        }
        let other = (to != *from).then_some(&to);
        let sets = ack_sets(look.config, other);
        self.wary =
            other.map(|to| Wary { to: to.clone(), since_offset: look.offset, is_asked: false });
        Step::Count(sets)
    }

    /// Whether it is between two sets.
    pub fn is_changing(&self) -> bool {
        self.wary.is_some()
    }

    fn remember(&mut self, look: &Look<'_>) {
        self.places.push_back((look.now_nanos, look.offset));
        while self.places.len() > MAX_PLACES
            || self.places.get(1).is_some_and(|(at, _)| at + look.lag_nanos <= look.now_nanos)
        {
            self.places.pop_front();
        }
        let late_offset = self.places.front().map_or(0, |(_, offset)| *offset);
        for follower in look.followers {
            let is_there = follower.silent_ms * 1_000_000 <= look.lag_nanos;
            if is_there && follower.acked_offset >= late_offset.min(look.offset) {
                self.well_nanos.insert(follower.id.clone(), look.now_nanos);
            }
        }
        for id in look.config.in_sync.keys() {
            // Who was in sync before this primary looked has its time to come.
            self.well_nanos.entry(id.clone()).or_insert(look.now_nanos);
        }
        let is_member = |id: &NodeId, _: &mut u64| look.config.members.contains_key(id);
        self.well_nanos.retain(is_member);
        let follows = |id: &NodeId| look.followers.iter().any(|follower| follower.id == *id);
        self.seen.retain(|id, _| follows(id));
        for follower in look.followers {
            let first = (follower.incarnation, look.offset);
            let known = self.seen.entry(follower.id.clone()).or_insert(first);
            if known.0 != follower.incarnation {
                *known = first;
            }
        }
    }

    /// Whether it has all that its primary had when it was first seen.
    fn has_come(&self, follower: &Follower) -> bool {
        let known = self.seen.get(&follower.id);
        known.is_some_and(|(life, offset)| {
            *life == follower.incarnation && follower.acked_offset >= *offset
        })
    }

    /// Who should be in sync.
    fn wanted(&self, look: &Look<'_>) -> Set {
        let stays = |id: &NodeId, _: &mut Incarnation| {
            if id == look.me {
                return true;
            }
            let well = self.well_nanos.get(id).copied().unwrap_or(0);
            let is_well = look.now_nanos.saturating_sub(well) <= look.lag_nanos;
            is_well && look.config.leaving.as_ref() != Some(id)
        };
        let is_in_sync =
            |one: &Follower| look.config.in_sync.get(&one.id) == Some(&one.incarnation);
        let mut wanted: Set = look.config.in_sync.clone();
        wanted.retain(stays);
        for follower in look.followers {
            let is_member = look.config.members.contains_key(&follower.id)
                && look.config.leaving.as_ref() != Some(&follower.id);
            let is_well = self.well_nanos.get(&follower.id) == Some(&look.now_nanos);
            if is_member && is_well && (is_in_sync(follower) || self.has_come(follower)) {
                wanted.insert(follower.id.clone(), follower.incarnation);
            }
        }
        if look.awaits_acks && wanted.len() < look.config.data_majority() {
            for (id, life) in &look.config.in_sync {
                if look.config.leaving.as_ref() != Some(id) {
                    wanted.entry(id.clone()).or_insert(*life);
                }
            }
        }
        wanted
    }
}

/// Whether a majority of a set has everything up to an offset; the primary has.
fn has_majority(set: &Set, look: &Look<'_>, offset: u64) -> bool {
    let has = |(id, life): &(&NodeId, &Incarnation)| {
        *id == look.me
            || look.followers.iter().any(|follower| {
                follower.id == **id
                    && follower.incarnation == **life
                    && follower.acked_offset >= offset
            })
    };
    set.iter().filter(has).count() > set.len() / 2
}

#[cfg(test)]
mod tests;
