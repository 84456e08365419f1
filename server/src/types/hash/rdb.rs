//! Hashes in dump files: fields with their values, and perhaps with their deadlines.

use super::{Hash, Thresholds};
use crate::raw::{EntryRef, Kind, NewValue};
use crate::types::list::rdb::item_of;
use crate::types::object::Object;
use crate::types::packed::{self, Item, Packed};
use crate::types::rdb::{self, Built};
use larder_protocol::rdb::{Dialect, Error, Reader, Writer, opcode, ziplist};
use std::mem::take;

const TWICE: &str = "a hash that has a field twice";
const ODD: &str = "a hash with a field that has no value";
const BAD_DEADLINE: &str = "a hash with a field whose deadline is none";
/// Latest deadline of a field, as in Redis.
const DEADLINE_MAX_MS: i64 = (1 << 48) - 2;

/// Appends a small hash with deadlines.
pub fn put_timed(out: &mut Writer, entry: EntryRef<'_>) {
    out.millis(super::expiry::next_deadline_ms(entry).unwrap_or(0));
    rdb::put_listpack(out, Packed::new(entry.packed()));
}

/// Appends a large hash.
pub fn put(out: &mut Writer, hash: &Hash) {
    // Deadlines are told from the earliest on, which is 1; 0 is none.
    let first_ms = hash
        .has_deadlines()
        .then(|| hash.members.iter().filter_map(EntryRef::deadline_ms).min().unwrap_or_default());
    if let Some(first_ms) = first_ms {
        out.millis(first_ms);
    }
    out.length(hash.len() as u64);
    for entry in hash.members.iter() {
        if let Some(first_ms) = first_ms {
            let after = entry.deadline_ms().map_or(0, |deadline| deadline - first_ms + 1);
            out.length(after as u64);
        }
        out.string(entry.key());
        crate::types::string::rdb::put(out, entry);
    }
}

/// Reads a hash without deadlines in any of its forms.
pub(in crate::types) fn read(
    reader: &mut Reader<'_>,
    kind: u8,
    thresholds: Thresholds,
) -> Result<Option<Built>, Error> {
    let offset = reader.offset();
    match kind {
        opcode::HASH => {
            let len = reader.length()?;
            let mut fields = Fields::new(len, false, thresholds);
            for _ in 0..len {
                fields.read(reader, None)?;
            }
            fields.finish().map_err(|reason| rdb::at(offset, reason))
        }
        opcode::HASH_LISTPACK => {
            let bytes = rdb::read_listpack(reader)?;
            keep(bytes, thresholds).map_err(|reason| rdb::at(offset, reason))
        }
        opcode::HASH_ZIPLIST => {
            let packed = from_ziplist(&reader.string()?);
            packed
                .and_then(|bytes| keep(bytes, thresholds))
                .map_err(|reason| rdb::at(offset, reason))
        }
        _ => {
            let (bytes, mut fields) = (reader.string()?, Fields::new(0, false, thresholds));
            ziplist::each_of_zipmap(&bytes, |field, value| fields.add(field, value, 0))
                .and_then(|()| fields.finish())
                .map_err(|reason| rdb::at(offset, reason))
        }
    }
}

/// Reads a hash with deadlines in any of its forms.
pub(in crate::types) fn read_timed(
    reader: &mut Reader<'_>,
    kind: u8,
    thresholds: Thresholds,
) -> Result<Option<Built>, Error> {
    let offset = reader.offset();
    match kind {
        opcode::HASH_LISTPACK_EX | opcode::HASH_LISTPACK_EX_PRE_GA => {
            if kind == opcode::HASH_LISTPACK_EX {
                reader.millis()?;
            }
            let bytes = rdb::read_listpack(reader)?;
            keep_timed(bytes, thresholds).map_err(|reason| rdb::at(offset, reason))
        }
        _ => {
            let is_valkey = reader.dialect() == Dialect::Valkey;
            let first_ms =
                if kind == opcode::HASH_METADATA { Some(reader.millis()?) } else { None };
            let len = reader.length()?;
            let mut fields = Fields::new(len, true, thresholds);
            for _ in 0..len {
                let form = match first_ms {
                    _ if is_valkey => Deadline::Behind,
                    Some(first_ms) => Deadline::From(first_ms),
                    None => Deadline::Absolute,
                };
                fields.read(reader, Some(form))?;
            }
            fields.finish().map_err(|reason| rdb::at(offset, reason))
        }
    }
}

