//! The commands: every family's rows, and how a name finds its row.
//!
//! A command is one function and one [`row::Row`]; the table of its family is all that needs to
//! name it.

pub mod acl;
pub mod arg;
pub mod cluster;
pub mod connection;
pub mod docs;
pub mod generic;
pub mod group;
pub mod keys;
pub mod pubsub;
pub mod renames;
pub mod replication;
pub mod row;
pub mod scripting;
pub mod sentinel;
pub mod server;
pub mod transactions;

use foldhash::fast::RandomState;
use row::Row;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The tables of all families, in the order in which COMMAND and the README list them.
const TABLES: &[&[Row]] = &[
    connection::table::ROWS,
    generic::table::ROWS,
    crate::types::string::table::ROWS,
    crate::types::bitmap::table::ROWS,
    crate::types::hyperloglog::table::ROWS,
    crate::types::list::table::ROWS,
    crate::types::hash::table::ROWS,
    crate::types::hash::expiry::table::ROWS,
    crate::types::set::table::ROWS,
    crate::types::zset::table::ROWS,
    crate::types::geo::table::ROWS,
    crate::types::stream::table::ROWS,
    pubsub::table::ROWS,
    scripting::table::ROWS,
    server::table::ROWS,
    replication::table::ROWS,
    transactions::table::ROWS,
    acl::table::ROWS,
    cluster::table::ROWS,
    group::table::ROWS,
    sentinel::table::ROWS,
];

/// A command that can be called: its row, and where it stands among all others.
pub struct Command {
    /// The row.
    pub row: &'static Row,
    /// Index among all commands and subcommands, for statistics.
    pub id: usize,
    /// Name with its container: `config|get`.
    pub full_name: &'static str,
    /// The command this is a subcommand of.
    pub container: Option<&'static Row>,
    /// Whether it names keys at all.
    pub has_keys: bool,
    /// Whether the only key is argument 1: the usual case, planned without looking further.
    pub single_key: bool,
    /// Whether its name alone says it all: it runs, and neither is nor has a subcommand.
    pub is_plain: bool,
    subcommands: ByName,
}

impl Command {
    /// Its subcommands in the order of their rows.
    pub fn subcommands(&self) -> impl Iterator<Item = &'static Command> + '_ {
        self.row.subcommands.iter().filter_map(|row| self.subcommands.get(row.name).copied())
    }

    /// A subcommand by its word, in any case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static Command> {
        with_lower_case(word, |word| self.subcommands.get(word).copied())
    }
}

type ByName = HashMap<&'static str, &'static Command, RandomState>;

struct Registry {
    by_name: ByName,
    all: Vec<&'static Command>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry { by_name: ByName::default(), all: Vec::new() };
    for row in TABLES.iter().flat_map(|table| table.iter()) {
        let command = register(row, None, &mut registry.all);
        let twin = registry.by_name.insert(row.name, command);
        assert!(twin.is_none(), "two rows are named {}", row.name);
    }
    registry
});

fn register(
    row: &'static Row,
    container: Option<&'static Row>,
    all: &mut Vec<&'static Command>,
) -> &'static Command {
    let subcommands =
        row.subcommands.iter().map(|sub| (sub.name, register(sub, Some(row), all))).collect();
    let full_name = match container {
        Some(container) => format!("{}|{}", container.name, row.name).leak(),
        None => row.name,
    };
    use row::{Begin, Find, KeySpec};
    let has_keys = row.keys.iter().any(KeySpec::names_keys);
    let single_key = has_keys
        && matches!(
            row.keys,
            [KeySpec { begin: Begin::Index(1), find: Find::Range { last: 0, .. }, .. }]
        );
    // Rows live as long as the program, and so do the few bytes beside them.
    let command = &*Box::leak(Box::new(Command {
        row,
        id: all.len(),
        full_name,
        container,
        has_keys,
        single_key,
        is_plain: container.is_none() && row.subcommands.is_empty() && row.handler.is_some(),
        subcommands,
    }));
    all.push(command);
    command
}

/// The command of this name, in any case.
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    with_lower_case(name, |name| REGISTRY.by_name.get(name).copied())
}

/// A command by its name, or a subcommand by its name behind its container's: `config|get`.
pub fn find_full_name(name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.split(|byte| *byte == b'|');
    let command = find(parts.next()?)?;
    match (parts.next(), parts.next()) {
        (None, _) => Some(command),
        (Some(subcommand), None) => command.subcommand(subcommand),
        (Some(_), Some(_)) => None,
    }
}

/// All commands without subcommands, in the order of the tables.
pub fn top_level() -> impl Iterator<Item = &'static Command> {
    all().iter().copied().filter(|command| command.container.is_none())
}

/// All commands and subcommands by their id.
pub fn all() -> &'static [&'static Command] {
    &REGISTRY.all
}

/// No command has a longer name.
const NAME_MAX_BYTES: usize = 32;

#[inline]
fn with_lower_case<T>(name: &[u8], body: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut lower = [0; NAME_MAX_BYTES];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    body(std::str::from_utf8(lower).ok()?)
}
