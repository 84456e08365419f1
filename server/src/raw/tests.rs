//! The table and its entries against a plain map, and proof that neither loses memory.
//!
//! An allocator that counts per thread watches every test in here: what a table took is given back,
//! whatever happened to it. Keys collide in their tags on purpose, since a real hash hardly ever
//! makes them.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The system's allocator, counting the bytes that the calling thread holds.
struct Counting;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Fails while the thread ends, when nobody asks any more.
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs a test body and fails if memory is left over.
fn without_leak<T>(body: impl FnOnce() -> T) -> T {
    let before = LIVE_BYTES.get();
    let result = body();
    assert_eq!(LIVE_BYTES.get() - before, 0, "bytes that nobody freed");
    result
}

/// What an entry should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    tag: u32,
    bytes: Vec<u8>,
    kind: Kind,
    deadline_ms: Option<i64>,
    access: u32,
}

fn bytes_of(entry: EntryRef<'_>) -> Vec<u8> {
    match entry.value() {
        Value::Int(number) => number.to_string().into_bytes(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Heap(string) => string.as_ref().to_vec(),
        Value::Packed(_) | Value::Object(_) => unreachable!("the models hold strings"),
    }
}

fn heap_bytes(old: &Detached) -> Vec<u8> {
    match old {
        Detached::String(string) => string.as_ref().to_vec(),
        Detached::Object(_) => unreachable!("the models hold strings"),
    }
}

fn model_of(tag: u32, entry: EntryRef<'_>) -> Model {
    Model {
        tag,
        bytes: bytes_of(entry),
        kind: entry.kind(),
        deadline_ms: entry.deadline_ms(),
        access: entry.access(),
    }
}

/// A value in the form in which it is stored.
#[derive(Clone, Debug)]
enum Written {
    Int(i64),
    Bytes(Vec<u8>),
    Raw(Vec<u8>),
    /// A heap string that something else, a reply for example, holds as well.
    Shared(Vec<u8>),
}

/// The longest string that is stored as `embstr`, as in Redis.
const EMBEDDED_MAX_BYTES: usize = 44;

impl Written {
    fn expected(&self) -> (Vec<u8>, Kind) {
        match self {
            Self::Int(number) => (number.to_string().into_bytes(), Kind::Int),
            Self::Bytes(bytes) if bytes.len() <= EMBEDDED_MAX_BYTES => {
                (bytes.clone(), Kind::Embedded)
            }
            Self::Bytes(bytes) | Self::Raw(bytes) => (bytes.clone(), edited_kind(bytes)),
            Self::Shared(bytes) => (bytes.clone(), Kind::Heap),
        }
    }

    /// Hands the value to `store`.
    fn store<T>(&self, shared: &mut Vec<HeapString>, store: impl FnOnce(NewValue<'_>) -> T) -> T {
        match self {
            Self::Int(number) => store(NewValue::Int(*number)),
            Self::Bytes(bytes) => store(NewValue::Bytes(bytes)),
            Self::Raw(bytes) => store(NewValue::Raw(bytes.clone())),
            Self::Shared(bytes) => {
                let string = heap_string(bytes);
                shared.push(string.clone());
                store(NewValue::Heap(string))
            }
        }
    }
}

/// A heap string of any length; only an entry can make one.
fn heap_string(bytes: &[u8]) -> HeapString {
    let mut table = Table::default();
    let long = vec![0; INLINE_MAX_BYTES + 1];
    let at = table.insert(0, Entry::new(b"", NewValue::Raw(long), None, 0));
    table.get_mut(at).edit(|value| bytes.clone_into(value));
    match table.get(at).value() {
        Value::Heap(string) => string,
        other => panic!("an edited heap string stays one: {other:?}"),
    }
}

fn edited_kind(bytes: &[u8]) -> Kind {
    if bytes.len() <= INLINE_MAX_BYTES { Kind::Inline } else { Kind::Heap }
}

/// Keys are few, so that operations meet; their lengths cross the one-byte length's end.
const KEYS: usize = 48;

fn key_bytes(key: usize) -> Vec<u8> {
    let mut bytes = key.to_string().into_bytes();
    match key % 5 {
        0 if key == 0 => bytes.clear(),
        1 => bytes.resize(127, b'.'),
        2 => bytes.resize(128, b'.'),
        3 => bytes.resize(40, b'.'),
        _ => {}
    }
    bytes
}

/// How a run gives keys their tags.
#[derive(Clone, Copy, Debug)]
enum Tags {
    /// Spread over the table.
    Spread,
    /// Three tags for all: the first, the last, and one between.
    Few,
    /// One tag for all, the last: long runs that wrap around the end of the table.
    One,
}

const LAST_TAG: u32 = (1 << TAG_BITS) - 1;

impl Tags {
    fn of(self, key: usize) -> u32 {
        match self {
            Self::Spread => (key as u32).wrapping_mul(0x9e37_79b9) >> (u32::BITS - TAG_BITS),
            Self::Few => [0, LAST_TAG, 77_777][key % 3],
            Self::One => LAST_TAG,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Written, Option<i64>, u32),
    Remove(usize),
    SetDeadline(usize, Option<i64>),
    SetAccess(usize, u32),
    Append(usize, Vec<u8>),
    Truncate(usize, usize),
    Rename(usize, usize),
    Duplicate(usize, usize),
    PanicInEdit(usize),
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..80_usize, 126..130_usize, INLINE_MAX_BYTES - 2..INLINE_MAX_BYTES + 3, Just(5000),]
}

fn written() -> impl Strategy<Value = Written> {
    let bytes = || (length(), any::<u8>()).prop_map(|(len, fill)| vec![fill; len]);
    prop_oneof![
        prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), 0..10_i64].prop_map(Written::Int),
        bytes().prop_map(Written::Bytes),
        bytes().prop_map(Written::Raw),
        bytes().prop_map(Written::Shared),
    ]
}

