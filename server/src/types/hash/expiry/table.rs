//! The rows of the commands for deadlines of fields.

use super::commands;
use crate::commands::row::{Arg, ArgKind, Categories, Group, KeySpec, Row, check};

/// The commands for deadlines of fields.
pub const ROWS: &[Row] = &[
    Row::new("hexpire", -6, commands::hexpire)
        .writes_rewritten()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "7.4.0", "O(N)", "Lets fields expire in so many seconds.")
        .args(&[
            Arg::key("key", 0),
            Arg::integer("seconds"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .optional(),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hexpireat", -6, commands::hexpireat)
        .writes_rewritten()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "7.4.0", "O(N)", "Lets fields expire at a Unix time in seconds.")
        .args(&[
            Arg::key("key", 0),
            Arg::new("unix-time-seconds", ArgKind::UnixTime),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .optional(),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hexpiretime", -5, commands::hexpiretime)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Hash, "7.4.0", "O(N)", "Reads when fields expire, as Unix times in seconds.")
        .args(&[
            Arg::key("key", 0),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hgetdel", -5, commands::hgetdel)
        .writes_rewritten()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"])])
        .docs(Group::Hash, "8.0.0", "O(N)", "Reads fields and removes them.")
        .args(&[
            Arg::key("key", 0),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hgetex", -5, commands::hgetex)
        .writes_rewritten()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])
            .note("RW and UPDATE because it changes the TTL")])
        .docs(Group::Hash, "8.0.0", "O(N)", "Reads fields and sets or takes their deadlines.")
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
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hpersist", -5, commands::hpersist)
        .writes()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "7.4.0", "O(N)", "Takes the deadlines of fields away.")
        .args(&[
            Arg::key("key", 0),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hpexpire", -6, commands::hpexpire)
        .writes_rewritten()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "7.4.0", "O(N)", "Lets fields expire in so many milliseconds.")
        .args(&[
            Arg::key("key", 0),
            Arg::integer("milliseconds"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .optional(),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hpexpireat", -6, commands::hpexpireat)
        .writes_rewritten()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "7.4.0", "O(N)", "Lets fields expire at a Unix time in milliseconds.")
        .args(&[
            Arg::key("key", 0),
            Arg::new("unix-time-milliseconds", ArgKind::UnixTime),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::word("gt", "GT"),
                    Arg::word("lt", "LT"),
                ],
            )
            .optional(),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hpexpiretime", -5, commands::hpexpiretime)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N)",
            "Reads when fields expire, as Unix times in milliseconds.",
        )
        .args(&[
            Arg::key("key", 0),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hpttl", -5, commands::hpttl)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Hash, "7.4.0", "O(N)", "Reads how many milliseconds fields have left.")
        .args(&[
            Arg::key("key", 0),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
    Row::new("hsetex", -6, commands::hsetex)
        .writes_rewritten()
        .deny_oom()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Hash, "8.0.0", "O(N)", "Sets fields that expire together.")
        .args(&[
            Arg::key("key", 0),
            Arg::one_of("condition", &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")])
                .optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").token("EX"),
                    Arg::integer("milliseconds").token("PX"),
                    Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT"),
                    Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT"),
                    Arg::word("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
            Arg::block(
                "fields",
                &[
                    Arg::integer("numfields"),
                    Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
                ],
            )
            .token("FIELDS"),
        ]),
    Row::new("httl", -5, commands::httl)
        .reads()
        .fast()
        .category(Categories::HASH)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Hash, "7.4.0", "O(N)", "Reads how many seconds fields have left.")
        .args(&[
            Arg::key("key", 0),
            Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()])
                .token("FIELDS"),
        ]),
];

const _: () = check(ROWS);
