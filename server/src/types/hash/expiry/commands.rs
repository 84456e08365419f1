//! The commands for deadlines of fields.
//!
//! Errors, replies and events are those of Redis 8. Effects name instants, never spans: what expires
//! here and there expires at the same time, and a deadline that has passed is the removal it means.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::{is_empty, set_deadline};
use crate::commands::generic::expire::Condition;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::types::hash::commands::{found, store};
use crate::types::hash::{HashRef, Old, remove};
use larder_protocol::number::parse_i64;
use larder_protocol::{Args, CommandError, Reply};
use smallvec::SmallVec;

/// Milliseconds in a second.
const SECOND_MS: i64 = 1000;
/// The last instant at which Redis lets a field expire.
const LAST_MS: i64 = (1 << 46) - 1;

/// What a command answers for a field that is not there.
const NO_FIELD: i64 = -2;
/// What a command answers for a field without a deadline.
const NO_DEADLINE: i64 = -1;
/// What HEXPIRE answers when its condition does not hold.
const REFUSED: i64 = 0;
/// What HEXPIRE and HPERSIST answer when they did what they should.
const DONE: i64 = 1;
/// What HEXPIRE answers when the field is gone at once.
const GONE: i64 = 2;

/// HEXPIRE key seconds \[NX | XX | GT | LT\] FIELDS numfields field \[field ...\]
pub fn hexpire<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    expire(call, Span { unit_ms: SECOND_MS, base_ms: call.now_ms() })
}

/// HPEXPIRE key milliseconds \[NX | XX | GT | LT\] FIELDS numfields field \[field ...\]
pub fn hpexpire<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    expire(call, Span { unit_ms: 1, base_ms: call.now_ms() })
}

/// HEXPIREAT key unix-time-seconds \[NX | XX | GT | LT\] FIELDS numfields field \[field ...\]
pub fn hexpireat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    expire(call, Span { unit_ms: SECOND_MS, base_ms: 0 })
}

/// HPEXPIREAT key unix-time-milliseconds \[NX | XX | GT | LT\] FIELDS numfields field \[field ...\]
pub fn hpexpireat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    expire(call, Span { unit_ms: 1, base_ms: 0 })
}

/// HTTL key FIELDS numfields field \[field ...\]
pub fn httl<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    show(call, Span { unit_ms: SECOND_MS, base_ms: call.now_ms() })
}

/// HPTTL key FIELDS numfields field \[field ...\]
pub fn hpttl<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    show(call, Span { unit_ms: 1, base_ms: call.now_ms() })
}

/// HEXPIRETIME key FIELDS numfields field \[field ...\]
pub fn hexpiretime<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    show(call, Span { unit_ms: SECOND_MS, base_ms: 0 })
}

/// HPEXPIRETIME key FIELDS numfields field \[field ...\]
pub fn hpexpiretime<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    show(call, Span { unit_ms: 1, base_ms: 0 })
}

/// HPERSIST key FIELDS numfields field \[field ...\]
pub fn hpersist<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    check_type(call, key)?;
    let fields = fields(call.args, 2, CommandError::FIELD_COUNT_NOT_POSITIVE)?;
    let Some(mut entry) = call.db.find_for_write(key) else { return all(fields, NO_FIELD) };
    let answers = entry.edit_fields(|entry| {
        each(fields, |field| {
            Ok(match HashRef::of(entry.view())?.deadline_of(field) {
                None => NO_FIELD,
                Some(None) => NO_DEADLINE,
                Some(Some(_)) => {
                    set_deadline(entry, field, None);
                    DONE
                }
            })
        })
    })?;
    if answers.contains(&DONE) {
        call.changed(Classes::HASH, "hpersist", key);
    }
    reply(&answers)
}

