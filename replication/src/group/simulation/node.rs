//! A node with data, as small as it can be and still be one: a log of writes with offsets, links that
//! go on where they were when PSYNC's rules let them, replies that wait for who counts and for the
//! lease.
//!
//! It keeps the promises that [`DataNode`] asks for; a sabotage breaks one of them. It relies on all of
//! them, too: between the look at the lease and the look at the acknowledgements of a write its thread
//! may sleep for a while.

use super::super::config::{GroupConfig, Incarnation, Member, NodeId};
use super::super::data::{AckSet, AckSets, DataNode, DataPosition, Follower, Lease};
use super::super::link::{BoxFuture, CallError};
use super::super::message;
use super::super::ports::{GroupClock, Peers};
use super::Sabotage;
use super::client::Op;
use super::judge::Record;
use super::world::{SimClock, World};
use crate::psync::{self, Answer, Request};
use crate::{History, ReplicationId};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Writes that a backlog keeps.
const BACKLOG: usize = 300;
/// How long a link waits for news before it says that it is there.
const BEAT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(400);
const TIMED_OUT: Duration = Duration::from_secs(5);

/// One write in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) end: u64,
    pub(super) op: Op,
}

/// Who may be reached under which number.
pub(super) type Places = Arc<BTreeMap<NodeId, usize>>;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Frozen,
    Primary(u64),
    Replica(u64),
}

struct State {
    role: Role,
    /// Grows with each change of the role; what belongs to an earlier one is over.
    term: u64,
    epoch: u64,
    /// The epoch that its stream is of, and how much there was when that began.
    joins: (u64, u64),
    history: History,
    log: Vec<Entry>,
    sets: AckSets,
    links: BTreeMap<NodeId, Link>,
    acked: BTreeMap<NodeId, (Incarnation, u64)>,
    holds: bool,
    ended: bool,
}

struct Link {
    number: u64,
    incarnation: Incarnation,
    heard_nanos: u64,
    acked: u64,
}

/// The node.
pub(super) struct SimNode {
    pub(super) me: NodeId,
    pub(super) place: usize,
    incarnation: Incarnation,
    world: Arc<World>,
    clock: SimClock,
    lease: Arc<Lease>,
    places: Places,
    record: Arc<Record>,
    sabotage: Sabotage,
    state: Mutex<State>,
    news: Notify,
}

/// What a primary gives a replica.
enum Given {
    Refused,
    Continue { link: u64, history: History, began: u64, from: u64, entries: Vec<Entry> },
    Full { link: u64, history: History, began: u64, entries: Vec<Entry> },
}

impl SimNode {
    pub(super) fn new(
        (me, place): (NodeId, usize),
        world: &Arc<World>,
        lease: Arc<Lease>,
        places: Places,
        record: Arc<Record>,
        sabotage: Sabotage,
    ) -> Arc<Self> {
        let incarnation = Incarnation(world.random(|random| random.u128(..)));
        let state = State {
            role: Role::Frozen,
            term: 0,
            epoch: 0,
            joins: (0, 0),
            history: History { replid: draw_id(world), former: None },
            log: Vec::new(),
            sets: AckSets::default(),
            links: BTreeMap::new(),
            acked: BTreeMap::new(),
            holds: false,
            ended: false,
        };
        Arc::new(Self {
            me,
            place,
            incarnation,
            clock: SimClock { world: Arc::clone(world), place },
            world: Arc::clone(world),
            lease,
            places,
            record,
            sabotage,
            state: Mutex::new(state),
            news: Notify::new(),
        })
    }

    /// Its power is gone.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.become_role(Role::Frozen);
        drop(state);
        self.news.notify_waiters();
    }

    pub(super) fn log(&self) -> Vec<Entry> {
        self.state.lock().log.clone()
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn has_lease(&self) -> bool {
        self.sabotage == Sabotage::NoLease || self.lease.is_held(self.clock.boottime_nanos())
    }

    async fn wait_for_news(&self, at_most: Duration) {
        // Whether there was any is seen by who looks again.
        let _ = tokio::time::timeout(at_most, self.news.notified()).await;
    }
}

impl State {
    fn offset(&self) -> u64 {
        self.log.last().map_or(0, |entry| entry.end)
    }

    /// The latest epoch of which it has all that there was when that began.
    fn whole_epoch(&self) -> u64 {
        let (epoch, began) = self.joins;
        if self.offset() >= began { epoch } else { self.epoch }
    }

    fn join(&mut self, epoch: u64, began: u64) {
        self.epoch = self.whole_epoch();
        self.joins = (epoch, began);
    }

