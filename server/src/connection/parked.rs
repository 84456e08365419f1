//! A connection whose command waits, for a key or for the end of a pause.

use super::{Connection, End, READ_BYTES};
use crate::commands::row::Flags;
use crate::config::WriteAcks;
use crate::dispatch::blocking::{Ended, Waiter};
use crate::keyspace::wait;
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::encode::Output;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A command that waits, as its connection sees it; the wait ends with this.
pub(super) struct Parked {
    pub(super) waiter: Arc<Waiter>,
    client: Arc<Client>,
    node: Arc<Shared>,
    has_left: bool,
}

impl Parked {
    pub(super) fn new(node: &Arc<Shared>, session: &Session, waiter: Arc<Waiter>) -> Self {
        let client = Arc::clone(&session.client);
        client.blocked.store(true, Ordering::Relaxed);
        Self { waiter, client, node: Arc::clone(node), has_left: false }
    }

    /// Takes the waiter out of its queues. A slow script may keep it from that for long: the thread has
    /// other clients.
    pub(super) async fn leave(&mut self) {
        wait::until(|| self.waiter.try_leave(&self.node)).await;
        self.has_left = true;
    }

    /// Ends when the wait shall.
    pub(super) fn time_out(&self) -> impl Future<Output = ()> + use<> {
        let now_ms = self.node.clock.unix_ms();
        let left_ms = self.waiter.until_ms.map(|until_ms| until_ms.saturating_sub(now_ms).max(0));
        async move {
            match left_ms {
                Some(left_ms) => tokio::time::sleep(Duration::from_millis(left_ms as u64)).await,
                None => pending().await,
            }
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        *self.client.parked.lock() = None;
        self.client.blocked.store(false, Ordering::Relaxed);
        if !self.has_left {
            self.waiter.leave(&self.node);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Resolves to false when the pause changed, to true when the connection is over.
    pub(super) fn poll_paused(
        &mut self,
        context: &mut Context<'_>,
        resumed: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<io::Result<bool>> {
        if self.is_told_to_end(context) {
            return Poll::Ready(Ok(true));
        }
        if let Poll::Ready(result) = self.poll_send(context) {
            result?;
        }
        // Whoever is gone by the end of the pause writes nothing any more. To notice it costs no more
        // memory than a read does: what comes beyond that waits in the socket.
        while self.query.len() < READ_BYTES
            && let Poll::Ready(received) = self.poll_read(context)
        {
            match received? {
                0 => return Poll::Ready(Ok(true)),
                received => self.keep(received),
            }
        }
        resumed.poll(context).map(|()| Ok(false))
    }

    /// Ends the watches of a connection that is over.
    pub(super) async fn end_watches(&mut self, end: &io::Result<End>) {
        if matches!(end, Ok(End::Over) | Err(_)) {
            self.session.transaction.end_watches(&self.node).await;
        }
    }

    /// Resolves to how the wait ended, or to nothing when the connection is over.
    pub(super) fn poll_parked(
        &mut self,
        context: &mut Context<'_>,
        waiter: &Waiter,
        time_out: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<io::Result<Option<Ended>>> {
        if self.is_told_to_end(context) {
            return Poll::Ready(Ok(None));
        }
        if time_out.poll(context).is_ready() {
            waiter.time_out(&self.node);
        }
        // What is told after the wait has ended belongs behind the reply.
        let place = self.session.client.mailbox.place();
        if let Some(ended) = waiter.take_ended() {
            return Poll::Ready(Ok(Some(ended)));
        }
        if self.session.client.output_bytes.load(Ordering::Relaxed) == 0 {
            self.move_mail(place);
        }
        if let Poll::Ready(result) = self.poll_flush(context) {
            result?;
            if !self.session.client.mailbox.is_empty() {
                context.waker().wake_by_ref();
            }
        }
        // What the client sends meanwhile is kept; that it goes away must not stay unnoticed.
        while let Poll::Ready(received) = self.poll_read(context) {
            match received? {
                0 => return Poll::Ready(Ok(None)),
                received => self.keep(received),
            }
        }
        Poll::Pending
    }

    /// Keeps bytes that come while a command waits.
    fn keep(&mut self, received: usize) {
        let thread = Rc::clone(&self.thread);
        self.query.extend_from_slice(&thread.input.borrow()[..received]);
        let executor = thread.executor.borrow();
        self.check_query_limit(&executor);
        self.tell(&executor, received, 0);
    }

    /// Sends the reply of a command that waited, and goes on with what came meanwhile.
    pub(super) fn resume(&mut self, parked: Parked, ended: &Ended) {
        let thread = Rc::clone(&self.thread);
        let waiter = Arc::clone(&parked.waiter);
        // It has left under the locks of its keys: by then, whoever served it had logged the effect.
        drop(parked);
        self.move_mail(ended.place);
        self.output.borrow_from(&mut thread.output.borrow_mut());
        let begin = self.output.end();
        self.output.put(&ended.reply);
        let executor = thread.executor.borrow();
        if ended.failure.is_none() {
            self.session.propagated_to = self.session.propagated_to.max(self.node.log.offset());
        }
        if self.node.member().is_some() {
            if ended.failure.is_none() {
                self.session.written_to = self.session.written_to.max(self.node.log.offset());
                self.fence_reply(begin, true, &executor);
            }
        } else if executor.settings().write_acks != WriteAcks::Primary
            && ended.is_served
            && ended.failure.is_none()
            && (waiter.command().row.flags.has(Flags::WRITE) || !self.node.role.is_replica())
        {
            self.hold(begin, self.node.log.offset(), executor.settings());
        }
        self.hold_for_disk(begin);
        executor.count_parked(&self.session, &waiter, ended);
        self.session.closing |= ended.closes;
        self.more = !self.query.is_empty();
    }
}
