//! The request parser.
//!
//! A request is a flat array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or one plain line,
//! told apart by the first byte. The parser copies nothing: it notes where each argument begins and
//! ends in the caller's buffer. When bytes are missing it remembers where it stopped, so the next
//! call goes on there.
//!
//! What it keeps to, whatever arrives:
//!
//! * every byte is looked at once over all calls, so that a peer sending single bytes behind a
//!   large partial command costs no more than one that sends it at once;
//! * a declared length is checked against the limits and then only compared, never allocated;
//! * there is no recursion: an array inside an array is an error;
//! * how the bytes are cut into calls changes neither commands nor errors.
//!
//! It does not know what a command is, and it never gives up a connection by itself: an error means
//! that the position in the stream is lost.

use crate::args::Args;
use crate::error::ProtocolError;
use crate::inline;
use crate::limits::Limits;
use crate::number::parse_i64;

/// Where an argument lies: byte offsets, the end excluded. 32 bits each keep a thousand positions
/// in 8 KB; [`ProtocolError::RequestTooBig`] guards the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes of `buffer` at this position, none when the buffer is shorter.
    #[inline]
    pub(crate) fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Both ends have been checked to fit.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= MAX_OFFSET);
        Span { start: start as u32, end: end as u32 }
    }
}

/// Largest offset a [`Span`] holds.
pub(crate) const MAX_OFFSET: usize = u32::MAX as usize;

/// Largest number of arguments Redis can express; beyond it a count is invalid for everyone.
const MAX_COUNT: i64 = i32::MAX as i64;

/// Positions a parser keeps between commands. More come back with [`Parser::shrink`]: an ordinary
/// command has fewer than 32 arguments, and 256 bytes for each connection are affordable.
const KEPT_SPANS: usize = 32;

/// Bytes of unquoted inline arguments a parser keeps between commands: inline commands are typed by
/// people or sent by health checks.
const KEPT_INLINE_BYTES: usize = 256;

/// What [`Parser::parse`] found at the start of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not a whole command yet. Call again with the same bytes and more.
    Incomplete,
    /// A blank line or an array without elements: nothing to run, nothing to answer.
    Empty {
        /// Bytes to drop from the front of the input.
        consumed: usize,
    },
    /// A whole command; [`Parser::args`] reads its arguments.
    Command {
        /// Bytes to drop from the front of the input once the arguments are not needed any more.
        consumed: usize,
    },
}

/// The state of one connection's request stream.
///
/// Between commands every field but the reused memory is zero.
#[derive(Debug, Default)]
pub struct Parser {
    spans: Vec<Span>,
    /// Arguments of an inline command after quotes and escapes are resolved; `spans` point into it
    /// when `inline` is set.
    unquoted: Vec<u8>,
    inline: bool,
    /// First byte that is not understood yet.
    position: usize,
    /// First byte not yet searched for the end of the line that begins at `position`.
    searched: usize,
    /// How many arguments the command has; 0 while that is unknown.
    expected: usize,
    /// Length of the argument that begins at `position`, once its header is read.
    bulk: Option<usize>,
    /// What [`Parser::missing`] reports.
    missing: Option<usize>,
    /// How many arguments [`Parser::progress`] has added up, and their bytes.
    summed: (usize, usize),
}

impl Parser {
    /// A parser at the start of a stream. Allocates nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one command from the front of `input`, which starts at the first byte not consumed
    /// yet. After [`Parsed::Incomplete`] the next call passes the same bytes and more.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] when the bytes are no request or exceed `limits`. The stream cannot be
    /// read any further; the parser itself is as good as new.
    #[inline]
    pub fn parse(&mut self, input: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let Some(&first) = input.first() else { return Ok(Parsed::Incomplete) };
        self.missing = None;
        let parsed =
            if first == b'*' { self.array(input, limits) } else { self.line(input, limits) };
        if parsed != Ok(Parsed::Incomplete) {
            self.position = 0;
            self.searched = 0;
            self.expected = 0;
            self.bulk = None;
            self.summed = (0, 0);
        }
        parsed
    }

