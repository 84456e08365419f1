//! Streams in dump files: nodes as listpacks, then what is known of the past, then the groups.
//!
//! A node's listpack begins with how many entries are there and how many are deleted and with the
//! fields that most entries share. An entry is its flags, its ID as the difference from the node's,
//! its fields unless they are the shared ones, its values, and how many elements that was.

use super::group::{Group, Pending};
use super::node::Node;
use super::{Marks, Stream, StreamId, marks};
use crate::types::object::Object;
use crate::types::packed::{self, Item, Packed};
use crate::types::rdb::{self, Built};
use larder_protocol::Args;
use larder_protocol::rdb::{Error, Reader, Writer, opcode};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Flags of an entry.
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Elements of an entry that are counted besides fields, values and the number of fields.
const FIXED_ELEMENTS: usize = 3;

const SHORT: &str = "a stream's node that ends within an entry";
const NO_INTEGER: &str = "a stream's node with a text where an integer should be";

/// Appends a stream.
pub fn put(out: &mut Writer, stream: &Stream) {
    out.length(stream.nodes() as u64);
    let mut elements = Vec::new();
    for node in stream.live_nodes() {
        let first = node.first;
        out.joined(&[&first.ms.to_be_bytes(), &first.seq.to_be_bytes()]);
        elements.clear();
        let count = append_node(&mut elements, node);
        rdb::put_elements(out, count, &elements);
    }
    let marks = &stream.marks;
    out.length(marks.len);
    for id in [marks.last_id, marks.first_id, marks.max_deleted_id] {
        put_id(out, id);
    }
    out.length(marks.entries_added);
    out.length(stream.groups().len() as u64);
    for (name, group) in stream.groups().iter() {
        out.string(name);
        put_group(out, group);
    }
}

fn put_id(out: &mut Writer, id: StreamId) {
    out.length(id.ms);
    out.length(id.seq);
}

/// Appends a node's entries as elements; gives their number.
fn append_node(elements: &mut Vec<u8>, node: &Node) -> usize {
    let mut count = 0;
    let mut push = |item: Item<'_>| {
        packed::append(elements, item);
        count += 1;
    };
    let (fields, names) = node.fields();
    push(Item::Int(node.live.into()));
    push(Item::Int((node.entries - node.live).into()));
    push(Item::Int(fields as i64));
    names.for_each(&mut push);
    push(Item::Int(0));
    for entry in node.entries() {
        let is_same = entry.has_same_fields();
        let deleted = if entry.is_deleted() { DELETED } else { 0 };
        push(Item::Int(deleted | if is_same { SAME_FIELDS } else { 0 }));
        push(Item::Int(entry.id.ms.wrapping_sub(node.first.ms) as i64));
        push(Item::Int(entry.id.seq.wrapping_sub(node.first.seq) as i64));
        let len = entry.items().count() / 2;
        let mut own = FIXED_ELEMENTS + len;
        if is_same {
            entry.items().skip(1).step_by(2).for_each(&mut push);
        } else {
            push(Item::Int(len as i64));
            entry.items().for_each(&mut push);
            own += len + 1;
        }
        push(Item::Int(own as i64));
    }
    count
}

fn put_group(out: &mut Writer, group: &Group) {
    put_id(out, group.last_id);
    out.length(group.entries_read.unwrap_or(-1) as u64);
    out.length(group.pending().len() as u64);
    for (id, pending) in group.pending() {
        out.raw(&id.ms.to_be_bytes());
        out.raw(&id.seq.to_be_bytes());
        out.millis(pending.delivered_ms);
        out.length(pending.deliveries);
    }
    out.length(group.consumers_len() as u64);
    for consumer in group.consumers() {
        out.string(&consumer.name);
        out.millis(consumer.seen_ms);
        out.length(consumer.pending.len() as u64);
        for id in &consumer.pending {
            out.raw(&id.ms.to_be_bytes());
            out.raw(&id.seq.to_be_bytes());
        }
    }
}

