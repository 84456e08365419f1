//! The library `cjson`: JSON text and Lua values.
//!
//! Settings belong to an instance: they are in a table that its functions share, by the numbers of
//! [`Setting`]. JSON's null is a value of its own, since a table cannot hold nil. How deep values may
//! be nested can be set, up to [`DEPTH_MAX`]; what is encoded may grow to the script's memory limit.

use super::number::{general, parse_prefix};
use crate::raw::lua::{Function, Kind, Raise, Stack};

/// Nesting beyond which nothing is read or written, whatever is set: each level takes a frame.
const DEPTH_MAX: i64 = 1000;

/// The settings of an instance, as positions in its table.
#[derive(Clone, Copy)]
enum Setting {
    SparseConvert = 1,
    SparseRatio,
    SparseSafe,
    EncodeDepth,
    EncodeInvalid,
    Precision,
    KeepBuffer,
    DecodeInvalid,
    DecodeDepth,
}

/// What a new instance is set to.
const DEFAULTS: [i64; 9] = [0, 2, 10, 1000, 0, 14, 1, 1, 1000];

/// Fills the table on top.
pub(super) fn add(stack: &mut Stack<'_>) {
    let functions: [(&str, Function); 10] = [
        ("encode", encode),
        ("decode", decode),
        ("encode_sparse_array", encode_sparse_array),
        ("encode_max_depth", |stack| set_integer(stack, Setting::EncodeDepth, i64::from(i32::MAX))),
        ("decode_max_depth", |stack| set_integer(stack, Setting::DecodeDepth, i64::from(i32::MAX))),
        ("encode_number_precision", |stack| set_integer(stack, Setting::Precision, 14)),
        ("encode_keep_buffer", |stack| set_word(stack, Setting::KeepBuffer, &["off", "on"])),
        ("encode_invalid_numbers", |stack| {
            set_word(stack, Setting::EncodeInvalid, &["off", "on", "null"])
        }),
        ("decode_invalid_numbers", |stack| set_word(stack, Setting::DecodeInvalid, &["off", "on"])),
        ("new", new),
    ];
    stack.push_table(DEFAULTS.len(), 0);
    for (index, value) in DEFAULTS.iter().enumerate() {
        stack.push_number(*value as f64);
        stack.set_item(-2, index as i32 + 1);
    }
    for (name, function) in functions {
        stack.push_copy(-1);
        stack.push_function_over(function);
        stack.set_field(-3, name);
    }
    stack.pop(1);
    stack.push_null();
    stack.set_field(-2, "null");
    stack.push_bytes(b"cjson");
    stack.set_field(-2, "_NAME");
    stack.push_bytes(b"2.1.0");
    stack.set_field(-2, "_VERSION");
}

/// Another instance.
fn new(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    stack.push_table(0, 16);
    add(stack);
    Ok(1)
}

fn setting(stack: &mut Stack<'_>, setting: Setting) -> i64 {
    stack.push_upvalue();
    stack.get_item(-1, setting as i32);
    let value = stack.number(-1).unwrap_or_default();
    stack.pop(2);
    value as i64
}

fn set(stack: &mut Stack<'_>, setting: Setting, value: i64) {
    stack.push_upvalue();
    stack.push_number(value as f64);
    stack.set_item(-2, setting as i32);
    stack.pop(1);
}

/// At most `count` arguments; those that are missing become nil.
fn take_arguments(stack: &mut Stack<'_>, count: i32) -> Result<(), Raise> {
    if stack.top() > count {
        return Err(stack.raise_argument(count + 1, "found too many arguments"));
    }
    while stack.top() < count {
        stack.push_nil();
    }
    Ok(())
}

fn set_integer(stack: &mut Stack<'_>, which: Setting, max: i64) -> Result<i32, Raise> {
    take_arguments(stack, 1)?;
    integer_option(stack, 1, which, 1, max)
}

/// Sets to argument `at`, if that is given; leaves what is set.
fn integer_option(
    stack: &mut Stack<'_>,
    at: i32,
    which: Setting,
    min: i64,
    max: i64,
) -> Result<i32, Raise> {
    if stack.kind(at) != Kind::Nil {
        let value = i64::from(stack.check_integer(at)? as i32);
        if !(min..=max).contains(&value) {
            let message = format!("expected integer between {min} and {max}");
            return Err(stack.raise_argument(1, &message));
        }
        set(stack, which, value);
    }
    let value = setting(stack, which);
    stack.push_number(value as f64);
    Ok(1)
}

