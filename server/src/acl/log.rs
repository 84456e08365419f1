//! ACL LOG: what was denied lately, newest first.
//!
//! What is denied again and again is one entry with a count, as long as the pauses are short; a
//! client that hammers at a door does not push the rest out of the log.

use super::selector::Reason;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// A pause after which the same denial is news again (as in Redis).
const SAME_WITHIN_MS: i64 = 60_000;

/// How many of the newest entries are compared with a new one (as in Redis).
const COMPARED: usize = 10;

/// Bytes that an entry keeps of a name: a key may be as long as a client likes.
const NAME_MAX_BYTES: usize = 64 * 1024;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A login failed.
    Login,
    /// A command was denied.
    Denied(Reason),
}

impl Event {
    /// The word of ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "auth",
            Self::Denied(Reason::Command) => "command",
            Self::Denied(Reason::Key) => "key",
            Self::Denied(Reason::Channel) => "channel",
        }
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How often it happened.
    pub count: u64,
    /// What happened.
    pub event: Event,
    /// Where: `toplevel`, `multi`, `lua`.
    pub context: &'static str,
    /// The command, the key or the channel.
    pub object: Vec<u8>,
    /// The user, or who somebody claimed to be.
    pub user: Vec<u8>,
    /// The line of CLIENT LIST about who did it last.
    pub client: String,
    /// Counts up over the node's life.
    pub id: u64,
    /// When it happened first, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it happened last.
    pub updated_ms: i64,
}

/// See the file.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    newest_first: VecDeque<Entry>,
    next_id: u64,
}

impl AclLog {
    /// Adds an event; the oldest entries beyond `max_len` go.
    #[allow(clippy::too_many_arguments, reason = "they are the columns of the log")]
    pub fn push(
        &self,
        event: Event,
        context: &'static str,
        object: &[u8],
        user: &[u8],
        client: String,
        now_ms: i64,
        max_len: u64,
    ) {
        let object = &object[..object.len().min(NAME_MAX_BYTES)];
        let user = &user[..user.len().min(NAME_MAX_BYTES)];
        let mut entries = self.entries.lock();
        let is_same = |entry: &Entry| {
            entry.event == event
                && entry.context == context
                && (entry.updated_ms - now_ms).abs() <= SAME_WITHIN_MS
                && entry.object == object
                && entry.user == user
        };
        let known = entries.newest_first.iter().take(COMPARED).position(is_same);
        if let Some(mut entry) = known.and_then(|at| entries.newest_first.remove(at)) {
            entry.client = client;
            entry.updated_ms = now_ms;
            entry.count += 1;
            entries.newest_first.push_front(entry);
            return;
        }
        let entry = Entry {
            count: 1,
            event,
            context,
            object: object.to_vec(),
            user: user.to_vec(),
            client,
            id: entries.next_id,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        entries.next_id += 1;
        entries.newest_first.push_front(entry);
        entries.newest_first.truncate(usize::try_from(max_len).unwrap_or(usize::MAX));
    }

    /// The newest entries, at most `count`.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.lock().newest_first.iter().take(count).cloned().collect()
    }

    /// Forgets all entries; ids go on.
    pub fn clear(&self) {
        self.entries.lock().newest_first.clear();
    }
}
