//! What the rows say, for clients and for people: COMMAND INFO, COMMAND DOCS, the README's list,
//! and the HELP of commands with subcommands.
//!
//! Nothing here knows a command; everything is read off its [`Row`](super::row::Row).

use super::row::{Arg, ArgKind, Begin, Categories, Find, Flags, Group, KeySpec, Row};
use super::{Command, top_level};
use crate::dispatch::call::Call;
use larder_protocol::Reply;
use std::fmt::Write;

fn text(text: &'static str) -> Reply<'static> {
    Reply::Bulk(text.as_bytes())
}

fn number(number: usize) -> Reply<'static> {
    Reply::from(number)
}

fn words(words: impl Iterator<Item = &'static str>) -> Reply<'static> {
    Reply::Set(words.map(Reply::Simple).collect())
}

/// A command as COMMAND and COMMAND INFO describe it, its subcommands included.
pub fn info(command: &'static Command) -> Reply<'static> {
    let row = command.row;
    let range = LegacyRange::of(row.keys);
    let mut flags = row.flags;
    if range.incomplete {
        flags = flags.and(Flags::MOVABLEKEYS);
    }
    let categories =
        Categories::NAMES.iter().filter(|(category, _)| row.categories().has(*category));
    Reply::Array(vec![
        text(command.full_name),
        Reply::Int(i64::from(row.arity)),
        words(
            Flags::NAMES
                .iter()
                .filter(|(flag, word)| !word.is_empty() && flags.has(*flag))
                .map(|(_, word)| *word),
        ),
        Reply::Int(range.first),
        Reply::Int(range.last),
        Reply::Int(range.step),
        Reply::Set(categories.map(|(_, name)| Reply::status(format!("@{name}"))).collect()),
        Reply::Set(row.tips.iter().map(|tip| text(tip)).collect()),
        Reply::Set(row.keys.iter().map(key_spec).collect()),
        if row.subcommands.is_empty() {
            Reply::Set(Vec::new())
        } else {
            Reply::Array(command.subcommands().map(info).collect())
        },
    ])
}

/// First key, last key and step, as clients used them before there were key specs.
struct LegacyRange {
    first: i64,
    last: i64,
    step: i64,
    /// The range does not tell all keys.
    incomplete: bool,
}

impl LegacyRange {
    /// A single range stands as it is. Of several, those that follow each other without a gap make
    /// one range; what does not fit makes the whole incomplete.
    fn of(specs: &[KeySpec]) -> Self {
        let absolute = |begin: usize, last: isize| match last {
            0.. => begin as i64 + last as i64,
            _ => last as i64,
        };
        let mut range = Self { first: 0, last: 0, step: 0, incomplete: false };
        if let [
            KeySpec {
                begin: Begin::Index(begin), find: Find::Range { last, step, .. }, flags, ..
            },
        ] = specs
        {
            range.first = *begin as i64;
            range.last = absolute(*begin, *last);
            range.step = *step as i64;
            range.incomplete = flags.contains(&"incomplete");
            return range;
        }
        for spec in specs {
            range.incomplete |= spec.flags.contains(&"incomplete");
            let (Begin::Index(begin), Find::Range { last, step: 1, .. }) = (spec.begin, spec.find)
            else {
                range.incomplete = true;
                continue;
            };
            if range.last != 0 && range.last != begin as i64 - 1 {
                range.incomplete = true;
                continue;
            }
            if range.step == 0 {
                range.first = begin as i64;
                range.step = 1;
            }
            range.last = absolute(begin, last);
        }
        range
    }
}

fn key_spec(spec: &KeySpec) -> Reply<'static> {
    let (begin_type, begin) = match spec.begin {
        Begin::Index(index) => ("index", vec![(text("index"), number(index))]),
        Begin::Keyword { word, from } => (
            "keyword",
            vec![(text("keyword"), text(word)), (text("startfrom"), Reply::Int(from as i64))],
        ),
        Begin::Unknown(_) => ("unknown", Vec::new()),
    };
    let (find_type, find) = match spec.find {
        _ if matches!(spec.begin, Begin::Unknown(_)) => ("unknown", Vec::new()),
        Find::Range { last, step, limit } => (
            "range",
            vec![
                (text("lastkey"), Reply::Int(last as i64)),
                (text("keystep"), number(step)),
                (text("limit"), number(limit)),
            ],
        ),
        Find::KeyNum { count, first, step } => (
            "keynum",
            vec![
                (text("keynumidx"), number(count)),
                (text("firstkey"), number(first)),
                (text("keystep"), number(step)),
            ],
        ),
    };
    let typed = |kind: &'static str, spec| {
        Reply::Map(vec![(text("type"), text(kind)), (text("spec"), Reply::Map(spec))])
    };
    let mut fields = Vec::with_capacity(4);
    if let Some(notes) = spec.notes {
        fields.push((text("notes"), text(notes)));
    }
    fields.push((text("flags"), words(spec.flags.iter().copied())));
    fields.push((text("begin_search"), typed(begin_type, begin)));
    fields.push((text("find_keys"), typed(find_type, find)));
    Reply::Map(fields)
}

