//! A command's arguments, as its handler reads them.
//!
//! [`Args`] is a view: positions into the connection's read buffer, or plain slices for callers in
//! the same process. [`ArgReader`] walks over it and keeps the first error it meets, so that a
//! handler reads all its options in a row and asks once, at the end, whether they were valid.
//!
//! Reading outside the arguments never panics; it gives an empty argument.

use std::ops::RangeInclusive;

use crate::error::CommandError;
use crate::number::{parse_f64, parse_i64};
use crate::parser::Span;

/// The arguments of one command, its name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Spans { buffer: &'a [u8], spans: &'a [Span] },
    Slices(&'a [&'a [u8]]),
}

impl<'a> Args<'a> {
    /// A view over slices, for callers that have no read buffer.
    #[inline]
    #[must_use]
    pub fn from_slices(slices: &'a [&'a [u8]]) -> Self {
        Args(Source::Slices(slices))
    }

    #[inline]
    pub(crate) fn from_spans(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Args(Source::Spans { buffer, spans })
    }

    /// How many arguments there are, the name included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            Source::Spans { spans, .. } => spans.len(),
            Source::Slices(slices) => slices.len(),
        }
    }

    /// Whether there is not even a name.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The argument at `index`, when there is one.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        match self.0 {
            Source::Spans { buffer, spans } => spans.get(index).map(|span| span.of(buffer)),
            Source::Slices(slices) => slices.get(index).copied(),
        }
    }

    /// The argument at a position that the arity check has guaranteed; empty when absent.
    #[inline]
    #[must_use]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// All arguments in order.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> Iter<'a> {
        Iter { args: *self, next: 0, end: self.len() }
    }

    /// The arguments from `from` on, as a view of their own.
    #[inline]
    #[must_use]
    pub fn skip(self, from: usize) -> Self {
        let from = from.min(self.len());
        Args(match self.0 {
            Source::Spans { buffer, spans } => Source::Spans { buffer, spans: &spans[from..] },
            Source::Slices(slices) => Source::Slices(&slices[from..]),
        })
    }

    /// A cursor that begins at position `from`.
    #[inline]
    pub fn reader(self, from: usize) -> ArgReader<'a> {
        ArgReader { args: self, position: from.min(self.len()), error: None }
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterator over [`Args`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    args: Args<'a>,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        (self.next < self.end).then(|| {
            let item = self.args.at(self.next);
            self.next += 1;
            item
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<&'a [u8]> {
        self.next = self.next.saturating_add(n).min(self.end);
        self.next()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        (self.next < self.end).then(|| {
            self.end -= 1;
            self.args.at(self.end)
        })
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// A cursor over arguments that latches the first error.
///
/// After an error every read goes on with harmless values (empty, zero), so a handler needs no
/// branch until [`ArgReader::finish`]. It must not change anything before that.
///
/// ```
/// use larder_protocol::{Args, CommandError};
///
/// let slices: [&[u8]; 5] = [b"SET", b"k", b"v", b"PX", b"soon"];
/// let mut reader = Args::from_slices(&slices).reader(3);
/// let lifetime = if reader.keyword("px") { Some(reader.int()) } else { None };
/// assert_eq!(reader.finish_all(), Err(CommandError::NOT_INTEGER));
/// assert_eq!(lifetime, Some(0));
/// ```
#[derive(Clone, Debug)]
#[must_use = "an error is only seen through finish()"]
pub struct ArgReader<'a> {
    args: Args<'a>,
    position: usize,
    error: Option<CommandError>,
}

