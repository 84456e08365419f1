//! Bytes a key: how much a server grows by two million small strings, by a million small collections,
//! or, for each element, by one collection of a million.
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

/// What a server is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dataset {
    /// Two million strings of 32 bytes, with or without a deadline on each.
    Strings { deadlines: bool },
    /// A million keys, each made by this command.
    Collections(&'static [&'static str]),
    /// One key, to which this command adds a million elements.
    One(&'static [&'static str]),
}

impl Dataset {
    /// How many keys or elements are written.
    fn count(self) -> u64 {
        match self {
            Self::Strings { .. } => 2_000_000,
            Self::Collections(_) | Self::One(_) => 1_000_000,
        }
    }
}

/// Shortest deadline: none may fall due while we measure.
const FIRST_DEADLINE: u64 = 3600;

/// Deadlines are spread over a day, as a cache's would be.
const SPREAD: u64 = 86_400;

/// Incremental rehashing and lazy frees come to rest within it.
const SETTLE: Duration = Duration::from_secs(1);

/// Fills the server and divides its growth by the number of keys, or of elements of one key.
pub(crate) fn measure(
    server: &Server,
    dataset: Dataset,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let count = options.scaled(dataset.count());
    let mut link = server.connect()?;
    let rss_before = process::resident(server.pid())?;
    let used_before = link.used_memory()?;

    let value = "v".repeat(32);
    let plain = match dataset {
        Dataset::Strings { .. } => Request::new(&["SET", "key:############", &value]),
        Dataset::Collections(command) | Dataset::One(command) => Request::new(command),
    };
    keys::fill(server, count, keys::BULK, |number, out| match dataset {
        Dataset::Strings { deadlines: true } => {
            let seconds = (FIRST_DEADLINE + number % SPREAD).to_string();
            let request = Request::new(&["SET", "key:############", &value, "EX", &seconds]);
            request.append_numbered(number, out);
        }
        _ => plain.append_numbered(number, out),
    })?;
    thread::sleep(SETTLE);

    let resident = link.ask_number(&["DBSIZE"])?;
    let expected = if matches!(dataset, Dataset::One(_)) { 1 } else { count };
    if resident != expected {
        let reply = format!("{resident} keys where there should be {expected}");
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
