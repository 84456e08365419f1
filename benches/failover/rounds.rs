//! What is measured: failovers after a kill, planned ones, and rest.

use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use larder_benches::{Error, Result};

use crate::client::ask_once;
use crate::program::LOOK;
use crate::service::Service;
use crate::writers::{Load, Seen, lost};

/// From the last question until a service counts as at rest.
const CALM: Duration = Duration::from_secs(5);
/// Longest that a service may take until it accepts a write again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Load before an event, at least; a random time is added, so that no timer of a service is met in
/// step.
const BEFORE: Duration = Duration::from_millis(500);

/// Load after it.
const AFTER: Duration = Duration::from_millis(1_000);

/// How much the writers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Connections.
    pub(crate) writers: usize,
    /// Writes a second of each.
    pub(crate) rate: f64,
}

/// What one failover, planned or not, was like.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// From the event to the acknowledgement of the first write that was sent after it, ms.
    pub(crate) first_write_ms: f64,
    /// The longest time for which a write was wanted and not acknowledged, ms.
    pub(crate) pause_ms: f64,
    /// Attempts that failed: an error reply, a connection that ended.
    pub(crate) failed: usize,
    /// What the first of them met.
    pub(crate) first_failure: String,
    /// Writes that were acknowledged.
    pub(crate) acked: usize,
    /// Those of them that are gone.
    pub(crate) lost: usize,
    /// Full syncs of the survivors.
    pub(crate) full_syncs: u64,
}

/// Kills the primary under load, waits until writes go on, brings the dead one back, and looks for
/// everything that was acknowledged.
///
/// # Errors
/// When the service does not come back, or the judge cannot ask.
pub(crate) fn kill(service: &mut Service, pressure: Pressure) -> Result<Outcome> {
    let primary = service.primary()?;
    let syncs_of_survivors = |service: &Service| service.full_syncs();
    let own_syncs: u64 =
        crate::client::info(service.address(primary), "stats", "sync_full")?.parse().unwrap_or(0);
    let syncs_before = syncs_of_survivors(service)? - own_syncs;
    let load = begin(service, primary, pressure)?;
    let killed = service.kill(primary);
    let first = wait_write(&load, killed, service)?;
    thread::sleep(AFTER);
    let seen = load.stop();
    let full_syncs = syncs_of_survivors(service)?.saturating_sub(syncs_before);
    service.wait_other_primary(primary)?;
    service.revive(primary)?;
    service.wait_whole()?;
    judge(service, &seen, first - killed, full_syncs)
}

/// Moves the primary as planned, under load.
///
/// # Errors
/// When the service refuses, or the judge cannot ask.
pub(crate) fn hand_over(service: &mut Service, pressure: Pressure) -> Result<Outcome> {
    let primary = service.primary()?;
    let syncs_before = service.full_syncs()?;
    let load = begin(service, primary, pressure)?;
    let asked = Instant::now();
    service.hand_over(primary)?;
    service.wait_other_primary(primary)?;
    let first = wait_write(&load, asked, service)?;
    // Under load until all know: who still writes to the old primary has not been moved yet.
    service.wait_whole()?;
    thread::sleep(AFTER);
    let seen = load.stop();
    let full_syncs = service.full_syncs()?.saturating_sub(syncs_before);
    judge(service, &seen, first - asked, full_syncs)
}

/// The share of one core that a service takes while nobody asks anything, nor did for a while.
///
/// # Errors
/// When a process is gone.
pub(crate) fn rest(service: &Service, length: Duration) -> Result<f64> {
    thread::sleep(CALM);
    let before = service.cpu()?;
    let start = Instant::now();
    thread::sleep(length);
    let after = service.cpu()?;
    let elapsed = start.elapsed();
    let spent: Duration = after
        .iter()
        .zip(&before)
        .filter(|((pid, _), (same, _))| pid == same)
        .map(|((_, now), (_, then))| now.since(then).whole)
        .sum();
    Ok(spent.as_secs_f64() / elapsed.as_secs_f64())
}

/// Load that has been running for a while.
fn begin(service: &Service, primary: usize, pressure: Pressure) -> Result<Load> {
    let load = Load::start(pressure.writers, pressure.rate, &service.door(primary));
    let more = UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos() % 500;
    thread::sleep(BEFORE + Duration::from_millis(more.into()));
    if load.count() == 0 {
        let seen = load.stop();
        let why = seen.failed.first().cloned().unwrap_or_default();
        return Err(Error::Stalled(format!("{}: no write before the event: {why}", service.name)));
    }
    Ok(load)
}

fn wait_write(load: &Load, event: Instant, service: &Service) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(first) = load.first_after(event) {
            return Ok(first);
        }
        if Instant::now() > deadline {
            return Err(Error::Stalled(format!("{}: no write after the event", service.name)));
        }
        thread::sleep(LOOK);
    }
}

/// Looks for what was acknowledged, and makes room for the next round.
fn judge(
    service: &Service,
    seen: &Seen,
    first_write: Duration,
    full_syncs: u64,
) -> Result<Outcome> {
    let primary = service.address(service.primary()?);
    let lost = lost(primary, &seen.acked)?;
    ask_once(primary, &["FLUSHALL"])?;
    let pause = seen.acked.iter().map(|write| write.acked - write.wanted).max();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Ok(Outcome {
        first_write_ms: ms(first_write),
        pause_ms: ms(pause.unwrap_or_default()),
        failed: seen.failed.len(),
        first_failure: seen.failed.first().cloned().unwrap_or_default(),
        acked: seen.acked.len(),
        lost,
        full_syncs,
    })
}
