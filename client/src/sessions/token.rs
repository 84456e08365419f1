//! What a client is given, and what is stored of it.
//!
//! A token is random and ends with a tag of its user. All keys of a user have the tag in braces, so
//! that they share a slot of a cluster, and a token alone leads to all that is known of its session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Random bytes of a token: 256 bits, where OWASP asks for 128.
const RANDOM_BYTES: usize = 32;
/// What tells users apart: 96 bits, so that two of a billion have the same with odds of one in 10^11.
const TAG_BYTES: usize = 12;
const TOKEN_BYTES: usize = RANDOM_BYTES + TAG_BYTES;
/// Characters of a token.
const TOKEN_CHARS: usize = 59;

/// What a client holds: 59 characters of `A-Z a-z 0-9 - _`. Whoever knows it has the session, so it
/// does not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken([u8; TOKEN_BYTES]);

impl SessionToken {
    /// A new one of nobody, from the system's randomness.
    ///
    /// # Panics
    /// The system has no randomness to give: nothing can be made safe then.
    pub fn random() -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// A new one of a user.
    pub(super) fn of(tag: &Tag) -> Self {
        let Self(mut bytes) = Self::random();
        bytes[RANDOM_BYTES..].copy_from_slice(&tag.0);
        Self(bytes)
    }

    /// Whose it says it is. Only the digest tells whether that is so.
    pub(super) fn tag(&self) -> Tag {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&self.0[RANDOM_BYTES..]);
        Tag(tag)
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
        let bytes = digest(&self.0, pepper);
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text)
    }
}

fn digest(bytes: &[u8], pepper: Option<&[u8]>) -> [u8; 32] {
    // A key of any length will do.
    match pepper.map(Hmac::<Sha256>::new_from_slice) {
        Some(Ok(mac)) => mac.chain_update(bytes).finalize().into_bytes().into(),
        _ => Sha256::digest(bytes).into(),
    }
}

/// What tells users apart. It does not show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag([u8; TAG_BYTES]);

impl Tag {
    pub(super) fn of(user: &str, pepper: Option<&[u8]>) -> Self {
        let digest = digest(&[b"user ", user.as_bytes()].concat(), pepper);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest[..TAG_BYTES]);
        Self(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&URL_SAFE_NO_PAD.encode(self.0))
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
        // `head -c 44 /dev/zero | tr '\0' '\7' | sha256sum`
        let plain = token.digest(None);
        let known = "f6187dae56b928b8308b2bfe197bf74834fd46a25b6938ce840e5c637be8c19e";
        assert_eq!(plain.as_str(), known);
        assert_ne!(plain, token.digest(Some(b"pepper")));
        assert_ne!(token.digest(Some(b"salt")), token.digest(Some(b"pepper")));
        assert!(!format!("{token:?}").contains('7'));
    }

    #[test]
    fn a_token_says_whose_it_is() {
        let (ann, bob) = (Tag::of("ann", None), Tag::of("bob", None));
        let token = SessionToken::of(&ann);
        assert_eq!(SessionToken::parse(&token.reveal()).map(|token| token.tag()), Some(ann));
        assert_ne!(ann, bob);
        assert_ne!(ann, Tag::of("ann", Some(b"pepper")));
        assert_ne!(token, SessionToken::of(&ann));
        assert_eq!(ann.to_string().len(), 16);
        assert!(
            ann.to_string()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
    }
}
