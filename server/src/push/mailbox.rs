//! Messages that wait for one connection.
//!
//! Any thread leaves messages here; who writes takes them all: the connection's task, or the
//! [`post`] of its thread. Only the first message wakes the task or is noted for the post, so what
//! comes until then goes out in one write. While the socket does not take what the connection has,
//! messages stay here, shared with all other receivers.
//!
//! The sender keeps the limits: a client above its `client-output-buffer-limit` is cut at once and
//! its messages are dropped, so a subscriber that never reads costs no more than the limit allows.
//! Nothing is accepted for a client that is cut or gone.
//!
//! Invariant: `waiting` is 0 exactly when no message waits, and what is in the node's memory on
//! account of a mailbox is its `counted`.

use super::post;
use crate::keyspace::memory::Memory;
use crate::node::clients::{Client, over_free_output};
use crate::node::shared::Shared;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory of a message that is not its bytes: its place, and its share of a reference count.
const PLACE_BYTES: usize = size_of::<Bytes>();
/// Places that an empty mailbox keeps.
const KEEP_PLACES: usize = 16;
/// Bytes that may wait without being counted: mail is mostly gone before it would matter.
const UNCOUNTED_BYTES: usize = 16 * 1024;

/// The messages that wait for a client.
#[derive(Default)]
pub struct Mailbox {
    waiting: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    messages: VecDeque<Bytes>,
    /// How many were taken out so far.
    taken: u64,
    /// What of the waiting bytes the node's memory counts.
    counted: usize,
    closed: bool,
}

impl Mailbox {
    /// Whether no message waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting_bytes() == 0
    }

    /// What the waiting messages take.
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.inner.lock().messages.len()
    }

    /// Adds a message; gives what waited before and waits now, or nothing when it is closed.
    #[inline]
    fn put(&self, message: Bytes) -> Option<(usize, usize)> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return None;
        }
        let before = self.waiting_bytes();
        let after = before + message.len() + PLACE_BYTES;
        inner.messages.push_back(message);
        self.waiting.store(after, Ordering::Relaxed);
        Some((before, after))
    }

    /// Puts back in front what was taken and could not be sent.
    pub(super) fn put_back(&self, rest: Bytes) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            self.waiting.fetch_add(rest.len() + PLACE_BYTES, Ordering::Relaxed);
            inner.taken -= 1;
            inner.messages.push_front(rest);
        }
    }

    /// How many messages were ever put in: a place in their order.
    pub fn place(&self) -> u64 {
        let inner = self.inner.lock();
        inner.taken + inner.messages.len() as u64
    }

    /// Gives the messages before a place to `take`, in order; tells what is still counted.
    pub fn drain(&self, memory: &Memory, place: u64, mut take: impl FnMut(Bytes)) -> usize {
        let inner = &mut *self.inner.lock();
        let wanted = place.saturating_sub(inner.taken).min(inner.messages.len() as u64);
        let mut left = self.waiting_bytes();
        for message in inner.messages.drain(..wanted as usize) {
            left -= message.len() + PLACE_BYTES;
            take(message);
        }
        inner.taken += wanted;
        if left == 0 && inner.messages.capacity() > KEEP_PLACES {
            inner.messages = VecDeque::new();
        }
        self.waiting.store(left, Ordering::Relaxed);
        self.count(inner, left.min(inner.counted), memory);
        inner.counted
    }

    /// Drops all messages, and those that come from now on.
    pub fn close(&self, memory: &Memory) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.messages = VecDeque::new();
        self.waiting.store(0, Ordering::Relaxed);
        self.count(&mut inner, 0, memory);
    }

    fn count(&self, inner: &mut Inner, bytes: usize, memory: &Memory) {
        if inner.counted != bytes {
            memory.add_buffers(bytes as i64 - inner.counted as i64);
            inner.counted = bytes;
        }
    }

    /// Brings the node's memory up to what waits, and tells it.
    fn count_waiting(&self, memory: &Memory) -> usize {
        let mut inner = self.inner.lock();
        let waiting = self.waiting_bytes();
        self.count(&mut inner, waiting, memory);
        waiting
    }
}

impl Shared {
    /// Leaves a message for a client and sees to it that it is sent.
    #[inline]
    pub fn deliver(&self, client: &Arc<Client>, message: Bytes) {
        if client.is_killed() {
            return;
        }
        let Some((before, after)) = client.mailbox.put(message) else { return };
        if before == 0 {
            post::take_or_wake(client);
        }
        if after + client.output_bytes.load(Ordering::Relaxed) > UNCOUNTED_BYTES {
            self.limit_mail(client);
        }
    }

