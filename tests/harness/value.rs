//! One reply: how its bytes end, what they mean, and how to write it on one line.
//!
//! The reader is strict (a reply Larder sends has to be well-formed to the letter) and guarded:
//! nesting beyond [`MAX_DEPTH`] and lengths beyond [`MAX_LEN`] are refused, so that a broken server
//! fails a test instead of taking the test process with it.

use std::fmt;

use crate::words::quoted;

/// Deepest nesting of a reply; Redis's own deepest (COMMAND DOCS) stays below ten.
const MAX_DEPTH: usize = 32;

/// Longest bulk or aggregate: the 512 MB that Redis allows for a string.
const MAX_LEN: i64 = 512 * 1024 * 1024;

/// A parsed reply. The notation of [`fmt::Display`] is in the comment of each case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR text`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `"text"`
    Bulk(Vec<u8>),
    /// `nil`, both for RESP2's null bulk and RESP3's null
    Nil,
    /// `nil-array`, which RESP2 alone has
    NilArray,
    /// `[a, b]`
    Array(Vec<Value>),
    /// `~[a, b]`
    Set(Vec<Value>),
    /// `>[a, b]`
    Push(Vec<Value>),
    /// `{k: v}`
    Map(Vec<(Value, Value)>),
    /// `|{k: v} reply`
    Attribute(Vec<(Value, Value)>, Box<Value>),
    /// `,1.5`
    Double(String),
    /// `#t`
    Boolean(bool),
    /// `(12345678901234567890`
    Big(String),
    /// `=txt:"text"`
    Verbatim(String, Vec<u8>),
    /// `closed`: no reply, the server hung up
    Closed,
}

/// Why bytes are no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Value {
    /// Parses the first reply in `bytes`. `None` as long as it is incomplete; otherwise the reply and
    /// how many bytes it took.
    ///
    /// # Errors
    /// When the bytes can not become a reply whatever follows.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut cursor = Cursor { bytes, at: 0 };
        Ok(cursor.value(0)?.map(|value| (value, cursor.at)))
    }

    /// Whether this is an error that starts with `prefix`.
    pub fn is_error(&self, prefix: &str) -> bool {
        matches!(self, Self::Error(text) if text.starts_with(prefix))
    }

    /// The integer.
    ///
    /// # Panics
    /// When the reply is something else.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("expected an integer, got {other}"),
        }
    }

    /// The text of a bulk, simple or verbatim string.
    ///
    /// # Panics
    /// When the reply is something else.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) => text.clone(),
            Self::Bulk(bytes) | Self::Verbatim(_, bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            other => panic!("expected text, got {other}"),
        }
    }

    /// The elements of an array, set or push; a map's keys and values in turn.
    ///
    /// # Panics
    /// When the reply is something else.
    #[track_caller]
    pub fn items(&self) -> Vec<Self> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items.clone(),
            Self::Map(pairs) => pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect(),
            other => panic!("expected an aggregate, got {other}"),
        }
    }

    /// The value behind `key` in a map, or in an array that RESP2 sends in place of one.
    #[track_caller]
    pub fn field(&self, key: &str) -> Option<Self> {
        let items = self.items();
        items.chunks(2).find(|pair| pair[0].text() == key).map(|pair| pair[1].clone())
    }

    /// What kind of reply it is, by the byte that RESP starts it with.
    pub fn kind(&self) -> char {
        match self {
            Self::Simple(_) => '+',
            Self::Error(_) => '-',
            Self::Integer(_) => ':',
            Self::Bulk(_) => '$',
            Self::Nil | Self::NilArray => '_',
            Self::Array(_) => '*',
            Self::Set(_) => '~',
            Self::Push(_) => '>',
            Self::Map(_) => '%',
            Self::Attribute(..) => '|',
            Self::Double(_) => ',',
            Self::Boolean(_) => '#',
            Self::Big(_) => '(',
            Self::Verbatim(..) => '=',
            Self::Closed => ' ',
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed(format!("nested deeper than {MAX_DEPTH}")));
        }
        let Some(line) = self.line()? else { return Ok(None) };
        let Some((&kind, text)) = line.split_first() else {
            return Err(Malformed("an empty line where a reply starts".into()));
        };
        let text = String::from_utf8_lossy(text).into_owned();
        let value = match kind {
            b'+' => Value::Simple(text),
            b'-' => Value::Error(text),
            b':' => Value::Integer(integer(&text)?),
            b',' => Value::Double(text),
            b'(' => Value::Big(text),
            b'_' if text.is_empty() => Value::Nil,
            b'#' if text == "t" || text == "f" => Value::Boolean(text == "t"),
            b'$' | b'=' => return self.bulk(kind, length(&text)?),
            b'*' | b'~' | b'>' => return self.array(kind, length(&text)?, depth),
            b'%' | b'|' => return self.map(kind, length(&text)?, depth),
            _ => return Err(Malformed(format!("no reply starts like {}", quoted(&line)))),
        };
        Ok(Some(value))
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&b| b == b'\n') else { return Ok(None) };
        let Some(line) = rest[..end].strip_suffix(b"\r") else {
            return Err(Malformed(format!("line without CR: {}", quoted(&rest[..end]))));
        };
        if line.contains(&b'\r') {
            return Err(Malformed(format!("stray CR: {}", quoted(line))));
        }
        self.at += end + 1;
        Ok(Some(line.to_vec()))
    }

    fn bulk(&mut self, kind: u8, len: i64) -> Result<Option<Value>, Malformed> {
        let Ok(len) = usize::try_from(len) else { return Ok(Some(Value::Nil)) };
        let rest = &self.bytes[self.at..];
        if rest.len() < len + 2 {
            return Ok(None);
        }
        if &rest[len..len + 2] != b"\r\n" {
            return Err(Malformed(format!("bulk of {len} bytes not followed by CRLF")));
        }
        let body = rest[..len].to_vec();
        self.at += len + 2;
        if kind == b'$' {
            return Ok(Some(Value::Bulk(body)));
        }
        match body.split_at_checked(4) {
            Some((format, text)) if format[3] == b':' => Ok(Some(Value::Verbatim(
                String::from_utf8_lossy(&format[..3]).into_owned(),
                text.to_vec(),
            ))),
            _ => Err(Malformed("verbatim string without a format".into())),
        }
    }

    fn array(&mut self, kind: u8, len: i64, depth: usize) -> Result<Option<Value>, Malformed> {
        if len < 0 {
            return Ok(Some(Value::NilArray));
        }
        let mut items = Vec::new();
        for _ in 0..len {
            let Some(item) = self.value(depth + 1)? else { return Ok(None) };
            items.push(item);
        }
        Ok(Some(match kind {
            b'*' => Value::Array(items),
            b'~' => Value::Set(items),
            _ => Value::Push(items),
        }))
    }

    fn map(&mut self, kind: u8, len: i64, depth: usize) -> Result<Option<Value>, Malformed> {
        let mut pairs = Vec::new();
        for _ in 0..len {
            let Some(key) = self.value(depth + 1)? else { return Ok(None) };
            let Some(value) = self.value(depth + 1)? else { return Ok(None) };
            pairs.push((key, value));
        }
        if kind == b'%' {
            return Ok(Some(Value::Map(pairs)));
        }
        let Some(reply) = self.value(depth + 1)? else { return Ok(None) };
        Ok(Some(Value::Attribute(pairs, Box::new(reply))))
    }
}

