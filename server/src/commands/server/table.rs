//! The rows of the server commands.

use super::{
    aof, command, config, debug, introspection, latency, lolwut, memory, module, save, shutdown,
    slowlog,
};
use crate::commands::row::{Arg, ArgKind, Categories, Flags, Group, KeySpec, Row, check};
use crate::dispatch::call::{Call, CommandResult};

type Run = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

/// A command that works whatever state the data set is in.
const fn anytime(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run).flag(Flags::LOADING).flag(Flags::STALE)
}

/// The same for operators only.
const fn operator(name: &'static str, arity: i32, run: Run) -> Row {
    anytime(name, arity, run).flag(Flags::ADMIN)
}

/// The same, and not from scripts.
const fn unscripted(name: &'static str, arity: i32, run: Run) -> Row {
    operator(name, arity, run).flag(Flags::NOSCRIPT)
}

/// One that needs the data set at rest, not one that is being loaded beside it: SAVE and its like.
const fn settled(name: &'static str, arity: i32, run: Run) -> Row {
    Row::new(name, arity, run)
        .flag(Flags::ADMIN)
        .flag(Flags::NOSCRIPT)
        .flag(Flags::NO_ASYNC_LOADING)
}

/// `<container> HELP`.
const fn help(since: &'static str, run: Run) -> Row {
    anytime("help", 2, run).docs(Group::Server, since, "O(1)", "Explains the subcommands.")
}

const BY_SUBCOMMAND: &str = "That of the subcommand.";
const UNSTEADY: &str = "nondeterministic_output";
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const EVERY_NODE_SUCCEEDS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const EVERY_NODE_OWN: &[&str] = &[UNSTEADY, "request_policy:all_nodes", "response_policy:special"];
const EVERY_SHARD_OWN: &[&str] =
    &[UNSTEADY, "request_policy:all_shards", "response_policy:special"];

const COMMAND_NAMES: &[Arg] = &[Arg::string("command-name").optional().multiple()];
const WHOLE_COMMAND: &[Arg] = &[Arg::string("command"), Arg::string("arg").optional().multiple()];
const EVENT: &[Arg] = &[Arg::string("event")];

const fn about_commands(name: &'static str, arity: i32, run: Run) -> Row {
    anytime(name, arity, run).category(Categories::CONNECTION)
}

const COMMAND: &[Row] = &[
    about_commands("count", 2, command::count).docs(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Counts the commands.",
    ),
    about_commands("docs", -2, command::docs)
        .tips(UNORDERED)
        .docs(
            Group::Server,
            "7.0.0",
            "O(N), N being the commands shown.",
            "Shows the documentation of commands.",
        )
        .args(COMMAND_NAMES),
    about_commands("getkeys", -3, command::getkeys)
        .docs(
            Group::Server,
            "2.8.13",
            "O(N), N being the arguments given.",
            "Names the keys in a whole command.",
        )
        .args(WHOLE_COMMAND),
    about_commands("getkeysandflags", -3, command::getkeysandflags)
        .docs(
            Group::Server,
            "7.0.0",
            "O(N), N being the arguments given.",
            "Names the keys in a whole command and what it does to them.",
        )
        .args(WHOLE_COMMAND),
    help("5.0.0", command::help).category(Categories::CONNECTION),
    about_commands("info", -2, command::info)
        .tips(UNORDERED)
        .docs(
            Group::Server,
            "2.8.13",
            "O(N), N being the commands shown.",
            "Describes commands as clients need it.",
        )
        .history(&[("7.0.0", "Without a name it describes all commands.")])
        .args(COMMAND_NAMES),
    about_commands("list", -2, command::list)
        .tips(UNORDERED)
        .docs(
            Group::Server,
            "7.0.0",
            "O(N), N being all commands.",
            "Names the commands, or those that fit a filter.",
        )
        .args(&[Arg::one_of(
            "filterby",
            &[
                Arg::string("module-name").token("MODULE"),
                Arg::string("category").token("ACLCAT"),
                Arg::new("pattern", ArgKind::Pattern).token("PATTERN"),
            ],
        )
        .token("FILTERBY")
        .optional()]),
];

const CONFIG: &[Row] = &[
    unscripted("get", -3, config::get)
        .docs(
            Group::Server,
            "2.0.0",
            "O(N), N being the patterns given.",
            "Shows directives with their values.",
        )
        .history(&[("7.0.0", "Takes several patterns.")])
        .args(&[Arg::string("parameter").multiple()]),
    help("5.0.0", config::help),
    unscripted("resetstat", 2, config::resetstat).tips(EVERY_NODE_SUCCEEDS).docs(
        Group::Server,
        "2.0.0",
        "O(1)",
        "Begins the counters of INFO from zero.",
    ),
    unscripted("rewrite", 2, config::rewrite).tips(EVERY_NODE_SUCCEEDS).docs(
        Group::Server,
        "2.8.0",
        "O(1)",
        "Brings the configuration file up to date.",
    ),
    unscripted("set", -4, config::set)
        .tips(EVERY_NODE_SUCCEEDS)
        .docs(
            Group::Server,
            "2.0.0",
            "O(N), N being the directives given.",
            "Changes directives, all of those given or none.",
        )
        .history(&[("7.0.0", "Takes several directives.")])
        .args(&[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()]),
];

