//! Closed-loop load: each client sends a pipeline of requests, waits for all its replies,
//! sends the next. It shows what the server can do, and what it spends doing so; for how
//! long a request waits at a given rate, see [`crate::pace`].
//!
//! One thread drives all clients over epoll (`mio`), as redis-benchmark does: on a machine
//! where generator and server share two cores, every cycle not spent here is one the server
//! can show. CPU time comes from the server's own accounting over the same window in which
//! its replies are counted, so the figure holds even while the generator is what limits the
//! rate.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::connection::Connection;
use crate::process::{CpuTime, Spent};
use crate::request::{Batch, Request};
use crate::scanner::{Outcome, Scanner};
use crate::{Error, Result};

/// Larger than any pipeline's replies here, so that a read that fills it is the exception.
const READ_BUFFER: usize = 64 * 1024;

/// How often a waiting thread looks whether the window is over.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// Longest latency kept apart from longer ones, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Connections.
    pub clients: usize,
    /// Requests sent before replies are awaited.
    pub pipeline: usize,
    /// Whether the connections switch to RESP3 first.
    pub resp3: bool,
    /// The commands, taken in turn.
    pub requests: Vec<Request>,
    /// Key numbers are drawn below this; 0 keeps the one key.
    pub keyspace: u64,
}

/// When the clock runs.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Load before the measured part: connections, caches and tables settle.
    pub warmup: Duration,
    /// The measured part.
    pub measured: Duration,
}

/// What was measured within the window.
#[derive(Clone, Debug)]
pub struct Throughput {
    /// Replies.
    pub ops: u64,
    /// Length of the window.
    pub elapsed: Duration,
    /// CPU time the server spent in it.
    pub server_cpu: Spent,
    /// CPU time the generator spent in it.
    pub client_cpu: Duration,
    /// From sending a pipeline to its last reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Error replies, warm-up included.
    pub errors: u64,
    /// Text of the first of them.
    pub first_error: Option<String>,
}

/// An empty histogram for latencies in nanoseconds, at three digits.
pub fn latencies() -> Histogram<u64> {
    // The bounds are constants, and valid.
    Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!("valid bounds"))
}

/// Records `latency` (anything beyond a minute counts as a minute).
pub fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    histogram.saturating_record(nanos.clamp(1, LONGEST));
}

const WARMUP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// Loads the server at `address`, whose process is `pid`, for the length of `window`.
///
/// `seed` decides the key numbers, so that every server is asked the same.
///
/// # Errors
/// When a connection breaks, a reply is no RESP, or no reply came at all. Error replies are
/// not an error here; the caller judges them.
pub fn run(
    address: SocketAddr,
    pid: u32,
    load: &Load,
    window: Window,
    threads: usize,
    seed: u64,
) -> Result<Throughput> {
    let threads = threads.clamp(1, load.clients);
    let phase = AtomicU8::new(WARMUP);
    let counters: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let mut workers = Vec::new();
    for (index, counter) in counters.iter().enumerate() {
        let clients = load.clients / threads + usize::from(index < load.clients % threads);
        workers.push(Worker::connect(address, load, clients, seed + index as u64, counter)?);
    }
    let ops = || counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum::<u64>();
    let own = std::process::id();

    thread::scope(|scope| {
        let running: Vec<_> =
            workers.into_iter().map(|worker| scope.spawn(|| worker.run(&phase))).collect();
        thread::sleep(window.warmup);
        phase.store(MEASURED, Ordering::Relaxed);
        let before = (Instant::now(), ops(), CpuTime::of(pid), CpuTime::of(own));
        thread::sleep(window.measured);
        let after = (Instant::now(), ops(), CpuTime::of(pid), CpuTime::of(own));
        phase.store(OVER, Ordering::Relaxed);

        let mut latency = latencies();
        let (mut errors, mut first_error) = (0, None);
        for handle in running {
            let tally = handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            // Same bounds on both sides, so adding cannot fail.
            let _ = latency.add(&tally.latency);
            errors += tally.errors;
            first_error = first_error.or(tally.first_error);
        }
        let done = after.1 - before.1;
        if done == 0 {
            return Err(Error::Stalled("no reply within the window".into()));
        }
        Ok(Throughput {
            ops: done,
            elapsed: after.0 - before.0,
            server_cpu: after.2?.since(&before.2?),
            client_cpu: after.3?.since(&before.3?).whole,
            latency,
            errors,
            first_error,
        })
    })
}

