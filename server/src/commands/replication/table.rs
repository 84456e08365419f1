//! The rows of the replication commands.

use super::{failover, psync, replconf, replicaof, role, sync, wait, waitaof};
use crate::commands::row::{Arg, ArgKind, Categories, Flags, Group, Row, check};
use crate::dispatch::call::{Call, CommandResult};

/// A command by which a connection becomes a replica's.
const fn follows(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run)
        .flag(Flags::NO_ASYNC_LOADING)
        .flag(Flags::ADMIN)
        .flag(Flags::NO_MULTI)
        .flag(Flags::NOSCRIPT)
}

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

const TARGET: &[Arg] =
    &[Arg::string("host"), Arg::integer("port"), Arg::word("force", "FORCE").optional()];

/// All rows.
pub const ROWS: &[Row] = &[
    operator("failover", -1, failover::failover)
        .roams()
        .docs(
            Group::Server,
            "6.2.0",
            "O(1)",
            "Changes places with a replica once it has everything.",
        )
        .args(&[
            Arg::block("target", TARGET).token("TO").optional(),
            Arg::word("abort", "ABORT").optional(),
            Arg::integer("milliseconds").token("TIMEOUT").optional(),
        ]),
    turns("replicaof").docs(
        Group::Server,
        "5.0.0",
        "O(1)",
        "Becomes the replica of another node, or a primary.",
    ),
    turns("slaveof")
        .docs(Group::Server, "1.0.0", "O(1)", "Becomes the replica of another node, or a primary.")
        .deprecated("5.0.0", "`REPLICAOF`"),
    follows("psync", -3, psync)
        .docs(
            Group::Server,
            "2.8.0",
            "",
            "Follows this node's data from a place in its history on.",
        )
        .args(&[Arg::string("replicationid"), Arg::new("offset", ArgKind::Integer)]),
    Row::new("replconf", -1, replconf)
        .flag(Flags::ADMIN)
        .flag(Flags::NOSCRIPT)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .flag(Flags::ALLOW_BUSY)
        .flag(Flags::SYSCMD)
        .docs(Group::Server, "3.0.0", "O(1)", "Lets nodes tell each other what they are and have."),
    Row::new("role", 1, role)
        .flag(Flags::NOSCRIPT)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .fast()
        .category(Categories::ADMIN)
        .category(Categories::DANGEROUS)
        .docs(
            Group::Server,
            "2.8.12",
            "O(1)",
            "Tells whether the node is a primary, or whose replica.",
        ),
    follows("sync", 1, sync).docs(Group::Server, "1.0.0", "", "Follows this node's data."),
    Row::new("wait", 3, wait)
        .category(Categories::CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs(
            Group::Generic,
            "3.0.0",
            "O(1)",
            "Waits until replicas have what the connection wrote.",
        )
        .args(&[Arg::integer("numreplicas"), Arg::integer("timeout")]),
    Row::new("waitaof", 4, waitaof)
        .flag(Flags::NOSCRIPT)
        .category(Categories::CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs(
            Group::Generic,
            "7.2.0",
            "O(1)",
            "Waits until append-only files on disks have what the connection wrote.",
        )
        .args(&[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")]),
];

const _: () = check(ROWS);