const LATENCY: &[Row] = &[
    unscripted("doctor", 2, latency::doctor).tips(EVERY_NODE_OWN).docs(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Explains the slow events that were seen.",
    ),
    unscripted("graph", 3, latency::graph)
        .tips(EVERY_NODE_OWN)
        .docs(Group::Server, "2.8.13", "O(1)", "Draws the latencies of a kind of event.")
        .args(EVENT),
    help("2.8.13", latency::help),
    unscripted("histogram", -2, latency::histogram)
        .tips(EVERY_NODE_OWN)
        .docs(
            Group::Server,
            "7.0.0",
            "O(N), N being the commands shown.",
            "Shows how the durations of commands are distributed.",
        )
        .args(&[Arg::string("COMMAND").optional().multiple()]),
    unscripted("history", 3, latency::history)
        .tips(EVERY_NODE_OWN)
        .docs(Group::Server, "2.8.13", "O(1)", "Shows the latencies of a kind of event.")
        .args(EVENT),
    unscripted("latest", 2, latency::latest).tips(EVERY_NODE_OWN).docs(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Shows the newest latency of each kind of event.",
    ),
    unscripted("reset", -2, latency::reset)
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
        .docs(
            Group::Server,
            "2.8.13",
            "O(1)",
            "Forgets the latencies of some kinds of events, or of all.",
        )
        .args(&[Arg::string("event").optional().multiple()]),
];

const MEMORY: &[Row] = &[
    Row::new("doctor", 2, memory::doctor).roams().tips(EVERY_SHARD_OWN).docs(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Says what is unusual about the node's memory.",
    ),
    help("4.0.0", memory::help),
    Row::new("malloc-stats", 2, memory::malloc_stats).tips(EVERY_SHARD_OWN).docs(
        Group::Server,
        "4.0.0",
        "Grows with the memory in use.",
        "Shows the allocator's own figures.",
    ),
    Row::new("purge", 2, memory::purge)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            Group::Server,
            "4.0.0",
            "Grows with the memory in use.",
            "Asks the allocator to give free memory back.",
        ),
    Row::new("stats", 2, memory::stats).roams().tips(EVERY_SHARD_OWN).docs(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Shows where the node's memory goes.",
    ),
    Row::new("usage", -3, memory::usage)
        .reads()
        .keys(&[KeySpec::at(2, &["RO"])])
        .docs(Group::Server, "4.0.0", "O(1)", "Tells how many bytes a key takes with its value.")
        .args(&[Arg::key("key", 0), Arg::integer("count").token("SAMPLES").optional()]),
];

/// One that would change which modules there are.
const fn of_modules(name: &'static str, arity: i32, run: Run) -> Row {
    settled(name, arity, run).flag(Flags::PROTECTED)
}

const PATH: Arg = Arg::string("path");

const MODULE: &[Row] = &[
    help("5.0.0", module::help),
    Row::new("list", 2, module::list)
        .flag(Flags::ADMIN)
        .flag(Flags::NOSCRIPT)
        .tips(UNORDERED)
        .docs(Group::Server, "4.0.0", "O(1)", "Lists the modules: there are none."),
    of_modules("load", -3, module::load)
        .docs(Group::Server, "4.0.0", "O(1)", "Loads a module, which this server refuses.")
        .args(&[PATH, Arg::string("arg").optional().multiple()]),
    of_modules("loadex", -3, module::load)
        .docs(Group::Server, "7.0.0", "O(1)", "Loads a module, which this server refuses.")
        .args(&[
            PATH,
            Arg::block("configs", &[Arg::string("name"), Arg::string("value")])
                .token("CONFIG")
                .optional()
                .multiple(),
            Arg::string("args").token("ARGS").optional().multiple(),
        ]),
    of_modules("unload", 3, module::unload)
        .docs(Group::Server, "4.0.0", "O(1)", "Unloads a module.")
        .args(&[Arg::string("name")]),
];

