//! The connection threads: one current-thread runtime each.
//!
//! A connection runs on one thread at a time. [`Balance`](super::balance::Balance) decides how many
//! threads are in use; a connection that is passed on travels as an [`Arrival`] like a new one, with
//! its session.

use super::balance::Load;
use super::clients::Client;
use super::expiry;
use super::member::relay;
use super::shared::Shared;
use crate::connection::{self, Served, Thread};
use crate::dispatch::Executor;
use crate::push::post;
use crate::replicas::link;
use crate::session::Session;
use crate::tls::TlsStream;
use larder_replication::pace;
use parking_lot::RwLock;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A byte stream that a connection thread shall serve.
pub enum Stream {
    /// An accepted TCP connection.
    Tcp(std::net::TcpStream),
    /// An accepted Unix connection.
    Unix(std::os::unix::net::UnixStream),
    /// A TCP connection after its TLS handshake, its socket loose.
    Tls(Box<TlsStream>),
    /// One end of a pipe inside this process.
    Duplex(DuplexStream),
}

/// A connection on its way to a thread. `maxclients` bounds how many there are.
pub struct Arrival {
    /// Its bytes.
    pub stream: Stream,
    /// Its state.
    pub session: Box<Session>,
}

/// Hands connections to the threads in use.
#[derive(Default)]
pub struct Workers {
    threads: RwLock<Vec<Worker>>,
    active: AtomicUsize,
    /// The one that serves those who come while scripts keep all others.
    spare: OnceLock<Worker>,
}

struct Worker {
    arrivals: UnboundedSender<Arrival>,
    load: Arc<Load>,
}

impl Workers {
    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.threads.read().len()
    }

    /// How many of them are in use.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed).clamp(1, self.count().max(1))
    }

    /// What each thread shows of itself.
    pub(crate) fn loads(&self) -> Vec<Arc<Load>> {
        self.threads.read().iter().map(|thread| Arc::clone(&thread.load)).collect()
    }

    /// Gives a connection to the thread in use that has the fewest.
    ///
    /// # Errors
    /// The node has ended; the connection comes back.
    pub fn assign(&self, arrival: Arrival) -> Result<(), Arrival> {
        let active = self.active();
        let threads = self.threads.read();
        let connections = |thread: &&Worker| thread.load.connections.load(Ordering::Relaxed);
        let is_free = |thread: &&Worker| !thread.load.stuck.load(Ordering::Relaxed);
        let free = threads.iter().take(active).filter(is_free).min_by_key(connections);
        let free = free.or_else(|| threads.iter().find(is_free));
        let spare = self.spare.get().filter(|_| !threads.is_empty());
        match free.or(spare) {
            Some(thread) => {
                thread.load.connections.fetch_add(1, Ordering::Relaxed);
                arrival.session.client.thread.store(thread.load.id, Ordering::Relaxed);
                // Nothing is in flight, so the thread may answer it before it is served.
                arrival.session.client.set_at_rest(true);
                thread.arrivals.send(arrival).map_err(|refused| refused.0)
            }
            None => Err(arrival),
        }
    }

    /// Uses the first `active` threads: tells each thread what it has too much.
    pub fn spread(&self, active: usize) {
        // A node that ends has no threads left.
        let active = active.max(1);
        self.active.store(active, Ordering::Relaxed);
        let loads = self.loads();
        let connections = |load: &Arc<Load>| load.connections.load(Ordering::Relaxed);
        let share = loads.iter().map(connections).sum::<usize>().div_ceil(active);
        for (index, load) in loads.iter().enumerate() {
            let keep = if index < active { share } else { 0 };
            load.surplus.store(connections(load).saturating_sub(keep), Ordering::Relaxed);
        }
    }

    /// Lets the threads run out of new connections.
    pub(super) fn close(&self) {
        self.threads.write().clear();
    }

    /// Makes the calling thread the one that helps out.
    pub(super) fn help_out(&self) -> (UnboundedReceiver<Arrival>, Arc<Load>) {
        let (arrivals, receiver) = unbounded_channel();
        let load = Arc::<Load>::default();
        // There is one such thread, so this is the first time.
        let _ = self.spare.set(Worker { arrivals, load: Arc::clone(&load) });
        (receiver, load)
    }

    /// Lets the thread that helps out pass its connections on, when others can take them.
    pub(super) fn relieve(&self) {
        let is_free = |thread: &Worker| !thread.load.stuck.load(Ordering::Relaxed);
        if let Some(spare) = self.spare.get()
            && spare.load.connections.load(Ordering::Relaxed) > 0
            && self.threads.read().iter().any(is_free)
        {
            let connections = spare.load.connections.load(Ordering::Relaxed);
            spare.load.surplus.store(connections, Ordering::Relaxed);
        }
    }

    pub(super) fn add(&self) -> (UnboundedReceiver<Arrival>, Arc<Load>) {
        let (arrivals, receiver) = unbounded_channel();
        let mut threads = self.threads.write();
        let load = Arc::new(Load::new(threads.len() + 1));
        threads.push(Worker { arrivals, load: Arc::clone(&load) });
        (receiver, load)
    }
}

