//! What a primary does: it keeps its lease, says who is in sync, and hands over when it is asked to.

use super::{Inner, Life, State, is_kept, nanos};
use crate::group::change::{Change, Refusal, Why};
use crate::group::config::{GroupConfig, NodeId};
use crate::group::data::{DataNode, Follower};
use crate::group::in_sync::{Look, Step};
use crate::group::message::{Answer, AskError, Request};
use crate::group::rank::{self, Heard};
use crate::group::voter::{credible, lease_end};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the replica that a handover waits for.
const LOOK: Duration = Duration::from_millis(1);

impl Inner {
    /// Keeps the lease, or gives the place up when it is gone for too long.
    pub(super) fn look_after_lease(self: &Arc<Self>) {
        let config = self.consensus.config();
        let now = self.now();
        let mut life = self.state.lock();
        let Some(node) = &self.node else { return };
        if life.state != State::Primary || config.epoch != life.settled {
            return;
        }
        if life.voter.promised() > config.epoch && !life.is_handing_over {
            // A handover that came to no end that is known here: another primary may be there already,
            // and those who renew may not have heard of it yet.
            node.hold_writes(false);
            return self.freeze(&mut life);
        }
        // Its own vote counts like any other.
        if life.voter.renew(config.epoch, config.epoch, now) {
            life.asked_nanos.insert(self.me.id.clone(), now);
        }
        let end = self.lease_end(&life, &config);
        if now > end.max(life.since_nanos) + nanos(self.timings.lease) {
            tracing::warn!(epoch = config.epoch, "no majority of the group hears this primary");
            return self.freeze(&mut life);
        }
        let heartbeat = nanos(self.timings.heartbeat);
        // A look may come a little early.
        if now + heartbeat / 4 >= life.next_renewal_nanos {
            life.next_renewal_nanos = now + heartbeat;
            self.ask_for_renewals(&config, now);
        }
        if life.is_handing_over {
            return;
        }
        self.lease.set_end(end);
        if self.lease.is_held(now) {
            self.look_after_replicas(&mut life, &config, &**node, now);
        }
    }

    fn lease_end(&self, life: &Life, config: &GroupConfig) -> u64 {
        let asked = config.members.keys().filter_map(|id| life.asked_nanos.get(id).copied());
        let mut asked: Vec<u64> = asked.collect();
        lease_end(&mut asked, config.majority(), nanos(self.timings.lease))
    }

    fn ask_for_renewals(self: &Arc<Self>, config: &Arc<GroupConfig>, now: u64) {
        for member in config.members.values().filter(|member| member.id != self.me.id) {
            let (inner, member, config) = (Arc::clone(self), member.clone(), Arc::clone(config));
            let (epoch, membership) = (config.epoch, config.membership);
            tokio::spawn(async move {
                let answer = inner.ask(&member, &Request::Renew { epoch, membership }).await;
                if let Some(Answer::Renewed { granted, promised, known }) = answer {
                    let highest = credible(promised, epoch).max(credible(known, epoch));
                    inner.take_renewal(member.id, epoch, now, granted, highest);
                }
            });
        }
    }

    fn take_renewal(&self, id: NodeId, epoch: u64, asked: u64, granted: bool, highest: u64) {
        let mut life = self.state.lock();
        if life.state != State::Primary || life.settled != epoch {
            return;
        }
        if granted {
            let known = life.asked_nanos.entry(id).or_default();
            *known = asked.max(*known);
            let lacks_lease = !self.lease.is_held(self.now());
            drop(life);
            if lacks_lease {
                self.news.notify_one();
            }
        } else if highest > epoch {
            life.refused = life.refused.max(highest);
        }
    }

    /// Decides who is in sync; asks for a later epoch when members are bound to one.
    fn look_after_replicas(
        self: &Arc<Self>,
        life: &mut Life,
        config: &Arc<GroupConfig>,
        node: &dyn DataNode,
        now: u64,
    ) {
        if life.is_asking {
            return;
        }
        if life.refused > config.epoch {
            let change = self.again(config, life.refused + 1);
            return self.ask_group(life, change);
        }
        let followers = node.followers();
        let look = Look {
            config,
            me: &self.me.id,
            followers: &followers,
            offset: node.position().offset,
            now_nanos: now,
            lag_nanos: nanos(self.timings.lag),
            awaits_acks: node.awaits_acks(),
        };
        match life.in_sync.step(&look) {
            Step::Rest => {}
            Step::Count(sets) => node.set_in_sync(&sets),
            Step::Ask(to) => {
                let (epoch, revision) = (config.epoch, config.revision);
                self.ask_group(life, Change::SetInSync { epoch, revision, to });
            }
        }
    }

