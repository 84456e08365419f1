//! DEBUG DIGEST: a signature of a whole data set, or of single values.
//!
//! The algorithm is Redis's, so that data sets can be compared across servers. Two steps make it
//! up: *adding* xors a SHA-1 into the digest, which no order of parts changes; *mixing* adds and
//! then hashes the digest itself, so that order matters. A key's digest mixes key, type and value; a
//! database's digest adds those of its keys.

use crate::raw::{EntryRef, Kind, Value};
use crate::types::hash::HashRef;
use crate::types::list::{End, ListRef};
use crate::types::object::Object;
use crate::types::set::SetRef;
use crate::types::stream::Stream;
use crate::types::zset::ZsetRef;
use larder_protocol::CommandError;
use larder_protocol::number::push_f64_scientific;
use sha1::{Digest as _, Sha1};

/// The numbers of the types as they enter a digest.
const STRING: u32 = 0;
const LIST: u32 = 1;
const SET: u32 = 2;
const ZSET: u32 = 3;
const HASH: u32 = 4;
const STREAM: u32 = 6;
/// What is added for a key that has a deadline. When it is due does not matter.
const HAS_DEADLINE: &[u8] = b"!!expire!!";
/// The same for a field of a hash, as in the versions of Redis that have such fields.
const FIELD_HAS_DEADLINE: &[u8] = b"!!hexpire!!";

/// A signature: 20 bytes, shown as 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest([u8; 20]);

impl Digest {
    /// Adds a part whose place does not matter.
    pub(crate) fn add(&mut self, part: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(part).into();
        self.join(Self(hash));
    }

    /// Mixes in a part whose place matters.
    pub(crate) fn mix(&mut self, part: &[u8]) {
        self.add(part);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Adds all that was added to another digest.
    pub(crate) fn join(&mut self, other: Self) {
        for (byte, other) in self.0.iter_mut().zip(other.0) {
            *byte ^= other;
        }
    }

    /// Mixes in a value and whether it has a deadline.
    pub(crate) fn mix_value(&mut self, entry: EntryRef<'_>) {
        match entry.value() {
            Value::Int(number) => self.mix_string(number.to_string().as_bytes()),
            Value::Bytes(bytes) => self.mix_string(bytes),
            Value::Heap(string) => self.mix_string(string.as_ref()),
            Value::Packed(_) | Value::Object(_) => {
                let mixed = self.mix_collection(entry);
                debug_assert!(mixed.is_ok(), "the reader was chosen by the type");
            }
        }
        if entry.deadline_ms().is_some() {
            self.add(HAS_DEADLINE);
        }
    }

    fn mix_string(&mut self, bytes: &[u8]) {
        self.mix(&STRING.to_be_bytes());
        self.mix(bytes);
    }

    fn mix_collection(&mut self, entry: EntryRef<'_>) -> Result<(), CommandError> {
        match type_number(entry) {
            LIST => {
                self.mix(&LIST.to_be_bytes());
                ListRef::of(entry)?.iter(End::Left).for_each(|item| self.mix(&item.bytes()));
            }
            SET => {
                self.mix(&SET.to_be_bytes());
                SetRef::of(entry)?.each(|member| self.add(&member.bytes()));
            }
            ZSET => {
                self.mix(&ZSET.to_be_bytes());
                let (zset, mut score_text) = (ZsetRef::of(entry)?, Vec::new());
                zset.each(0..zset.len(), false, |member, score| {
                    score_text.clear();
                    push_f64_scientific(&mut score_text, score);
                    self.add(&Self::of_pair(&member.bytes(), &score_text).0);
                });
            }
            HASH => {
                self.mix(&HASH.to_be_bytes());
                let hash = HashRef::of(entry)?;
                hash.each(|field, value| {
                    let field = field.as_bytes().unwrap_or_default();
                    let mut own = Self::of_pair(field, &value.bytes());
                    if entry.has_field_deadlines() && hash.deadline_of(field).flatten().is_some() {
                        own.add(FIELD_HAS_DEADLINE);
                    }
                    self.add(&own.0);
                });
            }
            _ => {
                self.mix(&STREAM.to_be_bytes());
                for entry in Stream::of(entry)?.iter() {
                    self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                    entry.items().for_each(|item| self.mix(&item.bytes()));
                }
            }
        }
        Ok(())
    }

    fn of_pair(first: &[u8], second: &[u8]) -> Self {
        let mut own = Self::default();
        own.mix(first);
        own.mix(second);
        own
    }

    /// Begins the keys of a database.
    pub(crate) fn begin_database(&mut self, db: usize) {
        self.mix(&(db as u32).to_be_bytes());
    }

    /// Adds a key with its value.
    pub(crate) fn add_entry(&mut self, entry: EntryRef<'_>) {
        let mut own = Self::default();
        own.mix(entry.key());
        own.mix_value(entry);
        self.add(&own.0);
    }
}

/// The number of a collection's type.
fn type_number(entry: EntryRef<'_>) -> u32 {
    match entry.kind() {
        Kind::ListPacked => LIST,
        Kind::SetInts | Kind::SetPacked => SET,
        Kind::ZsetPacked => ZSET,
        Kind::HashPacked | Kind::HashPackedTtl => HASH,
        Kind::Object => match entry.object() {
            Object::List(_) => LIST,
            Object::Set(_) => SET,
            Object::Zset(_) => ZSET,
            Object::Hash(_) => HASH,
            Object::Stream(_) => STREAM,
        },
        _ => STRING,
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
