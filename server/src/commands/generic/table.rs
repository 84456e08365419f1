//! The rows of the generic commands.

use super::{dump, expire, flush, keys, object, rename, scan, sort};
use crate::commands::row::{Arg, ArgKind, Categories, Flags, Group, KeySpec, Row, check};

const KEYSPACE: Categories = Categories::KEYSPACE;
const KEYSPACE_DANGEROUS: Categories = Categories::KEYSPACE.and(Categories::DANGEROUS);

const KEYS: &[Arg] = &[Arg::key("key", 0).multiple()];
const KEY: &[Arg] = &[Arg::key("key", 0)];

/// Proxies send a part of the keys to each shard and add the answers up.
const SUM_OVER_KEYS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const EVERY_SHARD_SUCCEEDS: &[&str] =
    &["request_policy:all_shards", "response_policy:all_succeeded"];

const REMOVED_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RM", "delete"])];
const LOOKED_AT_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RO"])];
const LOOKED_AT_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO"])];
const LOOKED_AT_SUBCOMMAND_KEY: &[KeySpec] = &[KeySpec::at(2, &["RO"])];
const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const UPDATED_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "update"])];

const SORTED: Categories =
    Categories::SET.and(Categories::SORTEDSET).and(Categories::LIST).and(Categories::DANGEROUS);
const SORT_COST: &str = "O(N+M*log(M)) for N elements of which M are wanted";
const SORT_PATTERNS: KeySpec =
    KeySpec::unknown(sort::no_key, &["RO", "access"], "The data tells the keys of BY and GET.");
const SORT_ARGS: &[Arg] = &[
    Arg::key("key", 0),
    Arg::new("by-pattern", ArgKind::Pattern).token("BY").display("pattern").optional(),
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
    Arg::new("get-pattern", ArgKind::Pattern)
        .token("GET")
        .display("pattern")
        .optional()
        .multiple_token(),
    Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
    Arg::word("sorting", "ALPHA").optional(),
];
const SORT_STORE_ARGS: &[Arg] = &[
    SORT_ARGS[0],
    SORT_ARGS[1],
    SORT_ARGS[2],
    SORT_ARGS[3],
    SORT_ARGS[4],
    SORT_ARGS[5],
    Arg::key("destination", 2).token("STORE").optional(),
];

const EXPIRE_CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional()
.since("7.0.0");
const EXPIRE_HISTORY: &[(&str, &str)] = &[("7.0.0", "Takes `NX`, `XX`, `GT` and `LT`.")];
const TTL_HISTORY: &[(&str, &str)] = &[("2.8.0", "Answers -2 for a key that does not exist.")];

const FLUSH_ARGS: &[Arg] = &[Arg::one_of(
    "flush-type",
    &[Arg::word("async", "ASYNC").since("4.0.0"), Arg::word("sync", "SYNC").since("6.2.0")],
)
.optional()];
const FLUSH_HISTORY: &[(&str, &str)] = &[("4.0.0", "Takes `ASYNC`."), ("6.2.0", "Takes `SYNC`.")];