    /// This node leads on, in a later epoch.
    fn again(&self, config: &GroupConfig, to: u64) -> Change {
        Change::Elect {
            from: config.epoch,
            revision: config.revision,
            to,
            primary: self.me.id.clone(),
            in_sync: config.in_sync.clone(),
            why: Why::Again,
            unix_ms: self.clock.unix_ms(),
        }
    }

    /// Asks the group for something, one thing at a time; what becomes of it the configuration tells.
    fn ask_group(self: &Arc<Self>, life: &mut Life, change: Change) {
        life.is_asking = true;
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = inner.propose(change).await {
                tracing::debug!(%error, "the group did not agree");
            }
            inner.state.lock().is_asking = false;
        });
    }
}

/// A handover under way.
struct Handover<'i> {
    inner: &'i Arc<Inner>,
    node: &'i dyn DataNode,
    config: Arc<GroupConfig>,
    target: NodeId,
}

impl Inner {
    /// Hands over to a replica in sync: to the one that is named, or to the one that has most.
    pub(super) async fn hand_over(
        self: &Arc<Self>,
        to: Option<NodeId>,
    ) -> Result<NodeId, AskError> {
        let node = self.node.as_deref().ok_or(AskError::NotMine)?;
        if to.as_ref() == Some(&self.me.id) {
            return Ok(self.me.id.clone());
        }
        let (config, target) = self.begin_handover(node, to.as_ref()).await?;
        let mut begun = Begun { inner: self, node, epoch: config.epoch, is_over: false };
        let result = Handover { inner: self, node, config, target }.run().await;
        begun.is_over = result.is_ok();
        result
    }
}

/// A handover that was begun, and is none any more when it fails or whoever waits for it gives up.
struct Begun<'i> {
    inner: &'i Inner,
    node: &'i dyn DataNode,
    epoch: u64,
    is_over: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut life = self.inner.state.lock();
        // A later epoch has ended it, and may have begun another one.
        if !self.is_over && life.settled == self.epoch {
            life.is_handing_over = false;
            self.node.hold_writes(false);
        }
        drop(life);
        self.inner.news.notify_one();
    }
}

