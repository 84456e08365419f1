//! What happened to sessions.
//!
//! The scripts publish what they do. That a session's time was over only the server knows: it is heard
//! by its notifications of expired keys, which are switched on where that is allowed. Elsewhere, as on
//! ElastiCache, the parameter `notify-keyspace-events` has to have `Ex` in it. Where it has not, those
//! who hear events look for what is over now and then, and tell each other.

use super::token::Digest;
use super::{Inner, SessionError, sweep};
use crate::net::{Net, Subscription};
use crate::topology::pushes::Message;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::AbortHandle;

/// Sessions that are remembered as told of, until it is known whether the server tells of them too.
const REMEMBERED: usize = 1024;

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It began.
    Created {
        /// Which.
        digest: Digest,
        /// Whose.
        user: String,
    },
    /// It has another token.
    Rotated {
        /// What it was.
        from: Digest,
        /// What it is.
        to: Digest,
        /// Whose.
        user: String,
    },
    /// It was ended.
    Closed {
        /// Which.
        digest: Digest,
        /// Whose.
        user: String,
    },
    /// It was ended for a newer one of the same user.
    Evicted {
        /// Which.
        digest: Digest,
        /// Whose.
        user: String,
    },
    /// Its time was over.
    Expired {
        /// Which.
        digest: Digest,
    },
    /// Events may have been missed: first of all, and after each break of the connection.
    Gap,
}

/// Events as they happen.
#[derive(Debug)]
pub struct Events {
    net: Net,
    subscription: Subscription,
    channel: String,
    expired: String,
    prefix: String,
    /// Whether the server tells of what expired.
    is_told: Arc<AtomicBool>,
    /// What others told of as expired.
    told: VecDeque<Digest>,
    /// Whether a gap is to be told of: whoever asks for the next event may not wait for it.
    has_gap: bool,
    sweeping: AbortHandle,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.sweeping.abort();
    }
}

impl Events {
    pub(super) async fn open(inner: &Arc<Inner>) -> Result<Self, SessionError> {
        let (net, name) = (&inner.net, &inner.name);
        let channel = format!("{name}:events");
        let expired = format!("__keyevent@{}__:expired", net.database());
        let subscription = net.subscribe([channel.as_str(), expired.as_str()]);
        let prefix = format!("{name}:{{");
        let is_told = Arc::new(AtomicBool::new(false));
        let sweeping = tokio::spawn(sweep::watch(Arc::clone(inner), Arc::clone(&is_told)));
        let (sweeping, told, net) = (sweeping.abort_handle(), VecDeque::new(), net.clone());
        let has_gap = false;
        let events =
            Self { net, subscription, channel, expired, prefix, is_told, told, has_gap, sweeping };
        events.switch_on().await;
        Ok(events)
    }

    /// The next event. Nothing is lost when this is given up before it has one.
    pub async fn next(&mut self) -> Event {
        loop {
            if self.has_gap {
                // It may be another server now.
                self.switch_on().await;
                self.has_gap = false;
                return Event::Gap;
            }
            match self.subscription.next().await {
                Message::Gap => self.has_gap = true,
                Message::Published { channel, payload } => {
                    let Ok(text) = std::str::from_utf8(&payload) else { continue };
                    if channel == self.expired {
                        let key = text.strip_prefix(&self.prefix);
                        if let Some((_, digest)) = key.and_then(|key| key.split_once("}:s:")) {
                            let digest = Digest(digest.to_owned());
                            self.is_told.store(true, Ordering::Relaxed);
                            if !self.told.contains(&digest) {
                                return Event::Expired { digest };
                            }
                        }
                    } else if channel == self.channel
                        && let Some(event) = parse(text)
                        && self.is_news(&event)
                    {
                        return event;
                    }
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn has_gap(&self) -> bool {
        self.has_gap
    }

    /// Whether something that was published was not heard of from the server, and will not be.
    fn is_news(&mut self, event: &Event) -> bool {
        let Event::Expired { digest } = event else { return true };
        if self.is_told.load(Ordering::Relaxed) {
            return false;
        }
        self.told.push_back(digest.clone());
        if self.told.len() > REMEMBERED {
            self.told.pop_front();
        }
        true
    }

    /// Has the server tell of keys that expire, if it does not yet.
    async fn switch_on(&self) {
        let is_told = self.is_switched_on().await;
        self.is_told.store(is_told, Ordering::Relaxed);
    }

    async fn is_switched_on(&self) -> bool {
        let name: &[u8] = b"notify-keyspace-events";
        let known = self.net.command(&[b"CONFIG", b"GET", name]).await;
        let known = known.and_then(|reply| reply.into_pairs());
        let known = known.ok().and_then(|pairs| pairs.into_iter().next());
        let flags = known.and_then(|(_, flags)| flags.as_str().map(str::to_owned));
        let flags = flags.unwrap_or_default();
        if flags.contains('E') && (flags.contains('x') || flags.contains('A')) {
            return true;
        }
        let wanted = format!("{flags}Ex");
        let set = self.net.command(&[b"CONFIG", b"SET", name, wanted.as_bytes()]).await;
        if let Err(error) = &set {
            tracing::warn!(
                %error,
                "expired sessions are told late: notify-keyspace-events should have Ex"
            );
        }
        set.is_ok()
    }
}

fn parse(text: &str) -> Option<Event> {
    let (word, rest) = text.split_once(' ')?;
    if word == "expired" {
        return Some(Event::Expired { digest: Digest(rest.to_owned()) });
    }
    let (digest, rest) = rest.split_once(' ')?;
    let digest = Digest(digest.to_owned());
    Some(match word {
        "created" => Event::Created { digest, user: rest.to_owned() },
        "closed" => Event::Closed { digest, user: rest.to_owned() },
        "evicted" => Event::Evicted { digest, user: rest.to_owned() },
        "rotated" => {
            let (to, user) = rest.split_once(' ')?;
            Event::Rotated { from: digest, to: Digest(to.to_owned()), user: user.to_owned() }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_may_have_any_name() {
        let event = parse("rotated a b Ann of the Hill");
        let (from, to) = (Digest("a".to_owned()), Digest("b".to_owned()));
        assert_eq!(event, Some(Event::Rotated { from, to, user: "Ann of the Hill".to_owned() }));
        assert_eq!(parse("created a"), None);
        assert_eq!(parse("unheard a b"), None);
    }
}
