//! Streams: append-only logs with consumer groups.
//!
//! A stream is a ring of [`node`]s in the order of their IDs, so entries are added at one end and
//! trimmed at the other without moving any, and one is found by halving. Its [`group`]s remember
//! who was given which entry. What is known of a stream's past is in its [`Marks`].
//!
//! Invariant: no first or last node is hollow (all deleted); hollow ones between them are at most
//! half of all, and go together. `heap_bytes` is the sum of the nodes' blocks.

pub mod add;
pub mod claim;
pub mod commands;
mod effects;
pub mod group;
pub mod groups;
mod id;
pub mod info;
mod marks;
mod node;
pub mod rdb;
pub mod read;
pub mod table;

pub use id::StreamId;
pub use marks::Marks;
pub use node::Entry;

use super::object::Object;
use crate::config::Settings;
use crate::keyspace::access::Occupied;
use crate::raw::{EntryRef, Kind};
use group::{Group, Groups};
use larder_protocol::{Args, CommandError};
use node::Node;
use std::collections::VecDeque;

/// Largest node in bytes, whatever the settings say, and largest entry.
const NODE_MAX_BYTES: usize = 1 << 30;
/// Largest block in bytes that a node is given before it has entries.
const NODE_CAPACITY_MAX_BYTES: usize = 4096;

/// Bytes of a node of one entry besides its parts, for entries of the usual kind.
const FRAME_BYTES: usize = 16;

/// How full a node may become.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// `stream-node-max-bytes`, 0 for none.
    pub bytes: usize,
    /// `stream-node-max-entries`, 0 for none.
    pub entries: u64,
}

/// What XADD and XTRIM keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As many of the newest entries.
    Newest(u64),
    /// The entries from an ID on.
    From(StreamId),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// What stays.
    pub keep: Keep,
    /// Whether only whole nodes go.
    pub is_approximate: bool,
    /// How many entries may go; 0: any number.
    pub limit: u64,
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: VecDeque<Node>,
    hollow: usize,
    heap_bytes: usize,
    /// Its length and what is known of its past.
    pub marks: Marks,
    groups: Groups,
}

impl NodeLimits {
    /// The limits that the settings set.
    #[inline]
    pub fn of(settings: &Settings) -> Self {
        Self {
            bytes: usize::try_from(settings.stream_node_max_bytes).unwrap_or(usize::MAX),
            entries: settings.stream_node_max_entries,
        }
    }

    /// Whether parts of `bytes` go into a new node rather than into this one.
    #[inline]
    fn exclude(self, node: &Node, bytes: usize) -> bool {
        let max = if self.bytes == 0 { NODE_MAX_BYTES } else { self.bytes.min(NODE_MAX_BYTES) };
        node.listpack_bytes() + bytes >= max
            || (self.entries > 0 && u64::from(node.entries) >= self.entries)
    }
}

