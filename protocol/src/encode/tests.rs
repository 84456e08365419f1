//! Encoded replies, byte by byte and through a decoder that shares nothing with the encoder.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::error::CommandError;
use crate::strings::Strings;

fn encoded(reply: &Reply<'_>, version: Version) -> String {
    let mut out = Vec::new();
    encode(reply, version, &mut out);
    out.escape_ascii().to_string()
}

fn strings(all: &[&[u8]]) -> Reply<'static> {
    let mut strings = Strings::writer(all.len(), 0);
    all.iter().for_each(|string| strings.push(string));
    Reply::from(strings.finish())
}

#[test]
fn every_kind_in_both_versions() {
    let one = || vec![Reply::Int(1)];
    let pair = || vec![(Reply::Bulk(b"k"), Reply::Int(1))];
    let table: Vec<(Reply<'_>, &str, &str)> = vec![
        (Reply::Ok, r"+OK\r\n", r"+OK\r\n"),
        (Reply::Simple("PONG"), r"+PONG\r\n", r"+PONG\r\n"),
        (Reply::status("a\r\n\0b"), r"+a   b\r\n", r"+a   b\r\n"),
        (Reply::Error(CommandError::SYNTAX), r"-ERR syntax error\r\n", r"-ERR syntax error\r\n"),
        (Reply::Int(0), r":0\r\n", r":0\r\n"),
        (Reply::Int(-12), r":-12\r\n", r":-12\r\n"),
        (Reply::Int(i64::MIN), r":-9223372036854775808\r\n", r":-9223372036854775808\r\n"),
        (Reply::Null, r"$-1\r\n", r"_\r\n"),
        (Reply::NullArray, r"*-1\r\n", r"_\r\n"),
        (Reply::Bulk(b""), r"$0\r\n\r\n", r"$0\r\n\r\n"),
        (Reply::Bulk(b"a\r\nb"), r"$4\r\na\r\nb\r\n", r"$4\r\na\r\nb\r\n"),
        (Reply::Owned(b"0123456789".to_vec()), r"$10\r\n0123456789\r\n", r"$10\r\n0123456789\r\n"),
        (Reply::digits(-42), r"$3\r\n-42\r\n", r"$3\r\n-42\r\n"),
        (Reply::shared(Bytes::from_static(b"x")), r"$1\r\nx\r\n", r"$1\r\nx\r\n"),
        (Reply::Double(0.1), r"$3\r\n0.1\r\n", r",0.1\r\n"),
        (Reply::Double(f64::NEG_INFINITY), r"$4\r\n-inf\r\n", r",-inf\r\n"),
        (Reply::Bool(true), r":1\r\n", r"#t\r\n"),
        (Reply::Bool(false), r":0\r\n", r"#f\r\n"),
        (Reply::BigNumber("12".into()), r"$2\r\n12\r\n", r"(12\r\n"),
        (Reply::text("hi"), r"$2\r\nhi\r\n", r"=6\r\ntxt:hi\r\n"),
        (Reply::Array(one()), r"*1\r\n:1\r\n", r"*1\r\n:1\r\n"),
        (Reply::Array(vec![]), r"*0\r\n", r"*0\r\n"),
        (strings(&[]), r"*0\r\n", r"*0\r\n"),
        (strings(&[b"", b"x"]), r"*2\r\n$0\r\n\r\n$1\r\nx\r\n", r"*2\r\n$0\r\n\r\n$1\r\nx\r\n"),
        (Reply::Set(one()), r"*1\r\n:1\r\n", r"~1\r\n:1\r\n"),
        (Reply::Push(one()), r"*1\r\n:1\r\n", r">1\r\n:1\r\n"),
        (Reply::Map(pair()), r"*2\r\n$1\r\nk\r\n:1\r\n", r"%1\r\n$1\r\nk\r\n:1\r\n"),
        (Reply::attribute(pair(), Reply::Ok), r"+OK\r\n", r"|1\r\n$1\r\nk\r\n:1\r\n+OK\r\n"),
        (
            Reply::Several(vec![Reply::Push(one()), Reply::Ok]),
            r"*1\r\n:1\r\n+OK\r\n",
            r">1\r\n:1\r\n+OK\r\n",
        ),
        (Reply::None, "", ""),
    ];
    for (reply, resp2, resp3) in table {
        assert_eq!(encoded(&reply, Version::Resp2), resp2, "{reply:?}");
        assert_eq!(encoded(&reply, Version::Resp3), resp3, "{reply:?}");
    }
}

