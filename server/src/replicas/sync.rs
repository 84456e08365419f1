//! Full syncs: one snapshot for all replicas that begin together, straight to their sockets.
//!
//! A replica that needs everything gathers with others until the snapshot's cut. At the cut each of
//! them gets its place in the log; from then on the backlog keeps for it what comes after. The
//! snapshot's bytes go to each one's [`Feed`] as they are made. The slowest sets the pace: a feed
//! holds only so much, and one that takes nothing at all is cut off by `repl-timeout`.
//!
//! A replica that must be told the size beforehand gets the same bytes by way of a file without a
//! name.

use super::{Replica, Stage};
use crate::node::shared::Shared;
use crate::persistence::snapshots::{Cut, Purpose, SnapshotError, SnapshotSink, Summary};
use bytes::Bytes;
use larder_replication::Position;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Bytes of a data set that may wait for one replica.
const FEED_BYTES: usize = 4 << 20;
/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 * 1024;
/// Between two looks at whether a replica that takes nothing is still there.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of the mark at the end of a data set of unknown size.
const MARK_BYTES: usize = 40;

/// Replicas that wait for the next cut.
#[derive(Default)]
pub(super) struct Gathering {
    members: Vec<Arc<Replica>>,
    /// Whether a snapshot for them is on its way to its cut.
    is_started: bool,
}

/// The bytes of a data set on their way to a replica.
#[derive(Default)]
pub(super) struct Feed {
    inner: Mutex<Fed>,
    taken: Condvar,
}

#[derive(Default)]
struct Fed {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<bool>,
    is_closed: bool,
}

/// What a link finds in its feed.
pub(super) enum Next {
    /// Bytes.
    Chunk(Bytes),
    /// Nothing yet.
    Nothing,
    /// That was all of it.
    Whole,
    /// There will not be more, though it was not all.
    Broken,
}

impl Feed {
    /// The next bytes, if some wait.
    pub(super) fn next(&self) -> Next {
        let mut fed = self.inner.lock();
        match fed.chunks.pop_front() {
            Some(chunk) => {
                fed.bytes -= chunk.len();
                self.taken.notify_one();
                Next::Chunk(chunk)
            }
            None => match fed.end {
                None => Next::Nothing,
                Some(true) => Next::Whole,
                Some(false) => Next::Broken,
            },
        }
    }

    /// Takes nothing any more: its link is gone.
    pub(super) fn close(&self) {
        let mut fed = self.inner.lock();
        fed.is_closed = true;
        fed.chunks = VecDeque::new();
        fed.bytes = 0;
        self.taken.notify_one();
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl Replica {
    /// Puts bytes in the feed without waiting.
    fn put(&self, bytes: Bytes) {
        let mut fed = self.feed.inner.lock();
        if !fed.is_closed {
            fed.bytes += bytes.len();
            fed.chunks.push_back(bytes);
            drop(fed);
            self.client.wake();
        }
    }

    /// Waits until the feed has room; false when the replica is gone.
    fn wait_for_room(&self, node: &Weak<Shared>) -> bool {
        let mut fed = self.feed.inner.lock();
        while fed.bytes >= FEED_BYTES && !fed.is_closed {
            self.feed.taken.wait_for(&mut fed, LOOK);
            if self.client.is_killed() || node.strong_count() == 0 {
                return false;
            }
        }
        !fed.is_closed
    }

    fn end_feed(&self, is_whole: bool) {
        self.feed.inner.lock().end = Some(is_whole);
        self.client.wake();
    }
}

impl Shared {
    /// Lets a replica wait for the next snapshot's cut.
    pub(super) fn gather(&self, replica: Arc<Replica>) {
        self.replicas.gathering.lock().members.push(replica);
        self.begin_sync();
    }

    /// Begins a snapshot if replicas wait for one and none is on its way.
    pub(super) fn begin_sync(&self) {
        let mut gathering = self.replicas.gathering.lock();
        gathering.members.retain(|replica| !replica.client.is_killed());
        if gathering.is_started || gathering.members.is_empty() {
            return;
        }
        gathering.is_started = true;
        // Where no thread can be made, the sink hears of the end at once, and locks this itself.
        drop(gathering);
        let sink = FanOut::new(self);
        if self.snapshots.start(self, Purpose::Replication, sink).is_err() {
            // While another one runs, the next tick tries again.
            self.replicas.gathering.lock().is_started = false;
        }
    }
}

/// Hands a snapshot to all replicas that gathered for it.
struct FanOut {
    node: Weak<Shared>,
    /// Those that know the end by its mark.
    marked: Vec<Arc<Replica>>,
    /// Those that want to know the size first.
    sized: Vec<Arc<Replica>>,
    file: Option<File>,
    mark: [u8; MARK_BYTES],
    /// Whether the cut was made.
    has_begun: bool,
}

impl FanOut {
    fn new(node: &Shared) -> Box<Self> {
        let mut mark = [0; MARK_BYTES];
        for byte in &mut mark {
            *byte = fastrand::alphanumeric() as u8;
        }
        Box::new(Self {
            node: node.keep().as_ref().map(Arc::downgrade).unwrap_or_default(),
            marked: Vec::new(),
            sized: Vec::new(),
            file: None,
            mark,
            has_begun: false,
        })
    }

    /// Adds bytes to the file of those who want to know the size first.
    fn keep(&mut self, chunk: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile(&self.node)?),
        };
        file.write_all(chunk)
    }

    fn is_wanted(&self) -> bool {
        !self.marked.is_empty() || !self.sized.is_empty()
    }
}