/// Reads a stream in any of its forms; one without entries is as good as any.
pub(in crate::types) fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Option<Built>, Error> {
    let mut stream = Box::<Stream>::default();
    let mut last = StreamId::MIN;
    for _ in 0..reader.length()? {
        let offset = reader.offset();
        let first = read_node_id(reader)?;
        let bytes = rdb::read_listpack(reader)?;
        let node = node_of(first, Packed::new(&bytes), &mut last);
        stream.push_node(node.map_err(|reason| rdb::at(offset, reason))?);
    }
    read_marks(reader, kind, &mut stream)?;
    for _ in 0..reader.length()? {
        read_group(reader, kind, &mut stream)?;
    }
    Ok(Some(Built::object(Object::Stream(stream))))
}

fn read_node_id(reader: &mut Reader<'_>) -> Result<StreamId, Error> {
    let name = reader.string()?;
    match <[u8; 16]>::try_from(&*name) {
        Ok(name) => {
            let id = u128::from_be_bytes(name);
            Ok(StreamId { ms: (id >> u64::BITS) as u64, seq: id as u64 })
        }
        Err(_) => {
            drop(name);
            Err(reader.corrupt("a stream's node whose name is no ID"))
        }
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<StreamId, Error> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

fn read_raw_id(reader: &mut Reader<'_>) -> Result<StreamId, Error> {
    Ok(StreamId { ms: reader.big_endian()?, seq: reader.big_endian()? })
}

fn read_marks(reader: &mut Reader<'_>, kind: u8, stream: &mut Stream) -> Result<(), Error> {
    let len = reader.length()?;
    if len != stream.marks.len {
        return Err(reader.corrupt("a stream of another length than it says"));
    }
    stream.marks.last_id = read_id(reader)?;
    if stream.iter().next_back().is_some_and(|entry| entry.id > stream.marks.last_id) {
        return Err(reader.corrupt("a stream with an entry above its last ID"));
    }
    if kind == opcode::STREAM_LISTPACKS {
        stream.marks.entries_added = len;
    } else {
        // Where the first entry is, is plain to see.
        read_id(reader)?;
        stream.marks.max_deleted_id = read_id(reader)?;
        stream.marks.entries_added = reader.length()?;
    }
    stream.find_first();
    Ok(())
}

/// The next element, which must be an integer.
fn integer<'a>(items: &mut impl Iterator<Item = Item<'a>>) -> Result<i64, &'static str> {
    items.next().ok_or(SHORT)?.number().ok_or(NO_INTEGER)
}

