//! Inline commands: a line of words, as typed into telnet.
//!
//! Words are separated by blanks. `"..."` knows the escapes `\n \r \t \b \a`, `\xHH` for any byte,
//! and a backslash before anything else means that byte; `'...'` knows only `\'`. A closing quote
//! ends its word and has to be followed by a blank or the end. The same rules serve configuration
//! files, which is why they live apart from the parser.

/// Quotes do not match, or a closing quote touches the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// Splits `line` (without its line end) into words. The words are appended to `words` one after the
/// other with quotes and escapes resolved, and `found` is told where each begins and ends there.
///
/// # Errors
///
/// [`Unbalanced`]; what was found until then means nothing.
pub fn split(
    line: &[u8],
    words: &mut Vec<u8>,
    mut found: impl FnMut(usize, usize),
) -> Result<(), Unbalanced> {
    let mut rest = line;
    loop {
        while let [blank, after @ ..] = rest
            && is_blank(*blank)
        {
            rest = after;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = words.len();
        rest = word(rest, words)?;
        found(start, words.len());
    }
}

/// Appends the word at the start of `rest` to `out` and returns what follows it.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        match rest {
            [] => return Ok(rest),
            // Vertical tab and form feed separate words, yet inside a word they belong to it.
            [b' ' | b'\n' | b'\r' | b'\t' | 0, after @ ..] => return Ok(after),
            [b'"', after @ ..] => return double_quoted(after, out),
            [b'\'', after @ ..] => return single_quoted(after, out),
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        (rest, _) = match rest {
            [] => return Err(Unbalanced),
            [b'"', after @ ..] => return after_quote(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (after, out.push(hex_value(*high) << 4 | hex_value(*low)))
            }
            [b'\\', escaped, after @ ..] => (after, out.push(unescape(*escaped))),
            [byte, after @ ..] => (after, out.push(*byte)),
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        (rest, _) = match rest {
            [] => return Err(Unbalanced),
            [b'\'', after @ ..] => return after_quote(after),
            [b'\\', b'\'', after @ ..] => (after, out.push(b'\'')),
            [byte, after @ ..] => (after, out.push(*byte)),
        };
    }
}

/// What follows a closing quote, which ends the word.
fn after_quote(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest {
        [] => Ok(rest),
        [next, ..] if is_blank(*next) => Ok(rest),
        _ => Err(Unbalanced),
    }
}

/// What separates words. A NUL can reach a line only inside hostile input; Redis's strings end
/// there, here it separates.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0)
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        split(line, &mut bytes, |start, end| ends.push((start, end)))?;
        Ok(ends.into_iter().map(|(start, end)| bytes[start..end].to_vec()).collect())
    }

    #[test]
    fn words_quotes_and_escapes() {
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t ", &[]),
            (b"PING", &[b"PING"]),
            (b"  set  k\tv ", &[b"set", b"k", b"v"]),
            (br#"set "a b" 'c d'"#, &[b"set", b"a b", b"c d"]),
            (br#""\n\r\t\b\a\q\\\"""#, &[b"\n\r\t\x08\x07q\\\""]),
            (br#""\x41\xfF\x4""#, &[b"A\xffx4"]),
            (br"'it\'s \n'", &[br"it's \n"]),
            (br#"a"b c" d"#, &[b"ab c", b"d"]),
            (br#""" '' x"#, &[b"", b"", b"x"]),
            (b"a\x0bb \x0cc", &[b"a\x0bb", b"c"]),
            (b"a\0b", &[b"a", b"b"]),
            (b"\xff\xfe", &[b"\xff\xfe"]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line).unwrap(), *expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn quotes_that_do_not_match() {
        for line in
            [&br#""a"#[..], b"'a", br#""a"b"#, b"'a'b", br#"a "b\""#, br"'\'", br#"""""#, b"\"\\"]
        {
            assert_eq!(words(line), Err(Unbalanced), "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(
            args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
        ) {
            let mut line = Vec::new();
            for arg in &args {
                line.push(b'"');
                for byte in arg {
                    line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
                }
                line.extend_from_slice(b"\" ");
            }
            prop_assert_eq!(&words(&line).unwrap(), &args);

            // Single quotes can express everything that has no quote and no backslash.
            let plain: Vec<Vec<u8>> = args
                .iter()
                .map(|a| a.iter().copied().filter(|b| !b"'\\".contains(b)).collect())
                .collect();
            let line: Vec<u8> =
                plain.iter().flat_map(|a| [b" '", a.as_slice(), b"'"].concat()).collect();
            prop_assert_eq!(words(&line).unwrap(), plain);
        }

        #[test]
        fn words_never_outgrow_the_line(line in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(found) = words(&line) {
                prop_assert!(found.iter().map(Vec::len).sum::<usize>() <= line.len());
            }
        }
    }
}
