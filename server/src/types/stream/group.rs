//! Consumer groups: how far each has read, its consumers, and which entry is pending with whom.
//!
//! Pending entries are ordered by ID twice: for the group with what is known of each, and for each
//! consumer as a plain set. A consumer is known by its number, which outlives no member of it.
//!
//! Invariant: every pending entry is in exactly one consumer's set, that of its owner.

use super::id::StreamId;
use super::{Marks, Stream};
use crate::raw::block_bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a pending entry in both orders: B-tree nodes that are filled in order are half full.
const PENDING_BYTES: usize = 132;
/// Bytes of a name's place in a B-tree.
const NAME_BYTES: usize = 40;

/// The groups of a stream by name.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<Box<[u8]>, Group>,
    bytes: usize,
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Up to which entry it has read.
    pub last_id: StreamId,
    /// How many entries it has read, counted from the first that was ever added, if that is known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: Vec<Option<Consumer>>,
    /// Places in `consumers` that are free.
    free: Vec<Number>,
    numbers: BTreeMap<Box<[u8]>, Number>,
    names_bytes: usize,
}

/// A consumer's place in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u32);

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Box<[u8]>,
    /// When it last tried to read, in milliseconds since the Unix epoch.
    pub seen_ms: i64,
    /// When it was last given an entry.
    pub active_ms: Option<i64>,
    /// What is pending with it.
    pub pending: BTreeSet<StreamId>,
}

/// An entry that was given to a consumer and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Who has it.
    pub consumer: Number,
    /// When it was given last, in milliseconds since the Unix epoch.
    pub delivered_ms: i64,
    /// How many times it was given.
    pub deliveries: u64,
}

/// What [`Group::deliver`] does.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// To whom.
    pub consumer: Number,
    /// How many entries at most; 0: all.
    pub count: usize,
    /// Whether they count as acknowledged at once.
    pub is_acknowledged: bool,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl Groups {
    /// Bytes that they take, as good as can be told from the outside of a B-tree.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The groups in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.by_name.iter().map(|(name, group)| (&**name, group))
    }

    /// A group.
    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// Adds a group; false when there is one of this name.
    pub fn create(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<i64>) -> bool {
        if self.by_name.contains_key(name) {
            return false;
        }
        let group = Group::new(last_id, entries_read);
        self.bytes += name_bytes(name) + group.size_bytes();
        self.by_name.insert(Box::from(name), group);
        true
    }

    /// Takes a group out.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.by_name.remove(name) else { return false };
        self.bytes -= name_bytes(name) + group.size_bytes();
        true
    }

    fn edit<T>(&mut self, name: &[u8], edit: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let group = self.by_name.get_mut(name)?;
        let before = group.size_bytes();
        let result = edit(group);
        self.bytes = self.bytes - before + group.size_bytes();
        Some(result)
    }
}

impl Stream {
    /// Changes a group, if there is one of this name; it may look at its stream meanwhile.
    pub fn with_group<T>(
        &mut self,
        name: &[u8],
        edit: impl FnOnce(&mut Group, &Stream) -> T,
    ) -> Option<T> {
        let mut groups = std::mem::take(&mut self.groups);
        let result = groups.edit(name, |group| edit(group, self));
        self.groups = groups;
        result
    }
}

impl Group {
    fn new(last_id: StreamId, entries_read: Option<i64>) -> Self {
        Self {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            consumers: Vec::new(),
            free: Vec::new(),
            numbers: BTreeMap::new(),
            names_bytes: 0,
        }
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.pending.len() * PENDING_BYTES
            + self.names_bytes
            + block_bytes(self.consumers.capacity() * size_of::<Option<Consumer>>())
            + block_bytes(self.free.capacity() * size_of::<Number>())
    }

    /// How many consumers it has.
    pub fn consumers_len(&self) -> usize {
        self.numbers.len()
    }

