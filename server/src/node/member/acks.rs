//! Who has what of the log, of the members that count for acknowledgements.
//!
//! What a member acknowledged over a link of the primary's epoch stays true when the link ends: it
//! had those bytes. A member that lost them is another incarnation, and begins anew here; it counts
//! where the group names that one.

use crate::config::WriteAcks;
use larder_replication::group::config::{Incarnation, NodeId};
use larder_replication::group::data::{AckSet, AckSets};
use std::collections::HashMap;

/// What each member has, as it said in one epoch.
#[derive(Debug, Default)]
pub struct Acked(HashMap<NodeId, (Incarnation, u64)>);

impl Acked {
    /// Begins another epoch.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes what one has.
    pub fn note(&mut self, id: &NodeId, incarnation: Incarnation, offset: u64) {
        match self.0.get_mut(id) {
            Some((known, reached)) if *known == incarnation => *reached = offset.max(*reached),
            _ => {
                self.0.insert(id.clone(), (incarnation, offset));
            }
        }
    }

    /// Notes what is known without a link of one that was heard of before.
    pub fn raise(&mut self, id: &NodeId, offset: u64) {
        if let Some((_, reached)) = self.0.get_mut(id) {
            *reached = offset.max(*reached);
        }
    }

    /// The offset that enough of *each* set have; `me` has everything. Without a set nobody counts.
    pub fn confirmed(&self, me: &NodeId, sets: &AckSets, wanted: WriteAcks) -> u64 {
        if wanted == WriteAcks::Primary {
            return u64::MAX;
        }
        let in_set = |set: &AckSet| {
            let has = |(id, life): (&NodeId, &Option<Incarnation>)| match self.0.get(id) {
                _ if id == me => u64::MAX,
                Some((known, offset)) if life.is_none_or(|life| life == *known) => *offset,
                _ => 0,
            };
            let mut reached: Vec<u64> = set.iter().map(has).collect();
            reached.sort_unstable_by(|one, other| other.cmp(one));
            let needed = match wanted {
                WriteAcks::All => reached.len(),
                _ => reached.len() / 2 + 1,
            };
            needed.checked_sub(1).and_then(|last| reached.get(last)).copied().unwrap_or(0)
        };
        sets.0.iter().map(in_set).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId(name.to_owned())
    }

    fn sets(sets: &[&[&str]]) -> AckSets {
        let any_life = |name: &&str| (id(name), None);
        AckSets(sets.iter().map(|set| set.iter().map(any_life).collect()).collect())
    }

    #[test]
    fn a_majority_of_each_set_and_the_primary_counts() {
        let mut acked = Acked::default();
        let life = Incarnation(1);
        acked.note(&id("b"), life, 50);
        acked.note(&id("c"), life, 80);
        acked.note(&id("stranger"), life, 1000);
        let quorum = |of: &[&[&str]]| acked.confirmed(&id("a"), &sets(of), WriteAcks::Quorum);
        let all = |of: &[&[&str]]| acked.confirmed(&id("a"), &sets(of), WriteAcks::All);
        assert_eq!(quorum(&[&["a"]]), u64::MAX, "alone it confirms by itself");
        assert_eq!(all(&[&["a"]]), u64::MAX);
        assert_eq!(quorum(&[&["a", "b"]]), 50, "two of two");
        assert_eq!((quorum(&[&["a", "b", "c"]]), all(&[&["a", "b", "c"]])), (80, 50));
        assert_eq!(quorum(&[&["a", "b", "c", "d"]]), 50, "three of four");
        assert_eq!((quorum(&[&["a", "b", "c", "d", "e"]]), all(&[&["a", "d"]])), (50, 0));
        assert_eq!(quorum(&[&["b", "c"]]), 50, "a primary that is not in sync does not count");
        assert_eq!(quorum(&[&["a", "b", "c"], &["a", "b"]]), 50, "both sets have to have it");
        assert_eq!(quorum(&[&["a", "b", "c"], &["a", "d", "e"]]), 0);
        assert_eq!(quorum(&[]), 0, "nobody said who counts");
        assert_eq!(quorum(&[&[]]), 0);
        assert_eq!(acked.confirmed(&id("a"), &sets(&[]), WriteAcks::Primary), u64::MAX);
    }

    #[test]
    fn what_was_acknowledged_stays_true_until_the_data_is_another() {
        let mut acked = Acked::default();
        acked.note(&id("b"), Incarnation(1), 50);
        acked.note(&id("b"), Incarnation(1), 40);
        let of_b = |acked: &Acked| acked.confirmed(&id("a"), &sets(&[&["a", "b"]]), WriteAcks::All);
        assert_eq!(of_b(&acked), 50);
        acked.note(&id("b"), Incarnation(2), 7);
        assert_eq!(of_b(&acked), 7, "it begins anew");
        let named =
            |life| AckSets(vec![[(id("a"), None), (id("b"), Some(Incarnation(life)))].into()]);
        let in_life = |life| acked.confirmed(&id("a"), &named(life), WriteAcks::Quorum);
        assert_eq!((in_life(1), in_life(2)), (0, 7), "the group may still count on the one before");
        acked.clear();
        assert_eq!(of_b(&acked), 0);
    }
}
