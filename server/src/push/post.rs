//! The post of a connection thread: one task that writes the mail of all its clients that are at rest.
//!
//! Waking a connection's task for a message costs about as much as all else that is done for it short
//! of the system call, so a message to a thousand subscribers would cost a thousand times that. Who
//! leaves mail for a client of the same thread notes the client here instead. The post comes when the
//! connections that are ready have had their turn, and writes to each socket what waits for it: once,
//! however many messages that are and whoever sent them.
//!
//! Invariant: a client is written to here only on its own thread and while its connection is at rest,
//! which says that nothing of its own is unsent. So nothing is overtaken, and the descriptor is still
//! the client's: the task that would close it runs on this thread. Everybody else's task is woken, as
//! is that of a client whose socket does not take all.

use crate::connection::Thread;
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::observe::stats::ThreadStats;
use bytes::Bytes;
use nix::sys::socket::{MsgFlags, send};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// Clients that are written to before the thread's connections get their turn: half a millisecond.
const BATCH_CLIENTS: usize = 128;
/// More mail than this is sent from where it is, by its connection; here it is copied.
const MOST_BYTES: usize = 16 * 1024;

thread_local! {
    static HERE: RefCell<Office> =
        const { RefCell::new(Office { thread: 0, clients: VecDeque::new(), idle: None }) };
}

/// Where the post of this thread is left.
struct Office {
    /// The connection thread that it is; 0 where there is no post.
    thread: usize,
    /// Who has mail.
    clients: VecDeque<Arc<Client>>,
    /// The post, while it waits.
    idle: Option<Waker>,
}

/// A post that works; where it ends, tasks are woken again.
struct Open;

impl Open {
    fn on(thread: usize) -> Self {
        HERE.with_borrow_mut(|here| here.thread = thread);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        HERE.with_borrow_mut(|here| {
            here.thread = 0;
            here.clients.drain(..).for_each(|client| client.wake());
        });
    }
}

/// The post of a thread, for as long as the thread runs.
pub(crate) async fn run(thread: Rc<Thread>) {
    let node = thread.node();
    let _open = Open::on(thread.load().id);
    let (mut clients, mut bytes) = (Vec::new(), Vec::new());
    loop {
        poll_fn(|context| poll_batch(&mut clients, context)).await;
        deliver_all(&thread, &node, &mut clients, &mut bytes);
        tokio::task::yield_now().await;
    }
}

/// Waits for somebody who has mail, and takes some of them.
fn poll_batch(clients: &mut Vec<Arc<Client>>, context: &Context<'_>) -> Poll<()> {
    HERE.with_borrow_mut(|here| {
        if here.clients.is_empty() {
            here.idle = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = here.clients.len().min(BATCH_CLIENTS);
        clients.extend(here.clients.drain(..count));
        Poll::Ready(())
    })
}

/// Sees to it that a client's first waiting message is sent: by this thread's post if it may, or by
/// the client's own task.
#[inline]
pub(super) fn take_or_wake(client: &Arc<Client>) {
    let is_taken = HERE.with_borrow_mut(|here| {
        let takes = here.thread > 0 && client.is_at_rest_on(here.thread);
        if takes {
            here.clients.push_back(Arc::clone(client));
            if let Some(post) = here.idle.take() {
                post.wake();
            }
        }
        takes
    });
    if !is_taken {
        client.wake();
    }
}

fn deliver_all(
    thread: &Thread,
    node: &Shared,
    clients: &mut Vec<Arc<Client>>,
    bytes: &mut Vec<u8>,
) {
    let executor = thread.executor();
    let now_ms = node.clock.unix_ms();
    clients.drain(..).for_each(|client| deliver(node, executor.stats(), now_ms, &client, bytes));
}

fn deliver(node: &Shared, stats: &ThreadStats, now_ms: i64, client: &Client, bytes: &mut Vec<u8>) {
    let waiting = client.mailbox.waiting_bytes();
    if waiting == 0 {
        return;
    }
    let is_mine = HERE.with_borrow(|here| client.is_at_rest_on(here.thread));
    if !is_mine || client.is_killed() || waiting > MOST_BYTES {
        return client.wake();
    }
    bytes.clear();
    node.take_mail(client, |message| bytes.extend_from_slice(&message));
    // Why a socket takes nothing, its task finds out.
    let sent = send(client.fd, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).unwrap_or(0);
    stats.net_output_bytes.add(sent as u64);
    stats.writes.add(1);
    client.net_out_bytes.add(sent as u64);
    if sent > 0 {
        client.last_active_ms.store(now_ms, Ordering::Relaxed);
    }
    if sent < bytes.len() {
        client.mailbox.put_back(Bytes::copy_from_slice(&bytes[sent..]));
        client.wake();
    }
}
