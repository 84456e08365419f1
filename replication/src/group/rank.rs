//! Who becomes the primary.
//!
//! Of those in sync that are heard of, the one that holds most: the greatest (epoch, offset). Zones
//! decide among equals only, so that a preference never costs a write.
//!
//! A write that was acknowledged under `quorum` is held by a majority of those in sync. So who elects
//! has to hear of so many of them that one is in each such majority: of n, n - (n/2 + 1) + 1. A node in
//! sync that came back without its memory is no help in that, unless it was given all data again by the
//! primary of the present epoch: then it has what it had. Only when all of them are heard of, and
//! too few kept their memory, there is nothing left to wait for: then the best of what is left is
//! taken, and it is said that acknowledged writes may be lost.
//!
//! Whoever is elected may be gone before the others hear of it. So it is never the only one that the
//! next election may choose from: who was in sync stays so, unless a majority of all data has exactly
//! what the new primary has.

use super::config::{GroupConfig, Incarnation, NodeId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a node with data said of itself when it promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its name.
    pub id: NodeId,
    /// The life of its data set.
    pub incarnation: Incarnation,
    /// The latest epoch whose history it holds.
    pub epoch: u64,
    /// How much of it.
    pub offset: u64,
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The new primary.
    pub primary: NodeId,
    /// Who is in sync with it from now on, itself included.
    pub in_sync: BTreeMap<NodeId, Incarnation>,
    /// Who was in sync and lost its memory, if that was decisive.
    pub lost: Vec<NodeId>,
}

/// Why nobody can be chosen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("heard of {heard} nodes in sync that kept their data, and {needed} are needed")]
pub struct TooFew {
    /// In sync, with their memory.
    pub heard: usize,
    /// How many it takes.
    pub needed: usize,
}

/// How many of `n` nodes in sync have to be heard of so that one of each majority is among them.
pub fn needed(n: usize) -> usize {
    n - (n / 2 + 1) + 1
}

/// Chooses among those that were heard of.
///
/// # Errors
/// Too few were.
pub fn choose(config: &GroupConfig, heard: &[Heard]) -> Result<Choice, TooFew> {
    let has_kept = |one: &&Heard| {
        let is_present = config.epoch > 0 && one.epoch == config.epoch;
        config.in_sync.get(&one.id).is_some_and(|known| *known == one.incarnation || is_present)
    };
    let kept: Vec<&Heard> = heard.iter().filter(has_kept).collect();
    let lost: Vec<NodeId> = heard
        .iter()
        .filter(|one| config.in_sync.contains_key(&one.id) && !has_kept(one))
        .map(|one| one.id.clone())
        .collect();
    let n = config.in_sync.len();
    let too_few = TooFew { heard: kept.len(), needed: if n == 0 { 1 } else { needed(n) } };
    let is_enough = n > 0 && kept.len() >= too_few.needed;
    let is_all = kept.len() + lost.len() == n;
    if !is_enough && !is_all {
        return Err(too_few);
    }
    let candidates: Vec<&Heard> = match kept.is_empty() {
        true => heard.iter().collect(),
        false => kept.clone(),
    };
    let best = candidates.into_iter().max_by_key(|one| place(config, one)).ok_or(too_few)?;
    let holds_the_same = |one: &&Heard| {
        let is_same = best.epoch > 0 && (one.epoch, one.offset) == (best.epoch, best.offset);
        is_same || one.id == best.id
    };
    let lives = |heard: &mut dyn Iterator<Item = &Heard>| -> BTreeMap<NodeId, Incarnation> {
        heard.map(|one| (one.id.clone(), one.incarnation)).collect()
    };
    let mut in_sync = lives(&mut heard.iter().filter(holds_the_same));
    if is_enough && in_sync.len() < config.data_majority() {
        let kept = lives(&mut kept.into_iter());
        in_sync = config.in_sync.clone();
        in_sync.extend(kept);
    }
    let lost = if is_enough { Vec::new() } else { lost };
    Ok(Choice { primary: best.id.clone(), in_sync, lost })
}

/// What a node holds, then whether its zone has power, then how much that zone is wanted, then its
/// name.
pub fn place<'h>(
    config: &GroupConfig,
    one: &'h Heard,
) -> (u64, u64, bool, Reverse<usize>, Reverse<&'h NodeId>) {
    let zone = config.members.get(&one.id).map(|member| &member.zone);
    let has_power = zone.is_some() && zone != config.interrupted.as_ref();
    let order = config.zone_order.iter().position(|known| Some(known) == zone);
    let order = order.unwrap_or(config.zone_order.len());
    (one.epoch, one.offset, has_power, Reverse(order), Reverse(&one.id))
}

#[cfg(test)]
mod tests {
    use super::super::config::{Member, Zone};
    use super::*;

    fn id(index: u16) -> NodeId {
        NodeId(format!("s-00{index}"))
    }

    /// A group of `n` in zones a, b, c; all in sync, each in its first life.
    fn config(n: u16) -> GroupConfig {
        let member = |index: u16| Member {
            id: id(index),
            zone: Zone(["a", "b", "c"][usize::from(index - 1) % 3].to_owned()),
            client_address: Some(([127, 0, 0, 1], 7000 + index).into()),
            group_address: ([127, 0, 0, 1], 8000 + index).into(),
        };
        GroupConfig {
            epoch: 1,
            primary: Some(id(1)),
            members: (1..=n).map(|index| (id(index), member(index))).collect(),
            in_sync: (1..=n).map(|index| (id(index), Incarnation(1))).collect(),
            zone_order: ["a", "b", "c"].map(|zone| Zone(zone.to_owned())).to_vec(),
            ..GroupConfig::default()
        }
    }

