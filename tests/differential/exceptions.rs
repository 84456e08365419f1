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
    ("cluster", "differs in what a node without a cluster refuses"),
    ("command|count", "lists all commands of a server"),
    ("command|docs", "lists all commands of a server; tests/table compares it"),
    ("command|info", "lists all commands of a server; tests/table compares it"),
    ("command|list", "lists all commands of a server"),
    ("config", "changes how the server answers from then on"),
    ("debug", "changes how the server answers from then on"),
    ("dump", "bytes of a file format that grows with versions"),
    ("failover", "needs replicas"),
    ("info", "every line of it is the server's own"),
    ("lastsave", "a time"),
    ("latency", "what it lists depends on times"),
    ("lolwut", "a picture"),
    ("memory", "each server's own figures"),
    ("migrate", "needs a third server"),
    ("module", "modules are not supported"),
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
        "connection" | "server" | "cluster" => 2,
        "generic" => 12,
        _ => 20,
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
    /// Elements of the value under the key, as many and of the same kinds.
    Drawn,
    /// A cursor: goes on until the end, then compares all elements; the word after `at` words is the
    /// cursor.
    Scan {
        /// Index of the cursor.
        at: usize,
    },
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
    ("hello", Judge::Skip),
    ("object|encoding", Judge::Bytes),
    ("object|idletime", Judge::Near(5)),
    ("hrandfield", Judge::Drawn),
    ("spop", Judge::Drawn),
    ("srandmember", Judge::Drawn),
    ("zrandmember", Judge::Drawn),
    ("randomkey", Judge::Shape),
    ("hscan", Judge::Scan { at: 2 }),
    ("scan", Judge::Scan { at: 1 }),
    ("sscan", Judge::Scan { at: 2 }),
    ("zscan", Judge::Scan { at: 2 }),
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
        None if row.has_tip("nondeterministic_output") => Judge::Shape,
        None if row.has_tip("nondeterministic_output_order") => Judge::Unordered,
        None => Judge::Bytes,
    }
}

/// A reply of a peer before 7.2 that 7.2 gives otherwise.
struct Changed {
    /// The command.
    name: &'static str,
    /// What the older peer says, as a glob.
    before: &'static str,
    /// What 7.2 says, as a glob.
    since: &'static str,
}

/// What 7.2 answers otherwise.
const CHANGED_IN_7_2: &[Changed] = &[];

/// Whether a difference is one between 7.0 and 7.2.
pub(crate) fn changed_in_7_2(name: &str, ours: &str, theirs: &str) -> bool {
    CHANGED_IN_7_2.iter().any(|changed| {
        glob(changed.name, name) && glob(changed.since, ours) && glob(changed.before, theirs)
    })
}
