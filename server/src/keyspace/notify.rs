//! Keyspace events: what happened to which key, by the classes of `notify-keyspace-events`.
//!
//! A command collects its events while it holds its shards and they are published before it lets
//! go, so the events of one key are in the order of its changes. They go to channels, which
//! `notify-keyspace-events` turns on, and to programs around the node.

use crate::node::shared::Shared;
use crate::push::channels::Channels;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::broadcast;

/// Events that a slow subscriber may leave unread before it loses the oldest.
const BACKLOG_EVENTS: usize = 64 * 1024;

/// Classes of keyspace events as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(pub u32);

impl Classes {
    /// `K`: events are published to the key's channel.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: events are published to the event's channel.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: commands that work on any type.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: string commands.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: list commands.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: set commands.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hash commands.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted-set commands.
    pub const SORTED_SET: Self = Self(1 << 7);
    /// `x`: a key expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: stream commands.
    pub const STREAM: Self = Self(1 << 10);
    /// `m`: a key was looked up and was not there.
    pub const KEY_MISS: Self = Self(1 << 11);
    /// `n`: a key was created.
    pub const NEW: Self = Self(1 << 14);
    /// A change of the value that is no event: it is told to nobody but those who hold copies.
    pub const UNSAID: Self = Self(1 << 15);
    /// Every class that `A` stands for.
    pub const ALL: Self = Self(0b110_0111_1111_1100 & !(1 << 11) & !(1 << 14) | (1 << 13));

    /// Whether the sets have a class in common.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// Its class.
    pub class: Classes,
    /// The event's name as Redis publishes it, for example `expired`.
    pub name: &'static str,
    /// Database number.
    pub db: usize,
    /// The key.
    pub key: Vec<u8>,
}

/// Hands events to whoever subscribed.
#[derive(Default)]
pub struct Notifier {
    classes: AtomicU32,
    /// Made for the first subscriber: the channel takes its memory at once.
    subscribers: OnceLock<broadcast::Sender<KeyEvent>>,
}

impl Notifier {
    /// Subscribes to all classes, whatever `notify-keyspace-events` says.
    pub fn subscribe(&self) -> broadcast::Receiver<KeyEvent> {
        self.subscribers.get_or_init(|| broadcast::channel(BACKLOG_EVENTS).0).subscribe()
    }

    /// Follows `notify-keyspace-events`.
    pub fn set_classes(&self, flags: crate::config::NotifyFlags) {
        let classes = Classes(flags.bits().into());
        // Without a channel to publish to, no class matters.
        let published =
            classes.intersects(Classes::KEYSPACE) || classes.intersects(Classes::KEYEVENT);
        self.classes.store(if published { classes.0 } else { 0 }, Ordering::Relaxed);
    }

    /// The classes that are published.
    #[inline]
    fn published(&self) -> Classes {
        Classes(self.classes.load(Ordering::Relaxed))
    }

    /// The classes that are worth collecting now, for programs around the node and for `channels`.
    #[inline]
    pub fn wanted(&self, channels: &Channels) -> Classes {
        if self.subscribers.get().is_some_and(|subscribers| subscribers.receiver_count() > 0) {
            return Classes(u32::MAX);
        }
        let published = self.published();
        if published.0 == 0 || channels.is_silent() { Classes::default() } else { published }
    }

    /// Publishes events in order.
    pub fn publish(&self, node: &Shared, events: Vec<KeyEvent>) {
        let published = self.published();
        for event in events {
            if event.class == Classes::UNSAID {
                continue;
            }
            if published.intersects(event.class) {
                event.publish(node, published);
            }
            if let Some(subscribers) = self.subscribers.get() {
                // Fails only when the last subscriber has just gone.
                let _ = subscribers.send(event);
            }
        }
    }
}

impl KeyEvent {
    /// Publishes it to the channels that are asked for.
    fn publish(&self, node: &Shared, published: Classes) {
        let channels = &node.push.channels;
        if channels.is_silent() {
            return;
        }
        let channel = |kind: &str, end: &[u8]| {
            let head = format!("__{kind}@{}__:", self.db);
            [head.as_bytes(), end].concat()
        };
        if published.intersects(Classes::KEYSPACE) {
            channels.publish(node, &channel("keyspace", &self.key), self.name.as_bytes());
        }
        if published.intersects(Classes::KEYEVENT) {
            channels.publish(node, &channel("keyevent", self.name.as_bytes()), &self.key);
        }
    }
}
