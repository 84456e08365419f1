//! What nodes say unasked: messages of channels, keys that changed.
//!
//! Listeners are called where the bytes are read, before any later reply of the same link is given
//! out; they must be quick. Subscribers have a bounded queue each and are told when they missed
//! something. Channels are subscribed to at the primary, and again at the next one.

use crate::value::Value;
use parking_lot::{Mutex, RwLock};
use redis::{PushInfo, PushKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::sync::broadcast;

/// Messages that a slow subscriber may fall behind.
const QUEUE: usize = 1024;

/// Who hears of keys that changed.
pub(crate) trait Listener: Send + Sync {
    /// Keys that `member` sent an invalidation for, `None` for all.
    fn invalidated(&self, keys: Option<&[&[u8]]>);
    /// A link on which invalidations came is gone.
    fn link_lost(&self);
}

/// What a channel carries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// A message was published.
    Published {
        /// Where.
        channel: String,
        /// What.
        payload: Vec<u8>,
    },
    /// The subscription was broken for some time, or the receiver was too slow: messages may be
    /// missing.
    Gap,
}

/// Who hears what.
pub(crate) struct Pushes {
    listeners: RwLock<Vec<Weak<dyn Listener>>>,
    messages: broadcast::Sender<Message>,
    wanted: Mutex<Wanted>,
}

/// What subscriptions want.
#[derive(Default)]
struct Wanted {
    /// Channels and how many subscriptions want each.
    channels: BTreeMap<String, usize>,
    /// Whether a subscription is new, which has to be told when it stands.
    has_new: bool,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            listeners: RwLock::default(),
            messages: broadcast::Sender::new(QUEUE),
            wanted: Mutex::default(),
        }
    }
}

impl Pushes {
    /// Adds one who hears of changed keys for as long as it lives.
    pub(crate) fn listen(&self, listener: &Arc<dyn Listener>) {
        let mut listeners = self.listeners.write();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    /// Takes in what a link read.
    pub(crate) fn take(&self, push: PushInfo) {
        match push.kind {
            PushKind::Invalidate => {
                let keys = match push.data.into_iter().next().map(Value::of) {
                    Some(Value::Array(keys)) => Some(keys),
                    _ => None,
                };
                let keys: Option<Vec<&[u8]>> =
                    keys.as_ref().map(|keys| keys.iter().filter_map(Value::as_bytes).collect());
                self.each_listener(|listener| listener.invalidated(keys.as_deref()));
            }
            PushKind::Message => {
                let mut data = push.data.into_iter().map(Value::of);
                if let (Some(channel), Some(Value::Bytes(payload))) = (data.next(), data.next())
                    && let Some(channel) = channel.as_str()
                {
                    let channel = channel.to_owned();
                    self.tell(Message::Published { channel, payload });
                }
            }
            _ => {}
        }
    }

    /// A link to a node broke.
    pub(crate) fn link_lost(&self) {
        self.each_listener(|listener| listener.link_lost());
    }

    /// Subscriptions begin or began anew: messages may be missing.
    pub(crate) fn gap(&self) {
        self.tell(Message::Gap);
    }

    /// The channels to be subscribed to, and whether there is somebody to be told of it whatever they
    /// are: who takes this has to see to it.
    pub(crate) fn wanted(&self) -> (Vec<String>, bool) {
        let mut wanted = self.wanted.lock();
        let has_new = std::mem::take(&mut wanted.has_new);
        (wanted.channels.keys().cloned().collect(), has_new)
    }

    /// Wants channels, or no longer.
    pub(crate) fn want(&self, channels: &[String], on: bool) {
        let mut wanted = self.wanted.lock();
        wanted.has_new |= on;
        for channel in channels {
            let count = wanted.channels.entry(channel.clone()).or_default();
            *count = if on { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                wanted.channels.remove(channel);
            }
        }
    }

    /// A queue of all messages from now on.
    pub(crate) fn receiver(&self) -> broadcast::Receiver<Message> {
        self.messages.subscribe()
    }

    fn tell(&self, message: Message) {
        // Nobody may be there to hear it.
        let _ = self.messages.send(message);
    }

    fn each_listener(&self, act: impl Fn(&dyn Listener)) {
        for listener in self.listeners.read().iter() {
            if let Some(listener) = listener.upgrade() {
                act(&*listener);
            }
        }
    }
}
