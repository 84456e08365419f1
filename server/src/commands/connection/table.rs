//! The rows of the connection commands.

use super::{auth, basic, client};
use crate::commands::row::{Arg, Categories, Flags, Group, Row, check};

const CONNECTION: Categories = Categories::CONNECTION;

/// What a command has that works whatever the node is busy with.
const ALWAYS: Flags = Flags::LOADING.and(Flags::STALE);
/// The same, for one that makes no sense in a script.
const ALWAYS_UNSCRIPTED: Flags = ALWAYS.and(Flags::NOSCRIPT);
/// The same, for one that is there before authentication and while a script runs too long.
const AT_THE_DOOR: Flags =
    ALWAYS_UNSCRIPTED.and(Flags::FAST).and(Flags::NO_AUTH).and(Flags::ALLOW_BUSY);

const ON: Arg = Arg::word("on", "ON");
const OFF: Arg = Arg::word("off", "OFF");
const ENABLED: &[Arg] = &[Arg::one_of("enabled", &[ON, OFF])];

/// Proxies tell every node, and succeed when each has.
const EVERY_NODE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

/// All rows.
pub const ROWS: &[Row] = &[
    Row::new("auth", -2, auth::auth)
        .flag(AT_THE_DOOR)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "1.0.0",
            "O(N) for N passwords of the user.",
            "Proves who the client is.",
        )
        .history(&[("6.0.0", "Takes a user name before the password.")])
        .args(&[Arg::string("username").optional().since("6.0.0"), Arg::string("password")]),
    Row::container("client", -2, CLIENT).docs(
        Group::Connection,
        "2.4.0",
        "That of the subcommand.",
        "Commands about connected clients.",
    ),
    Row::new("echo", 2, basic::echo)
        .flag(ALWAYS)
        .fast()
        .category(CONNECTION)
        .docs(Group::Connection, "1.0.0", "O(1)", "Sends its argument back.")
        .args(&[Arg::string("message")]),
    Row::new("hello", -1, auth::hello)
        .flag(AT_THE_DOOR)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "6.0.0",
            "O(1)",
            "Agrees on the protocol version and introduces client and server.",
        )
        .history(&[(
            "6.2.0",
            "Without `protover` it keeps the version and only tells about the connection.",
        )])
        .args(&[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block("auth", &[Arg::string("username"), Arg::string("password")])
                    .token("AUTH")
                    .optional(),
                Arg::string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()]),
    Row::new("ping", -1, basic::ping)
        .fast()
        .category(CONNECTION)
        .docs(Group::Connection, "1.0.0", "O(1)", "Tells that the server is there.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[Arg::string("message").optional()]),
    Row::new("quit", -1, basic::quit)
        .flag(AT_THE_DOOR)
        .flag(Flags::AT_ONCE)
        .flag(Flags::ENDS_MULTI)
        .category(CONNECTION)
        .docs(Group::Connection, "1.0.0", "O(1)", "Ends the connection after its reply.")
        .deprecated("7.2.0", "just closing the connection"),
    Row::new("reset", 1, basic::reset)
        .flag(AT_THE_DOOR)
        .flag(Flags::AT_ONCE)
        .flag(Flags::ENDS_MULTI)
        .category(CONNECTION)
        .docs(Group::Connection, "6.2.0", "O(1)", "Makes the connection as good as new."),
    Row::new("select", 2, basic::select)
        .flag(ALWAYS)
        .fast()
        .category(CONNECTION)
        .docs(Group::Connection, "1.0.0", "O(1)", "Moves the connection to another database.")
        .args(&[Arg::integer("index")]),
];

const _: () = check(ROWS);

