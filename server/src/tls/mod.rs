//! TLS: certificates, handshakes, and the encrypted streams that come of them.
//!
//! A [`Context`] is what the `tls-*` directives say, read from their files once and checked as a
//! whole; the node holds the one in force and exchanges it at CONFIG SET, so a new certificate is
//! shown from the next connection on and a bad file changes nothing. Handshakes run on a thread of
//! their own ([`handshake`]): however many strangers knock, those who are in are served. What comes
//! out is a [`TlsStream`], which a connection thread serves like any other byte stream.
//!
//! Rustls does the work. It speaks TLS 1.2 and 1.3 with forward secrecy only, so older versions and
//! ciphers that other servers offer are not there.

mod ciphers;
mod context;
pub(crate) mod handshake;
mod keys;
mod primary;
mod sessions;
mod stream;

pub use context::{Context, TlsError};
pub use stream::{TLS_BYTES, TlsStream};

use crate::clock::Clock;
use crate::config::Settings;
use parking_lot::RwLock;
use std::sync::Arc;

/// The context in force, if TLS is in use.
#[derive(Default)]
pub struct Tls {
    current: RwLock<Option<Arc<Context>>>,
}

impl Tls {
    /// What new connections use.
    pub fn current(&self) -> Option<Arc<Context>> {
        self.current.read().clone()
    }

    /// Puts a context in force.
    pub(crate) fn replace(&self, context: Context) {
        *self.current.write() = Some(Arc::new(context));
    }
}

/// Whether the settings need certificates at all.
pub(crate) fn is_wanted(settings: &Settings) -> bool {
    settings.tls_port != 0 || settings.tls_replication || settings.tls_cluster
}

/// The context that the settings describe; nothing where they do not want TLS.
///
/// # Errors
/// What is missing, unreadable, or does not fit together.
pub(crate) fn load(settings: &Settings, clock: &Clock) -> Result<Option<Context>, TlsError> {
    if is_wanted(settings) { Context::new(settings, clock).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests;
