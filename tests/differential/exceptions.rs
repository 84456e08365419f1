//! What is not played, what is compared less strictly, and where an older peer answers otherwise:
//! each with its reason.

use larder_tests::glob;

use crate::rows::{Arg, Row};

/// Commands that are not played: a name, a container, or a whole group with `@`.
const NOT_PLAYED: &[(&str, &str)] = &[
    ("@pubsub", "messages come outside of replies"),
    ("@scripting", "a random word is no script"),
    ("@transactions", "what follows MULTI is queued"),
    ("@sentinel", "another kind of server"),
    ("acl", "users and rules are no random words"),
    ("bgrewriteaof", "writes files"),
    ("bgsave", "writes files"),
    ("client|caching", "belongs to tracking"),
    ("client|kill", "ends the connection"),
    ("client|pause", "stops the peer for a time"),
    ("client|reply", "replies stop"),
    ("client|tracking", "messages come outside of replies"),
    ("client|unblock", "ids of connections are not alike"),
    ("cluster|myshardid", "of 7.2, which the installed peer may be older than"),
    ("command|count", "lists all commands of a server"),
    ("command|docs", "lists all commands of a server; tests/table compares it"),
    ("command|info", "lists all commands of a server; tests/table compares it"),
    ("command|list", "lists all commands of a server"),
    ("config", "changes how the server answers from then on"),
    ("debug", "changes how the server answers from then on"),
    ("dump", "bytes of a file format that grows with versions"),
    ("failover", "needs replicas"),
    ("group", "asks about a replication group"),
    ("info", "every line of it is the server's own"),
    ("lastsave", "a time"),
    ("latency", "what it lists depends on times"),
    ("lolwut", "a picture"),
    ("memory", "each server's own figures"),
    ("migrate", "needs a third server"),
    ("module", "loads programs, and its errors are in tests/server_commands"),
    ("monitor", "messages come outside of replies"),
    ("pfdebug", "shows the inside of a value"),
    ("pfselftest", "tests the server's own code"),
    ("psync", "starts a stream"),
    ("quit", "ends the connection"),
    ("replconf", "a replica's command"),
    ("replicaof", "makes a replica of the server"),
    ("restore-asking", "the cluster's form of RESTORE"),
    ("role", "offsets are the server's own"),
    ("save", "writes files"),
    ("shutdown", "ends the server"),
    ("slaveof", "makes a replica of the server"),
    ("slowlog", "what it lists depends on times"),
    ("sync", "starts a stream"),
];

/// Commands that take the ground from under the others.
const RARE: &[&str] = &["flushall", "flushdb", "swapdb", "select", "move", "hello", "reset"];

/// How many lots a row has among all.
pub(crate) fn weight(row: &Row) -> usize {
    let container = row.name.split('|').next().unwrap_or_default();
    let skipped = NOT_PLAYED.iter().any(|(name, _)| {
        *name == row.name || *name == container || name.strip_prefix('@') == Some(&row.group)
    });
    if skipped || row.name.ends_with("|help") {
        return 0;
    }
    match row.group.as_str() {
        _ if RARE.contains(&row.name.as_str()) => 1,
        "connection" | "server" | "cluster" => 10,
        "generic" => 60,
        _ => 100,
    }
}

/// An alternative that is never taken.
pub(crate) fn left_out(row: &Row, arg: &Arg) -> bool {
    // An id made of the time is another one on the peer.
    row.name == "xadd" && arg.token.as_deref() == Some("*")
}

/// How the reply to a command is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// The same bytes.
    Bytes,
    /// Elements in any order.
    Unordered,
    /// Whole numbers may differ by so much.
    Near(i64),
    /// Times in it may differ, other numbers not.
    Times,
    /// As many elements of the same kinds.
    Shape,
    /// As many elements.
    Length,
    /// Elements of the value under the key, as many and of the same kinds.
    Drawn,
    /// A cursor: goes on until the end, then compares all elements; the word after `at` words is the
    /// cursor.
    Scan {
        /// Index of the cursor.
        at: usize,
    },
    /// The same bytes, or with weights of its own as many elements.
    Sort,
    /// The same bytes, from a sorted set whose scores are made equal first: of others, Redis says
    /// that ranges by member are unspecified.
    ByMember,
    /// The same bytes, from a sorted set whose scores are geohashes. What Redis makes of others is
    /// left to how C casts them.
    Geo,
    /// Whatever comes.
    Skip,
}

