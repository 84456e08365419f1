//! Changes that are owed to the servers.
//!
//! One that could not be made is tried again until it is. One that was made is remembered for a
//! while, because a failover may undo it: replication is asynchronous. Then it is made again at the
//! new primary. The journal is bounded; what does not fit turns into one change that stands for all,
//! or where there is none the oldest is given up.

use crate::error::Error;
use crate::net::Net;
use crate::routing::token::Token;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Changes that wait.
pub(crate) const PENDING: usize = 1024;
/// How long changes are remembered.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(10);
/// How soon what is owed is tried again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LATER_WAIT: Duration = Duration::from_secs(1);

/// A change that does the same when it is made twice.
pub(crate) trait Entry: Clone + Eq + Hash + Send + Sync + 'static {
    /// What it is about.
    type Subject: Clone + Eq + Hash + Send;

    /// Changes that are remembered at once.
    const RECENT: usize;

    /// What it is about, whatever the way.
    fn subject(&self) -> Self::Subject;

    /// What stands for all changes that do not fit, where there is such a thing.
    fn all() -> Option<Self>;
}

/// How far what a server says can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Full,
    /// Only what has this, or else the primary.
    After(Option<Token>),
    /// Not at all: a change is owed.
    None,
}

/// The changes that are owed, and those that may have to be made again.
pub(crate) struct Journal<E: Entry> {
    /// Whether there is anything to look at.
    is_busy: AtomicBool,
    state: Mutex<State<E>>,
    /// Says that something waits.
    wake: Arc<Notify>,
}

struct State<E: Entry> {
    pending: VecDeque<E>,
    /// The one that is being made. The same may be owed again meanwhile: what made that necessary
    /// came later.
    paying: Option<E>,
    recent: VecDeque<(Instant, E)>,
    /// The last change of each thing in `recent`.
    marks: HashMap<E::Subject, (Instant, Option<Token>)>,
    /// Since when `recent` could not hold all, and where the last one stands that it gave up.
    overflowed: Option<(Instant, Option<Token>)>,
    /// Whether what is in `recent` is being made again.
    is_replaying: bool,
    /// The primary that has what is in `recent`, by the number of the [`Net`]'s epoch.
    epoch: u64,
}

impl<E: Entry> Default for Journal<E> {
    fn default() -> Self {
        let state = State {
            pending: VecDeque::new(),
            paying: None,
            recent: VecDeque::new(),
            marks: HashMap::new(),
            overflowed: None,
            is_replaying: false,
            epoch: 0,
        };
        Self { is_busy: AtomicBool::new(false), state: Mutex::new(state), wake: Arc::default() }
    }
}

impl<E: Entry> Journal<E> {
    /// Remembers one that could not be made.
    pub(crate) fn owe(&self, owed: E) {
        let mut state = self.state.lock();
        if state.pending.contains(&owed) {
            return;
        }
        if state.pending.len() < PENDING {
            state.pending.push_back(owed);
        } else if let Some(all) = E::all() {
            state.pending.clear();
            state.pending.push_back(all);
        } else {
            state.pending.pop_front();
            state.pending.push_back(owed);
        }
        self.is_busy.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Remembers one that was made.
    pub(crate) fn made(&self, owed: E, token: Option<Token>, now: Instant) {
        let mut state = self.state.lock();
        state.forget(now);
        if state.recent.len() >= E::RECENT {
            let given_up = state.forget_oldest();
            state.overflowed = Some((now, given_up));
        }
        state.marks.insert(owed.subject(), (now, token));
        state.recent.push_back((now, owed));
        self.is_busy.store(true, Ordering::Release);
    }

    /// The first that waits, to be made now; it is the first until it is [`settled`](Self::settle).
    pub(crate) fn first(&self) -> Option<E> {
        let mut state = self.state.lock();
        if state.paying.is_none() {
            state.paying = state.pending.pop_front();
        }
        state.paying.clone()
    }

    /// The first was made.
    pub(crate) fn settle(&self) {
        self.state.lock().paying = None;
    }

    /// Those to be made again after a failover, at the primary of this epoch. Until
    /// [`replayed`](Self::replayed) none of them is trusted.
    pub(crate) fn replay(&self, epoch: u64, now: Instant) -> Vec<E> {
        let mut state = self.state.lock();
        state.epoch = epoch;
        state.forget(now);
        if let (Some(_), Some(all)) = (state.overflowed, E::all()) {
            state.is_replaying = true;
            return vec![all];
        }
        let mut again: Vec<E> = state.recent.iter().map(|(_, owed)| owed.clone()).collect();
        again.dedup();
        state.is_replaying = !again.is_empty();
        again
    }

    /// They were made again, or wait with the others.
    pub(crate) fn replayed(&self) {
        self.state.lock().is_replaying = false;
    }

    /// The last change of something that is owed or may have to be made again.
    pub(crate) fn last(&self, subject: &E::Subject) -> Option<E> {
        let state = self.state.lock();
        let recent = state.recent.iter().map(|(_, owed)| owed);
        let mut all = state.pending.iter().rev().chain(&state.paying).chain(recent.rev());
        all.find(|owed| owed.subject() == *subject).cloned()
    }

    /// How far what a server says of something in this epoch can be trusted; what stands for all counts
    /// too if `with_all`.
    pub(crate) fn trust(
        &self,
        subject: impl FnOnce() -> E::Subject,
        with_all: bool,
        epoch: impl FnOnce() -> u64,
    ) -> Trust {
        if !self.is_busy.load(Ordering::Acquire) {
            return Trust::Full;
        }
        let mut state = self.state.lock();
        state.forget(Instant::now());
        if state.pending.is_empty() && state.paying.is_none() && state.recent.is_empty() {
            self.is_busy.store(false, Ordering::Release);
            return Trust::Full;
        }
        let epoch = epoch();
        let all = E::all().filter(|_| with_all);
        let all = all.map_or(Trust::Full, |all| state.trust(&all.subject(), epoch));
        match (all, state.trust(&subject(), epoch)) {
            (Trust::Full, trust) | (trust, Trust::Full) => trust,
            (Trust::None, _) | (_, Trust::None) => Trust::None,
            (Trust::After(all), Trust::After(one)) if all == one => Trust::After(one),
            // The primary has both.
            (Trust::After(_), Trust::After(_)) => Trust::After(None),
        }
    }
}

impl<E: Entry> State<E> {
    fn trust(&self, subject: &E::Subject, epoch: u64) -> Trust {
        let mut owed = self.pending.iter().chain(&self.paying);
        let owed = owed.any(|waiting| waiting.subject() == *subject);
        let mark = self.marks.get(subject);
        let lost = self.overflowed.as_ref().filter(|_| E::all().is_some());
        // Another primary may lack them, whether or not anybody has begun to make them again.
        let is_behind = self.is_replaying || self.epoch != epoch;
        if owed || (is_behind && (mark.is_some() || lost.is_some())) {
            return Trust::None;
        }
        // What was given up is older than the last of that kind.
        match mark.or(lost) {
            Some((_, token)) => Trust::After(*token),
            None => Trust::Full,
        }
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) > REMEMBERED;
        while self.recent.front().is_some_and(|(at, _)| is_old(*at)) && !self.is_replaying {
            self.forget_oldest();
        }
        if self.overflowed.is_some_and(|(at, _)| is_old(at)) {
            self.overflowed = None;
        }
    }

