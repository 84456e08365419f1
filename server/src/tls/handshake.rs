//! Handshakes: a thread of their own, a bounded number at a time, each with a bounded time.
//!
//! A handshake costs a signature, thousands of times what a command costs. On the threads that serve
//! connections a storm of newcomers would hold up everybody who is in; here it holds up only itself.
//! While all places are taken nobody is accepted, so that newcomers wait in the kernel's queue, which
//! is bounded as well; and who has a place for longer than [`CROWDED_PATIENCE`] then loses it.

use super::stream::{Socket, TlsStream};
use crate::node::clients::Peer;
use crate::node::control::{Admission, enter, examine};
use crate::node::shared::Shared;
use crate::node::workers::Stream;
use crate::observe::stats::ThreadStats;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

/// Handshakes at a time: each holds about 20 KB, and a round trip of 100 ms still lets thousands of
/// clients a second in.
const PLACES: usize = 256;
/// How long a handshake may take, over a bad line as well.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take while others wait for its place.
const CROWDED_PATIENCE: Duration = Duration::from_secs(1);
/// How often a handshake beyond `CROWDED_PATIENCE` looks whether others wait.
const LOOK: Duration = Duration::from_millis(100);
/// How long the text of a refusal may take to be sent.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// What a TLS client's first record is, by its first byte.
const HANDSHAKE: u8 = 22;

/// A connection that wants to talk TLS; `place` is its place among the handshakes.
struct Newcomer {
    stream: std::net::TcpStream,
    peer: Peer,
    fd: i32,
    place: OwnedSemaphorePermit,
}

/// Hands connections to the thread that does their handshakes.
pub(crate) struct Handshakes {
    places: Arc<Semaphore>,
    newcomers: Option<UnboundedSender<Newcomer>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Handshakes {
    /// No thread yet: it comes with the first connection.
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), newcomers: None, thread: None }
    }

    /// Waits for a free place.
    pub(crate) async fn place(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => place,
            // Only a semaphore that somebody closed refuses, and nobody does.
            Err(_) => std::future::pending().await,
        }
    }

    /// Begins the handshake of a connection.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn begin(
        &mut self,
        node: &Arc<Shared>,
        stream: std::net::TcpStream,
        peer: Peer,
        fd: i32,
        place: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let newcomer = Newcomer { stream, peer, fd, place };
        let refused = match &self.newcomers {
            Some(newcomers) => newcomers.send(newcomer).err().map(|refused| refused.0),
            None => Some(newcomer),
        };
        let Some(newcomer) = refused else { return Ok(()) };
        let (sender, receiver) = unbounded_channel();
        let (node, places) = (Arc::clone(node), Arc::clone(&self.places));
        let thread =
            std::thread::Builder::new().name("larder-handshakes".to_owned()).spawn(move || {
                if let Err(error) = run(&node, &places, receiver) {
                    tracing::error!(%error, "the thread of TLS handshakes failed");
                }
            })?;
        self.thread = Some(thread);
        // Its receiver lives as long as the thread, which waits for it.
        let _ = sender.send(newcomer);
        self.newcomers = Some(sender);
        Ok(())
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.newcomers = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// The body of the thread: ends with the sender, and with it all handshakes.
fn run(
    node: &Arc<Shared>,
    places: &Arc<Semaphore>,
    mut newcomers: UnboundedReceiver<Newcomer>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let stats = Rc::new(ThreadSlot::new(node));
    runtime.block_on(async {
        while let Some(newcomer) = newcomers.recv().await {
            let (node, places) = (Arc::clone(node), Arc::clone(places));
            let stats = Rc::clone(&stats);
            tokio::task::spawn_local(async move {
                if let Err(error) = handshake(&node, &places, &stats.0, newcomer).await {
                    tracing::debug!(%error, "a TLS handshake failed");
                }
            });
        }
    });
    Ok(())
}

/// The thread's counters, which stay when it ends.
struct ThreadSlot(Arc<ThreadStats>, Arc<Shared>);

impl ThreadSlot {
    fn new(node: &Arc<Shared>) -> Self {
        Self(node.stats.new_slot(), Arc::clone(node))
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        self.1.stats.retire(&self.0);
    }
}

/// One handshake, and the way in after it.
async fn handshake(
    node: &Arc<Shared>,
    places: &Semaphore,
    stats: &ThreadStats,
    newcomer: Newcomer,
) -> io::Result<()> {
    let Newcomer { stream, peer, fd, place } = newcomer;
    let context = node.tls.current().ok_or(io::ErrorKind::NotConnected)?;
    let socket = tokio::net::TcpStream::from_std(stream)?;
    let accept = async {
        let mut first = [HANDSHAKE];
        socket.peek(&mut first).await?;
        if first != [HANDSHAKE] {
            // As in Redis, who does not speak TLS reads nothing, least of all an alert.
            return Err(io::ErrorKind::InvalidData.into());
        }
        TlsAcceptor::from(Arc::clone(&context.server)).accept(Socket::Watched(socket)).await
    };
    let stream = tokio::select! {
        accepted = accept => accepted?,
        () = patience(places) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let mut stream = TlsStream::new(stream);
    match examine(node, stats, &peer) {
        Admission::Refused(text) => {
            let send = async {
                stream.write_all(text.as_bytes()).await?;
                stream.flush().await
            };
            tokio::time::timeout(REFUSAL_PATIENCE, send).await??;
        }
        Admission::Granted => {
            stream.detach()?;
            // It counts among the clients from here on, and its place is free.
            drop(place);
            enter(node, Stream::Tls(Box::new(stream)), peer, fd);
        }
    }
    Ok(())
}

/// Ends when a handshake has had its time.
async fn patience(places: &Semaphore) {
    tokio::time::sleep(CROWDED_PATIENCE).await;
    let mut waited = CROWDED_PATIENCE;
    while waited < PATIENCE && places.available_permits() > 0 {
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}
