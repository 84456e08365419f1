//! MONITOR: a line about every command, for those who look on.
//!
//! Nobody does, mostly, so a command asks one counter. Commands of operators are not shown, nor are
//! names and passwords.

use super::Push;
use crate::commands::Command;
use crate::commands::row::{Flags, Row};
use crate::node::clients::{Client, Peer};
use crate::node::shared::Shared;
use crate::session::Session;
use bytes::Bytes;
use larder_protocol::Args;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Clients that look on.
#[derive(Default)]
pub struct Monitors {
    all: Mutex<Vec<Arc<Client>>>,
    count: AtomicUsize,
}

/// Who runs a command, as monitors are shown it.
#[derive(Clone, Copy)]
enum Caller<'a> {
    /// A connection.
    Client(&'a Client),
    /// A script.
    Script,
}

impl Monitors {
    /// Lets a client look on; false when it does already.
    pub fn add(&self, client: &Arc<Client>) -> bool {
        let mut all = self.all.lock();
        let is_new = !client.is_monitor.swap(true, Ordering::Relaxed);
        if is_new {
            all.push(Arc::clone(client));
            self.count.store(all.len(), Ordering::Relaxed);
        }
        is_new
    }

    /// Lets a client look on no more.
    pub fn remove(&self, client: &Client) {
        if client.is_monitor.swap(false, Ordering::Relaxed) {
            let mut all = self.all.lock();
            all.retain(|other| !std::ptr::eq(&**other, client));
            self.count.store(all.len(), Ordering::Relaxed);
        }
    }

    /// Whether this client looks on.
    #[inline]
    pub fn has(&self, client: &Client) -> bool {
        !self.is_empty() && client.is_monitor.load(Ordering::Relaxed)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }
}

impl Push {
    /// Shows a command that has run to those who look on; to be called for each, also for those
    /// within another.
    #[inline]
    pub fn monitor(&self, node: &Shared, session: &Session, command: &Command, args: Args<'_>) {
        let flags = command.row.flags;
        if !self.monitors.is_empty() && !flags.has(Flags::SKIP_MONITOR) && !flags.has(Flags::ADMIN)
        {
            self.show(node, session, command.row, args);
        }
    }

    /// Shows a command before it has run, as one that runs a script is, or without that it runs.
    pub fn monitor_early(&self, node: &Shared, session: &Session, row: &Row, args: Args<'_>) {
        if !self.monitors.is_empty() {
            self.show(node, session, row, args);
        }
    }

    #[cold]
    fn show(&self, node: &Shared, session: &Session, row: &Row, args: Args<'_>) {
        let caller =
            if session.scripted { Caller::Script } else { Caller::Client(&session.client) };
        let line = Bytes::from(line(node.clock.unix_us(), caller, session.db, row, args));
        for monitor in &*self.monitors.all.lock() {
            node.deliver(monitor, line.clone());
        }
    }
}

/// The line about a command, as a status reply.
fn line(now_us: i64, caller: Caller<'_>, db: usize, row: &Row, args: Args<'_>) -> Vec<u8> {
    let caller = match caller {
        Caller::Script => "lua".to_owned(),
        Caller::Client(client) => match &client.peer {
            Peer::Unix(path) => format!("unix:{path}"),
            peer => peer.address(),
        },
    };
    let (seconds, micros) = (now_us.div_euclid(1_000_000), now_us.rem_euclid(1_000_000));
    let mut line = format!("+{seconds}.{micros:06} [{db} {caller}]").into_bytes();
    for (index, arg) in args.iter().enumerate() {
        line.push(b' ');
        if is_secret(row, args, index) {
            line.extend_from_slice(b"\"(redacted)\"");
        } else {
            quote(&mut line, arg);
        }
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Whether an argument is a name or a password.
fn is_secret(row: &Row, args: Args<'_>, index: usize) -> bool {
    match row.name {
        "auth" => index > 0 && args.len() <= 3,
        "hello" => [1, 2].into_iter().any(|before| {
            let word = index.checked_sub(before).filter(|at| *at >= 2);
            let is_auth = |word: &[u8]| word.eq_ignore_ascii_case(b"auth");
            word.is_some_and(|at| is_auth(args.at(at)) && at + 2 < args.len())
        }),
        _ => false,
    }
}

/// Appends bytes as Redis quotes them for people.
fn quote(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    fn shown(args: &[&[u8]]) -> String {
        let command = commands::find(args[0]).expect("a command");
        let shown = line(12_000_034, Caller::Script, 3, command.row, Args::from_slices(args));
        String::from_utf8(shown).expect("all is quoted")
    }

    #[test]
    fn lines_are_quoted() {
        let line = shown(&[b"set", b"a\"\\\n\r\t\x07\x08", b"\x00 ~\x7f\xff"]);
        let quoted = "\"set\" \"a\\\"\\\\\\n\\r\\t\\a\\b\" \"\\x00 ~\\x7f\\xff\"";
        assert_eq!(line, format!("+12.000034 [3 lua] {quoted}\r\n"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(shown(&[b"auth", b"secret"]).ends_with("\"auth\" \"(redacted)\"\r\n"));
        let line = shown(&[b"hello", b"3", b"AUTH", b"user", b"secret", b"SETNAME", b"me"]);
        let rest = "\"3\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"me\"\r\n";
        assert!(line.ends_with(rest), "{line}");
    }
}
