//! Who subscribed to which channel, shard channel or pattern.
//!
//! Channels are found in a concurrent map; a channel's subscribers get a message while the channel is
//! locked, so that all of them see the messages of a channel in one order, whoever published them.
//! Patterns are tried one by one, in the order in which they came. A client knows its own
//! subscriptions, so that it can end all of them.
//!
//! Invariant: a client is among a channel's subscribers exactly when the channel is among its
//! subscriptions: both change under the lock of the client's subscriptions. A channel or pattern
//! without subscribers is not there.

use super::Message;
use crate::glob::glob_match;
use crate::node::clients::Client;
use crate::node::shared::Shared;
use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;
use larder_protocol::Version;
use larder_protocol::encode::{bulk, push_header};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel by name.
    Channel,
    /// All channels that fit a pattern.
    Pattern,
    /// A channel of a cluster's shard, by name.
    Shard,
}

/// What a client subscribed to.
#[derive(Default)]
pub struct Subscriptions {
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    shards: BTreeSet<Bytes>,
}

impl Subscriptions {
    /// Those of one kind, in order.
    pub fn of(&self, kind: Kind) -> &BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }

    /// The number that a confirmation tells: channels and patterns count together.
    pub fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::Shard => self.shards.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty()
    }

    /// Bytes that one of them takes, here and in the registry.
    fn bytes(name: &Bytes) -> usize {
        name.len() + 4 * size_of::<Bytes>()
    }
}

/// Subscribers of one channel or pattern.
type Subscribers = Vec<Arc<Client>>;

/// Channels of one kind by name.
#[derive(Default)]
struct Topics {
    by_name: DashMap<Bytes, Subscribers, RandomState>,
    /// How many there are, without a lock.
    count: AtomicUsize,
}

/// Patterns in the order of their first subscription.
#[derive(Default)]
struct Patterns {
    inner: Mutex<PatternList>,
    count: AtomicUsize,
}

#[derive(Default)]
struct PatternList {
    in_order: BTreeMap<u64, (Bytes, Subscribers)>,
    places: HashMap<Bytes, u64>,
    next: u64,
}

/// All subscriptions of a node.
#[derive(Default)]
pub struct Channels {
    channels: Topics,
    shards: Topics,
    patterns: Patterns,
}

impl Channels {
    /// Whether nobody would get any message.
    #[inline]
    pub fn is_silent(&self) -> bool {
        self.channels.count.load(Ordering::Relaxed) == 0
            && self.patterns.count.load(Ordering::Relaxed) == 0
    }

    /// Subscribes a client; gives the number that the confirmation tells.
    pub fn subscribe(&self, client: &Arc<Client>, kind: Kind, name: &[u8]) -> usize {
        let mut own = client.subscriptions.lock();
        if !own.of(kind).contains(name) {
            let name = Bytes::copy_from_slice(name);
            client.subscribed_bytes.fetch_add(Subscriptions::bytes(&name), Ordering::Relaxed);
            own.of_mut(kind).insert(name.clone());
            client.is_subscriber.store(true, Ordering::Relaxed);
            match kind {
                Kind::Channel => self.channels.add(name, client),
                Kind::Shard => self.shards.add(name, client),
                Kind::Pattern => self.patterns.add(name, client),
            }
        }
        own.told(kind)
    }

    /// Ends a subscription, if there is one; gives the number that the confirmation tells.
    pub fn unsubscribe(&self, client: &Client, kind: Kind, name: &[u8]) -> usize {
        let mut own = client.subscriptions.lock();
        self.end(&mut own, client, kind, name);
        client.is_subscriber.store(!own.is_empty(), Ordering::Relaxed);
        own.told(kind)
    }

    /// Ends all subscriptions of a client.
    pub fn leave(&self, client: &Client) {
        let mut own = client.subscriptions.lock();
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            while let Some(name) = own.of(kind).first().cloned() {
                self.end(&mut own, client, kind, &name);
            }
        }
        client.is_subscriber.store(false, Ordering::Relaxed);
    }

    fn end(&self, own: &mut Subscriptions, client: &Client, kind: Kind, name: &[u8]) {
        let Some(name) = own.of_mut(kind).take(name) else { return };
        client.subscribed_bytes.fetch_sub(Subscriptions::bytes(&name), Ordering::Relaxed);
        match kind {
            Kind::Channel => self.channels.remove(&name, client),
            Kind::Shard => self.shards.remove(&name, client),
            Kind::Pattern => self.patterns.remove(&name, client),
        }
    }

    fn topics(&self, kind: Kind) -> Option<&Topics> {
        match kind {
            Kind::Channel => Some(&self.channels),
            Kind::Shard => Some(&self.shards),
            Kind::Pattern => None,
        }
    }

    /// How many channels or patterns of a kind have subscribers.
    pub fn count(&self, kind: Kind) -> usize {
        let count = match kind {
            Kind::Channel => &self.channels.count,
            Kind::Shard => &self.shards.count,
            Kind::Pattern => &self.patterns.count,
        };
        count.load(Ordering::Relaxed)
    }

    /// How many subscribers a channel has, those of patterns not counted.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        let topics = self.topics(kind);
        topics.and_then(|topics| topics.by_name.get(name).map(|all| all.len())).unwrap_or(0)
    }

    /// The names of channels that fit a pattern, or of all.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let fits = |name: &[u8]| pattern.is_none_or(|pattern| glob_match(pattern, name, false));
        let Some(topics) = self.topics(kind) else { return Vec::new() };
        let names = topics.by_name.iter().map(|topic| topic.key().clone());
        names.filter(|name| fits(name)).collect()
    }

    /// Publishes a message to a channel; gives the number of its receivers.
    pub fn publish(&self, node: &Shared, channel: &[u8], payload: &[u8]) -> usize {
        let message = || Message::new(|version| encoded(version, &[b"message", channel, payload]));
        self.channels.send(node, channel, message) + self.patterns.send(node, channel, payload)
    }

    /// Publishes a message to a shard channel; gives the number of its receivers.
    pub fn publish_in_shard(&self, node: &Shared, channel: &[u8], payload: &[u8]) -> usize {
        let message = || Message::new(|version| encoded(version, &[b"smessage", channel, payload]));
        self.shards.send(node, channel, message)
    }
}