    fn heard(index: u16, life: u128, epoch: u64, offset: u64) -> Heard {
        Heard { id: id(index), incarnation: Incarnation(life), epoch, offset }
    }

    #[test]
    fn the_one_that_holds_most_wins_whatever_its_zone() {
        let choice = choose(&config(3), &[heard(2, 1, 1, 90), heard(3, 1, 1, 91)]).unwrap();
        assert_eq!(choice.primary, id(3));
        let choice = choose(&config(3), &[heard(2, 1, 1, 900), heard(3, 1, 2, 1)]).unwrap();
        assert_eq!(choice.primary, id(3), "a later epoch counts more than any offset");
    }

    #[test]
    fn zones_decide_among_equals() {
        let mut config = config(3);
        let equals = [heard(2, 1, 1, 90), heard(3, 1, 1, 90)];
        let choice = choose(&config, &equals).unwrap();
        assert_eq!((choice.primary, choice.in_sync.len()), (id(2), 2));
        config.zone_order.reverse();
        assert_eq!(choose(&config, &equals).unwrap().primary, id(3));
        config.interrupted = Some(Zone("c".to_owned()));
        assert_eq!(choose(&config, &equals).unwrap().primary, id(2));
    }

    #[test]
    fn who_was_in_sync_stays_so_until_a_majority_has_the_same() {
        let config = config(3);
        let choice = choose(&config, &[heard(2, 1, 1, 90), heard(3, 1, 1, 91)]).unwrap();
        assert_eq!(choice.in_sync, config.in_sync, "3 may lose its memory, and 1 has all it has");
        let choice = choose(&config, &[heard(2, 1, 1, 90), heard(3, 2, 1, 91)]).unwrap();
        assert_eq!((choice.in_sync.len(), choice.in_sync[&id(3)]), (3, Incarnation(2)));
        let choice = choose(&config, &[heard(2, 1, 1, 91), heard(3, 1, 1, 91)]).unwrap();
        assert_eq!(choice.in_sync, [2, 3].map(|index| (id(index), Incarnation(1))).into());
    }

    #[test]
    fn one_of_each_majority_has_to_be_heard_of() {
        assert_eq!([1, 2, 3, 4, 5, 6].map(needed), [1, 1, 2, 2, 3, 3]);
        let only = [heard(2, 1, 1, 90)];
        assert_eq!(choose(&config(3), &only), Err(TooFew { heard: 1, needed: 2 }));
        let lost_its_memory = [heard(2, 1, 1, 90), heard(3, 2, 0, 0)];
        assert_eq!(choose(&config(3), &lost_its_memory), Err(TooFew { heard: 1, needed: 2 }));
        let got_it_back = [heard(2, 1, 1, 90), heard(3, 2, 1, 95)];
        let choice = choose(&config(3), &got_it_back).unwrap();
        assert_eq!((choice.primary, choice.in_sync[&id(3)]), (id(3), Incarnation(2)));
    }

    #[test]
    fn when_all_are_there_and_most_lost_their_memory_the_best_is_taken() {
        let all = [heard(1, 2, 0, 0), heard(2, 1, 1, 90), heard(3, 2, 0, 0)];
        let choice = choose(&config(3), &all).unwrap();
        assert_eq!((choice.primary, choice.lost), (id(2), vec![id(1), id(3)]));
        let none = [heard(1, 2, 0, 0), heard(2, 2, 0, 0), heard(3, 2, 0, 0)];
        let choice = choose(&config(3), &none).unwrap();
        assert_eq!((choice.primary, choice.lost.len(), choice.in_sync.len()), (id(1), 3, 1));
    }

    #[test]
    fn a_node_that_is_not_in_sync_is_not_chosen() {
        let mut config = config(3);
        config.in_sync.remove(&id(3));
        let choice = choose(&config, &[heard(2, 1, 1, 90), heard(3, 1, 1, 900)]).unwrap();
        assert_eq!((choice.primary, choice.in_sync), (id(2), config.in_sync.clone()));
        config.in_sync.remove(&id(2));
        let left = [heard(2, 1, 1, 90), heard(3, 1, 1, 900)];
        assert!(choose(&config, &left).is_err(), "the primary alone had everything");
        let back = [heard(1, 2, 0, 0), heard(2, 1, 1, 90), heard(3, 1, 1, 900)];
        let choice = choose(&config, &back).unwrap();
        assert_eq!((choice.primary, choice.lost), (id(3), vec![id(1)]));
    }

    #[test]
    fn a_new_group_begins_with_its_first_node_or_with_who_has_data() {
        let new = GroupConfig { in_sync: BTreeMap::new(), epoch: 0, primary: None, ..config(3) };
        let empty = [heard(3, 7, 0, 0), heard(1, 8, 0, 0)];
        let choice = choose(&new, &empty).unwrap();
        assert_eq!((choice.primary, choice.in_sync.len(), choice.lost.len()), (id(1), 1, 0));
        let loaded = [heard(3, 7, 0, 55), heard(1, 8, 0, 0)];
        assert_eq!(choose(&new, &loaded).unwrap().primary, id(3));
        assert!(choose(&new, &[]).is_err());
    }
}
