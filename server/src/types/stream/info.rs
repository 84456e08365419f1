//! XINFO and XPENDING: looks into streams and groups.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::claim::find_group;
use super::group::{Consumer, Group};
use super::groups::no_group;
use super::{Stream, StreamId};
use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::reply::Pairs;
use larder_protocol::{CommandError, Reply};

/// Entries that XINFO STREAM FULL shows of each list unless COUNT says otherwise.
const FULL_COUNT: i64 = 10;

/// What XPENDING looks for.
struct Filter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn read(call: &Call<'a>) -> Result<Option<Self>, CommandError> {
        let args = call.args;
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::SYNTAX);
        }
        let (mut min_idle_ms, mut from) = (0, 3);
        if args.at(3).eq_ignore_ascii_case(b"idle") {
            let mut reader = args.reader(4);
            min_idle_ms = reader.int();
            reader.finish()?;
            if args.len() < 8 {
                return Err(CommandError::SYNTAX);
            }
            from = 5;
        }
        let mut reader = args.reader(from + 2);
        let count = reader.int().max(0) as usize;
        reader.finish()?;
        Ok(Some(Self {
            min_idle_ms,
            start: StreamId::parse_start(args.at(from))?,
            end: StreamId::parse_end(args.at(from + 1))?,
            count,
            consumer: args.get(from + 3),
        }))
    }

    /// What a group has pending that is looked for.
    fn apply(&self, group: &Group, now_ms: i64) -> Vec<Reply<'static>> {
        let Self { min_idle_ms, start, end, count, consumer } = *self;
        if start > end {
            return Vec::new();
        }
        let show = |id: &StreamId| {
            let pending = group.pending().get(id)?;
            let idle_ms = now_ms.wrapping_sub(pending.delivered_ms);
            (min_idle_ms == 0 || idle_ms >= min_idle_ms).then(|| {
                Reply::Array(vec![
                    id.reply(),
                    Reply::Owned(group.consumer(pending.consumer).name.to_vec()),
                    Reply::Int(idle_ms.max(0)),
                    Reply::Int(pending.deliveries as i64),
                ])
            })
        };
        match consumer {
            None => {
                let ids = group.pending().range(start..=end).map(|(id, _)| id);
                ids.filter_map(show).take(count).collect()
            }
            Some(name) => group.number(name).map_or(Vec::new(), |number| {
                let ids = group.consumer(number).pending.range(start..=end);
                ids.filter_map(show).take(count).collect()
            }),
        }
    }
}

/// XPENDING key group \[\[IDLE min-idle-time\] start end count \[consumer\]\]
pub fn xpending<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, name, now_ms) = (call.key(1), call.args.at(2), call.now_ms());
    let filter = Filter::read(call)?;
    let group = find_group(call, key, name)?;
    if let Some(filter) = filter {
        return Ok(Reply::Array(filter.apply(group, now_ms)));
    }
    let pending = group.pending();
    let ends = pending.first_key_value().zip(pending.last_key_value());
    let Some(((first, _), (last, _))) = ends else {
        return Ok(Reply::Array(vec![Reply::Int(0), Reply::Null, Reply::Null, Reply::NullArray]));
    };
    let busy = group.consumers().filter(|consumer| !consumer.pending.is_empty());
    let consumers = busy.map(|consumer| {
        let pending = Reply::digits(consumer.pending.len() as i64);
        Reply::Array(vec![Reply::Bulk(&consumer.name), pending])
    });
    Ok(Reply::Array(vec![
        Reply::from(pending.len()),
        first.reply(),
        last.reply(),
        Reply::Array(consumers.collect()),
    ]))
}

fn find<'c>(call: &'c mut Call<'_>) -> Result<&'c Stream, CommandError> {
    let key = call.key(2);
    Stream::of(call.db.find(key).ok_or(CommandError::NO_SUCH_KEY)?)
}

/// XINFO STREAM key \[FULL \[COUNT count\]\]
pub fn xinfo_stream<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let syntax = CommandError::subcommand_syntax(args.at(1), "xinfo");
    let stream = find(call)?;
    if args.len() == 3 {
        let mut fields = facts(stream);
        let first = stream.iter().next().map(|entry| entry.reply());
        let last = stream.iter().next_back().map(|entry| entry.reply());
        fields.push((Reply::from("groups"), Reply::from(stream.groups().len())));
        fields.push((Reply::from("first-entry"), first.unwrap_or(Reply::Null)));
        fields.push((Reply::from("last-entry"), last.unwrap_or(Reply::Null)));
        return Ok(Reply::Map(fields));
    }
    let mut options = args.reader(3);
    if !options.keyword("full") || !matches!(args.len(), 4 | 6) {
        return Err(syntax);
    }
    let mut count = FULL_COUNT;
    if options.has_next() {
        if !options.keyword("count") {
            return Err(syntax);
        }
        count = Some(options.int()).filter(|count| *count >= 0).unwrap_or(FULL_COUNT);
    }
    options.finish()?;
    let count = if count == 0 { usize::MAX } else { count as usize };
    let mut fields = facts(stream);
    let entries = stream.iter().take(count).map(|entry| entry.reply());
    fields.push((Reply::from("entries"), Reply::Array(entries.collect())));
    let groups = stream.groups().iter().map(|(name, group)| full_group(stream, name, group, count));
    fields.push((Reply::from("groups"), Reply::Array(groups.collect())));
    Ok(Reply::Map(fields))
}

