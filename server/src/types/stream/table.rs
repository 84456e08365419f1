//! The rows of the stream commands.

use super::{add, claim, commands, groups, info, read};
use crate::commands::row::{
    Arg, ArgKind, Begin, Categories, Find, Flags, Group, KeySpec, Row, check,
};

const BY_SUBCOMMAND: &str = "That of the subcommand.";

/// The stream commands.
pub const ROWS: &[Row] = &[
    Row::new("xack", -4, claim::xack)
        .writes()
        .fast()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::Stream, "5.0.0", "O(1)", "Takes entries off a group's pending list.")
        .args(&[Arg::key("key", 0), Arg::string("group"), Arg::string("ID").multiple()]),
    Row::new("xadd", -5, add::xadd)
        .writes_rewritten()
        .deny_oom()
        .fast()
        .category(Categories::STREAM)
        .keys(&[
            KeySpec::at(1, &["RW", "update"]).note("An update and no insert, since it may trim")
        ])
        .tips(&["nondeterministic_output"])
        .docs(Group::Stream, "5.0.0", "O(1)", "Appends an entry to a stream.")
        .history(&[
            ("6.2.0", "`NOMKSTREAM`, `MINID` and `LIMIT`."),
            ("7.0.0", "The form `<ms>-*` of an ID."),
        ])
        .args(&[
            Arg::key("key", 0),
            Arg::word("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            Arg::block(
                "trim",
                &[
                    Arg::one_of(
                        "strategy",
                        &[
                            Arg::word("maxlen", "MAXLEN"),
                            Arg::word("minid", "MINID").since("6.2.0"),
                        ],
                    ),
                    Arg::one_of(
                        "operator",
                        &[Arg::word("equal", "="), Arg::word("approximately", "~")],
                    )
                    .optional(),
                    Arg::string("threshold"),
                    Arg::integer("count").token("LIMIT").since("6.2.0").optional(),
                ],
            )
            .optional(),
            Arg::one_of("id-selector", &[Arg::word("auto-id", "*"), Arg::string("id")]),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ]),
    Row::new("xautoclaim", -6, claim::xautoclaim)
        .writes_rewritten()
        .fast()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Stream, "6.2.0", "O(1)", "Gives a consumer what others left pending for long.")
        .history(&[("7.0.0", "Tells which entries were found to be deleted.")])
        .args(&[
            Arg::key("key", 0),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("start"),
            Arg::integer("count").token("COUNT").optional(),
            Arg::word("justid", "JUSTID").optional(),
        ]),
    Row::new("xclaim", -6, claim::xclaim)
        .writes_rewritten()
        .fast()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Stream, "5.0.0", "O(log N)", "Gives a consumer pending entries of others.")
        .args(&[
            Arg::key("key", 0),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("ID").multiple(),
            Arg::integer("ms").token("IDLE").optional(),
            Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("TIME").optional(),
            Arg::integer("count").token("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
            Arg::word("justid", "JUSTID").optional(),
            Arg::string("lastid").token("LASTID").optional(),
        ]),
    Row::new("xdel", -3, commands::xdel)
        .writes()
        .fast()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .docs(Group::Stream, "5.0.0", "O(1)", "Removes entries from a stream.")
        .args(&[Arg::key("key", 0), Arg::string("ID").multiple()]),
    Row::container(
        "xgroup",
        -2,
        &[
            Row::new("create", -5, groups::xgroup_create)
                .writes()
                .deny_oom()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RW", "insert"])])
                .docs(Group::Stream, "5.0.0", "O(1)", "Makes a consumer group.")
                .history(&[("7.0.0", "`ENTRIESREAD`.")])
                .args(&[
                    Arg::key("key", 0),
                    Arg::string("group"),
                    Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]),
                    Arg::word("mkstream", "MKSTREAM").optional(),
                    Arg::integer("entries-read").token("ENTRIESREAD").optional(),
                ]),
            Row::new("createconsumer", 5, groups::xgroup_createconsumer)
                .writes()
                .deny_oom()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RW", "insert"])])
                .docs(Group::Stream, "6.2.0", "O(1)", "Makes a consumer in a group.")
                .args(&[Arg::key("key", 0), Arg::string("group"), Arg::string("consumer")]),
            Row::new("delconsumer", 5, groups::xgroup_delconsumer)
                .writes()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RW", "delete"])])
                .docs(
                    Group::Stream,
                    "5.0.0",
                    "O(1)",
                    "Removes a consumer and what is pending for it.",
                )
                .args(&[Arg::key("key", 0), Arg::string("group"), Arg::string("consumer")]),
            Row::new("destroy", 4, groups::xgroup_destroy)
                .writes()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RW", "delete"])])
                .docs(Group::Stream, "5.0.0", "O(N)", "Removes a consumer group.")
                .args(&[Arg::key("key", 0), Arg::string("group")]),
            Row::new("help", 2, groups::xgroup_help)
                .flag(Flags::LOADING)
                .flag(Flags::STALE)
                .category(Categories::STREAM)
                .docs(Group::Stream, "5.0.0", "O(1)", "Describes the subcommands."),
            Row::new("setid", -5, groups::xgroup_setid)
                .writes()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RW", "update"])])
                .docs(Group::Stream, "5.0.0", "O(1)", "Sets the ID up to which a group has read.")
                .history(&[("7.0.0", "`ENTRIESREAD`.")])
                .args(&[
                    Arg::key("key", 0),
                    Arg::string("group"),
                    Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]),
                    Arg::integer("entriesread")
                        .token("ENTRIESREAD")
                        .display("entries-read")
                        .optional(),
                ]),
        ],
    )
    .docs(Group::Stream, "5.0.0", BY_SUBCOMMAND, "Commands that manage consumer groups."),
    Row::container(
        "xinfo",
        -2,
        &[
            Row::new("consumers", 4, info::xinfo_consumers)
                .reads()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RO", "access"])])
                .tips(&["nondeterministic_output"])
                .docs(Group::Stream, "5.0.0", "O(1)", "Shows the consumers of a group.")
                .history(&[("7.2.0", "The field `inactive`.")])
                .args(&[Arg::key("key", 0), Arg::string("group")]),
            Row::new("groups", 3, info::xinfo_groups)
                .reads()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RO", "access"])])
                .docs(Group::Stream, "5.0.0", "O(1)", "Shows the consumer groups of a stream.")
                .history(&[("7.0.0", "The fields `entries-read` and `lag`.")])
                .args(&[Arg::key("key", 0)]),
            Row::new("help", 2, info::xinfo_help)
                .flag(Flags::LOADING)
                .flag(Flags::STALE)
                .category(Categories::STREAM)
                .docs(Group::Stream, "5.0.0", "O(1)", "Describes the subcommands."),
            Row::new("stream", -3, info::xinfo_stream)
                .reads()
                .category(Categories::STREAM)
                .keys(&[KeySpec::at(2, &["RO", "access"])])
                .docs(Group::Stream, "5.0.0", "O(1)", "Shows facts about a stream.")
                .history(&[
                    ("6.0.0", "`FULL`."),
                    ("7.0.0", "Fields about deleted entries and about lag."),
                    ("7.2.0", "The field `active-time`; `seen-time` is when it last tried."),
                ])
                .args(&[
                    Arg::key("key", 0),
                    Arg::block(
                        "full-block",
                        &[
                            Arg::word("full", "FULL"),
                            Arg::integer("count").token("COUNT").optional(),
                        ],
                    )
                    .optional(),
                ]),
        ],
    )
    .docs(Group::Stream, "5.0.0", BY_SUBCOMMAND, "Commands that look into streams."),
    Row::new("xlen", 2, commands::xlen)
        .reads()
        .fast()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::Stream, "5.0.0", "O(1)", "Tells how many entries a stream has.")
        .args(&[Arg::key("key", 0)]),
    Row::new("xpending", -3, info::xpending)
        .reads()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Stream, "5.0.0", "O(N)", "Shows what is pending in a group.")
        .history(&[("6.2.0", "`IDLE`, and ranges without their ends.")])
        .args(&[
            Arg::key("key", 0),
            Arg::string("group"),
            Arg::block(
                "filters",
                &[
                    Arg::integer("min-idle-time").token("IDLE").since("6.2.0").optional(),
                    Arg::string("start"),
                    Arg::string("end"),
                    Arg::integer("count"),
                    Arg::string("consumer").optional(),
                ],
            )
            .optional(),
        ]),
    Row::new("xrange", -4, commands::xrange)
        .reads()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Stream, "5.0.0", "O(N)", "Gives the entries between two IDs.")
        .history(&[("6.2.0", "Ranges without their ends.")])
        .args(&[
            Arg::key("key", 0),
            Arg::string("start"),
            Arg::string("end"),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    Row::new("xread", -4, read::xread)
        .reads()
        .flag(Flags::BLOCKING)
        .category(Categories::STREAM)
        .keys(&[KeySpec {
            begin: Begin::Keyword { word: "STREAMS", from: 1 },
            find: Find::Range { last: -1, step: 1, limit: 2 },
            flags: &["RO", "access"],
            notes: None,
        }])
        .docs(Group::Stream, "5.0.0", "O(N)", "Gives the entries after an ID; may wait for one.")
        .args(&[
            Arg::integer("count").token("COUNT").optional(),
            Arg::integer("milliseconds").token("BLOCK").optional(),
            Arg::block("streams", &[Arg::key("key", 0).multiple(), Arg::string("ID").multiple()])
                .token("STREAMS"),
        ]),
    Row::new("xreadgroup", -7, read::xreadgroup)
        .writes_rewritten()
        .flag(Flags::BLOCKING)
        .category(Categories::STREAM)
        .keys(&[KeySpec {
            begin: Begin::Keyword { word: "STREAMS", from: 4 },
            find: Find::Range { last: -1, step: 1, limit: 2 },
            flags: &["RO", "access"],
            notes: None,
        }])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N)",
            "Gives new or pending entries to a group's consumer; may wait.",
        )
        .args(&[
            Arg::block("group-block", &[Arg::string("group"), Arg::string("consumer")])
                .token("GROUP"),
            Arg::integer("count").token("COUNT").optional(),
            Arg::integer("milliseconds").token("BLOCK").optional(),
            Arg::word("noack", "NOACK").optional(),
            Arg::block("streams", &[Arg::key("key", 0).multiple(), Arg::string("ID").multiple()])
                .token("STREAMS"),
        ]),
    Row::new("xrevrange", -4, commands::xrevrange)
        .reads()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Stream, "5.0.0", "O(N)", "Gives the entries between two IDs, newest first.")
        .history(&[("6.2.0", "Ranges without their ends.")])
        .args(&[
            Arg::key("key", 0),
            Arg::string("end"),
            Arg::string("start"),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    Row::new("xsetid", -3, commands::xsetid)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(1)",
            "Sets a stream's last ID and counters; for replication.",
        )
        .history(&[("7.0.0", "`ENTRIESADDED` and `MAXDELETEDID`.")])
        .args(&[
            Arg::key("key", 0),
            Arg::string("last-id"),
            Arg::integer("entries-added").token("ENTRIESADDED").since("7.0.0").optional(),
            Arg::string("max-deleted-id").token("MAXDELETEDID").since("7.0.0").optional(),
        ]),
    Row::new("xtrim", -4, add::xtrim)
        .writes_rewritten()
        .category(Categories::STREAM)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .tips(&["nondeterministic_output"])
        .docs(Group::Stream, "5.0.0", "O(N)", "Removes the oldest entries of a stream.")
        .history(&[("6.2.0", "`MINID` and `LIMIT`.")])
        .args(&[
            Arg::key("key", 0),
            Arg::block(
                "trim",
                &[
                    Arg::one_of(
                        "strategy",
                        &[
                            Arg::word("maxlen", "MAXLEN"),
                            Arg::word("minid", "MINID").since("6.2.0"),
                        ],
                    ),
                    Arg::one_of(
                        "operator",
                        &[Arg::word("equal", "="), Arg::word("approximately", "~")],
                    )
                    .optional(),
                    Arg::string("threshold"),
                    Arg::integer("count").token("LIMIT").since("6.2.0").optional(),
                ],
            ),
        ]),
];

const _: () = check(ROWS);
