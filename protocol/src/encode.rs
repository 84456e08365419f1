//! Replies to bytes; the only place that knows how RESP2 and RESP3 differ.
//!
//! The integer, bulk, null and OK paths are small and inlined: they answer nearly every command.
//! Nothing here fails, and no line can be ended early by what stands in it: error texts are clean
//! when they are built, statuses are cleaned here.
//!
//! Nesting is as deep as the handler built it; no peer decides about it.

use bytes::Bytes;

use crate::error::breaks_line;
use crate::number::{format_human_f64, push_f64};
use crate::reply::Reply;

/// The protocol a connection speaks; HELLO changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// What every client starts with.
    #[default]
    Resp2,
    /// Since Redis 6: maps, sets, doubles, truth values, push messages.
    Resp3,
}

/// Where encoded bytes go.
pub trait Output {
    /// Appends a copy of `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Appends `bytes`; an output that can keep references takes them over without a copy.
    fn put_shared(&mut self, bytes: Bytes) {
        self.put(&bytes);
    }
}

impl Output for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends `reply` to `out` in the form `version` asks for.
#[inline]
pub fn encode<O: Output>(reply: &Reply<'_>, version: Version, out: &mut O) {
    match reply {
        Reply::Ok => out.put(b"+OK\r\n"),
        Reply::Int(value) => int(out, *value),
        Reply::Bulk(bytes) => bulk(out, bytes),
        Reply::Null => null(out, version),
        other => encode_rare(other, version, out),
    }
}

#[inline(never)]
fn encode_rare<O: Output>(reply: &Reply<'_>, version: Version, out: &mut O) {
    let resp3 = version == Version::Resp3;
    match reply {
        Reply::Ok | Reply::Int(_) | Reply::Bulk(_) | Reply::Null => encode(reply, version, out),
        Reply::Simple(text) => line(out, b'+', text.as_bytes()),
        Reply::Status(text) => status(out, text),
        Reply::Error(error) => line(out, b'-', error.as_bytes()),
        Reply::NullArray => null_array(out, version),
        Reply::Owned(bytes) => bulk(out, bytes),
        Reply::Digits(digits) => bulk(out, digits.as_bytes()),
        Reply::Shared(bytes) => {
            header(out, b'$', bytes.len());
            out.put_shared(Bytes::clone(bytes));
            out.put(b"\r\n");
        }
        Reply::Double(value) => double(out, *value, version),
        Reply::Coordinate(value) => {
            let text = format_human_f64(*value);
            if resp3 { line(out, b',', text.as_bytes()) } else { bulk(out, text.as_bytes()) }
        }
        Reply::Bool(value) => out.put(match (resp3, value) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        }),
        Reply::BigNumber(digits) if resp3 => line(out, b'(', digits.as_bytes()),
        Reply::BigNumber(digits) => bulk(out, digits.as_bytes()),
        Reply::Verbatim(format, text) if resp3 => {
            header(out, b'=', text.len() + format.len() + 1);
            out.put(format);
            out.put(b":");
            out.put(text.as_bytes());
            out.put(b"\r\n");
        }
        Reply::Verbatim(_, text) => bulk(out, text.as_bytes()),
        Reply::Array(items) => {
            array_header(out, items.len());
            all(out, items, version);
        }
        Reply::Strings(strings) => {
            array_header(out, strings.len());
            out.put_shared(strings.encoded());
        }
        Reply::Set(items) => {
            set_header(out, items.len(), version);
            all(out, items, version);
        }
        Reply::Push(items) => {
            push_header(out, items.len(), version);
            all(out, items, version);
        }
        Reply::Map(pairs) => {
            map_header(out, pairs.len(), version);
            all_pairs(out, pairs, version);
        }
        Reply::Attribute(both) => {
            let (facts, reply) = &**both;
            if resp3 {
                header(out, b'|', facts.len());
                all_pairs(out, facts, version);
            }
            encode(reply, version, out);
        }
        Reply::Several(items) => all(out, items, version),
        Reply::None => {}
    }
}

