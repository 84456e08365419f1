//! Reads the format, from bytes that are there or from a source as they come.
//!
//! A reader looks through a window: all of a payload, or the part of a source that was read and is
//! not consumed. The window grows only after the bytes came that fill it, so that a length which
//! claims too much ends with the data, not with the memory. Most strings are shown where they lie.

use super::crc64::crc64;
use super::error::{Error, Reason};
use super::lzf;
use super::{Dialect, FOOTER_BYTES};
use std::borrow::Cow;
use std::fmt;
use std::io::{ErrorKind, Read};

/// Bytes of a window on a source.
const WINDOW_BYTES: usize = 128 * 1024;
/// Strings longer than this get memory of their own.
const LONG_BYTES: usize = 32 * 1024;

/// A walk over bytes of the format.
pub struct Reader<'s> {
    source: Source<'s>,
    /// Where in the window the walk stands.
    at: usize,
    /// Where the window begins in the whole.
    base: u64,
    /// The checksum of everything before `summed` in the window.
    checksum: u64,
    summed: usize,
    /// Unpacked strings, and texts of integers.
    scratch: Vec<u8>,
    dialect: Dialect,
}

enum Source<'s> {
    Bytes(&'s [u8]),
    Stream { read: &'s mut dyn Read, window: Vec<u8>, filled: usize },
}

/// A string.
#[derive(Debug, PartialEq, Eq)]
pub enum Text<'r> {
    /// The text of an integer.
    Int(i32),
    /// Bytes, valid until more is read.
    Bytes(&'r [u8]),
    /// Bytes so many that they have memory of their own.
    Long(Vec<u8>),
}

impl<'r> Text<'r> {
    /// Its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Cow<'r, [u8]> {
        match self {
            Self::Int(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Long(bytes) => Cow::Owned(bytes),
        }
    }
}

/// What a length says.
enum Length {
    /// So many bytes or items follow.
    Plain(u64),
    /// A string in another form follows.
    Encoded(u8),
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset()).finish_non_exhaustive()
    }
}

impl<'s> Reader<'s> {
    /// A walk over bytes that are there.
    #[must_use]
    pub fn of_bytes(bytes: &'s [u8]) -> Self {
        Self::new(Source::Bytes(bytes))
    }

    /// A walk over what comes from a source.
    #[must_use]
    pub fn of_source(read: &'s mut dyn Read) -> Self {
        Self::new(Source::Stream { read, window: vec![0; WINDOW_BYTES], filled: 0 })
    }

    /// A walk over a payload whose version is known and whose checksum, if `checks` it, is right.
    #[must_use]
    pub fn of_payload(payload: &'s [u8], checks: bool) -> Option<Self> {
        let (bytes, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
        let dialect = Dialect::of_version(u16::from_le_bytes([footer[0], footer[1]]))?;
        let checksum = u64::from_le_bytes(footer[2..].try_into().ok()?);
        let is_right =
            !checks || checksum == crc64(0, &payload[..payload.len() - size_of::<u64>()]);
        is_right.then(|| Self { dialect, ..Self::of_bytes(bytes) })
    }

    fn new(source: Source<'s>) -> Self {
        Self {
            source,
            at: 0,
            base: 0,
            checksum: 0,
            summed: 0,
            scratch: Vec::new(),
            dialect: Dialect::Redis,
        }
    }

    /// Whose format it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Says whose format it is.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// How many bytes were consumed.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Whether everything that is there is consumed; a source may have more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.window().len()
    }

