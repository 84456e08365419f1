//! Waiting until replicas have what was written.
//!
//! WAIT stops a connection, and counts what was written on the same one. So it has a link of its own,
//! on which a message to a channel that nobody hears is the write that comes after all earlier ones.
//! Those who ask while one waits are answered together by the next.

use crate::error::Error;
use crate::link::{Link, Settings};
use crate::topology::view::Seen;
use crate::value::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// A channel that nobody hears.
const CHANNEL: &str = "larder:wait";
/// What the way there and back may take beside the waiting itself.
const TRANSIT: Duration = Duration::from_millis(500);

/// Whoever waits for replicas.
pub(super) struct Acks {
    pub(super) settings: Settings,
    /// Callers so far.
    asked: AtomicU64,
    lane: Mutex<Lane>,
}

#[derive(Default)]
struct Lane {
    link: Option<(u64, Link)>,
    /// Callers whose writes the last WAIT covered.
    covered: u64,
    /// How many replicas it found.
    acked: u64,
}

impl Acks {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, asked: AtomicU64::new(0), lane: Mutex::default() }
    }

    pub(super) async fn wait(
        &self,
        primary: &Seen,
        epoch: u64,
        count: u64,
        timeout: Duration,
    ) -> Result<u64, Error> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst);
        let limit = timeout + TRANSIT;
        let lane = tokio::time::timeout(limit, self.lane.lock());
        let mut lane = lane.await.map_err(|_| Error::Timeout(limit))?;
        if ticket < lane.covered && lane.acked >= count {
            return Ok(lane.acked);
        }
        let is_usable = |(opened, link): &(u64, Link)| *opened == epoch && link.is_open();
        if !lane.link.as_ref().is_some_and(is_usable) {
            let address = &primary.member.address;
            let link = Link::open(address, &self.settings, None, &Arc::new(Notify::new())).await?;
            lane.link = Some((epoch, link));
        }
        let Some((_, link)) = &lane.link else { return Err(Error::Disconnected) };
        let covered = self.asked.load(Ordering::SeqCst);
        let mut commands = redis::Pipeline::with_capacity(2);
        // A limit of 0 would be none.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 40);
        commands.cmd("PUBLISH").arg(CHANNEL).arg("");
        commands.cmd("WAIT").arg(count).arg(millis);
        match link.send_all(&commands, limit).await {
            Ok(answers) => {
                let acked = answers.into_iter().nth(1).unwrap_or_default();
                let acked = acked.checked().as_ref().map(Value::as_int).map_err(Clone::clone)??;
                lane.covered = covered;
                lane.acked = u64::try_from(acked).unwrap_or_default();
                Ok(lane.acked)
            }
            Err(error) => {
                lane.link = None;
                Err(error)
            }
        }
    }
}
