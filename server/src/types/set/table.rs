//! The rows of the set commands.

use super::commands;
use crate::commands::row::{Arg, ArgKind, Begin, Categories, Find, Group, KeySpec, Row, check};

/// The set commands.
pub const ROWS: &[Row] = &[
    Row::new("sadd", -3, commands::sadd)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(Group::Set, "1.0.0", "O(1)", "Adds members; a missing set is made.")
        .history(&[("2.4.0", "Takes several members.")])
        .args(&[Arg::key("key", 0), Arg::string("member").multiple()]),
    Row::new("scard", 2, commands::scard)
        .reads()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::Set, "1.0.0", "O(1)", "Counts the members.")
        .args(&[Arg::key("key", 0)]),
    Row::new("sdiff", -2, commands::sdiff)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec::range(1, -1, 1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Members of the first set that no other has.")
        .args(&[Arg::key("key", 0).multiple()]),
    Row::new("sdiffstore", -3, commands::sdiffstore)
        .writes()
        .deny_oom()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["OW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N) at worst",
            "Stores the members of the first set that no other has.",
        )
        .args(&[Arg::key("destination", 0), Arg::key("key", 1).multiple()]),
    Row::new("sinter", -2, commands::sinter)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec::range(1, -1, 1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Set, "1.0.0", "O(N*M) at worst", "Members that all sets have.")
        .args(&[Arg::key("key", 0).multiple()]),
    Row::new("sintercard", -3, commands::sintercard)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec {
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
            flags: &["RO", "access"],
            notes: None,
        }])
        .docs(Group::Set, "7.0.0", "O(N*M) at worst", "Counts the members that all sets have.")
        .args(&[
            Arg::integer("numkeys"),
            Arg::key("key", 0).multiple(),
            Arg::integer("limit").token("LIMIT").optional(),
        ]),
    Row::new("sinterstore", -3, commands::sinterstore)
        .writes()
        .deny_oom()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])])
        .docs(Group::Set, "1.0.0", "O(N*M) at worst", "Stores the members that all sets have.")
        .args(&[Arg::key("destination", 0), Arg::key("key", 1).multiple()]),
    Row::new("sismember", 3, commands::sismember)
        .reads()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::Set, "1.0.0", "O(1)", "Tells whether a member is there.")
        .args(&[Arg::key("key", 0), Arg::string("member")]),
    Row::new("smembers", 2, commands::smembers)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Reads all members.")
        .args(&[Arg::key("key", 0)]),
    Row::new("smismember", -3, commands::smismember)
        .reads()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(
            Group::Set,
            "6.2.0",
            "O(N) at worst",
            "Tells of several members whether they are there.",
        )
        .args(&[Arg::key("key", 0), Arg::string("member").multiple()]),
    Row::new("smove", 4, commands::smove)
        .writes()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])])
        .docs(Group::Set, "1.0.0", "O(1)", "Moves a member to another set.")
        .args(&[Arg::key("source", 0), Arg::key("destination", 1), Arg::string("member")]),
    Row::new("spop", -2, commands::spop)
        .writes_rewritten()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Takes members at random.")
        .history(&[("3.2.0", "A count may be given.")])
        .args(&[Arg::key("key", 0), Arg::integer("count").since("3.2.0").optional()]),
    Row::new("srandmember", -2, commands::srandmember)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Draws members at random.")
        .history(&[("2.6.0", "A count may be given.")])
        .args(&[Arg::key("key", 0), Arg::integer("count").since("2.6.0").optional()]),
    Row::new("srem", -3, commands::srem)
        .writes()
        .fast()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Removes members.")
        .history(&[("2.4.0", "Takes several members.")])
        .args(&[Arg::key("key", 0), Arg::string("member").multiple()]),
    Row::new("sscan", -3, commands::sscan)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Set, "2.8.0", "O(1)", "Goes through the members in steps.")
        .args(&[
            Arg::key("key", 0),
            Arg::integer("cursor"),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    Row::new("sunion", -2, commands::sunion)
        .reads()
        .category(Categories::SET)
        .keys(&[KeySpec::range(1, -1, 1, &["RO", "access"])])
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Members that any of the sets has.")
        .args(&[Arg::key("key", 0).multiple()]),
    Row::new("sunionstore", -3, commands::sunionstore)
        .writes()
        .deny_oom()
        .category(Categories::SET)
        .keys(&[KeySpec::at(1, &["OW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])])
        .docs(Group::Set, "1.0.0", "O(N) at worst", "Stores the members that any of the sets has.")
        .args(&[Arg::key("destination", 0), Arg::key("key", 1).multiple()]),
];

const _: () = check(ROWS);
