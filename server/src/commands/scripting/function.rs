//! FUNCTION: the libraries of functions, and the function that runs for too long.

use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::glob;
use crate::node::shared::Shared;
use crate::persistence::rdb::put_functions;
use crate::scripting::functions::{Function, Libraries, Library, named};
use crate::scripting::script::ScriptFlags;
use larder_protocol::rdb;
use larder_protocol::{CommandError, Reply};
use std::sync::Arc;

/// FUNCTION LOAD [REPLACE] function-code
pub fn load<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let last = call.args.len() - 1;
    let mut replace = false;
    for option in call.args.iter().take(last).skip(2) {
        if !option.eq_ignore_ascii_case(b"replace") {
            return Err(named("Unknown option given: ", option, ""));
        }
        replace = true;
    }
    let scripts = &call.node.scripts;
    let change = scripts.functions.change();
    let text = call.args.at(last);
    let name = crate::scripting::functions::read_first_line(text)?;
    let mut libraries = Libraries::clone(&scripts.functions.current().0);
    if !replace && libraries.has_name(&name) {
        return Err(named("Library '", &name, "' already exists"));
    }
    libraries.remove(&name);
    let library = scripts.read_library(call.node, call.settings, name.clone(), text)?;
    libraries.add(Arc::new(library))?;
    scripts.functions.replace(libraries, &change);
    call.db.changes.dirty += 1;
    Ok(Reply::from(name))
}

/// FUNCTION DELETE library-name
pub fn delete<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let functions = &call.node.scripts.functions;
    let change = functions.change();
    let mut libraries = Libraries::clone(&functions.current().0);
    if !libraries.remove(call.args.at(2)) {
        return Err(CommandError::from_static("ERR Library not found"));
    }
    functions.replace(libraries, &change);
    call.db.changes.dirty += 1;
    Ok(Reply::Ok)
}

/// FUNCTION FLUSH [ASYNC | SYNC]
///
/// Both do the same: a state is freed quickly, or by the thread that has it.
pub fn flush<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.args.len() > 3 {
        return Err(CommandError::subcommand_syntax(call.args.at(1), "function"));
    }
    let mode = call.args.get(2).map(<[u8]>::to_ascii_lowercase);
    if !matches!(mode.as_deref(), None | Some(b"async" | b"sync")) {
        let text = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
        return Err(CommandError::from_static(text));
    }
    let functions = &call.node.scripts.functions;
    let change = functions.change();
    functions.replace(Libraries::default(), &change);
    call.db.changes.dirty += 1;
    Ok(Reply::Ok)
}

/// FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]
pub fn list<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut reader = call.args.reader(2);
    let (mut pattern, mut with_code) = (None, false);
    while reader.has_next() {
        let option = reader.next();
        if !with_code && option.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && option.eq_ignore_ascii_case(b"libraryname") {
            if !reader.has_next() {
                let text = "ERR library name argument was not given";
                return Err(CommandError::from_static(text));
            }
            pattern = Some(reader.next());
        } else {
            return Err(named("Unknown argument ", option, ""));
        }
    }
    let (libraries, _) = call.node.scripts.functions.current();
    let fits = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| glob::glob_match(pattern, &library.name, true))
    };
    let shown = libraries.iter().filter(fits).map(|library| describe(library, with_code));
    Ok(Reply::Array(shown.collect()))
}

fn describe(library: &Library, with_code: bool) -> Reply<'static> {
    let mut facts = vec![
        (Reply::from("library_name"), Reply::from(library.name.clone())),
        (Reply::from("engine"), Reply::from("LUA")),
        (
            Reply::from("functions"),
            Reply::Array(library.functions.iter().map(describe_function).collect()),
        ),
    ];
    if with_code {
        facts.push((Reply::from("library_code"), Reply::from(library.text.clone())));
    }
    Reply::Map(facts)
}

fn describe_function(function: &Function) -> Reply<'static> {
    let flags = ScriptFlags::NAMES.iter().filter(|(flag, _)| function.flags.has(*flag));
    Reply::Map(vec![
        (Reply::from("name"), Reply::from(function.name.clone())),
        (Reply::from("description"), Reply::from(function.description.clone())),
        (Reply::from("flags"), Reply::Set(flags.map(|(_, name)| Reply::Simple(name)).collect())),
    ])
}