fn deadline() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        Just(None),
        any::<i64>().prop_map(Some),
        Just(Some(i64::MIN)),
        Just(Some(i64::MAX)),
        Just(Some(0)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let access = || 0..1_u32 << 24;
    prop_oneof![
        4 => (0..KEYS, written(), deadline(), access())
            .prop_map(|(key, value, deadline, access)| Step::Put(key, value, deadline, access)),
        2 => (0..KEYS).prop_map(Step::Remove),
        2 => (0..KEYS, deadline()).prop_map(|(key, deadline)| Step::SetDeadline(key, deadline)),
        1 => (0..KEYS, access()).prop_map(|(key, access)| Step::SetAccess(key, access)),
        2 => (0..KEYS, length())
            .prop_map(|(key, len)| Step::Append(key, vec![b'+'; len])),
        1 => (0..KEYS, length()).prop_map(|(key, len)| Step::Truncate(key, len)),
        1 => (0..KEYS, 0..KEYS).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (0..KEYS, 0..KEYS).prop_map(|(from, to)| Step::Duplicate(from, to)),
        1 => (0..KEYS).prop_map(Step::PanicInEdit),
    ]
}

/// A table beside the map it must agree with.
struct Pair {
    tags: Tags,
    table: Table,
    model: BTreeMap<usize, Model>,
    shared: Vec<HeapString>,
}

impl Pair {
    fn find(&self, key: usize) -> Option<Position> {
        self.table.find(self.tags.of(key), &key_bytes(key))
    }

    fn remove(&mut self, key: usize) -> Option<Entry> {
        let at = self.find(key)?;
        self.model.remove(&key);
        Some(self.table.remove(at))
    }