const SLOWLOG: &[Row] = &[
    operator("get", -2, slowlog::get)
        .tips(&["request_policy:all_nodes", UNSTEADY])
        .docs(
            Group::Server,
            "2.2.12",
            "O(N), N being the entries shown.",
            "Shows the newest entries of the slow log.",
        )
        .history(&[("4.0.0", "Entries tell the client's address and name.")])
        .args(&[Arg::integer("count").optional()]),
    help("6.2.0", slowlog::help),
    operator("len", 2, slowlog::len)
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", UNSTEADY])
        .docs(Group::Server, "2.2.12", "O(1)", "Counts the entries of the slow log."),
    operator("reset", 2, slowlog::reset).tips(EVERY_NODE_SUCCEEDS).docs(
        Group::Server,
        "2.2.12",
        "O(N), N being the entries of the slow log.",
        "Empties the slow log.",
    ),
];

/// The server commands.
pub const ROWS: &[Row] = &[
    settled("bgsave", -1, save::bgsave)
        .docs(Group::Server, "1.0.0", "O(1)", "Saves the data set in the background.")
        .history(&[("3.2.2", "Takes `SCHEDULE`.")])
        .args(&[Arg::word("schedule", "SCHEDULE").optional().since("3.2.2")]),
    Row::new("bgrewriteaof", 1, aof::bgrewriteaof)
        .flag(Flags::ADMIN)
        .flag(Flags::NOSCRIPT)
        .flag(Flags::NO_ASYNC_LOADING)
        .docs(Group::Server, "1.0.0", "O(1)", "Begins to write the append-only file anew."),
    about_commands("command", -1, command::command).subcommands(COMMAND).tips(UNORDERED).docs(
        Group::Server,
        "2.8.13",
        "O(N), N being all commands.",
        "Describes all commands as clients need it.",
    ),
    Row::container("config", -2, CONFIG).docs(
        Group::Server,
        "2.0.0",
        BY_SUBCOMMAND,
        "Settings of the running node.",
    ),
    unscripted("debug", -2, debug::debug).roams().flag(Flags::PROTECTED).flag(Flags::SYSCMD).docs(
        Group::Server,
        "1.0.0",
        BY_SUBCOMMAND,
        "Looks inside the node, and switches for tests.",
    ),
    anytime("info", -1, introspection::info)
        .roams()
        .category(Categories::DANGEROUS)
        .tips(EVERY_SHARD_OWN)
        .docs(Group::Server, "1.0.0", "O(1)", "Reports the state of the node and its counters.")
        .history(&[("7.0.0", "Takes several sections.")])
        .args(&[Arg::string("section").multiple().optional()]),
    anytime("lastsave", 1, save::lastsave)
        .fast()
        .category(Categories::ADMIN.and(Categories::DANGEROUS))
        .tips(&[UNSTEADY])
        .docs(Group::Server, "1.0.0", "O(1)", "Tells when the data set was last saved."),
    Row::container("latency", -2, LATENCY).docs(
        Group::Server,
        "2.8.13",
        BY_SUBCOMMAND,
        "How long things took.",
    ),
    Row::new("lolwut", -1, lolwut::lolwut)
        .reads()
        .fast()
        .docs(Group::Server, "5.0.0", "", "Draws a piece of computer art, and tells the version.")
        .args(&[Arg::integer("version").token("VERSION").optional()]),
    Row::container("memory", -2, MEMORY).docs(
        Group::Server,
        "4.0.0",
        BY_SUBCOMMAND,
        "What keys and the node take.",
    ),
    Row::container("module", -2, MODULE).docs(
        Group::Server,
        "4.0.0",
        BY_SUBCOMMAND,
        "Modules, which this server has none of.",
    ),
    unscripted("monitor", 1, introspection::monitor).docs(
        Group::Server,
        "1.0.0",
        "",
        "Shows the commands of all clients as they run.",
    ),
    settled("save", 1, save::save).flag(Flags::NO_MULTI).docs(
        Group::Server,
        "1.0.0",
        "O(N), N being all keys.",
        "Saves the data set, and waits for it.",
    ),
    unscripted("shutdown", -1, shutdown::shutdown)
        .flag(Flags::NO_MULTI)
        .flag(Flags::ALLOW_BUSY)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N) when it saves, N being all keys; otherwise O(1)",
            "Saves the data set and ends the node.",
        )
        .history(&[("7.0.0", "Takes `NOW`, `FORCE` and `ABORT`.")])
        .args(&[
            Arg::one_of(
                "save-selector",
                &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")],
            )
            .optional(),
            Arg::word("now", "NOW").optional().since("7.0.0"),
            Arg::word("force", "FORCE").optional().since("7.0.0"),
            Arg::word("abort", "ABORT").optional().since("7.0.0"),
        ]),
    Row::container("slowlog", -2, SLOWLOG).docs(
        Group::Server,
        "2.2.12",
        BY_SUBCOMMAND,
        "The commands that took long.",
    ),
    anytime("time", 1, introspection::time).fast().tips(&[UNSTEADY]).docs(
        Group::Server,
        "2.6.0",
        "O(1)",
        "Tells the node's time.",
    ),
];

const _: () = check(ROWS);