#[test]
fn shared_bytes_are_handed_over() {
    #[derive(Default)]
    struct Pieces(Vec<Bytes>);
    impl Output for Pieces {
        fn put(&mut self, bytes: &[u8]) {
            self.0.push(Bytes::copy_from_slice(bytes));
        }
        fn put_shared(&mut self, bytes: Bytes) {
            self.0.push(bytes);
        }
    }
    let value = Bytes::from(vec![7; 1000]);
    let mut out = Pieces::default();
    encode(&Reply::shared(value.clone()), Version::Resp2, &mut out);
    assert!(out.0.iter().any(|piece| piece.as_ptr() == value.as_ptr()));
    assert_eq!(out.0.concat().len(), 1000 + "$1000\r\n\r\n".len());
}

#[test]
fn commands_for_the_log() {
    let mut out = Vec::new();
    encode_command(&mut out, [&b"DEL"[..], b"", b"a\r\n"].into_iter());
    assert_eq!(out, b"*3\r\n$3\r\nDEL\r\n$0\r\n\r\n$3\r\na\r\n\r\n");
}

/// What a client understands. Doubles are kept as bits, so that NaN equals itself.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Line(u8, Vec<u8>),
    Bulk(Vec<u8>),
    Null(u8),
    Verbatim(Vec<u8>, Vec<u8>),
    Many(u8, Vec<Seen>),
}

/// The first value of `bytes`, and what follows it.
fn decode(bytes: &[u8]) -> (Seen, &[u8]) {
    let end = bytes.windows(2).position(|w| w == b"\r\n").expect("a line");
    let (marker, line, rest) = (bytes[0], &bytes[1..end], &bytes[end + 2..]);
    let number = || std::str::from_utf8(line).unwrap().parse::<i64>().unwrap();
    let mut rest = rest;
    let seen = match marker {
        b'+' | b'-' | b':' | b',' | b'#' | b'(' => Seen::Line(marker, line.to_vec()),
        b'_' => Seen::Null(b'_'),
        b'$' | b'*' if number() == -1 => Seen::Null(marker),
        b'$' | b'=' => {
            let (body, after) = rest.split_at(number() as usize);
            rest = after.strip_prefix(b"\r\n").expect("an end");
            match marker {
                b'$' => Seen::Bulk(body.to_vec()),
                _ => Seen::Verbatim(body[..3].to_vec(), body[4..].to_vec()),
            }
        }
        b'*' | b'~' | b'>' | b'%' | b'|' => {
            let pairs = matches!(marker, b'%' | b'|');
            // An attribute is followed by the reply it belongs to.
            let count = number() * (1 + i64::from(pairs)) + i64::from(marker == b'|');
            let mut items = Vec::new();
            for _ in 0..count {
                let (item, after) = decode(rest);
                items.push(item);
                rest = after;
            }
            Seen::Many(marker, items)
        }
        other => panic!("unknown marker {}", other.escape_ascii()),
    };
    (seen, rest)
}

