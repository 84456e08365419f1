//! The rows of cluster commands.

use super::disabled;
use crate::commands::row::{Arg, Categories, Flags, Group, Row, check};

const UNSTEADY: &[&str] = &["nondeterministic_output"];
const NODE: &[Arg] = &[Arg::string("node-id")];
const RANGES: &[Arg] =
    &[Arg::block("range", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).multiple()];

/// A subcommand that asks something.
const fn asks(name: &'static str, arity: i32, since: &'static str, summary: &'static str) -> Row {
    Row::new(name, arity, disabled).flag(Flags::STALE).docs(Group::Cluster, since, "O(1)", summary)
}

/// The same for operators only.
const fn watches(
    name: &'static str,
    arity: i32,
    since: &'static str,
    summary: &'static str,
) -> Row {
    asks(name, arity, since, summary).flag(Flags::ADMIN)
}

/// One that changes the cluster.
const fn changes(
    name: &'static str,
    arity: i32,
    since: &'static str,
    summary: &'static str,
) -> Row {
    watches(name, arity, since, summary).flag(Flags::NO_ASYNC_LOADING)
}

const CLUSTER: &[Row] = &[
    changes("addslots", -3, "3.0.0", "Gives slots to this node.")
        .args(&[Arg::integer("slot").multiple()]),
    changes("addslotsrange", -4, "7.0.0", "Gives ranges of slots to this node.").args(RANGES),
    changes("bumpepoch", 2, "3.0.0", "Raises the configuration's epoch.").tips(UNSTEADY),
    watches("count-failure-reports", 3, "3.0.0", "Counts the reports of a failure of a node.")
        .tips(UNSTEADY)
        .args(NODE),
    asks("countkeysinslot", 3, "3.0.0", "Counts the keys of a slot.").args(&[Arg::integer("slot")]),
    changes("delslots", -3, "3.0.0", "Takes slots from this node.")
        .args(&[Arg::integer("slot").multiple()]),
    changes("delslotsrange", -4, "7.0.0", "Takes ranges of slots from this node.").args(RANGES),
    changes("failover", -2, "3.0.0", "Lets this replica take the place of its primary.").args(&[
        Arg::one_of("options", &[Arg::word("force", "FORCE"), Arg::word("takeover", "TAKEOVER")])
            .optional(),
    ]),
    changes("flushslots", 2, "3.0.0", "Takes all slots from this node."),
    changes("forget", 3, "3.0.0", "Forgets a node.").args(NODE),
    asks("getkeysinslot", 4, "3.0.0", "Lists keys of a slot.")
        .tips(UNSTEADY)
        .args(&[Arg::integer("slot"), Arg::integer("count")]),
    asks("help", 2, "5.0.0", "Explains the subcommands.").flag(Flags::LOADING),
    asks("info", 2, "3.0.0", "Tells the state of the cluster.").tips(UNSTEADY),
    asks("keyslot", 3, "3.0.0", "Tells the slot of a key.").args(&[Arg::string("key")]),
    asks("links", 2, "7.0.0", "Lists the links to other nodes.").tips(UNSTEADY),
    changes("meet", -4, "3.0.0", "Makes another node known.").args(&[
        Arg::string("ip"),
        Arg::integer("port"),
        Arg::integer("cluster-bus-port").optional().since("4.0.0"),
    ]),
    asks("myid", 2, "3.0.0", "Tells this node's id."),
    asks("myshardid", 2, "7.2.0", "Tells the id of this node's shard.").tips(UNSTEADY),
    asks("nodes", 2, "3.0.0", "Lists the nodes.").tips(UNSTEADY),
    watches("replicas", 3, "5.0.0", "Lists the replicas of a node.").tips(UNSTEADY).args(NODE),
    changes("replicate", 3, "3.0.0", "Makes this node the replica of another one.").args(NODE),
    watches("reset", -2, "3.0.0", "Takes this node out of the cluster.")
        .flag(Flags::NOSCRIPT)
        .args(&[Arg::one_of(
            "reset-type",
            &[Arg::word("hard", "HARD"), Arg::word("soft", "SOFT")],
        )
        .optional()]),
    changes("saveconfig", 2, "3.0.0", "Writes the state of the cluster to the disk."),
    changes("set-config-epoch", 3, "3.0.0", "Sets the epoch of a new node.")
        .args(&[Arg::integer("config-epoch")]),
    changes("setslot", -4, "3.0.0", "Binds a slot to a node.").args(&[
        Arg::integer("slot"),
        Arg::one_of(
            "subcommand",
            &[
                Arg::string("importing").token("IMPORTING"),
                Arg::string("migrating").token("MIGRATING"),
                Arg::string("node").token("NODE"),
                Arg::word("stable", "STABLE"),
            ],
        ),
    ]),
    asks("shards", 2, "7.0.0", "Lists the shards with their slots and nodes.")
        .flag(Flags::LOADING)
        .tips(UNSTEADY),
    watches("slaves", 3, "3.0.0", "Lists the replicas of a node.")
        .tips(UNSTEADY)
        .args(NODE)
        .deprecated("5.0.0", "`CLUSTER REPLICAS`"),
    asks("slots", 2, "3.0.0", "Lists the slots with their nodes.")
        .flag(Flags::LOADING)
        .tips(UNSTEADY)
        .deprecated("7.0.0", "`CLUSTER SHARDS`"),
];

/// All rows.
pub const ROWS: &[Row] = &[
    Row::new("asking", 1, disabled).fast().category(Categories::CONNECTION).docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        "Announces a command on a slot that is on its way to this node.",
    ),
    Row::container("cluster", -2, CLUSTER).docs(
        Group::Cluster,
        "3.0.0",
        "That of the subcommand.",
        "Slots and nodes of a cluster.",
    ),
    Row::new("readonly", 1, disabled)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .fast()
        .category(Categories::CONNECTION)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Lets the connection read from a replica."),
    Row::new("readwrite", 1, disabled)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .fast()
        .category(Categories::CONNECTION)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Takes READONLY back."),
];

const _: () = check(ROWS);
