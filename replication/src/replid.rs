//! Replication ids.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The name of one history of the data set: 40 hexadecimal digits, drawn at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationId(String);

impl ReplicationId {
    /// A fresh id.
    pub fn random() -> Self {
        // Each RandomState draws a new key from the system's randomness or counts it up; hashing
        // five numbers with five states gives 40 digits that no two nodes share.
        let words = (0..5u64).map(|word| RandomState::new().hash_one(word) as u32);
        Self(words.map(|word| format!("{word:08x}")).collect())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
