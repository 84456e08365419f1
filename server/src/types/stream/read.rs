//! XREAD and XREADGROUP: entries after an ID, of several streams, now or when they come.
//!
//! What a group is given is logged as what it changes: XCLAIM for an entry that is pending
//! afterwards, XGROUP SETID where nothing is.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::effects::Effects;
use super::group::{Delivery, Pending};
use super::{Stream, StreamId, edit};
use crate::dispatch::blocking::{Otherwise, Unit, WaitFor, deadline_ms};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use larder_protocol::{CommandError, Reply, Version};

/// The options of both commands.
struct Options<'a> {
    /// How many entries of each stream at most; 0: all.
    count: usize,
    /// BLOCK, and until when.
    blocks: Option<Option<i64>>,
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    is_acknowledged: bool,
    keys: Vec<Key<'a>>,
    /// Where the IDs begin.
    ids_at: usize,
}

/// From where on a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// After an ID; for a group what is pending from there on.
    After(StreamId),
    /// What the group has not read.
    New,
}

/// What a stream gives.
enum Served {
    /// As many entries from an ID on.
    Entries(StreamId, usize),
    /// Pending entries, and whether they are still there.
    History(Vec<(StreamId, bool)>),
}

impl<'a> Options<'a> {
    fn read(call: &Call<'a>, is_group: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            count: 0,
            blocks: None,
            group: None,
            is_acknowledged: false,
            keys: Vec::new(),
            ids_at: 0,
        };
        let mut reader = call.args.reader(1);
        while reader.has_next() {
            let more = reader.remaining() - 1;
            if more > 0 && reader.keyword("block") {
                if call.session.scripted {
                    let after = " command is not allowed with BLOCK option from scripts";
                    return Err(CommandError::quoting("ERR ", call.args.at(0), after));
                }
                options.blocks = Some(deadline_ms(call, reader.next(), Unit::Milliseconds)?);
            } else if more > 0 && reader.keyword("count") {
                options.count = reader.int().max(0) as usize;
            } else if more > 0 && reader.keyword("streams") {
                options.set_streams(call, reader.position(), is_group)?;
                break;
            } else if more > 1 && reader.keyword("group") {
                options.group = Some((reader.next(), reader.next()));
                if !is_group {
                    reader.fail(CommandError::XREAD_GROUP);
                }
            } else if reader.keyword("noack") {
                options.is_acknowledged = true;
                if !is_group {
                    reader.fail(CommandError::XREAD_NOACK);
                }
            } else {
                reader.fail(CommandError::SYNTAX);
            }
        }
        reader.finish()?;
        if options.ids_at == 0 {
            return Err(CommandError::SYNTAX);
        }
        if is_group && options.group.is_none() {
            return Err(CommandError::XREADGROUP_NO_GROUP);
        }
        Ok(options)
    }

    /// Notes the keys, which begin at `from`, as many as IDs follow them.
    fn set_streams(
        &mut self,
        call: &Call<'a>,
        from: usize,
        is_group: bool,
    ) -> Result<(), CommandError> {
        let args = call.args.skip(from);
        if args.len() % 2 == 1 {
            let symbol = if is_group { '>' } else { '$' };
            return Err(CommandError::custom(format!(
                "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{symbol}' must \
                 be specified.",
                call.row.name
            )));
        }
        let len = args.len() / 2;
        self.ids_at = from + len;
        self.keys = call.keys().collect();
        // The key specs look for the first STREAMS, which may be a consumer's name.
        let are_planned = self.keys.iter().map(|key| key.bytes).eq(args.iter().take(len));
        if are_planned { Ok(()) } else { Err(CommandError::SYNTAX) }
    }
}

/// XREAD \[COUNT count\] \[BLOCK milliseconds\] STREAMS key \[key ...\] id \[id ...\]
pub fn xread<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (options, args) = (Options::read(call, false)?, call.args);
    let mut starts = Vec::with_capacity(options.keys.len());
    for (key, id) in options.keys.iter().zip(args.skip(options.ids_at)) {
        let stream = call.db.find(*key).map(Stream::of).transpose()?;
        starts.push(match id {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.marks.last_id),
            b">" => return Err(CommandError::XREAD_NEW),
            id => StreamId::parse(id, 0)?,
        });
    }
    let mut served = Vec::new();
    for (key, start) in options.keys.iter().zip(&starts) {
        let has_more = |stream: &Stream| stream.top_id().is_some_and(|top| top > *start);
        // Another look, and another hit or miss, as in Redis.
        let stream = call.db.find(*key).map(Stream::of).transpose()?;
        if stream.is_some_and(has_more)
            && let Some(next) = start.next()
        {
            let count = if options.count == 0 { usize::MAX } else { options.count };
            served.push((*key, Served::Entries(next, count)));
        }
    }
    if !served.is_empty() {
        return reply(call, served);
    }
    let Some(until_ms) = options.blocks else { return Ok(Reply::NullArray) };
    // What `$` meant now it shall mean when an entry comes.
    let mut resolved: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
    for (arg, start) in resolved[options.ids_at..].iter_mut().zip(&starts) {
        if arg == b"$" {
            *arg = start.to_string().into_bytes();
        }
    }
    call.wait_as(resolved, &options.keys, WaitFor::Stream, until_ms, Otherwise::NullArray)
}

