//! Client-side caching: which client may hold which key, and who is told when it changes.
//!
//! A client that tracks keys is remembered with each key it reads, while the read still holds the
//! key's shard. A change takes the key out and tells those clients, while it holds the shard, so a
//! client is told after the reply that it must forget. In broadcasting mode nothing is remembered:
//! keys that change are collected by prefix and told to all who asked for the prefix, once for all
//! commands of a turn.
//!
//! The names of keys count, not their databases, as in Redis. Clients that are gone stay among a key's
//! until it changes, unless they become many.
//!
//! Invariant: the table has no more keys than `tracking-table-max-keys`, and no more bytes than as
//! many keys of [`MEAN_KEY_BYTES`] have; what goes for lack of room is told like a change.

use super::KeyHash;
use super::notify::{Classes, KeyEvent};
use crate::commands::row::{Flags, Group, Row};
use crate::node::clients::Client;
use crate::node::shared::Shared;
use crate::push::Message;
use crate::session::Session;
use bytes::Bytes;
use larder_protocol::encode::{array_header, bulk, int, null, push_header};
use larder_protocol::{Args, Version};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 64;
/// Bytes that the limit on keys allows for each of them.
const MEAN_KEY_BYTES: usize = 256;
/// Keys that one command takes out at most when the table is too large.
const EVICTIONS_MAX: usize = 1000;
/// Clients of one key among which those that are gone are looked for.
const MANY_CLIENTS: usize = 64;
/// The channel on which a subscriber in RESP2 is told.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// How a client tracks, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// It tracks.
    pub const ON: Self = Self(1);
    /// It is told of all keys with its prefixes.
    pub const BCAST: Self = Self(1 << 1);
    /// Only what follows CLIENT CACHING YES is remembered.
    pub const OPTIN: Self = Self(1 << 2);
    /// What follows CLIENT CACHING NO is not remembered.
    pub const OPTOUT: Self = Self(1 << 3);
    /// It is not told of its own changes.
    pub const NOLOOP: Self = Self(1 << 4);
    /// The client that it redirects to is gone.
    pub const BROKEN: Self = Self(1 << 5);

    /// Whether all of `other` is set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What of a client's tracking others must know.
#[derive(Debug, Default)]
pub struct Tracker {
    mode: AtomicU32,
    redirect: AtomicU64,
    /// Prefixes in broadcasting mode.
    pub prefixes: Mutex<BTreeSet<Bytes>>,
}

impl Tracker {
    /// How it tracks.
    #[inline]
    pub fn mode(&self) -> Mode {
        Mode(self.mode.load(Ordering::Relaxed))
    }

    /// The client that is told in its place; 0 for itself, -1 while it does not track.
    pub fn redirect(&self) -> i64 {
        if self.mode().has(Mode::ON) { self.redirect.load(Ordering::Relaxed) as i64 } else { -1 }
    }
}

/// What a session knows of its tracking, so that most commands need no more than a look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caching {
    /// Whether its reads may be remembered.
    pub tracks: bool,
    /// Whether CLIENT CACHING was said for the next command.
    pub is_said: bool,
}

/// Clients of one key, by ascending id.
type Ids = SmallVec<[u64; 2]>;

#[derive(Default)]
struct Part {
    keys: Vec<(Arc<[u8]>, Ids)>,
    places: HashMap<Arc<[u8]>, usize>,
}

/// Who asked for a prefix, and which of its keys changed in this turn, by whom.
#[derive(Default)]
struct Prefix {
    clients: Vec<Arc<Client>>,
    changed: BTreeMap<Vec<u8>, u64>,
}

/// The tracking of a node's clients.
pub struct Tracking {
    parts: Box<[Mutex<Part>]>,
    clients: AtomicUsize,
    keys: AtomicUsize,
    items: AtomicI64,
    bytes: AtomicUsize,
    prefixes: Mutex<BTreeMap<Bytes, Prefix>>,
    prefix_count: AtomicUsize,
    /// Whether keys wait to be broadcast.
    is_pending: AtomicBool,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            clients: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            items: AtomicI64::new(0),
            bytes: AtomicUsize::new(0),
            prefixes: Mutex::default(),
            prefix_count: AtomicUsize::new(0),
            is_pending: AtomicBool::new(false),
        }
    }
}

/// Bytes that a client's prefix takes, with the client and in the registry.
fn prefix_bytes(name: &Bytes) -> usize {
    name.len() + 2 * size_of::<Bytes>() + size_of::<Prefix>() + size_of::<Arc<Client>>()
}

/// Memory of a tracked key.
fn key_bytes(key: &[u8]) -> usize {
    key.len() + size_of::<(Arc<[u8]>, Ids)>() + 2 * size_of::<usize>() + size_of::<Arc<[u8]>>()
}

