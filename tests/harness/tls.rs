//! Certificates made for a test, and connections that speak TLS with them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::connection::Conn;

/// How long a handshake may take: a server that refuses says so much sooner.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// An authority of a test's own.
#[derive(Clone)]
pub struct Authority {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When no certificate can be made.
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        // Another name than that of what it issues: OpenSSL would take that for self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer: Arc::new(issuer) }
    }

    /// Its certificate as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `localhost` and its key as PEM, signed by it.
    ///
    /// # Panics
    /// When no certificate can be made.
    pub fn issue(&self) -> (String, String) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("legal names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &*self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes `ca.crt`, and `NAME.crt` and `NAME.key` of a new certificate, into a folder.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.issue();
        fs::write(folder.join("ca.crt"), self.pem()).expect("a file");
        fs::write(folder.join(format!("{name}.crt")), certificate).expect("a file");
        fs::write(folder.join(format!("{name}.key")), key).expect("a file");
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// What a client brings to a handshake.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// A client that trusts an authority and shows a certificate that `own` issued.
    pub fn new(trusted: &Authority, own: Option<&Authority>) -> Self {
        Self::with_versions(trusted, own, rustls::ALL_VERSIONS)
    }

    /// The same with only some versions of TLS.
    ///
    /// # Panics
    /// When a certificate is of no use.
    pub fn with_versions(
        trusted: &Authority,
        own: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(der(&trusted.pem())).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (certificate, key) = own.issue();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![der(&certificate)], key).expect("a pair")
            }
        };
        Self { config: Arc::new(config) }
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// When the server cannot be reached or one side does not like the other. With TLS 1.3 a server
    /// that dislikes the client's certificate says so only at the first read.
    pub fn connect(&self, addr: SocketAddr) -> io::Result<Conn> {
        Conn::tls(self.shake_hands(addr)?)
    }

    /// The certificate that the server shows.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn certificate_of(&self, addr: SocketAddr) -> io::Result<Vec<u8>> {
        let stream = self.shake_hands(addr)?;
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
        Ok(shown.map(|certificate| certificate.to_vec()).unwrap_or_default())
    }

    /// Whether a connection goes on with the keys of one before.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn resumes(&self, addr: SocketAddr) -> io::Result<bool> {
        let mut stream = self.shake_hands(addr)?;
        // Tickets for the next time come with the first reply at the latest.
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut [0; 7])?;
        Ok(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    fn shake_hands(
        &self,
        addr: SocketAddr,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(HANDSHAKE))?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}