/// XREADGROUP GROUP group consumer \[COUNT count\] \[BLOCK milliseconds\] \[NOACK\]
/// STREAMS key \[key ...\] id \[id ...\]
pub fn xreadgroup<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (options, args) = (Options::read(call, true)?, call.args);
    let (group, _) = options.group.unwrap_or_default();
    let mut starts = Vec::with_capacity(options.keys.len());
    for (key, id) in options.keys.iter().zip(args.skip(options.ids_at)) {
        let stream = call.db.find(*key).map(Stream::of).transpose()?;
        if stream.is_none_or(|stream| stream.groups().get(group).is_none()) {
            let what = "' in XREADGROUP with GROUP option";
            return Err(no_key_or_group(key.bytes, group, what));
        }
        starts.push(match id {
            b"$" => return Err(CommandError::XREADGROUP_LAST),
            b">" => From::New,
            id => match StreamId::parse(id, 0)? {
                StreamId::MAX => From::New,
                id => From::After(id),
            },
        });
    }
    let mut served = Vec::new();
    for (key, from) in options.keys.iter().zip(starts) {
        if let Some(given) = give(call, *key, from, &options) {
            served.push((*key, given));
        }
    }
    if !served.is_empty() {
        return reply(call, served);
    }
    let Some(until_ms) = options.blocks else { return Ok(Reply::NullArray) };
    call.wait_for(&options.keys, WaitFor::Group, until_ms, Otherwise::NullArray)
}

/// The error of a group that does not exist, or whose key does not.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8], after: &str) -> CommandError {
    let before = CommandError::quoting("NOGROUP No such key '", key, "' or consumer group '");
    CommandError::custom([before.as_bytes(), c_string(group), after.as_bytes()].concat())
}

/// Bytes of a client as part of an error: those before a zero byte, where a C string ends.
pub(super) fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Gives a group's consumer what it asks for, if there is anything.
fn give(call: &mut Call<'_>, key: Key<'_>, from: From, options: &Options<'_>) -> Option<Served> {
    let (group_name, name) = options.group?;
    let (now_ms, is_acknowledged) = (call.now_ms(), options.is_acknowledged);
    let mut effects = Effects::new(call, key, group_name);
    let mut entry = call.db.find_for_write(key)?;
    let (served, is_new) = edit(&mut entry, |stream| {
        stream.with_group(group_name, |group, stream| {
            let (consumer, is_new) = group.consumer_seen(name, now_ms);
            if is_new && is_acknowledged {
                effects.consumer_created(name);
            }
            let delivery = Delivery { consumer, count: options.count, is_acknowledged, now_ms };
            let served = match from {
                From::After(id) => {
                    let start = id.next().unwrap_or(StreamId::MAX);
                    Some(Served::History(group.redeliver(stream, start, delivery)))
                }
                From::New => {
                    let ids = group.deliver(stream, delivery);
                    note(&mut effects, &ids, delivery, name);
                    if is_acknowledged && !ids.is_empty() {
                        effects.group_read(group);
                    }
                    ids.first().map(|first| Served::Entries(*first, ids.len()))
                }
            };
            // Who is given an entry comes into being with it.
            if is_new && !is_acknowledged && !matches!(served, Some(Served::Entries(..))) {
                effects.consumer_created(name);
            }
            (served, is_new)
        })
    })?;
    if is_new {
        call.noted(Classes::STREAM, "xgroup-createconsumer", key);
    }
    effects.state(call);
    call.db.changes.dirty += u64::from(served.is_some());
    served
}

/// Notes the effect of entries that were delivered and are pending.
fn note(effects: &mut Effects<'_>, ids: &[StreamId], delivery: Delivery, name: &[u8]) {
    let Delivery { consumer, now_ms, is_acknowledged, .. } = delivery;
    if is_acknowledged {
        return;
    }
    let pending = Pending { consumer, delivered_ms: now_ms, deliveries: 1 };
    ids.iter().for_each(|id| effects.claimed(*id, name, pending, *id));
}

/// The reply that gives what each stream gave.
fn reply<'c>(call: &'c Call<'_>, served: Vec<(Key<'c>, Served)>) -> CommandResult<'c> {
    let mut streams = Vec::with_capacity(served.len());
    for (key, served) in served {
        let Some(entry) = call.db.view(key) else { continue };
        let stream = Stream::of(entry)?;
        let entries = match served {
            Served::Entries(start, count) => {
                let entries = stream.range(start, StreamId::MAX).take(count);
                entries.map(|entry| entry.reply()).collect()
            }
            Served::History(ids) => ids
                .into_iter()
                .map(|(id, _)| match stream.get(id) {
                    Some(entry) => entry.reply(),
                    None => Reply::Array(vec![id.reply(), Reply::NullArray]),
                })
                .collect(),
        };
        streams.push((Reply::Bulk(key.bytes), Reply::Array(entries)));
    }
    Ok(match call.session.version {
        Version::Resp3 => Reply::Map(streams),
        Version::Resp2 => {
            let pair = |(key, entries)| Reply::Array(vec![key, entries]);
            Reply::Array(streams.into_iter().map(pair).collect())
        }
    })
}