/// How a field's deadline is told.
#[derive(Clone, Copy)]
enum Deadline {
    /// In front of the field, in milliseconds since the epoch; 0 is none.
    Absolute,
    /// In front of the field, counted from the earliest one, which is 1; 0 is none.
    From(i64),
    /// Behind the value, in milliseconds since the epoch; -1 is none.
    Behind,
}

impl Deadline {
    /// The deadline that stands in front of a field, 0 for none.
    fn before(self, reader: &mut Reader<'_>) -> Result<i64, Error> {
        let told = match self {
            Self::Behind => return Ok(0),
            Self::Absolute | Self::From(_) => reader.length()?,
        };
        let deadline_ms = i64::try_from(told).ok().and_then(|told| match self {
            Self::From(first_ms) if told > 0 => first_ms.checked_add(told - 1),
            _ => Some(told),
        });
        match deadline_ms {
            Some(deadline_ms @ 0..=DEADLINE_MAX_MS) => Ok(deadline_ms),
            _ => Err(reader.corrupt(BAD_DEADLINE)),
        }
    }

    /// The deadline that stands behind a value, 0 for none.
    fn behind(self, reader: &mut Reader<'_>) -> Result<i64, Error> {
        match self {
            Self::Absolute | Self::From(_) => Ok(0),
            Self::Behind => match reader.millis()? {
                -1 => Ok(0),
                // Long ago, but not never.
                0 => Ok(1),
                deadline_ms @ 1..=DEADLINE_MAX_MS => Ok(deadline_ms),
                _ => Err(reader.corrupt(BAD_DEADLINE)),
            },
        }
    }
}

/// A hash that is being read, field by field.
struct Fields {
    /// Fields, values and perhaps deadlines, in the order in which they came.
    elements: Vec<u8>,
    count: usize,
    /// Where it lies when it is too much for a packed sequence.
    table: Option<Hash>,
    is_timed: bool,
    thresholds: Thresholds,
    field: Vec<u8>,
    value: Vec<u8>,
}

impl Fields {
    fn new(len: u64, is_timed: bool, thresholds: Thresholds) -> Self {
        Self {
            elements: Vec::new(),
            count: 0,
            table: (len > thresholds.entries).then(Hash::default),
            is_timed,
            thresholds,
            field: Vec::new(),
            value: Vec::new(),
        }
    }

    fn read(&mut self, reader: &mut Reader<'_>, form: Option<Deadline>) -> Result<(), Error> {
        let before_ms = form.map_or(Ok(0), |form| form.before(reader))?;
        // Their memory serves the next field too.
        let (mut field, mut value) = (take(&mut self.field), take(&mut self.value));
        reader.string_into(&mut field)?;
        reader.string_into(&mut value)?;
        let deadline_ms = before_ms + form.map_or(Ok(0), |form| form.behind(reader))?;
        self.add(&field, &value, deadline_ms).map_err(|reason| reader.corrupt(reason))?;
        (self.field, self.value) = (field, value);
        Ok(())
    }

    /// Adds a field with its deadline, 0 for none.
    fn add(&mut self, field: &[u8], value: &[u8], deadline_ms: i64) -> Result<(), &'static str> {
        let longest_bytes = field.len().max(value.len()) as u64;
        if self.table.is_none() && longest_bytes > self.thresholds.value_bytes {
            let packed = self.take_packed();
            self.table = Some(table_of(Packed::new(&packed), self.is_timed)?);
        }
        match &mut self.table {
            Some(table) => {
                let deadline_ms = Some(deadline_ms).filter(|deadline_ms| *deadline_ms > 0);
                if !table.add(field, value, deadline_ms) {
                    return Err(TWICE);
                }
            }
            None => {
                packed::append(&mut self.elements, Item::of(field));
                packed::append(&mut self.elements, Item::of(value));
                if self.is_timed {
                    packed::append(&mut self.elements, Item::Int(deadline_ms));
                }
                self.count += 1;
            }
        }
        Ok(())
    }

    fn take_packed(&mut self) -> Vec<u8> {
        let parts = if self.is_timed { 3 } else { 2 };
        packed::from_elements(parts * self.count, &take(&mut self.elements))
    }

    fn finish(mut self) -> Result<Option<Built>, &'static str> {
        match self.table.take() {
            Some(table) => Ok((table.len() > 0).then(|| Built::object(Object::Hash(table)))),
            None if self.is_timed => keep_timed(self.take_packed(), self.thresholds),
            None => keep(self.take_packed(), self.thresholds),
        }
    }
}

