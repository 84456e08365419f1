//! The rows of the scripting commands.

use super::{eval, function, script};
use crate::commands::row::{Arg, Begin, Categories, Find, Flags, Group, KeySpec, Row, check};
use crate::dispatch::call::{Call, CommandResult};
use crate::scripting;

type Run = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

const ALL_SUCCEED: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const SHARDS_SUCCEED: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const ONE_SUCCEEDS: &[&str] = &["request_policy:all_shards", "response_policy:one_succeeded"];

const FLUSH_MODES: &[Arg] = &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")];

const fn keys(flags: &'static [&'static str]) -> KeySpec {
    let find = Find::KeyNum { count: 0, first: 1, step: 1 };
    KeySpec { begin: Begin::Index(2), find, flags, notes: None }
}

const MAY_WRITE: &[KeySpec] = &[keys(&["RW", "access", "update"])
    .note("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")];
const MAY_WRITE_BY_DIGEST: &[KeySpec] = &[keys(&["RW", "access", "update"])];
const READS: &[KeySpec] = &[keys(&["RO", "access"])
    .note("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS")];
const READS_BY_DIGEST: &[KeySpec] = &[keys(&["RO", "access"])];

const KEYS_AND_ARGS: [Arg; 3] = [
    Arg::integer("numkeys"),
    Arg::key("key", 0).optional().multiple(),
    Arg::string("arg").optional().multiple(),
];
const TEXT: &[Arg] = &[Arg::string("script"), KEYS_AND_ARGS[0], KEYS_AND_ARGS[1], KEYS_AND_ARGS[2]];
const DIGEST: &[Arg] = &[Arg::string("sha1"), KEYS_AND_ARGS[0], KEYS_AND_ARGS[1], KEYS_AND_ARGS[2]];
const FUNCTION: &[Arg] =
    &[Arg::string("function"), KEYS_AND_ARGS[0], KEYS_AND_ARGS[1], KEYS_AND_ARGS[2]];

/// A command that is no script's to call.
const fn unscripted(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run).flag(Flags::NOSCRIPT).category(Categories::SCRIPTING)
}

/// One that runs a script, which may use keys that it does not name.
const fn runs(name: &'static str, run: Run) -> Row {
    unscripted(name, -3, run)
        .flag(Flags::SKIP_MONITOR)
        .flag(Flags::NO_MANDATORY_KEYS)
        .flag(Flags::STALE)
        .roams()
}

const fn may_write(name: &'static str, run: Run) -> Row {
    runs(name, run).flag(Flags::MAY_REPLICATE)
}

const fn reads(name: &'static str, run: Run) -> Row {
    runs(name, run).reads()
}

/// `<container> HELP`.
const fn help(since: &'static str, run: Run) -> Row {
    Row::new("help", 2, run)
        .flag(Flags::LOADING)
        .flag(Flags::STALE)
        .category(Categories::SCRIPTING)
        .docs(Group::Scripting, since, "O(1)", "Explains the subcommands.")
}

const BY_SCRIPT: &str = "That of the script.";
const BY_FUNCTION: &str = "That of the function.";
const BY_SUBCOMMAND: &str = "That of the subcommand.";

const SCRIPT: &[Row] = &[
    unscripted("debug", 3, script::debug)
        .docs(Group::Scripting, "3.2.0", "O(1)", "Sets the debug mode of scripts; there is none.")
        .args(&[Arg::one_of(
            "mode",
            &[Arg::word("yes", "YES"), Arg::word("sync", "SYNC"), Arg::word("no", "NO")],
        )]),
    unscripted("exists", -3, script::exists)
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N), N being the digests given.",
            "Tells which scripts EVALSHA finds.",
        )
        .args(&[Arg::string("sha1").multiple()]),
    unscripted("flush", -2, script::flush)
        .tips(ALL_SUCCEED)
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N), N being the scripts that are kept.",
            "Forgets all scripts.",
        )
        .history(&[("6.2.0", "Takes ASYNC and SYNC.")])
        .args(&[Arg::one_of("flush-type", FLUSH_MODES).since("6.2.0").optional()]),
    help("5.0.0", script::help),
    unscripted("kill", 2, script::kill).flag(Flags::ALLOW_BUSY).tips(ONE_SUCCEEDS).docs(
        Group::Scripting,
        "2.6.0",
        "O(1)",
        "Ends a script that runs for too long and has written nothing.",
    ),
    unscripted("load", 3, script::load)
        .flag(Flags::STALE)
        .tips(ALL_SUCCEED)
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N), N being the length of the script.",
            "Keeps a script for EVALSHA and gives its digest.",
        )
        .args(&[Arg::string("script")]),
];

