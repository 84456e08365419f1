//! Copies of entries, one behind the other in one allocation.
//!
//! A snapshot takes entries while it holds their shard's lock and writes them out after: copying the
//! bytes of a block is the least that can be done within the lock. A heap string is not copied but
//! shared, as replies share it. Objects cannot be taken that way.

use super::entry::{EntryRef, detach};
use super::value::Kind;
use std::ptr::{self, NonNull};

const WORD_BYTES: usize = size_of::<u64>();

/// Entries as they were when they were copied.
#[derive(Default)]
pub struct Copies {
    /// The content of each entry, rounded up to whole words: a meta word needs alignment.
    words: Vec<u64>,
    /// Bytes of the heap strings that are shared.
    shared_bytes: usize,
}

impl Copies {
    /// Adds a copy; false when the value is an object, which cannot be copied like that.
    #[inline]
    pub fn push(&mut self, entry: EntryRef<'_>) -> bool {
        match entry.kind() {
            Kind::Object => return false,
            Kind::Heap => {
                let string = entry.heap_string();
                self.shared_bytes += string.as_ref().len();
                // The copy owns this count until it is dropped.
                std::mem::forget(string);
            }
            _ => {}
        }
        let (at, bytes) = (self.words.len(), entry.content_bytes());
        self.words.resize(at + bytes.div_ceil(WORD_BYTES), 0);
        // SAFETY: so many bytes were just added; they lie in no entry's block.
        unsafe {
            let to = self.words.as_mut_ptr().add(at).cast::<u8>();
            ptr::copy_nonoverlapping(entry.content(), to, bytes);
        }
        true
    }

    /// The copies, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        let mut rest = self.words.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            // Of the whole slice: the view reaches beyond its first word.
            let content = NonNull::from(rest).cast::<u8>();
            // SAFETY: a copied content begins here; `self` is borrowed as long as the view.
            let view = unsafe { EntryRef::new(content) };
            rest = &rest[view.content_bytes().div_ceil(WORD_BYTES)..];
            Some(view)
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Bytes of the copies in use.
    pub fn len_bytes(&self) -> usize {
        self.words.len() * WORD_BYTES
    }

    /// Bytes that the copies take, with the strings that they keep from going.
    pub fn size_bytes(&self) -> usize {
        self.words.capacity() * WORD_BYTES + self.shared_bytes
    }

    /// Forgets the copies; the room for others stays.
    pub fn clear(&mut self) {
        for entry in self.iter() {
            // SAFETY: a copy owns a count of its heap string, and is not looked at again.
            drop(unsafe { detach(entry) });
        }
        self.words.clear();
        self.shared_bytes = 0;
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, INLINE_MAX_BYTES, NewValue, Table};
    use super::*;

    #[test]
    fn copies_stay_as_they_were_and_share_what_is_long() {
        let mut table = Table::default();
        let long = vec![b'x'; 2 * INLINE_MAX_BYTES];
        let entries = [
            Entry::new(b"n", NewValue::Int(-7), Some(5), 1),
            Entry::new(b"short", NewValue::Bytes(b"abc"), None, 2),
            Entry::new(b"long", NewValue::Bytes(&long), Some(9), 3),
            Entry::new(b"packed", NewValue::Packed(Kind::SetInts, b"12345"), None, 4),
        ];
        let places = entries.map(|entry| table.insert(7, entry));
        let mut copies = Copies::default();
        places.iter().for_each(|at| assert!(copies.push(table.get(*at))));
        assert!(copies.size_bytes() > long.len());
        for at in places {
            table.get_mut(at).set_value(NewValue::Bytes(b"changed"));
        }
        drop(table);
        let copied: Vec<_> = copies.iter().collect();
        assert_eq!(copied.iter().map(|entry| entry.access()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(matches!(copied[0].value(), super::super::Value::Int(-7)));
        assert_eq!(copied[2].string_bytes(), Some(&long[..]));
        assert_eq!((copied[2].key(), copied[2].deadline_ms()), (&b"long"[..], Some(9)));
        assert_eq!(copied[3].packed(), b"12345");
        copies.clear();
        assert!(copies.is_empty() && copies.iter().next().is_none());
    }
}
