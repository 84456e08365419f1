//! Values in the format of dump files: which form each type is written in, and every form that is
//! read.
//!
//! What is written loads in Redis 7.0; only a hash some of whose fields have deadlines needs 7.4.
//! What is read may come from anywhere: each room's `rdb` looks at every byte before its type's
//! invariants rest on it, and takes memory for what is there, not for what is claimed.

use super::packed::{self, Packed};
use super::{hash, list, set, string, zset};
use crate::config::{MaxmemoryPolicy, Settings};
use crate::keyspace::evict;
use crate::raw::{EntryRef, Kind, NewValue};
use crate::types::object::Object;
use larder_protocol::rdb::{Dialect, Error, Reader, Writer, listpack, opcode};

/// What is written beside keys and values.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions {
    /// Says whether the time of the last access or its frequency is worth anything.
    pub policy: MaxmemoryPolicy,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// `lfu-decay-time`.
    pub lfu_decay_min: u32,
}

impl SaveOptions {
    /// As the settings want it.
    pub fn of(settings: &Settings, now_ms: i64) -> Self {
        Self {
            policy: settings.maxmemory_policy,
            now_ms,
            lfu_decay_min: settings.lfu_decay_time_min,
        }
    }
}

/// The thresholds between the forms in which values are kept.
#[derive(Clone, Copy, Debug)]
pub struct Encodings {
    pub(super) fill: list::Fill,
    pub(super) hash: hash::Thresholds,
    pub(super) set: set::Thresholds,
    pub(super) zset: zset::Thresholds,
}

impl Encodings {
    /// Those of the settings.
    pub fn of(settings: &Settings) -> Self {
        Self {
            fill: list::Fill(settings.list_max_listpack_size),
            hash: hash::Thresholds::of(settings),
            set: set::Thresholds::of(settings),
            zset: zset::Thresholds::of(settings),
        }
    }
}

/// Appends a key with all that belongs to it, as it stands in a file.
pub fn put_entry(out: &mut Writer, entry: EntryRef<'_>, options: SaveOptions) {
    if let Some(deadline_ms) = entry.deadline_ms() {
        out.opcode(opcode::EXPIRETIME_MS);
        out.millis(deadline_ms);
    }
    if options.policy.is_lru() {
        let idle_ms = evict::idle_ms(entry.access(), options.now_ms);
        out.opcode(opcode::IDLE);
        out.length((idle_ms / 1000) as u64);
    } else if options.policy.is_lfu() {
        let access = entry.access();
        out.opcode(opcode::FREQ);
        out.opcode(evict::decayed(access, options.now_ms, options.lfu_decay_min) as u8);
    }
    out.opcode(type_of(entry));
    out.string(entry.key());
    put_content(out, entry);
}

/// Appends a value with its type, as it stands in a payload of DUMP.
pub fn put_value(out: &mut Writer, entry: EntryRef<'_>) {
    out.opcode(type_of(entry));
    put_content(out, entry);
}

/// The form in which a value is written.
fn type_of(entry: EntryRef<'_>) -> u8 {
    match entry.kind() {
        Kind::Int | Kind::Embedded | Kind::Inline | Kind::Heap => opcode::STRING,
        Kind::ListPacked => opcode::LIST_QUICKLIST_2,
        Kind::HashPacked => opcode::HASH_LISTPACK,
        Kind::HashPackedTtl => opcode::HASH_LISTPACK_EX,
        Kind::SetInts => opcode::SET_INTSET,
        // Redis 7.0 knows no set that is a listpack.
        Kind::SetPacked => opcode::SET,
        Kind::ZsetPacked => opcode::ZSET_LISTPACK,
        Kind::Object => match entry.object() {
            Object::List(_) => opcode::LIST_QUICKLIST_2,
            Object::Hash(hash) if hash.has_deadlines() => opcode::HASH_METADATA,
            Object::Hash(_) => opcode::HASH,
            Object::Set(_) => opcode::SET,
            Object::Zset(_) => opcode::ZSET_2,
            Object::Stream(_) => opcode::STREAM_LISTPACKS_2,
        },
    }
}

fn put_content(out: &mut Writer, entry: EntryRef<'_>) {
    match entry.kind() {
        Kind::Int | Kind::Embedded | Kind::Inline | Kind::Heap => string::rdb::put(out, entry),
        Kind::ListPacked => list::rdb::put_packed(out, Packed::new(entry.packed())),
        Kind::HashPacked | Kind::ZsetPacked => put_listpack(out, Packed::new(entry.packed())),
        Kind::HashPackedTtl => hash::rdb::put_timed(out, entry),
        Kind::SetInts => set::rdb::put_ints(out, entry.packed()),
        Kind::SetPacked => set::rdb::put_packed(out, Packed::new(entry.packed())),
        Kind::Object => match entry.object() {
            Object::List(list) => list::rdb::put(out, list),
            Object::Hash(hash) => hash::rdb::put(out, hash),
            Object::Set(set) => set::rdb::put(out, set),
            Object::Zset(zset) => zset::rdb::put(out, zset),
            Object::Stream(stream) => super::stream::rdb::put(out, stream),
        },
    }
}

