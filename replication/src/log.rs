//! The log of effects.
//!
//! Writers append while they hold the shards they changed, so the log's order is the order of
//! execution for every key; the log's own lock is the innermost one. Frames come encoded. The
//! offset counts bytes as PSYNC does, the SELECT frames in between included. Nothing is encoded,
//! appended or counted while nobody reads.
//!
//! Two kinds of readers share it. A [`Sink`] is handed every byte as it comes: the append-only file.
//! Replicas read the backlog, each at its own pace, behind a [`Reader`]. Whoever appended wakes them
//! by [`EffectLog::wake_readers`] when its batch is done, not for each command.

use crate::backlog::Backlog;
use crate::frames::Frames;
use crate::psync::{self, Answer, Request};
use crate::reader::{Piece, Reader};
use crate::replid::ReplicationId;
use larder_protocol::encode::encode_command;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// What a piece of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// It changes data, or says of which database.
    Effect,
    /// It speaks to replicas only: PING, REPLCONF GETACK, PUBLISH. A file leaves it out.
    Control,
}

/// Somebody who is handed the log as it grows: a file, a test.
pub trait Sink: Send {
    /// Takes bytes, behind which the log is at `offset`; false ends the subscription. A SELECT that
    /// only this reader is told is no part of the log, which is at `offset` before it as well.
    ///
    /// Called under the log's lock, so it must not block.
    fn append(&mut self, offset: u64, bytes: &[u8], kind: FrameKind) -> bool;
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history that the offset counts in.
    pub replid: ReplicationId,
    /// Bytes before it.
    pub offset: u64,
    /// The database that the frame before it spoke of; none when the next one says it anew.
    pub db: Option<usize>,
}

/// The histories that a node knows its data by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The present one.
    pub replid: ReplicationId,
    /// The one before it and the first offset, counted from 1, that it does not share.
    pub former: Option<(ReplicationId, u64)>,
}

/// Former histories that are remembered.
const ANCESTORS: usize = 32;

/// Histories that followed each other, each with the offset at which it ended; the last one is the
/// present, with the offset that it has reached.
pub type Lineage = Vec<(ReplicationId, u64)>;

/// What the backlog has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogState {
    /// Its size as it was set.
    pub size: u64,
    /// The offset of its first byte, counted from 0.
    pub start: u64,
    /// The offset after its last byte.
    pub end: u64,
    /// What it takes, including what only slow readers need.
    pub memory_bytes: u64,
}

/// The totally ordered log of a node's effects.
pub struct EffectLog {
    /// Sinks, and one more while there is a backlog.
    listeners: AtomicUsize,
    offset: AtomicU64,
    /// Whether something was appended since readers were last woken.
    news: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    history: History,
    /// The database that the last frame spoke of.
    db: Option<usize>,
    sinks: Vec<Box<dyn Sink>>,
    backlog: Option<Backlog>,
    readers: Vec<Arc<Reader>>,
    /// Whether the log is another node's, so that nothing of our own may be appended.
    follows: bool,
    /// Whether nothing is told to replicas that is no effect.
    is_quiet: bool,
    /// The histories before this one, if they are remembered, and where each ended.
    ancestors: Option<VecDeque<(ReplicationId, u64)>>,
}

impl Default for EffectLog {
    fn default() -> Self {
        let inner = Inner {
            history: History { replid: ReplicationId::random(), former: None },
            db: None,
            sinks: Vec::new(),
            backlog: None,
            readers: Vec::new(),
            follows: false,
            is_quiet: false,
            ancestors: None,
        };
        Self {
            listeners: AtomicUsize::new(0),
            offset: AtomicU64::new(0),
            news: AtomicBool::new(false),
            inner: Mutex::new(inner),
        }
    }
}

