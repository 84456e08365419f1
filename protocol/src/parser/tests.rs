//! The parser against hostile input, and against itself with the bytes cut differently.

use proptest::prelude::*;

use super::*;

/// A command's arguments, or `None` for a request without any.
type Request = Option<Vec<Vec<u8>>>;
type Outcome = Result<Vec<Request>, ProtocolError>;

/// All requests and the bytes left over, the way a connection drives
/// the parser: `cuts` are the sizes of the reads, the last of them repeated.
fn drive(bytes: &[u8], cuts: &[usize], limits: &Limits) -> (Outcome, usize) {
    let mut parser = Parser::new();
    let (mut start, mut end, mut read) = (0, 0, 0);
    let mut commands = Vec::new();
    loop {
        match parser.parse(&bytes[start..end], limits) {
            Err(error) => return (Err(error), bytes.len() - start),
            Ok(Parsed::Empty { consumed }) => {
                commands.push(None);
                start += consumed;
            }
            Ok(Parsed::Command { consumed }) => {
                let args = parser.args(&bytes[start..end]);
                commands.push(Some(args.iter().map(<[u8]>::to_vec).collect()));
                start += consumed;
            }
            Ok(Parsed::Incomplete) if end == bytes.len() => {
                return (Ok(commands), bytes.len() - start);
            }
            Ok(Parsed::Incomplete) => {
                let size = cuts.get(read).or(cuts.last()).copied().unwrap_or(usize::MAX).max(1);
                end = end.saturating_add(size).min(bytes.len());
                read += 1;
            }
        }
        assert!(start <= end, "no more is consumed than was given");
    }
}

fn whole(bytes: &[u8]) -> Outcome {
    drive(bytes, &[], &Limits::DEFAULT).0
}

fn encoded(args: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::encode::encode_command(&mut out, args.iter().map(Vec::as_slice));
    out
}

fn command(args: &[&str]) -> Request {
    Some(args.iter().map(|arg| arg.as_bytes().to_vec()).collect())
}

