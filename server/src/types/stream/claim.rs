//! XACK, XCLAIM and XAUTOCLAIM: pending entries are done, or change hands.
//!
//! A claim is logged as an XCLAIM of each entry that has the same effect whenever it runs.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::commands::read_ids;
use super::effects::Effects;
use super::group::{Group, Number, Pending};
use super::read::no_key_or_group;
use super::{Stream, StreamId, edit};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use larder_protocol::{CommandError, Reply};
use std::ops::Bound;

/// Entries that XAUTOCLAIM looks at for each that it may give.
const ATTEMPTS: u64 = 10;
/// Entries that XAUTOCLAIM gives unless COUNT says otherwise, and the most that COUNT may say.
const AUTO_COUNT: i64 = 100;
const AUTO_COUNT_MAX: i64 = i64::MAX / 16;

impl Group {
    /// The consumer of a name, who was seen now; tells whether it had to be made.
    pub(super) fn consumer_seen(&mut self, name: &[u8], now_ms: i64) -> (Number, bool) {
        match self.number(name) {
            Some(number) => {
                self.consumer_mut(number).seen_ms = now_ms;
                (number, false)
            }
            None => (self.create_consumer(name, now_ms), true),
        }
    }
}

/// XACK key group ID \[ID ...\]
pub fn xack<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let stream = call.db.find(key).map(Stream::of).transpose()?;
    if stream.is_none_or(|stream| stream.groups().get(args.at(2)).is_none()) {
        return Ok(Reply::Int(0));
    }
    let ids = read_ids(args, 3)?;
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    let acknowledged = edit(&mut entry, |stream| {
        stream.with_group(args.at(2), |group, _| {
            ids.iter().filter(|id| group.acknowledge(**id).is_some()).count()
        })
    });
    let acknowledged = acknowledged.unwrap_or(0);
    call.db.changes.dirty += acknowledged as u64;
    Ok(Reply::from(acknowledged))
}

/// How entries are claimed.
struct Claim {
    consumer: Number,
    /// Only entries that were delivered at least as long ago, in milliseconds.
    min_idle_ms: i64,
    /// When the entry counts as delivered.
    delivered_ms: i64,
    /// How many times it was delivered, if that is stated.
    deliveries: Option<u64>,
    /// Whether it is only named and does not count as delivered once more.
    is_just_id: bool,
    /// Whether an entry that is not pending becomes so.
    is_forced: bool,
    now_ms: i64,
}

/// What became of an entry that was to be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is pending with the claimer.
    Claimed,
    /// It was pending but is not in the stream any more.
    Deleted,
    /// Nothing.
    Left,
}

impl Claim {
    fn take(
        &self,
        group: &mut Group,
        stream: &Stream,
        id: StreamId,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let before = group.pending().get(&id).copied();
        if stream.get(id).is_none() {
            let Some(before) = before else { return Outcome::Left };
            effects.claimed(id, &group.consumer(before.consumer).name, before, group.last_id);
            group.acknowledge(id);
            return Outcome::Deleted;
        }
        let deliveries = match before {
            None if !self.is_forced => return Outcome::Left,
            Some(before)
                if self.min_idle_ms > 0
                    && self.now_ms.wrapping_sub(before.delivered_ms) < self.min_idle_ms =>
            {
                return Outcome::Left;
            }
            // One that is made counts as delivered once already.
            before => before.map_or(1, |before| before.deliveries),
        };
        let again = u64::from(!self.is_just_id);
        let pending = Pending {
            consumer: self.consumer,
            delivered_ms: self.delivered_ms,
            deliveries: self.deliveries.unwrap_or(deliveries.wrapping_add(again)),
        };
        group.assign(id, pending);
        let last_id = group.last_id;
        let consumer = group.consumer_mut(self.consumer);
        consumer.active_ms = Some(self.now_ms);
        effects.claimed(id, &consumer.name, pending, last_id);
        Outcome::Claimed
    }
}

/// XCLAIM's arguments behind the IDs.
struct ClaimOptions {
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    is_forced: bool,
    is_just_id: bool,
    last_id: StreamId,
}

