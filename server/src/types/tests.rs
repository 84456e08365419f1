//! What the tests of several rooms use: what commands leave in the log and say to subscribers.

use crate::Node;
use crate::clock::Clock;
use larder_replication::{FrameKind, Sink};
use parking_lot::Mutex;
use std::sync::Arc;

/// Keeps the log as words; RESP's lines of lengths are left out.
struct Words(Arc<Mutex<Vec<String>>>);

impl Sink for Words {
    fn append(&mut self, _offset: u64, bytes: &[u8], _: FrameKind) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let mut commands: Vec<Vec<&str>> = Vec::new();
        for line in text.split_terminator("\r\n") {
            match (line.starts_with('*'), line.starts_with('$'), commands.last_mut()) {
                (true, ..) => commands.push(Vec::new()),
                (false, false, Some(command)) => command.push(line),
                _ => {}
            }
        }
        let commands = commands.iter().map(|command| command.join(" "));
        self.0.lock().extend(commands.filter(|command| !command.starts_with("SELECT")));
        true
    }
}

/// Runs commands, one a line, on a node at second 1000, and tells what they left in the log and
/// which events they raised.
pub(crate) fn traces(commands: &str) -> (String, String) {
    let node =
        Node::builder().clock(Clock::manual(1_000_000)).start().expect("a node without port");
    let log = Arc::default();
    node.read_log(Box::new(Words(Arc::clone(&log))));
    let mut events = node.events();
    let mut local = node.local();
    for command in commands.split(';') {
        let words: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        local.call(&words);
    }
    let mut raised = Vec::new();
    while let Ok(event) = events.try_recv() {
        raised.push(format!("{} {}", event.name, String::from_utf8_lossy(&event.key)));
    }
    let log = log.lock().join("; ");
    (log, raised.join("; "))
}
