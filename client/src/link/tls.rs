//! TLS: whom we trust, and who we are.

use crate::error::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How connections are encrypted and whom they trust.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Trusts whom the system trusts, as ElastiCache's in-transit encryption needs it.
    ///
    /// # Errors
    /// [`Error::Settings`] when the system trusts nobody.
    pub fn system() -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Some of a system's certificates may be too old to be understood; the others will do.
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(Error::Settings(format!("no trusted certificate: {:?}", found.errors)));
        }
        Self::new(roots, None)
    }

    /// Trusts the certificates of a PEM text and nobody else.
    ///
    /// # Errors
    /// [`Error::Settings`] when there is none in it.
    pub fn trusting(pem: &[u8]) -> Result<Self, Error> {
        Self::new(roots(pem)?, None)
    }

    /// The same, and shows a certificate of our own; both are PEM texts.
    ///
    /// # Errors
    /// [`Error::Settings`] when one of them holds no certificate, or the key does not fit.
    pub fn mutual(trusted: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(refused)?;
        Self::new(roots(trusted)?, Some((chain, key)))
    }

    /// The name that the certificate has to carry, instead of the host's own.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn new(
        roots: RootCertStore,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(refused)?,
        };
        Ok(Self { config: Arc::new(config), name: None })
    }

    pub(crate) async fn over(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let name = self.name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(refused)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await.map_err(|error| Error::Connect(error.to_string()))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(refused)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(refused)?;
    }
    if roots.is_empty() {
        return Err(Error::Settings("no certificate to trust".to_owned()));
    }
    Ok(roots)
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::Settings(format!("TLS: {error}"))
}
