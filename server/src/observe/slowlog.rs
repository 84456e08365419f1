//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.
//!
//! Entries keep a trimmed copy of the arguments, so that one entry's size is bounded whatever a
//! client sent, and secrets in them are blacked out before they are stored. Only slow commands come
//! here, so one mutex does.

use crate::commands::Command;
use crate::config;
use larder_protocol::Args;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Arguments that an entry keeps; the last one then says how many more there were (as in Redis).
const ARGS_MAX: usize = 32;
/// Bytes that an entry keeps of one argument (as in Redis).
const ARG_MAX_BYTES: usize = 128;
/// What stands for a secret.
const REDACTED: &[u8] = b"(redacted)";

/// A slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowEntry {
    /// Counts up over the node's life; RESET does not start it again.
    pub id: u64,
    /// When it ran, in seconds since the Unix epoch.
    pub time_s: i64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Its arguments, trimmed.
    pub args: Vec<Vec<u8>>,
    /// Who sent it.
    pub address: String,
    /// CLIENT SETNAME of who sent it.
    pub name: Vec<u8>,
}

/// The slow log, newest entry first.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    newest_first: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Adds a command, and drops the oldest entries beyond `max_len`.
    #[allow(clippy::too_many_arguments, reason = "they are the columns of the log")]
    pub fn push(
        &self,
        command: &Command,
        args: Args<'_>,
        duration_us: u64,
        address: String,
        name: Vec<u8>,
        now_ms: i64,
        max_len: u64,
    ) {
        let args = trimmed(command, args);
        let time_s = now_ms.div_euclid(1000);
        let mut entries = self.entries.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.newest_first.push_front(SlowEntry { id, time_s, duration_us, args, address, name });
        entries.newest_first.truncate(usize::try_from(max_len).unwrap_or(usize::MAX));
    }

    /// How many entries there are, after those beyond `max_len` were dropped.
    pub fn len(&self, max_len: u64) -> usize {
        let mut entries = self.entries.lock();
        entries.newest_first.truncate(usize::try_from(max_len).unwrap_or(usize::MAX));
        entries.newest_first.len()
    }

    /// The newest entries, at most `count`, after those beyond `max_len` were dropped.
    pub fn newest(&self, count: usize, max_len: u64) -> Vec<SlowEntry> {
        let mut entries = self.entries.lock();
        entries.newest_first.truncate(usize::try_from(max_len).unwrap_or(usize::MAX));
        entries.newest_first.iter().take(count).cloned().collect()
    }

    /// Forgets all entries.
    pub fn reset(&self) {
        let dropped = std::mem::take(&mut self.entries.lock().newest_first);
        drop(dropped);
    }
}

fn trimmed(command: &Command, args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = args.len().min(ARGS_MAX);
    let mut copy: Vec<Vec<u8>> = (0..kept).map(|index| shown(command, args, index)).collect();
    if args.len() > ARGS_MAX {
        let more = args.len() - ARGS_MAX + 1;
        copy[ARGS_MAX - 1] = format!("... ({more} more arguments)").into_bytes();
    }
    copy
}

fn shown(command: &Command, args: Args<'_>, index: usize) -> Vec<u8> {
    let arg = args.at(index);
    if is_secret(command, args, index) {
        return REDACTED.to_vec();
    }
    match arg.get(..ARG_MAX_BYTES) {
        Some(head) if arg.len() > ARG_MAX_BYTES => {
            let more = arg.len() - ARG_MAX_BYTES;
            [head, format!("... ({more} more bytes)").as_bytes()].concat()
        }
        _ => arg.to_vec(),
    }
}

/// Whether an argument is a password, by where it stands. The command's own name tells: the first
/// argument may be one that `rename-command` gave it.
fn is_secret(command: &Command, args: Args<'_>, index: usize) -> bool {
    let is_auth = |at: usize| args.at(at).eq_ignore_ascii_case(b"auth");
    match command.full_name {
        // Pairs from argument 2 on; the value follows its name.
        "config|set" => index >= 3 && index % 2 == 1 && config::is_sensitive(args.at(index - 1)),
        "hello" => (2..index).any(|at| is_auth(at) && index - at <= 2),
        "auth" => index > 0,
        "acl|setuser" | "acl|deluser" | "acl|getuser" => index >= 2,
        _ => false,
    }
}