/// FUNCTION STATS
pub fn stats<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    stats_of(call.node)
}

/// What FUNCTION STATS answers.
pub fn stats_of(node: &Shared) -> CommandResult<'static> {
    let running = match node.scripts.slow.first() {
        Some(script) if script.is_eval => return Err(CommandError::BUSY_SCRIPT),
        Some(script) => {
            let nanos = node.clock.monotonic_nanos().saturating_sub(script.began_nanos);
            Reply::Map(vec![
                (Reply::from("name"), Reply::from(script.name.clone())),
                (Reply::from("command"), Reply::array(script.command.iter().cloned())),
                (Reply::from("duration_ms"), Reply::Int((nanos / 1_000_000) as i64)),
            ])
        }
        None => Reply::Null,
    };
    let (libraries, _) = node.scripts.functions.current();
    let engine = Reply::Map(vec![
        (Reply::from("libraries_count"), Reply::from(libraries.iter().len())),
        (Reply::from("functions_count"), Reply::from(libraries.function_count())),
    ]);
    Ok(Reply::Map(vec![
        (Reply::from("running_script"), running),
        (Reply::from("engines"), Reply::Map(vec![(Reply::from("LUA"), engine)])),
    ]))
}

/// FUNCTION KILL
pub fn kill<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.scripts.slow.kill(false)?;
    Ok(Reply::Ok)
}

/// FUNCTION DUMP
pub fn dump<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (libraries, _) = call.node.scripts.functions.current();
    let mut payload = rdb::Writer::new(call.settings.rdbcompression);
    put_functions(&mut payload, &libraries);
    Ok(Reply::from(payload.finish_payload()))
}

/// FUNCTION RESTORE serialized-value [FLUSH | APPEND | REPLACE]
pub fn restore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.args.len() > 4 {
        return Err(CommandError::subcommand_syntax(call.args.at(1), "function"));
    }
    let policy = call.args.get(3).map_or(b"append".to_vec(), <[u8]>::to_ascii_lowercase);
    if !matches!(&policy[..], b"flush" | b"append" | b"replace") {
        return Err(CommandError::from_static(
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        ));
    }
    let functions = &call.node.scripts.functions;
    let change = functions.change();
    let restored = read_payload(call, call.args.at(2))?;
    let libraries = if policy == b"flush" {
        restored
    } else {
        let mut libraries = Libraries::clone(&functions.current().0);
        libraries.join(restored, policy == b"replace")?;
        libraries
    };
    functions.replace(libraries, &change);
    call.db.changes.dirty += 1;
    Ok(Reply::Ok)
}

/// The libraries of a dump.
fn read_payload(call: &Call<'_>, payload: &[u8]) -> Result<Libraries, CommandError> {
    let mut reader = rdb::Reader::of_payload(payload, call.node.checks_payloads())
        .ok_or(CommandError::PAYLOAD)?;
    let mut texts = Vec::new();
    while !reader.is_empty() {
        let opcode = reader.opcode();
        let text = match opcode {
            Ok(rdb::opcode::FUNCTION2) => reader.string().map_err(|_| {
                CommandError::from_static("ERR failed loading the given functions payload")
            })?,
            Ok(rdb::opcode::FUNCTION_PRE_GA) => {
                let text = "ERR Pre-GA function format not supported";
                return Err(CommandError::from_static(text));
            }
            Ok(_) => return Err(CommandError::from_static("ERR given type is not a function")),
            Err(_) => return Err(CommandError::from_static("ERR can not read data type")),
        };
        texts.push(text.into_owned());
    }
    let texts = texts.iter().map(Vec::as_slice);
    call.node.scripts.read_libraries(call.node, call.settings, texts)
}

/// FUNCTION HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(call, HELP))
}

const HELP: &[&str] = &[
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Library description",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using \
     FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore \
     policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace \
     the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of \
     failure",
    "      in case of functions name collision with another library).",
];