    fn is_primary_of(&self, epoch: u64) -> bool {
        self.role == Role::Primary(epoch) && !self.ended
    }

    fn become_role(&mut self, role: Role) {
        self.role = role;
        self.term += 1;
        self.links.clear();
    }

    /// The offset that a majority of each set has.
    fn confirmed(&self, me: &NodeId, any_life: bool) -> u64 {
        let in_set = |set: &AckSet| {
            let has = |(id, life): (&NodeId, &Option<Incarnation>)| match self.acked.get(id) {
                _ if id == me => u64::MAX,
                Some((known, offset)) if life.is_none_or(|life| any_life || life == *known) => {
                    *offset
                }
                _ => 0,
            };
            let mut reached: Vec<u64> = set.iter().map(has).collect();
            reached.sort_unstable_by(|one, other| other.cmp(one));
            reached.get(reached.len() / 2).copied().unwrap_or(0)
        };
        self.sets.0.iter().map(in_set).min().unwrap_or(0)
    }

    fn after(&self, offset: u64) -> Vec<Entry> {
        let first = self.log.partition_point(|entry| entry.end <= offset);
        self.log[first..].iter().take(200).copied().collect()
    }

    fn backlog(&self) -> std::ops::Range<u64> {
        let first = self.log.len().saturating_sub(BACKLOG);
        let start = first.checked_sub(1).map_or(0, |before| self.log[before].end);
        start..self.offset()
    }
}

fn draw_id(world: &World) -> ReplicationId {
    let words = world.random(|random| [random.u64(..), random.u64(..), random.u64(..)]);
    let text = words.map(|word| format!("{word:016x}")).concat();
    ReplicationId::parse(&text.as_bytes()[..40]).expect("forty digits")
}

impl DataNode for Arc<SimNode> {
    fn position(&self) -> DataPosition {
        let state = self.state.lock();
        DataPosition {
            incarnation: self.incarnation,
            epoch: state.whole_epoch(),
            replid: state.history.replid,
            offset: state.offset(),
        }
    }

    fn freeze(&self) -> DataPosition {
        self.state.lock().become_role(Role::Frozen);
        self.world.tell(|| format!("{} freezes at {}", self.place, self.position().offset));
        self.news.notify_waiters();
        self.position()
    }

    fn lead(&self, epoch: u64, in_sync: &AckSets) {
        self.world.tell(|| format!("{} leads epoch {epoch}", self.place));
        let mut state = self.state.lock();
        state.become_role(Role::Primary(epoch));
        let began = state.offset();
        state.join(epoch, began);
        let former = (state.history.replid, state.offset() + 1);
        state.history = History { replid: draw_id(&self.world), former: Some(former) };
        state.acked.clear();
        state.sets = in_sync.clone();
        drop(state);
        self.news.notify_waiters();
        self.world.trace(epoch << 8 | self.place as u64);
    }

    fn follow(&self, epoch: u64, primary: &Member) {
        self.world.tell(|| format!("{} follows {} of epoch {epoch}", self.place, primary.id));
        let term = {
            let mut state = self.state.lock();
            state.become_role(Role::Replica(epoch));
            state.term
        };
        self.news.notify_waiters();
        if let Some(&to) = self.places.get(&primary.id) {
            tokio::spawn(Arc::clone(self).follow_for(term, epoch, to));
        }
    }

    fn set_in_sync(&self, in_sync: &AckSets) {
        self.world.tell(|| format!("{} counts {in_sync:?}", self.place));
        self.state.lock().sets = in_sync.clone();
        self.news.notify_waiters();
    }

    fn followers(&self) -> Vec<Follower> {
        let now = self.clock.boottime_nanos();
        let follower = |(id, link): (&NodeId, &Link)| Follower {
            id: id.clone(),
            incarnation: link.incarnation,
            acked_offset: link.acked,
            silent_ms: now.saturating_sub(link.heard_nanos) / 1_000_000,
        };
        self.state.lock().links.iter().map(follower).collect()
    }

    fn hold_writes(&self, hold: bool) -> u64 {
        let mut state = self.state.lock();
        state.holds = hold;
        let offset = state.offset();
        drop(state);
        self.news.notify_waiters();
        offset
    }

    fn hand_over(&self, _: u64, _: &Member) {}

    fn awaits_acks(&self) -> bool {
        true
    }
}

