//! The reply bytes of one connection that wait for its socket.
//!
//! Small replies are appended to one buffer; a large value is kept as a shared slice between two
//! pieces of it, so it is never copied. The buffer is the thread's own, borrowed; it is given back
//! once everything is sent.

use bytes::{Buf, Bytes};
use larder_protocol::encode::Output;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// A shared value of at least this many bytes is sent from where it is.
const SHARE_BYTES: usize = 16 * 1024;
/// Slices handed to one vectored write.
const SLICES: usize = 32;
/// Sent bytes in front of at most as many unsent ones that are worth moving the latter.
const COMPACT_BYTES: usize = 64 * 1024;
/// A thread keeps buffers of so many bytes in all; what goes beyond is freed.
const KEEP_BYTES: usize = 1024 * 1024;
/// Buffers that a thread keeps: for as many connections as are likely to have replies at once.
const KEEP_BUFFERS: usize = 64;

/// Buffers for replies that no connection of a thread uses now.
#[derive(Debug, Default)]
pub struct SpareBuffers {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl SpareBuffers {
    #[inline]
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    #[inline]
    fn keep(&mut self, buffer: Vec<u8>) {
        let bytes = self.bytes + buffer.capacity();
        if buffer.capacity() > 0 && bytes <= KEEP_BYTES && self.buffers.len() < KEEP_BUFFERS {
            self.bytes = bytes;
            self.buffers.push(buffer);
        }
    }

    /// What they take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Reply bytes in order.
#[derive(Default)]
pub struct OutputBuffer {
    /// What comes before `tail`.
    segments: VecDeque<Bytes>,
    segment_bytes: usize,
    tail: Vec<u8>,
    /// Bytes of `tail` that are sent.
    sent: usize,
    /// Whether the stream took bytes that it may still hold, as one that encrypts does.
    unflushed: bool,
    /// Where the unsent bytes begin, in a count that goes on; it may begin below 0.
    begin: i64,
    /// Where, in that count, the bytes begin that must not be sent yet.
    held_from: Option<i64>,
}

impl OutputBuffer {
    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.segment_bytes + self.tail.len() - self.sent
    }

    /// Where the next byte will stand, in a count that goes on.
    #[inline]
    pub fn end(&self) -> i64 {
        self.begin + self.len() as i64
    }

    /// Where the unsent bytes begin, in the same count.
    pub fn begin(&self) -> i64 {
        self.begin
    }

    /// Sends nothing from here on until told otherwise.
    pub fn hold_from(&mut self, place: Option<i64>) {
        self.held_from = place;
    }

    /// Replaces the first `len` bytes, none of which was sent.
    pub fn replace_front(&mut self, len: usize, bytes: &'static [u8]) {
        self.advance(len);
        self.begin -= bytes.len() as i64;
        self.segment_bytes += bytes.len();
        self.segments.push_front(Bytes::from_static(bytes));
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing waits, here or in the stream.
    #[inline]
    pub fn is_sent(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    /// Bytes of memory that small replies take, sent and unsent.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Takes one of the thread's buffers unless there is one in use.
    #[inline]
    pub fn borrow_from(&mut self, spare: &mut SpareBuffers) {
        if self.tail.capacity() == 0 {
            self.tail = spare.take();
        }
    }

    /// Gives the empty buffer back to the thread.
    #[inline]
    pub fn give_back(&mut self, spare: &mut SpareBuffers) {
        self.tail.clear();
        self.sent = 0;
        spare.keep(std::mem::take(&mut self.tail));
    }

    /// Appends a protocol error.
    pub fn error(&mut self, error: &larder_protocol::ProtocolError) {
        self.tail.extend_from_slice(format!("-ERR {error}\r\n").as_bytes());
    }

    /// Writes as much as the stream takes; ready when nothing waits, neither here nor in the stream.
    #[inline]
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            if let Some(place) = self.held_from {
                ready!(self.poll_write_before(place, stream, context))?;
                continue;
            }
            let written = if self.segments.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(context, &self.tail[self.sent..]))?
            } else {
                let mut slices: Vec<IoSlice<'_>> = self
                    .segments
                    .iter()
                    .take(SLICES)
                    .map(|segment| IoSlice::new(segment))
                    .collect();
                if slices.len() < SLICES {
                    slices.push(IoSlice::new(&self.tail[self.sent..]));
                }
                ready!(Pin::new(&mut *stream).poll_write_vectored(context, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
        ready!(Pin::new(stream).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Writes some of what stands before a place; pending when nothing does.
    #[cold]
    fn poll_write_before<S: AsyncWrite + Unpin>(
        &mut self,
        place: i64,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let free = usize::try_from(place - self.begin).unwrap_or(0).min(self.len());
        if free == 0 {
            // Whoever lets the rest go wakes the connection; what was written is no longer ours.
            if self.unflushed {
                ready!(Pin::new(stream).poll_flush(context))?;
                self.unflushed = false;
            }
            return Poll::Pending;
        }
        let first = match self.segments.front() {
            Some(segment) => &segment[..free.min(segment.len())],
            None => &self.tail[self.sent..self.sent + free],
        };
        match ready!(Pin::new(stream).poll_write(context, first))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => {
                self.unflushed = true;
                self.advance(written);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.begin += written as i64;
        while let Some(segment) = self.segments.front_mut() {
            let taken = written.min(segment.len());
            segment.advance(taken);
            self.segment_bytes -= taken;
            written -= taken;
            if !segment.is_empty() {
                return;
            }
            self.segments.pop_front();
        }
        self.sent += written;
        // A client that reads all the time but never catches up would keep what it has read.
        if self.sent >= COMPACT_BYTES && self.sent >= self.tail.len() - self.sent {
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
    }
}

impl Output for OutputBuffer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    fn put_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_BYTES {
            return self.put(&bytes);
        }
        if self.tail.len() > self.sent {
            let mut before = Bytes::from(std::mem::take(&mut self.tail));
            before.advance(self.sent);
            self.segment_bytes += before.len();
            self.segments.push_back(before);
        } else {
            self.tail.clear();
        }
        self.sent = 0;
        self.segment_bytes += bytes.len();
        self.segments.push_back(bytes);
    }
}