#[test]
fn commands_in_both_forms() {
    let table: &[(&[u8], &[Request])] = &[
        (b"*1\r\n$4\r\nPING\r\n", &[command(&["PING"])]),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[command(&["GET", ""])]),
        (b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n", &[command(&["ECHO", "\r\n"])]),
        (b"PING\r\nPING\n", &[command(&["PING"]), command(&["PING"])]),
        (b" set  k \"a b\"\r\n", &[command(&["set", "k", "a b"])]),
        // Nothing to run, and it does not disturb what follows.
        (b"\r\n\n \r\n*0\r\n*-1\r\n*-5\r\n", &[None, None, None, None, None, None]),
        (
            b"*1\r\n$4\r\nPING\r\n\r\n*0\r\n\n*1\r\n$4\r\nPING\r\n",
            &[command(&["PING"]), None, None, None, command(&["PING"])],
        ),
    ];
    for (bytes, expected) in table {
        assert_eq!(whole(bytes).unwrap(), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn every_length_of_an_argument() {
    for length in (0..130).chain([999, 1000, 9_999, 10_000, 65_535, 65_536, 1 << 20]) {
        let args = [b"SET".to_vec(), vec![b'\r'; length]];
        assert_eq!(whole(&encoded(&args)).unwrap(), [Some(args.to_vec())], "{length}");
    }
}

#[test]
fn hostile_requests() {
    use ProtocolError as E;
    let table: &[(&[u8], ProtocolError)] = &[
        // Counts.
        (b"*\r\n", E::InvalidCount),
        (b"*a\r\n", E::InvalidCount),
        (b"*+1\r\n", E::InvalidCount),
        (b"*01\r\n", E::InvalidCount),
        (b"*-0\r\n", E::InvalidCount),
        (b"* 1\r\n", E::InvalidCount),
        (b"*1 \r\n", E::InvalidCount),
        (b"*1\r\r\n", E::InvalidCount),
        (b"*1048577\r\n", E::InvalidCount),
        (b"*2147483647\r\n", E::InvalidCount),
        (b"*2147483648\r\n", E::InvalidCount),
        (b"*18446744073709551617\r\n", E::InvalidCount),
        (b"*-9223372036854775809\r\n", E::InvalidCount),
        // Lengths.
        (b"*1\r\n$\r\n", E::InvalidLength),
        (b"*1\r\n$-1\r\n", E::InvalidLength),
        (b"*1\r\n$+5\r\nhello\r\n", E::InvalidLength),
        (b"*1\r\n$007\r\n1234567\r\n", E::InvalidLength),
        (b"*1\r\n$05\r\nhello\r\n", E::InvalidLength),
        (b"*1\r\n$-0\r\n\r\n", E::InvalidLength),
        (b"*1\r\n$5 \r\nhello\r\n", E::InvalidLength),
        (b"*1\r\n$5\rhello\r\n", E::InvalidLength),
        (b"*1\r\n$536870913\r\n", E::InvalidLength),
        (b"*1\r\n$9223372036854775807\r\n", E::InvalidLength),
        (b"*1\r\n$18446744073709551615\r\n", E::InvalidLength),
        // Something else than an argument; depth is 1.
        (b"*1\r\nPING\r\n", E::ExpectedBulk(b'P')),
        (b"*1\r\n*1\r\n", E::ExpectedBulk(b'*')),
        (b"*2\r\n$3\r\nGET\r\n:1\r\n", E::ExpectedBulk(b':')),
        (b"*1\r\n\r\n", E::ExpectedBulk(b'\r')),
        // A length that does not fit its bytes.
        // Quotes.
        (b"set \"a\r\n", E::UnbalancedQuotes),
        (b"set 'a'b\r\n", E::UnbalancedQuotes),
    ];
    for (bytes, expected) in table {
        for cut in [usize::MAX, 1, 2, 3] {
            let (outcome, _) = drive(bytes, &[cut], &Limits::DEFAULT);
            assert_eq!(outcome, Err(*expected), "{} cut by {cut}", bytes.escape_ascii());
        }
    }
}

#[test]
fn nested_arrays_end_at_the_second_byte_of_depth() {
    let bytes = b"*1\r\n".repeat(8_000);
    assert_eq!(whole(&bytes), Err(ProtocolError::ExpectedBulk(b'*')));
}

#[test]
fn lines_without_an_end() {
    let limits = Limits::DEFAULT;
    let most = limits.max_inline_bytes;
    let table: &[(&[u8], u8, ProtocolError)] = &[
        (b"", b'x', ProtocolError::InlineTooBig),
        (b"", 0, ProtocolError::InlineTooBig),
        (b"*", b'1', ProtocolError::CountLineTooBig),
        (b"*", 0, ProtocolError::CountLineTooBig),
        (b"*1\r\n$", b'1', ProtocolError::LengthLineTooBig),
    ];
    for &(prefix, filler, expected) in table {
        let line_start = prefix.len().saturating_sub(1);
        let mut bytes = prefix.to_vec();
        bytes.resize(line_start + most, filler);
        for cut in [usize::MAX, 4096, 777] {
            assert!(drive(&bytes, &[cut], &limits).0.is_ok(), "exactly the limit may go on");
        }
        bytes.push(filler);
        for end in [&b""[..], b"\r\n"] {
            let bytes = [&bytes, end].concat();
            for cut in [usize::MAX, 4096, 777] {
                assert_eq!(drive(&bytes, &[cut], &limits).0, Err(expected), "cut by {cut}");
            }
        }
    }
    // The longest inline command there is.
    let mut bytes = vec![b'x'; most];
    bytes.push(b'\n');
    assert_eq!(whole(&bytes).unwrap(), [Some(vec![vec![b'x'; most]])]);
}

#[test]
fn before_authentication() {
    let limits = Limits::UNAUTHENTICATED;
    let outcome = |bytes: &[u8]| drive(bytes, &[], &limits).0;
    let ten: Vec<Vec<u8>> = vec![b"x".to_vec(); 10];
    assert_eq!(outcome(&encoded(&ten)), Ok(vec![Some(ten.clone())]));
    let long = vec![b"AUTH".to_vec(), vec![b'p'; 16_384]];
    assert_eq!(outcome(&encoded(&long)), Ok(vec![Some(long.clone())]));

    assert_eq!(outcome(b"*11\r\n"), Err(ProtocolError::UnauthenticatedCount));
    assert_eq!(outcome(b"*1000000\r\n"), Err(ProtocolError::UnauthenticatedCount));
    assert_eq!(outcome(b"*2147483648\r\n"), Err(ProtocolError::InvalidCount));
    assert_eq!(outcome(b"*1\r\n$16385\r\n"), Err(ProtocolError::UnauthenticatedLength));
    assert_eq!(outcome(b"*1\r\n$536870913\r\n"), Err(ProtocolError::InvalidLength));
    assert_eq!(outcome(b"*1\r\n$-1\r\n"), Err(ProtocolError::InvalidLength));
}

#[test]
fn limits_hold_for_short_headers_too() {
    let limits = Limits { max_bulk_bytes: 3, max_args: 2, ..Limits::DEFAULT };
    assert_eq!(drive(b"*3\r\n", &[], &limits).0, Err(ProtocolError::InvalidCount));
    assert_eq!(drive(b"*1\r\n$4\r\nPING\r\n", &[], &limits).0, Err(ProtocolError::InvalidLength));
    let eleven = b"*1\r\n$11\r\nhello world\r\n";
    assert_eq!(drive(eleven, &[], &limits).0, Err(ProtocolError::InvalidLength));
}

#[test]
fn positions_do_not_wrap() {
    let limits = Limits { max_bulk_bytes: usize::MAX, ..Limits::DEFAULT };
    let too_big = |length: u64| {
        let bytes = format!("*1\r\n${length}\r\n");
        drive(bytes.as_bytes(), &[], &limits).0
    };
    assert_eq!(too_big(u64::from(u32::MAX)), Err(ProtocolError::RequestTooBig));
    assert_eq!(too_big(i64::MAX as u64), Err(ProtocolError::RequestTooBig));
    // "*1\r\n$4294967276\r\n" has 17 bytes: the last length whose CR LF ends at an offset.
    assert_eq!(too_big(u64::from(u32::MAX) - 19), Ok(vec![]));
    assert_eq!(too_big(u64::from(u32::MAX) - 18), Err(ProtocolError::RequestTooBig));
}

#[test]
fn declared_sizes_allocate_nothing() {
    let mut parser = Parser::new();
    let limits = Limits::DEFAULT;
    assert_eq!(parser.parse(b"*1048576\r\n$536870912\r\n", &limits), Ok(Parsed::Incomplete));
    assert_eq!(parser.memory_bytes(), 0);
    assert_eq!(parser.missing(), Some(536_870_914));
}

#[test]
fn single_bytes_behind_a_large_partial_command_are_cheap() {
    let mut parser = Parser::new();
    let limits = Limits::DEFAULT;
    let mut bytes = b"*1000000\r\n".to_vec();
    bytes.extend_from_slice(&b"$4\r\nabcd\r\n".repeat(200_000));
    assert_eq!(parser.parse(&bytes, &limits), Ok(Parsed::Incomplete));
    // Whatever lies before `position` is never looked at again: overwriting it changes nothing.
    let understood = parser.position;
    assert_eq!((understood, parser.spans.len()), (bytes.len(), 200_000));
    bytes[1..].fill(b'?');
    let mut looked_at = 0;
    for byte in b"$2\r\nxy\r\n".repeat(100) {
        bytes.push(byte);
        let from = parser.position;
        assert_eq!(parser.parse(&bytes, &limits), Ok(Parsed::Incomplete));
        looked_at += bytes.len() - from;
        assert!(parser.position >= from);
    }
    assert_eq!(parser.spans.len(), 200_100);
    assert!(looked_at <= 800 * 8, "at most one argument is in sight of each byte: {looked_at}");
}

#[test]
fn single_bytes_of_a_long_line_are_searched_once() {
    let mut parser = Parser::new();
    let mut bytes = vec![];
    for byte in [b"set k "[..].to_vec(), vec![b'v'; 50_000]].concat() {
        // What was searched before may not matter: a newline there would end the line.
        bytes.fill(b'\n');
        bytes.push(byte);
        let from = parser.searched;
        if bytes[0] == b'\n' {
            bytes[0] = b's';
        }
        assert_eq!(parser.parse(&bytes, &Limits::DEFAULT), Ok(Parsed::Incomplete));
        assert_eq!((from, parser.searched), (bytes.len() - 1, bytes.len()));
    }
}

#[test]
fn progress_inside_a_command() {
    let mut parser = Parser::new();
    let mut progress = |input: &[u8]| {
        let parsed = parser.parse(input, &Limits::DEFAULT);
        (parsed == Ok(Parsed::Incomplete), parser.progress())
    };
    assert_eq!(progress(b"*3"), (true, (0, 0)));
    assert_eq!(progress(b"*3\r\n$3\r\nSE"), (true, (8, 0)));
    assert_eq!(progress(b"*3\r\n$3\r\nSET\r\n$10\r\n"), (true, (18, 3)));
    assert_eq!(progress(b"*3\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$"), (true, (30, 13)));
    assert_eq!(progress(b"*3\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$1\r\nv\r\n"), (false, (0, 0)));
}

#[test]
fn missing_bytes_are_known_inside_an_argument() {
    let mut parser = Parser::new();
    let mut missing = |input: &[u8]| {
        assert_eq!(parser.parse(input, &Limits::DEFAULT), Ok(Parsed::Incomplete));
        parser.missing()
    };
    assert_eq!(missing(b"*2\r\n$10"), None);
    assert_eq!(missing(b"*2\r\n$10\r\n"), Some(12));
    assert_eq!(missing(b"*2\r\n$10\r\n0123456789\r"), Some(1));
    assert_eq!(missing(b"*2\r\n$10\r\n0123456789\r\n"), None);
    assert_eq!(missing(b"*2\r\n$10\r\n0123456789\r\n$1\r\nx"), Some(2));
}

#[test]
fn memory_is_reused_and_given_back() {
    let mut parser = Parser::new();
    let limits = Limits::DEFAULT;
    let large = encoded(&vec![b"x".to_vec(); 5_000]);
    assert!(matches!(parser.parse(&large, &limits), Ok(Parsed::Command { .. })));
    let held = parser.memory_bytes();
    assert!(held >= 40_000);
    assert!(matches!(parser.parse(&large, &limits), Ok(Parsed::Command { .. })));
    assert_eq!(parser.memory_bytes(), held);

    // Inside a command nothing may be lost.
    assert_eq!(parser.parse(&large[..large.len() - 1], &limits), Ok(Parsed::Incomplete));
    parser.shrink();
    assert!(matches!(parser.parse(&large, &limits), Ok(Parsed::Command { .. })));
    assert_eq!(parser.args(&large).len(), 5_000);

    parser.shrink();
    assert_eq!(parser.memory_bytes(), 0);
    let line = [vec![b'x'; 5_000], b"\n".to_vec()].concat();
    assert!(matches!(parser.parse(&line, &limits), Ok(Parsed::Command { .. })));
    parser.shrink();
    assert!(parser.memory_bytes() <= KEPT_SPANS * size_of::<Span>());
    assert!(matches!(parser.parse(b"PING\r\n", &limits), Ok(Parsed::Command { .. })));
    assert_eq!(parser.args(b"PING\r\n").at(0), b"PING");
}

#[test]
fn a_parser_starts_anew_after_an_error() {
    let mut parser = Parser::new();
    let limits = Limits::DEFAULT;
    for broken in [&b"*2\r\n$3\r\nGET\r\n$-1\r\n"[..], b"*2\r\n$1\r\nx\r\nx", b"\"x\r\n", b"*x\r\n"]
    {
        assert!(parser.parse(broken, &limits).is_err());
        let input = b"*1\r\n$4\r\nPING\r\n";
        assert_eq!(parser.parse(input, &limits), Ok(Parsed::Command { consumed: 14 }));
        assert_eq!(parser.args(input).len(), 1);
    }
}

#[test]
fn inline_and_array_commands_alternate() {
    let commands = whole(b"a \"b c\"\r\n*1\r\n$1\r\nd\r\ne\r\n\r\n*1\r\n$1\r\nf\r\n").unwrap();
    let expected =
        [command(&["a", "b c"]), command(&["d"]), command(&["e"]), None, command(&["f"])];
    assert_eq!(commands, expected);
}

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::collection::vec(prop::sample::select(b"*$\r\n0123 \"'".to_vec()), 0..140),
    ]
}

/// Bytes that come close to requests often enough to reach every state.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(argument(), 1..5).prop_map(|args| encoded(&args)),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"*0\r\n".to_vec()),
        1 => Just(b"set k \"v\\n\"\r\n".to_vec()),
        1 => prop::collection::vec(prop::sample::select(b"*$\r\n-0123 x\"'".to_vec()), 0..8),
    ];
    (prop::collection::vec(piece, 1..6), any::<prop::sample::Index>(), any::<u8>(), 0..4_u8)
        .prop_map(|(pieces, at, byte, change)| {
            let mut bytes = pieces.concat();
            if change == 0 && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
}

proptest! {
    #[test]
    fn what_was_encoded_is_parsed(
        commands in prop::collection::vec(prop::collection::vec(argument(), 1..6), 0..6),
    ) {
        let bytes: Vec<u8> = commands.iter().flat_map(|args| encoded(args)).collect();
        let expected: Vec<_> = commands.into_iter().map(Some).collect();
        prop_assert_eq!(drive(&bytes, &[], &Limits::DEFAULT), (Ok(expected), 0));
    }

    #[test]
    fn cuts_change_nothing(
        bytes in nearly_requests(),
        cuts in prop::collection::vec(1..20_usize, 1..40),
        small in any::<bool>(),
    ) {
        let limits = if small {
            Limits { max_bulk_bytes: 9, max_args: 3, max_inline_bytes: 10, unauthenticated: true }
        } else {
            Limits::DEFAULT
        };
        let at_once = drive(&bytes, &[], &limits);
        prop_assert_eq!(&drive(&bytes, &cuts, &limits), &at_once);
        prop_assert_eq!(&drive(&bytes, &[1], &limits), &at_once);
        for first in 1..bytes.len() {
            prop_assert_eq!(&drive(&bytes, &[first, usize::MAX], &limits), &at_once);
        }
    }
}
