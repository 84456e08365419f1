//! The request parser on arbitrary bytes: it never panics, and how the bytes are cut into reads
//! changes neither the commands nor the error.
//!
//! The first byte of the input chooses the limits, the second the size of the reads.

#![no_main]

use larder_protocol::{Limits, Parsed, Parser, ProtocolError};
use libfuzzer_sys::fuzz_target;

/// Commands (empty for requests without arguments) and the number of bytes left over.
type Outcome = (Result<Vec<Vec<Vec<u8>>>, ProtocolError>, usize);

fuzz_target!(|input: &[u8]| {
    let [limits, cut, bytes @ ..] = input else { return };
    let limits = match limits % 3 {
        0 => Limits::DEFAULT,
        1 => Limits::UNAUTHENTICATED,
        _ => Limits {
            max_bulk_bytes: 9,
            max_args: 3,
            max_inline_bytes: 10,
            unauthenticated: limits & 128 != 0,
        },
    };
    let whole = drive(bytes, usize::MAX, &limits);
    assert_eq!(drive(bytes, usize::from(*cut).max(1), &limits), whole);
    assert_eq!(drive(bytes, 1, &limits), whole);
});

fn drive(bytes: &[u8], read: usize, limits: &Limits) -> Outcome {
    let mut parser = Parser::new();
    let (mut start, mut end) = (0, 0);
    let mut commands = Vec::new();
    loop {
        match parser.parse(&bytes[start..end], limits) {
            Err(error) => return (Err(error), bytes.len() - start),
            Ok(Parsed::Incomplete) if end == bytes.len() => {
                return (Ok(commands), bytes.len() - start);
            }
            Ok(Parsed::Incomplete) => end = end.saturating_add(read).min(bytes.len()),
            Ok(Parsed::Empty { consumed }) => {
                commands.push(Vec::new());
                start += consumed;
            }
            Ok(Parsed::Command { consumed }) => {
                let args = parser.args(&bytes[start..end]);
                assert!(args.len() <= limits.max_args.max(limits.max_inline_bytes));
                commands.push(args.iter().map(<[u8]>::to_vec).collect());
                start += consumed;
            }
        }
        if start % 5 == 0 {
            parser.shrink();
        }
    }
}