impl<'a> ArgReader<'a> {
    /// The next argument. When none is left: a syntax error, and an empty argument.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> &'a [u8] {
        match self.args.get(self.position) {
            Some(arg) => {
                self.position += 1;
                arg
            }
            None => {
                self.fail(CommandError::SYNTAX);
                b""
            }
        }
    }

    /// Whether an argument is left and no error was met; the condition of a loop over options.
    #[inline]
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.error.is_none() && self.position < self.args.len()
    }

    /// How many arguments are left.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.args.len() - self.position
    }

    /// The next argument, left where it is.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.args.get(self.position)
    }

    /// Position of the next argument, counted as in [`Args::get`].
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Consumes the next argument if it is `word`, in any case.
    #[inline]
    pub fn keyword(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.position += usize::from(found);
        found
    }

    /// The next argument as an integer.
    #[inline]
    pub fn int(&mut self) -> i64 {
        self.int_or(CommandError::NOT_INTEGER)
    }

    /// As [`ArgReader::int`], with an error of the command's own.
    #[inline]
    pub fn int_or(&mut self, error: CommandError) -> i64 {
        self.read(parse_i64, error)
    }

    /// The next argument as an integer within `range`; `error` when it lies outside.
    #[inline]
    pub fn int_in(&mut self, range: RangeInclusive<i64>, error: CommandError) -> i64 {
        let value = self.int();
        if self.error.is_none() && !range.contains(&value) {
            self.fail(error);
        }
        if self.error.is_none() { value } else { 0 }
    }

    /// As [`ArgReader::int_in`]; `error` also when it is no integer.
    #[inline]
    pub fn int_in_or(&mut self, range: RangeInclusive<i64>, error: CommandError) -> i64 {
        let value = self.int_or(error.clone());
        if self.error.is_none() && !range.contains(&value) {
            self.fail(error);
        }
        if self.error.is_none() { value } else { 0 }
    }

    /// The next argument as a floating point number; infinities are, NaN is not.
    #[inline]
    pub fn double(&mut self) -> f64 {
        self.double_or(CommandError::NOT_FLOAT)
    }

    /// As [`ArgReader::double`], with an error of the command's own.
    #[inline]
    pub fn double_or(&mut self, error: CommandError) -> f64 {
        self.read(parse_f64, error)
    }

    /// Latches `error`, unless there is one already.
    #[cold]
    pub fn fail(&mut self, error: CommandError) {
        self.error.get_or_insert(error);
    }

    /// Whether everything read so far was valid.
    ///
    /// # Errors
    ///
    /// The first error met. Arguments that were not read are none.
    #[inline]
    pub fn finish(self) -> Result<(), CommandError> {
        self.error.map_or(Ok(()), Err)
    }

    /// As [`ArgReader::finish`], for a handler that should have read everything.
    ///
    /// # Errors
    ///
    /// The first error met; a syntax error when arguments are left.
    #[inline]
    pub fn finish_all(mut self) -> Result<(), CommandError> {
        if self.position < self.args.len() {
            self.fail(CommandError::SYNTAX);
        }
        self.finish()
    }

    #[inline]
    fn read<T: Default>(&mut self, parse: fn(&[u8]) -> Option<T>, error: CommandError) -> T {
        // A missing argument is a syntax error, not an invalid number.
        if self.position == self.args.len() {
            self.fail(CommandError::SYNTAX);
            return T::default();
        }
        parse(self.next()).unwrap_or_else(|| {
            self.fail(error);
            T::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: [&[u8]; 6] = [b"CMD", b"Nx", b"12", b"1.5", b"007", b"x"];

    #[test]
    fn reads_in_order() {
        let mut reader = Args::from_slices(&COMMAND).reader(1);
        assert!(!reader.keyword("xx"));
        assert!(reader.keyword("nx"));
        assert_eq!(reader.int_in(0..=12, CommandError::OUT_OF_RANGE), 12);
        assert_eq!(reader.double(), 1.5);
        assert_eq!((reader.position(), reader.remaining()), (4, 2));
        assert_eq!(reader.peek(), Some(&b"007"[..]));
        assert!(reader.has_next());
        assert_eq!(reader.clone().finish(), Ok(()));
        assert_eq!(reader.clone().finish_all(), Err(CommandError::SYNTAX));
        assert_eq!((reader.next(), reader.next()), (&b"007"[..], &b"x"[..]));
        assert_eq!(reader.finish_all(), Ok(()));
    }

    #[test]
    fn the_first_error_stays() {
        let mut reader = Args::from_slices(&COMMAND).reader(4);
        assert_eq!(reader.int(), 0);
        assert!(!reader.has_next());
        assert_eq!(reader.double(), 0.0);
        assert_eq!(reader.next(), b"");
        reader.fail(CommandError::OOM);
        assert_eq!(reader.finish_all(), Err(CommandError::NOT_INTEGER));
    }

    #[test]
    fn a_missing_argument_is_a_syntax_error() {
        type Read = fn(&mut ArgReader<'_>);
        let reads: [Read; 4] = [
            |r| assert_eq!(r.next(), b""),
            |r| assert_eq!(r.int(), 0),
            |r| assert_eq!(r.double(), 0.0),
            |r| assert_eq!(r.int_in(5..=9, CommandError::OOM), 0),
        ];
        for read in reads {
            let mut reader = Args::from_slices(&COMMAND).reader(usize::MAX);
            assert!(!reader.keyword("x"));
            read(&mut reader);
            assert_eq!(reader.finish(), Err(CommandError::SYNTAX));
        }
    }

    #[test]
    fn out_of_range() {
        let mut reader = Args::from_slices(&COMMAND).reader(2);
        assert_eq!(reader.int_in(0..=11, CommandError::OUT_OF_RANGE), 0);
        assert_eq!(reader.finish(), Err(CommandError::OUT_OF_RANGE));
    }

    #[test]
    fn views() {
        let args = Args::from_slices(&COMMAND);
        assert_eq!((args.len(), args.is_empty()), (6, false));
        assert_eq!((args.get(5), args.get(6), args.at(6)), (Some(&b"x"[..]), None, &b""[..]));
        assert_eq!(args.iter().len(), 6);
        assert!(args.iter().eq(COMMAND));
        assert!(args.into_iter().rev().eq(COMMAND.into_iter().rev()));
        assert_eq!(args.iter().nth(4), Some(&b"007"[..]));
        assert_eq!(args.iter().nth(usize::MAX), None);
        assert!(args.skip(2).iter().eq(COMMAND.into_iter().skip(2)));
        assert!(args.skip(7).is_empty());
    }
}