    fn edit(&mut self, key: usize, edit: impl Fn(&mut Vec<u8>)) {
        let Some(at) = self.find(key) else { return };
        self.table.get_mut(at).edit(|bytes| edit(bytes));
        let model = self.model.get_mut(&key).unwrap();
        edit(&mut model.bytes);
        if model.kind != Kind::Heap {
            model.kind = edited_kind(&model.bytes);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Put(key, value, deadline_ms, access) => {
                let tag = self.tags.of(*key);
                let (bytes, kind) = value.expected();
                match self.find(*key) {
                    Some(at) => {
                        let mut entry = self.table.get_mut(at);
                        let model = self.model.get_mut(key).unwrap();
                        let was_heap = model.kind == Kind::Heap;
                        let old = value.store(&mut self.shared, |value| entry.set_value(value));
                        let old = old.map(|old| heap_bytes(&old));
                        assert_eq!(old, was_heap.then(|| model.bytes.clone()));
                        (model.bytes, model.kind) = (bytes, kind);
                    }
                    None => {
                        let name = key_bytes(*key);
                        let entry = value.store(&mut self.shared, |value| {
                            Entry::new(&name, value, *deadline_ms, *access)
                        });
                        let at = self.table.insert(tag, entry);
                        assert_eq!(self.table.get(at).key(), name);
                        let (deadline_ms, access) = (*deadline_ms, *access);
                        self.model.insert(*key, Model { tag, bytes, kind, deadline_ms, access });
                    }
                }
            }
            Step::Remove(key) => {
                let expected = self.model.get(key).cloned();
                let entry = self.remove(*key);
                let tag = self.tags.of(*key);
                assert_eq!(entry.map(|entry| model_of(tag, entry.view())), expected);
            }
            Step::SetDeadline(key, deadline_ms) => {
                let Some(at) = self.find(*key) else { return };
                self.table.get_mut(at).set_deadline_ms(*deadline_ms);
                self.model.get_mut(key).unwrap().deadline_ms = *deadline_ms;
            }
            Step::SetAccess(key, access) => {
                let Some(at) = self.find(*key) else { return };
                self.table.get_mut(at).set_access(*access);
                self.model.get_mut(key).unwrap().access = *access;
            }
            Step::Append(key, tail) => self.edit(*key, |bytes| bytes.extend_from_slice(tail)),
            Step::Truncate(key, len) => self.edit(*key, |bytes| bytes.truncate(*len)),
            Step::Rename(from, to) => {
                if from == to || self.find(*from).is_none() {
                    return;
                }
                self.remove(*to);
                let mut model = self.model.get(from).cloned().unwrap();
                let entry = self.remove(*from).unwrap().renamed(&key_bytes(*to));
                model.tag = self.tags.of(*to);
                self.table.insert(model.tag, entry);
                self.model.insert(*to, model);
            }
            Step::Duplicate(from, to) => {
                if from == to || self.find(*from).is_none() {
                    return;
                }
                self.remove(*to);
                let mut model = self.model.get(from).cloned().unwrap();
                let source = self.table.get(self.find(*from).unwrap());
                let entry = Entry::duplicate(source, &key_bytes(*to), source.deadline_ms());
                model.tag = self.tags.of(*to);
                if model.kind == Kind::Heap {
                    model.kind = edited_kind(&model.bytes);
                }
                self.table.insert(model.tag, entry);
                self.model.insert(*to, model);
            }
            Step::PanicInEdit(key) => {
                let Some(at) = self.find(*key) else { return };
                let mut entry = self.table.get_mut(at);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    entry.edit(|bytes| {
                        bytes.push(b'!');
                        // Without the panic hook, whose message nobody wants to read.
                        std::panic::resume_unwind(Box::new(()));
                    });
                }));
                assert!(result.is_err());
                let model = self.model.get_mut(key).unwrap();
                if model.kind == Kind::Heap {
                    model.bytes.push(b'!');
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.model.len());
        assert_eq!(self.table.is_empty(), self.model.is_empty());
        assert!(self.table.len() <= self.table.capacity());
        for key in 0..KEYS {
            let found = self.find(key).map(|at| model_of(self.tags.of(key), self.table.get(at)));
            assert_eq!(found.as_ref(), self.model.get(&key), "key {key}");
        }
        let mut seen: Vec<_> =
            self.table.with_tags().map(|(tag, entry)| (tag, entry.key().to_vec())).collect();
        let mut expected: Vec<_> =
            self.model.iter().map(|(key, model)| (model.tag, key_bytes(*key))).collect();
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }
}

