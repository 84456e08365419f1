//! The rows of the bitmap commands.

use super::commands;
use crate::commands::row::{Arg, Categories, Group, KeySpec, Row, check};

/// The bitmap commands.
pub const ROWS: &[Row] = &[
    Row::new("bitcount", -2, commands::bitcount)
        .reads()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Bitmap, "2.6.0", "O(N)", "Counts the bits that are set.")
        .history(&[("7.0.0", "The range may be one of bits.")])
        .args(&[
            Arg::key("key", 0),
            Arg::block(
                "range",
                &[
                    Arg::integer("start"),
                    Arg::integer("end"),
                    Arg::one_of("unit", &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")])
                        .since("7.0.0")
                        .optional(),
                ],
            )
            .optional(),
        ]),
    Row::new("bitfield", -2, commands::bitfield)
        .writes()
        .deny_oom()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(1, &["RW", "access", "update", "variable_flags"])
            .note("This command allows both access and modification of the key")])
        .docs(Group::Bitmap, "3.2.0", "O(1)", "Reads and changes integers of any width at any bit.")
        .args(&[
            Arg::key("key", 0),
            Arg::one_of(
                "operation",
                &[
                    Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")])
                        .token("GET"),
                    Arg::block(
                        "write",
                        &[
                            Arg::one_of(
                                "overflow-block",
                                &[
                                    Arg::word("wrap", "WRAP"),
                                    Arg::word("sat", "SAT"),
                                    Arg::word("fail", "FAIL"),
                                ],
                            )
                            .token("OVERFLOW")
                            .optional(),
                            Arg::one_of(
                                "write-operation",
                                &[
                                    Arg::block(
                                        "set-block",
                                        &[
                                            Arg::string("encoding"),
                                            Arg::integer("offset"),
                                            Arg::integer("value"),
                                        ],
                                    )
                                    .token("SET"),
                                    Arg::block(
                                        "incrby-block",
                                        &[
                                            Arg::string("encoding"),
                                            Arg::integer("offset"),
                                            Arg::integer("increment"),
                                        ],
                                    )
                                    .token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ]),
    Row::new("bitfield_ro", -2, commands::bitfield_ro)
        .reads()
        .fast()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Bitmap, "6.0.0", "O(1)", "Reads integers of any width at any bit.")
        .args(&[
            Arg::key("key", 0),
            Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")])
                .token("GET")
                .optional()
                .multiple_token(),
        ]),
    Row::new("bitop", -4, commands::bitop)
        .writes()
        .deny_oom()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(2, &["OW", "update"]), KeySpec::range(3, -1, 1, &["RO", "access"])])
        .docs(Group::Bitmap, "2.6.0", "O(N)", "Combines strings bit by bit and stores the result.")
        .args(&[
            Arg::one_of(
                "operation",
                &[
                    Arg::word("and", "AND"),
                    Arg::word("or", "OR"),
                    Arg::word("xor", "XOR"),
                    Arg::word("not", "NOT"),
                ],
            ),
            Arg::key("destkey", 0),
            Arg::key("key", 1).multiple(),
        ]),
    Row::new("bitpos", -3, commands::bitpos)
        .reads()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Bitmap, "2.8.7", "O(N)", "Finds the first bit that is set, or clear.")
        .history(&[("7.0.0", "The range may be one of bits.")])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("bit"),
            Arg::block(
                "range",
                &[
                    Arg::integer("start"),
                    Arg::block(
                        "end-unit-block",
                        &[
                            Arg::integer("end"),
                            Arg::one_of(
                                "unit",
                                &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")],
                            )
                            .since("7.0.0")
                            .optional(),
                        ],
                    )
                    .optional(),
                ],
            )
            .optional(),
        ]),
    Row::new("getbit", 3, commands::getbit)
        .reads()
        .fast()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Bitmap, "2.2.0", "O(1)", "Reads a bit.")
        .args(&[Arg::key("key", 0), Arg::integer("offset")]),
    Row::new("setbit", 4, commands::setbit)
        .writes()
        .deny_oom()
        .category(Categories::BITMAP)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(Group::Bitmap, "2.2.0", "O(1)", "Sets or clears a bit; a missing string is made.")
        .args(&[Arg::key("key", 0), Arg::integer("offset"), Arg::integer("value")]),
];

const _: () = check(ROWS);
