//! Snapshots of the data set at a point in time, without a second process.
//!
//! Each entry carries a mark, and each database in each shard knows the mark of those that no snapshot
//! still lacks: without a snapshot, of all entries. The cut holds all shards and turns the databases'
//! marks over, so that every entry becomes one that the snapshot lacks. From then on a walker goes from
//! shard to shard, takes what is lacking in pieces that are short under the lock, and turns the marks
//! of what it took. Whoever is about to change or remove an entry that is lacking first leaves a copy
//! of it in its database's [`Part`]; a new entry is none that is lacking. So a command pays for a
//! snapshot that does not run with one comparison, and for one that does with a copy of each entry
//! that it is the first to change.
//!
//! A database that is taken out as a whole, by FLUSHALL or because another data set takes its place,
//! goes to the snapshot as it is ([`Db::surrender`]); one that is exchanged for another takes its part
//! with it, since the part knows which database it was at the cut.
//!
//! Invariant: whenever a shard is not locked, an entry whose mark differs from its database's is as it
//! was at the cut, and lies in a database that has a part. A snapshot that failed is walked to its end
//! like any other, only that nothing is kept.

use super::held::Held;
use super::shard::{Db, Shard};
use super::{Keyspace, SHARDS};
use crate::raw::{Copies, EntryRef};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a piece may hold: some 20 microseconds under a shard's lock.
const PIECE_BYTES: usize = 16 * 1024;
/// Steps of a piece; one is a bucket that was looked at, or a key that was taken.
const PIECE_STEPS: usize = 256;

/// Writes an object, which cannot be copied, as the snapshot wants it.
pub type WriteObject = dyn Fn(&mut Vec<u8>, EntryRef<'_>) + Send + Sync;

/// Why a snapshot cannot become whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// Nobody wants it any more.
    Unwanted,
    /// What writers had to leave for it became too much.
    TooLarge,
    /// A database went away without being handed over, which is a fault in this program.
    Lost,
}

/// One snapshot, as all parts of the data set know it.
pub struct Capture {
    write_object: Box<WriteObject>,
    /// Bytes that writers may leave.
    limit_bytes: u64,
    left_bytes: AtomicU64,
    /// Bytes of the databases that were handed over and not yet walked.
    adopted_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    is_spoiled: AtomicBool,
    spoiled: Mutex<Option<Spoiled>>,
    adopted: Mutex<Vec<Db>>,
}

impl Capture {
    /// One for which writers may leave up to `limit_bytes` at a time.
    pub fn new(limit_bytes: u64, write_object: Box<WriteObject>) -> Self {
        Self {
            write_object,
            limit_bytes,
            left_bytes: AtomicU64::new(0),
            adopted_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            is_spoiled: AtomicBool::new(false),
            spoiled: Mutex::new(None),
            adopted: Mutex::new(Vec::new()),
        }
    }

    /// Whether it will not become whole.
    #[inline]
    pub fn is_spoiled(&self) -> bool {
        self.is_spoiled.load(Ordering::Relaxed)
    }

    /// Why it will not become whole.
    pub fn spoiled(&self) -> Option<Spoiled> {
        *self.spoiled.lock()
    }

    /// Gives it up; the first reason counts.
    pub fn spoil(&self, why: Spoiled) {
        self.spoiled.lock().get_or_insert(why);
        self.is_spoiled.store(true, Ordering::Relaxed);
    }

    /// Bytes that are held for it besides the data set: what writers left, and databases that were
    /// emptied meanwhile.
    pub fn held_bytes(&self) -> u64 {
        self.left_bytes.load(Ordering::Relaxed) + self.adopted_bytes.load(Ordering::Relaxed)
    }

    /// The most that was held.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that writers may leave at a time.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Bytes that writers left and the walker has not taken yet.
    pub fn left_bytes(&self) -> u64 {
        self.left_bytes.load(Ordering::Relaxed)
    }