impl Hash {
    /// Whether any field has a deadline.
    pub fn has_deadlines(&self) -> bool {
        self.deadlines.is_some()
    }

    /// Adds a field; false when it is there already.
    fn add(&mut self, field: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool {
        if self.members.contains(field) {
            return false;
        }
        self.members.insert(field, NewValue::string(value), deadline_ms);
        self.note(field, None, deadline_ms);
        true
    }
}

/// The large form of fields and values, each pair perhaps followed by a deadline.
fn table_of(packed: Packed<'_>, is_timed: bool) -> Result<Hash, &'static str> {
    let (mut hash, mut items) = (Hash::default(), packed.items());
    while let (Some(field), Some(value)) = (items.next(), items.next()) {
        let deadline_ms = if is_timed { items.next().and_then(Item::number) } else { None };
        let deadline_ms = deadline_ms.filter(|deadline_ms| *deadline_ms > 0);
        if !hash.add(&field.bytes(), &value.bytes(), deadline_ms) {
            return Err(TWICE);
        }
    }
    Ok(hash)
}

/// A hash of packed fields and values.
fn keep(bytes: Vec<u8>, thresholds: Thresholds) -> Result<Option<Built>, &'static str> {
    let packed = Packed::new(&bytes);
    match packed.len() {
        0 => Ok(None),
        len if !len.is_multiple_of(2) => Err(ODD),
        len if len as u64 / 2 > thresholds.entries => {
            Ok(Some(Built::object(Object::Hash(table_of(packed, false)?))))
        }
        _ if packed::has_duplicates(packed, 1) => Err(TWICE),
        _ => Ok(Some(Built::Packed(Kind::HashPacked, bytes))),
    }
}

/// A hash of packed fields, values and deadlines.
fn keep_timed(bytes: Vec<u8>, thresholds: Thresholds) -> Result<Option<Built>, &'static str> {
    let packed = Packed::new(&bytes);
    if !packed.len().is_multiple_of(3) {
        return Err(ODD);
    }
    let deadlines = || packed.items().skip(2).step_by(3).map(Item::number);
    if !deadlines().all(|ms| ms.is_some_and(|ms| (0..=DEADLINE_MAX_MS).contains(&ms))) {
        return Err(BAD_DEADLINE);
    }
    if packed.is_empty() {
        return Ok(None);
    }
    if packed.len() as u64 / 3 > thresholds.entries {
        return Ok(Some(Built::object(Object::Hash(table_of(packed, true)?))));
    }
    if packed::has_duplicates(packed, 2) {
        return Err(TWICE);
    }
    if deadlines().all(|ms| ms == Some(0)) {
        let mut elements = Vec::new();
        let kept = packed.items().enumerate().filter(|(at, _)| at % 3 != 2);
        kept.for_each(|(_, item)| packed::append(&mut elements, item));
        let plain = packed::from_elements(packed.len() / 3 * 2, &elements);
        return Ok(Some(Built::Packed(Kind::HashPacked, plain)));
    }
    let ordered = ordered(packed);
    Ok(Some(Built::Packed(Kind::HashPackedTtl, ordered.unwrap_or(bytes))))
}

/// Fields in the order of their deadlines, those without one at the end; nothing when they are.
fn ordered(packed: Packed<'_>) -> Option<Vec<u8>> {
    let (mut items, mut fields) = (packed.items(), Vec::new());
    while let (Some(field), Some(value), Some(deadline)) =
        (items.next(), items.next(), items.next())
    {
        let deadline_ms = deadline.number().filter(|deadline_ms| *deadline_ms > 0);
        fields.push((deadline_ms.unwrap_or(i64::MAX), field, value));
    }
    if fields.is_sorted_by_key(|(deadline_ms, ..)| *deadline_ms) {
        return None;
    }
    fields.sort_by_key(|(deadline_ms, ..)| *deadline_ms);
    let mut elements = Vec::new();
    for (deadline_ms, field, value) in fields {
        packed::append(&mut elements, field);
        packed::append(&mut elements, value);
        packed::append(
            &mut elements,
            Item::Int(if deadline_ms == i64::MAX { 0 } else { deadline_ms }),
        );
    }
    Some(packed::from_elements(packed.len(), &elements))
}

fn from_ziplist(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut elements = Vec::new();
    let count = ziplist::each(bytes, |element| {
        packed::append(&mut elements, item_of(element));
        Ok(())
    })?;
    Ok(packed::from_elements(count, &elements))
}
