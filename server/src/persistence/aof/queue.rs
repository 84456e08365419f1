//! What was handed over and is not written yet, and who waits for it.
//!
//! Appending wakes the writer only when it sleeps and enough has come together: it says itself, by
//! `wake_above`, how much that is.

use super::LATE;
use crate::node::clients::Client;
use parking_lot::Condvar;
use std::fs::File;
use std::sync::Arc;

/// The writer does not want to be woken by what is appended.
const NEVER: usize = usize::MAX;

/// A place between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// In bytes that were handed over.
    pub(super) position: u64,
    /// In the log.
    pub(super) offset: u64,
}

/// What the writer is to do next.
pub(super) enum Work {
    /// Write this, which ends at a place.
    Write(Vec<u8>, Mark),
    /// Go on in another file, which is empty.
    Switch(File),
    /// Nothing came within the time.
    Time,
    /// Sync and end.
    End,
}

/// The state of the queue.
#[derive(Default)]
pub(super) struct Queue {
    /// What came last.
    pending: Vec<u8>,
    /// What came before it, in order.
    before: Vec<Work>,
    /// Bytes of `before`, and of what the writer has in hand.
    before_bytes: usize,
    /// Since when the oldest of `pending` waits, and of those bytes, by the monotonic clock.
    pending_nanos: Option<u64>,
    before_nanos: Option<u64>,
    /// The end of `pending`.
    end: Mark,
    /// Up to where everything is on the disk.
    on_disk: Mark,
    /// The database that the last frame speaks of.
    db: Vec<u8>,
    /// Counts openings.
    openings: u64,
    is_open: bool,
    is_closing: bool,
    /// Pending bytes above which the sleeping writer is woken.
    wake_above: usize,
    /// The highest position that somebody waits for.
    asked: u64,
    /// Those who wait for a position.
    waiting: Vec<(u64, Arc<Client>)>,
}

impl Queue {
    /// Takes bytes from now on, and those of this opening only; up to an offset of the log everything
    /// is in what the file begins with.
    pub(super) fn open(&mut self, offset: u64) -> u64 {
        (self.is_open, self.is_closing) = (true, false);
        self.wake_above = NEVER;
        self.end.offset = offset;
        self.on_disk = self.end;
        self.openings += 1;
        self.openings
    }

    /// Notes how far the log is: what it speaks to replicas only counts in its offsets, and what only
    /// the file is told does not.
    pub(super) fn log_is_at(&mut self, offset: u64) {
        self.end.offset = offset;
    }

    /// Notes that everything up to a place is on the disk.
    pub(super) fn is_on_disk(&mut self, mark: Mark) {
        self.on_disk = mark;
    }

    /// The offset of the log up to which everything is on the disk.
    pub(super) fn offset_on_disk(&self) -> u64 {
        let is_all = self.on_disk.position == self.end.position;
        if is_all { self.end.offset } else { self.on_disk.offset }
    }

    /// Takes no more bytes; the writer ends when it has written what there is.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Forgets everything; the writer has ended.
    pub(super) fn end(&mut self) {
        (self.is_open, self.before_bytes) = (false, 0);
        self.pending = Vec::new();
        self.before = Vec::new();
        (self.pending_nanos, self.before_nanos) = (None, None);
        self.waiting.drain(..).for_each(|(_, client)| client.wake());
    }

    /// Whether there is a writer.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// The opening from which bytes are taken.
    pub(super) fn generation(&self) -> Option<u64> {
        (self.is_open && !self.is_closing).then_some(self.openings)
    }

