//! One member of a group: holds the decisions, the consensus and the node together.
//!
//! ```text
//! settle     a configuration came: the node becomes what it says
//! primary    keeps the lease and the set of those in sync; hands over
//! election   who leads consensus looks after the group: founds it, elects, lets members in and out
//! ```
//!
//! The decisions are elsewhere and pure ([`voter`](super::voter), [`rank`](super::rank),
//! [`in_sync`](super::in_sync)); in here they get their inputs and what they say is done. All time
//! comes from the clock and from tokio's timers, all requests go through [`Peers`], so a simulator
//! can run a whole group.
//!
//! Invariant: the lease is given up before anything is done that another primary may follow from: a
//! promise, the proposal of a handover, a configuration that names somebody else.

mod election;
mod primary;
mod settle;

use super::change::{Change, Refusal};
use super::config::{GroupConfig, Member, NodeId, Zone};
use super::consensus::{Consensus, ConsensusError, Directory, Parts};
use super::data::{DataNode, Follower, Lease};
use super::disk::DiskError;
use super::event::Source;
use super::in_sync::InSync;
use super::message::{Answer, AskError, Held, Promised, Request, decode, encode};
use super::ports::{Disk, GroupClock, Host, Peers, Timings, Writing};
use super::voter::Voter;
use crate::pace;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The file of the promise.
const PROMISE: &str = "promise";
/// The file with the number of the last interruption that took this member's power.
const INTERRUPTION: &str = "interruption";

/// What a member is made of.
pub struct Options {
    /// This member.
    pub me: Member,
    /// The group's name.
    pub group: String,
    /// The members that a new group begins with, the same for all of them; the first one with data is
    /// its first primary, unless another one has data already. Empty for a member that joins.
    pub founders: Vec<Member>,
    /// How fast the group is.
    pub timings: Timings,
    /// What it remembers.
    pub disk: Arc<dyn Disk>,
    /// The other members.
    pub peers: Arc<dyn Peers>,
    /// The node; none for a witness.
    pub node: Option<Arc<dyn DataNode>>,
    /// The node's lease.
    pub lease: Arc<Lease>,
    /// Whoever runs this member.
    pub host: Arc<dyn Host>,
    /// Time.
    pub clock: Arc<dyn GroupClock>,
}

/// Why a member cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it remembers cannot be read.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// What it remembers makes no sense.
    #[error("{0}: not what a member remembers")]
    Damaged(&'static str),
    /// It cannot take part in consensus.
    #[error("{0}")]
    Consensus(#[from] ConsensusError),
}

/// What a member is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It waits to be told.
    #[default]
    Undecided,
    /// It votes and holds no data.
    Witness,
    /// It is the primary; whether it may acknowledge is its lease's matter.
    Primary,
    /// It follows the primary.
    Replica,
    /// It was a primary or replica, and waits for the next epoch.
    Frozen,
}

/// What a member knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub me: NodeId,
    /// What was agreed on, as far as it knows.
    pub config: Arc<GroupConfig>,
    /// What it is.
    pub state: State,
    /// Whether it holds the lease of a primary.
    pub has_lease: bool,
    /// Milliseconds since it last heard of the primary; since its own lease was renewed, if it is.
    pub lease_age_ms: u64,
    /// Who leads consensus.
    pub consensus_leader: Option<NodeId>,
    /// The epoch it promised.
    pub promised: u64,
    /// Its replicas, if it is the primary.
    pub followers: Vec<Follower>,
    /// How long the last unplanned failover took, from the last sign of the old primary to the
    /// agreement on the new one, in milliseconds.
    pub last_failover_ms: Option<u64>,
    /// Why it takes no part in consensus any more, if so: its disk failed.
    pub failure: Option<String>,
}

/// A running member.
pub struct Driver;

