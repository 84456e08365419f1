//! The rows of the list commands.

use super::commands;
use crate::commands::row::{
    Arg, ArgKind, Begin, Categories, Find, Flags, Group, KeySpec, Row, check,
};

/// The list commands.
pub const ROWS: &[Row] = &[
    Row::new("blmove", 6, commands::blmove)
        .writes_rewritten()
        .deny_oom()
        .flag(Flags::BLOCKING)
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])])
        .docs(
            Group::List,
            "6.2.0",
            "O(1)",
            "Moves an element between two lists; waits while the source is empty.",
        )
        .args(&[
            Arg::key("source", 0),
            Arg::key("destination", 1),
            Arg::one_of("wherefrom", &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")]),
            Arg::one_of("whereto", &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")]),
            Arg::new("timeout", ArgKind::Double),
        ]),
    Row::new("blmpop", -5, commands::blmpop)
        .writes_rewritten()
        .flag(Flags::BLOCKING)
        .category(Categories::LIST)
        .keys(&[KeySpec {
            begin: Begin::Index(2),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
            flags: &["RW", "access", "delete"],
            notes: None,
        }])
        .docs(
            Group::List,
            "7.0.0",
            "O(N+M) at worst",
            "Takes elements from the first list that has any; waits while none has.",
        )
        .args(&[
            Arg::new("timeout", ArgKind::Double),
            Arg::integer("numkeys"),
            Arg::key("key", 0).multiple(),
            Arg::one_of("where", &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")]),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    Row::new("blpop", -3, commands::blpop)
        .writes_rewritten()
        .flag(Flags::BLOCKING)
        .category(Categories::LIST)
        .keys(&[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])])
        .docs(
            Group::List,
            "2.0.0",
            "O(N) at worst",
            "Takes the head of the first list that has one; waits while none has.",
        )
        .history(&[("6.0.0", "The timeout may have a fraction.")])
        .args(&[Arg::key("key", 0).multiple(), Arg::new("timeout", ArgKind::Double)]),
    Row::new("brpop", -3, commands::brpop)
        .writes_rewritten()
        .flag(Flags::BLOCKING)
        .category(Categories::LIST)
        .keys(&[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])])
        .docs(
            Group::List,
            "2.0.0",
            "O(N) at worst",
            "Takes the tail of the first list that has one; waits while none has.",
        )
        .history(&[("6.0.0", "The timeout may have a fraction.")])
        .args(&[Arg::key("key", 0).multiple(), Arg::new("timeout", ArgKind::Double)]),
    Row::new("brpoplpush", 4, commands::brpoplpush)
        .writes_rewritten()
        .deny_oom()
        .flag(Flags::BLOCKING)
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])])
        .docs(
            Group::List,
            "2.2.0",
            "O(1)",
            "Moves the tail of a list to the head of another; waits while it is empty.",
        )
        .history(&[("6.0.0", "The timeout may have a fraction.")])
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
        .args(&[
            Arg::key("source", 0),
            Arg::key("destination", 1),
            Arg::new("timeout", ArgKind::Double),
        ]),
    Row::new("lindex", 3, commands::lindex)
        .reads()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::List, "1.0.0", "O(N) at worst", "Reads the element at a position.")
        .args(&[Arg::key("key", 0), Arg::integer("index")]),
    Row::new("linsert", 5, commands::linsert)
        .writes()
        .deny_oom()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(Group::List, "2.2.0", "O(N) at worst", "Adds an element before or after another one.")
        .args(&[
            Arg::key("key", 0),
            Arg::one_of("where", &[Arg::word("before", "BEFORE"), Arg::word("after", "AFTER")]),
            Arg::string("pivot"),
            Arg::string("element"),
        ]),
    Row::new("llen", 2, commands::llen)
        .reads()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RO"])])
        .docs(Group::List, "1.0.0", "O(1)", "Counts the elements of a list.")
        .args(&[Arg::key("key", 0)]),
    Row::new("lmove", 5, commands::lmove)
        .writes()
        .deny_oom()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])])
        .docs(
            Group::List,
            "6.2.0",
            "O(1)",
            "Moves an element from an end of a list to an end of another.",
        )
        .args(&[
            Arg::key("source", 0),
            Arg::key("destination", 1),
            Arg::one_of("wherefrom", &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")]),
            Arg::one_of("whereto", &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")]),
        ]),
    Row::new("lmpop", -4, commands::lmpop)
        .writes_rewritten()
        .category(Categories::LIST)
        .keys(&[KeySpec {
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
            flags: &["RW", "access", "delete"],
            notes: None,
        }])
        .docs(
            Group::List,
            "7.0.0",
            "O(N+M) at worst",
            "Takes elements from the first list that has any.",
        )
        .args(&[
            Arg::integer("numkeys"),
            Arg::key("key", 0).multiple(),
            Arg::one_of("where", &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")]),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    Row::new("lpop", -2, commands::lpop)
        .writes()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"])])
        .docs(Group::List, "1.0.0", "O(N) at worst", "Takes elements from the head of a list.")
        .history(&[("6.2.0", "A count may be given.")])
        .args(&[Arg::key("key", 0), Arg::integer("count").since("6.2.0").optional()]),
    Row::new("lpos", -3, commands::lpos)
        .reads()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::List, "6.0.6", "O(N) at worst", "Finds the positions of an element.")
        .args(&[
            Arg::key("key", 0),
            Arg::string("element"),
            Arg::integer("rank").token("RANK").optional(),
            Arg::integer("num-matches").token("COUNT").optional(),
            Arg::integer("len").token("MAXLEN").optional(),
        ]),
    Row::new("lpush", -3, commands::lpush)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(
            Group::List,
            "1.0.0",
            "O(1)",
            "Adds elements at the head of a list; a missing one is made.",
        )
        .history(&[("2.4.0", "Takes several elements.")])
        .args(&[Arg::key("key", 0), Arg::string("element").multiple()]),
    Row::new("lpushx", -3, commands::lpushx)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(Group::List, "2.2.0", "O(1)", "Adds elements at the head of a list that exists.")
        .history(&[("4.0.0", "Takes several elements.")])
        .args(&[Arg::key("key", 0), Arg::string("element").multiple()]),
    Row::new("lrange", 4, commands::lrange)
        .reads()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RO", "access"])])
        .docs(Group::List, "1.0.0", "O(S+N) at worst", "Reads the elements between two positions.")
        .args(&[Arg::key("key", 0), Arg::integer("start"), Arg::integer("stop")]),
    Row::new("lrem", 4, commands::lrem)
        .writes_rewritten()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .docs(Group::List, "1.0.0", "O(N+M) at worst", "Removes elements that equal a value.")
        .args(&[Arg::key("key", 0), Arg::integer("count"), Arg::string("element")]),
    Row::new("lset", 4, commands::lset)
        .writes()
        .deny_oom()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "update"])])
        .docs(Group::List, "1.0.0", "O(N) at worst", "Puts another element at a position.")
        .args(&[Arg::key("key", 0), Arg::integer("index"), Arg::string("element")]),
    Row::new("ltrim", 4, commands::ltrim)
        .writes()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "delete"])])
        .docs(
            Group::List,
            "1.0.0",
            "O(N) at worst",
            "Keeps only the elements between two positions.",
        )
        .args(&[Arg::key("key", 0), Arg::integer("start"), Arg::integer("stop")]),
    Row::new("rpop", -2, commands::rpop)
        .writes()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"])])
        .docs(Group::List, "1.0.0", "O(N) at worst", "Takes elements from the tail of a list.")
        .history(&[("6.2.0", "A count may be given.")])
        .args(&[Arg::key("key", 0), Arg::integer("count").since("6.2.0").optional()]),
    Row::new("rpoplpush", 3, commands::rpoplpush)
        .writes()
        .deny_oom()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "access", "delete"]), KeySpec::at(2, &["RW", "insert"])])
        .docs(
            Group::List,
            "1.2.0",
            "O(1)",
            "Moves the last element of a list to the head of another.",
        )
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
        .args(&[Arg::key("source", 0), Arg::key("destination", 1)]),
    Row::new("rpush", -3, commands::rpush)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(
            Group::List,
            "1.0.0",
            "O(1)",
            "Adds elements at the tail of a list; a missing one is made.",
        )
        .history(&[("2.4.0", "Takes several elements.")])
        .args(&[Arg::key("key", 0), Arg::string("element").multiple()]),
    Row::new("rpushx", -3, commands::rpushx)
        .writes()
        .deny_oom()
        .fast()
        .category(Categories::LIST)
        .keys(&[KeySpec::at(1, &["RW", "insert"])])
        .docs(Group::List, "2.2.0", "O(1)", "Adds elements at the tail of a list that exists.")
        .history(&[("4.0.0", "Takes several elements.")])
        .args(&[Arg::key("key", 0), Arg::string("element").multiple()]),
];

const _: () = check(ROWS);
