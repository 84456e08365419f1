//! Passwords: kept and compared as SHA-256 digests, never as text.
//!
//! Comparing takes the same time whatever was right about a guess. Invariant: a [`Password`] cannot be
//! compared in any other way on the path of a login.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

/// The digest of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password([u8; DIGEST_BYTES]);

impl Password {
    /// The digest of a password in clear text.
    pub fn of(clear_text: &[u8]) -> Self {
        Self(Sha256::digest(clear_text).into())
    }

    /// A digest from its 64 hexadecimal digits, which have to be lower case as in Redis.
    pub fn from_hex(digits: &[u8]) -> Option<Self> {
        if digits.len() != 2 * DIGEST_BYTES {
            return None;
        }
        let mut digest = [0; DIGEST_BYTES];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self(digest))
    }

    /// The digest in hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(2 * DIGEST_BYTES), |mut digits, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }

    /// Whether it is one of `known`, each of which is compared to its end.
    pub fn is_among(&self, known: &[Self]) -> bool {
        let found = known.iter().fold(Choice::from(0), |found, one| found | self.0.ct_eq(&one.0));
        found.into()
    }
}

/// Not even a digest belongs into a log.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(...)")
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        let digits = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let secret = Password::of(b"secret");
        assert_eq!(secret.hex(), digits);
        assert_eq!(Password::from_hex(digits.as_bytes()), Some(secret.clone()));
        assert_eq!(Password::from_hex(&digits.as_bytes()[1..]), None);
        assert_eq!(Password::from_hex(digits.to_uppercase().as_bytes()), None);
        assert_eq!(format!("{secret:?}"), "Password(...)");
    }

    #[test]
    fn one_of_several() {
        let known = [Password::of(b"one"), Password::of(b"two")];
        assert!(Password::of(b"one").is_among(&known) && Password::of(b"two").is_among(&known));
        assert!(!Password::of(b"").is_among(&known) && !Password::of(b"onetwo").is_among(&known));
        assert!(!Password::of(b"one").is_among(&[]));
    }
}
