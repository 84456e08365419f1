//! What a node says to connections unasked: messages of channels, invalidations, monitored commands.
//!
//! Whoever has something to say leaves it in the [`Mailbox`] of each client concerned. The client's
//! connection is woken and sends it between two of its own replies, or, where it has none, the post of
//! its thread does. A message is encoded once for each protocol version, and all mailboxes share its
//! bytes.
//!
//! ```text
//! mailbox    messages that wait for one connection, and the limits on them
//! post       who writes the mail of a thread's clients that are at rest
//! channels   who subscribed to which channel or pattern
//! monitors   who looks on at the commands of all
//! ```
//!
//! Locks are taken in this order: shards of the keyspace, a client's subscriptions, a registry, a
//! mailbox. No registry's lock is held while a subscription is looked up.

pub mod channels;
pub mod mailbox;
pub mod monitors;
pub mod post;

use bytes::Bytes;
use channels::Channels;
use larder_protocol::Version;
pub use mailbox::Mailbox;
use monitors::Monitors;

/// Who is to be told what.
#[derive(Default)]
pub struct Push {
    /// Subscriptions.
    pub channels: Channels,
    /// Who looks on.
    pub monitors: Monitors,
}

/// A message in the form of each protocol version, made when the first client needs it.
pub struct Message<F> {
    encode: F,
    resp2: Option<Bytes>,
    resp3: Option<Bytes>,
}

impl<F: Fn(Version) -> Bytes> Message<F> {
    /// A message that `encode` makes.
    pub fn new(encode: F) -> Self {
        Self { encode, resp2: None, resp3: None }
    }

    /// Its bytes for a client.
    #[inline]
    pub fn bytes(&mut self, version: Version) -> &Bytes {
        let form = match version {
            Version::Resp2 => &mut self.resp2,
            Version::Resp3 => &mut self.resp3,
        };
        form.get_or_insert_with(|| (self.encode)(version))
    }
}