fn set_word(stack: &mut Stack<'_>, which: Setting, words: &[&str]) -> Result<i32, Raise> {
    take_arguments(stack, 1)?;
    word_option(stack, 1, which, words)
}

/// As [`integer_option`], for words of which the first two may be given as truth values.
fn word_option(
    stack: &mut Stack<'_>,
    at: i32,
    which: Setting,
    words: &[&str],
) -> Result<i32, Raise> {
    match stack.kind(at) {
        Kind::Nil => {}
        Kind::Boolean => {
            let value = i64::from(stack.truth(at));
            set(stack, which, value);
        }
        _ => {
            let word = String::from_utf8_lossy(stack.check_bytes(at)?).into_owned();
            match words.iter().position(|known| *known == word) {
                Some(value) => set(stack, which, value as i64),
                None => return Err(stack.raise_argument(at, &format!("invalid option '{word}'"))),
            }
        }
    }
    match setting(stack, which) {
        value @ 0..=1 => stack.push_bool(value == 1),
        value => stack.push_bytes(words[value as usize].as_bytes()),
    }
    Ok(1)
}

fn encode_sparse_array(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    take_arguments(stack, 3)?;
    word_option(stack, 1, Setting::SparseConvert, &["off", "on"])?;
    integer_option(stack, 2, Setting::SparseRatio, 0, i64::from(i32::MAX))?;
    integer_option(stack, 3, Setting::SparseSafe, 0, i64::from(i32::MAX))?;
    Ok(3)
}

fn encode(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 1 {
        return Err(stack.raise_argument(1, "expected 1 argument"));
    }
    let mut encoder = Encoder {
        out: Vec::new(),
        bytes_max: stack.bytes_left(),
        sparse_convert: setting(stack, Setting::SparseConvert) == 1,
        sparse_ratio: setting(stack, Setting::SparseRatio),
        sparse_safe: setting(stack, Setting::SparseSafe),
        depth_max: setting(stack, Setting::EncodeDepth),
        invalid: setting(stack, Setting::EncodeInvalid),
        precision: setting(stack, Setting::Precision) as usize,
    };
    encoder.value(stack, 0)?;
    stack.push_bytes(&encoder.out);
    Ok(1)
}

struct Encoder {
    out: Vec<u8>,
    bytes_max: usize,
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    depth_max: i64,
    invalid: i64,
    precision: usize,
}