    /// What was read from the source and not consumed.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.window()[self.at..]
    }

    /// The checksum of everything that was consumed.
    pub fn checksum(&mut self) -> u64 {
        self.checksum = crc64(self.checksum, &self.window()[self.summed..self.at]);
        self.summed = self.at;
        self.checksum
    }

    /// What is wrong at this place.
    #[cold]
    pub fn corrupt(&self, reason: impl Into<Cow<'static, str>>) -> Error {
        Error::new(self.offset(), Reason::Corrupt(reason.into()))
    }

    /// What cannot be done here.
    #[cold]
    pub fn refused(&self, reason: impl Into<Cow<'static, str>>) -> Error {
        Error::new(self.offset(), Reason::Refused(reason.into()))
    }

    #[inline]
    fn window(&self) -> &[u8] {
        match &self.source {
            Source::Bytes(bytes) => bytes,
            Source::Stream { window, filled, .. } => &window[..*filled],
        }
    }

    /// Sees to it that so many bytes are in the window from here on.
    #[inline]
    fn need(&mut self, len: usize) -> Result<(), Error> {
        if self.window().len() - self.at < len { self.fill(len) } else { Ok(()) }
    }

    #[cold]
    fn fill(&mut self, len: usize) -> Result<(), Error> {
        if matches!(self.source, Source::Stream { .. }) {
            self.checksum();
        }
        let Source::Stream { read, window, filled } = &mut self.source else {
            let end = self.base + self.window().len() as u64;
            return Err(Error::new(end, Reason::Ended));
        };
        window.copy_within(self.at..*filled, 0);
        *filled -= self.at;
        self.base += self.at as u64;
        (self.at, self.summed) = (0, 0);
        while *filled < len {
            if *filled == window.len() {
                window.resize(len.min(2 * window.len()), 0);
            }
            match read.read(&mut window[*filled..]) {
                Ok(0) => return Err(Error::new(self.base + *filled as u64, Reason::Ended)),
                Ok(count) => *filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::new(self.base + *filled as u64, Reason::Io(error)));
                }
            }
        }
        Ok(())
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// There are fewer.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        self.need(len)?;
        let from = self.at;
        self.at += len;
        Ok(&self.window()[from..from + len])
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// An opcode, the type of a value, or any byte.
    ///
    /// # Errors
    /// There is nothing left.
    #[inline]
    pub fn opcode(&mut self) -> Result<u8, Error> {
        self.need(1)?;
        self.at += 1;
        Ok(self.window()[self.at - 1])
    }

    #[inline]
    fn any_length(&mut self) -> Result<Length, Error> {
        let first = self.opcode()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => {
                let low = self.opcode()?;
                Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(low))
            }
            2 => match first {
                0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.number()?))),
                0x81 => Length::Plain(u64::from_be_bytes(self.number()?)),
                _ => return Err(self.corrupt("a length in an unknown form")),
            },
            _ => Length::Encoded(first & 0x3f),
        })
    }

    /// A length or another number without sign.
    ///
    /// # Errors
    /// There is none.
    #[inline]
    pub fn length(&mut self) -> Result<u64, Error> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.corrupt("a string where a length should be")),
        }
    }

    /// A length of bytes.
    fn size(&mut self) -> Result<usize, Error> {
        let length = self.length()?;
        usize::try_from(length).map_err(|_| Error::new(self.offset(), Reason::Ended))
    }

    /// A time in milliseconds.
    ///
    /// # Errors
    /// There are not enough bytes.
    pub fn millis(&mut self) -> Result<i64, Error> {
        Ok(i64::from_le_bytes(self.number()?))
    }

    /// A time in seconds.
    ///
    /// # Errors
    /// There are not enough bytes.
    pub fn seconds(&mut self) -> Result<i32, Error> {
        Ok(i32::from_le_bytes(self.number()?))
    }

    /// A number of 64 bits, highest byte first, as in IDs.
    ///
    /// # Errors
    /// There are not enough bytes.
    pub fn big_endian(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.number()?))
    }

    /// A checksum.
    ///
    /// # Errors
    /// There are not enough bytes.
    pub fn checksum_bytes(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    /// A binary score.
    ///
    /// # Errors
    /// There are not enough bytes.
    pub fn double(&mut self) -> Result<f64, Error> {
        Ok(f64::from_le_bytes(self.number()?))
    }

    /// A score in the form that old versions wrote: a length and as much text, or a length above
    /// all others that stands for what has no digits.
    ///
    /// # Errors
    /// It is no number.
    pub fn text_double(&mut self) -> Result<f64, Error> {
        match self.opcode()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Ok(f64::NAN),
            len => {
                let number = crate::number::parse_f64(self.take(usize::from(len))?);
                number.ok_or_else(|| self.corrupt("a score that is no number"))
            }
        }
    }

    /// A string, in whichever form it was written.
    ///
    /// # Errors
    /// It does not end within the data, or is in an unknown form.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'_>, Error> {
        match self.any_length()? {
            Length::Plain(len) if len <= LONG_BYTES as u64 => {
                Ok(Text::Bytes(self.take(len as usize)?))
            }
            Length::Plain(len) => {
                let Ok(len) = usize::try_from(len) else {
                    return Err(Error::new(self.offset(), Reason::Ended));
                };
                Ok(Text::Long(self.long(len)?))
            }
            Length::Encoded(form) => self.encoded(form),
        }
    }

    fn encoded(&mut self, form: u8) -> Result<Text<'_>, Error> {
        Ok(Text::Int(match form {
            0 => i32::from(i8::from_le_bytes(self.number()?)),
            1 => i32::from(i16::from_le_bytes(self.number()?)),
            2 => i32::from_le_bytes(self.number()?),
            3 => return self.unpacked(),
            _ => return Err(self.corrupt("a string in an unknown form")),
        }))
    }

    fn unpacked(&mut self) -> Result<Text<'_>, Error> {
        let (packed, len) = (self.size()?, self.size()?);
        self.need(packed)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let bytes = &self.window()[self.at..self.at + packed];
        let result = lzf::decompress(bytes, len, &mut scratch);
        self.scratch = scratch;
        if result.is_err() {
            return Err(self.corrupt("a compressed string that does not unpack to its length"));
        }
        self.at += packed;
        if len > LONG_BYTES {
            let mut long = std::mem::take(&mut self.scratch);
            long.shrink_to_fit();
            return Ok(Text::Long(long));
        }
        Ok(Text::Bytes(&self.scratch))
    }

    /// A long string, in memory that grows as its bytes come.
    fn long(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        if let Source::Bytes(_) = self.source {
            return Ok(self.take(len)?.to_vec());
        }
        let mut bytes = Vec::new();
        while bytes.len() < len {
            if bytes.len() == bytes.capacity() {
                bytes.reserve_exact((len - bytes.len()).min(bytes.len().max(1024 * 1024)));
            }
            let step = (bytes.capacity() - bytes.len()).min(len - bytes.len()).min(LONG_BYTES);
            bytes.extend_from_slice(self.take(step)?);
        }
        Ok(bytes)
    }

    /// The bytes of a string.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn string(&mut self) -> Result<Cow<'_, [u8]>, Error> {
        Ok(self.text()?.into_bytes())
    }

    /// Puts the bytes of a string into `out`, in place of what was there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    #[inline]
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        match self.text()? {
            Text::Bytes(bytes) => out.extend_from_slice(bytes),
            Text::Int(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Text::Long(bytes) => *out = bytes,
        }
        Ok(())
    }
}
