//! A node that comes back tells so, in ElastiCache's words: when it begins to recover, and when it is
//! in sync again.

use larder_replication::group::config::{GroupConfig, Incarnation, NodeId};

/// How far a node's recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none: the node is there from the group's beginning, or back for long.
    None,
    /// The node came back, and nobody was told yet.
    Back,
    /// It was told that it recovers.
    Recovering,
}

/// One node's recovery in one life.
#[derive(Debug)]
pub(super) struct Recovery(Stage);

impl Recovery {
    /// Of a node that was in sync with its group in an earlier life, or not.
    pub(super) fn new(was_in_sync: bool) -> Self {
        Self(if was_in_sync { Stage::Back } else { Stage::None })
    }

    /// What is to be told now.
    pub(super) fn step(
        &mut self,
        me: &NodeId,
        config: &GroupConfig,
        is_replica: bool,
        life: Incarnation,
    ) -> Option<String> {
        match self.0 {
            Stage::Back if is_replica => {
                self.0 = Stage::Recovering;
                Some(format!("Recovering cache nodes {me}"))
            }
            // It leads again: nothing had to be recovered.
            Stage::Back if config.in_sync.get(me) == Some(&life) => {
                self.0 = Stage::None;
                None
            }
            Stage::Recovering if config.in_sync.get(me) == Some(&life) => {
                self.0 = Stage::None;
                Some(format!("Finished recovery for cache nodes {me}"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_says_so_once() {
        let me = NodeId("s-001".to_owned());
        let (old, new) = (Incarnation(1), Incarnation(2));
        let before = GroupConfig {
            epoch: 3,
            in_sync: [(me.clone(), old)].into_iter().collect(),
            ..GroupConfig::default()
        };
        let mut recovery = Recovery::new(true);
        let mut step =
            |config: &GroupConfig, is_replica| recovery.step(&me, config, is_replica, new);
        assert_eq!(step(&before, false), None, "nobody leads yet");
        let text = Some("Recovering cache nodes s-001".to_owned());
        assert_eq!(step(&before, true), text);
        assert_eq!(step(&before, true), None);
        let after = GroupConfig { in_sync: [(me.clone(), new)].into_iter().collect(), ..before };
        let text = Some("Finished recovery for cache nodes s-001".to_owned());
        assert_eq!(step(&after, true), text);
        assert_eq!(step(&after, true), None);
        let mut first = Recovery::new(false);
        assert_eq!(first.step(&me, &after, true, new), None, "at the beginning nobody recovers");
    }
}
