//! What replicas and primaries of one group make sure of before data goes between them.

use super::{MemberEvent, Membership, State};
use crate::node::shared::Shared;
use larder_protocol::CommandError;
use larder_replication::group::card::{Answer, Card, Origin};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The first wait after a link that failed, and the longest: whoever is to lead does so soon.
pub(in crate::node) const WAITS: (Duration, Duration) =
    (Duration::from_millis(5), Duration::from_millis(50));
/// How long the other side may leave a connection or a question without an answer.
pub(in crate::node) const PATIENCE: Duration = Duration::from_secs(3);
/// Milliseconds between two signs of life of a primary.
pub(crate) const PING_MS: i64 = 1000;

/// A replica's side.
impl Membership {
    /// Between two acknowledgements of a link that brings nothing.
    pub(in crate::node) fn beat(&self) -> Duration {
        self.options.beat
    }

    /// What this node says of itself to the primary that it is to follow.
    pub(in crate::node) fn card(&self) -> Card {
        Card {
            group: self.options.group.clone(),
            node: self.options.node.clone(),
            incarnation: self.incarnation,
            epoch: self.state.lock().epoch,
        }
    }

    /// Hears of an epoch.
    pub(crate) fn heard_of(&self, epoch: u64) {
        if epoch > self.state.lock().epoch {
            self.tell(MemberEvent::HigherEpoch { epoch });
        }
    }

    /// Notes that the data set is a part of what a primary has; all shards are held, and `change`
    /// makes it so.
    pub(in crate::node) fn join(&self, node: &Shared, origin: &Origin, change: impl FnOnce()) {
        let mut state = self.state.lock();
        state.data_epoch = state.epoch_at(node.log.offset());
        change();
        node.log.adopt_lineage(&origin.lineage);
        state.join(origin);
        state.kept = None;
        state.is_unsaved = false;
    }
}

impl State {
    /// The latest epoch of which the data has all that its primary began with, when the log has come
    /// to an offset.
    pub(super) fn epoch_at(&self, offset: u64) -> u64 {
        let (epoch, from) = self.joins;
        if offset >= from { epoch } else { self.data_epoch }
    }

    /// The data is part of a primary's stream. A data set that was part of no epoch may have had more
    /// in a life before, so it has to get as far as the primary is.
    fn join(&mut self, origin: &Origin) {
        let epoch = origin.card.epoch;
        if self.joins.0 == epoch {
            return;
        }
        let mut ends = origin.lineage.iter().rev().map(|(_, end)| *end);
        let (reached, began) = (ends.next().unwrap_or(u64::MAX), ends.next().unwrap_or(0));
        self.joins = (epoch, if self.data_epoch == 0 { reached } else { began });
    }
}

/// A primary's side.
impl Membership {
    /// What a replica is answered that showed its card.
    pub(crate) fn answer(&self, node: &Shared, card: &Card) -> Answer {
        if card.group != self.options.group {
            return Answer::Stranger;
        }
        self.heard_of(card.epoch);
        let state = self.state.lock();
        match self.leads() {
            Some(epoch) if epoch == card.epoch => Answer::Leads(Origin {
                card: Card { epoch, ..card_of(self) },
                lineage: node.log.lineage(),
            }),
            _ => Answer::Epoch(state.epoch),
        }
    }

    /// Keeps replicas away while this node does not lead, and those of other epochs.
    ///
    /// # Errors
    /// They shall come back later.
    pub(crate) fn admit_replica(&self, card: Option<&Card>) -> Result<(), CommandError> {
        let leads = self.leads();
        match card {
            Some(card) if leads != Some(card.epoch) => Err(CommandError::NO_MASTER_LINK),
            _ => Ok(()),
        }
    }

    /// Whether a member's link is of an epoch in which this node led and leads no more.
    pub(crate) fn is_obsolete(&self, card: &Card) -> bool {
        self.led.load(Ordering::Acquire) != card.epoch
    }
}

fn card_of(member: &Membership) -> Card {
    let options = &member.options;
    let (group, node) = (options.group.clone(), options.node.clone());
    Card { group, node, incarnation: member.incarnation, epoch: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_replication::ReplicationId;
    use larder_replication::group::config::{Incarnation, NodeId};

    fn origin(epoch: u64, began: u64, reached: u64) -> Origin {
        let (group, node) = ("s".to_owned(), NodeId("a".to_owned()));
        let card = Card { group, node, incarnation: Incarnation(1), epoch };
        let history = |end| (ReplicationId::random(), end);
        Origin { card, lineage: vec![history(began / 2), history(began), history(reached)] }
    }

    #[test]
    fn data_is_of_an_epoch_when_it_has_what_that_began_with() {
        let mut state = State { data_epoch: 1, joins: (1, 0), ..State::default() };
        state.join(&origin(2, 400, 900));
        assert_eq!((state.epoch_at(399), state.epoch_at(400)), (1, 2));
    }

    #[test]
    fn a_new_life_has_to_get_as_far_as_its_primary_was() {
        let mut state = State::default();
        state.join(&origin(2, 400, 900));
        assert_eq!((state.epoch_at(899), state.epoch_at(900)), (0, 2));
        state.join(&origin(2, 400, 1000));
        assert_eq!(state.epoch_at(900), 2, "another link to the same primary takes nothing away");
    }
}
