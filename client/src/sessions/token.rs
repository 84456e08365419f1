//! What a client is given, and what is stored of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Random bytes of a token: 256 bits, where OWASP asks for 128.
const TOKEN_BYTES: usize = 32;
/// Characters of a token.
const TOKEN_CHARS: usize = 43;

/// What a client holds: 43 characters of `A-Z a-z 0-9 - _`. Whoever knows it has the session, so it
/// does not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken([u8; TOKEN_BYTES]);

impl SessionToken {
    /// A new one, from the system's randomness.
    ///
    /// # Panics
    /// The system has no randomness to give: nothing can be made safe then.
    pub fn random() -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// The token that a client sent, if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// What the client is sent.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What it is stored under.
    pub(super) fn digest(&self, pepper: Option<&[u8]>) -> Digest {
        let bytes: [u8; 32] = match pepper {
            None => Sha256::digest(self.0).into(),
            Some(pepper) => match Hmac::<Sha256>::new_from_slice(pepper) {
                Ok(mac) => mac.chain_update(self.0).finalize().into_bytes().into(),
                // Any length of a key will do.
                Err(_) => Sha256::digest(self.0).into(),
            },
        };
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SessionToken")
    }
}

/// What a session is stored under: 64 hexadecimal digits that lead to no token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub(super) String);

impl Digest {
    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_there_and_back() {
        let token = SessionToken::random();
        let text = token.reveal();
        assert_eq!(text.len(), TOKEN_CHARS);
        assert_eq!(SessionToken::parse(&text), Some(token));
        for wrong in ["", "short", &text[1..], &format!("{text}A"), &text.replace(&text[..1], "*")]
        {
            assert_eq!(SessionToken::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn digests_tell_nothing_and_differ_by_pepper() {
        let token = SessionToken([7; TOKEN_BYTES]);
        // `head -c 32 /dev/zero | tr '\0' '\7' | sha256sum`
        let plain = token.digest(None);
        let known = "4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0";
        assert_eq!(plain.as_str(), known);
        assert_ne!(plain, token.digest(Some(b"pepper")));
        assert_ne!(token.digest(Some(b"salt")), token.digest(Some(b"pepper")));
        assert!(!format!("{token:?}").contains('7'));
    }
}