impl Topics {
    fn add(&self, name: Bytes, client: &Arc<Client>) {
        self.by_name
            .entry(name)
            .or_insert_with(|| {
                self.count.fetch_add(1, Ordering::Relaxed);
                Subscribers::new()
            })
            .push(Arc::clone(client));
    }

    fn remove(&self, name: &Bytes, client: &Client) {
        if let Entry::Occupied(mut topic) = self.by_name.entry(name.clone()) {
            remove(topic.get_mut(), client);
            if topic.get().is_empty() {
                topic.remove();
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends what `message` makes to the subscribers of a channel.
    #[inline]
    fn send<F: Fn(Version) -> Bytes>(
        &self,
        node: &Shared,
        name: &[u8],
        message: impl FnOnce() -> Message<F>,
    ) -> usize {
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        // Locked as if to change it: two publishers must not interleave among its subscribers.
        let Some(topic) = self.by_name.get_mut(name) else { return 0 };
        send_all(node, &topic, message())
    }
}

impl Patterns {
    fn add(&self, name: Bytes, client: &Arc<Client>) {
        let PatternList { in_order, places, next } = &mut *self.inner.lock();
        let place = *places.entry(name.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            *next += 1;
            *next
        });
        let (_, subscribers) = in_order.entry(place).or_insert((name, Subscribers::new()));
        subscribers.push(Arc::clone(client));
    }

    fn remove(&self, name: &Bytes, client: &Client) {
        let list = &mut *self.inner.lock();
        let Some(place) = list.places.get(name).copied() else { return };
        let Some((_, subscribers)) = list.in_order.get_mut(&place) else { return };
        remove(subscribers, client);
        if subscribers.is_empty() {
            list.in_order.remove(&place);
            list.places.remove(name);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn send(&self, node: &Shared, channel: &[u8], payload: &[u8]) -> usize {
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let list = self.inner.lock();
        let fits = |(pattern, _): &&(Bytes, Subscribers)| glob_match(pattern, channel, false);
        let send = |(pattern, subscribers): &(Bytes, Subscribers)| {
            let parts: [&[u8]; 4] = [b"pmessage", pattern, channel, payload];
            send_all(node, subscribers, Message::new(|version| encoded(version, &parts)))
        };
        list.in_order.values().filter(fits).map(send).sum()
    }
}

fn remove(subscribers: &mut Subscribers, client: &Client) {
    if let Some(place) = subscribers.iter().position(|other| std::ptr::eq(&**other, client)) {
        subscribers.remove(place);
        if subscribers.len() * 4 < subscribers.capacity() {
            subscribers.shrink_to(subscribers.len() * 2);
        }
    }
}

fn send_all<F: Fn(Version) -> Bytes>(
    node: &Shared,
    subscribers: &Subscribers,
    mut message: Message<F>,
) -> usize {
    for client in subscribers {
        node.deliver(client, message.bytes(client.version()).clone());
    }
    subscribers.len()
}

/// A message of bulk strings.
fn encoded(version: Version, parts: &[&[u8]]) -> Bytes {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 24).sum());
    push_header(&mut out, parts.len(), version);
    parts.iter().for_each(|part| bulk(&mut out, part));
    Bytes::from(out.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::clients::Peer;

    fn client(id: u64) -> Arc<Client> {
        Arc::new(Client::new(id, Peer::InProcess, -1, 0))
    }

    #[test]
    fn what_has_no_subscriber_leaves_nothing() {
        let (channels, client) = (Channels::default(), client(1));
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            assert_eq!(
                channels.subscribe(&client, kind, b"a*"),
                1 + usize::from(kind == Kind::Pattern)
            );
            channels.subscribe(&client, kind, b"a*");
            assert_eq!(channels.count(kind), 1);
        }
        assert!(client.is_subscriber.load(Ordering::Relaxed) && !channels.is_silent());
        assert_eq!(channels.unsubscribe(&client, Kind::Channel, b"b"), 2);
        channels.leave(&client);
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            assert_eq!(channels.count(kind), 0);
        }
        assert!(channels.is_silent() && channels.channels.by_name.is_empty());
        assert!(channels.patterns.inner.lock().places.is_empty());
        assert_eq!(client.subscribed_bytes.load(Ordering::Relaxed), 0);
        assert!(!client.is_subscriber.load(Ordering::Relaxed));
    }

    #[test]
    fn names_and_numbers() {
        let (channels, one, two) = (Channels::default(), client(1), client(2));
        channels.subscribe(&one, Kind::Channel, b"a");
        channels.subscribe(&two, Kind::Channel, b"a");
        channels.subscribe(&two, Kind::Channel, b"b");
        channels.subscribe(&two, Kind::Pattern, b"a");
        assert_eq!(channels.subscribers(Kind::Channel, b"a"), 2);
        assert_eq!(channels.subscribers(Kind::Shard, b"a"), 0);
        assert_eq!(channels.names(Kind::Channel, Some(b"b*")), ["b"]);
        assert_eq!(channels.names(Kind::Channel, None).len(), 2);
        channels.leave(&two);
        assert_eq!(channels.subscribers(Kind::Channel, b"a"), 1);
        assert_eq!(channels.names(Kind::Channel, None), ["a"]);
    }
}
