//! Commands as people type them: words with the quoting of `redis-cli`, and their wire form.

/// Splits a line into words. Knows `"..."` with the escapes `\n \r \t \b \a \" \\ \xHH`, and `'...'`
/// with `\'`.
///
/// # Panics
/// On unbalanced quotes: the line is part of a test, so it is the test that is wrong.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut rest = line.bytes().peekable();
    let mut out = Vec::new();
    loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        let Some(&first) = rest.peek() else { return out };
        let mut word = Vec::new();
        if first == b'"' || first == b'\'' {
            rest.next();
            loop {
                let byte = rest.next().unwrap_or_else(|| panic!("unbalanced quotes: {line}"));
                match byte {
                    _ if byte == first => break,
                    b'\\' if first == b'"' => word.push(escape(&mut rest, line)),
                    b'\\' if rest.peek() == Some(&b'\'') => {
                        rest.next();
                        word.push(b'\'');
                    }
                    _ => word.push(byte),
                }
            }
        } else {
            while let Some(byte) = rest.next_if(|b| !b.is_ascii_whitespace()) {
                word.push(byte);
            }
        }
        out.push(word);
    }
}

fn escape(rest: &mut impl Iterator<Item = u8>, line: &str) -> u8 {
    let mut next = || rest.next().unwrap_or_else(|| panic!("escape cut short: {line}"));
    match next() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        b'x' => {
            let digits = [next(), next()];
            let text = std::str::from_utf8(&digits).unwrap_or("?");
            u8::from_str_radix(text, 16).unwrap_or_else(|_| panic!("bad \\x escape: {line}"))
        }
        other => other,
    }
}

/// The bytes as a quoted word that [`words`] reads back, one line whatever they contain.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// A command in wire form: an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{encode, quoted, words};

    #[test]
    fn words_understand_both_quotes() {
        assert_eq!(
            words(r#"SET "a b" 'c\'d' "\x00\n" """#),
            [&b"SET"[..], b"a b", b"c'd", b"\x00\n", b""]
        );
    }

    #[test]
    fn quoting_reads_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(words(&quoted(&all)), [all]);
    }

    #[test]
    fn encoding_counts_bytes() {
        assert_eq!(encode(&["GET", "é"]), "*2\r\n$3\r\nGET\r\n$2\r\né\r\n".as_bytes());
    }
}