/// Miri takes a thousand times as long, so it gets less to do.
const SLOWNESS: usize = if cfg!(miri) { 10 } else { 1 };

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 8 } else { count },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_table_does_what_a_map_does(
        tags in prop_oneof![Just(Tags::Spread), Just(Tags::Few), Just(Tags::One)],
        steps in vec(step(), 1..200 / SLOWNESS),
    ) {
        without_leak(|| {
            let mut pair =
                Pair { tags, table: Table::default(), model: BTreeMap::new(), shared: Vec::new() };
            for step in &steps {
                pair.take(step);
                pair.check();
            }
            // Strings that something else shares outlive the table, whole.
            let shared = std::mem::take(&mut pair.shared);
            drop(pair);
            assert!(shared.iter().all(|string| string.to_bytes().len() == string.as_ref().len()));
        });
    }

    /// A key that stays during a whole scan is shown exactly once, whatever else comes and goes;
    /// nothing is shown twice.
    #[test]
    fn a_scan_shows_every_key_that_stays_exactly_once(
        tags in vec(0..=LAST_TAG, 1..300 / SLOWNESS),
        collide in any::<bool>(),
        crowd in vec((0..4000_usize, any::<bool>()), 1..60),
        start_with_crowd in any::<bool>(),
    ) {
        without_leak(|| {
            let mut table = Table::default();
            for (number, tag) in tags.iter().enumerate() {
                let tag = if collide { tag & !0xffff } else { *tag };
                let key = format!("stay{number}");
                table.insert(tag, Entry::new(key.as_bytes(), NewValue::Int(0), None, 0));
            }
            let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
            let mut came = 0_u32;
            let mut changes = crowd.iter().cycle();
            let (mut from, mut steps) = (Some(0), 0);
            while let Some(tag) = from {
                steps += 1;
                if steps > 1 || start_with_crowd {
                    let (many, grow) = changes.next().unwrap();
                    // The table of one shard seldom changes by more between two steps.
                    // Bounded, since a table that outgrows the scan is scanned for ever.
                    if *grow && came < 3000 / SLOWNESS as u32 {
                        for _ in 0..many / 10 / SLOWNESS {
                            let tag = came.wrapping_mul(0x9e37_79b9) >> (u32::BITS - TAG_BITS);
                            let key = format!("come{came}");
                            table.insert(tag, Entry::new(key.as_bytes(), NewValue::Int(0), None, 0));
                            came += 1;
                        }
                    } else {
                        let gone: Vec<_> = table
                            .with_tags()
                            .filter(|(_, entry)| entry.key().starts_with(b"come"))
                            .take(*many)
                            .map(|(tag, entry)| (tag, entry.key().to_vec()))
                            .collect();
                        for (tag, key) in gone {
                            let at = table.find(tag, &key).unwrap();
                            drop(table.remove(at));
                        }
                    }
                }
                from = table.scan(tag, |entry| {
                    *seen.entry(entry.key().to_vec()).or_default() += 1;
                });
                assert!(from.is_none_or(|next| next > tag), "a scan moves on");
            }
            for number in 0..tags.len() {
                assert!(seen.contains_key(format!("stay{number}").as_bytes()), "stay{number}");
            }
            assert!(seen.values().all(|times| *times == 1));
        });
    }

    #[test]
    fn blocks_are_the_size_classes_of_the_allocator(bytes in 1_usize..1 << 40) {
        let block = block_bytes(bytes);
        prop_assert!(block >= bytes && block.is_multiple_of(16));
        prop_assert_eq!(block_bytes(block), block, "a whole block is its own class");
        prop_assert!(block_bytes(bytes + 1) >= block);
        // At most a fifth is lost to the class, beyond the sixteen-byte steps.
        prop_assert!(block - bytes < 16 || (block - bytes) * 5 <= block);
    }
}

#[test]
fn small_blocks_have_known_sizes() {
    let classes: Vec<_> =
        (1..=512).map(block_bytes).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let expected = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512];
    assert_eq!(classes, expected);
    assert_eq!(block_bytes(0), 0);
}

