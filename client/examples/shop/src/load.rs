//! A little traffic, judged: readers and a writer of prices, and a customer who fills his cart.
//!
//! It runs for a bounded time with a bounded number of tasks, one run at a time. Nobody may see an
//! older version of a product than the one whose change was finished before he asked, and the cart
//! must hold all that was put into it.

use crate::cart::{self, Basket};
use crate::catalogue::Catalogue;
use larder_client::Sessions;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a run lasts.
const RUN: Duration = Duration::from_secs(10);
const READERS: usize = 4;
/// How long each of them waits between two requests.
const READ_PAUSE: Duration = Duration::from_millis(10);
const CHANGE_PAUSE: Duration = Duration::from_millis(100);
const ADD_PAUSE: Duration = Duration::from_millis(50);

/// The traffic, and what was seen of it.
pub(crate) struct Load {
    catalogue: Catalogue,
    sessions: Sessions<Basket>,
    is_running: AtomicBool,
    /// The versions whose changes are finished.
    finished: Mutex<HashMap<u32, u64>>,
    counts: Counts,
}

/// What the last run counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) reads: Outcome,
    pub(crate) changes: Outcome,
    pub(crate) adds: Outcome,
    /// Reads that saw what was already changed.
    pub(crate) stale: AtomicU64,
    /// Things that were in the cart at the end of the run.
    pub(crate) kept: AtomicU64,
}

/// How often something was done, how often it failed, and the longest that it took.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) done: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) slowest_us: AtomicU64,
}

impl Outcome {
    async fn count<T, E: std::fmt::Display>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        let began = Instant::now();
        let result = work.await;
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.slowest_us.fetch_max(took_us, Ordering::Relaxed);
        let counter = if result.is_ok() { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        result.inspect_err(|error| tracing::warn!(%error, "the load")).ok()
    }

    fn reset(&self) {
        for counter in [&self.done, &self.failed, &self.slowest_us] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Load {
    pub(crate) fn new(catalogue: &Catalogue, sessions: &Sessions<Basket>) -> Self {
        Self {
            catalogue: catalogue.clone(),
            sessions: sessions.clone(),
            is_running: AtomicBool::new(false),
            finished: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// What was seen, and whether the run goes on.
    pub(crate) fn seen(&self) -> (&Counts, bool) {
        (&self.counts, self.is_running.load(Ordering::Relaxed))
    }

    /// Begins a run, unless one goes on.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let counts = &self.counts;
        for outcome in [&counts.reads, &counts.changes, &counts.adds] {
            outcome.reset();
        }
        counts.stale.store(0, Ordering::Relaxed);
        counts.kept.store(0, Ordering::Relaxed);
        let load = Arc::clone(self);
        tokio::spawn(async move {
            let end = Instant::now() + RUN;
            let reading = (0..READERS).map(|_| tokio::spawn(Arc::clone(&load).read(end)));
            let reading: Vec<_> = reading.collect();
            tokio::join!(load.change(end), load.shop(end));
            for reader in reading {
                // One that panicked has said so already.
                let _ = reader.await;
            }
            load.is_running.store(false, Ordering::SeqCst);
        });
    }

    async fn read(self: Arc<Self>, end: Instant) {
        while Instant::now() < end {
            let id = Catalogue::any(fastrand::usize(..));
            let expected = self.finished.lock().get(&id).copied().unwrap_or(0);
            let found = self.counts.reads.count(self.catalogue.product(id)).await;
            let version = found.and_then(|found| Some(found.value?.version));
            if version.is_some_and(|version| version < expected) {
                self.counts.stale.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
    }

    async fn change(&self, end: Instant) {
        while Instant::now() < end {
            let id = Catalogue::any(fastrand::usize(..));
            let change = self.catalogue.change_price(id, fastrand::i64(100..2000));
            if let Some(version) = self.counts.changes.count(change).await {
                self.finished.lock().insert(id, version);
            }
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
    }

    /// Fills a cart, looks what is in it and logs out.
    async fn shop(&self, end: Instant) {
        let adds = &self.counts.adds;
        let begun = self.sessions.create("the load", &Basket::default()).await;
        let Ok((token, session)) = begun else {
            adds.failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut number = 0;
        while Instant::now() < end {
            let id = Catalogue::any(number);
            number += 1;
            let add = cart::change(&self.sessions, &session, |basket| basket.add(id));
            adds.count(add).await;
            tokio::time::sleep(ADD_PAUSE).await;
        }
        if let Ok(Some(session)) = self.sessions.load(&token).await {
            self.counts.kept.store(session.data().count().into(), Ordering::Relaxed);
            // What is left of it ends by itself.
            let _ = self.sessions.close(&session).await;
        }
    }
}
