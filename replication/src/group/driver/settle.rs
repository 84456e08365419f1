//! A configuration came: the node becomes what it says.

use super::{INTERRUPTION, Inner, Life, State};
use crate::group::config::GroupConfig;
use crate::group::data::DataNode;
use crate::group::in_sync::{InSync, ack_sets};
use crate::group::message::encode;
use std::sync::Arc;
use std::time::Duration;

impl Inner {
    /// Acts on what was agreed on since it last looked.
    pub(super) fn settle(&self) {
        let config = self.consensus.config();
        let now = self.now();
        let mut life = self.state.lock();
        if config.membership != life.membership {
            life.membership = config.membership;
            self.directory.learn(config.members.values());
            // A lease that other majorities renewed has to end before these elect.
            life.voter.settle(now);
        }
        if config.epoch > life.settled {
            let before = std::mem::replace(&mut life.settled, config.epoch);
            let is_first = before == 0;
            // A handover takes one epoch. Of more than one the first need not have been planned: then
            // who leads now may lack what was written here.
            life.is_handing_over &= config.epoch == before + 1;
            if !config.is_planned && !is_first {
                let silent_nanos = now.saturating_sub(life.voter.heard_nanos());
                life.last_failover_ms = Some(silent_nanos / 1_000_000);
            }
            life.voter.settle(now);
            // Who promised a later epoch waits for it.
            if config.epoch >= life.voter.promised() {
                self.take_place(&mut life, &config, now);
            }
        }
        self.heed_interruption(&mut life, &config, now);
    }

    /// Makes the node what the configuration says that it is.
    fn take_place(&self, life: &mut Life, config: &GroupConfig, now: u64) {
        self.lease.set_end(0);
        let Some(node) = &self.node else { return };
        let (was_primary, was_handing_over) =
            (life.state == State::Primary, std::mem::take(&mut life.is_handing_over));
        self.become_member(life, &**node, config, was_primary && was_handing_over, now);
        // Whoever held writes back in an earlier epoch: nobody waits for that one any more.
        node.hold_writes(false);
    }

    fn become_member(
        &self,
        life: &mut Life,
        node: &dyn DataNode,
        config: &GroupConfig,
        was_handing_over: bool,
        now: u64,
    ) {
        let is_me = config.primary.as_ref() == Some(&self.me.id);
        if is_me {
            // A primary that started anew is not the one that was elected.
            let life_now = node.position().incarnation;
            if config.in_sync.get(&self.me.id) != Some(&life_now) {
                return self.freeze(life);
            }
            tracing::info!(epoch = config.epoch, "this node is the primary");
            life.state = State::Primary;
            life.since_nanos = now;
            life.asked_nanos.clear();
            life.next_renewal_nanos = 0;
            life.refused = 0;
            life.in_sync = InSync::default();
            node.lead(config.epoch, &ack_sets(config, None));
            return;
        }
        let primary = config.primary.as_ref().and_then(|id| config.members.get(id));
        let Some(primary) = primary else { return self.freeze(life) };
        tracing::info!(epoch = config.epoch, primary = %primary.id, "this node is a replica");
        life.state = State::Replica;
        if was_handing_over && config.is_planned {
            // Its epoch ends first; writes that wait go on waiting until they are passed on.
            node.freeze();
            node.hand_over(config.epoch, primary);
        }
        node.follow(config.epoch, primary);
    }

    /// Loses its power when its zone does, once for each interruption.
    fn heed_interruption(&self, life: &mut Life, config: &GroupConfig, now: u64) {
        let Some(zone) = &config.interrupted else {
            life.interrupted_since = None;
            return;
        };
        let number = config.interruptions;
        if life.interrupted_since.is_none_or(|(known, _)| known != number) {
            life.interrupted_since = Some((number, now));
        }
        if *zone != self.me.zone || life.interruption >= number {
            return;
        }
        life.interruption = number;
        let written = self.disk.replace(INTERRUPTION, &encode(&number));
        let host = Arc::clone(&self.host);
        let duration = Duration::from_millis(config.interruption_ms);
        tokio::spawn(async move {
            if let Err(error) = written.await {
                tracing::warn!(%error, "an interruption cannot be remembered, it may come twice");
            }
            host.power_off(duration);
        });
    }
}
