//! The table `redis`, through which a script reaches the node.

use super::convert::{push_error, push_reply, truncate};
use super::functions;
use super::sandbox::{Purpose, undefined};
use crate::config::COMPATIBLE_REDIS_VERSION;
use crate::raw::lua::{Function, Kind, Raise, Stack};
use larder_protocol::number::{MAX_F64_BYTES, push_f64_scientific, push_i64, whole};
use larder_protocol::{Args, Version};
use sha1::{Digest, Sha1};
use smallvec::SmallVec;

/// Levels of `redis.log`, by their numbers.
const LEVELS: [&str; 4] = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];

/// What `redis.set_repl` is given.
const REPLICATION: [(&str, u8); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// Fills the table on top.
pub(super) fn add(stack: &mut Stack<'_>, purpose: Purpose) {
    let functions: [(&str, Function); 8] = [
        ("call", call),
        ("pcall", pcall),
        ("setresp", setresp),
        ("sha1hex", sha1hex),
        ("error_reply", error_reply),
        ("status_reply", status_reply),
        ("set_repl", set_repl),
        ("acl_check_cmd", acl_check_cmd),
    ];
    add_functions(stack, &functions);
    for (name, flags) in REPLICATION {
        stack.push_number(f64::from(flags));
        stack.set_field(-2, name);
    }
    add_log_and_version(stack);
    if purpose == Purpose::Eval {
        let functions: [(&str, Function); 3] = [
            ("breakpoint", breakpoint),
            ("debug", debug),
            ("replicate_commands", replicate_commands),
        ];
        add_functions(stack, &functions);
    }
}

/// Pushes the globals that a library sees while it is loaded: `redis` with little in it.
pub(super) fn push_library_globals(stack: &mut Stack<'_>) {
    stack.push_table(0, 1);
    stack.push_table(0, 8);
    add_functions(stack, &[("register_function", register_function)]);
    add_log_and_version(stack);
    add_undefined(stack);
    stack.push_nil();
    stack.seal(super::sandbox::refuse);
    stack.set_field(-2, "redis");
    add_undefined(stack);
}

/// Whatever the table on top lacks raises when it is asked for.
fn add_undefined(stack: &mut Stack<'_>) {
    stack.push_table(0, 1);
    stack.push_function(undefined);
    stack.set_field(-2, "__index");
    stack.set_metatable(-2);
}

fn add_functions(stack: &mut Stack<'_>, functions: &[(&str, Function)]) {
    for (name, function) in functions {
        stack.push_function(*function);
        stack.set_field(-2, name);
    }
}

fn add_log_and_version(stack: &mut Stack<'_>) {
    add_functions(stack, &[("log", log)]);
    for (level, name) in LEVELS.iter().enumerate() {
        stack.push_number(level as f64);
        stack.set_field(-2, name);
    }
    let parts = COMPATIBLE_REDIS_VERSION.split('.').filter_map(|part| part.parse::<u32>().ok());
    let number = parts.fold(0, |number, part| number << 8 | part);
    stack.push_number(f64::from(number));
    stack.set_field(-2, "REDIS_VERSION_NUM");
    stack.push_bytes(COMPATIBLE_REDIS_VERSION.as_bytes());
    stack.set_field(-2, "REDIS_VERSION");
}

/// Raises an error of the form that failed commands have.
fn raise_error(stack: &mut Stack<'_>, message: &str) -> Raise {
    push_error(stack, format!("ERR {message}").as_bytes(), false);
    stack.raise()
}

/// The command that a function's arguments are.
struct Line {
    bytes: SmallVec<[u8; 256]>,
    ends: SmallVec<[usize; 16]>,
}

impl Line {
    /// Nothing; a line is filled where it lies, since it is large.
    #[inline(always)]
    fn new() -> Self {
        Self { bytes: SmallVec::new(), ends: SmallVec::new() }
    }

    /// Reads all arguments, which must be strings or numbers.
    fn read(&mut self, stack: &Stack<'_>) -> Result<(), &'static str> {
        let count = stack.top();
        if count == 0 {
            return Err("Please specify at least one argument for this redis lib call");
        }
        for at in 1..=count {
            if let Some(bytes) = stack.bytes(at) {
                self.bytes.extend_from_slice(bytes);
            } else if stack.kind(at) == Kind::Number {
                let number = stack.number(at).unwrap_or_default();
                let mut text = Vec::with_capacity(MAX_F64_BYTES);
                // As where doubles are replied, but -0 is 0, and NaN has its sign.
                match whole(number) {
                    Some(number) => push_i64(&mut text, number),
                    None => push_f64_scientific(&mut text, number),
                }
                self.bytes.extend_from_slice(&text);
            } else {
                return Err("Lua redis lib command arguments must be strings or integers");
            }
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn with_args<T>(&self, body: impl FnOnce(Args<'_>) -> T) -> T {
        let mut slices = SmallVec::<[&[u8]; 16]>::new();
        let mut start = 0;
        for end in &self.ends {
            slices.push(&self.bytes[start..*end]);
            start = *end;
        }
        body(Args::from_slices(&slices))
    }
}

fn call(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if run(stack) { Err(stack.raise()) } else { Ok(1) }
}

fn pcall(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    run(stack);
    Ok(1)
}

/// Runs the command and leaves its reply; whether that is an error.
fn run(stack: &mut Stack<'_>) -> bool {
    let mut line = Line::new();
    let read = line.read(stack);
    // There may be thousands, which would leave no room for the reply.
    stack.set_top(0);
    if let Err(message) = read {
        push_error(stack, format!("ERR {message}").as_bytes(), false);
        return true;
    }
    let top = stack.top();
    let failed = stack.with_host(|host, stack| {
        let version = host.version();
        let mut failed = false;
        line.with_args(|args| {
            host.call(args, &mut |reply| {
                failed = reply.is_error();
                push_reply(stack, reply, version);
            });
        });
        (failed, host.stops())
    });
    if failed.is_some_and(|(_, stops)| stops) {
        stack.stop_script();
    }
    let failed = failed.map(|(failed, _)| failed);
    if failed.is_none() {
        push_error(stack, b"ERR a command can only be called while a script runs", false);
    } else if stack.top() == top {
        // The command gives no reply.
        stack.push_bool(false);
    }
    failed.unwrap_or(true)
}

fn setresp(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 1 {
        return Err(raise_error(stack, "redis.setresp() requires one argument."));
    }
    let version = match truncate(stack.number(1).unwrap_or_default()) {
        2 => Version::Resp2,
        3 => Version::Resp3,
        _ => return Err(raise_error(stack, "RESP version must be 2 or 3.")),
    };
    stack.with_host(|host, _| host.set_version(version));
    Ok(0)
}

fn sha1hex(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 1 {
        return Err(raise_error(stack, "wrong number of arguments"));
    }
    let digest = Sha1::digest(stack.text(1).unwrap_or_default());
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    stack.push_bytes(text.as_bytes());
    Ok(1)
}

/// The only argument, a string, up to its first NUL.
fn only_text(stack: &Stack<'_>) -> Option<Vec<u8>> {
    let text = stack.bytes(1).filter(|_| stack.top() == 1)?;
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    Some(text[..end].to_vec())
}

fn error_reply(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let Some(text) = only_text(stack) else {
        push_error(stack, b"ERR wrong number or type of arguments", false);
        return Ok(1);
    };
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    let (code, message) = match text.iter().position(|&byte| byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (&b"ERR"[..], text),
    };
    let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = message.iter().position(|byte| !ends_line(byte)).unwrap_or(message.len());
    let end = message.iter().rposition(|byte| !ends_line(byte)).map_or(start, |last| last + 1);
    push_error(stack, &[code, b" ", &message[start..end]].concat(), false);
    Ok(1)
}

fn status_reply(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 1 || stack.kind(1) != Kind::String {
        push_error(stack, b"ERR wrong number or type of arguments", false);
        return Ok(1);
    }
    stack.push_table(0, 1);
    stack.push_copy(1);
    stack.set_field(-2, "ok");
    Ok(1)
}

/// There is one log of effects: what is kept from either reader of Redis's is kept from none here
/// unless it is kept from both.
fn set_repl(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 1 {
        return Err(raise_error(stack, "redis.set_repl() requires one argument."));
    }
    let flags = truncate(stack.number(1).unwrap_or_default());
    if flags & !3 != 0 {
        return Err(raise_error(
            stack,
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ));
    }
    stack.with_host(|host, _| host.set_logged(flags != 0));
    Ok(0)
}

fn acl_check_cmd(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let mut line = Line::new();
    if let Err(message) = line.read(stack) {
        return Err(raise_error(stack, message));
    }
    let may = stack.with_host(|host, _| line.with_args(|args| host.may_run(args))).flatten();
    let Some(may) = may else {
        return Err(raise_error(stack, "Invalid command passed to redis.acl_check_cmd()"));
    };
    stack.push_bool(may);
    Ok(1)
}

fn log(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    let count = stack.top();
    if count < 2 {
        return Err(raise_error(stack, "redis.log() requires two arguments or more."));
    }
    let Some(level) = stack.number(1) else {
        return Err(raise_error(stack, "First argument must be a number (log level)."));
    };
    let level = truncate(level);
    if !(0..LEVELS.len() as i64).contains(&level) {
        return Err(raise_error(stack, "Invalid debug level."));
    }
    let mut message = Vec::new();
    for at in 2..=count {
        if let Some(text) = stack.text(at) {
            if at > 2 {
                message.push(b' ');
            }
            message.extend_from_slice(text);
        }
    }
    let message = String::from_utf8_lossy(&message);
    match level {
        0 => tracing::trace!(target: "script", "{message}"),
        1 => tracing::debug!(target: "script", "{message}"),
        2 => tracing::info!(target: "script", "{message}"),
        _ => tracing::warn!(target: "script", "{message}"),
    }
    Ok(0)
}

/// There is no debugger to stop in.
fn breakpoint(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.push_bool(false);
    Ok(1)
}

/// There is no debugger to show something.
fn debug(_: &mut Stack<'_>) -> Result<i32, Raise> {
    Ok(0)
}

/// Effects are what is replicated in any case.
fn replicate_commands(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.push_bool(true);
    Ok(1)
}

fn register_function(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.with_host(|host, _| host.loads()) != Some(true) {
        let message = "redis.register_function can only be called on FUNCTION LOAD command";
        return Err(raise_error(stack, message));
    }
    let function = match functions::read_registration(stack) {
        Ok(function) => function,
        Err(message) => return Err(raise_error(stack, message)),
    };
    let callback = function.callback;
    let result = stack.with_host(|host, _| host.register(function));
    if let Some(Err(message)) = result {
        stack.forget(callback);
        return Err(raise_error(stack, message));
    }
    Ok(0)
}
