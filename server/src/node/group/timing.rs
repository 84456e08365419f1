//! How fast a group notices the loss of its primary.

use larder_replication::group::ports::Timings;
use std::time::Duration;

/// The times of a group. The shorter they are, the sooner a new primary is there, and the shorter the
/// pauses of a machine that cost a primary its place for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For how long a primary may acknowledge writes after a majority last heard of it.
    pub lease: Duration,
    /// Between two renewals of that.
    pub heartbeat: Duration,
}

impl Timing {
    /// For a machine beside others: lost primaries are replaced within two seconds.
    pub fn production() -> Self {
        Self { lease: Duration::from_millis(1000), heartbeat: Duration::from_millis(250) }
    }

    /// For tests in one process: they are replaced within half a second.
    pub fn fast() -> Self {
        Self { lease: Duration::from_millis(250), heartbeat: Duration::from_millis(40) }
    }
}

impl Timing {
    /// For how long a primary may be silent before the others look for another one.
    pub(super) fn down_after(self) -> Duration {
        Timings::from(self).patience()
    }

    /// Between two acknowledgements of a replica that gets nothing: half of what it may lag.
    pub(super) fn beat(self) -> Duration {
        Timings::from(self).lag / 2
    }
}

/// A replica that lags for longer is no more in sync, whatever the lease is.
const MIN_LAG: Duration = Duration::from_millis(500);

impl From<Timing> for Timings {
    fn from(timing: Timing) -> Self {
        let Timing { lease, heartbeat } = timing;
        Self { lease, heartbeat, lag: lease.max(MIN_LAG), ..Self::default() }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::production()
    }
}