const CLIENT: &[Row] = &[
    Row::new("caching", 3, client::tracking::caching)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "6.0.0",
            "O(1)",
            "Says whether the keys of the next command are tracked.",
        )
        .args(&[Arg::one_of("mode", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])]),
    Row::new("getname", 2, client::getname).flag(ALWAYS_UNSCRIPTED).category(CONNECTION).docs(
        Group::Connection,
        "2.6.9",
        "O(1)",
        "Tells the name of the connection.",
    ),
    Row::new("getredir", 2, client::tracking::getredir)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "6.0.0",
            "O(1)",
            "Tells which client gets the connection's invalidation messages.",
        ),
    Row::new("help", 2, client::help).flag(ALWAYS).category(CONNECTION).docs(
        Group::Connection,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    Row::new("id", 2, client::id).flag(ALWAYS_UNSCRIPTED).category(CONNECTION).docs(
        Group::Connection,
        "5.0.0",
        "O(1)",
        "Tells the number of the connection.",
    ),
    Row::new("info", 2, client::list::info)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(Group::Connection, "6.2.0", "O(1)", "Describes the connection in one line.")
        .tips(NONDETERMINISTIC),
    Row::new("kill", -3, client::kill::kill)
        .flag(ALWAYS_UNSCRIPTED.and(Flags::ADMIN))
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "2.4.0",
            "O(N) for N connected clients.",
            "Closes the connections that match.",
        )
        .history(&[
            ("2.8.12", "Takes filters beside a bare address."),
            ("2.8.12", "Takes the filter `ID`."),
            ("3.2.0", "`TYPE` knows `master`."),
            ("5.0.0", "`TYPE` knows `replica`, and `slave` means the same."),
            ("6.2.0", "Takes the filter `LADDR`."),
        ])
        .args(&[Arg::one_of(
            "filter",
            &[
                Arg::string("old-format").display("ip:port").deprecated("2.8.12"),
                Arg::one_of("new-format", KILL_FILTERS).multiple(),
            ],
        )]),
    Row::new("list", -2, client::list::list)
        .flag(ALWAYS_UNSCRIPTED.and(Flags::ADMIN))
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "2.4.0",
            "O(N) for N connected clients.",
            "Describes connections, each in one line.",
        )
        .history(&[
            ("2.8.12", "Shows `id`."),
            ("5.0.0", "Takes `TYPE`."),
            ("6.0.0", "Shows `user`."),
            ("6.2.0", "Shows `argv-mem`, `tot-mem`, `laddr`, `redir`; takes `ID`."),
            ("7.0.0", "Shows `resp`, `multi-mem`, `rbs`, `rbp`."),
            ("7.0.3", "Shows `ssub`."),
        ])
        .tips(NONDETERMINISTIC)
        .args(&[
            Arg::one_of(
                "client-type",
                &[
                    Arg::word("normal", "normal"),
                    Arg::word("master", "master"),
                    Arg::word("replica", "replica"),
                    Arg::word("pubsub", "pubsub"),
                ],
            )
            .token("TYPE")
            .optional()
            .since("5.0.0"),
            Arg::integer("client-id").token("ID").optional().multiple().since("6.2.0"),
        ]),
    Row::new("no-evict", 3, client::no_evict)
        .flag(ALWAYS_UNSCRIPTED.and(Flags::ADMIN))
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "7.0.0",
            "O(1)",
            "Spares the connection when others are closed to free memory.",
        )
        .args(ENABLED),
    Row::new("no-touch", 3, client::no_touch)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "7.2.0",
            "O(1)",
            "Keeps the connection's reads out of access times and frequencies.",
        )
        .args(ENABLED),
    Row::new("pause", -3, client::pause)
        .flag(ALWAYS_UNSCRIPTED.and(Flags::ADMIN))
        .category(CONNECTION)
        .docs(Group::Connection, "3.0.0", "O(1)", "Holds commands of all clients back for a time.")
        .history(&[("6.2.0", "Takes a mode, and can hold back only what writes.")])
        .args(&[
            Arg::integer("timeout"),
            Arg::one_of("mode", &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")])
                .optional()
                .since("6.2.0"),
        ]),
    Row::new("reply", 3, client::reply)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(Group::Connection, "3.2.0", "O(1)", "Turns replies off or on, or leaves one out.")
        .args(&[Arg::one_of("action", &[ON, OFF, Arg::word("skip", "SKIP")])]),
    Row::new("setinfo", 4, client::setinfo)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(Group::Connection, "7.2.0", "O(1)", "Notes which client library uses the connection.")
        .tips(EVERY_NODE)
        .args(&[Arg::one_of(
            "attr",
            &[Arg::string("libname").token("lib-name"), Arg::string("libver").token("lib-ver")],
        )]),
    Row::new("setname", 3, client::setname)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(Group::Connection, "2.6.9", "O(1)", "Names the connection.")
        .tips(EVERY_NODE)
        .args(&[Arg::string("connection-name")]),
    Row::new("tracking", -3, client::tracking::tracking)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "6.0.0",
            "O(1), and more with some options.",
            "Turns client-side caching of the connection on or off.",
        )
        .args(&[
            Arg::one_of("status", &[ON, OFF]),
            Arg::integer("client-id").token("REDIRECT").optional(),
            Arg::string("prefix").token("PREFIX").optional().multiple_token(),
            Arg::word("bcast", "BCAST").optional(),
            Arg::word("optin", "OPTIN").optional(),
            Arg::word("optout", "OPTOUT").optional(),
            Arg::word("noloop", "NOLOOP").optional(),
        ]),
    Row::new("trackinginfo", 2, client::tracking::trackinginfo)
        .flag(ALWAYS_UNSCRIPTED)
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "6.2.0",
            "O(1)",
            "Tells how client-side caching of the connection is set.",
        ),
    Row::new("unblock", -3, client::unblock)
        .flag(ALWAYS_UNSCRIPTED.and(Flags::ADMIN))
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "5.0.0",
            "O(log N) for N connected clients.",
            "Ends the wait of a client that a command blocks.",
        )
        .args(&[
            Arg::integer("client-id"),
            Arg::one_of(
                "unblock-type",
                &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")],
            )
            .optional(),
        ]),
    Row::new("unpause", 2, client::unpause)
        .flag(ALWAYS_UNSCRIPTED.and(Flags::ADMIN))
        .category(CONNECTION)
        .docs(
            Group::Connection,
            "6.2.0",
            "O(N) for N clients that wait.",
            "Ends a pause before its time.",
        ),
];

const KILL_FILTERS: &[Arg] = &[
    Arg::integer("client-id").token("ID").optional().since("2.8.12"),
    Arg::one_of(
        "client-type",
        &[
            Arg::word("normal", "normal"),
            Arg::word("master", "master").since("3.2.0"),
            Arg::word("slave", "slave"),
            Arg::word("replica", "replica").since("5.0.0"),
            Arg::word("pubsub", "pubsub"),
        ],
    )
    .token("TYPE")
    .optional()
    .since("2.8.12"),
    Arg::string("username").token("USER").optional(),
    Arg::string("addr").display("ip:port").token("ADDR").optional(),
    Arg::string("laddr").display("ip:port").token("LADDR").optional().since("6.2.0"),
    Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])
        .token("SKIPME")
        .optional(),
];