#[test]
fn sizes_at_their_ends() {
    without_leak(|| {
        let keys =
            [vec![], vec![b'k'; 127], vec![b'k'; 128], vec![b'k'; 16_383], vec![b'k'; 65_536]];
        let lengths = [0, 1, 43, 44, 45, 127, 128, 1023, 1024, 1025, 65_536];
        for key in &keys {
            for len in lengths {
                for deadline_ms in [None, Some(i64::MIN), Some(-1), Some(0), Some(i64::MAX)] {
                    let value = vec![b'v'; len];
                    let access = 0x00ff_ffff;
                    let entry = Entry::new(key, NewValue::string(&value), deadline_ms, access);
                    let view = entry.view();
                    assert_eq!((view.key(), bytes_of(view)), (&key[..], value.clone()));
                    assert_eq!((view.deadline_ms(), view.access()), (deadline_ms, access));
                    let inline = view.kind() != Kind::Heap;
                    assert_eq!(inline, len <= INLINE_MAX_BYTES);
                    assert_eq!(view.string_bytes(), Some(&value[..]));
                    let content_bytes = 4 + key.len() + if inline { len } else { 0 };
                    assert!(view.size_bytes() >= content_bytes + if inline { 0 } else { len });
                }
            }
        }
    });
}

#[test]
fn what_is_a_number_is_kept_as_one() {
    for (text, number) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-0", None),
        ("01", None),
        ("+1", None),
        ("1 ", None),
        ("", None),
        ("-", None),
        ("1.0", None),
    ] {
        match (NewValue::string(text.as_bytes()), number) {
            (NewValue::Int(found), Some(number)) => assert_eq!(found, number),
            (NewValue::Bytes(bytes), None) => assert_eq!(bytes, text.as_bytes()),
            (other, _) => panic!("{text:?} became {other:?}"),
        }
    }
}

#[test]
fn a_value_grows_into_the_slack_of_its_block() {
    without_leak(|| {
        let mut table = Table::default();
        let at = table.insert(5, Entry::new(b"key", NewValue::Bytes(b"x"), None, 0));
        let block = table.get(at).key().as_ptr();
        let size = table.get(at).size_bytes();
        table.get_mut(at).set_value(NewValue::Bytes(b"xxxx"));
        assert_eq!((table.get(at).key().as_ptr(), table.get(at).size_bytes()), (block, size));
        table.get_mut(at).set_value(NewValue::Bytes(&[b'x'; 40]));
        assert!(table.get(at).size_bytes() > size);
    });
}

#[test]
fn an_edit_leaves_a_shared_string_alone() {
    without_leak(|| {
        let mut table = Table::default();
        let at = table.insert(5, Entry::new(b"key", NewValue::Raw(vec![b'a'; 2000]), None, 0));
        let Value::Heap(reply) = table.get(at).value() else {
            panic!("2000 bytes are on the heap")
        };
        let bytes = reply.to_bytes();
        table.get_mut(at).edit(|value| value[0] = b'b');
        assert_eq!((bytes[0], reply.as_ref()[0]), (b'a', b'a'));
        assert_eq!(table.get(at).string_bytes().unwrap()[0], b'b');
        // Alone again, it is edited where it is.
        drop((reply, bytes));
        let place = table.get(at).string_bytes().unwrap().as_ptr();
        table.get_mut(at).edit(|value| value[0] = b'c');
        assert_eq!(table.get(at).string_bytes().unwrap().as_ptr(), place);
    });
}

#[test]
fn an_old_heap_string_can_be_dropped_later() {
    without_leak(|| {
        let mut table = Table::default();
        let at = table.insert(5, Entry::new(b"key", NewValue::Raw(vec![b'a'; 2000]), None, 0));
        let old = table.get_mut(at).set_value(NewValue::Int(1));
        drop(table);
        assert_eq!(heap_bytes(&old.unwrap()).len(), 2000);
    });
}

#[test]
fn a_table_shrinks_with_its_keys() {
    without_leak(|| {
        let mut table = Table::default();
        assert_eq!(table.size_bytes(), 0, "an empty shard costs nothing");
        let tag = |number: u32| number.wrapping_mul(0x9e37_79b9) >> (u32::BITS - TAG_BITS);
        let key = |number: u32| number.to_string().into_bytes();
        let keys = if cfg!(miri) { 500 } else { 20_000 };
        for number in 0..keys {
            table.insert(tag(number), Entry::new(&key(number), NewValue::Int(0), None, 0));
            let slots = table.size_bytes() / 8;
            assert!(table.len() < 64 || table.len() * 3 >= slots * 2, "two thirds are in use");
        }
        for number in 0..keys {
            let at = table.find(tag(number), &key(number)).unwrap();
            drop(table.remove(at));
            let slots = table.size_bytes() / 8;
            assert!(slots <= 8 || table.len() * 4 >= slots, "a quarter is in use");
        }
        assert_eq!(table.size_bytes(), 64);
    });
}

