//! Replies to Lua values and back.
//!
//! A script sees replies in RESP2's types until it asks for RESP3's: then maps, sets, doubles and the
//! like are tables with one field that names the type. What a script returns is read the same way.

use crate::raw::lua::{Kind, Stack};
use larder_protocol::number::push_f64;
use larder_protocol::{CommandError, Reply, Version};
use std::borrow::Cow;

/// How deep a returned table may be nested. Redis goes as deep as Lua's stack, nearly 8000; no client
/// reads that.
const DEPTH_MAX: usize = 1000;

/// What a failed call is in a script.
pub(super) fn push_error(stack: &mut Stack<'_>, text: &[u8], is_counted: bool) {
    stack.push_table(0, 2);
    stack.push_bytes(text);
    stack.set_field(-2, "err");
    if is_counted {
        stack.push_bool(true);
        stack.set_field(-2, COUNTED);
    }
}

/// The field by which an error says that the statistics know it.
pub(super) const COUNTED: &str = "ignore_error_stats_update";

/// Pushes a reply as the script's version of the protocol shows it.
pub(super) fn push_reply(stack: &mut Stack<'_>, reply: &Reply<'_>, version: Version) {
    if !stack.reserve(6) {
        // Replies are as deep as their handler builds them, which is not deep.
        return stack.push_nil();
    }
    match reply {
        Reply::Ok => push_status(stack, b"OK"),
        Reply::Simple(text) => push_status(stack, text.as_bytes()),
        Reply::Status(text) => push_status(stack, text),
        Reply::Error(error) => push_error(stack, &error_text(error), true),
        Reply::Int(value) => stack.push_number(*value as f64),
        Reply::Null | Reply::NullArray if version == Version::Resp3 => stack.push_nil(),
        Reply::Null | Reply::NullArray | Reply::None => stack.push_bool(false),
        Reply::Bulk(bytes) => stack.push_bytes(bytes),
        Reply::Owned(bytes) => stack.push_bytes(bytes),
        Reply::Digits(digits) => stack.push_bytes(digits.as_bytes()),
        Reply::Shared(bytes) => stack.push_bytes(bytes),
        Reply::Array(items) | Reply::Push(items) => push_items(stack, items, version),
        Reply::Strings(strings) => {
            stack.push_table(strings.len(), 0);
            for (index, string) in strings.iter().enumerate() {
                stack.push_bytes(string);
                stack.set_item(-2, index as i32 + 1);
            }
        }
        Reply::Several(items) => match items.last() {
            Some(last) => push_reply(stack, last, version),
            None => stack.push_bool(false),
        },
        Reply::Attribute(both) => push_reply(stack, &both.1, version),
        _ => match version {
            Version::Resp2 => push_as_resp2(stack, reply),
            Version::Resp3 => push_as_resp3(stack, reply),
        },
    }
}

/// The types that RESP2 lacks, as it shows them.
fn push_as_resp2(stack: &mut Stack<'_>, reply: &Reply<'_>) {
    match reply {
        Reply::Double(value) => {
            let mut text = Vec::new();
            push_f64(&mut text, *value);
            stack.push_bytes(&text);
        }
        Reply::Bool(value) => stack.push_number(f64::from(u8::from(*value))),
        Reply::Map(pairs) => {
            stack.push_table(pairs.len() * 2, 0);
            let flat = pairs.iter().flat_map(|(key, value)| [key, value]);
            for (index, item) in flat.enumerate() {
                push_reply(stack, item, Version::Resp2);
                stack.set_item(-2, index as i32 + 1);
            }
        }
        Reply::Set(items) => push_items(stack, items, Version::Resp2),
        Reply::Coordinate(value) => {
            let text = larder_protocol::decimal::format_human_f64(*value);
            stack.push_bytes(text.as_bytes());
        }
        other => stack.push_bytes(other.as_bytes().unwrap_or_default()),
    }
}

