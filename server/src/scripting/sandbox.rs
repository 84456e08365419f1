//! What a script may use of Lua: read-only globals, and functions that cannot leave the state in
//! another shape than they found it.
//!
//! Redis has changed Lua so that a table can be read-only; here such a table stands behind an empty
//! one whose metatable answers for it (see [`Stack::seal`]). The functions that would see through
//! that (`rawset`, `next`, `getmetatable`, ...) are ours, and say what Redis's say.
//!
//! Some functions are guarded because Lua 5.1's own have holes: `unpack` with bounds at the ends of
//! the integers, patterns that exhaust the C stack, compiled code in `load`, chunk names that Lua's
//! parser does not hold on to.

use super::{api, bits, cjson, cmsgpack, structs};
use crate::raw::lua::{Function, Kind, Place, Raise, Stack, State};
use std::ffi::CString;

/// What Redis says to whoever writes where he may not.
const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Special characters that a pattern may have. Each may take a frame of the C stack, of which a
/// thread has two megabytes.
const PATTERN_SPECIALS_MAX: usize = 2000;

/// Values that `unpack` may return, as much as Lua's stack holds.
const UNPACK_MAX: i64 = 8000;

/// The globals of a state: where they are changed, and how they are reached.
#[derive(Clone, Copy)]
pub(super) struct Globals {
    /// The table behind the sealed globals.
    pub(super) inner: Place,
    /// The metatable that answers for the sealed globals.
    pub(super) outer: Place,
    /// The function that shapes errors.
    pub(super) handler: Place,
}

/// Which state this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Scripts given to EVAL.
    Eval,
    /// Libraries of functions.
    Functions,
}

/// Turns a fresh state into a sandbox.
pub(super) fn build(state: &mut State, purpose: Purpose) -> Globals {
    state.with(|stack| {
        stack.push_globals();
        // Absent in Redis.
        for name in ["dofile", "loadfile", "print", "module", "require"] {
            stack.push_nil();
            stack.set_field(-2, name);
        }
        for (name, function) in BASE {
            stack.push_function(*function);
            stack.set_field(-2, name);
        }
        stack.get_field(-1, "next");
        stack.push_function_over(pairs);
        stack.set_field(-2, "pairs");
        for (name, guard) in [("next", next as Function), ("setfenv", setfenv), ("unpack", unpack)]
        {
            guard_field(stack, name, guard);
        }
        guard_fields(stack, "table", &[("insert", insert)]);
        let patterns: [(&str, Function); 5] = [
            ("find", find),
            ("match", pattern_second),
            ("gmatch", pattern_second),
            ("gfind", pattern_second),
            ("gsub", pattern_second),
        ];
        guard_fields(stack, "string", &patterns);
        guard_fields(stack, "string", &[("rep", rep)]);
        guard_fields(stack, "coroutine", &[("create", coroutine), ("wrap", coroutine)]);
        stack.get_field(-1, "math");
        super::random::add(stack);
        stack.pop(1);
        add_library(stack, "cjson", cjson::add);
        add_library(stack, "cmsgpack", cmsgpack::add);
        add_library(stack, "bit", bits::add);
        add_library(stack, "struct", structs::add);
        add_library(stack, "redis", |stack| api::add(stack, purpose));
        if purpose == Purpose::Eval {
            stack.push_function(shape_error);
            stack.set_field(-2, "__redis__err__handler");
        }
        seal_all(stack)
    })
}

fn add_library(stack: &mut Stack<'_>, name: &str, add: impl FnOnce(&mut Stack<'_>)) {
    stack.push_table(0, 16);
    add(stack);
    stack.set_field(-2, name);
}

fn guard_field(stack: &mut Stack<'_>, name: &str, guard: Function) {
    stack.get_field(-1, name);
    stack.guard(guard);
    stack.set_field(-2, name);
}

fn guard_fields(stack: &mut Stack<'_>, library: &str, guards: &[(&str, Function)]) {
    stack.get_field(-1, library);
    for (name, guard) in guards {
        guard_field(stack, name, *guard);
    }
    stack.pop(1);
}