/// As a replica.
impl SimNode {
    async fn follow_for(self: Arc<Self>, term: u64, epoch: u64, to: usize) {
        while self.is_in(term) {
            if let Some((link, primary)) = self.connect(term, epoch, to).await {
                self.stream(term, link, to, &primary).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_in(&self, term: u64) -> bool {
        let state = self.state.lock();
        state.term == term && !state.ended
    }

    async fn connect(&self, term: u64, epoch: u64, to: usize) -> Option<(u64, Arc<Self>)> {
        let (replid, next) = {
            let state = self.state.lock();
            (state.history.replid, state.offset() as i64 + 1)
        };
        let there = self.world.travel(self.place, to).await;
        let primary = self.world.data(to).filter(|_| there && self.world.is_up(to))?;
        let given = primary.let_in(&self.me, self.incarnation, epoch, replid, next);
        if !self.world.travel(to, self.place).await {
            return None;
        }
        let mut state = self.state.lock();
        if state.term != term || state.ended {
            return None;
        }
        let (link, history) = match given {
            Given::Refused => return None,
            Given::Continue { link, history, began, from, entries } => {
                assert_eq!(state.offset(), from, "what goes on goes on where it was");
                state.join(epoch, began);
                state.log.extend(entries);
                (link, history)
            }
            Given::Full { link, history, began, entries } => {
                self.world.tell(|| {
                    let (place, had) = (self.place, state.offset());
                    format!(
                        "{place} has all from {to} of epoch {epoch}, {} for {had}",
                        entries.last().map_or(0, |entry| entry.end)
                    )
                });
                state.log = entries;
                state.join(epoch, began);
                self.record.full_sync(self.world.now(), self.place);
                (link, history)
            }
        };
        state.history = history;
        Some((link, primary))
    }

    async fn stream(&self, term: u64, link: u64, to: usize, primary: &Arc<Self>) {
        let mut failures = 0;
        while failures < 4 {
            let offset = {
                let state = self.state.lock();
                if state.term != term || state.ended {
                    // What this node holds by now is no acknowledgement to that primary.
                    return;
                }
                state.offset()
            };
            let fetched = tokio::time::timeout(PATIENCE, self.fetch(link, to, offset, primary));
            let entries = match fetched.await {
                Ok(Some(entries)) => entries,
                Ok(None) => return,
                Err(_) => {
                    failures += 1;
                    continue;
                }
            };
            failures = 0;
            let mut state = self.state.lock();
            if state.term != term || state.ended {
                return;
            }
            state.log.extend(entries);
        }
    }

    async fn fetch(
        &self,
        link: u64,
        to: usize,
        offset: u64,
        primary: &Arc<Self>,
    ) -> Option<Vec<Entry>> {
        if !self.world.travel(self.place, to).await {
            tokio::time::sleep(TIMED_OUT).await;
        }
        let entries = primary.serve(&self.me, link, offset).await;
        if !self.world.travel(to, self.place).await {
            tokio::time::sleep(TIMED_OUT).await;
        }
        entries
    }
}

/// As a primary, to replicas.
impl SimNode {
    fn let_in(
        &self,
        id: &NodeId,
        incarnation: Incarnation,
        epoch: u64,
        replid: ReplicationId,
        next: i64,
    ) -> Given {
        let number = self.world.random(|random| random.u64(..));
        let mut state = self.state.lock();
        if state.role != Role::Primary(epoch) || state.ended {
            return Given::Refused;
        }
        let request = Request { replid: replid.as_str().as_bytes(), offset: next };
        let answer = psync::answer(&state.history, Some(state.backlog()), request);
        let (history, began) = (state.history, state.joins.1);
        let heard_nanos = self.clock.boottime_nanos();
        let mut link = Link { number, incarnation, heard_nanos, acked: 0 };
        let given = match answer {
            Answer::Continue(from) => {
                link.acked = from;
                let entries = state.after(from);
                Given::Continue { link: number, history, began, from, entries }
            }
            Answer::Full(_) => {
                Given::Full { link: number, history, began, entries: state.log.clone() }
            }
        };
        state.links.insert(id.clone(), link);
        given
    }

    async fn serve(&self, id: &NodeId, link: u64, offset: u64) -> Option<Vec<Entry>> {
        let until = self.world.now() + BEAT.as_nanos() as u64;
        {
            let now = self.clock.boottime_nanos();
            let mut state = self.state.lock();
            let known = state.links.get_mut(id).filter(|known| known.number == link)?;
            known.heard_nanos = now;
            known.acked = known.acked.max(offset);
            let (incarnation, acked) = (known.incarnation, known.acked);
            let before = state.acked.entry(id.clone()).or_insert((incarnation, 0));
            let is_same = before.0 == incarnation;
            *before = (incarnation, if is_same { acked.max(before.1) } else { acked });
        }
        self.news.notify_waiters();
        loop {
            {
                let state = self.state.lock();
                state.links.get(id).filter(|known| known.number == link)?;
                let entries = state.after(offset);
                if !entries.is_empty() || self.world.now() >= until {
                    return Some(entries);
                }
            }
            self.wait_for_news(BEAT / 4).await;
        }
    }
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// Nothing was done.
    Refused,
    /// Done: the value that is there now.
    Done(Option<u64>),
    /// Nobody knows.
    Unknown,
}

/// As a primary, to clients.
impl SimNode {
    /// Serves a write, or a read where there is no value.
    pub(super) async fn call(&self, key: u8, value: Option<u64>) -> Served {
        let began = self.world.now();
        let is_late = || self.world.now() > began + TIMED_OUT.as_nanos() as u64;
        let (epoch, offset, seen) = loop {
            {
                let mut state = self.state.lock();
                let Role::Primary(epoch) = state.role else { return Served::Refused };
                if state.ended || !self.has_lease() && !state.holds || is_late() {
                    return Served::Refused;
                }
                if let Some(value) = value.filter(|_| !state.holds) {
                    let end = state.offset() + 20 + value % 17;
                    state.log.push(Entry { end, op: Op { key, value } });
                    break (epoch, end, Some(value));
                } else if value.is_none() {
                    let last = state.log.iter().rev().find(|entry| entry.op.key == key);
                    let seen = last.map(|entry| entry.op.value);
                    break (epoch, last.map_or(0, |entry| entry.end), seen);
                }
            }
            self.wait_for_news(BEAT).await;
        };
        self.news.notify_waiters();
        loop {
            self.world.awake(self.place).await;
            let looked = self.world.now();
            if self.has_lease() && !self.world.is_paused(self.place) {
                let sleeps = value.is_some() && self.world.random(|random| random.u8(0..40)) == 0;
                if sleeps {
                    let nap_ms = self.world.random(|random| random.u64(1..1500));
                    tokio::time::sleep(Duration::from_millis(nap_ms)).await;
                    self.world.awake(self.place).await;
                }
                let state = self.state.lock();
                let any_life = self.sabotage == Sabotage::AnyLife;
                let is_safe = self.sabotage == Sabotage::NoAcks
                    || state.confirmed(&self.me, any_life) >= offset;
                if state.is_primary_of(epoch) && is_safe {
                    self.record.acknowledged(looked, self.place, epoch, value);
                    return Served::Done(seen);
                }
            }
            if !self.state.lock().is_primary_of(epoch) || is_late() {
                return Served::Unknown;
            }
            self.wait_for_news(Duration::from_millis(5)).await;
        }
    }
}

/// The way to the other members.
pub(super) struct SimPeers {
    pub(super) world: Arc<World>,
    pub(super) me: NodeId,
    pub(super) place: usize,
    pub(super) life: u64,
    pub(super) places: Places,
}

impl Peers for SimPeers {
    fn call<'a>(
        &'a self,
        to: &'a Member,
        request: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(async move {
            let world = &self.world;
            let to = *self.places.get(&to.id).ok_or(CallError::Refused)?;
            let is_lost = !world.lives(self.place, self.life)
                || world.drops_changes() && message::changes(&request)
                || !world.call(self.place, to).await;
            if is_lost {
                tokio::time::sleep(TIMED_OUT).await;
                return Err(CallError::TimedOut);
            }
            let handle = world.handle(to).filter(|_| world.is_up(to));
            let handle = handle.ok_or(CallError::Unreachable)?;
            if world.is_doubled() {
                let (world, handle) = (Arc::clone(world), handle.clone());
                let (me, place, request) = (self.me.clone(), self.place, request.clone());
                tokio::spawn(async move {
                    if world.call(place, to).await && world.is_up(to) {
                        handle.answer(&me, &request).await;
                    }
                });
            }
            let answer = handle.answer(&self.me, &request).await;
            if !world.call(to, self.place).await {
                tokio::time::sleep(TIMED_OUT).await;
                return Err(CallError::TimedOut);
            }
            world.trace((to * 16 + self.place) as u64);
            Ok(answer)
        })
    }
}

/// Whether all data of a configuration is in sync, so that one node may lose its memory.
pub(super) fn is_whole(config: &GroupConfig, world: &World, places: &Places) -> bool {
    config.data_members().all(|member| {
        let life = places.get(&member.id).and_then(|&place| world.data(place));
        life.is_some_and(|data| config.in_sync.get(&member.id) == Some(&data.incarnation()))
    })
}
