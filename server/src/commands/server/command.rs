//! COMMAND: what commands there are, and which keys a call of one would name.

use crate::commands::keys::flags_of;
use crate::commands::row::{Begin, Categories, Find, KeySpec, Row};
use crate::commands::{self, Command, docs};
use crate::dispatch::call::{Call, CommandResult};
use crate::glob::glob_match;
use crate::node::shared::Shared;
use larder_protocol::number::parse_i64;
use larder_protocol::{Args, CommandError, Reply};

/// COMMAND
pub fn command<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.args.len() > 1 {
        // A subcommand that exists would not have come here.
        let container = String::from_utf8_lossy(call.args.at(0));
        return Err(CommandError::unknown_subcommand(call.args.at(1), &container));
    }
    Ok(Reply::Array(reachable(call.node).map(docs::info).collect()))
}

/// COMMAND COUNT
pub fn count<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::from(reachable(call.node).count()))
}

/// COMMAND INFO [command [command ...]]
pub fn info<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Array(if call.args.len() == 2 {
        reachable(call.node).map(docs::info).collect()
    } else {
        let described = |name| find_full_name(call.node, name).map_or(Reply::Null, docs::info);
        call.args.iter().skip(2).map(described).collect()
    }))
}

/// COMMAND DOCS [command [command ...]]
pub fn docs<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let described =
        |command: &'static Command| (Reply::from(command.full_name), docs::docs(command));
    Ok(Reply::Map(if call.args.len() == 2 {
        reachable(call.node).map(described).collect()
    } else {
        let named = |name| find_full_name(call.node, name);
        call.args.iter().skip(2).filter_map(named).map(described).collect()
    }))
}

/// The commands that `rename-command` leaves within reach.
fn reachable(node: &Shared) -> impl Iterator<Item = &'static Command> + '_ {
    commands::top_level().filter(|command| node.renames.reaches(command))
}

/// A command by the name it answers to, or a subcommand by its name behind its container's:
/// `config|get`.
pub(super) fn find_full_name(node: &Shared, name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.split(|byte| *byte == b'|');
    let command = node.renames.find(parts.next()?)?;
    match (parts.next(), parts.next()) {
        (None, _) => Some(command),
        (Some(subcommand), None) => command.subcommand(subcommand),
        (Some(_), Some(_)) => None,
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]
pub fn list<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    enum Filter<'a> {
        None,
        Module,
        Category(Option<Categories>),
        Pattern(&'a [u8]),
    }
    let mut filter = Filter::None;
    let mut reader = call.args.reader(2);
    while reader.has_next() {
        if reader.remaining() == 3 && reader.keyword("filterby") {
            filter = if reader.keyword("module") {
                reader.next();
                Filter::Module
            } else if reader.keyword("aclcat") {
                Filter::Category(Categories::named(reader.next()))
            } else if reader.keyword("pattern") {
                Filter::Pattern(reader.next())
            } else {
                return Err(CommandError::SYNTAX);
            };
        } else {
            reader.fail(CommandError::SYNTAX);
        }
    }
    reader.finish()?;
    let is_within_reach = |command: &&&'static Command| {
        let top = command.container.map_or(command.row, |container| container);
        commands::find(top.name.as_bytes()).is_some_and(|top| call.node.renames.reaches(top))
    };
    let fits = |command: &&&'static Command| match filter {
        Filter::None => true,
        Filter::Module => false,
        Filter::Category(category) => {
            category.is_some_and(|category| command.row.categories().has(category))
        }
        Filter::Pattern(pattern) => glob_match(pattern, command.full_name.as_bytes(), true),
    };
    Ok(Reply::array(
        commands::all()
            .iter()
            .filter(is_within_reach)
            .filter(fits)
            .map(|command| command.full_name),
    ))
}

/// COMMAND GETKEYS command [arg ...]
pub fn getkeys<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args.skip(2);
    Ok(Reply::array(keys_of(call.node, args)?.into_iter().map(|(at, _)| args.at(at))).into_owned())
}

