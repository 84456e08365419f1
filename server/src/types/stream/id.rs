//! Entry IDs: a time in milliseconds and a number among the entries of that time.

use larder_protocol::number::parse_i64;
use larder_protocol::reply::Digits;
use larder_protocol::{CommandError, Reply};
use std::fmt;

/// Longest text of an ID: two numbers of 20 digits and a dash.
const TEXT_BYTES: usize = 41;
/// Longest argument that is looked at, as in Redis.
const ARG_BYTES: usize = 127;

/// An ID; they are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds since the Unix epoch, unless the client says otherwise.
    pub ms: u64,
    /// The number among the entries of the same time.
    pub seq: u64,
}

/// An ID as text.
pub struct IdText {
    bytes: [u8; TEXT_BYTES],
    len: usize,
}

impl IdText {
    /// The text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl StreamId {
    /// The lowest ID, which no entry has.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The highest ID.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The next ID, if there is one.
    #[inline]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The ID before, if there is one.
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// The ID that an argument gives in full; without its second part that is `missing_seq`.
    ///
    /// # Errors
    /// The argument is no ID.
    #[inline]
    pub fn parse(arg: &[u8], missing_seq: u64) -> Result<Self, CommandError> {
        parse_parts(arg, missing_seq).ok_or(CommandError::INVALID_STREAM_ID)
    }

    /// As [`parse`](Self::parse), where `-` and `+` are the lowest and the highest ID.
    ///
    /// # Errors
    /// As there.
    pub fn parse_bound(arg: &[u8], missing_seq: u64) -> Result<Self, CommandError> {
        match arg {
            b"-" => Ok(Self::MIN),
            b"+" => Ok(Self::MAX),
            _ => Self::parse(arg, missing_seq),
        }
    }

    /// The first ID of an interval: as a bound, or excluded by `(`.
    ///
    /// # Errors
    /// The argument is no ID, or the interval begins after all IDs.
    pub fn parse_start(arg: &[u8]) -> Result<Self, CommandError> {
        match arg {
            [b'(', id @ ..] if !id.is_empty() => {
                Self::parse(id, 0)?.next().ok_or(CommandError::INVALID_INTERVAL_START)
            }
            _ => Self::parse_bound(arg, 0),
        }
    }

    /// The last ID of an interval: as a bound, or excluded by `(`.
    ///
    /// # Errors
    /// The argument is no ID, or the interval ends before all IDs.
    pub fn parse_end(arg: &[u8]) -> Result<Self, CommandError> {
        match arg {
            [b'(', id @ ..] if !id.is_empty() => {
                Self::parse(id, u64::MAX)?.previous().ok_or(CommandError::INVALID_INTERVAL_END)
            }
            _ => Self::parse_bound(arg, u64::MAX),
        }
    }

    /// Its text.
    #[inline]
    pub fn text(self) -> IdText {
        let (mut bytes, mut len) = ([0; TEXT_BYTES], 0);
        let mut buffer = itoa::Buffer::new();
        let mut push = |part: &[u8]| {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        };
        push(buffer.format(self.ms).as_bytes());
        push(b"-");
        push(buffer.format(self.seq).as_bytes());
        IdText { bytes, len }
    }

    /// The reply that gives it; any time of this era fits without an allocation.
    #[inline]
    pub fn reply(self) -> Reply<'static> {
        let text = self.text();
        match Digits::of_text(text.as_bytes()) {
            Some(digits) => Reply::Digits(digits),
            None => Reply::Owned(text.as_bytes().to_vec()),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.ms, self.seq)
    }
}

#[inline]
fn parse_parts(arg: &[u8], missing_seq: u64) -> Option<StreamId> {
    if arg.len() > ARG_BYTES {
        return None;
    }
    // Redis reads C strings.
    let arg = arg.split(|byte| *byte == 0).next().unwrap_or_default();
    match arg.iter().position(|byte| *byte == b'-') {
        Some(dash) => {
            Some(StreamId { ms: parse_part(&arg[..dash])?, seq: parse_part(&arg[dash + 1..])? })
        }
        None => Some(StreamId { ms: parse_part(arg)?, seq: missing_seq }),
    }
}

/// A part of an ID: a number as Redis reads it, with the liberties of C's `strtoull`.
pub(super) fn parse_part(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(|byte| is_blank(byte)).count()..];
    let (digits, is_negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}
