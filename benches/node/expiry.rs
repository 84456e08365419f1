//! How late due keys go. A million keys fall due one after another over ten seconds, nobody
//! reads them, and DBSIZE is watched: with `left` keys there, the oldest of them should have
//! gone when that many were still to come, and so far behind is the server at that moment.
//!
//! The reckoning takes removal in order of due time. A server that samples at random keeps
//! some older keys, so the true lateness of its worst key is at least what is shown.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::{Error, Result};

use crate::keys;
use crate::options::Options;

const KEYS: u64 = 1_000_000;

/// All keys fall due within it.
const SPAN_MS: u64 = 10_000;

/// From the start of loading to the first due time: loading must be over by then.
const LEAD_MS: u64 = 8_000;

/// How long after the last due time we keep watching.
const PATIENCE_MS: u64 = 60_000;

/// Resolution of the curve.
const SAMPLE: Duration = Duration::from_millis(5);

/// Loads the keys and watches them go.
pub(crate) fn measure(server: &Server, options: &Options) -> Result<Vec<(Metric, f64)>> {
    let count = options.scaled(KEYS);
    let first_due = wall_ms() + LEAD_MS;
    let due = |number: u64| first_due + number * SPAN_MS / count;
    let value = "v".repeat(32);
    keys::fill(server, count, keys::BULK, |number, out| {
        let at = due(number).to_string();
        let request = Request::new(&["SET", "key:############", &value, "PXAT", &at]);
        request.append_numbered(number, out);
    })?;
    let loaded = wall_ms();
    if loaded >= first_due {
        return Err(Error::Stalled(format!("loading took {} ms too long", loaded - first_due)));
    }

    let mut link = server.connect()?;
    thread::sleep(Duration::from_millis(first_due - loaded));
    let last_due = first_due + SPAN_MS;
    let mut worst = 0;
    loop {
        // The question's time, not the answer's: a slow DBSIZE must not count as lateness.
        let asked = wall_ms();
        let left = link.ask_number(&["DBSIZE"])?;
        if left == 0 {
            return Ok(vec![
                (Metric::ExpiryLag, worst as f64),
                (Metric::ExpiryTail, asked.saturating_sub(last_due) as f64),
            ]);
        }
        worst = worst.max(asked.saturating_sub(due(count.saturating_sub(left))));
        if asked > last_due + PATIENCE_MS {
            return Err(Error::Stalled(format!("{left} due keys were never removed")));
        }
        thread::sleep(SAMPLE);
    }
}

/// Wall clock in milliseconds: deadlines are given on it.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