impl Inner {
    /// Begins a handover: when the group is not about to change, and as soon as who shall take over
    /// follows. After a change of the primary both takes a moment.
    async fn begin_handover(
        &self,
        node: &dyn DataNode,
        to: Option<&NodeId>,
    ) -> Result<(Arc<GroupConfig>, NodeId), AskError> {
        let until = self.now() + nanos(self.timings.handover);
        loop {
            let config = self.consensus.config();
            let chosen = target(&config, &self.me.id, &node.followers(), to);
            {
                let mut life = self.state.lock();
                if life.state != State::Primary || life.settled != config.epoch {
                    return Err(AskError::NotMine);
                }
                if life.is_handing_over {
                    return Err(AskError::GivenUp("another handover is under way".to_owned()));
                }
                let is_changing = life.is_asking || life.in_sync.is_changing();
                let is_late = self.now() > until;
                match chosen {
                    Ok(target) if !is_changing && self.lease.is_held(self.now()) => {
                        life.is_handing_over = true;
                        return Ok((config, target));
                    }
                    Err(refusal) if is_late => return Err(refusal.into()),
                    Ok(_) if is_late && is_changing => {
                        let text = "the group is about to change: try again";
                        return Err(AskError::GivenUp(text.to_owned()));
                    }
                    Ok(_) if is_late => return Err(AskError::NoQuorum),
                    _ => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The replica that shall take over.
fn target(
    config: &GroupConfig,
    me: &NodeId,
    followers: &[Follower],
    to: Option<&NodeId>,
) -> Result<NodeId, Refusal> {
    let senseless = |text: String| Refusal::Senseless(text);
    let is_fit =
        |one: &&Follower| one.id != *me && config.in_sync.get(&one.id) == Some(&one.incarnation);
    let fit: Vec<Heard> = followers
        .iter()
        .filter(is_fit)
        .map(|one| Heard {
            id: one.id.clone(),
            incarnation: one.incarnation,
            epoch: config.epoch,
            offset: one.acked_offset,
        })
        .collect();
    match to {
        Some(to) if !config.members.contains_key(to) => {
            Err(senseless(format!("{to} is no member")))
        }
        Some(to) if fit.iter().any(|one| one.id == *to) => Ok(to.clone()),
        Some(to) => Err(senseless(format!("{to} is not in sync"))),
        None => fit
            .iter()
            .max_by_key(|one| rank::place(config, one))
            .map(|one| one.id.clone())
            .ok_or_else(|| senseless("no replica is in sync".to_owned())),
    }
}

impl Handover<'_> {
    async fn run(self) -> Result<NodeId, AskError> {
        let offset = self.node.hold_writes(true);
        let patience = self.inner.timings.handover;
        if tokio::time::timeout(patience, self.caught_up(offset)).await.is_err() {
            self.node.hold_writes(false);
            let text = format!("{} did not catch up in {} ms", self.target, patience.as_millis());
            return Err(AskError::GivenUp(text));
        }
        // From here on the next epoch may begin at any moment.
        self.inner.lease.set_end(0);
        if !self.promise().await {
            self.node.hold_writes(false);
            return Err(AskError::GivenUp("the promise could not be written".to_owned()));
        }
        let epoch = self.config.epoch;
        let unix_ms = self.inner.clock.unix_ms();
        let (to, primary) = (epoch + 1, self.target.clone());
        let (revision, why) = (self.config.revision, Why::Planned);
        let in_sync = self.config.in_sync.clone();
        let change = Change::Elect { from: epoch, revision, to, primary, in_sync, why, unix_ms };
        match self.inner.propose(change).await {
            Ok(()) => self.outcome().await,
            Err(error) => self.take_back(error).await,
        }
    }

    /// Waits until the target has everything.
    async fn caught_up(&self, offset: u64) {
        let has_all = |one: &Follower| one.id == self.target && one.acked_offset >= offset;
        while !self.node.followers().iter().any(has_all) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Binds this member to the next epoch, as any other would be.
    async fn promise(&self) -> bool {
        let epoch = self.config.epoch + 1;
        let written = {
            let mut life = self.inner.state.lock();
            let is_mine = life.state == State::Primary && life.settled == self.config.epoch;
            if !is_mine || life.voter.promised() > epoch {
                return false;
            }
            self.inner.bind(&mut life, epoch)
        };
        is_kept(written, epoch).await
    }

    /// Waits until this member knows what was agreed on.
    async fn outcome(&self) -> Result<NodeId, AskError> {
        let mut configs = self.inner.consensus.watch();
        let known = configs.wait_for(|config| config.epoch > self.config.epoch);
        match tokio::time::timeout(self.inner.timings.lease * 2, known).await {
            Ok(Ok(config)) => config.primary.clone().ok_or(AskError::NoPrimary),
            _ => Err(AskError::NoQuorum),
        }
    }

    /// It is not known whether the group agreed. If it did not, this node goes on in a later epoch;
    /// if it cannot find out, it is no primary any more.
    async fn take_back(&self, reason: AskError) -> Result<NodeId, AskError> {
        tracing::warn!(%reason, "the handover is taken back");
        let inner = self.inner;
        let until = inner.now() + nanos(inner.timings.lease * 2);
        let error = loop {
            let config = inner.consensus.config();
            if config.epoch > self.config.epoch {
                break None;
            }
            // Who is in sync may have changed meanwhile, which is why it was refused.
            let change = inner.again(&config, config.epoch + 2);
            match inner.propose(change).await {
                Ok(()) => break None,
                Err(AskError::Refused(Refusal::Stale)) if inner.now() < until => {
                    tokio::time::sleep(inner.timings.heartbeat / 4).await;
                }
                Err(error) => break Some(error),
            }
        };
        let outcome = match error {
            None => self.outcome().await,
            Some(error) => Err(error),
        };
        match outcome {
            Ok(primary) if primary == inner.me.id => Err(reason),
            Ok(primary) => Ok(primary),
            Err(error) => {
                let mut life = inner.state.lock();
                if life.settled == self.config.epoch {
                    inner.freeze(&mut life);
                    self.node.hold_writes(false);
                }
                Err(error)
            }
        }
    }
}
