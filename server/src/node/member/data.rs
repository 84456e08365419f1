//! What a group's driver may do to a node.

use super::fence::HOLD_NANOS;
use super::relay::Relay;
use super::{Membership, State};
use crate::config::{PrimaryAddress, WriteAcks};
use crate::node::pause::Reason;
use crate::node::shared::Shared;
use larder_replication::group::config::{Incarnation, Member};
use larder_replication::group::data::{AckSets, DataNode, DataPosition, Follower};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A node as its group sees it. It keeps the node's parts alive, but not its threads.
pub struct MemberNode {
    node: Arc<Shared>,
    member: Arc<Membership>,
}

impl MemberNode {
    /// The face of a node that is a member; none of one that is not.
    pub(crate) fn of(node: &Arc<Shared>) -> Option<Self> {
        Some(Self { node: Arc::clone(node), member: Arc::clone(node.member.as_ref()?) })
    }
}

impl DataNode for MemberNode {
    fn position(&self) -> DataPosition {
        let Self { node, member } = self;
        node.position_of(member, &member.state.lock())
    }

    fn freeze(&self) -> DataPosition {
        let Self { node, member } = self;
        node.freeze_member(member)
    }

    fn lead(&self, epoch: u64, in_sync: &AckSets) {
        let Self { node, member } = self;
        node.lead_as(member, epoch, in_sync);
    }

    fn follow(&self, epoch: u64, primary: &Member) {
        let Self { node, member } = self;
        node.follow_member(member, epoch, primary);
    }

    fn set_in_sync(&self, in_sync: &AckSets) {
        let Self { node, member } = self;
        member.sets.lock().clone_from(in_sync);
        node.count_replicas();
    }

    fn followers(&self) -> Vec<Follower> {
        let Self { node, member } = self;
        node.followers_of(member)
    }

    fn hold_writes(&self, hold: bool) -> u64 {
        let Self { node, member } = self;
        node.hold_writes(member, hold)
    }

    fn hand_over(&self, epoch: u64, primary: &Member) {
        let Self { node, member } = self;
        node.hand_over(member, epoch, primary);
    }

    fn awaits_acks(&self) -> bool {
        self.node.config.load().write_acks != WriteAcks::Primary
    }
}

impl Shared {
    /// A member before its group decides.
    pub(in crate::node) fn begin_as_member(&self) {
        let size = self.config.load().repl_backlog_size_bytes;
        self.role.set_member();
        self.role.set_undecided(self.clock.unix_ms());
        self.log.remember_ancestors();
        self.log.keep_backlog(size);
        self.log.set_follows(true);
    }

    fn position_of(&self, member: &Membership, state: &State) -> DataPosition {
        let position = self.log.position();
        let (offset, replid) = (position.offset, position.replid);
        let (incarnation, epoch) = match self.role.is_broken() {
            // Data that does not fit its offset is of no use to anybody: it is lost.
            true => (Incarnation(!member.incarnation.0), 0),
            false => (member.incarnation, state.epoch_at(offset)),
        };
        DataPosition { incarnation, epoch, replid, offset }
    }

    fn freeze_member(&self, member: &Membership) -> DataPosition {
        let all = self.keyspace.lock_all();
        let mut state = member.state.lock();
        let led = member.leads.swap(0, Ordering::AcqRel) != 0;
        state.follows = None;
        if led || self.role.primary().is_some() {
            self.role.set_undecided(self.clock.unix_ms());
        }
        self.log.set_follows(true);
        // While a handover goes on, who follows may still acknowledge what was written before.
        let holds = state.is_handover;
        if !holds {
            self.let_writes_go(&mut state);
            self.log.cut_readers();
        }
        let position = self.position_of(member, &state);
        drop(state);
        drop(all);
        if led && !holds {
            self.close_writers();
        }
        position
    }

    fn lead_as(&self, member: &Membership, epoch: u64, in_sync: &AckSets) {
        let all = self.keyspace.lock_all();
        let mut state = member.state.lock();
        state.epoch = state.epoch.max(epoch);
        if member.leads() != Some(epoch) {
            self.log.keep_backlog(self.config.load().repl_backlog_size_bytes);
            self.role.unset_primary();
            self.log.shift_ids();
            member.acked.lock().clear();
            state.data_epoch = epoch;
            state.joins = (epoch, 0);
            state.follows = None;
            state.relay = None;
            member.relays.store(false, Ordering::Release);
            member.led.store(epoch, Ordering::Release);
            member.leads.store(epoch, Ordering::Release);
            member.is_fenced.store(true, Ordering::Relaxed);
        }
        member.sets.lock().clone_from(in_sync);
        let held = state.held.is_some();
        state.is_handover = false;
        self.log.set_quiet(false);
        if member.is_in_charge(self) {
            self.let_writes_go(&mut state);
        } else {
            self.await_lease(member, &mut state);
        }
        drop(state);
        drop(all);
        self.rest.end();
        tracing::info!(epoch, "MASTER MODE enabled by the group");
        self.count_replicas();
        if held {
            self.wake_clients();
        }
    }

