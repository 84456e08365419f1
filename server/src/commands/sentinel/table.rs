//! The rows of SENTINEL.

use super::{address, ckquorum, failover, help, master, masters, myid, replicas, sentinels};
use crate::commands::row::{Arg, Flags, Group, Row, check};
use crate::dispatch::call::{Call, CommandResult};

type Run = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

/// A question about the group, in the state of which it is asked for the most part.
const fn question(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run)
        .flag(Flags::ADMIN)
        .flag(Flags::NOSCRIPT)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .flag(Flags::IN_GROUP)
}

const NAME: &[Arg] = &[Arg::string("master-name")];

/// All rows.
pub const ROWS: &[Row] = &[Row::container("sentinel", -2, SENTINEL).flag(Flags::IN_GROUP).docs(
    Group::Sentinel,
    "2.8.4",
    "That of the subcommand.",
    "Questions that clients ask a Sentinel.",
)];

const _: () = check(ROWS);

const SENTINEL: &[Row] = &[
    question("ckquorum", 3, ckquorum)
        .docs(
            Group::Sentinel,
            "2.8.4",
            "O(N) for N members.",
            "Tells whether enough members are up to elect a primary.",
        )
        .args(NAME),
    question("failover", 3, failover)
        .docs(Group::Sentinel, "2.8.4", "O(1)", "Hands the primary over to a replica.")
        .args(NAME),
    question("get-master-addr-by-name", 3, address)
        .docs(Group::Sentinel, "2.8.4", "O(1)", "Shows the address of the primary.")
        .args(NAME),
    question("help", 2, help).docs(Group::Sentinel, "6.2.0", "O(1)", "Tells what SENTINEL can do."),
    question("master", 3, master)
        .docs(Group::Sentinel, "2.8.4", "O(1)", "Shows the state of the primary.")
        .args(NAME),
    question("masters", 2, masters).docs(
        Group::Sentinel,
        "2.8.4",
        "O(1)",
        "Shows the state of the primary of this group.",
    ),
    question("myid", 2, myid).docs(
        Group::Sentinel,
        "6.2.0",
        "O(1)",
        "Shows the id of this member as a Sentinel.",
    ),
    question("replicas", 3, replicas)
        .docs(Group::Sentinel, "5.0.0", "O(N) for N replicas.", "Shows the state of the replicas.")
        .args(NAME),
    question("sentinels", 3, sentinels)
        .docs(
            Group::Sentinel,
            "2.8.4",
            "O(N) for N members.",
            "Shows the other members that clients can ask.",
        )
        .args(NAME),
    question("slaves", 3, replicas)
        .docs(Group::Sentinel, "2.8.0", "O(N) for N replicas.", "Shows the state of the replicas.")
        .deprecated("5.0.0", "`SENTINEL REPLICAS`")
        .args(NAME),
];
