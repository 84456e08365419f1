//! The rows of the hyperloglog commands.

use super::commands;
use crate::commands::row::{Arg, Categories, Flags, Group, KeySpec, Row, check};

/// The hyperloglog commands.
pub const ROWS: &[Row] = &[
    Row::new("pfadd", -2, commands::pfadd)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::HYPERLOGLOG)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(
            Group::Hyperloglog,
            "2.8.9",
            "O(1)",
            "Adds elements to a HyperLogLog; a missing one is made.",
        )
        .args(&[Arg::key("key", 0), Arg::string("element").optional().multiple()]),
    Row::new("pfcount", -2, commands::pfcount)
        .reads_and_may_write()
        .category(Categories::HYPERLOGLOG)
        .keys(&[KeySpec::range(1, -1, 1, &["RW", "access"])
            .note("RW, for the cardinality that was computed is kept.")])
        .docs(
            Group::Hyperloglog,
            "2.8.9",
            "O(1)",
            "Estimates how many different elements were added.",
        )
        .args(&[Arg::key("key", 0).multiple()]),
    Row::new("pfdebug", 3, commands::pfdebug)
        .writes()
        .deny_oom()
        .flag(Flags::ADMIN)
        .flag(Flags::SYSCMD)
        .category(Categories::HYPERLOGLOG)
        .keys(&[KeySpec::at(2, &["RW", "access"])])
        .docs(Group::Hyperloglog, "2.8.9", "N/A", "Looks into a HyperLogLog.")
        .args(&[Arg::string("subcommand"), Arg::key("key", 0)]),
    Row::new("pfmerge", -2, commands::pfmerge)
        .writes()
        .deny_oom()
        .category(Categories::HYPERLOGLOG)
        .keys(&[
            KeySpec::at(1, &["RW", "access", "insert"]),
            KeySpec::range(2, -1, 1, &["RO", "access"]),
        ])
        .docs(Group::Hyperloglog, "2.8.9", "O(N)", "Merges HyperLogLogs into one.")
        .args(&[Arg::key("destkey", 0), Arg::key("sourcekey", 1).optional().multiple()]),
    Row::new("pfselftest", 1, commands::pfselftest)
        .flag(Flags::ADMIN)
        .flag(Flags::SYSCMD)
        .category(Categories::HYPERLOGLOG)
        .docs(
            Group::Hyperloglog,
            "2.8.9",
            "N/A",
            "Tests the registers and the estimates of HyperLogLogs.",
        ),
];

const _: () = check(ROWS);
