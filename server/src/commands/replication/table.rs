//! The rows of the replication commands.

use super::replicaof;
use crate::commands::row::{Arg, Flags, Group, Row, check};
use crate::dispatch::call::{Call, CommandResult};

type Run = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

/// A command for operators, whatever the link does.
const fn operator(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run).flag(Flags::ADMIN).flag(Flags::NOSCRIPT).flag(Flags::STALE)
}

/// One that changes the role, which all shards are held for.
const fn turns(name: &'static str) -> Row {
    operator(name, 3, replicaof::replicaof)
        .flag(Flags::NO_ASYNC_LOADING)
        .roams()
        .unnamed_keys(|_| true)
        .args(WHOSE_REPLICA)
}

const WHOSE_REPLICA: &[Arg] = &[Arg::one_of(
    "args",
    &[
        Arg::block("host-port", &[Arg::string("host"), Arg::integer("port")]),
        Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
    ],
)];

/// All rows.
pub const ROWS: &[Row] = &[
    turns("replicaof").docs(
        Group::Server,
        "5.0.0",
        "O(1)",
        "Becomes the replica of another node, or a primary.",
    ),
    turns("slaveof")
        .docs(Group::Server, "1.0.0", "O(1)", "Becomes the replica of another node, or a primary.")
        .deprecated("5.0.0", "`REPLICAOF`"),
];

const _: () = check(ROWS);
