//! Counts replies in a byte stream, RESP2 and RESP3, wherever reads happen to cut it.
//!
//! The load generator shares two cores with the server it measures, so a reply is looked at
//! only as far as needed to find its end and to tell a value from a null from an error.
//! Nothing is decoded, nothing is kept but the first error's text.

use crate::{Error, Result};

/// Longest header line (or simple string) held while its end has not arrived. Error texts of
/// real servers stay below a few hundred bytes.
const LINE_LIMIT: usize = 64 * 1024;

/// What one whole reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Anything that is neither null nor an error.
    Value,
    /// A null, in whichever of its spellings.
    Null,
    /// An error reply.
    Error,
}

/// Incremental reply counter of one connection.
#[derive(Debug, Default)]
pub struct Scanner {
    /// A header line whose end is still to come.
    partial: Vec<u8>,
    /// Bytes of a bulk string (and its line end) still to skip.
    skip: usize,
    /// Elements outstanding before the current top-level reply is whole; 0 between replies.
    outstanding: u64,
    /// Outcome of the current top-level reply, fixed by its first header.
    outcome: Option<Outcome>,
    first_error: Option<String>,
}

impl Scanner {
    /// A scanner at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Text of the first error reply seen, if any.
    pub fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    /// Looks at the next bytes and calls `on_reply` once for each reply that ends in them.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the bytes are no RESP; the connection is then of no use.
    pub fn feed(&mut self, mut input: &[u8], mut on_reply: impl FnMut(Outcome)) -> Result<()> {
        while !input.is_empty() {
            if self.skip > 0 {
                let step = self.skip.min(input.len());
                self.skip -= step;
                input = &input[step..];
                if self.skip == 0 {
                    self.element_ended(&mut on_reply);
                }
                continue;
            }
            let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
                if self.partial.len() + input.len() > LINE_LIMIT {
                    return Err(Error::Protocol("a line without an end".into()));
                }
                self.partial.extend_from_slice(input);
                return Ok(());
            };
            let (line, rest) = input.split_at(end + 1);
            input = rest;
            if self.partial.is_empty() {
                self.header(line, &mut on_reply)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.header(&whole, &mut on_reply)?;
            }
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8], on_reply: &mut impl FnMut(Outcome)) -> Result<()> {
        let Some(body) = line.strip_suffix(b"\r\n").filter(|body| !body.is_empty()) else {
            return Err(Error::Protocol(String::from_utf8_lossy(line).into_owned()));
        };
        let (kind, rest) = (body[0], &body[1..]);
        if self.outstanding == 0 {
            self.outstanding = 1;
        }
        let outcome = match (kind, rest) {
            (b'-', _) => {
                self.note_error(rest);
                Outcome::Error
            }
            (b'_', _) | (b'$' | b'*', b"-1") => Outcome::Null,
            (b'+' | b':' | b',' | b'#' | b'(', _) => Outcome::Value,
            (b'$' | b'=', _) => {
                self.skip = length(rest)? + 2;
                Outcome::Value
            }
            (b'!', _) => {
                self.note_error(b"bulk error");
                self.skip = length(rest)? + 2;
                Outcome::Error
            }
            (b'*' | b'~', _) => {
                self.outstanding += length(rest)? as u64;
                Outcome::Value
            }
            (b'%', _) => {
                self.outstanding += 2 * length(rest)? as u64;
                Outcome::Value
            }
            // Pushes and attributes are never asked for here, so they count as garbage.
            _ => return Err(Error::Protocol(String::from_utf8_lossy(line).into_owned())),
        };
        self.outcome.get_or_insert(outcome);
        if self.skip == 0 {
            self.element_ended(on_reply);
        }
        Ok(())
    }

    /// One element is whole; when it was the last outstanding one, so is the reply.
    fn element_ended(&mut self, on_reply: &mut impl FnMut(Outcome)) {
        self.outstanding -= 1;
        if self.outstanding == 0 {
            on_reply(self.outcome.take().unwrap_or(Outcome::Value));
        }
    }

    fn note_error(&mut self, text: &[u8]) {
        self.first_error.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
    }
}

fn length(digits: &[u8]) -> Result<usize> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Protocol(format!("length {}", String::from_utf8_lossy(digits))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"+OK\r\n$3\r\na\r\n\r\n$-1\r\n_\r\n-ERR no\r\n*2\r\n:1\r\n%1\r\n$1\r\nk\r\n,2\r\n*0\r\n$0\r\n\r\n";
    const OUTCOMES: [Outcome; 8] = [
        Outcome::Value,
        Outcome::Value,
        Outcome::Null,
        Outcome::Null,
        Outcome::Error,
        Outcome::Value,
        Outcome::Value,
        Outcome::Value,
    ];

    #[test]
    fn replies_are_counted_wherever_reads_cut_the_stream() {
        for first in 0..STREAM.len() {
            for second in first..STREAM.len() {
                let mut scanner = Scanner::new();
                let mut seen = Vec::new();
                for part in [&STREAM[..first], &STREAM[first..second], &STREAM[second..]] {
                    scanner.feed(part, |outcome| seen.push(outcome)).unwrap();
                }
                assert_eq!(seen, OUTCOMES, "cut at {first} and {second}");
                assert_eq!(scanner.first_error(), Some("ERR no"));
            }
        }
    }

    #[test]
    fn garbage_is_refused() {
        assert!(Scanner::new().feed(b"hello\r\n", |_| {}).is_err());
        assert!(Scanner::new().feed(b"$x\r\n", |_| {}).is_err());
        assert!(Scanner::new().feed(b"\r\n", |_| {}).is_err());
    }
}