/// What one thread brings home.
struct Tally {
    latency: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

/// One thread's clients.
struct Worker<'a> {
    poll: Poll,
    clients: Vec<Client>,
    rng: SmallRng,
    keyspace: u64,
    counter: &'a AtomicU64,
}

/// One connection and the pipeline it has under way.
struct Client {
    socket: TcpStream,
    scanner: Scanner,
    batch: Batch,
    written: usize,
    awaited: usize,
    sent: Instant,
}

impl<'a> Worker<'a> {
    fn connect(
        address: SocketAddr,
        load: &Load,
        clients: usize,
        seed: u64,
        counter: &'a AtomicU64,
    ) -> Result<Self> {
        let poll = Poll::new().map_err(Error::io("epoll"))?;
        let batch = Batch::new(&load.requests, load.pipeline);
        let mut connected = Vec::with_capacity(clients);
        for index in 0..clients {
            let mut link = Connection::open(address)?;
            if load.resp3 {
                link.exchange(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", 1, |_| {})?;
            }
            let stream = link.into_stream();
            stream.set_nonblocking(true).map_err(Error::io("non-blocking socket"))?;
            let mut socket = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)
                .map_err(Error::io("epoll"))?;
            connected.push(Client {
                socket,
                scanner: Scanner::new(),
                batch: batch.clone(),
                written: 0,
                awaited: 0,
                sent: Instant::now(),
            });
        }
        let rng = SmallRng::seed_from_u64(seed);
        Ok(Self { poll, clients: connected, rng, keyspace: load.keyspace, counter })
    }

    /// Drives the clients until the window is over.
    fn run(mut self, phase: &AtomicU8) -> Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER];
        let mut tally = Tally { latency: latencies(), errors: 0, first_error: None };
        let mut measuring = false;
        for client in &mut self.clients {
            client.send(&mut self.rng, self.keyspace)?;
        }
        loop {
            match phase.load(Ordering::Relaxed) {
                OVER => break,
                MEASURED if !measuring => {
                    measuring = true;
                    tally.latency.reset();
                }
                _ => {}
            }
            match self.poll.poll(&mut events, Some(POLL_TIMEOUT)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome.map_err(Error::io("epoll"))?,
            }
            for event in &events {
                let client = &mut self.clients[event.token().0];
                if client.written < client.batch.bytes().len() && event.is_writable() {
                    client.flush()?;
                }
                if event.is_readable() && client.receive(&mut buffer, &mut tally)? {
                    // One writer per counter: a plain add, no read-modify-write needed.
                    let done = self.counter.load(Ordering::Relaxed);
                    let done = done + client.batch.requests() as u64;
                    self.counter.store(done, Ordering::Relaxed);
                    record(&mut tally.latency, client.sent.elapsed());
                    client.send(&mut self.rng, self.keyspace)?;
                }
            }
        }
        let first = self.clients.iter().find_map(|client| client.scanner.first_error());
        tally.first_error = first.map(str::to_owned);
        Ok(tally)
    }
}

impl Client {
    /// Starts the next pipeline.
    fn send(&mut self, rng: &mut SmallRng, keyspace: u64) -> Result<()> {
        if keyspace > 0 {
            self.batch.draw(rng, keyspace);
        }
        self.awaited = self.batch.requests();
        self.written = 0;
        self.sent = Instant::now();
        self.flush()
    }

    /// Writes what the socket takes; epoll says when it takes more.
    fn flush(&mut self) -> Result<()> {
        while self.written < self.batch.bytes().len() {
            match self.socket.write(&self.batch.bytes()[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Error::io("send requests")(error)),
            }
        }
        Ok(())
    }

    /// Reads what is there; true once the whole pipeline is answered.
    fn receive(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<bool> {
        loop {
            let read = match self.socket.read(buffer) {
                Ok(0) => return Err(Error::Stalled("the server closed a connection".into())),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Error::io("read replies")(error)),
            };
            let (mut seen, mut errors) = (0, 0);
            self.scanner.feed(&buffer[..read], |outcome| {
                seen += 1;
                errors += u64::from(outcome == Outcome::Error);
            })?;
            tally.errors += errors;
            self.awaited = self
                .awaited
                .checked_sub(seen)
                .ok_or_else(|| Error::Protocol("more replies than requests".into()))?;
            if self.awaited == 0 {
                return Ok(true);
            }
            // A short read has emptied the socket: the next bytes raise an event of their own.
            if read < buffer.len() {
                return Ok(false);
            }
        }
    }
}