impl Driver {
    /// Begins a member's life on the current tokio runtime. Its node is frozen until the group says
    /// what it is.
    ///
    /// # Errors
    /// What it remembers cannot be read or makes no sense.
    pub async fn start(options: Options) -> Result<Handle, StartError> {
        let Options { me, group, founders, timings, disk, peers, node, lease, host, clock } =
            options;
        lease.set_end(0);
        if let Some(node) = &node {
            node.freeze();
        }
        let directory = Arc::<Directory>::default();
        directory.learn(&founders);
        directory.learn([&me]);
        let promised = read_number(&*disk, PROMISE)?;
        let interruption = read_number(&*disk, INTERRUPTION)?;
        let consensus = Consensus::start(Parts {
            me: me.id.clone(),
            founders: founders.clone(),
            directory: Arc::clone(&directory),
            disk: Arc::clone(&disk),
            peers: Arc::clone(&peers),
            lease: timings.lease,
        })
        .await?;
        let now_nanos = clock.boottime_nanos();
        let voter = Voter::new(promised, nanos(timings.patience()), now_nanos);
        let is_witness = node.is_none();
        let inner = Arc::new(Inner {
            status: watch::channel(Arc::new(Status::of(&me.id, &consensus))).0,
            state: Mutex::new(Life::new(voter, is_witness, interruption)),
            me,
            group,
            founders,
            timings,
            disk,
            peers,
            node,
            lease,
            host,
            clock,
            consensus,
            directory,
            news: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&inner).run());
        Ok(Handle { inner, task: Arc::new(Mutex::new(Some(task))) })
    }
}

fn read_number(disk: &dyn Disk, name: &'static str) -> Result<u64, StartError> {
    match disk.read(name)?.last() {
        None => Ok(0),
        Some(record) => postcard::from_bytes(record).map_err(|_| StartError::Damaged(name)),
    }
}

