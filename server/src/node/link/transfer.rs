//! A full sync: the data set comes over the link and is loaded beside the live one as it comes.
//!
//! A thread of its own parses; the link hands it pieces through a short queue, so that a load that is
//! slower than the network holds the network up, and not memory. Whoever gives up lets go of the
//! queue, and the thread ends by itself.

use super::wire::Wire;
use super::{Link, LinkError, TICK};
use crate::keyspace::dataset::DataSet;
use crate::node::role::Progress;
use crate::node::shared::Shared;
use crate::persistence::rdb::{LoadOptions, load};
use larder_replication::replica::{Beat, LINE_BYTES, Payload, Pulse, parse_payload};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait for the thread.
const QUEUED_PIECES: usize = 16;

/// What a full sync brought.
pub(super) struct Loaded {
    /// The keys.
    pub(super) data: DataSet,
    /// How many there are.
    pub(super) keys: u64,
    /// The texts of the libraries of functions.
    pub(super) functions: Vec<Vec<u8>>,
    /// The database that the stream goes on in.
    pub(super) db: usize,
    /// What came behind the data set.
    rest: Vec<u8>,
}

/// Takes a data set from the primary.
pub(super) async fn take(link: &Link<'_>, wire: &mut Wire) -> Result<Loaded, LinkError> {
    let node = link.node;
    let patience = Duration::from_secs(node.config.load().repl_timeout_s.into());
    let payload = loop {
        let line = wire.line(LINE_BYTES, patience).await?;
        link.note(Progress::Sync(0));
        if let Some(payload) = parse_payload(&line).map_err(LinkError::Refused)? {
            break payload;
        }
    };
    let total_bytes = match payload {
        Payload::Length(length) => length,
        Payload::Mark(_) => 0,
    };
    node.role.set_loading(link.epoch, total_bytes);
    tracing::info!("MASTER <-> REPLICA sync: Loading DB in memory");
    let (pieces, source) = mpsc::channel(QUEUED_PIECES);
    let (done, loaded) = oneshot::channel();
    let shared = Arc::clone(node);
    std::thread::Builder::new().name("larder-load".to_owned()).spawn(move || {
        // Nobody may wait for it any more.
        let _ = done.send(read(&shared, Source::new(source, payload), payload));
    })?;
    let loaded = feed(link, wire, pieces, loaded, payload).await?;
    // What was read too far comes before what was not read yet.
    let mut input = loaded.rest.clone();
    input.append(&mut wire.input);
    wire.input = input;
    Ok(loaded)
}

/// Hands the thread what comes until it is done.
async fn feed(
    link: &Link<'_>,
    wire: &mut Wire,
    pieces: mpsc::Sender<Vec<u8>>,
    mut loaded: oneshot::Receiver<Result<Loaded, String>>,
    payload: Payload,
) -> Result<Loaded, LinkError> {
    let node = link.node;
    let now_ms = || node.clock.monotonic_nanos() / 1_000_000;
    let mut pulse = Pulse::new(now_ms());
    let mut ticks = tokio::time::interval(TICK);
    let mut left = match payload {
        Payload::Length(length) => length,
        Payload::Mark(_) => u64::MAX,
    };
    let mut pieces = Some(pieces);
    loop {
        let usable = left.min(wire.input.len() as u64) as usize;
        if left == 0 {
            // The thread sees the end.
            pieces = None;
        }
        tokio::select! {
            biased;
            done = &mut loaded => {
                let done = done.unwrap_or_else(|_| Err("the loading thread failed".to_owned()));
                return done.map_err(LinkError::Load);
            }
            () = has_place(&pieces), if usable > 0 => {
                let sent = match pieces.as_ref().map(mpsc::Sender::try_reserve) {
                    Some(Ok(place)) => {
                        let rest = wire.input.split_off(usable);
                        place.send(std::mem::replace(&mut wire.input, rest));
                        true
                    }
                    _ => false,
                };
                if sent {
                    left -= usable as u64;
                } else {
                    // The thread is done and about to say so.
                    pieces = None;
                }
            }
            received = wire.receive(), if usable == 0 && left > 0 => {
                let received = received?;
                pulse.heard(now_ms());
                link.note(Progress::Sync(received as u64));
            }
            _ = ticks.tick() => {}
        }
        if usable > 0 || left == 0 {
            // It is the thread that takes its time, not the primary.
            pulse.heard(now_ms());
        }
        let patience_ms = u64::from(node.config.load().repl_timeout_s) * 1000;
        match pulse.beat(now_ms(), patience_ms) {
            Beat::Lost => return Err(LinkError::Silent),
            Beat::Sign => {
                wire.send(b"\n").await?;
                pulse.told(now_ms());
            }
            Beat::Rest => {}
        }
    }
}

/// Waits for a place in the queue, or for its end; never comes without a queue.
async fn has_place(pieces: &Option<mpsc::Sender<Vec<u8>>>) {
    match pieces {
        Some(pieces) => drop(pieces.reserve().await),
        None => std::future::pending().await,
    }
}

/// The body of the thread.
fn read(node: &Shared, mut source: Source, payload: Payload) -> Result<Loaded, String> {
    let settings = node.config.load();
    let options = LoadOptions {
        settings: &settings,
        now_ms: node.clock.unix_ms(),
        drops_due: false,
        checks_sum: true,
    };
    let mut data = DataSet::default();
    let loaded = load(&mut source, &node.keyspace, &mut data, options);
    let mut loaded = loaded.map_err(|error| error.to_string())?;
    let mut rest = std::mem::take(&mut loaded.unread);
    match payload {
        Payload::Length(_) if !rest.is_empty() || !source.is_over() => {
            return Err("the data set is shorter than was said".to_owned());
        }
        Payload::Length(_) => {}
        Payload::Mark(mark) => {
            let mut piece = vec![0; mark.len()];
            while rest.len() < mark.len() {
                let count = source.read(&mut piece).map_err(|error| error.to_string())?;
                if count == 0 {
                    return Err("the end mark is missing".to_owned());
                }
                rest.extend_from_slice(&piece[..count]);
            }
            source.drain(&mut rest);
            if rest[..mark.len()] != mark {
                return Err("the end mark is another one".to_owned());
            }
            rest.drain(..mark.len());
        }
    }
    Ok(Loaded {
        data,
        keys: loaded.keys,
        functions: loaded.functions,
        db: loaded.aux.repl_stream_db.unwrap_or(0),
        rest,
    })
}

/// The queue as something to read from.
struct Source {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl Source {
    fn new(pieces: mpsc::Receiver<Vec<u8>>, payload: Payload) -> Self {
        let left = match payload {
            Payload::Length(length) => Some(length),
            Payload::Mark(_) => None,
        };
        Self { pieces, piece: Vec::new(), at: 0, left }
    }

    /// Ends the queue and takes what is in it.
    fn drain(&mut self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.piece[self.at..]);
        (self.piece, self.at) = (Vec::new(), 0);
        self.pieces.close();
        while let Some(piece) = self.pieces.blocking_recv() {
            into.extend_from_slice(&piece);
        }
    }

    /// Whether all was read that was said to come.
    fn is_over(&self) -> bool {
        self.left == Some(0) && self.at == self.piece.len()
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let Some(piece) = self.pieces.blocking_recv() else { return Ok(0) };
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            (self.piece, self.at) = (piece, 0);
        }
        let count = into.len().min(self.piece.len() - self.at);
        into[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
