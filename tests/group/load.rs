//! Writers that remember what was acknowledged to them, and the judge who looks for it afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use larder_tests::{Conn, Value};

/// How long a writer waits for a reply before it connects anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one writer saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Numbers whose write was acknowledged, with the time.
    pub(crate) acked: Vec<(u64, Instant)>,
    /// Replies that were errors, and connections that ended.
    pub(crate) failed: Vec<String>,
    /// The numbers of these writes.
    unanswered: Vec<u64>,
}

impl Seen {
    fn fail(&mut self, number: u64, why: String) {
        self.unanswered.push(number);
        self.failed.push(why);
    }

    /// The longest time between two acknowledgements.
    pub(crate) fn longest_gap(&self) -> Duration {
        let gaps = self.acked.windows(2).map(|pair| pair[1].1 - pair[0].1);
        gaps.max().unwrap_or_default()
    }

    /// The first acknowledgement after a moment.
    pub(crate) fn first_after(&self, moment: Instant) -> Option<Duration> {
        let first = self.acked.iter().find(|(_, at)| *at > moment);
        first.map(|(_, at)| *at - moment)
    }
}

/// Writers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Starts writers, each of which goes to one of these addresses as long as it can.
    pub(crate) fn start(writers: usize, addresses: &[SocketAddr]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..writers).map(|writer| {
            let (stop, addresses) = (Arc::clone(&stop), addresses.to_vec());
            thread::spawn(move || write(writer, &addresses, &stop))
        });
        Self { writers: writers.collect(), stop }
    }

    /// Ends them; gives what each saw.
    pub(crate) fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.writers.into_iter().map(|writer| writer.join().expect("a writer ends"));
        seen.collect()
    }
}

fn key(writer: usize, number: u64) -> String {
    format!("w{writer}:{number}")
}

fn write(writer: usize, addresses: &[SocketAddr], stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut turn = writer;
    let mut conn: Option<Conn> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let open = conn.take().or_else(|| {
            turn += 1;
            let mut conn = Conn::tcp(addresses[turn % addresses.len()]).ok()?;
            conn.set_patience(PATIENCE).ok()?;
            Some(conn)
        });
        let Some(mut open) = open else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        number += 1;
        let line = format!("SET {} {number}\r\n", key(writer, number));
        let reply = open.try_send(line.as_bytes()).and_then(|()| open.try_reply());
        match reply.map(|reply| reply.value) {
            Ok(Value::Closed) => seen.fail(number, "closed".to_owned()),
            Ok(reply) if reply.to_string() == "+OK" => {
                seen.acked.push((number, Instant::now()));
                conn = Some(open);
            }
            Ok(reply) => {
                seen.fail(number, reply.to_string());
                thread::sleep(Duration::from_millis(2));
            }
            Err(error) => seen.fail(number, error.to_string()),
        }
    }
    seen
}

/// The writes that were not acknowledged and that a node has all the same.
pub(crate) fn done_unanswered(conn: &mut Conn, seen: &[Seen]) -> Vec<String> {
    let keys = seen
        .iter()
        .enumerate()
        .flat_map(|(writer, seen)| seen.unanswered.iter().map(move |number| key(writer, *number)));
    keys.filter(|key| conn.call(&["EXISTS", key]).int() == 1).collect()
}

/// The acknowledged writes that a node does not have.
pub(crate) fn lost(conn: &mut Conn, seen: &[Seen]) -> Vec<String> {
    let mut lost = Vec::new();
    for (writer, seen) in seen.iter().enumerate() {
        for chunk in seen.acked.chunks(500) {
            let keys = chunk.iter().map(|(number, _)| key(writer, *number));
            let line: Vec<String> = std::iter::once("MGET".to_owned()).chain(keys).collect();
            let found = conn.call(&line).items();
            for ((number, _), value) in chunk.iter().zip(found) {
                if value.kind() != '$' || value.text() != number.to_string() {
                    lost.push(key(writer, *number));
                }
            }
        }
    }
    lost
}
