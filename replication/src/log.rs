//! The log of effects.
//!
//! Writers append while they hold the shards they changed, so the log's order is the order of
//! execution for every key; the log's own lock is the innermost one. Frames come encoded. The
//! offset counts bytes as PSYNC does, the SELECT frames in between included. Nothing is encoded,
//! appended or counted while nobody reads.

use crate::ReplicationId;
use larder_protocol::encode::encode_command;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Somebody who reads the log: a backlog, a file, a test.
pub trait Sink: Send {
    /// Takes bytes that begin at `offset`; false ends the subscription.
    ///
    /// Called under the log's lock, so it must not block.
    fn append(&mut self, offset: u64, bytes: &[u8]) -> bool;
}

/// The totally ordered log of a node's effects.
pub struct EffectLog {
    sinks: AtomicUsize,
    offset: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    replid: ReplicationId,
    /// The database that the last frame spoke of.
    db: Option<usize>,
    sinks: Vec<Box<dyn Sink>>,
    scratch: Vec<u8>,
}

impl Default for EffectLog {
    fn default() -> Self {
        let inner = Inner {
            replid: ReplicationId::random(),
            db: None,
            sinks: Vec::new(),
            scratch: Vec::new(),
        };
        Self { sinks: AtomicUsize::new(0), offset: AtomicU64::new(0), inner: Mutex::new(inner) }
    }
}

impl EffectLog {
    /// Whether anybody reads.
    #[inline]
    pub fn is_read(&self) -> bool {
        self.sinks.load(Ordering::Relaxed) > 0
    }

    /// Bytes appended so far.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The id of the history that the offset counts in.
    pub fn replid(&self) -> ReplicationId {
        self.inner.lock().replid.clone()
    }

    /// Begins a new history.
    pub fn change_replid(&self) {
        self.inner.lock().replid = ReplicationId::random();
    }

    /// Adds a reader; it sees a SELECT before its first frame.
    pub fn subscribe(&self, sink: Box<dyn Sink>) {
        let mut inner = self.inner.lock();
        inner.db = None;
        inner.sinks.push(sink);
        self.sinks.store(inner.sinks.len(), Ordering::Relaxed);
    }

    /// Appends frames, each with the database it speaks of; several that belong `together` stand
    /// between MULTI and EXEC.
    pub fn append(&self, frames: impl ExactSizeIterator<Item = (usize, Vec<u8>)>, together: bool) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.scratch.clear();
        let together = together && frames.len() > 1;
        if together {
            encode_command(&mut inner.scratch, [&b"MULTI"[..]].into_iter());
        }
        for (db, frame) in frames {
            if inner.db != Some(db) {
                inner.db = Some(db);
                let number = db.to_string();
                let select: [&[u8]; 2] = [b"SELECT", number.as_bytes()];
                encode_command(&mut inner.scratch, select.into_iter());
            }
            inner.scratch.extend_from_slice(&frame);
        }
        if together {
            encode_command(&mut inner.scratch, [&b"EXEC"[..]].into_iter());
        }
        let offset = self.offset.load(Ordering::Relaxed);
        let bytes = &inner.scratch;
        inner.sinks.retain_mut(|sink| sink.append(offset, bytes));
        self.offset.store(offset + bytes.len() as u64, Ordering::Relaxed);
        self.sinks.store(inner.sinks.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Keep(Arc<Mutex<Vec<u8>>>);

    impl Sink for Keep {
        fn append(&mut self, offset: u64, bytes: &[u8]) -> bool {
            let mut kept = self.0.lock();
            assert_eq!(
                kept.len() as u64,
                offset,
                "a sink that was there from the start misses nothing"
            );
            kept.extend_from_slice(bytes);
            kept.len() < 100
        }
    }

    #[test]
    fn frames_are_appended_in_order_behind_their_database() {
        let log = EffectLog::default();
        let kept = Arc::default();
        assert!(!log.is_read());
        log.subscribe(Box::new(Keep(Arc::clone(&kept))));
        assert!(log.is_read());
        log.append([(0, b"a".to_vec()), (0, b"b".to_vec()), (2, b"c".to_vec())].into_iter(), false);
        let expected: &[u8] =
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\nab*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\nc";
        assert_eq!(kept.lock().as_slice(), expected);
        assert_eq!(log.offset(), expected.len() as u64);
    }

    #[test]
    fn frames_that_belong_together_are_a_transaction() {
        let log = EffectLog::default();
        let kept = Arc::default();
        log.subscribe(Box::new(Keep(Arc::clone(&kept))));
        log.append([(0, b"a".to_vec()), (1, b"b".to_vec())].into_iter(), true);
        let expected: &[u8] = b"*1\r\n$5\r\nMULTI\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\na\
            *2\r\n$6\r\nSELECT\r\n$1\r\n1\r\nb*1\r\n$4\r\nEXEC\r\n";
        assert_eq!(kept.lock().as_slice(), expected);
        log.append([(1, b"c".to_vec())].into_iter(), true);
        assert!(kept.lock().ends_with(b"EXEC\r\nc"), "one alone needs no frame");
    }

    #[test]
    fn a_sink_that_ends_is_forgotten() {
        let log = EffectLog::default();
        log.subscribe(Box::new(Keep(Arc::default())));
        log.append([(0, vec![b'x'; 200])].into_iter(), false);
        assert!(!log.is_read());
    }

    #[test]
    fn ids_are_40_hexadecimal_digits_and_new_each_time() {
        let (first, second) = (ReplicationId::random(), ReplicationId::random());
        assert_ne!(first, second);
        assert!(
            first.as_str().len() == 40 && first.as_str().bytes().all(|b| b.is_ascii_hexdigit())
        );
    }
}