/// All rows.
pub const ROWS: &[Row] = &[
    Row::new("copy", -3, rename::copy)
        .writes()
        .deny_oom()
        .category(KEYSPACE)
        .keys(&[KeySpec::at(1, &["RO", "access"]), KeySpec::at(2, &["OW", "update"])])
        .docs(
            Group::Generic,
            "6.2.0",
            "O(1) for a string, O(N) for a collection of N elements.",
            "Stores a duplicate of a value under another key.",
        )
        .args(&[
            Arg::key("source", 0),
            Arg::key("destination", 1),
            Arg::integer("destination-db").token("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ]),
    Row::new("dbsize", 1, scan::dbsize)
        .roams()
        .reads()
        .fast()
        .category(KEYSPACE)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .docs(Group::Server, "1.0.0", "O(1)", "Counts the keys of the selected database."),
    Row::new("del", -2, keys::del)
        .writes()
        .category(KEYSPACE)
        .keys(REMOVED_KEYS)
        .tips(SUM_OVER_KEYS)
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) for N keys; a collection adds the number of its elements.",
            "Removes keys and tells how many there were.",
        )
        .args(KEYS),
    Row::new("dump", 2, dump::dump)
        .reads()
        .category(KEYSPACE)
        .keys(READ_KEY)
        .tips(&["nondeterministic_output"])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(1) for a string, O(N) for a collection of N elements.",
            "Gives a value in the form in which RESTORE takes it.",
        )
        .args(KEY),
    Row::new("exists", -2, keys::exists)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(LOOKED_AT_KEYS)
        .tips(SUM_OVER_KEYS)
        .docs(Group::Generic, "1.0.0", "O(N) for N keys.", "Counts how many of the keys exist.")
        .history(&[("3.0.3", "Takes several keys.")])
        .args(KEYS),
    Row::new("expire", -3, expire::expire)
        .writes_rewritten()
        .fast()
        .category(KEYSPACE)
        .keys(UPDATED_KEY)
        .docs(Group::Generic, "1.0.0", "O(1)", "Makes a key expire after a number of seconds.")
        .history(EXPIRE_HISTORY)
        .args(&[Arg::key("key", 0), Arg::integer("seconds"), EXPIRE_CONDITION]),
    Row::new("expireat", -3, expire::expireat)
        .writes_rewritten()
        .fast()
        .category(KEYSPACE)
        .keys(UPDATED_KEY)
        .docs(Group::Generic, "1.2.0", "O(1)", "Makes a key expire at a Unix time in seconds.")
        .history(EXPIRE_HISTORY)
        .args(&[
            Arg::key("key", 0),
            Arg::new("unix-time-seconds", ArgKind::UnixTime),
            EXPIRE_CONDITION,
        ]),
    Row::new("expiretime", 2, expire::expiretime)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(READ_KEY)
        .docs(
            Group::Generic,
            "7.0.0",
            "O(1)",
            "Tells the Unix time in seconds at which a key expires.",
        )
        .args(KEY),
    Row::new("flushall", -1, flush::flushall)
        .writes_rewritten()
        .category(KEYSPACE_DANGEROUS)
        .tips(EVERY_SHARD_SUCCEEDS)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N) for N keys in all databases.",
            "Empties every database.",
        )
        .history(FLUSH_HISTORY)
        .args(FLUSH_ARGS),
    Row::new("flushdb", -1, flush::flushdb)
        .writes_rewritten()
        .category(KEYSPACE_DANGEROUS)
        .tips(EVERY_SHARD_SUCCEEDS)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N) for N keys in the database.",
            "Empties the selected database.",
        )
        .history(FLUSH_HISTORY)
        .args(FLUSH_ARGS),
    Row::new("keys", 2, scan::keys)
        .roams()
        .reads()
        .category(KEYSPACE_DANGEROUS)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) for N keys in the database, with names and pattern of bounded length.",
            "Lists the keys whose names fit a pattern.",
        )
        .args(&[Arg::new("pattern", ArgKind::Pattern)]),
    Row::new("move", 3, rename::move_key)
        .writes()
        .fast()
        .category(KEYSPACE)
        .keys(&[KeySpec::at(1, &["RW", "access", "update"])])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Takes a key from the selected database to another one.",
        )
        .args(&[Arg::key("key", 0), Arg::integer("db")]),
    Row::container("object", -2, OBJECT).docs(
        Group::Generic,
        "2.2.3",
        "See its subcommands.",
        "Commands that show how a value is kept.",
    ),
    Row::new("persist", 2, expire::persist)
        .writes()
        .fast()
        .category(KEYSPACE)
        .keys(UPDATED_KEY)
        .docs(Group::Generic, "2.2.0", "O(1)", "Takes a key's deadline away.")
        .args(KEY),
    Row::new("pexpire", -3, expire::pexpire)
        .writes_rewritten()
        .fast()
        .category(KEYSPACE)
        .keys(UPDATED_KEY)
        .docs(Group::Generic, "2.6.0", "O(1)", "Makes a key expire after a number of milliseconds.")
        .history(EXPIRE_HISTORY)
        .args(&[Arg::key("key", 0), Arg::integer("milliseconds"), EXPIRE_CONDITION]),
    Row::new("pexpireat", -3, expire::pexpireat)
        .writes_rewritten()
        .fast()
        .category(KEYSPACE)
        .keys(UPDATED_KEY)
        .docs(Group::Generic, "2.6.0", "O(1)", "Makes a key expire at a Unix time in milliseconds.")
        .history(EXPIRE_HISTORY)
        .args(&[
            Arg::key("key", 0),
            Arg::new("unix-time-milliseconds", ArgKind::UnixTime),
            EXPIRE_CONDITION,
        ]),
    Row::new("pexpiretime", 2, expire::pexpiretime)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(READ_KEY)
        .docs(
            Group::Generic,
            "7.0.0",
            "O(1)",
            "Tells the Unix time in milliseconds at which a key expires.",
        )
        .args(KEY),
    Row::new("pttl", 2, expire::pttl)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(READ_KEY)
        .tips(&["nondeterministic_output"])
        .docs(Group::Generic, "2.6.0", "O(1)", "Tells how many milliseconds a key has left.")
        .history(TTL_HISTORY)
        .args(KEY),
    Row::new("randomkey", 1, scan::randomkey)
        .roams()
        .reads()
        .category(KEYSPACE)
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
        .docs(Group::Generic, "1.0.0", "O(1)", "Names some key of the selected database."),
    Row::new("rename", 3, rename::rename)
        .writes()
        .category(KEYSPACE)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["OW", "update"])])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a value another key, in place of what was there.",
        )
        .args(&[Arg::key("key", 0), Arg::key("newkey", 1)]),
    Row::new("renamenx", 3, rename::renamenx)
        .writes()
        .fast()
        .category(KEYSPACE)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["OW", "insert"])])
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a value another key unless that one exists.")
        .history(&[("3.2.0", "Answers 0 instead of an error when both names are the same.")])
        .args(&[Arg::key("key", 0), Arg::key("newkey", 1)]),
    Row::new("restore", -4, dump::restore)
        .writes_rewritten()
        .deny_oom()
        .category(KEYSPACE_DANGEROUS)
        .keys(&[KeySpec::at(1, &["OW", "update"])])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(1) for a string, O(N*M) for a collection of N elements of M bytes.",
            "Stores a value that DUMP gave.",
        )
        .history(&[
            ("3.0.0", "Takes `REPLACE`."),
            ("5.0.0", "Takes `ABSTTL`."),
            ("5.0.0", "Takes `IDLETIME` and `FREQ`."),
        ])
        .args(&[
            Arg::key("key", 0),
            Arg::integer("ttl"),
            Arg::string("serialized-value"),
            Arg::word("replace", "REPLACE").optional().since("3.0.0"),
            Arg::word("absttl", "ABSTTL").optional().since("5.0.0"),
            Arg::integer("seconds").token("IDLETIME").optional().since("5.0.0"),
            Arg::integer("frequency").token("FREQ").optional().since("5.0.0"),
        ]),
    Row::new("scan", -2, scan::scan)
        .roams()
        .reads()
        .category(KEYSPACE)
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs(
            Group::Generic,
            "2.8.0",
            "O(1) a call, O(N) for all calls until the cursor is 0 again, for N keys.",
            "Goes through the keys of the selected database step by step.",
        )
        .history(&[("6.0.0", "Takes `TYPE`.")])
        .args(&[
            Arg::integer("cursor"),
            Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::string("type").token("TYPE").optional().since("6.0.0"),
        ]),
    Row::new("sort", -2, sort::sort)
        .writes_rewritten()
        .deny_oom()
        .category(SORTED)
        .keys(&[
            KeySpec::at(1, &["RO", "access"]),
            SORT_PATTERNS,
            KeySpec::unknown(sort::destination, &["OW", "update"], "STORE may stand anywhere."),
        ])
        .unnamed_keys(sort::unnamed_keys)
        .docs(
            Group::Generic,
            "1.0.0",
            SORT_COST,
            "Sorts the elements of a list, set or sorted set; may store the result.",
        )
        .args(SORT_STORE_ARGS),
    Row::new("sort_ro", -2, sort::sort_ro)
        .reads()
        .category(SORTED)
        .keys(&[KeySpec::at(1, &["RO", "access"]), SORT_PATTERNS])
        .unnamed_keys(sort::unnamed_keys)
        .docs(
            Group::Generic,
            "7.0.0",
            SORT_COST,
            "Sorts the elements of a list, set or sorted set.",
        )
        .args(SORT_ARGS),
    Row::new("swapdb", 3, flush::swapdb)
        .writes()
        .fast()
        .category(KEYSPACE_DANGEROUS)
        .docs(
            Group::Server,
            "4.0.0",
            "O(N) for N clients that watch or wait for keys of the two databases.",
            "Exchanges the contents of two databases.",
        )
        .args(&[Arg::integer("index1"), Arg::integer("index2")]),
    Row::new("touch", -2, keys::touch)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(LOOKED_AT_KEYS)
        .tips(SUM_OVER_KEYS)
        .docs(
            Group::Generic,
            "3.2.1",
            "O(N) for N keys.",
            "Counts keys as accessed now and tells how many of them exist.",
        )
        .args(KEYS),
    Row::new("ttl", 2, expire::ttl)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(READ_KEY)
        .tips(&["nondeterministic_output"])
        .docs(Group::Generic, "1.0.0", "O(1)", "Tells how many seconds a key has left.")
        .history(TTL_HISTORY)
        .args(KEY),
    Row::new("type", 2, keys::type_of)
        .reads()
        .fast()
        .category(KEYSPACE)
        .keys(LOOKED_AT_KEY)
        .docs(Group::Generic, "1.0.0", "O(1)", "Names the type of a value.")
        .args(KEY),
    Row::new("unlink", -2, keys::del)
        .writes()
        .fast()
        .category(KEYSPACE)
        .keys(REMOVED_KEYS)
        .tips(SUM_OVER_KEYS)
        .docs(
            Group::Generic,
            "4.0.0",
            "O(N) for N keys; what they held is freed afterwards.",
            "Removes keys and frees their values where nobody waits for it.",
        )
        .args(KEYS),
];