impl ClaimOptions {
    fn read(call: &Call<'_>, from: usize) -> Result<Self, CommandError> {
        let mut options = Self {
            delivered_ms: None,
            deliveries: None,
            is_forced: false,
            is_just_id: false,
            last_id: StreamId::MIN,
        };
        let now_ms = call.now_ms();
        let mut reader = call.args.reader(from);
        while reader.has_next() {
            let has_value = reader.remaining() > 1;
            if reader.keyword("force") {
                options.is_forced = true;
            } else if reader.keyword("justid") {
                options.is_just_id = true;
            } else if has_value && reader.keyword("idle") {
                let idle_ms = reader.int_or(CommandError::XCLAIM_IDLE);
                options.delivered_ms = Some(now_ms.wrapping_sub(idle_ms));
            } else if has_value && reader.keyword("time") {
                options.delivered_ms = Some(reader.int_or(CommandError::XCLAIM_TIME));
            } else if has_value && reader.keyword("retrycount") {
                let count = reader.int_or(CommandError::XCLAIM_RETRY_COUNT);
                options.deliveries = u64::try_from(count).ok();
            } else if has_value && reader.keyword("lastid") {
                options.last_id = StreamId::parse(reader.next(), 0)?;
            } else {
                let option = reader.next();
                reader.fail(CommandError::quoting("ERR Unrecognized XCLAIM option '", option, "'"));
            }
        }
        reader.finish()?;
        // Clients reckon times by their own clocks: one that makes no sense is now.
        let is_sane = |at_ms: &i64| (0..=now_ms).contains(at_ms);
        options.delivered_ms = options.delivered_ms.filter(is_sane);
        Ok(options)
    }
}

fn no_group(key: Key<'_>, group: &[u8]) -> CommandError {
    no_key_or_group(key.bytes, group, "'")
}

/// Looks a stream's group up as a read; both must exist.
pub(super) fn find_group<'c>(
    call: &'c mut Call<'_>,
    key: Key<'_>,
    name: &[u8],
) -> Result<&'c Group, CommandError> {
    call.db.find(key);
    found_group(call, key, name)
}

/// The group of a stream that was just looked up; both must exist.
fn found_group<'c>(
    call: &'c Call<'_>,
    key: Key<'_>,
    name: &[u8],
) -> Result<&'c Group, CommandError> {
    let stream = call.db.view(key).map(Stream::of).transpose()?;
    stream.and_then(|stream| stream.groups().get(name)).ok_or_else(|| no_group(key, name))
}

/// XCLAIM key group consumer min-idle-time ID \[ID ...\] \[IDLE ms\]
/// \[TIME unix-time-milliseconds\] \[RETRYCOUNT count\] \[FORCE\] \[JUSTID\] \[LASTID lastid\]
pub fn xclaim<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args, now_ms) = (call.key(1), call.args, call.now_ms());
    let (group_name, name) = (args.at(2), args.at(3));
    find_group(call, key, group_name)?;
    let mut reader = args.reader(4);
    let min_idle_ms = reader.int_or(CommandError::XCLAIM_MIN_IDLE).max(0);
    reader.finish()?;
    // The first argument that is no ID is an option.
    let ids: Vec<StreamId> =
        args.skip(5).iter().map_while(|arg| StreamId::parse(arg, 0).ok()).collect();
    let options = ClaimOptions::read(call, 5 + ids.len())?;
    let mut effects = Effects::new(call, key, group_name);
    // That is how a primary tells of an entry that the group was given, which counts as read there.
    let is_given = call.session.applies && ids == [options.last_id];
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::NullArray) };
    let claimed = edit(&mut entry, |stream| {
        stream.with_group(group_name, |group, stream| {
            let moves_on = options.last_id > group.last_id;
            if moves_on && is_given {
                group.entries_read = stream.marks.read_after(options.last_id, group.entries_read);
            }
            group.last_id = group.last_id.max(options.last_id);
            let (consumer, is_new) = group.consumer_seen(name, now_ms);
            let claim = Claim {
                consumer,
                min_idle_ms,
                delivered_ms: options.delivered_ms.unwrap_or(now_ms),
                deliveries: options.deliveries,
                is_just_id: options.is_just_id,
                is_forced: options.is_forced,
                now_ms,
            };
            let mut claimed = Claimed { is_new, ..Claimed::default() };
            for id in &ids {
                claimed.note(*id, claim.take(group, stream, *id, &mut effects));
            }
            // Otherwise the effects of the entries say it.
            if moves_on && claimed.changes == 0 {
                effects.group_read(group);
                claimed.changes = 1;
            }
            claimed
        })
    });
    let claimed = claimed.unwrap_or_default();
    claimed.state(call, key, name, effects);
    reply(call, key, &claimed.ids, options.is_just_id).map(Reply::Array)
}