impl SnapshotSink for FanOut {
    fn begin(&mut self, _: &Cut) {
        let Some(node) = self.node.upgrade() else { return };
        let members = {
            let mut gathering = node.replicas.gathering.lock();
            gathering.is_started = false;
            std::mem::take(&mut gathering.members)
        };
        self.has_begun = true;
        let size = node.config.load().repl_backlog_size_bytes;
        for replica in members {
            let (position, reader) = node.log.attach(size);
            reader.set_limit(node.reader_limit());
            *replica.reader.lock() = Some(reader);
            // The role may have changed since it was let in.
            let card = replica.announced.card.as_ref();
            if let (Some(member), Some(card)) = (node.member(), card)
                && member.leads() != Some(card.epoch)
            {
                replica.client.kill();
            }
            if replica.acknowledges {
                replica.put(announcement(position));
            }
            if replica.announced.takes_mark {
                let head = [&b"$EOF:"[..], &self.mark, b"\r\n"].concat();
                replica.put(Bytes::from(head));
                self.marked.push(replica);
            } else {
                self.sized.push(replica);
            }
        }
        // A link that ended before it had its reader did not give it back.
        for replica in self.marked.iter().chain(&self.sized) {
            if replica.feed.inner.lock().is_closed {
                replica.detach(&node);
            }
        }
    }

    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        if !self.sized.is_empty()
            && let Err(error) = self.keep(&chunk)
        {
            if self.marked.is_empty() {
                return Err(error);
            }
            // The others need no file.
            tracing::warn!(%error, "no full sync for replicas that want to know its size before");
            self.file = None;
            self.sized.drain(..).for_each(|replica| replica.end_feed(false));
        }
        let node = &self.node;
        self.marked.retain(|replica| {
            let is_there = replica.wait_for_room(node);
            if is_there {
                replica.put(chunk.clone());
            }
            is_there
        });
        if self.is_wanted() {
            return Ok(());
        }
        Err(io::Error::other("no replica waits for it any more"))
    }

    fn end(mut self: Box<Self>, result: Result<Summary, SnapshotError>) {
        let is_whole = match &result {
            Ok(summary) => {
                let (keys, took) = (summary.keys, summary.took);
                tracing::info!(
                    keys,
                    ?took,
                    "Background transfer to replicas terminated with success"
                );
                true
            }
            Err(error) => {
                tracing::warn!(%error, "Background transfer error: a full sync of replicas failed");
                false
            }
        };
        if !self.has_begun {
            // Whoever gathered waits for the next one.
            if let Some(node) = self.node.upgrade() {
                node.replicas.gathering.lock().is_started = false;
            }
            return;
        }
        for replica in &self.marked {
            if is_whole {
                replica.put(Bytes::copy_from_slice(&self.mark));
            }
            replica.end_feed(is_whole);
        }
        let sized = std::mem::take(&mut self.sized);
        match self.file.take().filter(|_| is_whole) {
            Some(file) => read_out(&self.node, sized, file),
            None => sized.iter().for_each(|replica| replica.end_feed(false)),
        }
    }
}

/// What tells a replica where it begins.
fn announcement(position: Position) -> Bytes {
    let Position { replid, offset, .. } = position;
    Bytes::from(format!("+FULLRESYNC {replid} {offset}\r\n"))
}

/// A file that nobody else can see, in the node's folder.
fn tempfile(node: &Weak<Shared>) -> io::Result<File> {
    let node = node.upgrade().ok_or(io::ErrorKind::NotConnected)?;
    let path = node.config.load().dir.join(format!("temp-sync-{}.rdb", node.run_id));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Sends a file to replicas from a thread of its own, so that the next snapshot can begin.
fn read_out(node: &Weak<Shared>, replicas: Vec<Arc<Replica>>, mut file: File) {
    let (node, theirs) = (node.clone(), replicas.clone());
    let body = move || {
        let is_whole = copy(&node, &theirs, &mut file)
            .inspect_err(|error| tracing::warn!(%error, "cannot read a full sync back"))
            .is_ok();
        theirs.iter().for_each(|replica| replica.end_feed(is_whole));
    };
    let name = "larder-full-sync".to_owned();
    if let Err(error) = std::thread::Builder::new().name(name).spawn(body) {
        tracing::error!(%error, "cannot start a thread for a full sync");
        replicas.iter().for_each(|replica| replica.end_feed(false));
    }
}

fn copy(node: &Weak<Shared>, replicas: &[Arc<Replica>], file: &mut File) -> io::Result<()> {
    let size = file.stream_position()?;
    file.rewind()?;
    for replica in replicas {
        replica.set_stage(Stage::Takes);
        replica.put(Bytes::from(format!("${size}\r\n")));
    }
    let mut waiting: Vec<_> = replicas.iter().collect();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 || waiting.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::copy_from_slice(&buffer[..read]);
        waiting.retain(|replica| {
            let is_there = replica.wait_for_room(node);
            if is_there {
                replica.put(chunk.clone());
            }
            is_there
        });
    }
}

impl Replica {
    /// Gives its place in the log back.
    pub(super) fn detach(&self, node: &Shared) {
        if let Some(reader) = self.reader.lock().take() {
            node.log.detach(&reader);
        }
    }

    /// Bytes that wait for it: of a data set, and of the log.
    pub fn behind_bytes(&self, node: &Shared) -> u64 {
        let reader = self.reader.lock();
        let position = reader.as_ref().map(|reader| reader.position());
        let behind = |position| node.log.offset().saturating_sub(position);
        self.feed.bytes() as u64 + position.map_or(0, behind)
    }

    /// Notes that it took something of a data set.
    pub(super) fn took(&self, now_ms: i64) {
        self.took_ms.store(now_ms, Ordering::Relaxed);
    }
}
