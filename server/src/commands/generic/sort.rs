//! SORT and SORT_RO: the elements of a list, set or sorted set in another order, or values that lie
//! under keys named after them.
//!
//! Elements are copied out first: what BY and GET look up may change what lies under any key, if only
//! because it is due. A pattern with a `*` stands for keys that only the data tells, so such a call
//! holds all shards ([`unnamed_keys`]).
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use crate::commands;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::access::Deadline;
use crate::keyspace::notify::Classes;
use crate::types::hash::{FieldValue, HashRef};
use crate::types::list::{self, Fill, ListRef};
use crate::types::packed::Item;
use crate::types::set::SetRef;
use crate::types::string::StringRef;
use crate::types::zset::ZsetRef;
use larder_protocol::number::{parse_f64, push_i64};
use larder_protocol::{Args, CommandError, Reply};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::ops::Range;

/// Elements of one effect where they are stored.
const EFFECT_ELEMENTS: usize = 1024;

/// What decides the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By<'a> {
    /// The elements.
    Element,
    /// What lies under the keys that a pattern names.
    Pattern(&'a [u8]),
    /// Nothing: they stay as they are.
    Nothing,
}

/// What a call asks for.
struct Options<'a> {
    by: By<'a>,
    get: Vec<&'a [u8]>,
    offset: i64,
    /// Below zero for all.
    count: i64,
    descending: bool,
    /// Whether bytes are compared, not numbers.
    alpha: bool,
    /// The argument that names the destination.
    store: Option<usize>,
}

/// Copied elements.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    /// Where each lies.
    spans: Vec<Range<usize>>,
}

impl<'a> Options<'a> {
    /// `may_read_all` tells whether the user may read whatever a pattern names.
    fn read(args: Args<'a>, read_only: bool, may_read_all: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            by: By::Element,
            get: Vec::new(),
            offset: 0,
            count: -1,
            descending: false,
            alpha: false,
            store: None,
        };
        let mut reader = args.reader(2);
        while reader.has_next() {
            let left = reader.remaining() - 1;
            if reader.keyword("asc") {
                options.descending = false;
            } else if reader.keyword("desc") {
                options.descending = true;
            } else if reader.keyword("alpha") {
                options.alpha = true;
            } else if left >= 2 && reader.keyword("limit") {
                (options.offset, options.count) = (reader.int(), reader.int());
            } else if !read_only && left >= 1 && reader.keyword("store") {
                options.store = Some(reader.position());
                reader.next();
            } else if left >= 1 && reader.keyword("by") {
                let pattern = reader.next();
                if pattern.contains(&b'*') && !may_read_all {
                    reader.fail(CommandError::SORT_BY_DENIED);
                }
                // A constant names one key for all, and then no later pattern counts.
                options.by = match options.by {
                    By::Element | By::Pattern(_) if pattern.contains(&b'*') => By::Pattern(pattern),
                    _ => By::Nothing,
                };
            } else if left >= 1 && reader.keyword("get") {
                options.get.push(reader.next());
                if !may_read_all {
                    reader.fail(CommandError::SORT_GET_DENIED);
                }
            } else {
                reader.fail(CommandError::SYNTAX);
            }
        }
        reader.finish()?;
        Ok(options)
    }

    /// Which of `len` elements in order are wanted.
    fn range(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(len).min(len - start);
        start..start + count
    }

    fn compare<T: PartialOrd + ?Sized>(&self, a: &T, b: &T) -> Ordering {
        let ordering = a.partial_cmp(b).unwrap_or(Ordering::Equal);
        if self.descending { ordering.reverse() } else { ordering }
    }
}

/// Whether the caller's user may read whatever a pattern names.
fn may_read_all_keys(call: &Call<'_>) -> bool {
    let identity = &call.session.identity;
    if identity.is_open(&call.node.acl.users) {
        return true;
    }
    match (identity.rules(), commands::find(call.row.name.as_bytes())) {
        (Some(rules), Some(command)) => rules.check_reading_all_keys(command, call.args),
        // A caller inside the process.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

impl Elements {
    fn push(&mut self, element: Item<'_>) {
        let start = self.bytes.len();
        match element {
            Item::Int(number) => push_i64(&mut self.bytes, number),
            Item::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
        }
        self.spans.push(start..self.bytes.len());
    }

    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.spans[index].clone()]
    }

    fn len(&self) -> usize {
        self.spans.len()
    }
}

