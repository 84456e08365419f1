//! A large list: packed nodes in a ring, so that both ends are cheap and elements lie dense.
//!
//! Invariant: no node is empty; `len` is the sum of the nodes' lengths and `heap_bytes` that of their
//! blocks. An element too large for the fill has a node of its own.

use super::ends::Ends;
use super::{End, Fill, end_of, remove_end, remove_equal_packed};
use crate::raw::block_bytes;
use crate::types::packed::{self, Item, Packed};
use std::collections::VecDeque;
use std::ops::Range;

/// A list of many elements.
#[derive(Clone, Debug, Default)]
pub struct List {
    nodes: VecDeque<Node>,
    len: usize,
    heap_bytes: usize,
}

/// A packed sequence with its length at hand, so that a position is found without touching it.
#[derive(Clone, Debug)]
struct Node {
    packed: Ends,
    len: usize,
}

impl Node {
    fn new(packed: Vec<u8>) -> Self {
        let len = Packed::new(&packed).len();
        Self { packed: Ends::new(packed), len }
    }

    fn view(&self) -> Packed<'_> {
        Packed::new(self.packed.as_ref())
    }

    /// Whether `value` still fits.
    fn has_room(&self, value: &[u8], fill: Fill) -> bool {
        let bytes = self.view().listpack_bytes() + packed::encoded_bytes(value);
        !fill.is_exceeded(bytes, self.len + 1)
    }
}

impl List {
    /// A list of one node.
    pub fn from_packed(packed: Vec<u8>) -> Self {
        let node = Node::new(packed);
        let mut list = Self::default();
        if node.len > 0 {
            list.len = node.len;
            list.heap_bytes = block_bytes(node.packed.capacity());
            list.nodes.push_back(node);
        }
        list
    }

