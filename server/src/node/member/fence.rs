//! Whether the reply to a write may leave, and what becomes of clients when it may not.

use super::{Membership, State};
use crate::node::pause::Reason;
use crate::node::shared::Shared;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long writes wait for a handover whose lease is given up, before they are refused after all.
pub(super) const HOLD_NANOS: u64 = 5_000_000_000;
/// How long they wait for the lease of a primary that has just begun to lead.
const LEASE_NANOS: u64 = 2_000_000_000;
/// Between two looks at the lease.
const LOOK: Duration = Duration::from_millis(1);

/// Where in a connection's output replies to writes stand, in the output's own count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence {
    begin: i64,
    end: i64,
}

impl Default for Fence {
    fn default() -> Self {
        Self { begin: i64::MIN, end: i64::MIN }
    }
}

impl Fence {
    /// Notes a reply to a write; `sent` is what left already.
    pub(crate) fn add(&mut self, begin: i64, end: i64, sent: i64) {
        if !self.is_ahead_of(sent) {
            self.begin = begin;
        }
        self.end = end;
    }

    /// Whether a reply to a write is not sent yet.
    #[inline]
    pub(crate) fn is_ahead_of(&self, sent: i64) -> bool {
        self.end > sent
    }

    /// Where the first of them begins.
    pub(crate) fn begin(&self) -> i64 {
        self.begin
    }
}

/// What becomes of replies to writes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They leave.
    Leave,
    /// They wait for the end of a handover.
    Wait,
    /// They are dropped, and the connection with them.
    Drop,
}

impl Membership {
    /// What becomes of replies to writes that wait for their sockets.
    pub(crate) fn verdict(&self, node: &Shared) -> Verdict {
        // After a handover the new primary has all that was written here.
        if self.is_in_charge(node) || self.relays.load(Ordering::Acquire) {
            Verdict::Leave
        } else if node.role.holds_writes() {
            Verdict::Wait
        } else {
            Verdict::Drop
        }
    }
}

impl Shared {
    /// Closes those who wrote or wait: what they are told next has to come from another node. Others
    /// look at what they have to send.
    pub(super) fn close_writers(&self) {
        for client in self.clients.all() {
            if client.turn_out() {
                continue;
            }
            if client.has_written.load(Ordering::Relaxed) {
                client.kill();
            } else {
                client.wake();
            }
        }
    }

    /// Notices a lease that ran out though nobody said so, and a handover that never ends; to be
    /// called every 100 ms or so.
    pub(crate) fn look_after_member(&self) {
        let Some(member) = self.member() else { return };
        let now = self.clock.monotonic_nanos();
        let is_in_charge = member.is_in_charge(self);
        let mut closes = false;
        {
            let mut state = member.state.lock();
            let is_late = state.held.is_some_and(|until| now > until);
            // With the lease somebody is there who goes on with it.
            if is_late && !is_in_charge {
                self.let_writes_go(&mut state);
                closes = true;
            }
            if state.relay.as_ref().is_some_and(|relay| relay.is_over(now)) {
                state.relay = None;
                member.relays.store(false, Ordering::Release);
            }
        }
        if !is_in_charge && !self.role.holds_writes() && member.leads().is_some() {
            closes |= !member.is_fenced.swap(true, Ordering::Relaxed);
        }
        if closes {
            tracing::warn!("the lease is lost: writers are closed");
            self.close_writers();
        }
    }

    /// Lets a primary's first writes wait for its lease, which comes a moment after it leads. Whoever
    /// sent them shall not be refused.
    pub(super) fn await_lease(&self, member: &Membership, state: &mut State) {
        let until = self.clock.monotonic_nanos() + LEASE_NANOS;
        match &mut state.held {
            Some(held_until) => *held_until = until,
            none => {
                self.role.set_holds_writes(true);
                self.pause.hold(Reason::Group);
                *none = Some(until);
            }
        }
        member.awaits_lease.notify_one();
    }

    /// Lets writes go on when a lease comes that they wait for, for as long as the node runs.
    pub(in crate::node) async fn watch_lease(&self) {
        let Some(member) = self.member() else { return std::future::pending().await };
        loop {
            // Made before the look: from then on it sees every call.
            let asked = member.awaits_lease.notified();
            let awaits = |state: &State| {
                member.leads().is_some() && state.held.is_some() && !state.is_handover
            };
            if !awaits(&member.state.lock()) {
                asked.await;
            } else if !member.is_in_charge(self) {
                tokio::time::sleep(LOOK).await;
            } else {
                let all = self.keyspace.lock_all();
                let mut state = member.state.lock();
                // It may lead no more, or writes wait for something else by now.
                if awaits(&state) {
                    self.let_writes_go(&mut state);
                }
                drop(state);
                drop(all);
                self.wake_clients();
            }
        }
    }

    /// Writes do not wait any more.
    pub(super) fn let_writes_go(&self, state: &mut State) {
        state.is_handover = false;
        if state.held.take().is_some() {
            self.role.set_holds_writes(false);
            self.log.set_quiet(false);
            self.pause.release(Reason::Group);
        }
    }
}
