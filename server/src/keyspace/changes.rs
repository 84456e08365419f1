//! What a command changed and counted, collected while it holds its locks: effects for the log, events
//! for subscribers, keys for those who wait.

use super::notify::{Classes, KeyEvent};
use super::waiters::ReadyKey;
use larder_protocol::Args;
use larder_replication::Frames;
use std::collections::VecDeque;

/// Effects of more bytes are freed, not kept for the next command.
const KEEP_BYTES: usize = 64 * 1024;

/// What a command changed, collected while it holds its locks.
#[derive(Default)]
pub struct Changes {
    /// How many changes count for INFO's `rdb_changes_since_last_save`.
    pub dirty: u64,
    /// Whether anything reads the effect log, and shall read of this.
    pub logged: bool,
    /// Whether a script keeps its effects to itself.
    pub is_muted: bool,
    /// The event classes somebody waits for.
    pub wanted: Classes,
    /// The client that changes something, while events are wanted; 0 for none.
    pub by: u64,
    /// `lazyfree-lazy-expire`.
    pub lazy_expire: bool,
    /// Whether commands ran within another one, which makes a transaction of their effects.
    pub nested: bool,
    /// Whether something that was collected went to the log: effects, what was due, what only replicas
    /// are told. A command that is logged as it came shows in `dirty` alone.
    pub propagated: bool,
    /// Mostly nobody listens, so this is not there.
    collected: Option<Box<Collected>>,
}

/// What somebody listens for.
#[derive(Default)]
pub struct Collected {
    /// Effects in order.
    pub effects: Frames,
    /// Events in order.
    pub events: Vec<KeyEvent>,
    /// How many of them were told to those who hold copies.
    told: usize,
    /// Whether a whole database was emptied.
    flushed: bool,
    /// Keys that somebody waits for and that are worth a look.
    ready: VecDeque<ReadyKey>,
}

impl Collected {
    /// Whether it is empty, and small enough to be kept.
    fn is_reusable(&self) -> bool {
        self.effects.is_empty()
            && self.effects.capacity_bytes() <= KEEP_BYTES
            && self.events.is_empty()
            && self.ready.is_empty()
    }
}

impl Changes {
    /// Collects effects when the log is read, and events of the classes that are waited for.
    #[inline]
    pub fn new(logged: bool, wanted: Classes) -> Self {
        Self {
            dirty: 0,
            logged,
            is_muted: false,
            wanted,
            by: 0,
            lazy_expire: false,
            nested: false,
            propagated: false,
            collected: None,
        }
    }

    /// Takes the memory of an earlier command to collect in, if somebody listens.
    #[inline]
    pub fn reuse(&mut self, spare: &mut Option<Box<Collected>>) {
        if self.logged {
            self.collected = spare.take();
        }
    }

    /// Keeps the memory that was collected in for the next command.
    #[inline]
    pub fn leave(&mut self, spare: &mut Option<Box<Collected>>) {
        if self.collected.is_some() {
            *spare = self.collected.take().filter(|collected| collected.is_reusable());
        }
    }

    /// Takes back what was published, empty.
    #[inline]
    pub fn give_back(&mut self, mut collected: Box<Collected>) {
        if self.collected.is_none() {
            collected.effects.clear();
            collected.told = 0;
            collected.flushed = false;
            self.collected = Some(collected);
        }
    }

    /// Gives what was collected, but for the keys that became ready.
    #[inline]
    pub fn take(&mut self) -> Option<Box<Collected>> {
        let mut collected = self.collected.take()?;
        if !collected.ready.is_empty() {
            let ready = std::mem::take(&mut collected.ready);
            self.collected = Some(Box::new(Collected { ready, ..Collected::default() }));
        }
        Some(collected)
    }

    /// Whether a key became ready that somebody waits for.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.collected.as_ref().is_some_and(|collected| !collected.ready.is_empty())
    }

    /// Takes the first of the keys that became ready.
    pub fn take_ready(&mut self) -> Option<ReadyKey> {
        self.collected.as_mut()?.ready.pop_front()
    }

    /// Notes a key that became ready, once.
    pub fn add_ready(&mut self, ready: ReadyKey) {
        let known = &mut self.collected.get_or_insert_default().ready;
        if !known.contains(&ready) {
            known.push_back(ready);
        }
    }

    /// Whether effects were collected.
    #[inline]
    pub fn has_effects(&self) -> bool {
        self.collected.as_ref().is_some_and(|collected| !collected.effects.is_empty())
    }

    /// Adds a command as it came.
    pub fn command(&mut self, db: usize, args: Args<'_>) {
        self.collected.get_or_insert_default().effects.push(db, args.iter());
    }

    /// Adds an encoded effect.
    pub fn frame(&mut self, db: usize, frame: &[u8]) {
        self.collected.get_or_insert_default().effects.push_encoded(db, frame);
    }

    /// Adds that a key is gone; as Redis, by UNLINK where a setting leaves freeing to the background.
    pub fn gone(&mut self, db: usize, key: &[u8], is_lazy: bool) {
        self.effect(db, &[if is_lazy { b"UNLINK" } else { b"DEL" }, key]);
    }

    /// Adds that a key was due.
    pub fn expired(&mut self, db: usize, key: &[u8]) {
        self.gone(db, key, self.lazy_expire);
        self.event(Classes::EXPIRED, "expired", db, key);
    }

    /// Adds an effect for database `db`, unless nobody reads the log.
    pub fn effect(&mut self, db: usize, command: &[&[u8]]) {
        if self.logged {
            let effects = &mut self.collected.get_or_insert_default().effects;
            effects.push(db, command.iter().copied());
        }
    }

    /// Adds what only replicas are told, unless nobody reads the log.
    pub fn tell_replicas(&mut self, db: usize, command: &[&[u8]]) {
        if self.logged {
            let effects = &mut self.collected.get_or_insert_default().effects;
            effects.push_control(db, command.iter().copied());
        }
    }

    /// The events that were not told yet to those who hold copies.
    pub fn untold(&mut self) -> &[KeyEvent] {
        let Some(collected) = &mut self.collected else { return &[] };
        let told = std::mem::replace(&mut collected.told, collected.events.len());
        &collected.events[told..]
    }

    /// Notes that a whole database was emptied.
    pub fn flush(&mut self) {
        if self.wanted != Classes::default() {
            self.collected.get_or_insert_default().flushed = true;
        }
    }

    /// Whether a whole database was emptied since the last call.
    pub fn take_flush(&mut self) -> bool {
        self.collected.as_mut().is_some_and(|all| std::mem::take(&mut all.flushed))
    }

    /// Adds an event, unless nobody waits for its class.
    #[inline]
    pub fn event(&mut self, class: Classes, name: &'static str, db: usize, key: &[u8]) {
        if self.wanted.intersects(class) {
            let event = KeyEvent { class, name, db, key: key.to_vec() };
            self.collected.get_or_insert_default().events.push(event);
        }
    }
}

/// Counters of one command, added to the thread's statistics afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys removed because they were due.
    pub expired: u64,
    /// Fields of hashes removed because they were due.
    pub expired_fields: u64,
}