/// Seals the libraries, the metatable of strings, and the globals, which are on top.
fn seal_all(stack: &mut Stack<'_>) -> Globals {
    let libraries =
        ["string", "table", "math", "coroutine", "cjson", "cmsgpack", "bit", "struct", "redis"];
    for name in libraries {
        if stack.get_field(-1, name) == Kind::Table {
            stack.push_nil();
            stack.seal(refuse);
            stack.set_field(-2, name);
        } else {
            stack.pop(1);
        }
    }
    seal_string_metatable(stack);
    // What is no global raises; the metatable that says so is shown, sealed.
    stack.push_table(0, 1);
    stack.push_function(undefined);
    stack.set_field(-2, "__index");
    stack.push_copy(-1);
    stack.set_metatable(-3);
    stack.push_nil();
    stack.seal(refuse);
    // Globals, then what is shown as their metatable.
    stack.push_copy(-2);
    let inner = stack.keep();
    stack.seal(refuse);
    stack.push_kept(inner);
    stack.push_copy(-2);
    stack.set_field(-2, "_G");
    stack.pop(1);
    stack.push_metatable(-1);
    let outer = stack.keep();
    stack.set_globals();
    stack.push_function(shape_error);
    let handler = stack.keep();
    Globals { inner, outer, handler }
}

/// Strings share a metatable whose `__index` is the library; what is shown of it is sealed.
fn seal_string_metatable(stack: &mut Stack<'_>) {
    stack.push_bytes(b"");
    if stack.push_metatable(-1) {
        stack.push_table(0, 1);
        stack.get_field(-4, "string");
        stack.set_field(-2, "__index");
        stack.push_nil();
        stack.seal(refuse);
        stack.set_field(-2, "shown");
        stack.pop(1);
    }
    stack.pop(1);
}

/// Functions of Lua's base library that are ours.
const BASE: &[(&str, Function)] = &[
    ("collectgarbage", collectgarbage),
    ("getmetatable", getmetatable),
    ("load", load),
    ("loadstring", loadstring),
    ("newproxy", newproxy),
    ("pcall", pcall),
    ("rawget", rawget),
    ("rawset", rawset),
    ("setmetatable", setmetatable),
];

/// `__newindex` of sealed tables.
pub(super) fn refuse(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    Err(stack.raise_text(READ_ONLY))
}

/// `__index` of tables in which all that may be asked for is there.
pub(super) fn undefined(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 2 {
        return Err(stack.raise_text("Wrong number of arguments to luaProtectedTableError"));
    }
    let Some(name) = stack.text(2).map(<[u8]>::to_vec) else {
        return Err(stack
            .raise_text("Second argument to luaProtectedTableError must be a string or number"));
    };
    let mut message = b"Script attempted to access nonexistent global variable '".to_vec();
    message.extend_from_slice(&name);
    message.push(b'\'');
    Err(stack.raise_text(message))
}

/// Shapes what was raised: a table with the message and the place in the script.
fn shape_error(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let origin = match stack.origin(1) {
        Some(origin) if origin.native => stack.origin(2),
        origin => origin,
    };
    if stack.kind(1) != Kind::Table || stack.unseal(1) {
        let text = described(stack, 1);
        stack.push_table(0, 3);
        stack.push_bytes(&[b"ERR ", &text[..]].concat());
        stack.set_field(-2, "err");
    } else {
        stack.push_copy(1);
    }
    if let Some(origin) = origin {
        stack.push_bytes(&origin.source);
        stack.set_field(-2, "source");
        stack.push_number(f64::from(origin.line));
        stack.set_field(-2, "line");
    }
    Ok(1)
}

/// A value as `tostring` shows it.
fn described(stack: &mut Stack<'_>, at: i32) -> Vec<u8> {
    match stack.kind(at) {
        Kind::Nil | Kind::None => b"nil".to_vec(),
        Kind::Boolean => stack.truth(at).to_string().into_bytes(),
        Kind::String | Kind::Number => stack.text(at).unwrap_or_default().to_vec(),
        other => format!("{}: {:#x}", other.name(), stack.address(at)).into_bytes(),
    }
}

/// As Lua's, but an error that is a table is given as its message, as before Redis 7.
fn pcall(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() == 0 {
        return Err(stack.raise_argument(1, "value expected"));
    }
    // First, as what the function gives may leave no room for it.
    stack.push_bool(true);
    stack.insert(1);
    if stack.call(stack.top() - 2, -1, 0) {
        return Ok(stack.top());
    }
    if stack.kind(-1) == Kind::Table {
        if matches!(stack.get_field(-1, "err"), Kind::String | Kind::Number) {
            stack.remove(-2);
        } else {
            stack.pop(1);
        }
    }
    stack.push_bool(false);
    stack.insert(-2);
    Ok(2)
}