/// A command as COMMAND DOCS describes it, its subcommands included.
pub fn docs(command: &'static Command) -> Reply<'static> {
    let row = command.row;
    let mut fields = vec![
        (text("summary"), text(row.summary)),
        (text("since"), text(row.since)),
        (text("group"), text(row.group.name())),
    ];
    if !row.complexity.is_empty() {
        fields.push((text("complexity"), text(row.complexity)));
    }
    let marks =
        [(row.deprecated.is_some(), "deprecated"), (row.flags.has(Flags::SYSCMD), "syscmd")];
    let marks: Vec<_> = marks.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
    if !marks.is_empty() {
        fields.push((text("doc_flags"), words(marks.into_iter())));
    }
    if let Some((since, by)) = row.deprecated {
        fields.push((text("deprecated_since"), text(since)));
        if !by.is_empty() {
            fields.push((text("replaced_by"), text(by)));
        }
    }
    if !row.history.is_empty() {
        let change = |(since, what): &(&'static str, &'static str)| {
            Reply::Array(vec![text(since), text(what)])
        };
        fields.push((text("history"), Reply::Set(row.history.iter().map(change).collect())));
    }
    if !row.args.is_empty() {
        fields.push((text("arguments"), arguments(row.args)));
    }
    if !row.subcommands.is_empty() {
        let subcommands = command.subcommands().map(|sub| (text(sub.full_name), docs(sub)));
        fields.push((text("subcommands"), Reply::Map(subcommands.collect())));
    }
    Reply::Map(fields)
}

fn arguments(args: &'static [Arg]) -> Reply<'static> {
    Reply::Array(args.iter().map(argument).collect())
}

fn argument(arg: &'static Arg) -> Reply<'static> {
    let nested = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let mut fields = vec![(text("name"), text(arg.name)), (text("type"), text(arg.kind.name()))];
    if !nested {
        fields.push((text("display_text"), text(arg.display.unwrap_or(arg.name))));
    }
    if let Some(spec) = arg.key_spec {
        fields.push((text("key_spec_index"), number(spec)));
    }
    if let Some(token) = arg.token {
        fields.push((text("token"), text(token)));
    }
    if let Some(since) = arg.since {
        fields.push((text("since"), text(since)));
    }
    if let Some(since) = arg.deprecated {
        fields.push((text("deprecated_since"), text(since)));
    }
    let flags = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ];
    if flags.iter().any(|(on, _)| *on) {
        let flags = flags.into_iter().filter_map(|(on, word)| on.then_some(word));
        fields.push((text("flags"), words(flags)));
    }
    if nested {
        fields.push((text("arguments"), arguments(arg.args)));
    }
    Reply::Map(fields)
}

/// The reply of `<container> HELP`: the usual frame around `lines`.
pub fn help(call: &Call<'_>, lines: &[&'static str]) -> Reply<'static> {
    let container = String::from_utf8_lossy(call.args.at(0)).to_uppercase();
    let first = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut reply = Vec::with_capacity(lines.len() + 3);
    reply.push(Reply::status(first));
    reply.extend(lines.iter().map(|line| Reply::Simple(line)));
    reply.extend(["HELP", "    Print this help."].map(Reply::Simple));
    Reply::Array(reply)
}

/// The README's list of commands, in Markdown: a line for each family, names in order.
///
/// Subcommands follow their command in parentheses. A test compares the README with it.
pub fn readme_list() -> String {
    const GROUPS: [(Group, &str); 17] = [
        (Group::Connection, "Connection"),
        (Group::Generic, "Generic"),
        (Group::String, "Strings"),
        (Group::Bitmap, "Bitmaps"),
        (Group::Hyperloglog, "HyperLogLog"),
        (Group::Hash, "Hashes"),
        (Group::List, "Lists"),
        (Group::Set, "Sets"),
        (Group::SortedSet, "Sorted sets"),
        (Group::Geo, "Geo"),
        (Group::Stream, "Streams"),
        (Group::Pubsub, "Publish/subscribe"),
        (Group::Transactions, "Transactions"),
        (Group::Scripting, "Scripting"),
        (Group::Cluster, "Cluster"),
        (Group::Sentinel, "Sentinel"),
        (Group::Server, "Server"),
    ];
    let mut list = String::new();
    for (group, title) in GROUPS {
        let mut rows: Vec<&Row> =
            top_level().map(|command| command.row).filter(|row| row.group == group).collect();
        if rows.is_empty() {
            continue;
        }
        rows.sort_unstable_by_key(|row| row.name);
        let names: Vec<String> = rows.into_iter().map(readme_name).collect();
        // Writing to a string does not fail.
        let _ = writeln!(list, "* **{title}**: {}", names.join(", "));
    }
    list
}

fn readme_name(row: &Row) -> String {
    let name = row.name.to_uppercase();
    let mut subcommands: Vec<String> =
        row.subcommands.iter().map(|sub| sub.name.to_uppercase()).collect();
    if subcommands.is_empty() {
        return name;
    }
    subcommands.sort_unstable();
    format!("{name} ({})", subcommands.join(", "))
}