/// SORT key \[BY pattern\] \[LIMIT offset count\] \[GET pattern ...\] \[ASC | DESC\] \[ALPHA\]
/// \[STORE destination\]
pub fn sort<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let options = Options::read(call.args, false, may_read_all_keys(call))?;
    let Some(destination) = options.store else { return reply(call, options) };
    let mut values = Elements::default();
    each_sorted(call, options, |value| match value {
        Some(FieldValue::Packed(item)) => values.push(item),
        Some(FieldValue::Entry(string)) => values.push(Item::Bytes(&string.bytes())),
        None => values.push(Item::Bytes(b"")),
    })?;
    let key = call.key(destination);
    store(call, key, &values);
    Ok(Reply::from(values.len()))
}

/// SORT_RO key \[BY pattern\] \[LIMIT offset count\] \[GET pattern ...\] \[ASC | DESC\] \[ALPHA\]
pub fn sort_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let options = Options::read(call.args, true, may_read_all_keys(call))?;
    reply(call, options)
}

/// The argument that names the destination of a SORT.
pub(super) fn destination(args: Args<'_>) -> Option<usize> {
    Options::read(args, false, true).ok()?.store
}

/// No argument names the keys behind a pattern.
pub(super) fn no_key(_: Args<'_>) -> Option<usize> {
    None
}

/// Whether a SORT looks under keys that a pattern names.
pub(super) fn unnamed_keys(args: Args<'_>) -> bool {
    let takes_pattern =
        |word: &[u8]| word.eq_ignore_ascii_case(b"by") || word.eq_ignore_ascii_case(b"get");
    let words = args.skip(2).iter().zip(args.skip(3));
    words.into_iter().any(|(word, next)| takes_pattern(word) && next.contains(&b'*'))
}

fn reply(call: &mut Call<'_>, options: Options<'_>) -> CommandResult<'static> {
    let mut values = Vec::new();
    each_sorted(call, options, |value| {
        values.push(value.map_or(Reply::Null, |value| value.reply().into_owned()));
    })?;
    Ok(Reply::Array(values))
}