fn all<O: Output>(out: &mut O, items: &[Reply<'_>], version: Version) {
    for item in items {
        encode(item, version, out);
    }
}

fn all_pairs<O: Output>(out: &mut O, pairs: &[(Reply<'_>, Reply<'_>)], version: Version) {
    for (key, value) in pairs {
        encode(key, version, out);
        encode(value, version, out);
    }
}

/// An integer.
#[inline]
pub fn int<O: Output>(out: &mut O, value: i64) {
    marked(out, b':', value);
}

/// A bulk string.
#[inline]
pub fn bulk<O: Output>(out: &mut O, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.put(bytes);
    out.put(b"\r\n");
}

/// Nothing there.
#[inline]
pub fn null<O: Output>(out: &mut O, version: Version) {
    out.put(match version {
        Version::Resp2 => b"$-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// Nothing there, where RESP2 clients expect an array.
#[inline]
pub fn null_array<O: Output>(out: &mut O, version: Version) {
    out.put(match version {
        Version::Resp2 => b"*-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// A floating point number.
pub fn double<O: Output>(out: &mut O, value: f64, version: Version) {
    let mut text = Vec::with_capacity(crate::number::MAX_F64_BYTES);
    push_f64(&mut text, value);
    match version {
        Version::Resp2 => bulk(out, &text),
        Version::Resp3 => line(out, b',', &text),
    }
}

/// Announces `n` elements, which the caller encodes next.
#[inline]
pub fn array_header<O: Output>(out: &mut O, n: usize) {
    header(out, b'*', n);
}

/// Announces `n` pairs: each a key, then a value.
#[inline]
pub fn map_header<O: Output>(out: &mut O, n: usize, version: Version) {
    match version {
        Version::Resp2 => header(out, b'*', n * 2),
        Version::Resp3 => header(out, b'%', n),
    }
}

/// Announces `n` elements without duplicates.
#[inline]
pub fn set_header<O: Output>(out: &mut O, n: usize, version: Version) {
    header(out, if version == Version::Resp3 { b'~' } else { b'*' }, n);
}

/// Announces a message of `n` elements that nobody asked for.
#[inline]
pub fn push_header<O: Output>(out: &mut O, n: usize, version: Version) {
    header(out, if version == Version::Resp3 { b'>' } else { b'*' }, n);
}

/// Announces a bulk string of `n` bytes; the caller appends them and CR LF.
#[inline]
pub fn bulk_header<O: Output>(out: &mut O, n: usize) {
    header(out, b'$', n);
}

/// Appends a command as a RESP array of bulk strings: the form of the effect log.
pub fn encode_command<'x>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'x [u8]>) {
    array_header(out, args.len());
    for arg in args {
        bulk(out, arg);
    }
}

/// A status line whose text may come from anywhere.
fn status<O: Output>(out: &mut O, text: &[u8]) {
    out.put(b"+");
    // Most texts are one piece; the others are rare enough to be put together byte by byte.
    for (index, piece) in text.split(|&byte| breaks_line(byte)).enumerate() {
        if index > 0 {
            out.put(b" ");
        }
        out.put(piece);
    }
    out.put(b"\r\n");
}

#[inline]
fn line<O: Output>(out: &mut O, marker: u8, text: &[u8]) {
    out.put(&[marker]);
    out.put(text);
    out.put(b"\r\n");
}

#[inline]
fn header<O: Output>(out: &mut O, marker: u8, n: usize) {
    marked(out, marker, n as i64);
}

/// Marker, number and line end; short numbers, which nearly all are, as one append of known size.
#[inline]
fn marked<O: Output>(out: &mut O, marker: u8, value: i64) {
    let digit = |of: i64| b'0' + (of % 10) as u8;
    match value {
        0..=9 => out.put(&[marker, digit(value), b'\r', b'\n']),
        10..=99 => out.put(&[marker, digit(value / 10), digit(value), b'\r', b'\n']),
        100..=999 => {
            let (hundreds, tens) = (digit(value / 100), digit(value / 10));
            out.put(&[marker, hundreds, tens, digit(value), b'\r', b'\n']);
        }
        _ => marked_long(out, marker, value),
    }
}

#[inline(never)]
fn marked_long<O: Output>(out: &mut O, marker: u8, value: i64) {
    let mut digits = itoa::Buffer::new();
    line(out, marker, digits.format(value).as_bytes());
}

#[cfg(test)]
#[path = "encode/tests.rs"]
mod tests;