/// What a command claimed.
#[derive(Default)]
struct Claimed {
    ids: Vec<StreamId>,
    deleted: Vec<StreamId>,
    /// Whether the consumer is new.
    is_new: bool,
    changes: u64,
}

impl Claimed {
    fn note(&mut self, id: StreamId, outcome: Outcome) {
        match outcome {
            Outcome::Claimed => self.ids.push(id),
            Outcome::Deleted => self.deleted.push(id),
            Outcome::Left => return,
        }
        self.changes += 1;
    }

    fn state(&self, call: &mut Call<'_>, key: Key<'_>, name: &[u8], mut effects: Effects<'_>) {
        if self.is_new {
            call.noted(Classes::STREAM, "xgroup-createconsumer", key);
            // Who claims an entry comes into being with it.
            if self.ids.is_empty() {
                effects.consumer_created(name);
            }
        }
        call.db.changes.dirty += self.changes;
        effects.state(call);
    }
}

/// The entries of some IDs, or the IDs only.
fn reply<'c>(
    call: &'c Call<'_>,
    key: Key<'_>,
    ids: &[StreamId],
    is_just_id: bool,
) -> Result<Vec<Reply<'c>>, CommandError> {
    if is_just_id {
        return Ok(ids.iter().map(|id| id.reply()).collect());
    }
    let Some(entry) = call.db.view(key) else { return Ok(Vec::new()) };
    let stream = Stream::of(entry)?;
    Ok(ids.iter().filter_map(|id| stream.get(*id)).map(|entry| entry.reply()).collect())
}

/// XAUTOCLAIM key group consumer min-idle-time start \[COUNT count\] \[JUSTID\]
pub fn xautoclaim<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args, now_ms) = (call.key(1), call.args, call.now_ms());
    let (group_name, name) = (args.at(2), args.at(3));
    // The read counts even if the arguments are wrong.
    call.db.find(key);
    let mut reader = args.reader(4);
    let min_idle_ms = reader.int_or(CommandError::XAUTOCLAIM_MIN_IDLE).max(0);
    reader.finish()?;
    let start = StreamId::parse_start(args.at(5))?;
    let (mut count, mut is_just_id) = (AUTO_COUNT, false);
    let mut options = args.reader(6);
    while options.has_next() {
        if options.remaining() > 1 && options.keyword("count") {
            count = options.int_in_or(1..=AUTO_COUNT_MAX, CommandError::XAUTOCLAIM_COUNT);
        } else if options.keyword("justid") {
            is_just_id = true;
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    found_group(call, key, group_name)?;
    let mut effects = Effects::new(call, key, group_name);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::NullArray) };
    let result = edit(&mut entry, |stream| {
        stream.with_group(group_name, |group, stream| {
            let (consumer, is_new) = group.consumer_seen(name, now_ms);
            let claim = Claim {
                consumer,
                min_idle_ms,
                delivered_ms: now_ms,
                deliveries: None,
                is_just_id,
                is_forced: false,
                now_ms,
            };
            let (claimed, next) = claim.scan(group, stream, start, count as u64, &mut effects);
            (Claimed { is_new, ..claimed }, next)
        })
    });
    let (claimed, next) = result.unwrap_or_default();
    claimed.state(call, key, name, effects);
    let deleted = claimed.deleted.iter().map(|id| id.reply()).collect();
    let entries = reply(call, key, &claimed.ids, is_just_id)?;
    Ok(Reply::Array(vec![next.reply(), Reply::Array(entries), Reply::Array(deleted)]))
}

impl Claim {
    /// Claims up to `count` of a group's pending entries from an ID on, as far as they are old
    /// enough; gives also where to go on, the lowest ID for nowhere.
    fn scan(
        &self,
        group: &mut Group,
        stream: &Stream,
        start: StreamId,
        count: u64,
        effects: &mut Effects<'_>,
    ) -> (Claimed, StreamId) {
        let (mut claimed, mut attempts) = (Claimed::default(), count.saturating_mul(ATTEMPTS));
        let mut from = Bound::Included(start);
        loop {
            let next = group.pending().range((from, Bound::Unbounded)).next();
            let Some(id) = next.map(|(id, _)| *id) else { return (claimed, StreamId::MIN) };
            if attempts == 0 || claimed.changes == count {
                return (claimed, id);
            }
            attempts -= 1;
            claimed.note(id, self.take(group, stream, id, effects));
            from = Bound::Excluded(id);
        }
    }
}