impl Encoder {
    /// Appends the topmost value, which stays.
    fn value(&mut self, stack: &mut Stack<'_>, depth: i64) -> Result<(), Raise> {
        if self.out.len() > self.bytes_max {
            return Err(stack.raise_text("not enough memory"));
        }
        match stack.kind(-1) {
            Kind::String => self.string(stack.bytes(-1).unwrap_or_default()),
            Kind::Number => self.number(stack, -1)?,
            Kind::Boolean if stack.truth(-1) => self.out.extend_from_slice(b"true"),
            Kind::Boolean => self.out.extend_from_slice(b"false"),
            Kind::Nil => self.out.extend_from_slice(b"null"),
            Kind::LightUserdata if stack.is_null(-1) => self.out.extend_from_slice(b"null"),
            Kind::Table => return self.table(stack, depth + 1),
            _ => return Err(refused(stack, -1, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, stack: &mut Stack<'_>, depth: i64) -> Result<(), Raise> {
        if depth > self.depth_max.min(DEPTH_MAX) || !stack.reserve(6) {
            let message = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(stack.raise_text(message));
        }
        match self.array_length(stack)? {
            Some(length) if length > 0 => self.array(stack, length, depth),
            _ => self.object(stack, depth),
        }
    }

    /// The largest index of the topmost table, if it has no keys but indexes.
    fn array_length(&self, stack: &mut Stack<'_>) -> Result<Option<i64>, Raise> {
        let (mut max, mut items) = (0_i64, 0_i64);
        stack.push_nil();
        while stack.next(-2) {
            let index = match stack.kind(-2) {
                Kind::Number => stack.number(-2).filter(|key| key.floor() == *key && *key >= 1.0),
                _ => None,
            };
            let Some(index) = index else {
                stack.pop(2);
                return Ok(None);
            };
            max = max.max(index as i64);
            items += 1;
            stack.pop(1);
        }
        if self.sparse_ratio > 0
            && max > items.saturating_mul(self.sparse_ratio)
            && max > self.sparse_safe
        {
            if !self.sparse_convert {
                return Err(refused(stack, -1, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max))
    }

    fn array(&mut self, stack: &mut Stack<'_>, length: i64, depth: i64) -> Result<(), Raise> {
        self.out.push(b'[');
        for index in 1..=length.min(i64::from(i32::MAX)) {
            if index > 1 {
                self.out.push(b',');
            }
            stack.get_item(-1, index as i32);
            self.value(stack, depth)?;
            stack.pop(1);
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, stack: &mut Stack<'_>, depth: i64) -> Result<(), Raise> {
        self.out.push(b'{');
        let start = self.out.len();
        stack.push_nil();
        while stack.next(-2) {
            if self.out.len() > start {
                self.out.push(b',');
            }
            match stack.kind(-2) {
                Kind::Number => {
                    self.out.push(b'"');
                    self.number(stack, -2)?;
                    self.out.extend_from_slice(b"\":");
                }
                Kind::String => {
                    self.string(stack.bytes(-2).unwrap_or_default());
                    self.out.push(b':');
                }
                _ => return Err(refused(stack, -2, "table key must be a number or string")),
            }
            self.value(stack, depth)?;
            stack.pop(1);
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number(&mut self, stack: &mut Stack<'_>, at: i32) -> Result<(), Raise> {
        let number = stack.number(at).unwrap_or_default();
        if !number.is_finite() {
            match self.invalid {
                0 => return Err(refused(stack, at, "must not be NaN or Inf")),
                1 if number.is_nan() => self.out.extend_from_slice(b"nan"),
                1 => general(&mut self.out, number, self.precision),
                _ => self.out.extend_from_slice(b"null"),
            }
            return Ok(());
        }
        general(&mut self.out, number, self.precision);
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut clean = 0;
        for (at, byte) in text.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'/' => b"\\/",
                0x08 => b"\\b",
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                0x0c => b"\\f",
                b'\r' => b"\\r",
                0..0x20 | 0x7f => b"",
                _ => continue,
            };
            self.out.extend_from_slice(&text[clean..at]);
            clean = at + 1;
            if escape.is_empty() {
                self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            } else {
                self.out.extend_from_slice(escape);
            }
        }
        self.out.extend_from_slice(&text[clean..]);
        self.out.push(b'"');
    }
}

fn refused(stack: &mut Stack<'_>, at: i32, reason: &str) -> Raise {
    let message = format!("Cannot serialise {}: {reason}", stack.kind(at).name());
    stack.raise_text(message)
}

fn decode(stack: &mut Stack<'_>) -> Result<i32, Raise> {
    if stack.top() != 1 {
        return Err(stack.raise_argument(1, "expected 1 argument"));
    }
    let text = stack.check_bytes(1)?.to_vec();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(stack.raise_text("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder {
        text: &text,
        at: 0,
        depth: 0,
        depth_max: setting(stack, Setting::DecodeDepth),
        takes_invalid: setting(stack, Setting::DecodeInvalid) == 1,
    };
    let first = decoder.next_token();
    decoder.value(stack, first)?;
    let last = decoder.next_token();
    if last.kind != Token::End {
        return Err(last.unexpected(stack, "the end"));
    }
    Ok(1)
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// A token and where it begins.
struct Found {
    kind: Token,
    at: usize,
}

impl Found {
    fn unexpected(&self, stack: &mut Stack<'_>, expected: &str) -> Raise {
        let found = match &self.kind {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(what) => what,
        };
        let place = self.at + 1;
        stack.raise_text(format!("Expected {expected} but found {found} at character {place}"))
    }
}

struct Decoder<'t> {
    text: &'t [u8],
    at: usize,
    depth: i64,
    depth_max: i64,
    takes_invalid: bool,
}

impl Decoder<'_> {
    /// The byte `ahead` of the current one; NUL, as C strings end, where there is none.
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next_token(&mut self) -> Found {
        while matches!(self.byte(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let simple = match self.byte(0) {
            b'{' => Some(Token::ObjectBegin),
            b'}' => Some(Token::ObjectEnd),
            b'[' => Some(Token::ArrayBegin),
            b']' => Some(Token::ArrayEnd),
            b',' => Some(Token::Comma),
            b':' => Some(Token::Colon),
            0 => return Found { kind: Token::End, at },
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            return Found { kind, at };
        }
        let kind = self.long_token();
        // An error is where reading stopped.
        let at = if matches!(kind, Token::Error(_)) { self.at } else { at };
        Found { kind, at }
    }

    fn long_token(&mut self) -> Token {
        match self.byte(0) {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.takes_invalid && self.is_invalid_number() {
                    return Token::Error("invalid number");
                }
                return self.number();
            }
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' => {}
            _ => return Token::Error("invalid token"),
        }
        let words = [
            ("true", Token::Boolean(true)),
            ("false", Token::Boolean(false)),
            ("null", Token::Null),
        ];
        for (word, token) in words {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        if self.takes_invalid && self.is_invalid_number() {
            return self.number();
        }
        Token::Error("invalid token")
    }

    /// Whether what follows is a number for C but none in JSON.
    fn is_invalid_number(&self) -> bool {
        let rest = self.rest();
        if rest.first() == Some(&b'+') {
            return true;
        }
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
        if byte(0) == b'0' {
            return byte(1) | 0x20 == b'x' || byte(1).is_ascii_digit();
        }
        let word = rest.get(..3).unwrap_or_default();
        byte(0) > b'9' && (word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan"))
    }

    fn number(&mut self) -> Token {
        match parse_prefix(self.rest()) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.byte(0) {
                b'"' => break,
                0 => return Token::Error("unexpected end of string"),
                b'\\' => {
                    let plain = match self.byte(1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 0x08,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0c,
                        b'r' => b'\r',
                        b'u' => match self.unicode(&mut text) {
                            Some(()) => continue,
                            None => return Token::Error("invalid unicode escape code"),
                        },
                        _ => return Token::Error("invalid escape code"),
                    };
                    text.push(plain);
                    self.at += 2;
                }
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Token::String(text)
    }

    /// Four hexadecimal digits.
    fn hex(&self, ahead: usize) -> Option<u32> {
        (ahead..ahead + 4).try_fold(0, |value, at| {
            char::from(self.byte(at)).to_digit(16).map(|digit| value << 4 | digit)
        })
    }

    /// Reads `\uXXXX`, two of them where they make one character.
    fn unicode(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let mut code = self.hex(2)?;
        let mut len = 6;
        if code & 0xF800 == 0xD800 {
            let has_second = self.byte(6) == b'\\' && self.byte(7) == b'u';
            let second = self.hex(8).filter(|second| second & 0xFC00 == 0xDC00)?;
            if code & 0x400 != 0 || !has_second {
                return None;
            }
            code = ((code & 0x3FF) << 10 | second & 0x3FF) + 0x1_0000;
            len = 12;
        }
        let character = char::from_u32(code)?;
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Some(())
    }

    fn value(&mut self, stack: &mut Stack<'_>, token: Found) -> Result<(), Raise> {
        if stack.bytes_left() == 0 {
            return Err(stack.raise_text("not enough memory"));
        }
        match token.kind {
            Token::String(text) => stack.push_bytes(&text),
            Token::Number(number) => stack.push_number(number),
            Token::Boolean(value) => stack.push_bool(value),
            Token::Null => stack.push_null(),
            Token::ObjectBegin => return self.object(stack),
            Token::ArrayBegin => return self.array(stack),
            _ => return Err(token.unexpected(stack, "value")),
        }
        Ok(())
    }

    fn descend(&mut self, stack: &mut Stack<'_>) -> Result<(), Raise> {
        self.depth += 1;
        if self.depth > self.depth_max.min(DEPTH_MAX) || !stack.reserve(6) {
            let (depth, at) = (self.depth, self.at);
            return Err(stack.raise_text(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )));
        }
        Ok(())
    }

    fn object(&mut self, stack: &mut Stack<'_>) -> Result<(), Raise> {
        self.descend(stack)?;
        stack.push_table(0, 0);
        let mut token = self.next_token();
        if token.kind != Token::ObjectEnd {
            loop {
                let Token::String(key) = &token.kind else {
                    return Err(token.unexpected(stack, "object key string"));
                };
                stack.push_bytes(key);
                let colon = self.next_token();
                if colon.kind != Token::Colon {
                    return Err(colon.unexpected(stack, "colon"));
                }
                let value = self.next_token();
                self.value(stack, value)?;
                stack.set(-3);
                let after = self.next_token();
                match after.kind {
                    Token::ObjectEnd => break,
                    Token::Comma => token = self.next_token(),
                    _ => return Err(after.unexpected(stack, "comma or object end")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, stack: &mut Stack<'_>) -> Result<(), Raise> {
        self.descend(stack)?;
        stack.push_table(0, 0);
        let mut token = self.next_token();
        if token.kind != Token::ArrayEnd {
            for index in 1.. {
                self.value(stack, token)?;
                stack.set_item(-2, index);
                let after = self.next_token();
                match after.kind {
                    Token::ArrayEnd => break,
                    Token::Comma => token = self.next_token(),
                    _ => return Err(after.unexpected(stack, "comma or array end")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }
}
