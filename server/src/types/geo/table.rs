//! The rows of the geo commands.

use super::commands;
use crate::commands::row::{Arg, ArgKind, Begin, Categories, Find, Group, KeySpec, Row, check};

/// The geo commands.
pub const ROWS: &[Row] = &[
    Row::new("geoadd", -5, commands::geoadd)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(
            Group::Geo,
            "3.2.0",
            "O(log(N))",
            "Adds members at positions or moves them; a missing index is made.",
        )
        .history(&[("6.2.0", "Added CH, NX and XX.")])
        .args(&[
            Arg::key("key", 0),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .since("6.2.0")
                .optional(),
            Arg::word("change", "CH").since("6.2.0").optional(),
            Arg::block(
                "data",
                &[
                    Arg::new("longitude", ArgKind::Double),
                    Arg::new("latitude", ArgKind::Double),
                    Arg::string("member"),
                ],
            )
            .multiple(),
        ]),
    Row::new("geodist", -4, commands::geodist)
        .reads()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Geo, "3.2.0", "O(1)", "Measures the distance between two members.")
        .args(&[
            Arg::key("key", 0),
            Arg::string("member1"),
            Arg::string("member2"),
            Arg::one_of(
                "unit",
                &[
                    Arg::word("m", "m"),
                    Arg::word("km", "km"),
                    Arg::word("ft", "ft"),
                    Arg::word("mi", "mi"),
                ],
            )
            .optional(),
        ]),
    Row::new("geohash", -2, commands::geohash)
        .reads()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Geo, "3.2.0", "O(1)", "Gives members' positions as geohash strings.")
        .args(&[Arg::key("key", 0), Arg::string("member").optional().multiple()]),
    Row::new("geopos", -2, commands::geopos)
        .reads()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Geo, "3.2.0", "O(1)", "Gives members' positions.")
        .args(&[Arg::key("key", 0), Arg::string("member").optional().multiple()]),
    Row::new("georadius", -6, commands::georadius)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::GEO)
        .keys(&[
            KeySpec::at(1, &["RO", "access"]),
            KeySpec {
                begin: Begin::Keyword { word: "STORE", from: 6 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
                flags: &["OW", "update"],
                notes: None,
            },
            KeySpec {
                begin: Begin::Keyword { word: "STOREDIST", from: 6 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
                flags: &["OW", "update"],
                notes: None,
            },
        ])
        .docs(
            Group::Geo,
            "3.2.0",
            "O(N+log(M))",
            "Finds members around a position, and may store them.",
        )
        .history(&[("6.2.0", "Added ANY for COUNT."), ("7.0.0", "Units may be in upper case.")])
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .args(&[
            Arg::key("key", 0),
            Arg::new("longitude", ArgKind::Double),
            Arg::new("latitude", ArgKind::Double),
            Arg::new("radius", ArgKind::Double),
            Arg::one_of(
                "unit",
                &[
                    Arg::word("m", "m"),
                    Arg::word("km", "km"),
                    Arg::word("ft", "ft"),
                    Arg::word("mi", "mi"),
                ],
            ),
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block(
                "count-block",
                &[
                    Arg::integer("count").token("COUNT"),
                    Arg::word("any", "ANY").since("6.2.0").optional(),
                ],
            )
            .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::one_of(
                "store",
                &[
                    Arg::key("storekey", 1).token("STORE").display("key"),
                    Arg::key("storedistkey", 2).token("STOREDIST").display("key"),
                ],
            )
            .optional(),
        ]),
    Row::new("georadiusbymember", -5, commands::georadiusbymember)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::GEO)
        .keys(&[
            KeySpec::at(1, &["RO", "access"]),
            KeySpec {
                begin: Begin::Keyword { word: "STORE", from: 5 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
                flags: &["OW", "update"],
                notes: None,
            },
            KeySpec {
                begin: Begin::Keyword { word: "STOREDIST", from: 5 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
                flags: &["OW", "update"],
                notes: None,
            },
        ])
        .docs(
            Group::Geo,
            "3.2.0",
            "O(N+log(M))",
            "Finds members around a member, and may store them.",
        )
        .history(&[("7.0.0", "Units may be in upper case.")])
        .deprecated(
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )
        .args(&[
            Arg::key("key", 0),
            Arg::string("member"),
            Arg::new("radius", ArgKind::Double),
            Arg::one_of(
                "unit",
                &[
                    Arg::word("m", "m"),
                    Arg::word("km", "km"),
                    Arg::word("ft", "ft"),
                    Arg::word("mi", "mi"),
                ],
            ),
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block(
                "count-block",
                &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()],
            )
            .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::one_of(
                "store",
                &[
                    Arg::key("storekey", 1).token("STORE").display("key"),
                    Arg::key("storedistkey", 2).token("STOREDIST").display("key"),
                ],
            )
            .optional(),
        ]),
    Row::new("georadiusbymember_ro", -5, commands::georadiusbymember_ro)
        .reads()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Geo, "3.2.10", "O(N+log(M))", "Finds members around a member.")
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .args(&[
            Arg::key("key", 0),
            Arg::string("member"),
            Arg::new("radius", ArgKind::Double),
            Arg::one_of(
                "unit",
                &[
                    Arg::word("m", "m"),
                    Arg::word("km", "km"),
                    Arg::word("ft", "ft"),
                    Arg::word("mi", "mi"),
                ],
            ),
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block(
                "count-block",
                &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()],
            )
            .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
        ]),
    Row::new("georadius_ro", -6, commands::georadius_ro)
        .reads()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Geo, "3.2.10", "O(N+log(M))", "Finds members around a position.")
        .history(&[("6.2.0", "Added ANY for COUNT.")])
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
        .args(&[
            Arg::key("key", 0),
            Arg::new("longitude", ArgKind::Double),
            Arg::new("latitude", ArgKind::Double),
            Arg::new("radius", ArgKind::Double),
            Arg::one_of(
                "unit",
                &[
                    Arg::word("m", "m"),
                    Arg::word("km", "km"),
                    Arg::word("ft", "ft"),
                    Arg::word("mi", "mi"),
                ],
            ),
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
            Arg::block(
                "count-block",
                &[
                    Arg::integer("count").token("COUNT"),
                    Arg::word("any", "ANY").since("6.2.0").optional(),
                ],
            )
            .optional(),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
        ]),
    Row::new("geosearch", -7, commands::geosearch)
        .reads()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::Geo, "6.2.0", "O(N+log(M))", "Finds members in a circle or a box.")
        .history(&[("7.0.0", "Units may be in upper case.")])
        .args(&[
            Arg::key("key", 0),
            Arg::one_of(
                "from",
                &[
                    Arg::string("member").token("FROMMEMBER"),
                    Arg::block(
                        "fromlonlat",
                        &[
                            Arg::new("longitude", ArgKind::Double),
                            Arg::new("latitude", ArgKind::Double),
                        ],
                    )
                    .token("FROMLONLAT"),
                ],
            ),
            Arg::one_of(
                "by",
                &[
                    Arg::block(
                        "circle",
                        &[
                            Arg::new("radius", ArgKind::Double).token("BYRADIUS"),
                            Arg::one_of(
                                "unit",
                                &[
                                    Arg::word("m", "m"),
                                    Arg::word("km", "km"),
                                    Arg::word("ft", "ft"),
                                    Arg::word("mi", "mi"),
                                ],
                            ),
                        ],
                    ),
                    Arg::block(
                        "box",
                        &[
                            Arg::new("width", ArgKind::Double).token("BYBOX"),
                            Arg::new("height", ArgKind::Double),
                            Arg::one_of(
                                "unit",
                                &[
                                    Arg::word("m", "m"),
                                    Arg::word("km", "km"),
                                    Arg::word("ft", "ft"),
                                    Arg::word("mi", "mi"),
                                ],
                            ),
                        ],
                    ),
                ],
            ),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::block(
                "count-block",
                &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()],
            )
            .optional(),
            Arg::word("withcoord", "WITHCOORD").optional(),
            Arg::word("withdist", "WITHDIST").optional(),
            Arg::word("withhash", "WITHHASH").optional(),
        ]),
    Row::new("geosearchstore", -8, commands::geosearchstore)
        .writes_rewritten()
        .deny_oom()
        .category(Categories::GEO)
        .keys(&[KeySpec::at(1, &["OW", "update"]), KeySpec::at(2, &["RO", "access"])])
        .docs(Group::Geo, "6.2.0", "O(N+log(M))", "Stores the members in a circle or a box.")
        .history(&[("7.0.0", "Units may be in upper case.")])
        .args(&[
            Arg::key("destination", 0),
            Arg::key("source", 1),
            Arg::one_of(
                "from",
                &[
                    Arg::string("member").token("FROMMEMBER"),
                    Arg::block(
                        "fromlonlat",
                        &[
                            Arg::new("longitude", ArgKind::Double),
                            Arg::new("latitude", ArgKind::Double),
                        ],
                    )
                    .token("FROMLONLAT"),
                ],
            ),
            Arg::one_of(
                "by",
                &[
                    Arg::block(
                        "circle",
                        &[
                            Arg::new("radius", ArgKind::Double).token("BYRADIUS"),
                            Arg::one_of(
                                "unit",
                                &[
                                    Arg::word("m", "m"),
                                    Arg::word("km", "km"),
                                    Arg::word("ft", "ft"),
                                    Arg::word("mi", "mi"),
                                ],
                            ),
                        ],
                    ),
                    Arg::block(
                        "box",
                        &[
                            Arg::new("width", ArgKind::Double).token("BYBOX"),
                            Arg::new("height", ArgKind::Double),
                            Arg::one_of(
                                "unit",
                                &[
                                    Arg::word("m", "m"),
                                    Arg::word("km", "km"),
                                    Arg::word("ft", "ft"),
                                    Arg::word("mi", "mi"),
                                ],
                            ),
                        ],
                    ),
                ],
            ),
            Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
            Arg::block(
                "count-block",
                &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()],
            )
            .optional(),
            Arg::word("storedist", "STOREDIST").optional(),
        ]),
];

const _: () = check(ROWS);