/// The body of a connection thread. One that helps out has no `stripe` of the data set to look after:
/// which it is, and of how many.
pub(super) fn run(
    node: &Arc<Shared>,
    stripe: Option<(usize, usize)>,
    mut arrivals: UnboundedReceiver<Arrival>,
    load: &Arc<Load>,
) -> io::Result<()> {
    let (sleeper, waker) = (Arc::clone(load), Arc::clone(load));
    let (clock, same_clock) = (node.clock.clone(), node.clock.clone());
    super::stuck::enter(node, load);
    load.wake(&node.clock);
    pace::note_runtime();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || sleeper.sleep(&clock))
        .on_thread_unpark(move || waker.wake(&same_clock))
        .build_local(tokio::runtime::LocalOptions::default())?;
    let thread = Rc::new(Thread::new(Executor::new(Arc::clone(node)), Arc::clone(load)));
    runtime.block_on(async {
        if let Some((index, count)) = stripe {
            tokio::task::spawn_local(expiry::run(Rc::clone(&thread), index, count));
            tokio::task::spawn_local(post::run(Rc::clone(&thread)));
        }
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

/// Serves a connection on this thread until it ends or is passed on.
async fn serve(thread: Rc<Thread>, arrival: Arrival) {
    let session = *arrival.session;
    let client = Arc::clone(&session.client);
    let mut connected = Connected { thread: Rc::clone(&thread), client, passed_on: false };
    let result = match arrival.stream {
        Stream::Tcp(stream) => {
            let stream = tokio::net::TcpStream::from_std(stream);
            carry(stream, session, &thread, |stream| Ok(Stream::Tcp(stream.into_std()?))).await
        }
        Stream::Unix(stream) => {
            let stream = tokio::net::UnixStream::from_std(stream);
            carry(stream, session, &thread, |stream| Ok(Stream::Unix(stream.into_std()?))).await
        }
        Stream::Tls(mut stream) => {
            let stream = stream.attach().map(|()| stream);
            carry(stream, session, &thread, |mut stream| {
                stream.detach()?;
                Ok(Stream::Tls(stream))
            })
            .await
        }
        Stream::Duplex(stream) => {
            carry(Ok(stream), session, &thread, |stream| Ok(Stream::Duplex(stream))).await
        }
    };
    match result {
        Ok(None) => {}
        Ok(Some(arrival)) => connected.passed_on = thread.node().workers.assign(arrival).is_ok(),
        Err(error) => tracing::debug!(%error, "connection ended"),
    }
}

/// Serves a stream that this runtime watches; gives it back when another thread shall go on.
async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: io::Result<S>,
    session: Session,
    thread: &Rc<Thread>,
    detach: impl FnOnce(S) -> io::Result<Stream>,
) -> io::Result<Option<Arrival>> {
    let (mut stream, mut session, mut query) = (stream?, session, Vec::new());
    loop {
        match connection::serve_on(stream, session, query, thread).await? {
            Served::Ended => return Ok(None),
            Served::Follows(stream, session, query) => {
                link::serve(stream, *session, query, thread).await?;
                return Ok(None);
            }
            Served::Leaves(passenger) => match relay::serve(&thread.node(), passenger).await? {
                Some(home) => (stream, session, query) = (home.stream, *home.session, home.query),
                None => return Ok(None),
            },
            Served::Surplus(stream, session) => {
                return Ok(Some(Arrival { stream: detach(stream)?, session }));
            }
        }
    }
}

/// A connection that counts among its thread's, and among the node's unless it is passed on.
///
/// A guard, since a command that panics must leave no ghost behind.
struct Connected {
    thread: Rc<Thread>,
    client: Arc<Client>,
    passed_on: bool,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.thread.load().connections.fetch_sub(1, Ordering::Relaxed);
        if !self.passed_on {
            let node = self.thread.node();
            node.close_mail(&self.client);
            if self.client.take_cut() {
                self.thread.executor().stats().output_limit_disconnections.add(1);
            }
            node.clients.remove(self.client.id);
            let change = node.clients.account(&self.client, 0);
            node.keyspace.memory().add_buffers(change);
        }
    }
}