    /// Its consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.numbers.values().filter_map(|number| self.consumers[number.0 as usize].as_ref())
    }

    /// The number of the consumer of this name.
    pub fn number(&self, name: &[u8]) -> Option<Number> {
        self.numbers.get(name).copied()
    }

    /// A consumer.
    ///
    /// # Panics
    /// The number is of a consumer that was removed.
    pub fn consumer(&self, number: Number) -> &Consumer {
        self.consumers[number.0 as usize].as_ref().expect("a number goes with its consumer")
    }

    /// A consumer, to change its times.
    ///
    /// # Panics
    /// The number is of a consumer that was removed.
    pub fn consumer_mut(&mut self, number: Number) -> &mut Consumer {
        self.consumers[number.0 as usize].as_mut().expect("a number goes with its consumer")
    }

    /// Adds a consumer that there is none of yet.
    pub fn create_consumer(&mut self, name: &[u8], now_ms: i64) -> Number {
        let consumer = Consumer {
            name: Box::from(name),
            seen_ms: now_ms,
            active_ms: None,
            pending: BTreeSet::new(),
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.consumers.push(None);
            // Memory ends long before 32 bits do.
            Number((self.consumers.len() - 1) as u32)
        });
        self.consumers[number.0 as usize] = Some(consumer);
        self.numbers.insert(Box::from(name), number);
        self.names_bytes += 2 * name_bytes(name);
        number
    }

    /// Removes a consumer and what is pending with it; gives how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.numbers.remove(name)?;
        self.names_bytes -= 2 * name_bytes(name);
        let consumer = self.consumers[number.0 as usize].take()?;
        self.free.push(number);
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// What is pending, by ID.
    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// Makes an entry pending as stated, whoever had it before.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending);
        if let Some(before) = before
            && before.consumer != pending.consumer
        {
            self.consumer_mut(before.consumer).pending.remove(&id);
        }
        if before.is_none_or(|before| before.consumer != pending.consumer) {
            self.consumer_mut(pending.consumer).pending.insert(id);
        }
    }

    /// Takes an entry off the list; gives what was known of it.
    pub fn acknowledge(&mut self, id: StreamId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.consumer_mut(pending.consumer).pending.remove(&id);
        Some(pending)
    }

    /// Gives a consumer the entries that the group has not read; gives their IDs.
    pub fn deliver(&mut self, stream: &Stream, delivery: Delivery) -> Vec<StreamId> {
        let Some(start) = self.last_id.next() else { return Vec::new() };
        let count = if delivery.count == 0 { usize::MAX } else { delivery.count };
        let entries = stream.range(start, StreamId::MAX).take(count);
        let ids: Vec<StreamId> = entries.map(|entry| entry.id).collect();
        let marks: &Marks = &stream.marks;
        for id in &ids {
            self.entries_read = marks.read_after(*id, self.entries_read);
            self.last_id = *id;
            if !delivery.is_acknowledged {
                let Delivery { consumer, now_ms, .. } = delivery;
                self.assign(*id, Pending { consumer, delivered_ms: now_ms, deliveries: 1 });
                self.consumer_mut(consumer).active_ms = Some(now_ms);
            }
        }
        ids
    }

    /// Gives a consumer again what is pending with it from `start` on; tells of each whether it is
    /// still there.
    pub fn redeliver(
        &mut self,
        stream: &Stream,
        start: StreamId,
        delivery: Delivery,
    ) -> Vec<(StreamId, bool)> {
        let count = if delivery.count == 0 { usize::MAX } else { delivery.count };
        let ids = self.consumer(delivery.consumer).pending.range(start..).take(count);
        let found: Vec<_> = ids.map(|id| (*id, stream.get(*id).is_some())).collect();
        for (id, _) in found.iter().filter(|(_, is_there)| *is_there) {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.delivered_ms = delivery.now_ms;
                pending.deliveries = pending.deliveries.wrapping_add(1);
            }
        }
        found
    }
}

fn name_bytes(name: &[u8]) -> usize {
    NAME_BYTES + block_bytes(name.len())
}