/// Whether a promise came to the disk: nobody may hear of it before.
async fn is_kept(written: Writing, epoch: u64) -> bool {
    let written = written.await;
    if let Err(error) = &written {
        tracing::error!(%error, epoch, "a promise cannot be kept, so it is not given");
    }
    written.is_ok()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Status {
    fn of(me: &NodeId, consensus: &Consensus) -> Self {
        Self {
            me: me.clone(),
            config: consensus.config(),
            state: State::Undecided,
            has_lease: false,
            lease_age_ms: 0,
            consensus_leader: None,
            promised: 0,
            followers: Vec::new(),
            last_failover_ms: None,
            failure: None,
        }
    }
}

/// Silences of replicas are news in steps of so many milliseconds.
const SILENCE_STEP_MS: u64 = 250;

impl Status {
    /// Whether anything but what changes all the time differs.
    fn differs(&self, other: &Self) -> bool {
        let known = |status: &Self| {
            let follower =
                |one: &Follower| (one.id.clone(), one.incarnation, one.silent_ms / SILENCE_STEP_MS);
            status.followers.iter().map(follower).collect::<Vec<_>>()
        };
        let same_age =
            |status: &Self| Self { lease_age_ms: 0, followers: Vec::new(), ..status.clone() };
        same_age(self) != same_age(other) || known(self) != known(other)
    }
}

/// A member.
struct Inner {
    me: Member,
    group: String,
    founders: Vec<Member>,
    timings: Timings,
    disk: Arc<dyn Disk>,
    peers: Arc<dyn Peers>,
    node: Option<Arc<dyn DataNode>>,
    lease: Arc<Lease>,
    host: Arc<dyn Host>,
    clock: Arc<dyn GroupClock>,
    consensus: Consensus,
    directory: Arc<Directory>,
    state: Mutex<Life>,
    status: watch::Sender<Arc<Status>>,
    /// Something happened that should be looked at before the next tick.
    news: Notify,
}

/// What changes in a member's life.
struct Life {
    voter: Voter,
    state: State,
    /// The epoch of the configuration that it acted on.
    settled: u64,
    /// The members that it counts.
    membership: u64,
    /// When it became the primary.
    since_nanos: u64,
    /// When each member that renewed the lease was last asked.
    asked_nanos: BTreeMap<NodeId, u64>,
    next_renewal_nanos: u64,
    /// The greatest epoch that a member promised which therefore does not renew.
    refused: u64,
    in_sync: InSync,
    /// Whether a question of the primary is on its way to the group.
    is_asking: bool,
    is_handing_over: bool,
    /// Whether a duty of who leads consensus is being done.
    is_on_duty: bool,
    next_duty_nanos: u64,
    /// The last interruption that took this member's power.
    interruption: u64,
    /// The present interruption, and since when it is known.
    interrupted_since: Option<(u64, u64)>,
    last_failover_ms: Option<u64>,
}

impl Life {
    fn new(voter: Voter, is_witness: bool, interruption: u64) -> Self {
        Self {
            voter,
            state: if is_witness { State::Witness } else { State::Undecided },
            settled: 0,
            membership: 0,
            since_nanos: 0,
            asked_nanos: BTreeMap::new(),
            next_renewal_nanos: 0,
            refused: 0,
            in_sync: InSync::default(),
            is_asking: false,
            is_handing_over: false,
            is_on_duty: false,
            next_duty_nanos: 0,
            interruption,
            interrupted_since: None,
            last_failover_ms: None,
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        let mut configs = self.consensus.watch();
        loop {
            let rest = self.rest();
            tokio::select! {
                biased;
                changed = configs.changed() => if changed.is_err() { return },
                () = self.news.notified() => {}
                () = tokio::time::sleep_until(pace::after(rest)) => {}
            }
            self.settle();
            self.look_after_lease();
            self.look_after_group();
            self.tell();
        }
    }

    /// How long it may look away: until the next renewal is due, or somebody may have to be elected.
    /// Whoever neither leads nor looks after the group is asked when something is to be done.
    fn rest(&self) -> Duration {
        let heartbeat = self.timings.heartbeat;
        let (leads, config) = (self.consensus.leads(), self.consensus.config());
        let life = self.state.lock();
        let is_primary = life.state == State::Primary;
        let is_whole = config.data_members().all(|member| config.in_sync.contains_key(&member.id));
        let is_steady = is_whole && !life.is_asking && !life.in_sync.is_changing();
        match (is_primary, leads) {
            (true, _) if !is_steady || !self.lease.is_held(self.now()) => heartbeat / 3,
            (true, _) => heartbeat,
            (false, true) => {
                let left = Duration::from_nanos(life.voter.left_nanos(self.now()));
                left.clamp(heartbeat / 3, heartbeat)
            }
            (false, false) => heartbeat * 2,
        }
    }

    fn now(&self) -> u64 {
        self.clock.boottime_nanos()
    }

    /// Asks another member.
    async fn ask(&self, member: &Member, request: &Request) -> Option<Answer> {
        let call = self.peers.call(member, encode(request));
        let answer = tokio::time::timeout(self.timings.call(), call).await.ok()?;
        decode(&answer.ok()?)
    }

    fn tell(&self) {
        let config = self.consensus.config();
        let now = self.now();
        let life = self.state.lock();
        let heard_nanos = life.voter.heard_nanos();
        let is_primary = life.state == State::Primary;
        let followers = match &self.node {
            Some(node) if is_primary => node.followers(),
            _ => Vec::new(),
        };
        let status = Status {
            me: self.me.id.clone(),
            config,
            state: life.state,
            has_lease: is_primary && self.lease.is_held(now),
            lease_age_ms: match is_primary {
                true => {
                    let asked = self.lease.end_nanos().saturating_sub(nanos(self.timings.lease));
                    now.saturating_sub(asked) / 1_000_000
                }
                false => now.saturating_sub(heard_nanos) / 1_000_000,
            },
            consensus_leader: self.consensus.leader().map(|leader| leader.id),
            promised: life.voter.promised(),
            followers,
            last_failover_ms: life.last_failover_ms,
            failure: self.consensus.failure(),
        };
        drop(life);
        self.status.send_if_modified(|told| {
            let is_news = told.differs(&status);
            *told = Arc::new(status);
            is_news
        });
    }

    /// Has a change agreed on, by whoever leads consensus.
    async fn propose(&self, change: Change) -> Result<(), AskError> {
        let patience = self.timings.lease * 2;
        let proposed = tokio::time::timeout(patience, async {
            loop {
                match self.propose_once(&change).await {
                    Err(AskError::NoQuorum | AskError::NotMine) => {
                        tokio::time::sleep(self.timings.heartbeat / 4).await;
                    }
                    result => return result,
                }
            }
        });
        proposed.await.unwrap_or(Err(AskError::NoQuorum))
    }

    async fn propose_once(&self, change: &Change) -> Result<(), AskError> {
        if self.consensus.leads() {
            return self.consensus.propose(change.clone()).await;
        }
        let leader = self.consensus.leader().ok_or(AskError::NoQuorum)?;
        match self.ask(&leader, &Request::Propose(change.clone())).await {
            Some(Answer::Done(result)) => result,
            _ => Err(AskError::NoQuorum),
        }
    }
}

/// Handle to a running member; clones are the same member.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Handle {
    /// What the member knows. It is kept up to date, and told anew when more than ages and offsets
    /// changes.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.inner.status.subscribe()
    }

    /// Answers another member's request. What makes no sense gets an empty answer.
    pub async fn answer(&self, from: &NodeId, request: &[u8]) -> Bytes {
        match decode(request) {
            Some(request) => match self.inner.answer(from, request).await {
                Some(answer) => encode(&answer),
                None => Bytes::new(),
            },
            None => Bytes::new(),
        }
    }

    /// Moves the primary's place to another node, or to the one that has most, without losing a
    /// write; tells who it is.
    ///
    /// # Errors
    /// It cannot be done now, or was given up: then everything is as it was.
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, AskError> {
        let inner = &self.inner;
        let config = inner.consensus.config();
        let primary = config.primary.clone().ok_or(AskError::NoPrimary)?;
        if primary == inner.me.id {
            return inner.hand_over(to).await;
        }
        let member = config.members.get(&primary).ok_or(AskError::NoPrimary)?;
        let call = inner.peers.call(member, encode(&Request::HandOver { to }));
        let patience = inner.timings.handover * 3 + inner.timings.lease * 4;
        let answer = tokio::time::timeout(patience, call).await;
        match answer.ok().and_then(Result::ok).and_then(|answer| decode(&answer)) {
            Some(Answer::HandedOver(result)) => result,
            _ => Err(AskError::NoPrimary),
        }
    }

    /// ElastiCache's TestFailover: the primary's node loses its power, and comes back as a replica.
    ///
    /// # Errors
    /// There is no primary, or nobody who could follow it.
    pub async fn test_failover(&self) -> Result<(), AskError> {
        let inner = &self.inner;
        let config = inner.consensus.config();
        let primary = config.primary.clone().ok_or(AskError::NoPrimary)?;
        if config.in_sync.len() < 2 {
            let text = "TestFailover is not available: no replica is in sync";
            return Err(Refusal::Senseless(text.to_owned()).into());
        }
        let unix_ms = inner.clock.unix_ms();
        inner.propose(Change::test_failover(&inner.group, unix_ms)).await?;
        if primary == inner.me.id {
            inner.host.power_off(Duration::ZERO);
            return Ok(());
        }
        let member = config.members.get(&primary).ok_or(AskError::NoPrimary)?;
        match inner.ask(member, &Request::PowerOff { duration_ms: 0 }).await {
            Some(Answer::Done(result)) => result,
            _ => Err(AskError::NoPrimary),
        }
    }

    /// Takes the power from one member's node for a time.
    ///
    /// # Errors
    /// There is no such member, or it cannot be reached.
    pub async fn power_off(&self, id: &NodeId, duration: Duration) -> Result<(), AskError> {
        let inner = &self.inner;
        if *id == inner.me.id {
            inner.host.power_off(duration);
            return Ok(());
        }
        let config = inner.consensus.config();
        let unknown = || AskError::GivenUp(format!("the group has no node {id}"));
        let member = config.members.get(id).ok_or_else(unknown)?;
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match inner.ask(member, &Request::PowerOff { duration_ms }).await {
            Some(Answer::Done(result)) => result,
            _ => Err(AskError::GivenUp(format!("{id} cannot be reached"))),
        }
    }

    /// A zone loses its power for a time: its nodes stop, and lose what they had in memory.
    ///
    /// # Errors
    /// Another zone has none, or the group would lose its majority.
    pub async fn interrupt_zone(&self, zone: Zone, duration: Duration) -> Result<(), AskError> {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let unix_ms = self.inner.clock.unix_ms();
        self.inner.propose(Change::Interrupt { zone, duration_ms, unix_ms }).await
    }

    /// Says what happened to a node or to the group.
    ///
    /// # Errors
    /// The group cannot agree on it now.
    pub async fn note(&self, source: Source, message: String) -> Result<(), AskError> {
        let unix_ms = self.inner.clock.unix_ms();
        self.inner.propose(Change::Note { source, message, unix_ms }).await
    }

    /// Lets a member in; it has to run already, with no founders.
    ///
    /// # Errors
    /// It is one already, or the group cannot agree now.
    pub async fn add_member(&self, member: Member) -> Result<(), AskError> {
        self.inner.pass_to_leader(Request::Admit(member)).await
    }

    /// Lets a replica or witness go.
    ///
    /// # Errors
    /// It is the primary or no member, or the group cannot agree now.
    pub async fn remove_member(&self, id: NodeId) -> Result<(), AskError> {
        self.inner.propose(Change::Leave { id }).await
    }

    /// Ends the member's life: its lease is gone, nothing is answered any more.
    pub async fn stop(&self) {
        self.inner.lease.set_end(0);
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // It was aborted, or panicked and said so.
            let _ = task.await;
        }
        if let Some(node) = &self.inner.node {
            node.freeze();
        }
        self.inner.lease.set_end(0);
        self.inner.consensus.stop().await;
    }
}