    /// The arguments of the command that [`Parser::parse`] has just completed; `input` is the slice
    /// given to that call. Without such a command there are none that mean anything.
    #[inline]
    #[must_use]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args::from_spans(if self.inline { &self.unquoted } else { input }, &self.spans)
    }

    /// How many bytes at least are still missing for the argument that is being read, once its
    /// length is known. A hint for the size of the next read; it is a peer's claim, bounded by the
    /// limits, and no reason to allocate at once.
    #[must_use]
    pub fn missing(&self) -> Option<usize> {
        self.missing
    }

    /// How far an incomplete command is understood: bytes from its start, and how many of them are
    /// arguments. Each argument is added up once, however often somebody asks.
    #[must_use]
    pub fn progress(&mut self) -> (usize, usize) {
        if self.expected == 0 {
            return (0, 0);
        }
        let (count, bytes) = self.summed;
        let fresh = self.spans.get(count..).unwrap_or_default();
        let fresh = fresh.iter().map(|span| (span.end - span.start) as usize).sum::<usize>();
        self.summed = (self.spans.len(), bytes + fresh);
        (self.position, bytes + fresh)
    }

    /// Memory held beyond the parser itself.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.unquoted.capacity()
    }

    /// Gives back what an unusually large command left behind. Without effect inside a command.
    pub fn shrink(&mut self) {
        if self.position == 0 && self.expected == 0 {
            if self.spans.capacity() > KEPT_SPANS {
                self.spans = Vec::new();
            }
            if self.unquoted.capacity() > KEPT_INLINE_BYTES {
                self.unquoted = Vec::new();
            }
            self.inline = false;
        }
    }

    /// An array of bulk strings.
    #[inline]
    fn array(&mut self, input: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        if self.expected == 0 {
            self.inline = false;
            self.spans.clear();
            let Some((count, after)) = self.count(input, limits)? else {
                return Ok(Parsed::Incomplete);
            };
            if count == 0 {
                return Ok(Parsed::Empty { consumed: after });
            }
            self.expected = count;
            self.position = after;
            self.searched = after;
        }
        let mut position = self.position;
        while self.spans.len() < self.expected {
            let length = match self.bulk.take() {
                Some(length) => length,
                None => {
                    self.position = position;
                    let Some((length, after)) = self.bulk_length(input, limits)? else {
                        return Ok(Parsed::Incomplete);
                    };
                    position = after;
                    length
                }
            };
            // Neither sum overflows: `length` was limited so that its end is an offset.
            let end = position + length;
            // As in Redis, the two bytes behind an argument are skipped without a look.
            if input.len() < end + 2 {
                self.position = position;
                self.searched = position;
                self.bulk = Some(length);
                self.missing = Some(end + 2 - input.len());
                return Ok(Parsed::Incomplete);
            }
            self.spans.push(Span::new(position, end));
            position = end + 2;
        }
        Ok(Parsed::Command { consumed: position })
    }

    /// The header `*<count>\r\n` at the start: how many arguments, and where the first begins.
    #[inline]
    fn count(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        if let Some(&[_, digit @ b'1'..=b'9', b'\r', b'\n']) = input.first_chunk::<4>()
            && usize::from(digit - b'0') <= limits.max_args
        {
            return Ok(Some((usize::from(digit - b'0'), 4)));
        }
        let Some((digits, after)) = self.header(
            input,
            limits,
            ProtocolError::CountLineTooBig,
            ProtocolError::InvalidCount,
        )?
        else {
            return Ok(None);
        };
        match parse_i64(digits) {
            Some(count) if count > MAX_COUNT => Err(ProtocolError::InvalidCount),
            Some(count) if count <= 0 => Ok(Some((0, after))),
            Some(count) if count as usize <= limits.max_args => Ok(Some((count as usize, after))),
            Some(_) if limits.unauthenticated => Err(ProtocolError::UnauthenticatedCount),
            _ => Err(ProtocolError::InvalidCount),
        }
    }

    /// The header `$<length>\r\n` at `self.position`: the length, and where the bytes begin.
    #[inline]
    fn bulk_length(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        // Nearly every argument is shorter than 100 bytes, and a whole argument of any length has
        // at least the five bytes looked at here.
        let position = self.position;
        let (length, after) = match input.get(position..).and_then(|rest| rest.first_chunk::<5>()) {
            Some(&[b'$', ones @ b'0'..=b'9', b'\r', b'\n', _]) => {
                (usize::from(ones - b'0'), position + 4)
            }
            Some(&[b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n']) => {
                (usize::from(tens - b'0') * 10 + usize::from(ones - b'0'), position + 5)
            }
            _ => return self.long_bulk_length(input, limits),
        };
        if length > limits.max_bulk_bytes || after > MAX_OFFSET - 128 {
            return self.long_bulk_length(input, limits);
        }
        Ok(Some((length, after)))
    }

    /// As [`Parser::bulk_length`], for every header there is.
    #[cold]
    #[inline(never)]
    fn long_bulk_length(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        match input.get(self.position) {
            None | Some(b'$') => {}
            Some(&other) => return Err(ProtocolError::ExpectedBulk(other)),
        }
        let Some((digits, after)) = self.header(
            input,
            limits,
            ProtocolError::LengthLineTooBig,
            ProtocolError::InvalidLength,
        )?
        else {
            return Ok(None);
        };
        let length = match parse_i64(digits).map(usize::try_from) {
            Some(Ok(length)) => length,
            _ => return Err(ProtocolError::InvalidLength),
        };
        if length > limits.max_bulk_bytes {
            let plainly_invalid = length > Limits::DEFAULT.max_bulk_bytes;
            return Err(if limits.unauthenticated && !plainly_invalid {
                ProtocolError::UnauthenticatedLength
            } else {
                ProtocolError::InvalidLength
            });
        }
        if after.saturating_add(length).saturating_add(2) > MAX_OFFSET {
            return Err(ProtocolError::RequestTooBig);
        }
        Ok(Some((length, after)))
    }

    /// What stands between the marker at `self.position` and its CR LF, and the offset after that;
    /// nothing while the line is incomplete.
    fn header<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        too_long: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<(&'i [u8], usize)>, ProtocolError> {
        let Some(end) = self.find(b'\r', input, limits.max_inline_bytes, too_long)? else {
            return Ok(None);
        };
        match input.get(end + 1) {
            Some(b'\n') => Ok(Some((&input[self.position + 1..end], end + 2))),
            Some(_) => Err(invalid),
            None => Ok(None),
        }
    }

    /// A command on a line of its own.
    #[cold]
    #[inline(never)]
    fn line(&mut self, input: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let too_long = ProtocolError::InlineTooBig;
        let Some(end) = self.find(b'\n', input, limits.max_inline_bytes, too_long)? else {
            return Ok(Parsed::Incomplete);
        };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.inline = true;
        self.spans.clear();
        self.unquoted.clear();
        inline::split(line, &mut self.unquoted, |start, end| {
            self.spans.push(Span::new(start, end));
        })
        .map_err(|inline::Unbalanced| ProtocolError::UnbalancedQuotes)?;
        let consumed = end + 1;
        Ok(if self.spans.is_empty() {
            Parsed::Empty { consumed }
        } else {
            Parsed::Command { consumed }
        })
    }

    /// Offset of the first `wanted` in the line that begins at `self.position`, searching only what
    /// no earlier call has searched. A line longer than `limit` fails with `too_long`, whether or
    /// not its end is in sight, so that the outcome does not depend on how the bytes were cut.
    fn find(
        &mut self,
        wanted: u8,
        input: &[u8],
        limit: usize,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let last = self.position.saturating_add(limit);
        let end = input.len().min(last.saturating_add(1));
        let from = self.searched.max(self.position);
        let fresh = input.get(from..end).unwrap_or_default();
        if let Some(offset) = fresh.iter().position(|&byte| byte == wanted) {
            self.searched = from + offset;
            return Ok(Some(from + offset));
        }
        self.searched = end;
        if input.len() > last { Err(too_long) } else { Ok(None) }
    }
}

#[cfg(test)]
#[path = "parser/tests.rs"]
mod tests;