impl Stream {
    /// The stream in an entry.
    ///
    /// # Errors
    /// The entry holds another type.
    #[inline]
    pub fn of(entry: EntryRef<'_>) -> Result<&Self, CommandError> {
        match entry.kind() {
            Kind::Object => match entry.object() {
                Object::Stream(stream) => Ok(stream),
                _ => Err(CommandError::WRONG_TYPE),
            },
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// Bytes that it takes from the allocator, its own struct excluded.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.heap_bytes + self.nodes.capacity() * size_of::<Node>() + self.groups.size_bytes()
    }

    /// How many entries it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty stream is as good as any")]
    #[inline]
    pub fn len(&self) -> usize {
        self.marks.len as usize
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.nodes.len() - self.hollow
    }

    /// Adds an entry of fields and values by turns.
    ///
    /// # Errors
    /// The ID is not above the last one, or the parts are too large.
    #[inline]
    pub fn append(
        &mut self,
        id: StreamId,
        pairs: Args<'_>,
        limits: NodeLimits,
    ) -> Result<(), CommandError> {
        if id <= self.marks.last_id {
            return Err(CommandError::XADD_ID_SMALL);
        }
        let bytes: usize = pairs.iter().map(<[u8]>::len).sum();
        if bytes > NODE_MAX_BYTES {
            return Err(CommandError::XADD_TOO_LARGE);
        }
        match self.nodes.back_mut() {
            Some(node) if !limits.exclude(node, bytes) => {
                let before = node.heap_bytes();
                node.push(id, pairs);
                self.heap_bytes = self.heap_bytes - before + node.heap_bytes();
            }
            tail => {
                // The full node does not grow any more; its successor will be about as large.
                let capacity = tail.map_or(bytes + FRAME_BYTES, |node| {
                    let before = node.heap_bytes();
                    node.shrink();
                    self.heap_bytes = self.heap_bytes - before + node.heap_bytes();
                    node.heap_bytes().min(NODE_CAPACITY_MAX_BYTES)
                });
                let node = Node::new(id, pairs, capacity);
                self.heap_bytes += node.heap_bytes();
                self.nodes.push_back(node);
            }
        }
        self.marks.added(id);
        Ok(())
    }

    /// The nodes some of whose entries are not deleted.
    fn live_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.is_hollow())
    }

    /// Adds a node behind all others, unless all its entries are deleted.
    fn push_node(&mut self, mut node: Node) {
        if !node.is_hollow() {
            node.shrink();
            self.heap_bytes += node.heap_bytes();
            self.marks.len += u64::from(node.live);
            self.nodes.push_back(node);
        }
    }

    /// The place of the node that an ID belongs to.
    #[inline]
    fn node_of(&self, id: StreamId) -> usize {
        self.nodes.partition_point(|node| node.first <= id).saturating_sub(1)
    }

    /// The entries between two IDs, both included.
    #[inline]
    pub fn range(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> impl DoubleEndedIterator<Item = Entry<'_>> {
        let to = self.nodes.partition_point(|node| node.first <= end);
        let from = self.node_of(start).min(to);
        let is_wanted =
            move |entry: &Entry<'_>| !entry.is_deleted() && start <= entry.id && entry.id <= end;
        self.nodes.range(from..to).flat_map(Node::entries).filter(is_wanted)
    }

    /// All entries.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX)
    }

    /// The entry of an ID.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The ID of the last entry there is; the last one ever added may be deleted.
    #[inline]
    pub fn top_id(&self) -> Option<StreamId> {
        self.iter().next_back().map(|entry| entry.id)
    }

    /// The ID of the first node; no entry, deleted or not, has a lower one.
    pub fn edge_id(&self) -> StreamId {
        self.nodes.front().map_or(StreamId::MAX, |node| node.first)
    }

    /// Removes an entry; false when there is none of this ID.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(place) = self.get(id).map(|entry| entry.place()) else { return false };
        self.delete_at(self.node_of(id), place);
        self.marks.max_deleted_id = self.marks.max_deleted_id.max(id);
        if id == self.marks.first_id || self.marks.len == 0 {
            self.find_first();
        }
        true
    }

    /// Removes an entry of which it is known where it is.
    fn delete_at(&mut self, index: usize, place: usize) {
        let node = &mut self.nodes[index];
        let before = node.heap_bytes();
        node.delete(place);
        self.heap_bytes = self.heap_bytes - before + node.heap_bytes();
        self.marks.len -= 1;
        if node.is_hollow() {
            self.hollow += 1;
            self.drop_hollow();
        }
    }

    /// Takes hollow nodes out at the ends, and all of them when they are many.
    fn drop_hollow(&mut self) {
        while self.nodes.front().is_some_and(Node::is_hollow) {
            self.nodes.pop_front();
            self.hollow -= 1;
        }
        while self.nodes.back().is_some_and(Node::is_hollow) {
            self.nodes.pop_back();
            self.hollow -= 1;
        }
        if self.hollow > self.nodes.len() / 2 {
            self.nodes.retain(|node| !node.is_hollow());
            self.hollow = 0;
        }
    }

    fn find_first(&mut self) {
        let first = self.iter().next().map(|entry| entry.id);
        self.marks.first_id = first.unwrap_or(StreamId::MIN);
    }

    /// Removes the oldest entries; gives how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut removed = 0;
        while let Some(node) = self.nodes.front() {
            let (len, live) = (self.marks.len, u64::from(node.live));
            let keeps_all = matches!(trim.keep, Keep::Newest(count) if len <= count);
            if keeps_all || (trim.limit > 0 && removed + live > trim.limit) {
                break;
            }
            let goes_whole = match trim.keep {
                Keep::Newest(count) => len - live >= count,
                Keep::From(id) => node.entries().next_back().is_some_and(|last| last.id < id),
            };
            if goes_whole {
                self.heap_bytes -= node.heap_bytes();
                self.nodes.pop_front();
                self.marks.len -= live;
                removed += live;
                self.drop_hollow();
                continue;
            }
            if !trim.is_approximate {
                removed += self.trim_first_node(trim.keep);
            }
            break;
        }
        if removed > 0 {
            self.find_first();
            self.give_back();
        }
        removed
    }

    /// Removes the oldest entries of the first node, some of which stay or are deleted.
    fn trim_first_node(&mut self, keep: Keep) -> u64 {
        let Some(node) = self.nodes.front() else { return 0 };
        let live = node.entries().filter(|entry| !entry.is_deleted());
        let places: Vec<usize> = match keep {
            Keep::Newest(count) => {
                let surplus = (self.marks.len - count) as usize;
                live.take(surplus).map(|entry| entry.place()).collect()
            }
            Keep::From(id) => {
                live.take_while(|entry| entry.id < id).map(|entry| entry.place()).collect()
            }
        };
        places.iter().for_each(|place| self.delete_at(0, *place));
        places.len() as u64
    }

    /// Gives back the room of nodes that are gone, when it is large.
    fn give_back(&mut self) {
        if self.nodes.capacity() > 4 * self.nodes.len().max(4) {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
    }

    /// The consumer groups by name.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The groups, to change.
    pub fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }

    /// How many entries a group has not read, if that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        self.marks.lag(group.last_id, group.entries_read)
    }
}

/// Changes a stored stream whose type was looked at.
#[inline]
fn edit<T>(entry: &mut Occupied<'_, '_>, edit: impl FnOnce(&mut Stream) -> T) -> T {
    entry.edit_object(|object| match object {
        Object::Stream(stream) => edit(stream),
        _ => unreachable!("the type was looked at"),
    })
}

#[cfg(test)]
mod tests;