/// HGETEX key \[EX s | PX ms | EXAT s | PXAT ms | PERSIST\] FIELDS numfields field \[field ...\]
pub fn hgetex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    check_type(call, key)?;
    let mut at = 2;
    let (mut until, mut persists) = (None, false);
    if let Some(span) = Span::of(args.at(2), call.now_ms()) {
        until = Some(span.deadline_ms(call, args.at(3))?);
        at = 4;
    } else if args.at(2).eq_ignore_ascii_case(b"persist") {
        persists = true;
        at = 3;
    }
    if args.len() < at + 2 {
        return Err(CommandError::wrong_arity(call.row.name));
    }
    let fields = fields(args, at, CommandError::FIELD_COUNT_NOT_POSITIVE)?;
    let is_past = until.is_some_and(|until_ms| call.is_past(until_ms));
    let Some(mut entry) = call.db.find_for_write(key) else {
        return Ok(Reply::Array(fields.iter().map(|_| Reply::Null).collect()));
    };
    let (mut values, mut changed) = (Vec::with_capacity(fields.len()), Names::new());
    entry.edit_fields(|entry| {
        for field in fields {
            let hash = HashRef::of(entry.view())?;
            let value = hash.get(field).map(|value| value.reply().into_owned());
            let deadline_ms = hash.deadline_of(field).flatten();
            let is_there = value.is_some();
            values.push(value.unwrap_or(Reply::Null));
            if !is_there || !(until.is_some() || persists && deadline_ms.is_some()) {
                continue;
            }
            if is_past {
                remove(entry, field);
            } else {
                set_deadline(entry, field, until);
            }
            changed.push(field);
        }
        Ok::<_, CommandError>(())
    })?;
    if is_past {
        removed(call, key, &changed);
        call.db.tally.expired_fields += changed.len() as u64;
    } else if let Some(until_ms) = until {
        moved(call, key, until_ms, &changed);
    } else if !changed.is_empty() {
        call.changed(Classes::HASH, "hpersist", key);
        call.db.changes.dirty += changed.len() as u64 - 1;
        effect(call, &[b"HPERSIST", key.bytes], &changed);
    }
    Ok(Reply::Array(values))
}

/// HGETDEL key FIELDS numfields field \[field ...\]
pub fn hgetdel<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    check_type(call, key)?;
    let fields = fields(call.args, 2, CommandError::FIELD_COUNT_NOT_POSITIVE)?;
    let (mut values, mut gone) = (Vec::with_capacity(fields.len()), Names::new());
    let Some(mut entry) = call.db.find_for_write(key) else {
        return Ok(Reply::Array(fields.iter().map(|_| Reply::Null).collect()));
    };
    entry.edit_fields(|entry| {
        for field in fields {
            let value = HashRef::of(entry.view())?.get(field);
            let value = value.map(|value| value.reply().into_owned());
            if remove(entry, field) {
                gone.push(field);
            }
            values.push(value.unwrap_or(Reply::Null));
        }
        Ok::<_, CommandError>(())
    })?;
    removed(call, key, &gone);
    Ok(Reply::Array(values))
}

/// HSETEX key \[FNX | FXX\] \[EX s | PX ms | EXAT s | PXAT ms | KEEPTTL\] FIELDS numfields field value
/// \[field value ...\]
pub fn hsetex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let options = SetOptions::read(call)?;
    check_type(call, key)?;
    let pairs: SmallVec<[&[u8]; 16]> = options.pairs.iter().collect();
    let names: Names<'_> = pairs.iter().copied().step_by(2).collect();
    if !options.allows(call, key, &names)? {
        return Ok(Reply::Int(0));
    }
    let old = if options.keeps { Old::Keep } else { Old::Clear };
    store(call, key, &pairs, old)?;
    let db = call.db.db();
    call.db.changes.event(Classes::HASH, "hset", db, key.bytes);
    call.db.touched(key);
    call.db.changes.dirty += names.len() as u64;
    let Some(until_ms) = options.until_ms else {
        if options.keeps {
            effect(call, &[b"HSETEX", key.bytes, b"KEEPTTL"], &pairs);
        } else {
            let head: [&[u8]; 2] = [b"HSET", key.bytes];
            let command: Vec<&[u8]> = head.into_iter().chain(pairs.iter().copied()).collect();
            call.effect(&command);
        }
        return Ok(Reply::Int(1));
    };
    let is_past = call.is_past(until_ms);
    if let Some(mut entry) = call.db.find_for_write(key) {
        entry.edit_fields(|entry| {
            for field in &names {
                if is_past {
                    remove(entry, field);
                } else {
                    set_deadline(entry, field, Some(until_ms));
                }
            }
        });
    }
    if is_past {
        announce_removal(call, key);
        effect_of_removal(call, key, &names);
        call.db.tally.expired_fields += names.len() as u64;
    } else {
        call.db.changes.event(Classes::HASH, "hexpire", db, key.bytes);
        let until = itoa::Buffer::new().format(until_ms).to_owned();
        effect(call, &[b"HSETEX", key.bytes, b"PXAT", until.as_bytes()], &pairs);
    }
    Ok(Reply::Int(1))
}

/// Names of fields.
type Names<'a> = SmallVec<[&'a [u8]; 16]>;

/// How a command counts time.
#[derive(Clone, Copy)]
struct Span {
    unit_ms: i64,
    base_ms: i64,
}

impl Span {
    /// What one of the words EX, PX, EXAT, PXAT says.
    fn of(word: &[u8], now_ms: i64) -> Option<Self> {
        let words: [(&[u8], i64, i64); 4] = [
            (b"ex", SECOND_MS, now_ms),
            (b"px", 1, now_ms),
            (b"exat", SECOND_MS, 0),
            (b"pxat", 1, 0),
        ];
        let (_, unit_ms, base_ms) =
            words.into_iter().find(|(name, ..)| word.eq_ignore_ascii_case(name))?;
        Some(Self { unit_ms, base_ms })
    }