    /// Bytes that it takes from the allocator, its own struct excluded.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.heap_bytes + self.nodes.capacity() * size_of::<Node>()
    }

    /// How many elements it has.
    #[expect(clippy::len_without_is_empty, reason = "an empty list has no key")]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Shows `visit` the packed elements of each node.
    pub(super) fn each_node(&self, visit: impl FnMut(Packed<'_>)) {
        self.nodes.iter().map(Node::view).for_each(visit);
    }

    /// Adds packed elements as a node behind all others, unless there are none.
    pub(super) fn push_node(&mut self, packed: Vec<u8>) {
        if !Packed::new(&packed).is_empty() {
            self.add_node(self.nodes.len(), packed);
        }
    }

    /// The packed elements, if they lie in one node.
    pub fn single_node(&self) -> Option<&[u8]> {
        match self.nodes.len() {
            1 => Some(self.nodes[0].packed.as_ref()),
            _ => None,
        }
    }

    /// Changes a node and keeps the sums; one that becomes empty goes.
    fn edit<T>(&mut self, index: usize, edit: impl FnOnce(&mut Ends) -> T) -> T {
        let node = &mut self.nodes[index];
        let (bytes, len) = (block_bytes(node.packed.capacity()), node.len);
        let result = edit(&mut node.packed);
        node.len = node.view().len();
        self.len = self.len - len + node.len;
        self.heap_bytes = self.heap_bytes - bytes + block_bytes(node.packed.capacity());
        if node.len == 0 {
            self.heap_bytes -= block_bytes(node.packed.capacity());
            self.nodes.remove(index);
        }
        result
    }

    fn add_node(&mut self, index: usize, packed: Vec<u8>) {
        let node = Node::new(packed);
        self.len += node.len;
        self.heap_bytes += block_bytes(node.packed.capacity());
        self.nodes.insert(index, node);
    }

    /// Adds an element at an end.
    #[inline]
    pub fn push(&mut self, end: End, value: &[u8], fill: Fill) {
        let (index, fresh) = match end {
            End::Left => (0, 0),
            End::Right => (self.nodes.len().saturating_sub(1), self.nodes.len()),
        };
        if self.nodes.get(index).is_some_and(|node| node.has_room(value, fill)) {
            self.edit(index, |packed| match end {
                End::Left => packed::push_front(packed, value),
                End::Right => packed::push_back(packed, value),
            });
            return;
        }
        // A node that is left behind does not grow any more.
        if !self.nodes.is_empty() {
            self.edit(index, Ends::fit);
        }
        self.add_node(fresh, single(value));
    }

    /// The element at an end.
    pub fn end(&self, end: End) -> Option<Item<'_>> {
        let packed = match end {
            End::Left => self.nodes.front()?.view(),
            End::Right => self.nodes.back()?.view(),
        };
        Some(packed.get(end_of(packed, end)?))
    }

    /// Removes the element at an end.
    pub fn pop(&mut self, end: End) {
        let Some(last) = self.nodes.len().checked_sub(1) else { return };
        self.edit(if end == End::Left { 0 } else { last }, |packed| remove_end(packed, end));
    }

    /// The node of a position and the position in it, from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut before = 0;
            for (number, node) in self.nodes.iter().enumerate() {
                if index < before + node.len {
                    return Some((number, index - before));
                }
                before += node.len;
            }
        } else {
            let mut end = self.len;
            for (number, node) in self.nodes.iter().enumerate().rev() {
                end -= node.len;
                if index >= end {
                    return Some((number, index - end));
                }
            }
        }
        None
    }

    /// The element at a position.
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        let (node, index) = self.locate(index)?;
        let packed = self.nodes[node].view();
        Some(packed.get(packed.at(index)?))
    }

    /// The elements from a position on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = Item<'_>> {
        let (node, mut first) = self.locate(index).unwrap_or((self.nodes.len(), 0));
        let rest = self.nodes.range(node..);
        rest.flat_map(move |node| node.view().items_from(std::mem::take(&mut first)))
    }

    /// Shows `visit` the elements of a range of positions.
    #[inline]
    pub fn each_in<'a>(&'a self, range: Range<usize>, mut visit: impl FnMut(Item<'a>)) {
        let Some((node, mut first)) = self.locate(range.start) else { return };
        let mut left = range.len();
        for node in self.nodes.range(node..) {
            node.view().items_from(first).take(left).for_each(&mut visit);
            left -= left.min(node.len - first);
            if left == 0 {
                return;
            }
            first = 0;
        }
    }

    /// The elements from the tail on.
    pub fn iter_back(&self) -> impl Iterator<Item = Item<'_>> {
        self.nodes.iter().rev().flat_map(|node| node.view().items().rev())
    }

    /// Removes a range of positions.
    pub fn remove_range(&mut self, range: Range<usize>) {
        let Some((mut node, index)) = self.locate(range.start) else { return };
        let mut left = range.len();
        if index > 0 {
            let count = left.min(self.nodes[node].len - index);
            self.remove_in(node, index, count);
            left -= count;
            node += 1;
        }
        let mut end = node;
        while let Some(whole) = self.nodes.get(end).filter(|whole| whole.len <= left) {
            left -= whole.len;
            self.len -= whole.len;
            self.heap_bytes -= block_bytes(whole.packed.capacity());
            end += 1;
        }
        self.nodes.drain(node..end);
        if left > 0 && node < self.nodes.len() {
            self.remove_in(node, 0, left);
        }
    }

    /// Removes elements of one node, but not all.
    fn remove_in(&mut self, node: usize, index: usize, count: usize) {
        self.edit(node, |packed| {
            if let Some(at) = Packed::new(packed.as_ref()).at(index) {
                packed::remove(packed, at, count);
            }
        });
    }

    /// Removes up to `count` elements that equal `value`, looking from an end on.
    pub fn remove_equal(&mut self, value: &[u8], count: usize, from: End) -> usize {
        let (mut removed, mut passed) = (0, 0);
        while passed < self.nodes.len() && removed < count {
            let index = match from {
                End::Left => passed,
                End::Right => self.nodes.len() - 1 - passed,
            };
            let nodes = self.nodes.len();
            removed += self
                .edit(index, |packed| remove_equal_packed(packed, value, count - removed, from));
            // One that became empty is gone, and its neighbour has its place.
            if self.nodes.len() == nodes {
                passed += 1;
            }
        }
        removed
    }

    /// Puts an element in another one's place; false when there is none.
    pub fn replace(&mut self, index: usize, value: &[u8], fill: Fill) -> bool {
        let Some((node, place)) = self.locate(index) else { return false };
        let view = self.nodes[node].view();
        let Some(at) = view.at(place) else { return false };
        let freed = packed::encoded_bytes(&view.get(at).bytes());
        let bytes = view.listpack_bytes() - freed + packed::encoded_bytes(value);
        if self.nodes[node].len == 1 || !fill.is_exceeded(bytes, self.nodes[node].len) {
            self.edit(node, |packed| packed::replace(packed, at, value));
        } else {
            self.remove_range(index..index + 1);
            self.insert(index, value, fill);
        }
        true
    }

    /// Adds an element before the one at a position, or at the end.
    pub fn insert(&mut self, index: usize, value: &[u8], fill: Fill) {
        let Some((node, place)) = self.locate(index) else {
            return self.push(End::Right, value, fill);
        };
        if self.nodes[node].has_room(value, fill) {
            self.edit(node, |packed| {
                let at = Packed::new(packed.as_ref()).at(place);
                packed::insert(packed, at, value);
            });
            return;
        }
        if place == 0 {
            if node > 0 && self.nodes[node - 1].has_room(value, fill) {
                self.edit(node - 1, |packed| packed::push_back(packed, value));
            } else {
                self.add_node(node, single(value));
            }
            return;
        }
        let tail = self.edit(node, |packed| {
            let tail = split_off(packed, place);
            packed::push_back(packed, value);
            tail
        });
        self.add_node(node + 1, tail);
        self.merge_around(node + 1, fill);
    }

    /// After a split: joins neighbours of the node where both fit into one, in Redis's order.
    fn merge_around(&mut self, mut node: usize, fill: Fill) {
        if node >= 2 && self.merge(node - 2, fill) {
            node -= 1;
        }
        self.merge(node + 1, fill);
        if node >= 1 && self.merge(node - 1, fill) {
            node -= 1;
        }
        self.merge(node, fill);
    }

    /// Joins a node with the next one, if there is one and both fit into one.
    fn merge(&mut self, node: usize, fill: Fill) -> bool {
        /// What a listpack has before and after its elements.
        const FRAME_BYTES: usize = 7;
        let (Some(first), Some(second)) = (self.nodes.get(node), self.nodes.get(node + 1)) else {
            return false;
        };
        let bytes = first.view().listpack_bytes() + second.view().listpack_bytes() - FRAME_BYTES;
        if fill.is_exceeded(bytes, first.len + second.len) {
            return false;
        }
        let second = self.edit(node + 1, |packed| split_off(packed, 0));
        self.edit(node, |packed| {
            Packed::new(&second)
                .iter()
                .for_each(|(_, item)| packed::push_back(packed, &item.bytes()));
        });
        true
    }
}

fn single(value: &[u8]) -> Vec<u8> {
    let mut packed = packed::EMPTY.to_vec();
    packed::push_back(&mut packed, value);
    packed
}

/// Takes the elements from a place on out of a sequence.
fn split_off(packed: &mut Ends, place: usize) -> Vec<u8> {
    let view = Packed::new(packed.as_ref());
    let mut tail = packed::EMPTY.to_vec();
    let Some(at) = view.at(place) else { return tail };
    let mut next = Some(at);
    let mut values = Vec::with_capacity(view.len() - place);
    while let Some(here) = next {
        values.push(view.get(here).bytes());
        next = view.next(here);
    }
    let slices: Vec<&[u8]> = values.iter().map(|value| &**value).collect();
    packed::insert_all(&mut tail, None, &slices);
    packed::remove(packed, at, tail_len(&tail));
    packed.fit();
    tail
}

fn tail_len(tail: &[u8]) -> usize {
    Packed::new(tail).len()
}
