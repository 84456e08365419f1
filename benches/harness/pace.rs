//! Open-loop probe: a request leaves at each tick of a clock whether or not the last one was
//! answered, and its latency counts from the tick it was meant for. A closed loop would wait
//! out a pause with a single slow sample and hide all the requests that had to wait behind
//! it (coordinated omission).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::Connection;
use crate::load::{latencies, record};
use crate::scanner::{Outcome, Scanner};
use crate::{Error, Result};

/// How often the reader looks whether the probe has ended.
const READ_TIMEOUT: Duration = Duration::from_millis(50);

/// How long replies may be outstanding once the last request has left.
const TAIL_PATIENCE: Duration = Duration::from_secs(30);

/// What a probe saw.
#[derive(Clone, Debug)]
pub struct Paced {
    /// From the intended send time to the reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The furthest the generator itself fell behind its clock: that much of the maximum may
    /// be its own scheduling and not the server's.
    pub worst_send_lag: Duration,
}

/// Sends `request` every `interval` until `stop` is set, at most for `limit`.
///
/// # Errors
/// When the connection breaks, an error reply comes, or replies stay out.
pub fn probe(
    connection: Connection,
    request: &[u8],
    interval: Duration,
    stop: &AtomicBool,
    limit: Duration,
) -> Result<Paced> {
    let mut sender = connection.into_stream();
    let receiver = sender.try_clone().map_err(Error::io("second handle of the probe"))?;
    receiver.set_read_timeout(Some(READ_TIMEOUT)).map_err(Error::io("probe timeout"))?;
    let start = Instant::now();
    let ticks = u32::try_from(limit.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    let sent = AtomicU64::new(0);
    let ended = AtomicBool::new(false);

    thread::scope(|scope| {
        let reader = scope.spawn(|| receive(receiver, start, interval, &sent, &ended));
        let mut worst_send_lag = Duration::ZERO;
        let mut outcome = Ok(());
        for tick in 0..ticks {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let intended = start + interval * tick;
            thread::sleep(intended.saturating_duration_since(Instant::now()));
            worst_send_lag = worst_send_lag.max(intended.elapsed());
            outcome = sender.write_all(request).map_err(Error::io("send a probe"));
            if outcome.is_err() {
                break;
            }
            sent.fetch_add(1, Ordering::Release);
        }
        ended.store(true, Ordering::Release);
        let latency = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcome?;
        Ok(Paced { latency: latency?, worst_send_lag })
    })
}

/// Reads until every request sent is answered and no more will be sent.
fn receive(
    mut stream: TcpStream,
    start: Instant,
    interval: Duration,
    sent: &AtomicU64,
    ended: &AtomicBool,
) -> Result<Histogram<u64>> {
    let mut latency = latencies();
    let mut scanner = Scanner::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut answered: u32 = 0;
    let mut failed = false;
    let mut last_progress = Instant::now();
    loop {
        // In this order: the count is final once `ended` is seen.
        let over = ended.load(Ordering::Acquire);
        if over && u64::from(answered) == sent.load(Ordering::Acquire) {
            return Ok(latency);
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(Error::Stalled("the server closed the probe".into())),
            Ok(read) => {
                last_progress = Instant::now();
                scanner.feed(&buffer[..read], |outcome| {
                    failed |= outcome == Outcome::Error;
                    let intended = start + interval * answered;
                    record(&mut latency, last_progress.saturating_duration_since(intended));
                    answered += 1;
                })?;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(Error::io("read a probe's reply")(error)),
        }
        if failed {
            let reply = scanner.first_error().unwrap_or_default().to_owned();
            return Err(Error::Reply { command: "probe".into(), reply });
        }
        if last_progress.elapsed() > TAIL_PATIENCE {
            return Err(Error::Stalled("a probe stayed unanswered".into()));
        }
    }
}
