//! How far one replica is in the log.
//!
//! A reader is a position, not a copy: the bytes lie in the backlog, once for all. The backlog keeps
//! what a reader still needs; one that falls behind by more than its limit is cut instead.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

/// A part of the log on its way to a replica.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Bytes that stay as they are, shared with all readers.
    Shared(Bytes),
    /// The latest bytes, to be copied.
    Latest(&'a [u8]),
}

impl Piece<'_> {
    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Latest(bytes) => bytes,
        }
    }
}

/// A replica's place in the log.
#[derive(Debug)]
pub struct Reader {
    /// The offset of the next byte it takes.
    position: AtomicU64,
    /// Bytes by which it may be behind; 0: any.
    limit: AtomicU64,
    cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Reader {
    pub(crate) fn new(position: u64) -> Self {
        Self {
            position: AtomicU64::new(position),
            limit: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// The offset of the next byte it takes.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    pub(crate) fn set_position(&self, offset: u64) {
        self.position.store(offset, Ordering::Release);
    }

    /// By how many bytes it may be behind; 0 for any number.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Whether it is behind `end` by more than it may.
    pub(crate) fn is_over(&self, end: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        limit > 0 && end.saturating_sub(self.position()) > limit
    }

    /// Ends it.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it is at its end: it was too slow, or the log speaks of another history now.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Remembers whom to wake when there is more to read.
    pub fn register(&self, waker: &Waker) {
        let mut known = self.waker.lock();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}