fn integer(text: &str) -> Result<i64, Malformed> {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Ok(number),
        _ => Err(Malformed(format!("{text:?} is no integer in its shortest form"))),
    }
}

fn length(text: &str) -> Result<i64, Malformed> {
    match integer(text)? {
        len @ -1..=MAX_LEN => Ok(len),
        len => Err(Malformed(format!("length {len} is out of bounds"))),
    }
}

/// A field of INFO's text.
pub fn info_field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) => f.write_str(&quoted(bytes)),
            Self::Nil => f.write_str("nil"),
            Self::NilArray => f.write_str("nil-array"),
            Self::Array(items) => list(f, "[", items),
            Self::Set(items) => list(f, "~[", items),
            Self::Push(items) => list(f, ">[", items),
            Self::Map(pairs) => map(f, "{", pairs),
            Self::Attribute(pairs, reply) => {
                map(f, "|{", pairs)?;
                write!(f, " {reply}")
            }
            Self::Double(text) => write!(f, ",{text}"),
            Self::Boolean(yes) => f.write_str(if *yes { "#t" } else { "#f" }),
            Self::Big(text) => write!(f, "({text}"),
            Self::Verbatim(format, bytes) => write!(f, "={format}:{}", quoted(bytes)),
            Self::Closed => f.write_str("closed"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, items: &[Value]) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        write!(f, "{item}")?;
    }
    f.write_str("]")
}

fn map(f: &mut fmt::Formatter<'_>, open: &str, pairs: &[(Value, Value)]) -> fmt::Result {
    f.write_str(open)?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        write!(f, "{key}: {value}")?;
    }
    f.write_str("}")
}

#[cfg(test)]
mod tests {
    use super::Value;

    fn notation(bytes: &str) -> String {
        match Value::parse(bytes.as_bytes()) {
            Ok(Some((value, used))) if used == bytes.len() => value.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_has_a_notation() {
        for (bytes, text) in [
            ("+OK\r\n", "+OK"),
            ("-ERR no\r\n", "-ERR no"),
            (":-5\r\n", ":-5"),
            ("$2\r\na\n\r\n", r#""a\n""#),
            ("$-1\r\n", "nil"),
            ("*-1\r\n", "nil-array"),
            ("_\r\n", "nil"),
            ("*2\r\n:1\r\n*0\r\n", "[:1, []]"),
            ("~1\r\n:1\r\n", "~[:1]"),
            (">1\r\n+a\r\n", ">[+a]"),
            ("%1\r\n+a\r\n:1\r\n", "{+a: :1}"),
            ("|1\r\n+a\r\n:1\r\n+OK\r\n", "|{+a: :1} +OK"),
            (",1.5\r\n", ",1.5"),
            ("#t\r\n", "#t"),
            ("(123\r\n", "(123"),
            ("=5\r\ntxt:a\r\n", r#"=txt:"a""#),
        ] {
            assert_eq!(notation(bytes), text);
            for cut in 0..bytes.len() {
                assert_eq!(Value::parse(&bytes.as_bytes()[..cut]), Ok(None), "{bytes:?} cut {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in
            ["\r\n", ":+1\r\n", ":01\r\n", "$-2\r\n", "+a\n", "$1\r\nabc", "#x\r\n", "?\r\n"]
        {
            assert!(Value::parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(Value::parse("*1\r\n".repeat(8000).as_bytes()).is_err());
    }
}