/// What both forms of XINFO STREAM begin with.
fn facts(stream: &Stream) -> Pairs<'_> {
    let (marks, nodes) = (&stream.marks, stream.nodes());
    vec![
        (Reply::from("length"), Reply::from(stream.len())),
        (Reply::from("radix-tree-keys"), Reply::from(nodes)),
        // There is no tree; a root is as good a guess as any.
        (Reply::from("radix-tree-nodes"), Reply::from(nodes + 1)),
        (Reply::from("last-generated-id"), marks.last_id.reply()),
        (Reply::from("max-deleted-entry-id"), marks.max_deleted_id.reply()),
        (Reply::from("entries-added"), Reply::Int(marks.entries_added as i64)),
        (Reply::from("recorded-first-entry-id"), marks.first_id.reply()),
    ]
}

fn full_group<'a>(stream: &'a Stream, name: &'a [u8], group: &'a Group, count: usize) -> Reply<'a> {
    let pending = group.pending().iter().take(count).map(|(id, pending)| {
        Reply::Array(vec![
            id.reply(),
            Reply::Bulk(&group.consumer(pending.consumer).name),
            Reply::Int(pending.delivered_ms),
            Reply::Int(pending.deliveries as i64),
        ])
    });
    let consumers = group.consumers().map(|consumer| full_consumer(group, consumer, count));
    Reply::map([
        ("name", Reply::Bulk(name)),
        ("last-delivered-id", group.last_id.reply()),
        ("entries-read", Reply::from(group.entries_read)),
        ("lag", Reply::from(stream.lag(group))),
        ("pel-count", Reply::from(group.pending().len())),
        ("pending", Reply::Array(pending.collect())),
        ("consumers", Reply::Array(consumers.collect())),
    ])
}

fn full_consumer<'a>(group: &Group, consumer: &'a Consumer, count: usize) -> Reply<'a> {
    let pending = consumer.pending.iter().take(count).filter_map(|id| {
        let pending = group.pending().get(id)?;
        Some(Reply::Array(vec![
            id.reply(),
            Reply::Int(pending.delivered_ms),
            Reply::Int(pending.deliveries as i64),
        ]))
    });
    Reply::map([
        ("name", Reply::Bulk(&consumer.name)),
        ("seen-time", Reply::Int(consumer.seen_ms)),
        ("active-time", Reply::Int(consumer.active_ms.unwrap_or(-1))),
        ("pel-count", Reply::from(consumer.pending.len())),
        ("pending", Reply::Array(pending.collect())),
    ])
}

/// XINFO GROUPS key
pub fn xinfo_groups<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let stream = find(call)?;
    let groups = stream.groups().iter().map(|(name, group)| {
        Reply::map([
            ("name", Reply::Bulk(name)),
            ("consumers", Reply::from(group.consumers_len())),
            ("pending", Reply::from(group.pending().len())),
            ("last-delivered-id", group.last_id.reply()),
            ("entries-read", Reply::from(group.entries_read)),
            ("lag", Reply::from(stream.lag(group))),
        ])
    });
    Ok(Reply::Array(groups.collect()))
}

/// XINFO CONSUMERS key group
pub fn xinfo_consumers<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, name, now_ms) = (call.key(2), call.args.at(3), call.now_ms());
    let group = find(call)?.groups().get(name).ok_or_else(|| no_group(key.bytes, name))?;
    let consumers = group.consumers().map(|consumer| {
        let idle_ms = now_ms.wrapping_sub(consumer.seen_ms).max(0);
        let inactive_ms = consumer.active_ms.map_or(-1, |at_ms| now_ms.wrapping_sub(at_ms));
        Reply::map([
            ("name", Reply::Bulk(&consumer.name)),
            ("pending", Reply::from(consumer.pending.len())),
            ("idle", Reply::Int(idle_ms)),
            ("inactive", Reply::Int(inactive_ms)),
        ])
    });
    Ok(Reply::Array(consumers.collect()))
}

/// XINFO HELP
pub fn xinfo_help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CONSUMERS <key> <groupname>",
            "    Show the consumers of a group.",
            "GROUPS <key>",
            "    Show the consumer groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]]",
            "    Show facts about a stream; FULL shows its groups as well.",
        ],
    ))
}