/// The types that RESP2 lacks, each a table with a field of its name.
fn push_as_resp3(stack: &mut Stack<'_>, reply: &Reply<'_>) {
    if let Reply::Bool(value) = reply {
        return stack.push_bool(*value);
    }
    stack.push_table(0, 1);
    let name = match reply {
        Reply::Double(value) | Reply::Coordinate(value) => {
            stack.push_number(*value);
            "double"
        }
        Reply::Map(pairs) => {
            stack.push_table(0, pairs.len());
            for (key, value) in pairs {
                push_reply(stack, key, Version::Resp3);
                push_reply(stack, value, Version::Resp3);
                stack.set(-3);
            }
            "map"
        }
        Reply::Set(items) => {
            stack.push_table(0, items.len());
            for item in items {
                push_reply(stack, item, Version::Resp3);
                stack.push_bool(true);
                stack.set(-3);
            }
            "set"
        }
        Reply::Verbatim(format, text) => {
            stack.push_table(0, 2);
            stack.push_bytes(text.as_bytes());
            stack.set_field(-2, "string");
            stack.push_bytes(&format[..]);
            stack.set_field(-2, "format");
            "verbatim_string"
        }
        other => {
            stack.push_bytes(other.as_bytes().unwrap_or_default());
            "big_number"
        }
    };
    stack.set_field(-2, name);
}

fn push_status(stack: &mut Stack<'_>, text: &[u8]) {
    stack.push_table(0, 1);
    stack.push_bytes(text);
    stack.set_field(-2, "ok");
}

fn push_items(stack: &mut Stack<'_>, items: &[Reply<'_>], version: Version) {
    stack.push_table(items.len(), 0);
    for (index, item) in items.iter().enumerate() {
        push_reply(stack, item, version);
        stack.set_item(-2, index as i32 + 1);
    }
}

/// An error's text with its code; one that is a single word gets the general code.
fn error_text(error: &CommandError) -> Cow<'_, [u8]> {
    let text = error.as_bytes();
    let has_code = text.contains(&b' ');
    if has_code { Cow::Borrowed(text) } else { Cow::Owned([b"ERR ", text].concat()) }
}

/// Reads the value at `at` as a reply. `version` is the one that the script asked for.
///
/// # Errors
/// The value is an error itself; whether it is counted already comes with it.
pub(super) fn take_reply(
    stack: &mut Stack<'_>,
    version: Version,
) -> Result<Reply<'static>, (CommandError, bool)> {
    if stack.kind(-1) == Kind::Table
        && let Some(error) = error_of(stack)
    {
        return Err(error);
    }
    Ok(reply_of(stack, version, 0))
}

/// The error that the topmost table is, if it is one.
fn error_of(stack: &mut Stack<'_>) -> Option<(CommandError, bool)> {
    let is_error = stack.get_field(-1, "err") == Kind::String;
    stack.pop(1);
    is_error.then(|| {
        let failure = Failure::of(stack);
        (failure.into_error(None), failure_is_counted(stack))
    })
}

fn failure_is_counted(stack: &mut Stack<'_>) -> bool {
    stack.get_field(-1, COUNTED);
    let counted = stack.kind(-1) == Kind::Boolean && stack.truth(-1);
    stack.pop(1);
    counted
}

