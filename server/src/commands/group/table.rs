//! The rows of GROUP.

use super::{
    add_node, events, failover, help, interrupt_zone, nodes, remove_node, restart, status,
    test_failover,
};
use crate::commands::row::{Arg, Flags, Group, Row, check};
use crate::dispatch::call::{Call, CommandResult};

type Run = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

/// The version of Redis beside which GROUP came into being.
const SINCE: &str = "7.2.0";

/// A question that every node answers in any state.
const fn question(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run).flag(Flags::NOSCRIPT).flag(Flags::LOADING).flag(Flags::STALE)
}

/// A wish that only operators may have.
const fn wish(name: &'static str, arity: i32, run: Run) -> Row {
    question(name, arity, run).flag(Flags::ADMIN)
}

const NODE: &[Arg] = &[Arg::string("node")];

/// All rows.
pub const ROWS: &[Row] = &[Row::container("group", -2, GROUP).docs(
    Group::Server,
    SINCE,
    "That of the subcommand.",
    "Commands about the replication group.",
)];

const _: () = check(ROWS);

const GROUP: &[Row] = &[
    wish("add-node", 3, add_node)
        .docs(Group::Server, SINCE, "O(1)", "Makes a node a member of the group.")
        .args(&[Arg::string("member")]),
    question("events", -2, events)
        .docs(Group::Server, SINCE, "O(N) for N events.", "Shows what happened to the group.")
        .args(&[Arg::one_of(
            "which",
            &[Arg::integer("count").token("COUNT"), Arg::integer("number").token("AFTER")],
        )
        .optional()]),
    wish("failover", -2, failover)
        .docs(
            Group::Server,
            SINCE,
            "O(1)",
            "Hands the primary over to a replica without losing or failing a write.",
        )
        .args(&[Arg::string("node").token("TO").optional()]),
    question("help", 2, help).docs(Group::Server, SINCE, "O(1)", "Tells what GROUP can do."),
    question("info", 2, status).docs(
        Group::Server,
        SINCE,
        "O(1)",
        "Shows the state of the group as this node knows it.",
    ),
    wish("interrupt-zone", 4, interrupt_zone)
        .docs(
            Group::Server,
            SINCE,
            "O(N) for N members.",
            "Takes the power from all nodes of a zone for a time.",
        )
        .args(&[Arg::string("zone"), Arg::string("duration")]),
    question("nodes", 2, nodes).docs(
        Group::Server,
        SINCE,
        "O(N) for N members.",
        "Shows the members of the group.",
    ),
    wish("remove-node", 3, remove_node)
        .docs(Group::Server, SINCE, "O(1)", "Ends the membership of a node.")
        .args(NODE),
    wish("restart", 2, restart).docs(
        Group::Server,
        SINCE,
        "O(N) for N members.",
        "Restarts all nodes one after another, the primary last.",
    ),
    question("status", 2, status).docs(
        Group::Server,
        SINCE,
        "O(1)",
        "Shows the state of the group as this node knows it.",
    ),
    wish("test-failover", 2, test_failover).docs(
        Group::Server,
        SINCE,
        "O(1)",
        "Takes the power from the primary's node for a moment.",
    ),
];