const FUNCTIONS: &[Row] = &[
    unscripted("delete", 3, function::delete)
        .writes()
        .tips(SHARDS_SUCCEED)
        .docs(Group::Scripting, "7.0.0", "O(1)", "Deletes a library with its functions.")
        .args(&[Arg::string("library-name")]),
    unscripted("dump", 2, function::dump).docs(
        Group::Scripting,
        "7.0.0",
        "O(N), N being the functions.",
        "Gives all libraries as one payload.",
    ),
    unscripted("flush", -2, function::flush)
        .writes()
        .tips(SHARDS_SUCCEED)
        .docs(
            Group::Scripting,
            "7.0.0",
            "O(N), N being the functions that are deleted.",
            "Deletes all libraries.",
        )
        .args(&[Arg::one_of("flush-type", FLUSH_MODES).optional()]),
    help("7.0.0", function::help),
    unscripted("kill", 2, function::kill).flag(Flags::ALLOW_BUSY).tips(ONE_SUCCEEDS).docs(
        Group::Scripting,
        "7.0.0",
        "O(1)",
        "Ends a function that runs for too long and has written nothing.",
    ),
    unscripted("list", -2, function::list)
        .tips(&["nondeterministic_output_order"])
        .docs(Group::Scripting, "7.0.0", "O(N), N being the functions.", "Describes the libraries.")
        .args(&[
            Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
            Arg::word("withcode", "WITHCODE").optional(),
        ]),
    unscripted("load", -3, function::load)
        .writes()
        .deny_oom()
        .tips(SHARDS_SUCCEED)
        .docs(Group::Scripting, "7.0.0", "That of running the library.", "Adds a library.")
        .args(&[Arg::word("replace", "REPLACE").optional(), Arg::string("function-code")]),
    unscripted("restore", -3, function::restore)
        .writes()
        .deny_oom()
        .tips(SHARDS_SUCCEED)
        .docs(
            Group::Scripting,
            "7.0.0",
            "O(N), N being the functions of the payload.",
            "Adds the libraries of a payload.",
        )
        .args(&[
            Arg::string("serialized-value"),
            Arg::one_of(
                "policy",
                &[
                    Arg::word("flush", "FLUSH"),
                    Arg::word("append", "APPEND"),
                    Arg::word("replace", "REPLACE"),
                ],
            )
            .optional(),
        ]),
    unscripted("stats", 2, function::stats)
        .flag(Flags::ALLOW_BUSY)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs(Group::Scripting, "7.0.0", "O(1)", "Describes the function that runs."),
];

/// The rows.
pub const ROWS: &[Row] = &[
    may_write("eval", eval::eval)
        .flags_by(scripting::flags_by_text)
        .keys(MAY_WRITE)
        .docs(Group::Scripting, "2.6.0", BY_SCRIPT, "Runs a script.")
        .args(TEXT),
    reads("eval_ro", eval::eval_ro)
        .flags_by(scripting::flags_by_text)
        .keys(READS)
        .docs(Group::Scripting, "7.0.0", BY_SCRIPT, "Runs a script that only reads.")
        .args(TEXT),
    may_write("evalsha", eval::evalsha)
        .flags_by(scripting::flags_by_digest)
        .keys(MAY_WRITE_BY_DIGEST)
        .docs(Group::Scripting, "2.6.0", BY_SCRIPT, "Runs a script that is known by its digest.")
        .args(DIGEST),
    reads("evalsha_ro", eval::evalsha_ro)
        .flags_by(scripting::flags_by_digest)
        .keys(READS_BY_DIGEST)
        .docs(
            Group::Scripting,
            "7.0.0",
            BY_SCRIPT,
            "Runs a script that only reads and is known by its digest.",
        )
        .args(DIGEST),
    may_write("fcall", eval::fcall)
        .flags_by(scripting::flags_by_function)
        .keys(MAY_WRITE)
        .docs(Group::Scripting, "7.0.0", BY_FUNCTION, "Calls a function.")
        .args(FUNCTION),
    reads("fcall_ro", eval::fcall_ro)
        .flags_by(scripting::flags_by_function)
        .keys(READS)
        .docs(Group::Scripting, "7.0.0", BY_FUNCTION, "Calls a function that only reads.")
        .args(FUNCTION),
    Row::container("function", -2, FUNCTIONS).docs(
        Group::Scripting,
        "7.0.0",
        BY_SUBCOMMAND,
        "Manages libraries of functions.",
    ),
    Row::container("script", -2, SCRIPT).docs(
        Group::Scripting,
        "2.6.0",
        BY_SUBCOMMAND,
        "Manages scripts.",
    ),
];

const _: () = check(ROWS);