    /// Cuts a client off that has too much waiting, and counts what others have.
    #[cold]
    fn limit_mail(&self, client: &Client) {
        let memory = self.keyspace.memory();
        let mail_bytes = client.mailbox.count_waiting(memory);
        self.clients.set_mail(client, mail_bytes);
        let waiting = mail_bytes + client.output_bytes.load(Ordering::Relaxed);
        // Nothing below this is above any limit.
        if over_free_output(waiting) == 0 {
            return;
        }
        let limit = client.output_limit(&self.config.load().client_output_buffer_limit);
        if client.is_over(limit, waiting, self.clock.unix_ms()) {
            tracing::warn!(id = client.id, waiting, "closing a client that does not read");
            client.cut();
            client.mailbox.close(memory);
            self.clients.set_mail(client, 0);
        }
    }

    /// Gives a client's messages to `take`, in order; for its own connection.
    pub fn take_mail(&self, client: &Client, take: impl FnMut(Bytes)) {
        self.take_mail_before(client, u64::MAX, take);
    }

    /// As [`take_mail`](Self::take_mail), but only what was put in before a place.
    pub fn take_mail_before(&self, client: &Client, place: u64, take: impl FnMut(Bytes)) {
        let counted = client.mailbox.drain(self.keyspace.memory(), place, take);
        self.clients.set_mail(client, counted);
    }

    /// Ends all that a client is told unasked: it goes, or is as good as new.
    pub fn stop_pushing(&self, client: &Client) {
        self.push.channels.leave(client);
        self.push.monitors.remove(client);
        self.tracking.disable(client);
        self.count_subscriptions(client);
    }

    /// Brings the node's memory up to a client's subscriptions and prefixes.
    pub fn count_subscriptions(&self, client: &Client) {
        let bytes = client.subscribed_bytes.load(Ordering::Relaxed);
        let before = client.counted_subscriptions.swap(bytes, Ordering::Relaxed);
        if bytes != before {
            self.keyspace.memory().add_buffers(bytes as i64 - before as i64);
            self.clients.share(client);
        }
    }

    /// Ends it for good, and drops what it was told.
    pub fn close_mail(&self, client: &Client) {
        self.stop_pushing(client);
        client.mailbox.close(self.keyspace.memory());
        self.clients.set_mail(client, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_in_order_and_counted_once() {
        let (mailbox, memory) = (Mailbox::default(), Memory::default());
        let first = mailbox.put(Bytes::from_static(b"ab"));
        assert_eq!(first, Some((0, 2 + PLACE_BYTES)));
        assert_eq!(
            mailbox.put(Bytes::from_static(b"c")).map(|(before, _)| before),
            first.map(|f| f.1)
        );
        assert_eq!((mailbox.len(), mailbox.waiting_bytes()), (2, 3 + 2 * PLACE_BYTES));
        assert_eq!(memory.buffer_bytes(), 0, "little mail is not counted");
        assert_eq!(mailbox.count_waiting(&memory) as u64, memory.buffer_bytes());
        let mut taken = Vec::new();
        let place = mailbox.place();
        mailbox.put(Bytes::from_static(b"d"));
        mailbox.drain(&memory, place, |message| taken.push(message));
        assert_eq!(mailbox.waiting_bytes(), 1 + PLACE_BYTES);
        mailbox.drain(&memory, u64::MAX, |message| taken.push(message));
        assert_eq!(taken, [&b"ab"[..], b"c", b"d"]);
        assert!(mailbox.is_empty() && memory.buffer_bytes() == 0);
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let (mailbox, memory) = (Mailbox::default(), Memory::default());
        mailbox.put(Bytes::from_static(b"abc"));
        mailbox.put(Bytes::from_static(b"d"));
        mailbox.drain(&memory, 1, |_| {});
        mailbox.put_back(Bytes::from_static(b"bc"));
        let mut taken = Vec::new();
        mailbox.drain(&memory, 1, |message| taken.push(message));
        mailbox.drain(&memory, u64::MAX, |message| taken.push(message));
        assert_eq!(taken, [&b"bc"[..], b"d"]);
        assert!(mailbox.is_empty());
    }

    #[test]
    fn a_closed_mailbox_takes_nothing() {
        let (mailbox, memory) = (Mailbox::default(), Memory::default());
        mailbox.put(Bytes::from_static(b"x"));
        mailbox.count_waiting(&memory);
        mailbox.close(&memory);
        assert_eq!(mailbox.put(Bytes::from_static(b"y")), None);
        assert_eq!((mailbox.len(), mailbox.waiting_bytes(), memory.buffer_bytes()), (0, 0, 0));
    }
}