#[test]
fn a_tag_finds_the_one_that_is_wanted() {
    let mut table = Table::default();
    for number in 0..100_i64 {
        let key = number.to_string();
        let tag = if number % 2 == 0 { LAST_TAG } else { 3 };
        table.insert(tag, Entry::new(key.as_bytes(), NewValue::Int(0), Some(number), 0));
    }
    for number in 0..100 {
        let tag = if number % 2 == 0 { LAST_TAG } else { 3 };
        let wanted = |entry: EntryRef<'_>| entry.deadline_ms() == Some(number);
        let at = table.find_tag(tag, wanted).unwrap();
        assert_eq!(table.get(at).key(), number.to_string().as_bytes());
        assert!(table.find_tag(tag ^ 1, wanted).is_none());
    }
    assert!(Table::default().find_tag(0, |_| true).is_none());
}

#[test]
fn a_sample_shows_distinct_keys() {
    let mut table = Table::default();
    table.sample(0, 10, |_, _| panic!("there is nothing to show"));
    for number in 0..100_u32 {
        let key = number.to_string();
        table.insert(number << 13, Entry::new(key.as_bytes(), NewValue::Int(0), None, 0));
    }
    for random in [0, 1, u64::MAX / 3, u64::MAX] {
        for count in [1, 20, 100, 1000] {
            let mut seen = HashSet::new();
            table.sample(random, count, |at, entry| {
                assert_eq!(table.get(at).key(), entry.key());
                assert!(seen.insert(entry.key().to_vec()));
            });
            assert_eq!(seen.len(), count.min(100));
        }
    }
}

#[test]
fn every_place_can_be_looked_at() {
    let mut table = Table::default();
    assert!(table.at(0).is_none());
    for number in 0..40_u32 {
        let key = number.to_string();
        table.insert(number << 15, Entry::new(key.as_bytes(), NewValue::Int(0), None, 0));
    }
    let picked: HashSet<_> = (0..table.places() + 1)
        .filter_map(|place| table.at(place))
        .map(|entry| entry.key().to_vec())
        .collect();
    assert_eq!(picked.len(), 40);
}

#[test]
fn entries_go_from_thread_to_thread() {
    let mut table = Table::default();
    table.insert(9, Entry::new(b"key", NewValue::Raw(vec![b'a'; 2000]), Some(7), 1));
    let entry = std::thread::spawn(move || {
        let at = table.find(9, b"key").unwrap();
        table.remove(at)
    });
    let entry = entry.join().unwrap();
    assert_eq!((entry.view().key(), entry.view().deadline_ms()), (&b"key"[..], Some(7)));
}

#[test]
fn removal_in_the_order_of_tags_leaves_no_long_runs() {
    // Tables that shrank all the same took minutes for this: what was left filled one end of them.
    let mut table = Table::default();
    let key = |number: u32| number.to_le_bytes();
    let tag = |number: u32| number.wrapping_mul(0x9e37_79b1) >> (u32::BITS - TAG_BITS);
    let mut numbers: Vec<u32> = (0..60_000).collect();
    for number in &numbers {
        table.insert(tag(*number), Entry::new(&key(*number), NewValue::Int(0), None, 0));
    }
    let full_bytes = table.size_bytes();
    numbers.sort_by_key(|number| tag(*number));
    for (removed, number) in numbers.iter().enumerate() {
        let at = table.find(tag(*number), &key(*number)).expect("it is still there");
        table.remove(at);
        assert!(removed < 59_990 || table.size_bytes() < full_bytes, "{removed}");
    }
    assert!(table.is_empty());
    assert!(table.size_bytes() <= 64, "{}", table.size_bytes());
}