/// Appending.
impl EffectLog {
    /// Whether anybody reads what this node has to say; nobody does while it follows another one.
    #[inline]
    pub fn is_read(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Appends what one command left; several frames that belong `together` stand between MULTI and
    /// EXEC.
    pub fn append(&self, frames: &Frames, together: bool) {
        let mut end = self.writer();
        if end.inner.follows {
            return;
        }
        let together = together && frames.len() > 1;
        if end.inner.is_quiet && frames.iter().all(|(_, _, kind)| kind == FrameKind::Control) {
            return;
        }
        if together {
            end.put(b"*1\r\n$5\r\nMULTI\r\n", FrameKind::Effect);
        }
        for (db, frame, kind) in frames.iter() {
            end.select(db);
            end.put(frame, kind);
        }
        if together {
            end.put(b"*1\r\n$4\r\nEXEC\r\n", FrameKind::Effect);
        }
    }

    /// Appends one frame.
    #[inline]
    pub fn append_frame(&self, db: usize, frame: &[u8]) {
        let mut end = self.writer();
        end.select(db);
        end.put(frame, FrameKind::Effect);
    }

    /// Appends a command to replicas, if there is a backlog: PING, REPLCONF GETACK.
    pub fn append_control(&self, command: &[&[u8]]) {
        let mut end = self.writer();
        if end.inner.backlog.is_some() && !end.inner.follows && !end.inner.is_quiet {
            let mut frame = Vec::new();
            encode_command(&mut frame, command.iter().copied());
            end.put(&frame, FrameKind::Control);
        }
    }

    /// Appends bytes of another node's log as they are, which speak of database `db` at their end: a
    /// replica passes its primary's history on.
    pub fn append_raw(&self, bytes: &[u8], kind: FrameKind, db: usize) {
        let mut end = self.writer();
        end.inner.db = Some(db);
        end.put(bytes, kind);
    }

    fn writer(&self) -> Writer<'_> {
        Writer { inner: self.inner.lock(), log: self }
    }
}

/// The end of the log while it is written.
struct Writer<'l> {
    log: &'l EffectLog,
    inner: MutexGuard<'l, Inner>,
}

impl Writer<'_> {
    #[inline]
    fn select(&mut self, db: usize) {
        if self.inner.db != Some(db) {
            self.inner.db = Some(db);
            self.put(&select(db), FrameKind::Effect);
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8], kind: FrameKind) {
        let inner = &mut *self.inner;
        let offset = self.log.offset.load(Ordering::Relaxed) + bytes.len() as u64;
        if !inner.sinks.is_empty() {
            inner.sinks.retain_mut(|sink| sink.append(offset, bytes, kind));
            self.log.count(inner);
        }
        if let Some(backlog) = &mut inner.backlog {
            if backlog.append(bytes) {
                inner.look_at_readers();
            }
            if !inner.readers.is_empty() {
                self.log.news.store(true, Ordering::Relaxed);
            }
        }
        self.log.offset.store(offset, Ordering::Relaxed);
    }
}

fn select(db: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let number = db.to_string();
    encode_command(&mut frame, [&b"SELECT"[..], number.as_bytes()].into_iter());
    frame
}

impl Inner {
    /// Cuts readers that are too far behind, and lets go what none needs any more.
    #[cold]
    fn look_at_readers(&mut self) {
        let Some(backlog) = &mut self.backlog else { return };
        let end = backlog.range().end;
        let mut needed_from = end;
        self.readers.retain(|reader| {
            if reader.is_over(end) {
                reader.cut();
                return false;
            }
            needed_from = needed_from.min(reader.position());
            true
        });
        backlog.trim(needed_from);
    }

    fn cut_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.cut();
        }
    }
}

/// Reading.
impl EffectLog {
    /// Adds a reader that is handed every byte; it sees a SELECT before its first frame, by itself
    /// where the log is another node's.
    pub fn subscribe(&self, mut sink: Box<dyn Sink>) {
        let mut inner = self.inner.lock();
        match inner.db {
            Some(db) if inner.follows => {
                let is_there = sink.append(self.offset(), &select(db), FrameKind::Effect);
                if !is_there {
                    return;
                }
            }
            _ => inner.db = None,
        }
        inner.sinks.push(sink);
        self.count(&inner);
    }

    /// Lets a replica go on where it was, or tells why it cannot.
    ///
    /// # Errors
    /// It must begin anew, by [`attach`](Self::attach).
    pub fn resume(&self, request: Request<'_>) -> Result<Arc<Reader>, psync::Reason> {
        let mut inner = self.inner.lock();
        let kept = inner.backlog.as_ref().map(Backlog::range);
        let history = inner.history_for(request.replid);
        match psync::answer(&history, kept, request) {
            Answer::Continue(offset) => Ok(inner.add_reader(offset)),
            Answer::Full(reason) => Err(reason),
        }
    }

    /// Adds a reader at the end of the log, for somebody who has a snapshot of this instant; it sees
    /// a SELECT before its first frame, unless the log is another node's: then the position says the
    /// database. Begins a backlog of `size` bytes unless there is one.
    pub fn attach(&self, size: u64) -> (Position, Arc<Reader>) {
        let mut inner = self.inner.lock();
        self.begin_backlog(&mut inner, size);
        if !inner.follows {
            inner.db = None;
        }
        let position = self.position_in(&inner);
        (position, inner.add_reader(position.offset))
    }

