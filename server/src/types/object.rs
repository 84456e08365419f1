//! A large collection, owned by its key's entry through a box.

use super::{hash::Hash, list::List, set::Set, stream::Stream, zset::Zset};
use crate::raw::block_bytes;

/// A value that does not fit its key's own block.
#[derive(Clone, Debug)]
pub enum Object {
    /// A list of many elements.
    List(List),
    /// A hash of many fields.
    Hash(Hash),
    /// A set of many members.
    Set(Set),
    /// A sorted set of many members.
    Zset(Zset),
    /// A stream; in a box of its own, since it is the largest and the rarest.
    Stream(Box<Stream>),
}

impl Object {
    /// Bytes that it takes from the allocator besides itself; kept, not computed.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::List(list) => list.size_bytes(),
            Self::Hash(hash) => hash.size_bytes(),
            Self::Set(set) => set.size_bytes(),
            Self::Zset(zset) => zset.size_bytes(),
            Self::Stream(stream) => block_bytes(size_of::<Stream>()) + stream.size_bytes(),
        }
    }

    /// Its type as TYPE reports it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Zset(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// Its encoding as OBJECT ENCODING reports it.
    pub fn encoding_name(&self) -> &'static str {
        match self {
            Self::List(_) => "quicklist",
            Self::Hash(_) | Self::Set(_) => "hashtable",
            Self::Zset(_) => "skiplist",
            Self::Stream(_) => "stream",
        }
    }

    /// How many places its hash table has, if it has one.
    pub fn places(&self) -> Option<usize> {
        match self {
            Self::Hash(hash) => Some(hash.places()),
            Self::Set(set) => Some(set.places()),
            Self::Zset(zset) => Some(zset.places()),
            Self::List(_) | Self::Stream(_) => None,
        }
    }

    /// How many steps it takes to free, as Redis counts them.
    pub fn steps_to_free(&self) -> usize {
        match self {
            Self::List(list) => list.nodes(),
            Self::Stream(stream) => {
                let groups = stream.groups();
                let pending = groups.iter().map(|(_, group)| group.pending().len());
                stream.nodes() + groups.len() + pending.sum::<usize>()
            }
            Self::Hash(_) | Self::Set(_) | Self::Zset(_) => self.len(),
        }
    }

    /// How many elements it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty collection has no key")]
    pub fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::Zset(zset) => zset.len(),
            Self::Stream(stream) => stream.len(),
        }
    }
}
