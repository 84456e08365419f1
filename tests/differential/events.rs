//! Keyspace events: what both servers tell of each command.
//!
//! A connection to each server listens to all events. A message that is published after a command
//! marks where its events end.

use larder_tests::{Conn, Server, Value, difference, encode};

use crate::play::{Failure, Pair, connect};

/// Larder's listener and its peer's.
#[derive(Debug)]
pub(crate) struct Listeners {
    conns: [Conn; 2],
    marks: u64,
}

/// The channel of the marks, which fits the pattern that events fit.
const MARK: &str = "__keyevent@mark";

impl Listeners {
    /// Listens from now on.
    pub(crate) fn new(servers: [&Server; 2]) -> Self {
        let listen = |server: &Server| {
            let mut conn = connect(server);
            conn.send(&encode(&["PSUBSCRIBE", "__keyevent@*"]));
            conn.reply();
            conn
        };
        Self { conns: servers.map(listen), marks: 0 }
    }

    /// The events since the last call, each as database, name and key.
    pub(crate) fn take(&mut self, pair: &mut Pair<'_>) -> Result<[Vec<String>; 2], Failure> {
        self.marks += 1;
        let mark = self.marks.to_string();
        pair.both(&["PUBLISH", MARK, &mark])?;
        let mut taken = [Vec::new(), Vec::new()];
        for (conn, events) in self.conns.iter_mut().zip(&mut taken) {
            loop {
                let reply = conn.try_reply().map_err(|error| format!("    events: {error}"))?;
                let parts = reply.value.items();
                let [_, _, channel, payload] = &parts[..] else {
                    return Err(format!("    no event: {}", reply.value).into());
                };
                if channel.text() != MARK {
                    events.push(event(&channel.text(), payload));
                } else if payload.text() == mark {
                    break;
                }
            }
        }
        Ok(taken)
    }
}

fn event(channel: &str, key: &Value) -> String {
    format!("{} {key}", channel.trim_start_matches("__keyevent@"))
}

/// What is wrong with the events of a command, if anything.
///
/// That a key is due is told when it is found to be, which is another moment on each server. Keys that
/// are missed count only where the command did not fail: which ones it looks at before it finds out is
/// not the same everywhere. SORT meets keys in the order of a hash table. Before 7.2, consumers were not
/// made by every call that names one.
pub(crate) fn judged(
    name: &str,
    events: [Vec<String>; 2],
    has_failed: bool,
    old_peer: bool,
) -> Option<String> {
    let [ours, theirs] = events.map(|mut events| {
        events.retain(|event| {
            let left_out = event.contains("__:expired ")
                || (has_failed && event.contains("__:keymiss "))
                || (old_peer && event.contains("__:xgroup-createconsumer "))
                || (old_peer && event.contains("__:xgroup-delconsumer "));
            !left_out
        });
        if name.starts_with("sort") {
            events.sort();
        }
        events
    });
    (ours != theirs).then(|| {
        format!("    events\n{}", difference(&format!("{ours:?}"), &format!("{theirs:?}")))
    })
}
