//! What a member is given from outside: time, peers, a disk, and who can take its power away.
//!
//! Everything that a member does to the world goes through these, so that a whole group runs under a
//! simulator.

use super::config::Member;
use super::disk::DiskError;
use super::link::{BoxFuture, CallError, Links};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Requests to other members. One may be lost, arrive late or twice, or be carried out though its
/// caller got an error.
pub trait Peers: Send + Sync + 'static {
    /// Sends a request of at most 1 MiB and waits for the answer.
    fn call<'a>(
        &'a self,
        to: &'a Member,
        request: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, CallError>>;
}

impl Peers for Links {
    fn call<'a>(
        &'a self,
        to: &'a Member,
        request: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(Links::call(self, to, request))
    }
}

/// The end of a write. The write itself begins with the call, and goes on when nobody waits for it.
pub type Writing = BoxFuture<'static, Result<(), DiskError>>;

/// What a member remembers over restarts: named lists of records. What was written without an error
/// survives the loss of power; what came to an error may or may not be there. Writes are done in the
/// order of the calls, and are seen by who reads later.
pub trait Disk: Send + Sync + 'static {
    /// The records of a file, none if there is no such file. It may take its time.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError>;

    /// Replaces a file by one record.
    ///
    /// # Errors
    /// It does not count as written.
    fn replace(&self, name: &str, record: &[u8]) -> Writing;

    /// Adds a record to a file.
    ///
    /// # Errors
    /// It does not count as written.
    fn append(&self, name: &str, record: &[u8]) -> Writing;
}

/// A disk that forgets with the process: for groups that live in one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>);

impl Disk for MemoryDisk {
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        Ok(self.0.lock().get(name).cloned().unwrap_or_default())
    }

    fn replace(&self, name: &str, record: &[u8]) -> Writing {
        self.0.lock().insert(name.to_owned(), vec![record.to_vec()]);
        Box::pin(std::future::ready(Ok(())))
    }

    fn append(&self, name: &str, record: &[u8]) -> Writing {
        self.0.lock().entry(name.to_owned()).or_default().push(record.to_vec());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Whoever runs the member.
pub trait Host: Send + Sync + 'static {
    /// Takes the node's power away for a time, and this driver's with it: what was in memory is gone.
    /// Returns at once.
    fn power_off(&self, duration: Duration);
}

/// Time.
pub trait GroupClock: Send + Sync + 'static {
    /// Nanoseconds of a clock that never goes back and goes on while the machine sleeps.
    fn boottime_nanos(&self) -> u64;

    /// Milliseconds since the Unix epoch, for events only.
    fn unix_ms(&self) -> i64;
}

/// How fast a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Between two renewals of the lease.
    pub heartbeat: Duration,
    /// For how long a primary may acknowledge after it asked those who granted it.
    pub lease: Duration,
    /// After so long without an acknowledgement, or behind by so much time, a replica is no more in
    /// sync.
    pub lag: Duration,
    /// How long a planned handover may hold writes before it is given up.
    pub handover: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            lease: Duration::from_millis(1000),
            lag: Duration::from_millis(1000),
            handover: Duration::from_millis(1000),
        }
    }
}

/// By how much clocks may differ in speed: one in so many.
const DRIFT: u32 = 50;
/// What a step of a clock or of the scheduler may cost on top.
const MARGIN: Duration = Duration::from_millis(50);

impl Timings {
    /// After so long without a renewal a member is willing to elect: longer than any lease that the
    /// renewal before may have brought, by any clock.
    pub fn patience(&self) -> Duration {
        self.lease + self.lease / DRIFT + MARGIN.min(self.lease / 4)
    }

    /// How long an answer of another member is waited for.
    pub(super) fn call(&self) -> Duration {
        self.lease / 2
    }
}
