//! How a data set comes over the wire.

/// Bytes of the mark that ends a data set whose length is not known before.
const MARK_BYTES: usize = 40;

/// How the end of a data set is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// It has so many bytes.
    Length(u64),
    /// These bytes follow it.
    Mark([u8; MARK_BYTES]),
}

/// Reads the line before a data set, without its end; none for a sign of life.
///
/// # Errors
/// What the primary says instead.
pub fn parse_payload(line: &[u8]) -> Result<Option<Payload>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let refused = |reason: &str| format!("{reason}: {}", String::from_utf8_lossy(line));
    if line.starts_with(b"-") {
        return Err(refused("MASTER aborted replication with an error"));
    }
    let Some(rest) = line.strip_prefix(b"$") else {
        return Err(refused("bad protocol, a data set should begin with '$'"));
    };
    if let Some(mark) = rest.strip_prefix(b"EOF:") {
        let mark = <[u8; MARK_BYTES]>::try_from(mark);
        return mark.map(|mark| Some(Payload::Mark(mark))).map_err(|_| refused("wrong end mark"));
    }
    let length = std::str::from_utf8(rest).ok().and_then(|digits| digits.parse::<u64>().ok());
    length.map(|length| Some(Payload::Length(length))).ok_or_else(|| refused("wrong length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_nothing_else() {
        assert_eq!(parse_payload(b""), Ok(None));
        assert_eq!(parse_payload(b"$1234"), Ok(Some(Payload::Length(1234))));
        let line = format!("$EOF:{}", "x".repeat(40));
        assert_eq!(parse_payload(line.as_bytes()), Ok(Some(Payload::Mark([b'x'; 40]))));
        for line in ["-ERR no", "$-1", "$", "$EOF:short", "*1", "$99999999999999999999"] {
            assert!(parse_payload(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse_payload(format!("{line}x").as_bytes()).is_err());
    }
}
