//! The rows of cluster commands.

use super::disabled;
use crate::commands::row::{Categories, Flags, Group, Row, check};

/// All rows.
pub const ROWS: &[Row] = &[
    Row::new("asking", 1, disabled).fast().category(Categories::CONNECTION).docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        "Announces a command on a slot that is on its way to this node.",
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
