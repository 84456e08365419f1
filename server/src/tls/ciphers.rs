//! The names that directives give to protocol versions and cipher suites.
//!
//! `tls-ciphers` has OpenSSL's list syntax. Of it the names of suites that rustls has choose among
//! them; classes and operators (`DEFAULT`, `HIGH`, `!aNULL`) choose among suites that are not here
//! and change nothing.

use super::context::TlsError;
use rustls::crypto::ring::cipher_suite;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// OpenSSL's names of the suites of TLS 1.2 that there are.
const TLS12: &[(&str, SupportedCipherSuite)] = &[
    ("ECDHE-ECDSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The suites of TLS 1.3.
const TLS13: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// The versions that `tls-protocols` names; all when it is empty.
///
/// # Errors
/// A word that is no version, or no version that there is.
pub(super) fn versions(words: &str) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    if words.is_empty() {
        return Ok(rustls::ALL_VERSIONS.to_vec());
    }
    let mut versions = Vec::new();
    for word in words.split(' ') {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1" | "tlsv1.1" => {
                tracing::warn!("tls-protocols: {word} is not safe any more and not spoken here");
            }
            "tlsv1.2" => versions.push(&rustls::version::TLS12),
            "tlsv1.3" => versions.push(&rustls::version::TLS13),
            _ => {
                return Err(TlsError::new(
                    "Invalid tls-protocols specified. Use a combination of 'TLSv1.2' and 'TLSv1.3'.",
                ));
            }
        }
    }
    if versions.is_empty() {
        return Err(TlsError::new("tls-protocols names no version that is spoken here"));
    }
    Ok(versions)
}

/// The suites that `tls-ciphers` and `tls-ciphersuites` name, in their order.
///
/// # Errors
/// A suite of TLS 1.3 that does not exist, or a list of suites of TLS 1.2 none of which is here.
pub(super) fn suites(
    ciphers: &str,
    ciphersuites: &str,
) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut suites = tls13_suites(ciphersuites)?;
    suites.extend(tls12_suites(ciphers)?);
    Ok(suites)
}

fn tls13_suites(list: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    if list.is_empty() {
        return Ok(all(TLS13));
    }
    let find = |name: &str| {
        by_name(TLS13, name)
            .ok_or_else(|| TlsError::new(format!("tls-ciphersuites: there is no suite '{name}'")))
    };
    list.split(':').map(find).collect()
}

fn tls12_suites(list: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let words: Vec<&str> = list.split([':', ',', ' ']).filter(|word| !word.is_empty()).collect();
    let named: Vec<_> = words.iter().filter_map(|word| by_name(TLS12, word)).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    // A class, such as DEFAULT or ECDHE+AESGCM, has no dash; an operator changes a class.
    let is_suite = |word: &&&str| word.contains('-') && !word.starts_with(['!', '-', '+', '@']);
    let suites = words.iter().filter(is_suite).count();
    if suites > 0 && suites == words.len() {
        return Err(TlsError::new(format!("tls-ciphers: none of the suites in '{list}' is here")));
    }
    if !words.is_empty() {
        tracing::warn!("directive 'tls-ciphers' is set to '{list}', which has no effect here");
    }
    Ok(all(TLS12))
}

fn by_name(table: &[(&str, SupportedCipherSuite)], name: &str) -> Option<SupportedCipherSuite> {
    table.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite)
}

fn all(table: &[(&str, SupportedCipherSuite)]) -> Vec<SupportedCipherSuite> {
    table.iter().map(|(_, suite)| *suite).collect()
}