/// A node from the elements of its listpack; its entries must come after `last`.
fn node_of(first: StreamId, packed: Packed<'_>, last: &mut StreamId) -> Result<Node, &'static str> {
    let mut items = packed.items();
    let (live, deleted) = (integer(&mut items)?, integer(&mut items)?);
    let (fields, mut names) = (integer(&mut items)?, Vec::new());
    for _ in 0..fields {
        names.push(items.next().ok_or(SHORT)?.bytes());
    }
    if integer(&mut items)? != 0 {
        return Err("a stream's node whose fields do not end");
    }
    let (mut node, mut gone) = (None::<Node>, Vec::new());
    while let Some(flags) = items.next() {
        let flags = flags.number().ok_or(NO_INTEGER)?;
        let id = StreamId {
            ms: first.ms.wrapping_add(integer(&mut items)? as u64),
            seq: first.seq.wrapping_add(integer(&mut items)? as u64),
        };
        let is_same = flags & SAME_FIELDS != 0;
        if id <= *last || (node.is_none() && (id != first || !is_same)) {
            return Err("a stream's entry that is out of order");
        }
        *last = id;
        let pairs = read_pairs(&mut items, is_same.then_some(&names[..]))?;
        let slices: Vec<&[u8]> = pairs.iter().map(|part| &**part).collect();
        let args = Args::from_slices(&slices);
        match &mut node {
            Some(node) => node.push(id, args),
            None => node = Some(Node::new(id, args, 0)),
        }
        gone.push(flags & DELETED != 0);
    }
    let mut node = node.ok_or("a stream's node without entries")?;
    let places: Vec<usize> = node
        .entries()
        .zip(&gone)
        .filter(|(_, gone)| **gone)
        .map(|(entry, _)| entry.place())
        .collect();
    places.into_iter().for_each(|place| node.delete(place));
    if i64::from(node.live) != live || i64::from(node.entries - node.live) != deleted {
        return Err("a stream's node of another number of entries than it says");
    }
    Ok(node)
}

/// The fields and values of an entry, by turns.
fn read_pairs<'a>(
    items: &mut impl Iterator<Item = Item<'a>>,
    names: Option<&[Cow<'a, [u8]>]>,
) -> Result<Vec<Cow<'a, [u8]>>, &'static str> {
    let mut pairs = Vec::new();
    let counted = match names {
        Some(names) => {
            for name in names {
                pairs.push(name.clone());
                pairs.push(items.next().ok_or(SHORT)?.bytes());
            }
            names.len()
        }
        None => {
            let len = integer(items)?;
            for _ in 0..len {
                pairs.push(items.next().ok_or(SHORT)?.bytes());
                pairs.push(items.next().ok_or(SHORT)?.bytes());
            }
            pairs.len() + 1
        }
    };
    if integer(items)? != (counted + FIXED_ELEMENTS) as i64 {
        return Err("a stream's entry of another length than it says");
    }
    Ok(pairs)
}

fn read_group(reader: &mut Reader<'_>, kind: u8, stream: &mut Stream) -> Result<(), Error> {
    let name = reader.string()?.into_owned();
    let last_id = read_id(reader)?;
    let entries_read = match kind {
        opcode::STREAM_LISTPACKS => Marks::added_up_to(&stream.marks, last_id),
        _ => marks::known(reader.length()? as i64),
    };
    if !stream.groups_mut().create(&name, last_id, entries_read) {
        return Err(reader.corrupt("a stream with two groups of one name"));
    }
    let mut unowned = BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = read_raw_id(reader)?;
        let (delivered_ms, deliveries) = (reader.millis()?, reader.length()?);
        if unowned.insert(id, (delivered_ms, deliveries)).is_some() {
            return Err(reader.corrupt("a stream's entry that is pending twice"));
        }
    }
    let read = stream.with_group(&name, |group, _| read_consumers(reader, kind, group, unowned));
    read.unwrap_or(Ok(()))
}

fn read_consumers(
    reader: &mut Reader<'_>,
    kind: u8,
    group: &mut Group,
    mut unowned: BTreeMap<StreamId, (i64, u64)>,
) -> Result<(), Error> {
    for _ in 0..reader.length()? {
        let name = reader.string()?.into_owned();
        if group.number(&name).is_some() {
            return Err(reader.corrupt("a stream's group with two consumers of one name"));
        }
        let seen_ms = reader.millis()?;
        let active_ms = match kind {
            opcode::STREAM_LISTPACKS_3 => Some(reader.millis()?).filter(|ms| *ms >= 0),
            // The best that is known.
            _ => Some(seen_ms),
        };
        let consumer = group.create_consumer(&name, seen_ms);
        group.consumer_mut(consumer).active_ms = active_ms;
        for _ in 0..reader.length()? {
            let id = read_raw_id(reader)?;
            let Some((delivered_ms, deliveries)) = unowned.remove(&id) else {
                return Err(reader.corrupt("a consumer's entry that is not pending with its group"));
            };
            group.assign(id, Pending { consumer, delivered_ms, deliveries });
        }
    }
    if unowned.is_empty() {
        Ok(())
    } else {
        Err(reader.corrupt("a stream's entry that is pending with no consumer"))
    }
}