    /// The instant that so much time means.
    fn deadline_ms(self, call: &Call<'_>, amount: &[u8]) -> Result<i64, CommandError> {
        let amount = parse_i64(amount).ok_or(CommandError::NOT_INTEGER)?;
        if amount < 0 {
            return Err(CommandError::NEGATIVE_EXPIRE);
        }
        let span_ms = amount.checked_mul(self.unit_ms);
        let deadline_ms = span_ms.and_then(|ms| ms.checked_add(self.base_ms));
        deadline_ms
            .filter(|ms| *ms <= LAST_MS)
            .ok_or_else(|| CommandError::invalid_expire(call.row.name))
    }

    /// How much time it is until an instant; what has begun counts as whole.
    fn until(self, deadline_ms: i64) -> i64 {
        (deadline_ms + self.unit_ms - 1 - self.base_ms) / self.unit_ms
    }
}

/// What HSETEX is told before its fields.
struct SetOptions<'a> {
    /// FNX (false) or FXX (true): whether all fields must be there, or none.
    wants_present: Option<bool>,
    until_ms: Option<i64>,
    keeps: bool,
    pairs: Args<'a>,
}

impl<'a> SetOptions<'a> {
    fn read(call: &Call<'a>) -> Result<Self, CommandError> {
        let args = call.args;
        let mut options = Self {
            wants_present: None,
            until_ms: None,
            keeps: false,
            pairs: args.skip(args.len()),
        };
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let has_deadline = options.until_ms.is_some() || options.keeps;
            if is(b"fields") {
                options.pairs = pairs(call, at)?;
                return Ok(options);
            } else if is(b"fnx") || is(b"fxx") {
                if options.wants_present.replace(is(b"fxx")).is_some() {
                    return Err(CommandError::FIELD_CONDITIONS);
                }
            } else if is(b"keepttl") {
                if has_deadline {
                    return Err(CommandError::FIELD_DEADLINES);
                }
                options.keeps = true;
            } else if let Some(span) = Span::of(word, call.now_ms()) {
                if has_deadline {
                    return Err(CommandError::FIELD_DEADLINES);
                }
                at += 1;
                options.until_ms = Some(span.deadline_ms(call, args.at(at))?);
            } else {
                return Err(CommandError::quoting("ERR unknown argument: ", word, ""));
            }
            at += 1;
        }
        Err(CommandError::wrong_arity(call.row.name))
    }

    /// Whether the condition holds.
    fn allows(
        &self,
        call: &mut Call<'_>,
        key: Key<'_>,
        names: &[&[u8]],
    ) -> Result<bool, CommandError> {
        let Some(wanted) = self.wants_present else { return Ok(true) };
        let Some(mut entry) = call.db.find_for_write(key) else { return Ok(!wanted) };
        let hash = HashRef::of(entry.view())?;
        Ok(names.iter().all(|name| hash.get(name).is_some() == wanted))
    }
}

/// Fields each followed by its value, as HSETEX has them after FIELDS.
fn pairs<'a>(call: &Call<'a>, at: usize) -> Result<Args<'a>, CommandError> {
    let arity = || CommandError::wrong_arity(call.row.name);
    if at + 3 >= call.args.len() {
        return Err(arity());
    }
    let count =
        parse_i64(call.args.at(at + 1)).filter(|count| (1..=i32::MAX.into()).contains(count));
    let count = count.ok_or(CommandError::FIELD_COUNT_INVALID)?;
    let pairs = call.args.skip(at + 2);
    if pairs.len() as i64 == 2 * count { Ok(pairs) } else { Err(arity()) }
}

/// `FIELDS numfields field [field ...]` from argument `at` on, up to the end.
fn fields<'a>(
    args: Args<'a>,
    at: usize,
    not_positive: CommandError,
) -> Result<Args<'a>, CommandError> {
    if !args.at(at).eq_ignore_ascii_case(b"fields") {
        return Err(CommandError::FIELDS_MISSING);
    }
    let count = parse_i64(args.at(at + 1)).filter(|count| *count > 0).ok_or(not_positive)?;
    let fields = args.skip(at + 2);
    if fields.len() as i64 == count { Ok(fields) } else { Err(CommandError::FIELD_COUNT_MISMATCH) }
}

/// Redis looks at the type before it looks at the other arguments.
fn check_type(call: &mut Call<'_>, key: Key<'_>) -> Result<(), CommandError> {
    if let Some(mut entry) = call.db.find_for_write(key) {
        HashRef::of(entry.view())?;
    }
    Ok(())
}