const OBJECT: &[Row] = &[
    Row::new("encoding", 3, object::encoding)
        .reads()
        .category(KEYSPACE)
        .keys(LOOKED_AT_SUBCOMMAND_KEY)
        .tips(&["nondeterministic_output"])
        .docs(Group::Generic, "2.2.3", "O(1)", "Names the encoding of a value.")
        .args(KEY),
    Row::new("freq", 3, object::freq)
        .reads()
        .category(KEYSPACE)
        .keys(LOOKED_AT_SUBCOMMAND_KEY)
        .tips(&["nondeterministic_output"])
        .docs(
            Group::Generic,
            "4.0.0",
            "O(1)",
            "Tells how often a key is accessed, on a logarithmic scale.",
        )
        .args(KEY),
    Row::new("help", 2, object::help)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .category(KEYSPACE)
        .docs(Group::Generic, "6.2.0", "O(1)", "Explains the subcommands."),
    Row::new("idletime", 3, object::idletime)
        .reads()
        .category(KEYSPACE)
        .keys(LOOKED_AT_SUBCOMMAND_KEY)
        .tips(&["nondeterministic_output"])
        .docs(Group::Generic, "2.2.3", "O(1)", "Tells how many seconds ago a key was accessed.")
        .args(KEY),
    Row::new("refcount", 3, object::refcount_of)
        .reads()
        .category(KEYSPACE)
        .keys(LOOKED_AT_SUBCOMMAND_KEY)
        .tips(&["nondeterministic_output"])
        .docs(Group::Generic, "2.2.3", "O(1)", "Tells how many references a value has.")
        .args(KEY),
];

const _: () = check(ROWS);
