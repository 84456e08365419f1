//! The state of one connection that commands see and change.
//!
//! A session belongs to one connection task, or to one in-process caller. What other connections
//! may see or do (CLIENT LIST, CLIENT KILL) is in the shared [`Client`].

use crate::acl::identity::Identity;
use crate::dispatch::transaction::Transaction;
use crate::keyspace::tracking::Caching;
use crate::node::clients::Client;
use crate::node::member::Mark;
use crate::replicas::{Announced, Wanted};
use larder_protocol::Version;
use std::sync::Arc;

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// They are.
    #[default]
    On,
    /// They are not.
    Off,
    /// The reply to this very command is not: the state that CLIENT REPLY SKIP leaves for the
    /// command after it is `SkipNext`.
    Skip,
    /// The reply to the next command is not.
    SkipNext,
}

/// A connection that is, or may become, a replica's.
#[derive(Clone, Debug, Default)]
pub struct AsReplica {
    /// What it said of itself.
    pub announced: Announced,
    /// What it asked for when it became one.
    pub wanted: Option<Wanted>,
}

/// The state of one connection.
#[derive(Clone)]
pub struct Session {
    /// What others see of it.
    pub client: Arc<Client>,
    /// The selected database.
    pub db: usize,
    /// The protocol that replies are encoded in.
    pub version: Version,
    /// Who it is, and so what it may do.
    pub identity: Identity,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// Whether its reads leave the access time alone (CLIENT NO-TOUCH).
    pub no_touch: bool,
    /// Whether the connection ends after the reply.
    pub closing: bool,
    /// Whether a command may wait for a key.
    pub may_block: bool,
    /// What MULTI and WATCH began.
    pub transaction: Transaction,
    /// Whether it has subscriptions, which restrict it in RESP2.
    pub is_subscriber: bool,
    /// What it tracks of the keys it reads.
    pub caching: Caching,
    /// Up to which offset of the log its writes reach.
    pub written_to: u64,
    /// The same for everything it had the log tell, a message to a channel too: what WAIT waits for.
    pub propagated_to: u64,
    /// What it said of itself as a replica, if it did.
    pub replica: Option<Box<AsReplica>>,
    /// What another member wants to be told before the connection that it relays is given back.
    pub(crate) mark: Option<Box<Mark>>,
    /// Whether a script calls the commands.
    pub scripted: bool,
    /// Whether that script takes so long that others are told of it.
    pub is_slow: bool,
    /// Whether it brings what was decided elsewhere: by a primary, or before a restart. Then nothing
    /// counts as due, since what went was told, and nothing is logged again.
    pub applies: bool,
}

impl Session {
    /// A fresh session for a client.
    pub fn new(client: Arc<Client>, identity: Identity) -> Self {
        Self {
            client,
            db: 0,
            version: Version::Resp2,
            identity,
            reply_mode: ReplyMode::On,
            no_touch: false,
            closing: false,
            may_block: true,
            transaction: Transaction::default(),
            is_subscriber: false,
            caching: Caching::default(),
            written_to: 0,
            propagated_to: 0,
            replica: None,
            mark: None,
            scripted: false,
            is_slow: false,
            applies: false,
        }
    }

    /// Notes that the log, whose end is `offset`, tells of what it did: whether it wrote, and whether
    /// replicas are told of anything.
    #[inline]
    pub fn reaches(&mut self, offset: u64, wrote: bool, propagated: bool) {
        if wrote {
            self.written_to = offset;
        }
        if wrote || propagated {
            self.propagated_to = offset;
        }
    }

    /// Whether it is a replica's from now on.
    pub fn follows_now(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.wanted.is_some())
    }

    /// What a connection asked for that became a replica's, and what it said of itself.
    pub fn follows(&self) -> Option<(Wanted, Announced)> {
        let replica = self.replica.as_ref()?;
        Some((replica.wanted.clone()?, replica.announced.clone()))
    }

    /// Selects a database and shows it to others.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.set_db(db);
    }
}