/// Shows `visit` the elements in order, or what GET makes of them; nothing for what is not there.
fn each_sorted(
    call: &mut Call<'_>,
    mut options: Options<'_>,
    mut visit: impl FnMut(Option<FieldValue<'_>>),
) -> Result<(), CommandError> {
    let (elements, range) = load(call, &mut options)?;
    let order = order(call, &options, &elements)?;
    for &index in &order[range] {
        let element = elements.get(index);
        let itself = FieldValue::Packed(Item::Bytes(element));
        if options.get.is_empty() {
            visit(Some(itself));
        }
        for pattern in &options.get {
            match *pattern {
                b"#" => visit(Some(itself)),
                pattern => visit(value_behind(call, pattern, element)),
            }
        }
    }
    Ok(())
}

/// Copies the elements; tells which of them are wanted once they are in order.
fn load(
    call: &mut Call<'_>,
    options: &mut Options<'_>,
) -> Result<(Elements, Range<usize>), CommandError> {
    let mut elements = Elements::default();
    let key = call.key(1);
    let Some(entry) = call.db.find(key) else { return Ok((elements, 0..0)) };
    if let Ok(set) = SetRef::of(entry) {
        // The log must say the same for every order in which a set may lie.
        let must_be_certain = options.store.is_some() || call.session.scripted;
        if options.by == By::Nothing && must_be_certain {
            (options.by, options.alpha) = (By::Element, true);
        }
        set.each(|member| elements.push(member));
        let range = options.range(elements.len());
        return Ok((elements, range));
    }
    let (list, zset) = (ListRef::of(entry), ZsetRef::of(entry));
    let len = match (&list, &zset) {
        (Ok(list), _) => list.len(),
        (_, Ok(zset)) => zset.len(),
        _ => return Err(CommandError::WRONG_TYPE),
    };
    let mut range = options.range(len);
    // They have an order of their own: when that is to stay, only the range is copied.
    let (mut wanted, mut backwards) = (0..len, false);
    if options.by == By::Nothing {
        backwards = options.descending;
        wanted = if backwards { len - range.end..len - range.start } else { range.clone() };
        range = 0..range.len();
    }
    if let Ok(list) = list {
        list.each_in(wanted, |element| elements.push(element));
        if backwards {
            elements.spans.reverse();
        }
    } else if let Ok(zset) = zset {
        zset.each(wanted, backwards, |member, _| elements.push(member));
    }
    Ok((elements, range))
}

/// The indices of the elements in order.
fn order(
    call: &mut Call<'_>,
    options: &Options<'_>,
    elements: &Elements,
) -> Result<Vec<usize>, CommandError> {
    let mut order: Vec<usize> = (0..elements.len()).collect();
    let by_element = |a: usize, b: usize| options.compare(elements.get(a), elements.get(b));
    match (options.by, options.alpha) {
        (By::Nothing, _) => {}
        (By::Element, true) => order.sort_by(|a, b| by_element(*a, *b)),
        (By::Pattern(pattern), true) => {
            let mut weights = Vec::with_capacity(order.len());
            for index in 0..order.len() {
                let value = value_behind(call, pattern, elements.get(index));
                weights.push(value.map(|value| value.bytes().into_owned()));
            }
            order.sort_by(|a, b| options.compare(&weights[*a], &weights[*b]));
        }
        (by, false) => {
            // Redis 8 also takes numbers that are too large or too small, and what a primary did is not
            // for us to judge.
            let obeys = call.session.applies;
            let mut weights = Vec::with_capacity(order.len());
            for index in 0..order.len() {
                let element = elements.get(index);
                weights.push(match by {
                    By::Pattern(pattern) => {
                        let value = value_behind(call, pattern, element);
                        value.map_or(Some(0.0), |value| weight_of(value, obeys))
                    }
                    _ => weight(element, obeys),
                });
            }
            let weights: Option<Vec<f64>> = weights.into_iter().collect();
            let weights = weights.ok_or(CommandError::SORT_NOT_FLOAT)?;
            order.sort_by(|a, b| {
                options.compare(&weights[*a], &weights[*b]).then_with(|| by_element(*a, *b))
            });
        }
    }
    Ok(order)
}

fn weight_of(value: FieldValue<'_>, obeys: bool) -> Option<f64> {
    match value {
        FieldValue::Packed(Item::Int(number)) => Some(number as f64),
        FieldValue::Packed(Item::Bytes(text)) => weight(text, obeys),
        FieldValue::Entry(string) => match string.integer() {
            Ok(number) => Some(number as f64),
            Err(_) => weight(&string.bytes(), obeys),
        },
    }
}

/// A number as C reads it: behind blanks and up to a NUL, and nothing is zero; in any range if it
/// `obeys`.
fn weight(text: &[u8], obeys: bool) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    match text.iter().position(|byte| !blank(byte)) {
        Some(start) => parse_f64(&text[start..]).or_else(|| {
            let text = obeys.then(|| std::str::from_utf8(&text[start..]).ok()).flatten()?;
            text.parse().ok().filter(|number: &f64| !number.is_nan())
        }),
        None => text.is_empty().then_some(0.0),
    }
}

/// What lies under the key, or in the field after `->` of the hash, that a pattern names for an
/// element.
fn value_behind<'c>(
    call: &'c mut Call<'_>,
    pattern: &[u8],
    element: &[u8],
) -> Option<FieldValue<'c>> {
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (before, mut behind) = (&pattern[..star], &pattern[star + 1..]);
    let mut field: &[u8] = b"";
    if let Some(arrow) = behind.windows(2).position(|two| two == b"->")
        && arrow + 2 < behind.len()
    {
        (behind, field) = (&behind[..arrow], &behind[arrow + 2..]);
    }
    let mut name = SmallVec::<[u8; 128]>::from_slice(before);
    name.extend_from_slice(element);
    name.extend_from_slice(behind);
    let key = call.db.keyspace().key(&name);
    let entry = call.db.find(key)?;
    if field.is_empty() {
        return Some(FieldValue::Entry(StringRef::of(entry).ok()?));
    }
    HashRef::of(entry).ok()?.get(field)
}

/// Puts a list of the values under a key, or removes it when there are none. The effect is the list:
/// what the weights of others are is not in the log, and where they are equal there is no order.
fn store(call: &mut Call<'_>, key: Key<'_>, values: &Elements) {
    let values: Vec<&[u8]> = (0..values.len()).map(|index| values.get(index)).collect();
    if !values.is_empty() {
        let fill = Fill(call.settings.list_max_listpack_size);
        list::with_result(&values, fill, |value| call.db.set(key, value, Deadline::Clear));
        call.changed(Classes::LIST, "sortstore", key);
        // Once what was due is gone: that is told first.
        call.effects_of_new(&[b"RPUSH", key.bytes], &values, EFFECT_ELEMENTS);
        call.db.changes.dirty += values.len() as u64 - 1;
    } else if call.db.remove(key) {
        call.effect(&[b"DEL", key.bytes]);
        call.changed(Classes::GENERIC, "del", key);
    }
}
