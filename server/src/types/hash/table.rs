//! The rows of the hash commands.

use super::commands;
use crate::commands::row::{Arg, ArgKind, Categories, Group, KeySpec, Row, check};

/// The hash commands.
pub const ROWS: &[Row] = &[
    Row::new("hdel", -3, commands::hdel)
        .writes()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .docs(Group::Hash, "2.0.0", "O(N) at worst", "Removes fields.")
        .history(&[("2.4.0", "Takes several fields.")])
        .args(&[Arg::key("key", 0), Arg::string("field").multiple()]),
    Row::new("hexists", 3, commands::hexists)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::Hash, "2.0.0", "O(1)", "Tells whether a field is there.")
        .args(&[Arg::key("key", 0), Arg::string("field")]),
    Row::new("hget", 3, commands::hget)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Hash, "2.0.0", "O(1)", "Reads a field.")
        .args(&[Arg::key("key", 0), Arg::string("field")]),
    Row::new("hgetall", 2, commands::hgetall)
        .reads()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Hash, "2.0.0", "O(N) at worst", "Reads all fields with their values.")
        .args(&[Arg::key("key", 0)]),
    Row::new("hincrby", 4, commands::hincrby)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Adds to the integer in a field; a missing one counts as 0.",
        )
        .args(&[Arg::key("key", 0), Arg::string("field"), Arg::integer("increment")]),
    Row::new("hincrbyfloat", 4, commands::hincrbyfloat)
        .writes_rewritten()
        .deny_oom()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(
            Group::Hash,
            "2.6.0",
            "O(1)",
            "Adds to the number in a field; a missing one counts as 0.",
        )
        .args(&[Arg::key("key", 0), Arg::string("field"), Arg::new("increment", ArgKind::Double)]),
    Row::new("hkeys", 2, commands::hkeys)
        .reads()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Hash, "2.0.0", "O(N) at worst", "Reads the names of all fields.")
        .args(&[Arg::key("key", 0)]),
    Row::new("hlen", 2, commands::hlen)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::Hash, "2.0.0", "O(1)", "Counts the fields.")
        .args(&[Arg::key("key", 0)]),
    Row::new("hmget", -3, commands::hmget)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Hash, "2.0.0", "O(N) at worst", "Reads several fields.")
        .args(&[Arg::key("key", 0), Arg::string("field").multiple()]),
    Row::new("hmset", -4, commands::hmset)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "2.0.0", "O(N) at worst", "Sets several fields.")
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs")
        .args(&[
            Arg::key("key", 0),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ]),
    Row::new("hrandfield", -2, commands::hrandfield)
        .reads()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Hash, "6.2.0", "O(N) at worst", "Draws fields at random.")
        .args(&[
            Arg::key("key", 0),
            Arg::block(
                "options",
                &[Arg::integer("count"), Arg::word("withvalues", "WITHVALUES").optional()],
            )
            .optional(),
        ]),
    Row::new("hscan", -3, commands::hscan)
        .reads()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Hash, "2.8.0", "O(1)", "Goes through the fields in steps.")
        .args(&[
            Arg::key("key", 0),
            Arg::integer("cursor"),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    Row::new("hset", -4, commands::hset)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "2.0.0", "O(1)", "Sets fields; counts the new ones.")
        .history(&[("4.0.0", "Takes several fields.")])
        .args(&[
            Arg::key("key", 0),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ]),
    Row::new("hsetnx", 4, commands::hsetnx)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(Group::Hash, "2.0.0", "O(1)", "Sets a field that is not there yet.")
        .args(&[Arg::key("key", 0), Arg::string("field"), Arg::string("value")]),
    Row::new("hstrlen", 3, commands::hstrlen)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::Hash, "3.2.0", "O(1)", "Gives the length of a value.")
        .args(&[Arg::key("key", 0), Arg::string("field")]),
    Row::new("hvals", 2, commands::hvals)
        .reads()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Hash, "2.0.0", "O(N) at worst", "Reads all values.")
        .args(&[Arg::key("key", 0)]),
];

const _: () = check(ROWS);