    /// Forgets the oldest change, and that there was one unless there is a later one of the same thing.
    /// Gives where it stands.
    fn forget_oldest(&mut self) -> Option<Token> {
        let (at, oldest) = self.recent.pop_front()?;
        let subject = oldest.subject();
        let (last, token) = *self.marks.get(&subject)?;
        if last == at {
            self.marks.remove(&subject);
        }
        token
    }
}

/// Whoever makes changes that it may owe.
pub(crate) trait Debtor: Send + Sync + 'static {
    /// Its changes.
    type Owed: Entry;

    /// Those it owes.
    fn journal(&self) -> &Journal<Self::Owed>;

    /// The way to the servers.
    fn net(&self) -> &Net;

    /// Makes one, and gives its place in the history.
    fn make(&self, owed: &Self::Owed) -> impl Future<Output = Result<Option<Token>, Error>> + Send;

    /// One that waited was made.
    fn is_settled(&self, _owed: &Self::Owed) {}

    /// The primary is another one, or has another history.
    fn fails_over(&self) {}

    /// There is another primary, at which so many are made again now.
    fn begins_replay(&self, _count: usize) {}
}

/// Makes what is owed, and after a failover what was made lately, for as long as the debtor lives: it
/// is held only while there is something to do.
pub(crate) fn settle<D: Debtor>(debtor: &Arc<D>) -> impl Future<Output = ()> + Send + use<D> {
    let (net, journal) = (debtor.net(), debtor.journal());
    let (epoch, wake) = (net.epoch(), Arc::clone(&journal.wake));
    journal.state.lock().epoch = epoch;
    run(Arc::downgrade(debtor), epoch, wake, net.changes())
}

async fn run<D: Debtor>(
    debtor: Weak<D>,
    mut epoch: u64,
    wake: Arc<Notify>,
    mut changes: watch::Receiver<()>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        changes.mark_unchanged();
        let Some(debtor) = debtor.upgrade() else { return };
        let now = debtor.net().epoch();
        if now != epoch {
            // The first one comes after nobody.
            if epoch > 0 {
                debtor.fails_over();
            }
            epoch = now;
            replay(&*debtor, epoch).await;
        }
        let is_paid = pay(&*debtor).await;
        drop(debtor);
        if is_paid {
            wait = FIRST_WAIT;
            tokio::select! {
                () = wake.notified() => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
                // What was made lately does not wait for what cannot be made.
                changed = changes.changed() => if changed.is_err() { return },
            }
            wait = (wait * 2).min(LATER_WAIT);
        }
    }
}

/// Makes what is owed; `false` when something is left.
async fn pay<D: Debtor>(debtor: &D) -> bool {
    let journal = debtor.journal();
    while let Some(owed) = journal.first() {
        match debtor.make(&owed).await {
            Ok(token) => {
                journal.made(owed.clone(), token, Instant::now());
                debtor.is_settled(&owed);
                journal.settle();
            }
            Err(error) => {
                tracing::debug!(%error, "a change waits");
                return false;
            }
        }
    }
    true
}

/// Makes again what the last primary may not have passed on.
async fn replay<D: Debtor>(debtor: &D, epoch: u64) {
    let again = debtor.journal().replay(epoch, Instant::now());
    debtor.begins_replay(again.len());
    for owed in again {
        if debtor.make(&owed).await.is_err() {
            debtor.journal().owe(owed);
        }
    }
    debtor.journal().replayed();
}

#[cfg(test)]
mod tests;