/// Appends a packed sequence as a listpack.
pub(super) fn put_listpack(out: &mut Writer, packed: Packed<'_>) {
    put_elements(out, packed.len(), packed.elements());
}

/// Appends elements as a listpack.
pub(super) fn put_elements(out: &mut Writer, count: usize, elements: &[u8]) {
    out.joined(&[&listpack::header(count, elements.len()), elements, &[listpack::END]]);
}

/// Reads a value of a type and hands it to `store`; gives nothing for a collection without elements,
/// which is no value.
///
/// # Errors
/// The type is unknown, the bytes are not right, or they are a module's.
#[inline]
pub fn read_value<T>(
    reader: &mut Reader<'_>,
    kind: u8,
    encodings: &Encodings,
    store: impl FnOnce(NewValue<'_>) -> T,
) -> Result<Option<T>, Error> {
    if kind == opcode::STRING {
        return string::rdb::read(reader, store).map(Some);
    }
    let value = read_collection(reader, kind, encodings)?;
    Ok(value.map(|value| match &value {
        Built::Packed(kind, bytes) => store(NewValue::Packed(*kind, bytes)),
        Built::Object(_) => match value {
            Built::Object(object) => store(NewValue::Object(object)),
            Built::Packed(..) => unreachable!("it was looked at"),
        },
    }))
}

/// A collection that was read.
pub(super) enum Built {
    /// A small one.
    Packed(Kind, Vec<u8>),
    /// A large one.
    Object(Box<Object>),
}

impl Built {
    pub(super) fn object(object: Object) -> Self {
        Self::Object(Box::new(object))
    }
}

fn read_collection(
    reader: &mut Reader<'_>,
    kind: u8,
    encodings: &Encodings,
) -> Result<Option<Built>, Error> {
    match kind {
        opcode::LIST | opcode::LIST_ZIPLIST | opcode::LIST_QUICKLIST | opcode::LIST_QUICKLIST_2 => {
            list::rdb::read(reader, kind, encodings.fill)
        }
        opcode::SET | opcode::SET_INTSET | opcode::SET_LISTPACK => {
            set::rdb::read(reader, kind, encodings.set)
        }
        opcode::ZSET | opcode::ZSET_2 | opcode::ZSET_ZIPLIST | opcode::ZSET_LISTPACK => {
            zset::rdb::read(reader, kind, encodings.zset)
        }
        opcode::HASH | opcode::HASH_ZIPMAP | opcode::HASH_ZIPLIST | opcode::HASH_LISTPACK => {
            hash::rdb::read(reader, kind, encodings.hash)
        }
        opcode::HASH_2_OR_METADATA_PRE_GA => hash::rdb::read_timed(reader, kind, encodings.hash),
        opcode::HASH_LISTPACK_EX_PRE_GA | opcode::HASH_METADATA | opcode::HASH_LISTPACK_EX
            if reader.dialect() == Dialect::Redis =>
        {
            hash::rdb::read_timed(reader, kind, encodings.hash)
        }
        opcode::STREAM_LISTPACKS | opcode::STREAM_LISTPACKS_2 | opcode::STREAM_LISTPACKS_3 => {
            super::stream::rdb::read(reader, kind)
        }
        opcode::MODULE_PRE_GA => Err(reader.refused("a module's value in a form before Redis 4.0")),
        opcode::MODULE_2 => {
            let name = module_name(reader.length()?);
            Err(reader.refused(format!("a value of the module type '{name}', which is not here")))
        }
        kind => Err(reader.corrupt(format!("a value of the unknown type {kind}"))),
    }
}

/// The name of a module's type, which its number holds in nine groups of six bits above the version.
pub fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const VERSION_BITS: u32 = 10;
    let group = |place: u32| (id >> (VERSION_BITS + 6 * place)) as usize & 0x3f;
    (0..9).rev().map(|place| char::from(LETTERS[group(place)])).collect()
}

/// A packed sequence of the elements of a listpack that is the next string.
pub(super) fn read_listpack(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let offset = reader.offset();
    let bytes = reader.string()?;
    from_listpack(&bytes).map_err(|reason| at(offset, reason))
}

/// A packed sequence of the elements of a listpack.
pub(super) fn from_listpack(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let checked = listpack::check(bytes)?;
    let packed = packed::from_elements(checked.count, checked.elements);
    if checked.is_canonical {
        return Ok(packed);
    }
    // Another server may find an integer that is written as a text; here it must be one.
    let mut elements = Vec::new();
    for item in Packed::new(&packed).items() {
        packed::append(&mut elements, packed::Item::of(&item.bytes()));
    }
    Ok(packed::from_elements(checked.count, &elements))
}

/// Something that is wrong at an offset.
pub(super) fn at(offset: u64, reason: &'static str) -> Error {
    Error::new(offset, larder_protocol::rdb::Reason::Corrupt(reason.into()))
}