/// Judges by name; the row's tips decide about the others.
const JUDGES: &[(&str, Judge)] = &[
    ("client|getname", Judge::Bytes),
    ("client|id", Judge::Shape),
    ("client|info", Judge::Skip),
    ("client|list", Judge::Skip),
    ("expiretime", Judge::Near(5)),
    ("pexpiretime", Judge::Near(5_000)),
    ("ttl", Judge::Near(5)),
    ("pttl", Judge::Near(5_000)),
    ("httl", Judge::Near(5)),
    ("hpttl", Judge::Near(5_000)),
    ("hexpiretime", Judge::Near(5)),
    ("hpexpiretime", Judge::Near(5_000)),
    ("hello", Judge::Skip),
    // Keys that are due count until they are deleted.
    ("dbsize", Judge::Shape),
    ("object|encoding", Judge::Bytes),
    ("object|idletime", Judge::Shape),
    ("hrandfield", Judge::Drawn),
    ("spop", Judge::Drawn),
    ("srandmember", Judge::Drawn),
    ("zrandmember", Judge::Drawn),
    ("randomkey", Judge::Shape),
    ("hscan", Judge::Scan { at: 2 }),
    ("scan", Judge::Scan { at: 1 }),
    ("sscan", Judge::Scan { at: 2 }),
    ("zscan", Judge::Scan { at: 2 }),
    ("sort", Judge::Sort),
    ("sort_ro", Judge::Sort),
    ("zlexcount", Judge::ByMember),
    ("zrangebylex", Judge::ByMember),
    ("zrevrangebylex", Judge::ByMember),
    ("zremrangebylex", Judge::ByMember),
    ("zrange", Judge::ByMember),
    ("zrangestore", Judge::ByMember),
    ("xinfo|consumers", Judge::Times),
    ("xinfo|groups", Judge::Bytes),
    ("xinfo|stream", Judge::Times),
    ("xpending", Judge::Times),
    ("xautoclaim", Judge::Bytes),
    ("xclaim", Judge::Bytes),
];

/// The judge of a row.
pub(crate) fn judge(row: &Row) -> Judge {
    match JUDGES.iter().find(|(name, _)| *name == row.name) {
        Some((_, judge)) => *judge,
        None if row.group == "geo" && row.name != "geoadd" => Judge::Geo,
        None if row.has_tip("nondeterministic_output") => Judge::Shape,
        None if row.has_tip("nondeterministic_output_order") => Judge::Unordered,
        None => Judge::Bytes,
    }
}

/// A reply that is lawfully another one. All three are globs.
struct Changed {
    /// The command.
    name: &'static str,
    /// What the peer says.
    before: &'static str,
    /// What 7.2 says, or means to say.
    since: &'static str,
}

/// What 7.2 answers otherwise.
const CHANGED_IN_7_2: &[Changed] = &[
    // WITHSCORE is new.
    Changed { name: "z*rank", before: "-ERR wrong number of arguments for *", since: "*" },
    // A timeout beyond what counts as a time had no text of its own.
    Changed {
        name: "b*",
        before: "-ERR timeout is negative",
        since: "-ERR timeout is out of range",
    },
    // Consumers are made by every call that names one.
    Changed { name: "xgroup|createconsumer", before: ":1", since: ":0" },
    // The arity is that of the command alone.
    Changed {
        name: "command|getkeys*",
        before: "-ERR wrong number of arguments for *",
        since: "-ERR *",
    },
    Changed { name: "object|encoding", before: "\"quicklist\"", since: "\"listpack\"" },
    Changed { name: "object|encoding", before: "\"hashtable\"", since: "\"listpack\"" },
    Changed { name: "object|encoding", before: "\"listpack\"", since: "*" },
    // Checks that came later.
    Changed {
        name: "lpos",
        before: "*",
        since: "-ERR value is out of range, value must between *",
    },
    Changed { name: "xsetid", before: "*", since: "-ERR * than current max_deleted_entry_id" },
    Changed { name: "command|getkeys*", before: "-ERR Invalid number of *", since: "[*" },
    // Names go with RESET.
    Changed { name: "client|getname", before: "*", since: "nil" },
    // The texts name the command that was called.
    Changed { name: "xread*", before: "-ERR Unbalanced *", since: "-ERR Unbalanced *" },
];

/// Encodings that 7.2 gave to values: type, before, since.
const ENCODINGS_OF_7_2: &[(&str, &str, &str)] = &[
    // Sets of few members that are not all numbers.
    ("set", r#""hashtable""#, r#""listpack""#),
    // Hashes and sorted sets that what one command names could outgrow, named twice or not.
    ("hash", r#""listpack""#, r#""hashtable""#),
    ("zset", r#""listpack""#, r#""skiplist""#),
    // Lists of one node.
    ("list", r#""quicklist""#, r#""listpack""#),
];

/// Whether two encodings are those of 7.0 and 7.2 for one value.
pub(crate) fn encoded_as_in_7_2(kind: &str, ours: &str, theirs: &str) -> bool {
    ENCODINGS_OF_7_2.contains(&(kind, theirs, ours))
}

/// What Redis answers by mistake, in every version.
const MISTAKES: &[Changed] = &[
    // An index outside of 32 bits loses its upper half.
    Changed { name: "lset", before: "+OK", since: "-ERR index out of range" },
    // A name ends for it at the first zero byte, so that what follows is not looked at.
    Changed { name: "client|setname", before: "+OK", since: "-ERR * cannot contain *" },
    Changed { name: "client|setinfo", before: "+OK", since: "-ERR * cannot contain *" },
    Changed { name: "client|getname", before: "\"\\x00\"", since: "*" },
];

/// Whether a difference is known: a mistake of the peer's, or one between 7.0 and 7.2.
pub(crate) fn known(name: &str, ours: &str, theirs: &str, old_peer: bool) -> bool {
    let changed = if old_peer { CHANGED_IN_7_2 } else { &[] };
    MISTAKES.iter().chain(changed).any(|known| {
        glob(known.name, name) && glob(known.since, ours) && glob(known.before, theirs)
    })
}
