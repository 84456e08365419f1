//! What was done to sessions and a failover may undo.
//!
//! A logout that the primary acknowledged is lost when it dies before a replica has it: then the
//! session would be there again. So the process that closed it does it again at the next primary, and
//! rotations too, in their order.

use super::Inner;
use super::token::Digest;
use crate::error::Error;
use crate::journal::{Debtor, Entry, Journal};
use crate::net::Net;
use crate::routing::token::Token;
use std::future::Future;
use std::sync::Arc;

/// What to do again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owed {
    /// The session of this digest was ended.
    Close { user: Arc<str>, digest: Digest },
    /// It was given another digest, by this call.
    Rotate { user: Arc<str>, old: Digest, new: Digest, call: Arc<str>, grace_ms: u64 },
}

impl Entry for Owed {
    type Subject = Digest;

    const RECENT: usize = 1024;

    fn subject(&self) -> Digest {
        match self {
            Self::Close { digest, .. } | Self::Rotate { old: digest, .. } => digest.clone(),
        }
    }

    fn all() -> Option<Self> {
        None
    }
}

impl Debtor for Inner {
    type Owed = Owed;

    fn journal(&self) -> &Journal<Owed> {
        &self.journal
    }

    fn net(&self) -> &Net {
        &self.net
    }

    fn make(&self, owed: &Owed) -> impl Future<Output = Result<Option<Token>, Error>> + Send {
        self.redo(owed)
    }
}