fn getmetatable(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    match stack.kind(1) {
        Kind::None => return Err(stack.raise_argument(1, "value expected")),
        // Nobody may give a userdata a finalizer.
        Kind::Userdata => stack.push_nil(),
        Kind::String => stack.push_shown_metatable(1),
        _ if stack.unseal(1) => stack.push_shown_metatable(1),
        _ => {
            if !stack.push_metatable(1) {
                stack.push_nil();
            } else if stack.get_field(-1, "__metatable") == Kind::Nil {
                stack.pop(1);
            }
        }
    }
    Ok(1)
}

fn setmetatable(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.check_table(1)?;
    if !matches!(stack.kind(2), Kind::Nil | Kind::Table) {
        return Err(stack.raise_argument(2, "nil or table expected"));
    }
    if stack.unseal(1) {
        return Err(stack.raise_bare(READ_ONLY));
    }
    if stack.push_metatable(1) {
        if stack.get_field(-1, "__metatable") != Kind::Nil {
            return Err(stack.raise_text("cannot change a protected metatable"));
        }
        stack.pop(2);
    }
    stack.set_top(2);
    stack.set_metatable(1);
    Ok(1)
}

fn rawset(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.check_table(1)?;
    for at in [2, 3] {
        if stack.kind(at) == Kind::None {
            return Err(stack.raise_argument(at, "value expected"));
        }
    }
    stack.set_top(3);
    if stack.unseal(1) {
        return Err(stack.raise_bare(READ_ONLY));
    }
    match stack.kind(2) {
        Kind::Nil => return Err(stack.raise_text("table index is nil")),
        Kind::Number if stack.number(2).is_some_and(f64::is_nan) => {
            return Err(stack.raise_text("table index is NaN"));
        }
        _ => stack.set(1),
    }
    Ok(1)
}

fn rawget(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.check_table(1)?;
    if stack.kind(2) == Kind::None {
        return Err(stack.raise_argument(2, "value expected"));
    }
    stack.set_top(2);
    let table = if stack.unseal(1) { 3 } else { 1 };
    stack.push_copy(2);
    stack.get(table);
    Ok(1)
}

/// Goes over what is behind a sealed table.
fn next(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if !stack.unseal(1) {
        return Ok(stack.forward());
    }
    // The arguments and the table; a key that is not in it would make Lua jump.
    if stack.top() < 3 || stack.kind(2) == Kind::Nil {
        stack.push_nil();
    } else {
        stack.push_copy(2);
        stack.push_copy(2);
        stack.get(-3);
        if stack.kind(-1) == Kind::Nil {
            return Err(stack.raise_text("invalid key to 'next'"));
        }
        stack.pop(1);
    }
    if stack.next(-2) {
        return Ok(2);
    }
    stack.push_nil();
    Ok(1)
}

/// Gives the steps over a sealed table a copy to go over, so that the table itself stays hidden.
fn pairs(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.check_table(1)?;
    stack.set_top(1);
    if stack.unseal(1) {
        stack.push_table(0, 32);
        stack.push_nil();
        while stack.next(2) {
            stack.push_copy(-2);
            stack.insert(-2);
            stack.set(3);
        }
        stack.remove(2);
        stack.remove(1);
    }
    stack.push_upvalue();
    stack.insert(1);
    stack.push_nil();
    Ok(3)
}

/// Without a metatable of its own, whatever the argument: with one, it could have a finalizer.
fn newproxy(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.push_blank();
    Ok(1)
}

/// Collecting is allowed; what would outlast the script is not done.
fn collectgarbage(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let option = match stack.kind(1) {
        Kind::None | Kind::Nil => b"collect".to_vec(),
        _ => stack.check_bytes(1)?.to_vec(),
    };
    let answer = match &option[..] {
        b"collect" => {
            go_on(stack)?;
            stack.collect();
            0.0
        }
        b"count" => stack.used_bytes() as f64 / 1024.0,
        b"step" => {
            go_on(stack)?;
            stack.collect();
            stack.push_bool(true);
            return Ok(1);
        }
        b"stop" | b"restart" => 0.0,
        // What they are set to.
        b"setpause" | b"setstepmul" => 200.0,
        other => {
            let shown = String::from_utf8_lossy(other).into_owned();
            return Err(stack.raise_argument(1, &format!("invalid option '{shown}'")));
        }
    };
    stack.push_number(answer);
    Ok(1)
}