    fn follow_member(&self, member: &Membership, epoch: u64, primary: &Member) {
        let all = self.keyspace.lock_all();
        let mut state = member.state.lock();
        let is_same = state.epoch == epoch && state.follows.as_ref() == Some(&primary.id);
        if is_same && !self.role.holds_writes() {
            return;
        }
        let led = member.leads.swap(0, Ordering::AcqRel) != 0;
        let held = state.held.is_some();
        state.epoch = state.epoch.max(epoch);
        if !is_same {
            let now_ms = self.clock.unix_ms();
            match primary.client_address {
                Some(address) => {
                    let (host, port) = (address.ip().to_string(), address.port());
                    self.role.set_primary(PrimaryAddress { host, port }, now_ms);
                }
                // A witness has no data that could be followed.
                None => self.role.set_undecided(now_ms),
            }
            state.follows = Some(primary.id.clone());
            let relay = state.relay.as_ref().and_then(|relay| relay.further(epoch, primary));
            state.relay = relay.map(Arc::new);
            self.log.set_follows(true);
            self.log.cut_readers();
        }
        self.let_writes_go(&mut state);
        let closes = (led || held) && state.relay.is_none();
        drop(state);
        drop(all);
        if closes {
            self.close_writers();
        }
    }

    fn followers_of(&self, member: &Membership) -> Vec<Follower> {
        let (led, now_ms) = (member.led.load(Ordering::Acquire), self.clock.unix_ms());
        let follower = |replica: &Arc<crate::replicas::Replica>| {
            let card = replica.card_of(led).filter(|_| replica.is_online())?;
            Some(Follower {
                id: card.node.clone(),
                incarnation: card.incarnation,
                acked_offset: replica.acked(),
                silent_ms: replica.silent_ms(now_ms),
            })
        };
        self.replicas.all().iter().filter_map(follower).collect()
    }

    /// Which offset those who count have, of those whose links are of this epoch.
    pub(crate) fn confirmed_as(&self, member: &Membership) -> u64 {
        let led = member.led.load(Ordering::Acquire);
        let mut acked = member.acked.lock();
        for replica in self.replicas.all() {
            if let Some(card) = replica.card_of(led).filter(|_| replica.is_online()) {
                acked.note(&card.node, card.incarnation, replica.acked());
            }
        }
        acked.confirmed(member.node(), &member.sets.lock(), self.config.load().write_acks)
    }

    fn hold_writes(&self, member: &Membership, hold: bool) -> u64 {
        if !hold {
            let all = self.keyspace.lock_all();
            let mut state = member.state.lock();
            if state.is_handover && member.leads().is_some() && !member.is_in_charge(self) {
                // It was called off, and the lease is about to come back.
                state.is_handover = false;
                self.log.set_quiet(false);
                self.await_lease(member, &mut state);
            } else if state.is_handover {
                self.let_writes_go(&mut state);
            }
            drop(state);
            drop(all);
            self.wake_clients();
            return self.log.offset();
        }
        // Who gets a shard after this sees that it has to wait.
        let all = self.keyspace.lock_all();
        let mut state = member.state.lock();
        self.role.set_holds_writes(true);
        if !state.is_handover {
            let until = self.clock.monotonic_nanos() + HOLD_NANOS;
            self.pause.hold(Reason::Group);
            state.held = Some(until);
            state.is_handover = true;
            // The answer to this says that who answers has all of the log.
            self.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
            self.log.set_quiet(true);
        }
        let end = self.log.offset();
        drop(state);
        drop(all);
        self.log.wake_readers();
        end
    }

    fn hand_over(&self, member: &Membership, epoch: u64, primary: &Member) {
        let Some(address) = primary.client_address else { return };
        let all = self.keyspace.lock_all();
        let mut state = member.state.lock();
        // Only if nothing was let in since the new primary had everything.
        if !state.is_handover || epoch < state.epoch || member.options.secret.is_empty() {
            return;
        }
        if member.leads.swap(0, Ordering::AcqRel) != 0 {
            self.role.set_undecided(self.clock.unix_ms());
            self.log.set_follows(true);
        }
        state.epoch = epoch;
        state.follows = None;
        let began = (self.clock.monotonic_nanos(), self.clients.last_id());
        state.relay = Some(Arc::new(Relay::new(epoch, primary.id.clone(), address, began)));
        // It leads because it has everything.
        member.acked.lock().raise(&primary.id, self.log.offset());
        member.relays.store(true, Ordering::Release);
        self.let_writes_go(&mut state);
        drop(state);
        drop(all);
        self.count_replicas();
        for client in self.clients.all() {
            // Who waits for a key would wait for what only the primary can do.
            client.turn_out();
        }
        self.wake_clients();
    }

    pub(super) fn wake_clients(&self) {
        self.clients.all().iter().for_each(|client| client.wake());
    }
}
