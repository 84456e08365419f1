//! The rows of the transaction commands.

use crate::commands::row::{Arg, Categories, Flags, Group, KeySpec, Row, check};
use crate::dispatch::call::{Call, CommandResult};

/// What all of them have: they work whatever the node is busy with, and make no sense in a script.
const fn transaction(
    name: &'static str,
    arity: i32,
    run: for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>,
) -> Row {
    Row::new(name, arity, run)
        .flag(Flags::NOSCRIPT)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .category(Categories::TRANSACTION)
}

/// All rows.
pub const ROWS: &[Row] = &[
    transaction("discard", 1, super::discard)
        .flag(Flags::FAST)
        .flag(Flags::ALLOW_BUSY)
        .flag(Flags::AT_ONCE)
        .flag(Flags::ENDS_MULTI)
        .docs(
            Group::Transactions,
            "2.0.0",
            "O(N), N being the queued commands.",
            "Forgets the queued commands and the watched keys.",
        ),
    transaction("exec", 1, super::exec).flag(Flags::SKIP_SLOWLOG).flag(Flags::EXEC).docs(
        Group::Transactions,
        "1.2.0",
        "That of the queued commands.",
        "Runs the queued commands as one, unless a watched key was changed.",
    ),
    transaction("multi", 1, super::multi)
        .flag(Flags::FAST)
        .flag(Flags::ALLOW_BUSY)
        .flag(Flags::AT_ONCE)
        .docs(Group::Transactions, "1.2.0", "O(1)", "Begins to queue commands."),
    transaction("unwatch", 1, super::unwatch).flag(Flags::FAST).flag(Flags::ALLOW_BUSY).docs(
        Group::Transactions,
        "2.2.0",
        "O(1)",
        "Forgets the watched keys.",
    ),
    transaction("watch", -2, super::watch)
        .flag(Flags::FAST)
        .flag(Flags::ALLOW_BUSY)
        .flag(Flags::AT_ONCE)
        .keys(&[KeySpec::range(1, -1, 1, &["RO"])])
        .docs(
            Group::Transactions,
            "2.2.0",
            "O(1) for each key.",
            "Lets EXEC fail when one of the keys is changed before.",
        )
        .args(&[Arg::key("key", 0).multiple()]),
];

const _: () = check(ROWS);