    /// Whether the writer shall end.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Bytes that are not written yet.
    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.before_bytes
    }

    /// Adds bytes of the log.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(select) = last_select(bytes) {
            self.db.clear();
            self.db.extend_from_slice(select);
        }
        self.add(bytes);
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.end.position += bytes.len() as u64;
    }

    /// Notes that there is something, and whether the oldest waits for so long that the disk is slow.
    pub(super) fn is_late(&mut self, now_nanos: impl Fn() -> u64) -> bool {
        if !self.pending.is_empty() {
            self.pending_nanos.get_or_insert_with(&now_nanos);
        }
        // While the writer sleeps it is not the disk that it waits for.
        let Some(since) = self.before_nanos.or(self.pending_nanos) else { return false };
        self.wake_above == NEVER && now_nanos().saturating_sub(since) > LATE.as_nanos() as u64
    }

    /// Wakes the writer when it waits for as much as is there.
    pub(super) fn wake_if_due(&mut self, work: &Condvar) {
        if self.pending.len() > self.wake_above {
            self.wake_writer(work);
        }
    }

    /// Wakes the writer when it sleeps.
    pub(super) fn wake_writer(&mut self, work: &Condvar) {
        if self.wake_above != NEVER {
            self.wake_above = NEVER;
            work.notify_one();
        }
    }

    /// The writer is about to sleep, and to be woken when more than so much is pending.
    pub(super) fn sleeps_below(&mut self, bytes: usize) {
        self.wake_above = bytes;
    }

    /// The writer is awake.
    pub(super) fn is_awake(&mut self) {
        self.wake_above = NEVER;
    }

    /// Notes that a position is waited for, and who is to be woken then.
    pub(super) fn ask(&mut self, position: u64, client: Option<&Arc<Client>>) {
        self.asked = self.asked.max(position);
        if let Some(client) = client {
            self.waiting.push((position, Arc::clone(client)));
        }
    }

    /// Whether somebody waits for what is pending.
    pub(super) fn is_asked_for(&self) -> bool {
        self.asked > self.end.position - self.pending.len() as u64
    }

    /// Pending bytes.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// What is to be done before what is pending.
    pub(super) fn take_before(&mut self) -> Option<Work> {
        (!self.before.is_empty()).then(|| self.before.remove(0))
    }

    /// What is pending; `spare` is used for what comes next.
    pub(super) fn take_pending(&mut self, spare: Vec<u8>) -> Work {
        let bytes = std::mem::replace(&mut self.pending, spare);
        self.before_bytes += bytes.len();
        let since = self.pending_nanos.take();
        self.before_nanos = self.before_nanos.or(since);
        Work::Write(bytes, self.end)
    }

    /// The position up to which everything is written.
    pub(super) fn written_to(&self) -> u64 {
        self.end.position - self.len() as u64
    }

    /// Notes that so many of the bytes that were taken are written.
    pub(super) fn written(&mut self, bytes: usize) {
        self.before_bytes = self.before_bytes.saturating_sub(bytes);
        if self.before_bytes == 0 {
            self.before_nanos = None;
        }
    }

    /// Lets what comes from now on go to another file; gives the bytes that this adds.
    pub(super) fn switch(&mut self, file: File) -> u64 {
        if !self.pending.is_empty() {
            let before = self.take_pending(Vec::new());
            self.before.push(before);
        }
        self.before.push(Work::Switch(file));
        // A file is read from its beginning: its first frame may rely on no other.
        let db = std::mem::take(&mut self.db);
        let added = db.len() as u64;
        self.add(&db);
        self.db = db;
        added
    }

    /// Wakes those whose position is reached.
    pub(super) fn wake_those_served(&mut self, reached: u64) {
        self.waiting.retain(|(position, client)| {
            let waits = *position > reached;
            if !waits {
                client.wake();
            }
            waits
        });
    }
}

/// The last SELECT among frames that were logged together.
///
/// They begin with it, or with the MULTI of a transaction; a single other frame is told by its first
/// bytes.
fn last_select(bytes: &[u8]) -> Option<&[u8]> {
    if !is_command(bytes, b"*2\r\n$6\r\nSELECT") && !is_command(bytes, b"*1\r\n$5\r\nMULTI") {
        return None;
    }
    let (mut rest, mut last) = (bytes, None);
    while let Some(len) = frame_len(rest) {
        let (frame, after) = rest.split_at_checked(len)?;
        if is_command(frame, b"*2\r\n$6\r\nSELECT") {
            last = Some(frame);
        }
        rest = after;
    }
    last
}

fn is_command(bytes: &[u8], head: &[u8]) -> bool {
    bytes.get(..head.len()).is_some_and(|found| found.eq_ignore_ascii_case(head))
}

/// Bytes of the frame at the beginning, where there is one.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let number = |mark: u8, at: &mut usize| {
        let line = bytes.get(*at..)?.split(|byte| *byte == b'\n').next()?;
        *at += line.len() + 1;
        let digits = line.strip_suffix(b"\r")?.strip_prefix(&[mark])?;
        std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
    };
    for _ in 0..number(b'*', &mut at)? {
        at = number(b'$', &mut at)?.checked_add(at)?.checked_add(2)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_keeps_waiting_is_late() {
        let mut queue = Queue::default();
        let late = |queue: &mut Queue, now_s: u64| queue.is_late(|| now_s * 1_000_000_000);
        queue.open(0);
        assert!(!late(&mut queue, 0));
        queue.push(b"one");
        assert!(!late(&mut queue, 1) && !late(&mut queue, 3));
        assert!(late(&mut queue, 4));
        queue.sleeps_below(0);
        assert!(!late(&mut queue, 4), "nobody tries to write it");
        queue.is_awake();
        queue.take_pending(Vec::new());
        assert!(late(&mut queue, 4), "it is not written yet");
        queue.push(b"two");
        assert!(late(&mut queue, 5));
        queue.written(3);
        assert!(!late(&mut queue, 7), "the second came when the first was late");
        assert!(late(&mut queue, 8));
        queue.take_pending(Vec::new());
        queue.written(3);
        assert!(!late(&mut queue, 9));
    }

    #[test]
    fn the_last_select_is_found_in_what_was_logged_together() {
        let select = |db: &str| format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{db}\r\n", db.len());
        let (multi, exec) = ("*1\r\n$5\r\nMULTI\r\n", "*1\r\n$4\r\nEXEC\r\n");
        let set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$26\r\n\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n99\r\n\r\n";
        for (bytes, expected) in [
            (set.to_owned(), None),
            (select("3"), Some(select("3"))),
            (format!("{}{set}", select("3")), Some(select("3"))),
            (format!("{multi}{set}{exec}"), None),
            (format!("{multi}{}{set}{}{set}{exec}", select("3"), select("12")), Some(select("12"))),
            (String::new(), None),
        ] {
            let found = last_select(bytes.as_bytes());
            assert_eq!(found, expected.as_deref().map(str::as_bytes), "{bytes:?}");
        }
    }
}