    /// Gives a reader about `max` bytes at most; false when it is cut.
    pub fn read(&self, reader: &Reader, max: usize, take: impl FnMut(Piece<'_>)) -> bool {
        let inner = self.inner.lock();
        let Some(backlog) = inner.backlog.as_ref().filter(|_| !reader.is_cut()) else {
            return false;
        };
        let end = backlog.read(reader.position(), max, take);
        end.inspect(|end| reader.set_position(*end)).is_some()
    }

    /// Ends a reader.
    pub fn detach(&self, reader: &Arc<Reader>) {
        reader.cut();
        let mut inner = self.inner.lock();
        inner.readers.retain(|other| !Arc::ptr_eq(other, reader));
        inner.look_at_readers();
    }

    /// Wakes readers when there is something new since they were last woken.
    #[inline]
    pub fn wake_readers(&self) {
        if self.news.load(Ordering::Relaxed) {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        if self.news.swap(false, Ordering::Relaxed) {
            for reader in &self.inner.lock().readers {
                reader.wake();
            }
        }
    }

    /// How many replicas read.
    pub fn readers(&self) -> usize {
        self.inner.lock().readers.len()
    }
}

impl Inner {
    /// The present history, with that of its ancestors as the former one which somebody asks about.
    fn history_for(&self, replid: &[u8]) -> History {
        let ancestors = self.ancestors.iter().flatten().rev();
        match ancestors.into_iter().find(|(id, _)| id.is(replid)) {
            Some((id, end)) => History { former: Some((*id, end + 1)), ..self.history },
            None => self.history,
        }
    }

    /// The log tells of another data set from now on.
    fn forget_ancestors(&mut self) {
        if let Some(ancestors) = &mut self.ancestors {
            ancestors.clear();
        }
    }

    fn add_reader(&mut self, offset: u64) -> Arc<Reader> {
        let reader = Arc::new(Reader::new(offset));
        self.readers.push(Arc::clone(&reader));
        reader
    }
}

/// Ids and offsets.
impl EffectLog {
    /// Bytes appended so far.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The end of the log.
    pub fn position(&self) -> Position {
        self.position_in(&self.inner.lock())
    }

    /// The id of the history that the offset counts in.
    pub fn replid(&self) -> ReplicationId {
        self.inner.lock().history.replid
    }

    /// The histories that the data is known by.
    pub fn history(&self) -> History {
        self.inner.lock().history
    }

    /// Gives the data another id, and forgets the former one.
    pub fn change_replid(&self) {
        let mut inner = self.inner.lock();
        inner.history = History { replid: ReplicationId::random(), former: None };
        inner.forget_ancestors();
    }

    /// Remembers former histories from now on, so that who has one of them can go on too.
    pub fn remember_ancestors(&self) {
        self.inner.lock().ancestors.get_or_insert_default();
    }

    /// The histories that led here.
    pub fn lineage(&self) -> Lineage {
        let inner = self.inner.lock();
        let present = (inner.history.replid, self.offset());
        inner.ancestors.iter().flatten().copied().chain([present]).collect()
    }

    /// Takes over the ancestors that a primary of the same history knows; `lineage` is its.
    pub fn adopt_lineage(&self, lineage: &[(ReplicationId, u64)]) {
        let mut inner = self.inner.lock();
        let Some((_, former)) = lineage.split_last() else { return };
        let skipped = former.len().saturating_sub(ANCESTORS);
        if let Some(ancestors) = &mut inner.ancestors {
            *ancestors = former[skipped..].iter().copied().collect();
        }
    }

    /// Says whether only effects are appended from now on: then the log stands still when no data
    /// changes.
    pub fn set_quiet(&self, is_quiet: bool) {
        self.inner.lock().is_quiet = is_quiet;
    }

    /// Ends all readers.
    pub fn cut_readers(&self) {
        self.inner.lock().cut_readers();
    }

    /// Gives up to about `max` bytes from an offset on; tells the offset after them, or nothing when
    /// the backlog does not have them.
    pub fn read_from(&self, from: u64, max: usize, take: impl FnMut(Piece<'_>)) -> Option<u64> {
        self.inner.lock().backlog.as_ref()?.read(from, max, take)
    }

    /// Says whether the log is another node's from now on; then nobody reads what this one has to say,
    /// and only [`append_raw`](Self::append_raw) adds to it.
    pub fn set_follows(&self, follows: bool) {
        let mut inner = self.inner.lock();
        inner.follows = follows;
        self.count(&inner);
    }

    /// Begins a new history that shares the old one up to here: a replica became a primary, whose log
    /// is its own. The backlog stays, so replicas of the old history can go on; they are cut, so that
    /// they learn of it.
    pub fn shift_ids(&self) {
        let mut inner = self.inner.lock();
        inner.follows = false;
        self.shift(&mut inner, ReplicationId::random());
        inner.db = None;
        inner.cut_readers();
        self.count(&inner);
    }

    /// Goes on in a history that shares ours up to here: the primary said it has another id now. Own
    /// replicas go, so that they learn of it. The stream goes on in its database all the same: what is
    /// sent next may be older than the id.
    pub fn continue_as(&self, replid: ReplicationId) {
        let mut inner = self.inner.lock();
        if inner.history.replid != replid {
            self.shift(&mut inner, replid);
            inner.cut_readers();
        }
    }

    fn shift(&self, inner: &mut Inner, replid: ReplicationId) {
        let former = (inner.history.replid, self.offset());
        if let Some(ancestors) = &mut inner.ancestors {
            ancestors.push_back(former);
            if ancestors.len() > ANCESTORS {
                ancestors.pop_front();
            }
        }
        inner.history = History { replid, former: Some((inner.history.replid, self.offset() + 1)) };
    }

    /// Takes over a history at an offset: the data set is now what a primary sent. Own replicas go;
    /// a backlog begins anew at the offset, of `backlog_size` bytes.
    pub fn adopt(&self, replid: ReplicationId, offset: u64, backlog_size: u64) {
        let mut inner = self.inner.lock();
        inner.history = History { replid, former: None };
        inner.forget_ancestors();
        inner.db = None;
        inner.cut_readers();
        self.offset.store(offset, Ordering::Relaxed);
        inner.backlog = Some(Backlog::new(backlog_size, offset));
        self.count(&inner);
    }

    /// Goes on after a restart with the data that a history had at an offset: replicas that are
    /// exactly there may go on as well.
    pub fn restore(&self, replid: ReplicationId, offset: u64, backlog_size: u64) {
        let mut inner = self.inner.lock();
        let fresh = ReplicationId::random();
        inner.history = History { replid: fresh, former: Some((replid, offset + 1)) };
        inner.forget_ancestors();
        if let Some(ancestors) = &mut inner.ancestors {
            ancestors.push_back((replid, offset));
        }
        inner.db = None;
        self.offset.store(offset, Ordering::Relaxed);
        inner.backlog = Some(Backlog::new(backlog_size, offset));
        self.count(&inner);
    }

    fn position_in(&self, inner: &Inner) -> Position {
        Position { replid: inner.history.replid, offset: self.offset(), db: inner.db }
    }

    fn count(&self, inner: &Inner) {
        let listeners = inner.sinks.len() + usize::from(inner.backlog.is_some());
        let listeners = if inner.follows { 0 } else { listeners };
        self.listeners.store(listeners, Ordering::Relaxed);
    }
}

/// The backlog.
impl EffectLog {
    /// Begins to keep the latest `size` bytes, unless it does already. What was written before
    /// nobody has counted, so the history is a new one.
    pub fn start_backlog(&self, size: u64) {
        let mut inner = self.inner.lock();
        self.begin_backlog(&mut inner, size);
    }

    /// Begins to keep the latest `size` bytes of the history that goes on, unless it does already.
    pub fn keep_backlog(&self, size: u64) {
        let mut inner = self.inner.lock();
        if inner.backlog.is_none() {
            inner.backlog = Some(Backlog::new(size, self.offset()));
            self.count(&inner);
        }
    }

    fn begin_backlog(&self, inner: &mut Inner, size: u64) {
        if inner.backlog.is_none() {
            inner.history = History { replid: ReplicationId::random(), former: None };
            inner.forget_ancestors();
            inner.backlog = Some(Backlog::new(size, self.offset()));
            inner.db = None;
            self.count(inner);
        }
    }

    /// Keeps another number of bytes from now on.
    pub fn resize_backlog(&self, size: u64) {
        let mut inner = self.inner.lock();
        let needed_from = inner.readers.iter().map(|reader| reader.position()).min();
        if let Some(backlog) = &mut inner.backlog {
            backlog.resize(size, needed_from.unwrap_or(u64::MAX));
        }
    }

    /// Keeps nothing any more, unless somebody reads; the history ends, since nobody counts it.
    pub fn drop_backlog(&self) {
        let mut inner = self.inner.lock();
        if inner.readers.is_empty() && inner.backlog.take().is_some() {
            inner.history = History { replid: ReplicationId::random(), former: None };
            inner.forget_ancestors();
            self.count(&inner);
        }
    }

    /// What the backlog has, if there is one.
    pub fn backlog(&self) -> Option<BacklogState> {
        let inner = self.inner.lock();
        inner.backlog.as_ref().map(|backlog| BacklogState {
            size: backlog.size(),
            start: backlog.range().start,
            end: backlog.range().end,
            memory_bytes: backlog.memory_bytes(),
        })
    }
}

#[cfg(test)]
mod tests;