    fn hold(&self, bytes: usize) {
        let left = self.left_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.peak_bytes.fetch_max(self.held_bytes(), Ordering::Relaxed);
        if left > self.limit_bytes {
            self.spoil(Spoiled::TooLarge);
        }
    }

    /// Takes over a database that was taken out of its shard; gives it back when it is not wanted.
    pub(super) fn adopt(&self, db: Db) -> Option<Db> {
        if self.is_spoiled() {
            return Some(db);
        }
        self.adopted_bytes.fetch_add(db.size_bytes() as u64, Ordering::Relaxed);
        self.peak_bytes.fetch_max(self.held_bytes(), Ordering::Relaxed);
        self.adopted.lock().push(db);
        None
    }

    /// A database that was handed over.
    pub(crate) fn take_adopted(&self) -> Option<Adopted> {
        let db = self.adopted.lock().pop()?;
        let bytes = db.size_bytes() as u64;
        Some(Adopted { db, bytes })
    }

    /// Notes that a database that was handed over is gone.
    pub(crate) fn end_adopted(&self, adopted: Adopted) {
        self.adopted_bytes.fetch_sub(adopted.bytes, Ordering::Relaxed);
    }
}

/// A database that belongs to the snapshot alone.
pub(crate) struct Adopted {
    db: Db,
    bytes: u64,
}

impl Adopted {
    /// Takes the next piece; tells whether it was the last.
    pub(crate) fn walk(&mut self, piece: &mut Piece) -> bool {
        self.db.walk(piece)
    }
}

/// What a snapshot lacks of one database in one shard.
pub struct Part {
    capture: Arc<Capture>,
    /// Which database it was at the cut.
    number: usize,
    /// The walker has what lies before this tag.
    next: u32,
    /// What writers left.
    left: Taken,
    /// The share of `left` in the capture's sum.
    counted_bytes: usize,
    is_walked: bool,
}

/// Entries of one database as they were at the cut.
#[derive(Default)]
pub struct Taken {
    /// Copies, still to be written.
    pub copies: Copies,
    /// Objects, as [`WriteObject`] wrote them.
    pub objects: Vec<u8>,
    /// How many keys they are.
    pub keys: u64,
}

impl Taken {
    #[inline]
    fn add(&mut self, capture: &Capture, entry: EntryRef<'_>) {
        if !self.copies.push(entry) {
            (capture.write_object)(&mut self.objects, entry);
        }
        self.keys += 1;
    }

    fn size_bytes(&self) -> usize {
        self.copies.size_bytes() + self.objects.capacity()
    }
}

impl Part {
    /// All of a database, which had this number at the cut.
    pub(super) fn new(capture: &Arc<Capture>, number: usize) -> Self {
        let capture = Arc::clone(capture);
        let left = Taken::default();
        Self { capture, number, next: 0, left, counted_bytes: 0, is_walked: false }
    }

    /// The snapshot.
    pub(super) fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    /// Keeps an entry as it is now.
    pub(super) fn preserve(&mut self, entry: EntryRef<'_>) {
        if self.capture.is_spoiled() {
            return;
        }
        self.left.add(&self.capture, entry);
        let bytes = self.left.size_bytes();
        if bytes > self.counted_bytes {
            self.capture.hold(bytes - self.counted_bytes);
            self.counted_bytes = bytes;
        }
    }

    /// Moves what writers left into `piece`.
    pub(super) fn take_left(&mut self, piece: &mut Piece) {
        let left = std::mem::take(&mut self.left);
        let counted = std::mem::take(&mut self.counted_bytes);
        self.capture.left_bytes.fetch_sub(counted as u64, Ordering::Relaxed);
        if left.keys > 0 && !self.capture.is_spoiled() {
            piece.steps += left.keys as usize;
            piece.taken.push((self.number, left));
        }
    }

