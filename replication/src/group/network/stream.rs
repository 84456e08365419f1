//! One connection of the network.
//!
//! Without a fault every call goes straight to the transport. Under one, what is written goes into a
//! queue, each piece with a timer of its own, and a task carries it on: in order, when it is due and
//! the direction is not cut. What is read is held back in the same way at the reader's side. The
//! task outlives the stream, so that what was written before it was dropped arrives, and its end
//! after that.

use super::Fault;
use crate::group::config::NodeId;
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

/// What one direction keeps while it is cut or slow: about what the socket buffers of both ends do.
const KEPT_BYTES: usize = 256 * 1024;
/// Bytes of one piece.
const PIECE_BYTES: usize = 16 * 1024;

/// What a connection runs over.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sees to it that the other end gets an error, not an end, when this is dropped.
    fn reset_on_drop(&self) {}
}

impl Transport for TcpStream {
    fn reset_on_drop(&self) {
        // Where that fails the other end sees an end.
        let _ = self.set_zero_linger();
    }
}

impl Transport for tokio::io::DuplexStream {}

/// A connection as its network sees it.
pub(super) trait Control: Send + Sync {
    fn ends(&self) -> (&NodeId, &NodeId);
    fn set(&self, there: Fault, back: Fault);
    fn reset(&self);
}

/// A connection with the faults of its network.
pub struct FaultyStream<S: Transport>(Arc<Wire<S>>);

struct Wire<S> {
    from: NodeId,
    to: NodeId,
    /// None once the connection was reset or closed.
    transport: Mutex<Option<S>>,
    there: Direction,
    back: Direction,
}

/// One direction's faults, and what is on its way.
#[derive(Default)]
struct Direction {
    /// Whether there is a fault, or something on its way that nothing may overtake.
    is_slow: AtomicBool,
    lane: Mutex<Lane>,
}

#[derive(Default)]
struct Lane {
    fault: Fault,
    pieces: VecDeque<Piece>,
    kept_bytes: usize,
    /// Whether a task carries the pieces on; only where they are written.
    is_carried: bool,
    /// Whom to wake when the fault changes.
    carrier: Option<Waker>,
    /// Whom to wake when there is room.
    writer: Option<Waker>,
}

struct Piece {
    what: What,
    due: Pin<Box<Sleep>>,
}

enum What {
    Bytes(Bytes),
    End,
    Error(ErrorKind),
    /// The stream was dropped.
    Close,
}

impl Lane {
    fn push(&mut self, what: What) {
        if let What::Bytes(bytes) = &what {
            self.kept_bytes += bytes.len();
        }
        self.pieces.push_back(Piece { what, due: Box::pin(sleep(self.fault.latency)) });
    }

    /// Whom to wake when the fault changes.
    fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.carrier {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn room(&self) -> usize {
        KEPT_BYTES.saturating_sub(self.kept_bytes)
    }

    /// Waits until the first piece may go on; none for none.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let Some(piece) = self.pieces.front_mut() else { return Poll::Ready(None) };
        ready!(piece.due.as_mut().poll(cx));
        if self.fault.is_cut {
            self.remember(cx);
            return Poll::Pending;
        }
        Poll::Ready(Some(()))
    }
}