impl Part {
    /// Takes a key out.
    fn take(&mut self, key: &[u8]) -> Option<(Arc<[u8]>, Ids)> {
        let place = self.places.remove(key)?;
        let taken = self.keys.swap_remove(place);
        if let Some((moved, _)) = self.keys.get(place) {
            self.places.insert(Arc::clone(moved), place);
        }
        if self.keys.len() * 4 < self.keys.capacity() {
            self.keys.shrink_to(self.keys.len() * 2);
            self.places.shrink_to(self.keys.len() * 2);
        }
        Some(taken)
    }
}

impl Tracking {
    /// How many clients track.
    #[inline]
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// How many clients are remembered, counted once for each key.
    pub fn items(&self) -> i64 {
        self.items.load(Ordering::Relaxed)
    }

    /// How many prefixes somebody asked for.
    pub fn prefixes(&self) -> usize {
        self.prefix_count.load(Ordering::Relaxed)
    }

    fn part(&self, hash: KeyHash) -> &Mutex<Part> {
        &self.parts[hash.shard() % PARTS]
    }

    /// Lets a client track in this mode from now on.
    pub fn enable(&self, client: &Arc<Client>, mode: Mode, redirect: u64, prefixes: &[&[u8]]) {
        let tracker = &client.tracker;
        if !tracker.mode().has(Mode::ON) {
            self.clients.fetch_add(1, Ordering::Relaxed);
        }
        tracker.redirect.store(redirect, Ordering::Relaxed);
        tracker.mode.store(mode.and(Mode::ON).0, Ordering::Relaxed);
        if mode.has(Mode::BCAST) {
            let all: &[&[u8]] = if prefixes.is_empty() { &[b""] } else { prefixes };
            let mut own = tracker.prefixes.lock();
            for prefix in all.iter().map(|prefix| Bytes::copy_from_slice(prefix)) {
                if own.insert(prefix.clone()) {
                    client.subscribed_bytes.fetch_add(prefix_bytes(&prefix), Ordering::Relaxed);
                    self.add_prefix(prefix, client);
                }
            }
        }
    }

    fn add_prefix(&self, prefix: Bytes, client: &Arc<Client>) {
        let mut prefixes = self.prefixes.lock();
        prefixes.entry(prefix).or_default().clients.push(Arc::clone(client));
        self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
    }

