//! Replication ids.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Digits of an id.
const DIGITS: usize = 40;

/// The name of one history of the data set: 40 characters, drawn at random.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReplicationId([u8; DIGITS]);

impl ReplicationId {
    /// The id of no history, as INFO shows it.
    pub const NONE: Self = Self([b'0'; DIGITS]);

    /// A fresh id.
    pub fn random() -> Self {
        // Each RandomState draws a new key from the system's randomness or counts it up; hashing
        // five numbers with five states gives 40 digits that no two nodes share.
        let words = (0..5u64).map(|word| RandomState::new().hash_one(word) as u32);
        let mut digits = [b'0'; DIGITS];
        let text = words.map(|word| format!("{word:08x}")).collect::<String>();
        digits.copy_from_slice(text.as_bytes());
        Self(digits)
    }

    /// The id that a peer names: 40 letters and digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits: [u8; DIGITS] = text.try_into().ok()?;
        digits.iter().all(u8::is_ascii_alphanumeric).then_some(Self(digits))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether a peer means this id.
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.eq_ignore_ascii_case(text)
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplicationId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_40_hexadecimal_digits_and_new_each_time() {
        let (first, second) = (ReplicationId::random(), ReplicationId::random());
        assert_ne!(first, second);
        assert!(
            first.as_str().len() == 40 && first.as_str().bytes().all(|b| b.is_ascii_hexdigit())
        );
    }

    #[test]
    fn a_peers_id_is_taken_as_it_is_or_not_at_all() {
        let id = ReplicationId::random();
        assert_eq!(ReplicationId::parse(id.as_str().as_bytes()), Some(id));
        assert!(id.is(id.as_str().to_ascii_uppercase().as_bytes()));
        assert_eq!(ReplicationId::parse(&[b'a'; 39]), None);
        assert_eq!(ReplicationId::parse(&[b'a'; 41]), None);
        assert_eq!(ReplicationId::parse(&[b'\n'; 40]), None);
        assert!(!ReplicationId::NONE.is(b"?"));
    }
}
