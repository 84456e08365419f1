//! What the leader of consensus does for the group: it founds it, elects a primary when there is
//! none, ends interruptions, takes the votes of those who leave. One thing at a time.

use super::{Inner, nanos};
use crate::group::change::{Change, Why};
use crate::group::config::{GroupConfig, Member, NodeId, Zone};
use crate::group::message::{Answer, AskError, Promised, Request};
use crate::group::rank::{self, Choice, Heard};
use crate::group::voter::credible;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// One in so many of the lease is waited for those who have not answered when enough have.
const GRACE: u32 = 20;

/// What has to be done.
enum Duty {
    Found,
    Elect,
    EndInterruption(u64),
    Dismiss(NodeId),
    /// Who let it in did not get to the end.
    Admit(Member),
}

impl Inner {
    /// Does what the group needs, if this member leads consensus.
    pub(super) fn look_after_group(self: &Arc<Self>) {
        if !self.consensus.leads() {
            return;
        }
        let config = self.consensus.config();
        let now = self.now();
        let mut life = self.state.lock();
        if life.is_on_duty || now < life.next_duty_nanos {
            return;
        }
        let is_over = |(number, since): (u64, u64)| {
            let is_over =
                now.saturating_sub(since) >= nanos(Duration::from_millis(config.interruption_ms));
            is_over.then_some(number)
        };
        let is_gone = |id: &&NodeId| !config.in_sync.contains_key(*id);
        let duty = if config.members.is_empty() {
            if self.founders.is_empty() {
                return;
            }
            Duty::Found
        } else if life.voter.is_willing(now) {
            Duty::Elect
        } else if let Some(number) = life.interrupted_since.and_then(is_over) {
            Duty::EndInterruption(number)
        } else if let Some(id) = config.leaving.as_ref().filter(is_gone) {
            Duty::Dismiss(id.clone())
        } else if let Some(member) = self.without_vote(&config) {
            Duty::Admit(member)
        } else {
            return;
        };
        life.is_on_duty = true;
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let result = inner.perform(&duty, &config).await;
            let mut life = inner.state.lock();
            life.is_on_duty = false;
            if let Err(error) = result {
                tracing::debug!(%error, "what the group needs could not be done");
                life.next_duty_nanos = inner.now() + nanos(inner.timings.heartbeat);
            }
        });
    }

    /// A member by the configuration that consensus does not count yet.
    fn without_vote(&self, config: &GroupConfig) -> Option<Member> {
        let stays = |member: &&Member| config.leaving.as_ref() != Some(&member.id);
        let lacks_vote = |member: &&Member| !self.consensus.votes(&member.id);
        config.members.values().filter(stays).find(lacks_vote).cloned()
    }

    async fn perform(
        self: &Arc<Self>,
        duty: &Duty,
        config: &Arc<GroupConfig>,
    ) -> Result<(), AskError> {
        let unix_ms = self.clock.unix_ms();
        match duty {
            Duty::Found => {
                let zone_order = zone_order(&self.founders);
                let (name, members) = (self.group.clone(), self.founders.clone());
                self.consensus.propose(Change::Found { name, members, zone_order, unix_ms }).await
            }
            Duty::Elect => self.elect(config).await,
            Duty::EndInterruption(number) => {
                let number = *number;
                self.consensus.propose(Change::EndInterruption { number, unix_ms }).await
            }
            Duty::Admit(member) => self.consensus.admit(member).await,
            Duty::Dismiss(id) => {
                self.consensus.dismiss(id).await?;
                let id = id.clone();
                self.consensus.propose(Change::Left { id, unix_ms }).await
            }
        }
    }

    /// Elects a primary: asks who is willing, has a majority promise a new epoch, chooses among those
    /// that did, and has the group agree.
    async fn elect(self: &Arc<Self>, config: &Arc<GroupConfig>) -> Result<(), AskError> {
        let given_up = |text: String| AskError::GivenUp(text);
        let (willing, highest) = self.find_willing(config).await?;
        let epoch = highest + 1;
        let (mut heard, mut promises) = (Vec::new(), 0);
        let mut take = |id: &NodeId, promised: Promised| {
            if let Promised::Yes(held) = promised {
                promises += 1;
                heard.extend(held.map(|held| Heard {
                    id: id.clone(),
                    incarnation: held.incarnation,
                    epoch: held.epoch,
                    offset: held.offset,
                }));
            }
            promises >= config.majority() && rank::choose(config, &heard).is_ok()
        };
        let mut is_enough = take(&self.me.id, self.promise(epoch).await);
        let mut asked = self.ask_each(&willing, |_| Request::Promise { epoch });
        while let Some((id, answer)) = self.next(&mut asked, is_enough).await {
            if let Some(Answer::Promised(promised)) = answer {
                is_enough = take(&id, promised);
            }
        }
        if promises < config.majority() {
            return Err(given_up(format!("{promises} members promised epoch {epoch}")));
        }
        let chosen = rank::choose(config, &heard).map_err(|error| given_up(error.to_string()))?;
        let Choice { primary, in_sync, lost } = chosen;
        tracing::info!(%primary, epoch, "elected");
        let why = if lost.is_empty() { Why::Lost } else { Why::Cold(lost) };
        let (from, unix_ms) = (config.epoch, self.clock.unix_ms());
        let revision = config.revision;
        let change = Change::Elect { from, revision, to: epoch, primary, in_sync, why, unix_ms };
        let agreed = tokio::time::timeout(self.timings.lease * 2, self.consensus.propose(change));
        agreed.await.unwrap_or(Err(AskError::NoQuorum))
    }

    /// Who is willing, if it is a majority, and the greatest epoch that anybody knows of.
    async fn find_willing(
        self: &Arc<Self>,
        config: &GroupConfig,
    ) -> Result<(Vec<Member>, u64), AskError> {
        let promised = self.state.lock().voter.promised();
        let mut highest = config.epoch.max(credible(promised, config.epoch));
        let others: Vec<Member> =
            config.members.values().filter(|one| one.id != self.me.id).cloned().collect();
        let mut willing = Vec::new();
        let mut asked = self.ask_each(&others, |_| Request::IsWilling);
        let is_enough = |willing: &[Member]| willing.len() + 1 >= config.majority();
        while let Some((id, answer)) = self.next(&mut asked, is_enough(&willing)).await {
            let Some(Answer::Willing { willing: is_willing, promised, known }) = answer else {
                continue;
            };
            for named in [promised, known] {
                highest = highest.max(credible(named, config.epoch));
            }
            if is_willing {
                willing.extend(config.members.get(&id).cloned());
            }
        }
        match is_enough(&willing) {
            true => Ok((willing, highest)),
            false => Err(AskError::GivenUp("the primary is heard of".to_owned())),
        }
    }

    fn ask_each(
        self: &Arc<Self>,
        members: &[Member],
        request: impl Fn(&Member) -> Request,
    ) -> JoinSet<(NodeId, Option<Answer>)> {
        let mut asked = JoinSet::new();
        for member in members {
            let (inner, member, request) = (Arc::clone(self), member.clone(), request(member));
            asked.spawn(async move {
                let answer = inner.ask(&member, &request).await;
                (member.id, answer)
            });
        }
        asked
    }

    /// The next answer; when there are enough, the others have a moment left.
    async fn next(
        &self,
        asked: &mut JoinSet<(NodeId, Option<Answer>)>,
        is_enough: bool,
    ) -> Option<(NodeId, Option<Answer>)> {
        let patience = if is_enough { self.timings.lease / GRACE } else { Duration::MAX };
        let joined = tokio::time::timeout(patience, asked.join_next()).await.ok()??;
        joined.ok()
    }
}

/// The zones in the order in which the founders name them.
fn zone_order(founders: &[Member]) -> Vec<Zone> {
    let mut zones = Vec::new();
    for member in founders {
        if !zones.contains(&member.zone) {
            zones.push(member.zone.clone());
        }
    }
    zones
}