    /// Ends a client's tracking; its keys stay until they change.
    pub fn disable(&self, client: &Client) {
        let tracker = &client.tracker;
        let own = std::mem::take(&mut *tracker.prefixes.lock());
        if !own.is_empty() {
            let mut prefixes = self.prefixes.lock();
            for name in own {
                client.subscribed_bytes.fetch_sub(prefix_bytes(&name), Ordering::Relaxed);
                let Some(prefix) = prefixes.get_mut(&name) else { continue };
                prefix.clients.retain(|other| !std::ptr::eq(&**other, client));
                if prefix.clients.is_empty() {
                    prefixes.remove(&name);
                }
            }
            self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
        }
        if Mode(tracker.mode.swap(0, Ordering::Relaxed)).has(Mode::ON) {
            self.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Remembers that a client may hold a key, whose shard is held.
    fn remember(&self, node: &Shared, id: u64, key: &[u8], hash: KeyHash) {
        let part = &mut *self.part(hash).lock();
        let place = match part.places.get(key) {
            Some(place) => *place,
            None => {
                let key: Arc<[u8]> = Arc::from(key);
                let bytes = key_bytes(&key);
                self.keys.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                node.keyspace.memory().add(bytes as i64);
                part.places.insert(Arc::clone(&key), part.keys.len());
                part.keys.push((key, Ids::new()));
                part.keys.len() - 1
            }
        };
        let ids = &mut part.keys[place].1;
        let before = ids.len();
        if before >= MANY_CLIENTS && before == ids.capacity() {
            ids.retain(|id| node.clients.get(*id).is_some());
        }
        if let Err(at) = ids.binary_search(&id) {
            ids.insert(at, id);
        }
        let more = ids.len() as i64 - before as i64;
        self.items.fetch_add(more, Ordering::Relaxed);
        node.keyspace.memory().add(more * size_of::<u64>() as i64);
    }

    fn forget(&self, node: &Shared, key: &[u8], ids: &Ids) {
        let bytes = key_bytes(key);
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.items.fetch_sub(ids.len() as i64, Ordering::Relaxed);
        node.keyspace.memory().add(-((bytes + ids.len() * size_of::<u64>()) as i64));
    }

    /// Tells of keys at random until the table is within its limits.
    fn keep_limits(&self, node: &Shared, max_keys: usize) {
        let is_over = || {
            self.keys() > max_keys
                || self.bytes.load(Ordering::Relaxed) > max_keys.saturating_mul(MEAN_KEY_BYTES)
        };
        let mut evictions = 0;
        while max_keys > 0 && evictions < EVICTIONS_MAX && is_over() {
            let start = fastrand::usize(..PARTS);
            let found = (0..PARTS).find_map(|offset| {
                let mut part = self.parts[(start + offset) % PARTS].lock();
                let count = part.keys.len();
                let key = Arc::clone(&part.keys.get(fastrand::usize(..count.max(1)))?.0);
                part.take(&key)
            });
            let Some((key, ids)) = found else { return };
            self.forget(node, &key, &ids);
            self.tell(node, &key, &ids, 0);
            evictions += 1;
        }
    }

    /// Tells those who may hold a key that changed, by client `by` or by nobody (0).
    fn invalidate(&self, node: &Shared, key: &[u8], by: u64) {
        if self.prefixes() > 0 {
            self.note_for_prefixes(key, by);
        }
        if self.keys() > 0 {
            let taken = self.part(node.keyspace.key(key).hash).lock().take(key);
            if let Some((key, ids)) = taken {
                self.forget(node, &key, &ids);
                self.tell(node, &key, &ids, by);
            }
        }
    }

    fn tell(&self, node: &Shared, key: &[u8], ids: &Ids, by: u64) {
        let mut news = News::about(|out: &mut Vec<u8>, _| {
            array_header(out, 1);
            bulk(out, key);
        });
        for id in ids {
            let Some(client) = node.clients.get(*id) else { continue };
            let mode = client.tracker.mode();
            if mode.has(Mode::ON)
                && !mode.has(Mode::BCAST)
                && !(mode.has(Mode::NOLOOP) && client.id == by)
            {
                news.send(node, &client);
            }
        }
    }

    /// Tells all who track that all keys changed.
    fn invalidate_all(&self, node: &Shared) {
        // Who redirects has it told in the protocol that it speaks itself, as in Redis.
        let mut news = [Version::Resp2, Version::Resp3]
            .map(|own| News::about(move |out: &mut Vec<u8>, _| null(out, own)));
        for client in node.clients.all() {
            if client.tracker.mode().has(Mode::ON) {
                let [resp2, resp3] = &mut news;
                let news = if client.version() == Version::Resp3 { resp3 } else { resp2 };
                news.send(node, &client);
            }
        }
        for part in &self.parts {
            let Part { keys, .. } = std::mem::take(&mut *part.lock());
            keys.iter().for_each(|(key, ids)| self.forget(node, key, ids));
        }
    }

    /// Notes a key that changed for all who asked for one of its prefixes.
    fn note_for_prefixes(&self, key: &[u8], by: u64) {
        let mut prefixes = self.prefixes.lock();
        let note = |prefix: &mut Prefix| {
            prefix.changed.insert(key.to_vec(), by);
            self.is_pending.store(true, Ordering::Relaxed);
        };
        if prefixes.len() <= key.len() {
            let fits = |(name, _): &(&Bytes, &mut Prefix)| key.starts_with(name);
            prefixes.iter_mut().filter(fits).for_each(|(_, prefix)| note(prefix));
        } else {
            (0..=key.len()).for_each(|len| {
                if let Some(prefix) = prefixes.get_mut(&key[..len]) {
                    note(prefix);
                }
            });
        }
    }

    /// Broadcasts the keys that changed since the last call; a turn ends with it.
    #[inline]
    pub fn broadcast(&self, node: &Shared) {
        if self.is_pending.load(Ordering::Relaxed) {
            self.broadcast_changed(node);
        }
    }

    #[cold]
    fn broadcast_changed(&self, node: &Shared) {
        let mut prefixes = self.prefixes.lock();
        self.is_pending.store(false, Ordering::Relaxed);
        for prefix in prefixes.values_mut() {
            let changed = std::mem::take(&mut prefix.changed);
            if changed.is_empty() {
                continue;
            }
            let mut news = News::about(|out: &mut Vec<u8>, _| keys(out, &changed, 0));
            for client in &prefix.clients {
                if !client.tracker.mode().has(Mode::NOLOOP) {
                    news.send(node, client);
                } else if changed.values().any(|by| *by != client.id) {
                    let others = |out: &mut Vec<u8>, _| keys(out, &changed, client.id);
                    News::about(others).send(node, client);
                }
            }
        }
    }
}

/// Encodes keys that others than client `but` changed.
fn keys(out: &mut Vec<u8>, changed: &BTreeMap<Vec<u8>, u64>, but: u64) {
    let told = || changed.iter().filter(|(_, by)| but == 0 || **by != but);
    array_header(out, told().count());
    told().for_each(|(key, _)| bulk(out, key));
}

/// Something to be told in the form of each kind of receiver.
struct News<A, B> {
    /// To clients in RESP3: an invalidation.
    push: Message<A>,
    /// To subscribers in RESP2 that others redirect to: a message of the channel.
    message: Message<B>,
}

/// What `what` encodes, as news.
impl News<(), ()> {
    fn about<W: Fn(&mut Vec<u8>, Version) + Copy>(
        what: W,
    ) -> News<impl Fn(Version) -> Bytes, impl Fn(Version) -> Bytes> {
        News {
            push: Message::new(move |version| {
                let mut out = Vec::new();
                push_header(&mut out, 2, version);
                bulk(&mut out, b"invalidate");
                what(&mut out, version);
                out.into()
            }),
            message: Message::new(move |version| {
                let mut out = Vec::new();
                push_header(&mut out, 3, version);
                bulk(&mut out, b"message");
                bulk(&mut out, CHANNEL);
                what(&mut out, version);
                out.into()
            }),
        }
    }
}

impl<A: Fn(Version) -> Bytes, B: Fn(Version) -> Bytes> News<A, B> {
    /// Tells a client that tracks, or the one it redirects to.
    fn send(&mut self, node: &Shared, client: &Arc<Client>) {
        let tracker = &client.tracker;
        let redirect = tracker.redirect.load(Ordering::Relaxed);
        if redirect == 0 {
            if client.version() == Version::Resp3 {
                node.deliver(client, self.push.bytes(Version::Resp3).clone());
            }
            return;
        }
        match node.clients.get(redirect) {
            Some(target) => match target.version() {
                Version::Resp3 => node.deliver(&target, self.push.bytes(Version::Resp3).clone()),
                Version::Resp2 if target.is_subscriber.load(Ordering::Relaxed) => {
                    node.deliver(&target, self.message.bytes(Version::Resp2).clone());
                }
                // It could not tell the message from a reply.
                Version::Resp2 => {}
            },
            None => {
                tracker.mode.fetch_or(Mode::BROKEN.0, Ordering::Relaxed);
                if client.version() == Version::Resp3 {
                    let mut out = Vec::new();
                    push_header(&mut out, 2, Version::Resp3);
                    bulk(&mut out, b"tracking-redir-broken");
                    int(&mut out, redirect as i64);
                    node.deliver(client, out.into());
                }
            }
        }
    }
}

impl Shared {
    /// Remembers the keys that a command has read, whose shards are still held, if its client tracks
    /// them; to be called for each command that runs, also for those within another.
    #[inline]
    pub fn track(&self, session: &Session, row: &Row, args: Args<'_>, keys: &[(usize, KeyHash)]) {
        // A script reads what its calls read, not what it declares.
        let reads = row.flags.has(Flags::READONLY) && row.group != Group::Scripting;
        if session.caching.tracks && reads {
            self.remember_keys(session, args, keys);
        }
    }

    #[cold]
    fn remember_keys(&self, session: &Session, args: Args<'_>, keys: &[(usize, KeyHash)]) {
        let (client, is_said) = (&session.client, session.caching.is_said);
        let mode = client.tracker.mode();
        if (mode.has(Mode::OPTIN) && !is_said) || (mode.has(Mode::OPTOUT) && is_said) {
            return;
        }
        for (at, hash) in keys {
            self.tracking.remember(self, client.id, args.at(*at), *hash);
        }
        self.keep_tracking_limits();
    }

    /// Forgets keys while the table has too many; the limit may have been lowered.
    pub fn keep_tracking_limits(&self) {
        if self.tracking.keys() > 0 {
            let max_keys = self.config.load().tracking_table_max_keys;
            self.tracking.keep_limits(self, max_keys as usize);
        }
    }

    /// Tells those who may hold the keys of these events, which client `by` raised.
    pub(crate) fn invalidate(&self, events: &[KeyEvent], by: u64) {
        if self.tracking.clients() == 0 {
            return;
        }
        for event in events.iter().filter(|event| changes_value(event)) {
            self.tracking.invalidate(self, &event.key, by);
        }
    }

    /// Tells those who track that a database was emptied.
    pub(crate) fn invalidate_all(&self) {
        self.tracking.invalidate_all(self);
    }
}

/// Whether what a client holds of the key is not true any more. Groups of a stream are not part of
/// what a client reads.
fn changes_value(event: &KeyEvent) -> bool {
    !event.class.intersects(Classes::KEY_MISS)
        && !event.name.starts_with("xgroup-")
        && event.name != "xsetid"
}