    /// Takes an entry that is lacking.
    #[inline]
    pub(super) fn take(&self, piece: &mut Piece, entry: EntryRef<'_>) {
        piece.steps += 1;
        if !self.capture.is_spoiled() {
            let taken = piece.of(self.number);
            let before = taken.copies.len_bytes() + taken.objects.len();
            taken.add(&self.capture, entry);
            let after = taken.copies.len_bytes() + taken.objects.len();
            piece.bytes += after - before;
        }
    }

    /// Goes on walking by `scan`, which takes what lies in a bucket and tells the tag of the next.
    pub(super) fn walk(
        &mut self,
        piece: &mut Piece,
        mut scan: impl FnMut(u32, &Self, &mut Piece) -> Option<u32>,
    ) -> bool {
        self.take_left(piece);
        while !piece.is_full() {
            piece.steps += 1;
            match scan(self.next, self, piece) {
                Some(next) => self.next = next,
                None => {
                    self.is_walked = true;
                    return true;
                }
            }
        }
        false
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.capture.left_bytes.fetch_sub(self.counted_bytes as u64, Ordering::Relaxed);
        if !self.is_walked && !self.capture.is_spoiled() {
            self.capture.spoil(Spoiled::Lost);
        }
    }
}

/// What the walker took under one hold of a shard's lock.
#[derive(Default)]
pub struct Piece {
    /// Databases, by their number at the cut, and what was taken of them.
    pub taken: Vec<(usize, Taken)>,
    steps: usize,
    bytes: usize,
}

impl Piece {
    /// What is taken of a database.
    fn of(&mut self, number: usize) -> &mut Taken {
        let at = match self.taken.iter().rposition(|(known, _)| *known == number) {
            Some(at) => at,
            None => {
                self.taken.push((number, Taken::default()));
                self.taken.len() - 1
            }
        };
        &mut self.taken[at].1
    }

    fn is_full(&self) -> bool {
        self.steps >= PIECE_STEPS || self.bytes >= PIECE_BYTES
    }

    /// Empties it for the next; the room of the first copies stays.
    pub fn clear(&mut self) {
        (self.steps, self.bytes) = (0, 0);
        self.taken.truncate(1);
        if let Some((_, taken)) = self.taken.first_mut() {
            taken.copies.clear();
            taken.objects.clear();
            taken.keys = 0;
        }
    }
}

/// How many keys a database has, and how many of them have a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Keys.
    pub keys: u64,
    /// Keys with a deadline.
    pub volatile: u64,
}

impl Keyspace {
    /// Begins a snapshot of the data set as it is; `held` must be all shards. Gives the sizes of the
    /// databases, up to the last that was ever used.
    pub(crate) fn cut(&self, held: &mut Held<'_>, capture: &Arc<Capture>) -> Vec<Count> {
        use super::held::Shards as _;
        let mut counts = Vec::new();
        for index in 0..SHARDS {
            for (number, db) in held.shard_mut(index).databases_mut().enumerate() {
                if counts.len() <= number {
                    counts.resize(number + 1, Count::default());
                }
                counts[number].keys += db.len() as u64;
                counts[number].volatile += db.volatile() as u64;
                db.cut(capture, number);
            }
        }
        counts
    }

    /// Takes the next piece of a shard; tells whether nothing of it is lacking any more.
    pub(crate) fn walk_piece(&self, index: usize, piece: &mut Piece) -> bool {
        let mut shard = self.lock(index);
        let is_walked = shard.walk(piece);
        shard.unlock_fair();
        is_walked
    }

    /// Takes what writers left in a shard.
    pub(crate) fn collect(&self, index: usize, piece: &mut Piece) {
        let mut shard = self.lock(index);
        shard.databases_mut().for_each(|db| db.collect(piece));
    }
}

impl Shard {
    fn walk(&mut self, piece: &mut Piece) -> bool {
        self.databases_mut().all(|db| db.walk(piece))
    }
}
