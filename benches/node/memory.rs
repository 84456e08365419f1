//! Bytes a key: how much a server grows by two million small strings.
//!
//! Growth, not size: an empty server's own needs are no property of a key. Resident memory
//! is what the operator pays; `used_memory` is what `maxmemory` is held against. A server
//! that accounts for less than it takes shows a gap between the two.

use std::thread;
use std::time::Duration;

use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::{Error, Result, process};

use crate::keys;
use crate::options::Options;

const KEYS: u64 = 2_000_000;

/// Shortest deadline: none may fall due while we measure.
const FIRST_DEADLINE: u64 = 3600;

/// Deadlines are spread over a day, as a cache's would be.
const SPREAD: u64 = 86_400;

/// Incremental rehashing and lazy frees come to rest within it.
const SETTLE: Duration = Duration::from_secs(1);

/// Fills the server and divides its growth by the number of keys.
pub(crate) fn measure(
    server: &Server,
    deadlines: bool,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let count = options.scaled(KEYS);
    let mut link = server.connect()?;
    let rss_before = process::resident(server.pid())?;
    let used_before = link.used_memory()?;

    let value = "v".repeat(32);
    let plain = Request::new(&["SET", "key:############", &value]);
    keys::fill(server, count, keys::BULK, |number, out| {
        if deadlines {
            let seconds = (FIRST_DEADLINE + number % SPREAD).to_string();
            let request = Request::new(&["SET", "key:############", &value, "EX", &seconds]);
            request.append_numbered(number, out);
        } else {
            plain.append_numbered(number, out);
        }
    })?;
    thread::sleep(SETTLE);

    let resident = link.ask_number(&["DBSIZE"])?;
    if resident != count {
        let reply = format!("{resident} keys where {count} were written");
        return Err(Error::Reply { command: "DBSIZE".into(), reply });
    }
    let used = link.used_memory()?.saturating_sub(used_before);
    let rss = process::resident(server.pid())?.saturating_sub(rss_before);
    Ok(vec![
        (Metric::RssPerKey, rss as f64 / count as f64),
        (Metric::UsedPerKey, used as f64 / count as f64),
        (Metric::ResidentKeys, resident as f64),
    ])
}
