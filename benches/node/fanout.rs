//! Publish fan-out: one publisher, many subscribers of its channel, all of whom get every message.
//! What a message costs the server is what is measured; each message is published when all have the
//! one before, or several at once where the row says so.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use larder_benches::connection::Connection;
use larder_benches::measure::Metric;
use larder_benches::peer::Server;
use larder_benches::process::CpuTime;
use larder_benches::request::Request;
use larder_benches::{Error, Result};

use crate::options::Options;

/// One fan-out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout {
    /// Connections that subscribe.
    pub(crate) subscribers: usize,
    /// Messages published at once.
    pub(crate) pipeline: usize,
}

const CHANNEL: &str = "channel:fan-out";
const PAYLOAD_BYTES: usize = 64;

/// A message as it arrives in RESP2.
fn message_bytes() -> usize {
    let bulk = |len: usize| 1 + len.to_string().len() + 2 + len + 2;
    4 + bulk("message".len()) + bulk(CHANNEL.len()) + bulk(PAYLOAD_BYTES)
}

/// Publishes for the window and counts what each message cost.
pub(crate) fn measure(
    server: &Server,
    fanout: Fanout,
    options: &Options,
) -> Result<Vec<(Metric, f64)>> {
    let subscribers = (0..fanout.subscribers).map(|_| {
        let mut link = server.connect()?;
        let subscribe = format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{CHANNEL}\r\n", CHANNEL.len());
        link.exchange(subscribe.as_bytes(), 1, |_| {})?;
        Ok(link.into_stream())
    });
    let mut streams = subscribers.collect::<Result<Vec<TcpStream>>>()?;
    let mut publisher = server.connect()?;
    let payload = "v".repeat(PAYLOAD_BYTES);
    let mut burst = Vec::new();
    let request = Request::new(&["PUBLISH", CHANNEL, &payload]);
    (0..fanout.pipeline).for_each(|_| request.append_numbered(0, &mut burst));
    let mut buffer = vec![0; message_bytes() * fanout.pipeline];
    let mut round = |publisher: &mut Connection| -> Result<()> {
        publisher.exchange(&burst, fanout.pipeline, |_| {})?;
        for stream in &mut streams {
            stream.read_exact(&mut buffer).map_err(Error::io("read messages"))?;
        }
        Ok(())
    };
    let until = Instant::now() + options.window.warmup;
    while Instant::now() < until {
        round(&mut publisher)?;
    }
    let (start, before) = (Instant::now(), CpuTime::of(server.pid())?);
    let mut messages = 0;
    while start.elapsed() < options.window.measured {
        round(&mut publisher)?;
        messages += fanout.pipeline;
    }
    // What the server does after the last byte was sent belongs to it.
    thread::sleep(Duration::from_millis(1));
    let (elapsed, cpu) = (start.elapsed(), CpuTime::of(server.pid())?.since(&before));
    let per_message = |time: Duration| time.as_secs_f64() * 1e6 / messages as f64;
    Ok(vec![
        (Metric::Ops, messages as f64),
        (Metric::Seconds, elapsed.as_secs_f64()),
        (Metric::Rps, messages as f64 / elapsed.as_secs_f64()),
        (Metric::CpuPerOp, per_message(cpu.whole)),
        (Metric::KernelCpuPerOp, per_message(cpu.kernel)),
        (Metric::Errors, 0.0),
    ])
}