fn loadstring(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let text = stack.check_bytes(1)?.to_vec();
    let name = match stack.kind(2) {
        Kind::None | Kind::Nil => text.clone(),
        _ => stack.check_bytes(2)?.to_vec(),
    };
    Ok(loaded(stack, &text, &name))
}

fn load(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.kind(1) != Kind::Function {
        let found = stack.kind(1).name();
        return Err(stack.raise_argument(1, &format!("function expected, got {found}")));
    }
    let name = match stack.kind(2) {
        Kind::None | Kind::Nil => b"=(load)".to_vec(),
        _ => stack.check_bytes(2)?.to_vec(),
    };
    let mut text = Vec::new();
    loop {
        stack.push_copy(1);
        if !stack.call(0, 1, 0) {
            stack.push_nil();
            stack.insert(-2);
            return Ok(2);
        }
        match stack.kind(-1) {
            Kind::Nil => break,
            Kind::String if stack.length(-1) == 0 => break,
            Kind::String if text.len() <= stack.bytes_left() => {
                text.extend_from_slice(stack.bytes(-1).unwrap_or_default());
            }
            kind => {
                let message: &[u8] = match kind {
                    Kind::String => b"not enough memory",
                    _ => b"reader function must return a string",
                };
                stack.push_nil();
                stack.push_bytes(message);
                return Ok(2);
            }
        }
        stack.pop(1);
    }
    Ok(loaded(stack, &text, &name))
}

/// Leaves the function, or nil and the message.
fn loaded(stack: &mut Stack<'_>, text: &[u8], name: &[u8]) -> i32 {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = CString::new(&name[..end]).unwrap_or_default();
    if stack.load(text, &name) {
        return 1;
    }
    stack.push_nil();
    stack.insert(-2);
    2
}

/// The globals of all scripts stay as they are. Lua takes a string that reads as 0 for the number.
fn setfenv(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.number(1) == Some(0.0) {
        return Err(stack.raise_bare(READ_ONLY));
    }
    Ok(stack.forward())
}

/// Lua's own counts in 32 bits and may come to few where there are many.
fn unpack(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let first =
        if matches!(stack.kind(2), Kind::None | Kind::Nil) { 1 } else { stack.check_integer(2)? };
    if !matches!(stack.kind(3), Kind::None | Kind::Nil) {
        let last = stack.check_integer(3)?;
        let (first, last) = (i64::from(first as i32), i64::from(last as i32));
        if last >= first && last - first >= UNPACK_MAX {
            return Err(stack.raise_text("too many results to unpack"));
        }
    } else if stack.kind(1) == Kind::Table {
        let last = stack.length(1) as i64;
        let first = i64::from(first as i32);
        if last >= first && last - first >= UNPACK_MAX {
            return Err(stack.raise_text("too many results to unpack"));
        }
    }
    Ok(stack.forward())
}

/// Nothing, two thousand million times, would take seconds in which nobody can end the script.
fn rep(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.bytes(1).is_some_and(<[u8]>::is_empty) && stack.number(2).is_some() {
        stack.push_bytes(b"");
        return Ok(1);
    }
    Ok(stack.forward())
}

/// Lua counts the instructions of each coroutine by themselves: a script of many short ones would
/// never be asked whether it may go on.
fn coroutine(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    go_on(stack)?;
    Ok(stack.forward())
}

/// For what takes long but is one instruction: ends the script if it shall end.
fn go_on(stack: &mut Stack<'_>) -> Result<(), Raise> {
    if stack.interrupt() {
        stack.stop_script();
        return Err(stack.raise());
    }
    Ok(())
}

fn insert(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.unseal(1) {
        return Err(stack.raise_bare(READ_ONLY));
    }
    Ok(stack.forward())
}

fn find(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.truth(4) { Ok(stack.forward()) } else { pattern_second(stack) }
}

/// Refuses a pattern that could exhaust the C stack.
fn pattern_second(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let is_special = |byte: &&u8| b"?*+-()%".contains(byte);
    let specials = match stack.bytes(2) {
        Some(pattern) if pattern.len() > PATTERN_SPECIALS_MAX => {
            pattern.iter().filter(is_special).count()
        }
        _ => 0,
    };
    if specials > PATTERN_SPECIALS_MAX {
        return Err(stack.raise_text("pattern too complex"));
    }
    Ok(stack.forward())
}