/// What a client should understand, written down independently of the encoder.
fn expected(reply: &Reply<'_>, version: Version) -> Seen {
    let resp3 = version == Version::Resp3;
    let clean = |text: &[u8]| {
        let of = |byte: &u8| if b"\r\n\0".contains(byte) { b' ' } else { *byte };
        text.iter().map(of).collect::<Vec<u8>>()
    };
    let list = |items: &[Reply<'_>]| items.iter().map(|item| expected(item, version)).collect();
    let flat = |pairs: &[(Reply<'_>, Reply<'_>)]| -> Vec<Seen> {
        pairs.iter().flat_map(|(k, v)| [expected(k, version), expected(v, version)]).collect()
    };
    let number = |value: f64| {
        let mut text = Vec::new();
        push_f64(&mut text, value);
        text
    };
    match reply {
        Reply::Ok => Seen::Line(b'+', b"OK".to_vec()),
        Reply::Simple(text) => Seen::Line(b'+', text.as_bytes().to_vec()),
        Reply::Status(text) => Seen::Line(b'+', clean(text)),
        Reply::Error(error) => Seen::Line(b'-', clean(error.as_bytes())),
        Reply::Int(value) => Seen::Line(b':', value.to_string().into_bytes()),
        Reply::Null | Reply::NullArray if resp3 => Seen::Null(b'_'),
        Reply::Null => Seen::Null(b'$'),
        Reply::NullArray => Seen::Null(b'*'),
        Reply::Double(value) if resp3 => Seen::Line(b',', number(*value)),
        Reply::Double(value) => Seen::Bulk(number(*value)),
        Reply::Bool(value) if resp3 => {
            Seen::Line(b'#', if *value { b"t".to_vec() } else { b"f".to_vec() })
        }
        Reply::Bool(value) => Seen::Line(b':', i64::from(*value).to_string().into_bytes()),
        Reply::BigNumber(digits) if resp3 => Seen::Line(b'(', digits.clone().into_bytes()),
        Reply::Verbatim(format, text) if resp3 => {
            Seen::Verbatim(format.to_vec(), text.as_bytes().to_vec())
        }
        Reply::Array(items) => Seen::Many(b'*', list(items)),
        Reply::Set(items) => Seen::Many(if resp3 { b'~' } else { b'*' }, list(items)),
        Reply::Push(items) => Seen::Many(if resp3 { b'>' } else { b'*' }, list(items)),
        Reply::Map(pairs) => Seen::Many(if resp3 { b'%' } else { b'*' }, flat(pairs)),
        Reply::Attribute(both) if resp3 => {
            let mut items = flat(&both.0);
            items.push(expected(&both.1, version));
            Seen::Many(b'|', items)
        }
        Reply::Attribute(both) => expected(&both.1, version),
        Reply::None | Reply::Several(_) => unreachable!("not generated: they are not one value"),
        other => Seen::Bulk(other.as_bytes().expect("a string").to_vec()),
    }
}

fn replies() -> impl Strategy<Value = Reply<'static>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..30);
    let leaf = prop_oneof![
        Just(Reply::Ok),
        Just(Reply::Simple("PONG")),
        bytes().prop_map(|text| Reply::Status(Cow::Owned(text))),
        bytes().prop_map(|text| Reply::Error(CommandError::custom(text))),
        any::<i64>().prop_map(Reply::Int),
        (-100..100_i64).prop_map(Reply::Int),
        Just(Reply::Null),
        Just(Reply::NullArray),
        bytes().prop_map(Reply::Owned),
        any::<i64>().prop_map(Reply::digits),
        bytes().prop_map(|bytes| Reply::shared(bytes.into())),
        any::<f64>().prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Bool),
        any::<i128>().prop_map(|value| Reply::BigNumber(value.to_string())),
        any::<String>().prop_map(|text| Reply::Verbatim(*b"mkd", Cow::Owned(text))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..6);
        let pairs = || prop::collection::vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            list().prop_map(Reply::Array),
            list().prop_map(Reply::Set),
            list().prop_map(Reply::Push),
            pairs().prop_map(Reply::Map),
            (pairs(), inner.clone()).prop_map(|(facts, reply)| Reply::attribute(facts, reply)),
        ]
    })
}

proptest! {
    #[test]
    fn a_client_understands(reply in replies(), following in replies()) {
        for version in [Version::Resp2, Version::Resp3] {
            let mut out = Vec::new();
            encode(&reply, version, &mut out);
            encode(&following, version, &mut out);
            let (seen, rest) = decode(&out);
            prop_assert_eq!(seen, expected(&reply, version));
            let (seen, rest) = decode(rest);
            prop_assert_eq!(seen, expected(&following, version));
            prop_assert!(rest.is_empty());
        }
    }
}
