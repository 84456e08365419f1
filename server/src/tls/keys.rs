//! Certificates and private keys from PEM files.

use super::context::TlsError;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::path::Path;

/// What an encrypted key begins and ends with.
const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The certificates of a file, the server's own first, its issuers after it.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError::file(file, "there is no certificate in it")),
        Err(error) => Err(TlsError::file(file, error)),
    }
}

/// The private key of a file; `password` opens one that is encrypted, and is empty where there is
/// none.
///
/// # Errors
/// A file that cannot be read, or holds no key that the password opens.
pub(super) fn private_key(file: &Path, password: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => encrypted(file, &text, password),
        Err(error) => Err(TlsError::file(file, error)),
    }
}

fn encrypted(file: &Path, text: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = String::from_utf8_lossy(text);
    let part = text.find(ENCRYPTED_BEGIN).and_then(|begin| {
        let end = text[begin..].find(ENCRYPTED_END)? + begin + ENCRYPTED_END.len();
        Some(&text[begin..end])
    });
    let Some(part) = part else {
        return Err(TlsError::file(file, "there is no private key in it that can be read"));
    };
    if password.is_empty() {
        return Err(TlsError::file(file, "the key is encrypted and no password is set"));
    }
    let refused = |error: &dyn std::fmt::Display| TlsError::file(file, error);
    let (_, document) = SecretDocument::from_pem(part).map_err(|error| refused(&error))?;
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| refused(&error))?;
    let key = info.decrypt(password).map_err(|error| refused(&error))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The authorities of a file and of all files of a folder; an empty path stands for none.
///
/// # Errors
/// A file or folder that cannot be read, a certificate that is none, or no certificate at all.
pub(super) fn authorities(
    file: Option<&Path>,
    folder: Option<&Path>,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in chain(file)? {
            roots.add(certificate).map_err(|error| TlsError::file(file, error))?;
        }
    }
    if let Some(folder) = folder {
        let entries = fs::read_dir(folder).map_err(|error| TlsError::file(folder, error))?;
        // What else lies there, such as lists of revoked certificates, is passed over.
        let found = entries.flatten().filter_map(|entry| chain(&entry.path()).ok()).flatten();
        roots.add_parsable_certificates(found);
    }
    if roots.is_empty() {
        let place = folder.or(file).unwrap_or(Path::new(""));
        return Err(TlsError::file(place, "there is no certificate of an authority in it"));
    }
    Ok(roots)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| TlsError::file(file, error))
}
