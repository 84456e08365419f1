//! How late a server tells that a session expired: from its deadline to the message at the
//! subscriber.
//!
//! ```text
//! cargo run --release -p larder-benches --bin expired -- target/release/larder-server redis-server
//! ```
//!
//! Sessions fall due one after another and nobody reads them. One line a round: round, server,
//! messages, lateness at the median, at p99 and at most, in ms. The deadline and the arrival are
//! read off the same machine's clock; messages that never come within ten seconds of the last
//! deadline are counted by their absence.

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Command;
use hdrhistogram::Histogram;
use larder_benches::arguments::{count, read_count, read_servers, servers};
use larder_benches::peer::{Peer, Pinning, Server};
use larder_benches::request::Request;
use larder_benches::{Error, Result};

/// All sessions fall due within it.
const SPAN_MS: u64 = 10_000;
/// From the start of loading to the first deadline.
const LEAD_MS: u64 = 5_000;
/// How long after the last deadline messages are waited for.
const PATIENCE_MS: u64 = 10_000;
/// Sessions that are sent at once.
const BULK: u64 = 500;
/// What comes before a session's number in its key.
const PREFIX: &[u8] = b"web:{tag}:s:";
const KEY: &str = "web:{tag}:s:############";
const DIGITS: usize = 12;

fn main() -> ExitCode {
    let options = Command::new("expired")
        .about("How late a server tells that a session expired")
        .arg(servers())
        .arg(count("rounds", "How often everything is measured", "3"))
        .arg(count("sessions", "Sessions of each measurement", "100000"))
        .get_matches();
    let sessions = read_count(&options, "sessions");
    println!("round,server,messages,p50 ms,p99 ms,max ms");
    for round in 1..=read_count(&options, "rounds") {
        for peer in read_servers(&options) {
            if let Err(error) = measure(&peer, round, sessions) {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn measure(peer: &Peer, round: u64, sessions: u64) -> Result<()> {
    let more = ["--notify-keyspace-events".to_owned(), "Ex".to_owned()];
    let server = peer.start_with(&Pinning::default(), &more)?;
    let mut subscriber = server.connect()?;
    let subscribe = Request::new(&["SUBSCRIBE", "__keyevent@0__:expired"]);
    let mut bytes = Vec::new();
    subscribe.append_numbered(0, &mut bytes);
    subscriber.load(&bytes, 1, "SUBSCRIBE")?;
    let first_ms = wall_ms() + LEAD_MS;
    let due_ms = |number: u64| first_ms + number * SPAN_MS / sessions;
    load(&server, sessions, due_ms)?;
    if wall_ms() >= first_ms {
        return Err(Error::Stalled("loading took too long".to_owned()));
    }
    let mut stream = subscriber.into_stream();
    let timeout = Some(Duration::from_millis(50));
    stream.set_read_timeout(timeout).map_err(Error::io("the subscriber's timeout"))?;
    let mut lateness = Histogram::<u64>::new_with_bounds(1, 60_000, 3).map_err(histogram)?;
    let (mut buffer, mut rest) = (vec![0; 64 << 10], Vec::new());
    let end_ms = due_ms(sessions) + PATIENCE_MS;
    while lateness.len() < sessions && wall_ms() < end_ms {
        let Ok(count) = stream.read(&mut buffer) else { continue };
        let now_ms = wall_ms();
        rest.extend_from_slice(&buffer[..count]);
        take(&mut rest, |number| {
            // One that comes early by the rounding of a millisecond is on time.
            lateness.saturating_record(now_ms.saturating_sub(due_ms(number)).max(1));
        });
    }
    let at = |quantile| lateness.value_at_quantile(quantile);
    let (median, p99, max) = (at(0.5), at(0.99), lateness.max());
    println!("{round},{},{},{median},{p99},{max}", server.name, lateness.len());
    Ok(())
}

/// Stores sessions with their deadlines.
fn load(server: &Server, sessions: u64, due_ms: impl Fn(u64) -> u64) -> Result<()> {
    let mut link = server.connect()?;
    for start in (0..sessions).step_by(BULK as usize) {
        let end = (start + BULK).min(sessions);
        let mut bytes = Vec::new();
        for number in start..end {
            let at = due_ms(number).to_string();
            let fields = ["_v", "1", "_u", "ada", "cart", "[1,2,3]"];
            Request::new(&[&["HSET", KEY][..], &fields].concat())
                .append_numbered(number, &mut bytes);
            Request::new(&["PEXPIREAT", KEY, &at]).append_numbered(number, &mut bytes);
        }
        link.load(&bytes, 2 * (end - start) as usize, "HSET and PEXPIREAT")?;
    }
    Ok(())
}

/// Takes the numbers of the keys that were told, and leaves what may be the start of another.
fn take(bytes: &mut Vec<u8>, mut each: impl FnMut(u64)) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(PREFIX.len()).position(|part| part == PREFIX) {
        let start = at + found + PREFIX.len();
        let Some(digits) = bytes.get(start..start + DIGITS) else { break };
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.into_iter().for_each(&mut each);
        at = start + DIGITS;
    }
    let kept = bytes.len().saturating_sub(PREFIX.len() + DIGITS).max(at);
    bytes.drain(..kept);
}

fn histogram(error: hdrhistogram::CreationError) -> Error {
    Error::Usage(error.to_string())
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