/// Answering other members.
impl Inner {
    async fn answer(self: &Arc<Self>, from: &NodeId, request: Request) -> Option<Answer> {
        Some(match request {
            Request::Raft(request) => Answer::Raft(self.consensus.answer(request).await),
            Request::Renew { epoch, membership } => self.renew(from, epoch, membership),
            Request::IsWilling => {
                let (config, life) = (self.consensus.config(), self.state.lock());
                let willing = life.voter.is_willing(self.now());
                let promised = life.voter.promised();
                Answer::Willing { willing, promised, known: config.epoch }
            }
            Request::Promise { epoch } => Answer::Promised(self.promise(epoch).await),
            Request::Propose(change) => Answer::Done(self.consensus.propose(change).await),
            Request::Admit(member) => Answer::Done(self.admit(&member).await),
            Request::Dismiss(id) => Answer::Done(self.consensus.dismiss(&id).await),
            Request::HandOver { to } => Answer::HandedOver(self.hand_over(to).await),
            Request::PowerOff { duration_ms } => {
                self.host.power_off(Duration::from_millis(duration_ms));
                Answer::Done(Ok(()))
            }
        })
    }

    /// A primary that knows less of the members than this one counts other majorities than those who
    /// elect: it gets no renewal until it knows.
    fn renew(&self, from: &NodeId, epoch: u64, membership: u64) -> Answer {
        let config = self.consensus.config();
        let mut life = self.state.lock();
        let is_other = epoch == config.epoch && config.primary.as_ref() != Some(from);
        let is_behind = membership < config.membership;
        let granted = !is_other && !is_behind && life.voter.renew(epoch, config.epoch, self.now());
        Answer::Renewed { granted, promised: life.voter.promised(), known: config.epoch }
    }