/// COMMAND GETKEYSANDFLAGS command [arg ...]
pub fn getkeysandflags<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args.skip(2);
    let keys = keys_of(call.node, args)?.into_iter().map(|(at, flags)| {
        let flags = Reply::Set(flags.iter().map(|flag| Reply::Simple(flag)).collect());
        Reply::Array(vec![Reply::Bulk(args.at(at)), flags])
    });
    Ok(Reply::Array(keys.collect()))
}

/// A key's argument index, and what the command does with it.
type NamedKey = (usize, &'static [&'static str]);

/// The keys that a whole command names.
fn keys_of(node: &Shared, args: Args<'_>) -> Result<Vec<NamedKey>, CommandError> {
    let mut command = node.renames.find(args.at(0)).ok_or(CommandError::GETKEYS_UNKNOWN)?;
    if args.len() > 1 && !command.row.subcommands.is_empty() {
        command = command.subcommand(args.at(1)).ok_or(CommandError::GETKEYS_UNKNOWN)?;
    }
    let row = command.row;
    if row.keys.iter().all(|spec| spec.flags.contains(&"not_key")) {
        return Err(CommandError::GETKEYS_NO_KEYS);
    }
    if !row.accepts(args.len()) {
        return Err(CommandError::GETKEYS_ARITY);
    }
    let mut keys = Vec::new();
    let complete = row
        .keys
        .iter()
        .filter(|spec| !spec.flags.contains(&"not_key"))
        .all(|spec| add_keys(&mut keys, row, spec, args));
    if !complete {
        keys.clear();
    }
    if keys.is_empty() && !row.flags.has(commands::row::Flags::NO_MANDATORY_KEYS) {
        return Err(CommandError::GETKEYS_ARGUMENTS);
    }
    Ok(keys)
}

/// Adds the keys that one spec finds; false when the arguments contradict it.
fn add_keys(keys: &mut Vec<NamedKey>, row: &Row, spec: &KeySpec, args: Args<'_>) -> bool {
    let len = args.len() as i64;
    let begin = match spec.begin {
        Begin::Index(index) => index as i64,
        Begin::Keyword { word, from } => match find_keyword(word, from as i64, args) {
            Some(index) => index + 1,
            // An option that is not given names no keys.
            None => return true,
        },
        Begin::Unknown(find) => match find(args) {
            Some(index) => index as i64,
            None => return true,
        },
    };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } => {
            let last = match (last, limit) {
                (0.., _) => begin + last as i64,
                (_, 0) => len + last as i64,
                (_, limit) => begin + (len - begin) / limit as i64 + last as i64,
            };
            (begin, last, step)
        }
        Find::KeyNum { count, first, step } => {
            let named = usize::try_from(begin).ok().and_then(|begin| args.get(begin + count));
            let Some(named @ 0..) = named.and_then(parse_i64) else { return false };
            let first = begin + first as i64;
            (first, first.saturating_add(named) - 1, step)
        }
    };
    if last >= len || last < first || first >= len {
        return false;
    }
    let flags = flags_of(row, spec, args);
    keys.extend((first..=last).step_by(step.max(1)).map(|at| (at as usize, flags)));
    !spec.flags.contains(&"incomplete")
}

/// Where `word` stands, searched forwards from `from` or backwards from the end.
///
/// The last argument cannot introduce a key, nor can the first when searching backwards.
fn find_keyword(word: &str, from: i64, args: Args<'_>) -> Option<i64> {
    let len = args.len() as i64;
    let is_word = |at: &i64| {
        usize::try_from(*at).is_ok_and(|at| args.at(at).eq_ignore_ascii_case(word.as_bytes()))
    };
    if from > 0 {
        (from..len - 1).find(is_word)
    } else {
        (2..=(len + from).min(len - 1)).rev().find(is_word)
    }
}

/// COMMAND HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    Tell how many commands there are.",
            "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    Name all commands, or those that fit.",
            "INFO [<command> ...]",
            "    Describe these commands, or all.",
            "DOCS [<command> ...]",
            "    Show the documentation of these commands, or of all.",
            "GETKEYS <full-command>",
            "    Name the keys of a whole command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Name the keys of a whole command, with what it does to each.",
        ],
    ))
}
