//! DEBUG DIGEST: a signature of a whole data set, or of single values.
//!
//! The algorithm is Redis's, so that data sets can be compared across servers. Two steps make it
//! up: *adding* xors a SHA-1 into the digest, which no order of parts changes; *mixing* adds and
//! then hashes the digest itself, so that order matters. A key's digest mixes key, type and value; a
//! database's digest adds those of its keys.

use crate::raw::{EntryRef, Value};
use sha1::{Digest as _, Sha1};

/// The type number of strings as it enters a digest.
const STRING: u32 = 0;
/// What is added for a key that has a deadline. When it is due does not matter.
const HAS_DEADLINE: &[u8] = b"!!expire!!";

/// A signature: 20 bytes, shown as 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest([u8; 20]);

impl Digest {
    /// Adds a part whose place does not matter.
    pub(super) fn add(&mut self, part: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(part).into();
        self.join(Self(hash));
    }

    /// Mixes in a part whose place matters.
    pub(super) fn mix(&mut self, part: &[u8]) {
        self.add(part);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Adds all that was added to another digest.
    pub(super) fn join(&mut self, other: Self) {
        for (byte, other) in self.0.iter_mut().zip(other.0) {
            *byte ^= other;
        }
    }

    /// Mixes in a value and whether it has a deadline.
    pub(super) fn mix_value(&mut self, entry: EntryRef<'_>) {
        self.mix(&STRING.to_be_bytes());
        match entry.value() {
            Value::Int(number) => self.mix(number.to_string().as_bytes()),
            Value::Bytes(bytes) => self.mix(bytes),
            Value::Heap(string) => self.mix(string.as_ref()),
            Value::Packed(_) | Value::Object(_) => {}
        }
        if entry.deadline_ms().is_some() {
            self.add(HAS_DEADLINE);
        }
    }

    /// Begins the keys of a database.
    pub(super) fn begin_database(&mut self, db: usize) {
        self.mix(&(db as u32).to_be_bytes());
    }

    /// Adds a key with its value.
    pub(super) fn add_entry(&mut self, entry: EntryRef<'_>) {
        let mut own = Self::default();
        own.mix(entry.key());
        own.mix_value(entry);
        self.add(&own.0);
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Entry, NewValue};

    // Expected values were read from a redis-server.
    #[test]
    fn digests_are_those_of_redis() {
        assert_eq!(Digest::default().to_string(), "0".repeat(40));
        let entry = |key: &[u8], value: &[u8], deadline| {
            Entry::new(key, NewValue::string(value), deadline, 0)
        };
        let mut value = Digest::default();
        value.mix_value(entry(b"k", b"hello", None).view());
        assert_eq!(value.to_string(), "36b23a1456b2dce2c3ed252c456761301dba8060");
        let mut set = Digest::default();
        set.begin_database(0);
        set.add_entry(entry(b"k", b"hello", None).view());
        set.add_entry(entry(b"n", b"-12", Some(1)).view());
        assert_eq!(set.to_string(), "4e8bf38a3ffe429a59f229df50f09cd8c51e24a9");
        set.begin_database(3);
        set.add_entry(entry(b"k", b"x", None).view());
        assert_eq!(set.to_string(), "182661f15257d82a6b66fcdff7c0b4ef0b465fb7");
    }
}
