//! The load: writers that each set one new key after another at a steady pace, remember what was
//! acknowledged, and find their way back when their connection fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use larder_benches::{Error, Result};

use crate::client::Client;

/// Longest that a writer waits for a reply; then it connects anew.
const PATIENCE: Duration = Duration::from_secs(1);

/// After a connection that could not be made.
const PAUSE: Duration = Duration::from_millis(2);

/// How a writer finds the primary.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// An address that leads there.
    Endpoint(SocketAddr),
    /// Those who know it, asked in turn.
    Sentinels(Vec<SocketAddr>),
}

/// The name of the primary in Sentinel.
pub(crate) const MASTER_NAME: &str = "bench";

impl Door {
    /// Connects to the primary.
    ///
    /// # Errors
    /// When it is not there, or nobody knows it.
    pub(crate) fn enter(&self, turn: usize) -> Result<Client> {
        match self {
            Self::Endpoint(address) => Client::open(*address, PATIENCE),
            Self::Sentinels(sentinels) => {
                // As clients do: ask one, go there, and make sure that it is a primary.
                let mut client =
                    Client::open(master(sentinels[turn % sentinels.len()])?, PATIENCE)?;
                match client.ask(&["ROLE"])?.get(1).map(String::as_str) {
                    Some("master") => Ok(client),
                    _ => Err(Error::Stalled("not a primary".into())),
                }
            }
        }
    }
}

/// Who is primary, as one Sentinel knows it.
///
/// # Errors
/// When it does not answer.
pub(crate) fn master(sentinel: SocketAddr) -> Result<SocketAddr> {
    let mut client = Client::open(sentinel, PATIENCE)?;
    let told = client.ask(&["SENTINEL", "get-master-addr-by-name", MASTER_NAME])?;
    match &told[..] {
        [_, host, port] => format!("{host}:{port}")
            .parse()
            .map_err(|_| Error::Protocol(format!("no address: {host}:{port}"))),
        _ => Err(Error::Stalled("the Sentinel knows no primary".into())),
    }
}

/// One write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    /// When it was first wished for: before all attempts.
    pub(crate) wanted: Instant,
    /// When the attempt was sent that was acknowledged.
    pub(crate) sent: Instant,
    /// When that was acknowledged.
    pub(crate) acked: Instant,
    writer: usize,
    number: u64,
}

impl Write {
    /// Its key.
    pub(crate) fn key(&self) -> String {
        format!("w{}:{}", self.writer, self.number)
    }

    /// Its value.
    pub(crate) fn value(&self) -> String {
        self.number.to_string()
    }
}

/// What writers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Writes that were acknowledged.
    pub(crate) acked: Vec<Write>,
    /// What the others met: an error reply, a connection that ended.
    pub(crate) failed: Vec<String>,
}

/// Writers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `writers`, each of which writes `rate` times a second.
    pub(crate) fn start(writers: usize, rate: f64, door: &Door) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let pace = Duration::from_secs_f64(1.0 / rate);
        let writers = (0..writers).map(|writer| {
            let (stop, seen, door) = (stop.clone(), seen.clone(), door.clone());
            thread::spawn(move || write(writer, pace, &door, &stop, &seen))
        });
        Self { writers: writers.collect(), stop, seen }
    }

    /// The first acknowledgement of an attempt that was sent after a moment, if there is one yet.
    pub(crate) fn first_after(&self, moment: Instant) -> Option<Instant> {
        let seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.acked.iter().filter(|write| write.sent > moment).map(|write| write.acked).min()
    }

    /// How many writes were acknowledged so far.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).acked.len()
    }

    /// Ends them; gives what they saw.
    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            // A writer that panicked has said so.
            let _ = writer.join();
        }
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::take(&mut seen)
    }
}

/// One writer. A write that failed is tried again as another key: whether the first one was carried
/// out is not known, so nobody judges it.
fn write(writer: usize, pace: Duration, door: &Door, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let lock = || seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut client: Option<Client> = None;
    let (mut number, mut turn) = (0, writer);
    let mut wanted = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &mut client else {
            turn += 1;
            match door.enter(turn) {
                Ok(open) => client = Some(open),
                Err(_) => thread::sleep(PAUSE),
            }
            continue;
        };
        number += 1;
        let sent = Instant::now();
        let (key, value) = (format!("w{writer}:{number}"), number.to_string());
        match open.ask(&["SET", &key, &value]) {
            Ok(_) => {
                let acked = Instant::now();
                lock().acked.push(Write { wanted, sent, acked, writer, number });
                // Who was held up does not catch up: that would be another load.
                wanted = (wanted + pace).max(acked.checked_sub(pace).unwrap_or(acked));
                thread::sleep(wanted.saturating_duration_since(Instant::now()));
                wanted = wanted.max(Instant::now());
            }
            Err(error) => {
                lock().failed.push(error.to_string());
                client = None;
            }
        }
    }
}

/// Those of the acknowledged writes that are not there.
///
/// # Errors
/// When the primary does not answer.
pub(crate) fn lost(primary: SocketAddr, acked: &[Write]) -> Result<usize> {
    let mut client = Client::open(primary, Duration::from_secs(10))?;
    let mut lost = 0;
    for chunk in acked.chunks(500) {
        let mut command = vec!["MGET".to_owned()];
        command.extend(chunk.iter().map(Write::key));
        let found = client.ask(&command)?;
        let values = found.iter().skip(1);
        lost += chunk.iter().zip(values).filter(|(write, value)| write.value() != **value).count();
    }
    Ok(lost)
}
