//! What the `tls-*` directives say, checked and ready for use.

use super::ciphers;
use super::keys;
use super::primary::AnyName;
use super::sessions::Sessions;
use crate::clock::Clock;
use crate::config::{Settings, TlsAuthClients};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the directives give no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl TlsError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn file(file: &Path, error: impl fmt::Display) -> Self {
        Self(format!("{}: {error}", file.display()))
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

/// Both sides of TLS, made from one state of the settings and their files.
pub struct Context {
    /// For connections that come in.
    pub server: Arc<ServerConfig>,
    /// For connections that this node opens, where authorities are named to check the other side
    /// with. Its certificate is `tls-client-cert-file`, or else the server's own.
    pub client: Option<Arc<ClientConfig>>,
}

impl Context {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// What is missing, unreadable, or does not fit together.
    pub fn new(settings: &Settings, clock: &Clock) -> Result<Self, TlsError> {
        let own = file(settings, &settings.tls_cert_file)
            .ok_or_else(|| TlsError::new("No tls-cert-file configured!"))?;
        let key = file(settings, &settings.tls_key_file)
            .ok_or_else(|| TlsError::new("No tls-key-file configured!"))?;
        let roots = roots(settings)?;
        let versions = ciphers::versions(&settings.tls_protocols)?;
        let suites = ciphers::suites(&settings.tls_ciphers, &settings.tls_ciphersuites)?;
        let provider = provider(suites, &versions)?;
        let own = certified(&provider, &own, &key, &settings.tls_key_file_pass)?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)?
            .with_client_cert_verifier(verifier(settings, roots.as_ref(), &provider)?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own))));
        server.ignore_client_order = settings.tls_prefer_server_ciphers;
        if settings.tls_session_caching {
            let (size, timeout_s) =
                (settings.tls_session_cache_size, settings.tls_session_cache_timeout_s);
            server.session_storage = Arc::new(Sessions::new(clock, size, timeout_s));
        } else {
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        let theirs = outgoing(settings, &provider)?.unwrap_or(own);
        let client = match roots {
            Some(roots) => {
                let verifier = AnyName::new(roots, Arc::clone(&provider))?;
                let client = ClientConfig::builder_with_provider(provider)
                    .with_protocol_versions(&versions)?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(theirs)));
                Some(Arc::new(client))
            }
            None => None,
        };
        Ok(Self { server: Arc::new(server), client })
    }
}

/// A file that a directive names, seen from `dir`; nothing where it is not set.
fn file(settings: &Settings, name: &str) -> Option<PathBuf> {
    (!name.is_empty()).then(|| settings.path(name))
}

/// The authorities, where a directive names some or the others need them.
fn roots(settings: &Settings) -> Result<Option<Arc<RootCertStore>>, TlsError> {
    let ca_file = file(settings, &settings.tls_ca_cert_file);
    let ca_folder = file(settings, &settings.tls_ca_cert_dir);
    if ca_file.is_some() || ca_folder.is_some() {
        return keys::authorities(ca_file.as_deref(), ca_folder.as_deref())
            .map(|roots| Some(Arc::new(roots)));
    }
    if settings.tls_auth_clients != TlsAuthClients::No
        || settings.tls_cluster
        || settings.tls_replication
    {
        return Err(TlsError::new(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
             tls-replication or tls-auth-clients are enabled!",
        ));
    }
    Ok(None)
}

/// The suites that remain of the chosen versions.
fn provider(
    suites: Vec<SupportedCipherSuite>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<CryptoProvider>, TlsError> {
    let spoken =
        |suite: &SupportedCipherSuite| versions.iter().any(|version| suite.version() == *version);
    let cipher_suites: Vec<_> = suites.into_iter().filter(spoken).collect();
    if cipher_suites.is_empty() {
        return Err(TlsError::new("no cipher suite is left for the versions of tls-protocols"));
    }
    Ok(Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() }))
}

fn verifier(
    settings: &Settings,
    roots: Option<&Arc<RootCertStore>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (TlsAuthClients::Yes | TlsAuthClients::Optional, Some(roots)) =
        (settings.tls_auth_clients, roots)
    else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
    let builder = match settings.tls_auth_clients {
        TlsAuthClients::Optional => builder.allow_unauthenticated(),
        TlsAuthClients::Yes | TlsAuthClients::No => builder,
    };
    builder.build().map_err(|error| TlsError::new(error.to_string()))
}

/// The certificate for connections that this node opens, where it has one of its own.
fn outgoing(
    settings: &Settings,
    provider: &CryptoProvider,
) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let own = file(settings, &settings.tls_client_cert_file);
    match (own, file(settings, &settings.tls_client_key_file)) {
        (Some(own), Some(key)) => {
            certified(provider, &own, &key, &settings.tls_client_key_file_pass).map(Some)
        }
        _ => Ok(None),
    }
}

/// A certificate with its issuers and the key that belongs to it.
fn certified(
    provider: &CryptoProvider,
    own: &Path,
    key: &Path,
    password: &str,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = keys::chain(own)?;
    let private = keys::private_key(key, password)?;
    let private = provider
        .key_provider
        .load_private_key(private)
        .map_err(|error| TlsError::file(key, error))?;
    let certified = CertifiedKey::new(chain, private);
    // A certificate of version 1 cannot be compared with its key, and is good enough to be shown.
    if let Err(error @ rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
        certified.keys_match()
    {
        return Err(TlsError::file(key, error));
    }
    Ok(Arc::new(certified))
}
