//! Invalidations, which may be owed.
//!
//! What an invalidation is about is not read from the cache before it was made. What does not fit into
//! the journal turns into one invalidation of the whole namespace.

use super::key::Key;
use crate::journal::{Entry, Journal, Trust};

/// What to invalidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owed {
    Value { key: Key, how: How },
    Tag(String),
    All,
}

/// How to invalidate a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct How {
    /// Nothing is stored for so long.
    pub(super) hold_ms: u64,
    /// Nothing older is stored.
    pub(super) version: u64,
    /// Keeps the value for those who take a stale one.
    pub(super) is_soft: bool,
}

impl Entry for Owed {
    type Subject = Self;

    const RECENT: usize = 16_384;

    fn subject(&self) -> Self {
        match self {
            Self::Value { key, .. } => Self::Value { key: key.clone(), how: How::default() },
            other => other.clone(),
        }
    }

    fn all() -> Option<Self> {
        Some(Self::All)
    }
}

impl Journal<Owed> {
    /// How far a value can be trusted in this epoch.
    pub(super) fn trust_key(&self, key: &[u8], epoch: impl FnOnce() -> u64) -> Trust {
        self.trust(|| Owed::Value { key: key.to_vec(), how: How::default() }, true, epoch)
    }

    /// How far values with a tag can be trusted in this epoch.
    pub(super) fn trust_tag(&self, tag: &str, epoch: impl FnOnce() -> u64) -> Trust {
        self.trust(|| Owed::Tag(tag.to_owned()), false, epoch)
    }
}