impl Direction {
    fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Acquire)
    }

    fn set(&self, fault: Fault) {
        let mut lane = self.lane.lock();
        lane.fault = fault;
        self.settle(&lane);
        let woken = lane.carrier.take();
        drop(lane);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Says whether bytes may go straight through from now on.
    fn settle(&self, lane: &Lane) {
        let is_slow = lane.fault != Fault::default() || lane.is_carried || !lane.pieces.is_empty();
        self.is_slow.store(is_slow, Ordering::Release);
    }

    fn wake_all(&self) {
        let mut lane = self.lane.lock();
        let woken = [lane.carrier.take(), lane.writer.take()];
        drop(lane);
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

impl<S: Transport> Control for Wire<S> {
    fn ends(&self) -> (&NodeId, &NodeId) {
        (&self.from, &self.to)
    }

    fn set(&self, there: Fault, back: Fault) {
        self.there.set(there);
        self.back.set(back);
    }

    fn reset(&self) {
        if let Some(transport) = self.transport.lock().take() {
            transport.reset_on_drop();
        }
        // Whoever waits for something finds no transport.
        for direction in [&self.there, &self.back] {
            direction.is_slow.store(true, Ordering::Release);
            direction.wake_all();
        }
    }
}

impl<S: Transport> Wire<S> {
    /// Asks the transport, which may be gone.
    fn with<T>(&self, ask: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.transport.lock().as_mut() {
            Some(transport) => ask(Pin::new(transport)),
            None => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        }
    }

    fn is_reset(&self) -> bool {
        self.transport.lock().is_none()
    }

    /// Puts something on the way; the lane is that of `there`.
    fn send(self: &Arc<Self>, lane: &mut Lane, what: What) {
        lane.push(what);
        self.there.settle(lane);
        if !lane.is_carried {
            // Outside a runtime, where only a drop can come from, there is nobody to carry it.
            let Ok(runtime) = Handle::try_current() else { return };
            lane.is_carried = true;
            runtime.spawn(carry(self.clone()));
        }
    }

    /// What the other end did to a write is not known across a cut.
    fn hide_error(&self, result: io::Result<usize>, bytes: usize) -> io::Result<usize> {
        match result {
            Err(_) if self.back.lane.lock().fault.is_cut && !self.is_reset() => Ok(bytes),
            result => result,
        }
    }

    /// Takes what the transport has into the lane of `back`, as far as there is room.
    fn fetch(&self, lane: &mut Lane, cx: &mut Context<'_>) {
        let is_over = |piece: Option<&Piece>| {
            piece.is_some_and(|piece| !matches!(piece.what, What::Bytes(_)))
        };
        let mut buffer = [0; PIECE_BYTES];
        while lane.room() >= PIECE_BYTES && !is_over(lane.pieces.back()) {
            let mut buffer = ReadBuf::new(&mut buffer);
            match self.with(|transport| transport.poll_read(cx, &mut buffer)) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => lane.push(What::Error(error.kind())),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => lane.push(What::End),
                Poll::Ready(Ok(())) => {
                    lane.push(What::Bytes(Bytes::copy_from_slice(buffer.filled())));
                }
            }
        }
    }
}

/// Carries what was written to the transport, until nothing is left.
async fn carry<S: Transport>(wire: Arc<Wire<S>>) {
    loop {
        let next = poll_fn(|cx| {
            let mut lane = wire.there.lane.lock();
            if wire.is_reset() {
                lane.pieces.clear();
                lane.kept_bytes = 0;
            }
            let due = ready!(lane.poll_due(cx));
            let piece = due.and_then(|()| lane.pieces.pop_front());
            if piece.is_none() {
                lane.is_carried = false;
                if !wire.is_reset() {
                    wire.there.settle(&lane);
                }
            }
            Poll::Ready(piece.map(|piece| piece.what))
        });
        match next.await {
            None => return,
            Some(What::Bytes(bytes)) => {
                let length = bytes.len();
                write(&wire, bytes).await;
                let mut lane = wire.there.lane.lock();
                lane.kept_bytes = lane.kept_bytes.saturating_sub(length);
                let writer = lane.writer.take();
                drop(lane);
                writer.into_iter().for_each(Waker::wake);
            }
            Some(What::End) => {
                // An end that cannot be told is known there already.
                let _ = poll_fn(|cx| wire.with(|transport| transport.poll_shutdown(cx))).await;
            }
            Some(What::Error(_) | What::Close) => drop(wire.transport.lock().take()),
        }
    }
}

/// Writes a piece. An error is not told here: the next read or write meets it.
async fn write<S: Transport>(wire: &Wire<S>, mut bytes: Bytes) {
    while bytes.has_remaining() {
        match poll_fn(|cx| wire.with(|transport| transport.poll_write(cx, &bytes))).await {
            Ok(written) if written > 0 => bytes.advance(written),
            _ => return,
        }
    }
}

impl<S: Transport> FaultyStream<S> {
    pub(super) fn new(from: NodeId, to: NodeId, transport: S) -> Self {
        let transport = Mutex::new(Some(transport));
        let (there, back) = Default::default();
        Self(Arc::new(Wire { from, to, transport, there, back }))
    }

    pub(super) fn control(&self) -> Arc<dyn Control> {
        self.0.clone()
    }
}

impl FaultyStream<TcpStream> {
    /// The own address.
    ///
    /// # Errors
    /// That of a socket that is closed.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        match self.0.transport.lock().as_ref() {
            Some(socket) => socket.local_addr(),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// The other end's address.
    ///
    /// # Errors
    /// That of a socket that is closed.
    pub fn peer_addr(&self) -> io::Result<std::net::SocketAddr> {
        match self.0.transport.lock().as_ref() {
            Some(socket) => socket.peer_addr(),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl<S: Transport> AsyncRead for FaultyStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &self.0;
        if !wire.back.is_slow() {
            let read = wire.with(|transport| transport.poll_read(cx, buf));
            if read.is_ready() {
                return read;
            }
            // Should a reset come now, the reader has to look again.
            wire.back.lane.lock().remember(cx);
            if !wire.back.is_slow() {
                return Poll::Pending;
            }
        }
        let mut lane = wire.back.lane.lock();
        if wire.is_reset() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        lane.remember(cx);
        wire.fetch(&mut lane, cx);
        if ready!(lane.poll_due(cx)).is_none() {
            wire.back.settle(&lane);
            return Poll::Pending;
        }
        let Some(piece) = lane.pieces.front_mut() else { return Poll::Pending };
        match &mut piece.what {
            What::Bytes(bytes) => {
                let part = bytes.split_to(bytes.len().min(buf.remaining()));
                let is_empty = bytes.is_empty();
                buf.put_slice(&part);
                lane.kept_bytes = lane.kept_bytes.saturating_sub(part.len());
                if is_empty {
                    lane.pieces.pop_front();
                }
                wire.back.settle(&lane);
                Poll::Ready(Ok(()))
            }
            What::Error(kind) => Poll::Ready(Err((*kind).into())),
            What::End | What::Close => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Transport> FaultyStream<S> {
    /// Takes what is written into the queue.
    fn poll_keep(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = self.0.there.lane.lock();
        if self.0.is_reset() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let length = bytes.len().min(lane.room()).min(PIECE_BYTES);
        if length == 0 && !bytes.is_empty() {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if length > 0 {
            self.0.send(&mut lane, What::Bytes(Bytes::copy_from_slice(&bytes[..length])));
        }
        Poll::Ready(Ok(length))
    }

    /// Writes straight through, or into the queue.
    fn poll_put(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.0.there.is_slow() {
            return self.poll_keep(cx, bytes);
        }
        match self.0.with(|transport| write(transport, cx)) {
            Poll::Ready(result) => Poll::Ready(self.0.hide_error(result, bytes.len())),
            Poll::Pending => {
                // Should a fault come now, the queue has room.
                self.0.there.lane.lock().remember(cx);
                match self.0.there.is_slow() {
                    true => self.poll_keep(cx, bytes),
                    false => Poll::Pending,
                }
            }
        }
    }
}

impl<S: Transport> AsyncWrite for FaultyStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_put(cx, buf, |transport, cx| transport.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &**buf);
        self.poll_put(cx, first, |transport, cx| transport.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.transport.lock().as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.there.is_slow() && !self.0.is_reset() {
            true => Poll::Ready(Ok(())),
            false => self.0.with(|transport| transport.poll_flush(cx)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.0.there.is_slow() || self.0.is_reset() {
            return self.0.with(|transport| transport.poll_shutdown(cx));
        }
        self.0.send(&mut self.0.there.lane.lock(), What::End);
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> Drop for FaultyStream<S> {
    fn drop(&mut self) {
        if self.0.there.is_slow() && !self.0.is_reset() {
            self.0.send(&mut self.0.there.lane.lock(), What::Close);
        }
    }
}
