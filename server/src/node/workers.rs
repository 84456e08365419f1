//! The connection threads: one current-thread runtime each, connections pinned to their thread.

use super::clients::Client;
use super::expiry;
use super::shared::Shared;
use crate::connection::{self, Thread};
use crate::dispatch::Executor;
use parking_lot::RwLock;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A byte stream that a connection thread shall serve.
pub enum Stream {
    /// An accepted TCP connection.
    Tcp(std::net::TcpStream),
    /// An accepted Unix connection.
    Unix(std::os::unix::net::UnixStream),
    /// One end of a pipe inside this process.
    Duplex(DuplexStream),
}

/// A connection on its way to a thread. `maxclients` bounds how many there are.
pub struct Arrival {
    /// Its bytes.
    pub stream: Stream,
    /// Its entry in the registry.
    pub client: Arc<Client>,
}

/// Hands connections to the threads in turn.
#[derive(Default)]
pub struct Workers {
    threads: RwLock<Vec<UnboundedSender<Arrival>>>,
    next: AtomicUsize,
}

impl Workers {
    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.threads.read().len()
    }

    /// Gives a connection to the next thread; false when the node has ended.
    pub fn assign(&self, arrival: Arrival) -> bool {
        let threads = self.threads.read();
        if threads.is_empty() {
            return false;
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % threads.len();
        threads[next].send(arrival).is_ok()
    }

    /// Lets the threads run out of new connections.
    pub(super) fn close(&self) {
        self.threads.write().clear();
    }

    pub(super) fn add(&self) -> UnboundedReceiver<Arrival> {
        let (sender, receiver) = unbounded_channel();
        self.threads.write().push(sender);
        receiver
    }
}

/// The body of connection thread `index` of `count`.
pub(super) fn run(
    node: &Arc<Shared>,
    index: usize,
    count: usize,
    mut arrivals: UnboundedReceiver<Arrival>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let thread = Rc::new(Thread::new(Executor::new(Arc::clone(node))));
    runtime.block_on(async {
        let stripe = expiry::run(Rc::clone(&thread), index, count);
        tokio::task::spawn_local(stripe);
        loop {
            tokio::select! {
                () = node.shutdown.requested() => return,
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => {
                        tokio::task::spawn_local(serve(Rc::clone(&thread), arrival));
                    }
                    None => return,
                },
            }
        }
    });
    runtime.block_on(connection::drain(node));
    // Dropping the runtime ends the remaining tasks, and with them their connections.
    Ok(())
}

async fn serve(thread: Rc<Thread>, arrival: Arrival) {
    let client = arrival.client;
    let result = match arrival.stream {
        Stream::Tcp(stream) => match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => connection::serve(stream, client, thread).await,
            Err(error) => Err(error),
        },
        Stream::Unix(stream) => match tokio::net::UnixStream::from_std(stream) {
            Ok(stream) => connection::serve(stream, client, thread).await,
            Err(error) => Err(error),
        },
        Stream::Duplex(stream) => connection::serve(stream, client, thread).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