/// Gives fields of the hash at argument 1 the deadline at argument 2.
fn expire<'c>(call: &'c mut Call<'_>, span: Span) -> CommandResult<'c> {
    let key = call.key(1);
    check_type(call, key)?;
    let until_ms = span.deadline_ms(call, call.args.at(2))?;
    let is_past = call.is_past(until_ms);
    let mut condition = Condition::default();
    let at = if condition.read(&mut call.args.reader(3)) { 4 } else { 3 };
    let fields = fields(call.args, at, CommandError::FIELDS_NOT_POSITIVE)?;
    let Some(mut entry) = call.db.find_for_write(key) else { return all(fields, NO_FIELD) };
    let mut changed = Names::new();
    let answers = entry.edit_fields(|entry| {
        each(fields, |field| {
            let Some(before) = HashRef::of(entry.view())?.deadline_of(field) else {
                return Ok(NO_FIELD);
            };
            if !condition.allows(before, until_ms) {
                return Ok(REFUSED);
            }
            changed.push(field);
            if is_past {
                remove(entry, field);
                return Ok(GONE);
            }
            set_deadline(entry, field, Some(until_ms));
            Ok(DONE)
        })
    })?;
    if is_past {
        removed(call, key, &changed);
        call.db.tally.expired_fields += changed.len() as u64;
    } else {
        moved(call, key, until_ms, &changed);
    }
    reply(&answers)
}

/// Tells when fields of the hash at argument 1 expire.
fn show<'c>(call: &'c mut Call<'_>, span: Span) -> CommandResult<'c> {
    let args = call.args;
    let hash = found(call)?;
    let fields = fields(args, 2, CommandError::FIELD_COUNT_NOT_POSITIVE)?;
    let answers = each(fields, |field| {
        Ok(match hash.and_then(|hash| hash.deadline_of(field)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline_ms)) => span.until(deadline_ms),
        })
    })?;
    reply(&answers)
}

/// An answer for each field.
fn each<'a>(
    fields: Args<'a>,
    answer: impl FnMut(&'a [u8]) -> Result<i64, CommandError>,
) -> Result<Vec<i64>, CommandError> {
    fields.iter().map(answer).collect()
}

fn reply<'c>(answers: &[i64]) -> CommandResult<'c> {
    Ok(Reply::Array(answers.iter().map(|answer| Reply::Int(*answer)).collect()))
}

/// The same answer for each field.
fn all<'c>(fields: Args<'_>, answer: i64) -> CommandResult<'c> {
    reply(&vec![answer; fields.len()])
}

/// Announces that fields got a deadline.
fn moved(call: &mut Call<'_>, key: Key<'_>, until_ms: i64, names: &[&[u8]]) {
    if !names.is_empty() {
        call.changed(Classes::HASH, "hexpire", key);
        call.db.changes.dirty += names.len() as u64 - 1;
        let until = itoa::Buffer::new().format(until_ms).to_owned();
        effect(call, &[b"HPEXPIREAT", key.bytes, until.as_bytes()], names);
    }
}

/// Announces that fields were removed, and removes a hash that lost its last one.
fn removed(call: &mut Call<'_>, key: Key<'_>, names: &[&[u8]]) {
    if !names.is_empty() {
        call.db.changes.dirty += names.len() as u64;
        announce_removal(call, key);
        effect_of_removal(call, key, names);
    }
}

fn announce_removal(call: &mut Call<'_>, key: Key<'_>) {
    let mut was_last = false;
    if let Some(mut entry) = call.db.find_for_write(key) {
        was_last = is_empty(entry.view());
        if was_last {
            entry.remove();
        }
    }
    let db = call.db.db();
    call.db.changes.event(Classes::HASH, "hdel", db, key.bytes);
    call.db.touched(key);
    if was_last {
        call.db.changes.event(Classes::GENERIC, "del", db, key.bytes);
    }
}

fn effect_of_removal(call: &mut Call<'_>, key: Key<'_>, names: &[&[u8]]) {
    let head: [&[u8]; 2] = [b"HDEL", key.bytes];
    let command: Vec<&[u8]> = head.into_iter().chain(names.iter().copied()).collect();
    call.effect(&command);
}

/// States the effect `head FIELDS numfields ...`, where fields may be followed by values.
fn effect(call: &mut Call<'_>, head: &[&[u8]], parts: &[&[u8]]) {
    let fields = if head[0] == b"HSETEX" { parts.len() / 2 } else { parts.len() };
    let count = itoa::Buffer::new().format(fields).to_owned();
    let mut command = head.to_vec();
    command.extend([b"FIELDS".as_slice(), count.as_bytes()]);
    command.extend(parts);
    call.effect(&command);
}