    /// Promises an epoch, if that may be: from the return on neither this member's lease nor its
    /// renewals nor its node serve a lower one. They do not from the moment on at which the promise
    /// goes to the disk; if it does not get there it is not given, and kept as long as the member runs.
    async fn promise(&self, epoch: u64) -> Promised {
        let known = self.consensus.config().epoch;
        let refused = |promised| Promised::No { promised, known };
        let (held, written) = {
            let mut life = self.state.lock();
            if !life.voter.may_promise(epoch, known, self.now()) {
                return refused(life.voter.promised());
            }
            let written = self.bind(&mut life, epoch);
            self.freeze(&mut life);
            (self.held(), written)
        };
        match is_kept(written, epoch).await {
            true => Promised::Yes(held),
            false => refused(epoch),
        }
    }

    /// Keeps to a promise, and writes it down.
    fn bind(&self, life: &mut Life, epoch: u64) -> Writing {
        life.voter.promise(epoch);
        self.disk.replace(PROMISE, &encode(&epoch))
    }

    fn held(&self) -> Option<Held> {
        let position = self.node.as_ref()?.position();
        Some(Held {
            incarnation: position.incarnation,
            epoch: position.epoch,
            offset: position.offset,
        })
    }

    /// Ends what the node does for its epoch.
    fn freeze(&self, life: &mut Life) {
        self.lease.set_end(0);
        if let Some(node) = &self.node {
            node.freeze();
            life.state = State::Frozen;
        }
    }

    async fn pass_to_leader(&self, request: Request) -> Result<(), AskError> {
        if self.consensus.leads() {
            return match request {
                Request::Admit(member) => self.admit(&member).await,
                Request::Dismiss(id) => self.consensus.dismiss(&id).await,
                _ => Err(AskError::NotMine),
            };
        }
        let leader = self.consensus.leader().ok_or(AskError::NoQuorum)?;
        match self.ask(&leader, &request).await {
            Some(Answer::Done(result)) => result,
            _ => Err(AskError::NoQuorum),
        }
    }

    async fn admit(&self, member: &Member) -> Result<(), AskError> {
        let known = self.consensus.config().members.get(&member.id).cloned();
        if known.as_ref().is_some_and(|known| known != member) {
            // Where it is was agreed on. Consensus would look for it somewhere else from now on.
            let text = format!("{} is a member already", member.id);
            return Err(Refusal::Senseless(text).into());
        }
        if known.is_none() {
            let unix_ms = self.clock.unix_ms();
            self.consensus.propose(Change::Join { member: member.clone(), unix_ms }).await?;
        }
        match self.consensus.admit(member).await {
            // Another change of the votes is under way. It is a member, and whoever leads gives it
            // its vote as one of its duties.
            Err(AskError::GivenUp(_)) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests;
