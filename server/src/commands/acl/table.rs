//! The rows of ACL.

use super::{cat, dryrun, genpass, help, log, users};
use crate::commands::row::{Arg, Flags, Group, Row, check};
use crate::dispatch::call::{Call, CommandResult};

type Run = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

/// A subcommand that works whatever state the data set is in, and not from scripts.
const fn anytime(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run).flag(Flags::NOSCRIPT).flag(Flags::LOADING).flag(Flags::STALE)
}

/// The same for operators only.
const fn operator(name: &'static str, arity: i32, run: Run) -> Row {
    anytime(name, arity, run).flag(Flags::ADMIN)
}

const BY_USERS: &str = "O(N) for N users.";
const BY_RULES: &str = "O(N) for N rules.";
/// Proxies tell every node, and succeed when each has.
const EVERY_NODE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const USER_NAME: &[Arg] = &[Arg::string("username")];

/// All rows.
pub const ROWS: &[Row] = &[Row::container("acl", -2, ACL).docs(
    Group::Server,
    "6.0.0",
    "That of the subcommand.",
    "Commands about users and what they may do.",
)];

const _: () = check(ROWS);

const ACL: &[Row] = &[
    anytime("cat", -2, cat)
        .docs(
            Group::Server,
            "6.0.0",
            "O(1): the commands are always the same.",
            "Names the categories of commands, or the commands of one.",
        )
        .args(&[Arg::string("category").optional()]),
    operator("deluser", -3, users::deluser)
        .docs(Group::Server, "6.0.0", BY_USERS, "Deletes users and ends their connections.")
        .tips(EVERY_NODE)
        .args(&[Arg::string("username").multiple()]),
    operator("dryrun", -4, dryrun)
        .docs(Group::Server, "7.0.0", "O(1).", "Tells whether a user may call a command.")
        .args(&[
            Arg::string("username"),
            Arg::string("command"),
            Arg::string("arg").optional().multiple(),
        ]),
    anytime("genpass", -2, genpass)
        .docs(Group::Server, "6.0.0", "O(1)", "Makes up a password that cannot be guessed.")
        .args(&[Arg::integer("bits").optional()]),
    operator("getuser", 3, users::getuser)
        .docs(Group::Server, "6.0.0", BY_RULES, "Shows the rules of a user.")
        .history(&[
            ("6.2.0", "Shows patterns of channels."),
            ("7.0.0", "Shows selectors, and patterns of keys and channels as rules."),
        ])
        .args(USER_NAME),
    Row::new("help", 2, help).flag(Flags::LOADING).flag(Flags::STALE).docs(
        Group::Server,
        "6.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    operator("list", 2, users::list).docs(
        Group::Server,
        "6.0.0",
        BY_USERS,
        "Shows all users as a file has them.",
    ),
    operator("load", 2, users::load).docs(
        Group::Server,
        "6.0.0",
        BY_USERS,
        "Reads the ACL file again.",
    ),
    operator("log", -2, log::log)
        .docs(Group::Server, "6.0.0", "O(N) for N entries.", "Shows what was denied lately.")
        .history(&[("7.2.0", "Shows the number of an entry and its times.")])
        .args(&[Arg::one_of("operation", &[Arg::integer("count"), Arg::word("reset", "RESET")])
            .optional()]),
    operator("save", 2, users::save)
        .docs(Group::Server, "6.0.0", BY_USERS, "Writes all users to the ACL file.")
        .tips(EVERY_NODE),
    operator("setuser", -3, users::setuser)
        .docs(Group::Server, "6.0.0", BY_RULES, "Changes a user, or creates one.")
        .history(&[
            ("6.2.0", "Takes patterns of channels."),
            ("7.0.0", "Takes selectors, and patterns of keys to read or to write."),
        ])
        .tips(EVERY_NODE)
        .args(&[Arg::string("username"), Arg::string("rule").optional().multiple()]),
    operator("users", 2, users::users).docs(Group::Server, "6.0.0", BY_USERS, "Names all users."),
    anytime("whoami", 2, users::whoami).docs(
        Group::Server,
        "6.0.0",
        "O(1)",
        "Names the user of the connection.",
    ),
];
