//! A replica that joins: how long until it has all keys of its primary.

use std::thread;
use std::time::{Duration, Instant};

use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::request::Request;
use larder_benches::{Error, Result};

use crate::keys;
use crate::options::Options;

/// Keys of the primary.
pub(crate) const KEYS: u64 = 5_000_000;

/// Redis alone waits five seconds before it begins; a slow machine may take a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks, each of which costs both servers a command.
const LOOK: Duration = Duration::from_millis(10);

/// A key of 16 bytes with a value of 32.
pub(crate) fn small_set() -> Request {
    Request::new(&["SET", "key:############", &"v".repeat(32)])
}

/// Fills the primary and times a replica from its REPLICAOF to the last key.
///
/// # Errors
/// When a server fails, or the sync does not end.
pub(crate) fn measure(server: &Server, options: &Options) -> Result<Vec<(Metric, f64)>> {
    let count = options.scaled(KEYS);
    let set = small_set();
    keys::fill(server, count, keys::BULK, |number, out| set.append_numbered(number, out))?;
    let replica = server.start_another(&options.pinning)?;
    let start = Instant::now();
    follow(server, &replica)?;
    let elapsed = start.elapsed();
    let there = replica.connect()?.ask_number(&["DBSIZE"])?;
    if there != count {
        let reply = format!("{there} keys where there should be {count}");
        return Err(Error::Reply { command: "DBSIZE".into(), reply });
    }
    Ok(vec![(Metric::SyncSeconds, elapsed.as_secs_f64()), (Metric::ResidentKeys, there as f64)])
}

/// Makes a server the replica of another and waits until it has what that one has.
///
/// # Errors
/// When a server fails, or the sync does not end.
pub(crate) fn follow(primary: &Server, replica: &Server) -> Result<()> {
    let address = primary.address;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut link = replica.connect()?;
    link.ask(&["REPLICAOF", &host, &port])?;
    wait_for("a full sync", || {
        // A replica that loads may refuse to tell.
        Ok(link.info("replication", "master_link_status").is_ok_and(|status| status == "up"))
    })
}

/// Asks until it is so.
///
/// # Errors
/// Those of the question, and when it is never so.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(Error::Stalled(format!("{what} did not end")));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}