/// The topmost value as a reply; it stays.
fn reply_of(stack: &mut Stack<'_>, version: Version, depth: usize) -> Reply<'static> {
    if depth > DEPTH_MAX || !stack.reserve(5) {
        return Reply::Error(CommandError::from_static("ERR reached lua stack limit"));
    }
    match stack.kind(-1) {
        Kind::String => Reply::Owned(stack.bytes(-1).unwrap_or_default().to_vec()),
        Kind::Number => Reply::Int(truncate(stack.number(-1).unwrap_or_default())),
        Kind::Boolean if version == Version::Resp3 => Reply::Bool(stack.truth(-1)),
        Kind::Boolean if stack.truth(-1) => Reply::Int(1),
        Kind::Table => table_reply(stack, version, depth),
        _ => Reply::Null,
    }
}

/// A number as an integer, cut as the processor does: what does not fit becomes the lowest.
pub(super) fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = -(i64::MIN as f64);
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

fn table_reply(stack: &mut Stack<'_>, version: Version, depth: usize) -> Reply<'static> {
    if let Some((error, is_counted)) = error_of(stack) {
        if !is_counted {
            stack.with_host(|host, _| host.count_error(&error));
        }
        return Reply::Error(error);
    }
    let typed = [
        ("ok", Kind::String),
        ("double", Kind::Number),
        ("big_number", Kind::String),
        ("verbatim_string", Kind::Table),
        ("map", Kind::Table),
        ("set", Kind::Table),
    ];
    for (name, kind) in typed {
        let reply = (stack.get_field(-1, name) == kind)
            .then(|| typed_reply(stack, name, version, depth))
            .flatten();
        stack.pop(1);
        if let Some(reply) = reply {
            return reply;
        }
    }
    let mut items = Vec::new();
    while stack.get_item(-1, items.len() as i32 + 1) != Kind::Nil {
        items.push(reply_of(stack, version, depth + 1));
        stack.pop(1);
    }
    stack.pop(1);
    Reply::Array(items)
}

/// The topmost value, found in the field `name` of a table that stands for a type.
fn typed_reply(
    stack: &mut Stack<'_>,
    name: &str,
    version: Version,
    depth: usize,
) -> Option<Reply<'static>> {
    Some(match name {
        "ok" => Reply::Status(Cow::Owned(c_text(stack.bytes(-1)?))),
        "double" => Reply::Double(stack.number(-1)?),
        "big_number" => {
            let line = |c: char| if matches!(c, '\r' | '\n') { ' ' } else { c };
            let digits = String::from_utf8_lossy(stack.bytes(-1)?).chars().map(line).collect();
            Reply::BigNumber(digits)
        }
        "verbatim_string" => {
            stack.get_field(-1, "format");
            let format = stack.bytes(-1).map(|text| {
                let mut format = [b' '; 3];
                let letters = text.iter().take_while(|letter| **letter != 0);
                format.iter_mut().zip(letters).for_each(|(to, letter)| *to = *letter);
                format
            });
            stack.pop(1);
            stack.get_field(-1, "string");
            let text = stack.bytes(-1).map(|text| String::from_utf8_lossy(text).into_owned());
            stack.pop(1);
            Reply::Verbatim(format?, Cow::Owned(text?))
        }
        "map" => {
            let mut pairs = Vec::new();
            each_pair(stack, |stack| {
                let value = reply_of(stack, version, depth + 1);
                stack.push_copy(-2);
                pairs.push((reply_of(stack, version, depth + 1), value));
                stack.pop(1);
            });
            Reply::Map(pairs)
        }
        _ => {
            let mut items = Vec::new();
            each_pair(stack, |stack| {
                stack.push_copy(-2);
                items.push(reply_of(stack, version, depth + 1));
                stack.pop(1);
            });
            Reply::Set(items)
        }
    })
}

/// Shows `visit` each key and value of the topmost table, on top.
fn each_pair(stack: &mut Stack<'_>, mut visit: impl FnMut(&mut Stack<'_>)) {
    stack.push_nil();
    while stack.next(-2) {
        visit(stack);
        stack.pop(1);
    }
}

/// A text up to its first NUL, which is where C ends it.
fn c_text(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes[..end].to_vec()
}

/// How a script failed.
pub(super) struct Failure {
    message: Vec<u8>,
    place: Option<(Vec<u8>, Vec<u8>)>,
}

impl Failure {
    /// Reads the topmost value, an error that was raised.
    pub(super) fn of(stack: &mut Stack<'_>) -> Self {
        if stack.kind(-1) != Kind::Table {
            let text = stack.text(-1).map(c_text);
            let text = text.as_deref().unwrap_or(b"unknown error");
            let message = [b"ERR ", text].concat();
            return Self { message, place: None };
        }
        let mut field = |name| {
            stack.get_field(-1, name);
            let text = stack.text(-1).map(c_text);
            stack.pop(1);
            text
        };
        let message = field("err").unwrap_or_else(|| b"ERR unknown error".to_vec());
        let place = field("source").zip(field("line"));
        Self { message, place }
    }

    /// The message with its code.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// The error reply; `script` names the script whose place in the code is told.
    pub(super) fn into_error(self, script: Option<&str>) -> CommandError {
        match (script, &self.place) {
            (Some(script), Some((source, line))) => {
                let script = format!(" script: {script}, on ");
                let place = [source, &b":"[..], line, b"."].concat();
                CommandError::custom([&self.message[..], script.as_bytes(), &place].concat())
            }
            _ => {
                let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                let end =
                    self.message.iter().rposition(|byte| !is_end(byte)).map_or(0, |at| at + 1);
                CommandError::custom(&self.message[..end])
            }
        }
    }
}

/// Reads the topmost value, the error with which a script ended.
pub(super) fn take_failure(stack: &mut Stack<'_>, script: &str) -> (CommandError, bool) {
    if stack.kind(-1) != Kind::Table {
        let mut text = stack.text(-1).map_or_else(|| b"execution failure".to_vec(), c_text);
        text.truncate(100);
        let before = format!("ERR Error running script {script}, ");
        return (CommandError::quoting(&before, &text, ""), false);
    }
    let counted = failure_is_counted(stack);
    (Failure::of(stack).into_error(Some(script)), counted)
}
