//! What sessions shall be.
//!
//! The defaults are those of a web application with people in front of it: OWASP's limits for what is
//! of little risk (30 minutes idle, a working day in all).

use super::data::SessionData;
use super::{SessionError, Sessions};
use crate::net::Net;
use crate::routing::Target;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of sessions, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What happens when a user has as many sessions as allowed and begins another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The one that was not used for the longest time ends.
    EvictOldest,
    /// The new one is refused.
    Reject,
}

#[derive(Clone)]
pub(super) struct Options {
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) touch_every: Option<Duration>,
    pub(super) rotate_every: Option<Duration>,
    pub(super) per_user: Option<(u64, Over)>,
    pub(super) most_bytes: usize,
    pub(super) pepper: Option<Arc<[u8]>>,
    pub(super) target: Target,
    pub(super) replicas: u64,
    pub(super) replicas_timeout: Duration,
    pub(super) mark: Duration,
}

impl Options {
    /// How long a session is not touched again.
    pub(super) fn touch_after(&self) -> Duration {
        let usual = (self.idle / 10).min(Duration::from_secs(60));
        self.touch_every.unwrap_or(usual)
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut options = out.debug_struct("Options");
        // Without the pepper.
        options.field("idle", &self.idle).field("absolute", &self.absolute).finish_non_exhaustive()
    }
}

/// What sessions shall be.
#[derive(Debug)]
#[must_use]
pub struct SessionsBuilder<T> {
    net: Net,
    name: String,
    options: Options,
    data: PhantomData<fn(T) -> T>,
}

impl<T> SessionsBuilder<T> {
    pub(super) fn new(net: Net, name: &str) -> Self {
        let options = Options {
            idle: Duration::from_secs(30 * 60),
            absolute: Duration::from_secs(8 * 3600),
            touch_every: None,
            rotate_every: None,
            per_user: None,
            most_bytes: 64 << 10,
            pepper: None,
            target: Target::default(),
            replicas: 1,
            replicas_timeout: Duration::from_millis(100),
            mark: Duration::from_secs(60),
        };
        Self { net, name: name.to_owned(), options, data: PhantomData }
    }

    /// After so long without a use a session ends; 30 minutes unless it is set.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.options.idle = idle;
        self
    }

    /// After so long a session ends whatever it is used for; 8 hours unless it is set.
    pub fn absolute(mut self, absolute: Duration) -> Self {
        self.options.absolute = absolute;
        self
    }

    /// How often a use is written down at most; a tenth of the idle time, a minute at most, unless it
    /// is set. A session may end that much earlier than its last use says.
    pub fn touch_every(mut self, period: Duration) -> Self {
        self.options.touch_every = Some(period);
        self
    }

    /// How long a session keeps its token; for as long as it lives unless it is set. The first
    /// [`load`](Sessions::load) after that gives it another one, to be sent to the client
    /// ([`Session::renewed`](super::Session::renewed)), and the old one leads there for the usual
    /// [`Grace`](super::Grace). A token that was stolen is worth something for no longer, but a client
    /// that the answer does not reach is logged out when the grace is over.
    pub fn rotate_every(mut self, period: Duration) -> Self {
        self.options.rotate_every = Some(period);
        self
    }

    /// So many sessions of one user at most; any number unless it is set.
    pub fn per_user(mut self, most: u64, over: Over) -> Self {
        self.options.per_user = Some((most.max(1), over));
        self
    }

    /// Bytes of data at most, names of fields included; 64 KiB unless it is set.
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.options.most_bytes = bytes;
        self
    }

    /// A secret that tokens are digested with, so that who can write to the store still cannot make a
    /// session of a token of his own choice. All processes need the same one, and sessions end when it
    /// changes.
    pub fn pepper(mut self, pepper: impl AsRef<[u8]>) -> Self {
        self.options.pepper = Some(pepper.as_ref().into());
        self
    }

    /// Where sessions are read; the nearest node that is at most a second behind, unless it is set.
    /// What a replica does not have the primary is asked for.
    pub fn read_from(mut self, target: Target) -> Self {
        self.options.target = target;
        self
    }

    /// For how many replicas a logout, a rotation and their like wait, and for how long; one and
    /// 100 ms unless it is set.
    pub fn confirm(mut self, replicas: u64, timeout: Duration) -> Self {
        (self.options.replicas, self.options.replicas_timeout) = (replicas, timeout);
        self
    }

    /// The sessions, with a task that makes again what a failover undid. It ends with them.
    ///
    /// # Errors
    /// [`SessionError::Data`]: the settings contradict each other.
    ///
    /// # Panics
    /// Outside a Tokio runtime, which the task needs.
    pub fn build(self) -> Result<Sessions<T>, SessionError>
    where
        T: SessionData,
    {
        let Options { idle, absolute, .. } = self.options;
        let wrong = |text: &str| Err(SessionError::Data(text.to_owned()));
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"*?[]\\{}".contains(&byte);
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES {
            return wrong("a name has 1 to 128 bytes");
        }
        if !self.name.bytes().all(is_legal) {
            return wrong("a name has neither spaces nor the signs of patterns");
        }
        if idle < Duration::from_millis(10) || absolute < idle {
            return wrong("the idle time is at least 10 ms, and the absolute time not shorter");
        }
        Ok(Sessions::new(self.net, self.name, self.options))
    }
}
