//! Waiting until replicas have what was written.
//!
//! WAIT stops a connection, and counts what was written on the same one. So it has a link of its own,
//! on which a message to a channel that nobody hears is the write that comes after all earlier ones.
//! Those who ask while one waits are answered together by the next.

use crate::error::Error;
use crate::link::{Link, Settings};
use crate::topology::view::Seen;
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
    /// How many replicas it waited for, and for how long.
    wanted: (u64, Duration),
    /// How many replicas it found.
    acked: u64,
}

impl Lane {
    /// Whether the last WAIT says all that another one would say to a caller from before it.
    fn tells(&self, count: u64, timeout: Duration) -> bool {
        self.acked >= count || (self.wanted.0 >= count && self.wanted.1 >= timeout)
    }
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
        let limit = timeout.saturating_add(TRANSIT);
        let waiting = self.wait_turn(ticket, primary, epoch, count, timeout);
        tokio::time::timeout(limit, waiting).await.map_err(|_| Error::Timeout(limit))?
    }

    /// May be given up at any moment: a link that waits for an answer is not used again.
    async fn wait_turn(
        &self,
        ticket: u64,
        primary: &Seen,
        epoch: u64,
        count: u64,
        timeout: Duration,
    ) -> Result<u64, Error> {
        let mut lane = self.lane.lock().await;
        let link = lane.link.take().filter(|(opened, link)| *opened == epoch && link.is_open());
        // What the replicas of another primary had says nothing about this one's.
        if link.is_some() && ticket < lane.covered && lane.tells(count, timeout) {
            lane.link = link;
            return Ok(lane.acked);
        }
        let (_, link) = match link {
            Some(link) => link,
            None => {
                let address = &primary.member.address;
                let concern = Arc::new(Notify::new());
                (epoch, Link::open(address, &self.settings, None, &concern).await?)
            }
        };
        let covered = self.asked.load(Ordering::SeqCst);
        let mut commands = redis::Pipeline::with_capacity(2);
        // A limit of 0 would be none.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 40);
        commands.cmd("PUBLISH").arg(CHANNEL).arg("");
        commands.cmd("WAIT").arg(count).arg(millis);
        let answers = link.send_all(&commands, timeout.saturating_add(TRANSIT)).await?;
        let acked = answers.into_iter().nth(1).unwrap_or_default().checked()?.as_int()?;
        lane.link = Some((epoch, link));
        (lane.covered, lane.wanted) = (covered, (count, timeout));
        lane.acked = u64::try_from(acked).unwrap_or_default();
        Ok(lane.acked)
    }
}
