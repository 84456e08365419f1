//! The rows of the string commands.

use super::commands;
use crate::commands::row::{Arg, ArgKind, Categories, Group, KeySpec, Row, check};

/// The string commands.
pub const ROWS: &[Row] = &[
    Row::new("append", 3, commands::append)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(
            Group::String,
            "2.0.0",
            "O(1) amortized: the room kept behind a string grows with it.",
            "Adds bytes to the end of a string; a missing key is made.",
        )
        .args(&[Arg::key("key", 0), Arg::string("value")]),
    Row::new("decr", 2, commands::decr)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Subtracts one from an integer; a missing key counts as 0.",
        )
        .args(&[Arg::key("key", 0)]),
    Row::new("decrby", 3, commands::decrby)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Subtracts from an integer; a missing key counts as 0.",
        )
        .args(&[Arg::key("key", 0), Arg::integer("decrement")]),
    Row::new("get", 2, commands::get)
        .reads()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::String, "1.0.0", "O(1)", "Reads a string.")
        .args(&[Arg::key("key", 0)]),
    Row::new("getdel", 2, commands::getdel)
        .writes_rewritten()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"])])
        .docs(Group::String, "6.2.0", "O(1)", "Reads a string and removes its key.")
        .args(&[Arg::key("key", 0)]),
    Row::new("getex", -2, commands::getex)
        .writes_rewritten()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])
            .note("An update, since the deadline changes")])
        .docs(
            Group::String,
            "6.2.0",
            "O(1)",
            "Reads a string and sets or takes its key's deadline.",
        )
        .args(&[
            Arg::key("key", 0),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").token("EX"),
                    Arg::integer("milliseconds").token("PX"),
                    Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT"),
                    Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT"),
                    Arg::word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ]),
    Row::new("getrange", 4, commands::getrange)
        .reads()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(
            Group::String,
            "2.4.0",
            SUBSTRING_COST,
            "Reads the part of a string between two offsets.",
        )
        .args(&[Arg::key("key", 0), Arg::integer("start"), Arg::integer("end")]),
    Row::new("getset", 3, commands::getset)
        .writes_rewritten()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(Group::String, "1.0.0", "O(1)", "Stores a string and gives the one it replaced.")
        .deprecated("6.2.0", "`SET` with the `!GET` argument")
        .args(&[Arg::key("key", 0), Arg::string("value")]),
    Row::new("incr", 2, commands::incr)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(Group::String, "1.0.0", "O(1)", "Adds one to an integer; a missing key counts as 0.")
        .args(&[Arg::key("key", 0)]),
    Row::new("incrby", 3, commands::incrby)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(Group::String, "1.0.0", "O(1)", "Adds to an integer; a missing key counts as 0.")
        .args(&[Arg::key("key", 0), Arg::integer("increment")]),
    Row::new("incrbyfloat", 3, commands::incrbyfloat)
        .writes_rewritten()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(
            Group::String,
            "2.6.0",
            "O(1)",
            "Adds to a number with a fraction; a missing key counts as 0.",
        )
        .args(&[Arg::key("key", 0), Arg::new("increment", ArgKind::Double)]),
    Row::new("lcs", -3, commands::lcs)
        .reads()
        .category(Categories::STRING)
        .keys(&[KeySpec::range(1, 1, 1, &["RO", "access"])])
        .docs(
            Group::String,
            "7.0.0",
            "O(N*M) for strings of N and M bytes",
            "Finds the longest sequence of bytes that two strings have in common.",
        )
        .args(&[
            Arg::key("key1", 0),
            Arg::key("key2", 0),
            Arg::word("len", "LEN").optional(),
            Arg::word("idx", "IDX").optional(),
            Arg::integer("min-match-len").token("MINMATCHLEN").optional(),
            Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
    Row::new("mget", -2, commands::mget)
        .reads()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::range(1, -1, 1, &["RO", "access"])])
        .tips(&["request_policy:multi_shard"])
        .docs(
            Group::String,
            "1.0.0",
            "O(N) for N keys",
            "Reads several strings at one point in time.",
        )
        .args(&[Arg::key("key", 0).multiple()]),
    Row::new("mset", -3, commands::mset)
        .writes()
        .deny_oom()
        .category(Categories::STRING)
        .keys(&[KeySpec::range(1, -1, 2, &["OW", "update"])])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .docs(
            Group::String,
            "1.0.1",
            "O(N) for N keys",
            "Stores several strings at one point in time.",
        )
        .args(&[Arg::block("data", PAIR).multiple()]),
    Row::new("msetnx", -3, commands::msetnx)
        .writes()
        .deny_oom()
        .category(Categories::STRING)
        .keys(&[KeySpec::range(1, -1, 2, &["OW", "insert"])])
        .docs(
            Group::String,
            "1.0.1",
            "O(N) for N keys",
            "Stores several strings at one point in time if none of the keys is there.",
        )
        .args(&[Arg::block("data", PAIR).multiple()]),
    Row::new("psetex", 4, commands::psetex)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["OW", "update"])])
        .docs(Group::String, "2.6.0", "O(1)", "Stores a string that lives for some milliseconds.")
        .deprecated("2.6.12", "`SET` with the `PX` argument")
        .args(&[Arg::key("key", 0), Arg::integer("milliseconds"), Arg::string("value")]),
    Row::new("set", -3, commands::set)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "access", "update", "variable_flags"])
            .note("Reads only when `GET` is given")])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string under a key, whatever the key held before.",
        )
        .history(&[
            ("2.6.12", "The options `EX`, `PX`, `NX` and `XX`."),
            ("6.0.0", "The option `KEEPTTL`."),
            ("6.2.0", "The options `GET`, `EXAT` and `PXAT`."),
            ("7.0.0", "`NX` may go with `GET`."),
        ])
        .args(&[
            Arg::key("key", 0),
            Arg::string("value"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .since("2.6.12")
                .optional(),
            Arg::word("get", "GET").since("6.2.0").optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").token("EX").since("2.6.12"),
                    Arg::integer("milliseconds").token("PX").since("2.6.12"),
                    Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT").since("6.2.0"),
                    Arg::new("unix-time-milliseconds", ArgKind::UnixTime)
                        .token("PXAT")
                        .since("6.2.0"),
                    Arg::word("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ]),
    Row::new("setex", 4, commands::setex)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["OW", "update"])])
        .docs(Group::String, "2.0.0", "O(1)", "Stores a string that lives for some seconds.")
        .deprecated("2.6.12", "`SET` with the `EX` argument")
        .args(&[Arg::key("key", 0), Arg::integer("seconds"), Arg::string("value")]),
    Row::new("setnx", 3, commands::setnx)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["OW", "insert"])])
        .docs(Group::String, "1.0.0", "O(1)", "Stores a string if its key is not there.")
        .deprecated("2.6.12", "`SET` with the `NX` argument")
        .args(&[Arg::key("key", 0), Arg::string("value")]),
    Row::new("setrange", 4, commands::setrange)
        .writes()
        .deny_oom()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(
            Group::String,
            "2.2.0",
            "O(M) for a value of M bytes, besides the zeros that fill a gap before it",
            "Overwrites a string from an offset on; a gap before it is filled with zero bytes.",
        )
        .args(&[Arg::key("key", 0), Arg::integer("offset"), Arg::string("value")]),
    Row::new("strlen", 2, commands::strlen)
        .reads()
        .fast()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::String, "2.2.0", "O(1)", "Tells how many bytes a string has.")
        .args(&[Arg::key("key", 0)]),
    Row::new("substr", 4, commands::getrange)
        .reads()
        .category(Categories::STRING)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(
            Group::String,
            "1.0.0",
            SUBSTRING_COST,
            "Reads the part of a string between two offsets.",
        )
        .deprecated("2.0.0", "`GETRANGE`")
        .args(&[Arg::key("key", 0), Arg::integer("start"), Arg::integer("end")]),
];

const SUBSTRING_COST: &str = "O(N) for a reply of N bytes";

/// What MSET and MSETNX repeat.
const PAIR: &[Arg] = &[Arg::key("key", 0), Arg::string("value")];

const _: () = check(ROWS);
