//! Many strings in one buffer, as they are sent.
//!
//! A reply of hundreds of short elements costs more to keep as a [`Reply`](crate::Reply) each than to
//! copy once. Both versions of the protocol write a string the same way, so it can be written before
//! it is known which of them the client speaks.

use bytes::Bytes;

use crate::encode::bulk;

/// Strings in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Strings {
    len: usize,
    /// Bulk strings, one behind the other.
    encoded: Bytes,
}

/// Strings that are put together.
#[derive(Debug)]
pub struct Writer {
    len: usize,
    encoded: Vec<u8>,
}

impl Writer {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, string: &[u8]) {
        self.len += 1;
        bulk(&mut self.encoded, string);
    }

    /// All that were added.
    #[must_use]
    pub fn finish(self) -> Strings {
        Strings { len: self.len, encoded: self.encoded.into() }
    }
}

impl Strings {
    /// What stands around a string of less than 1000 bytes.
    const FRAME_BYTES: usize = 8;

    /// Begins with room for `count` strings of `bytes` in all.
    #[must_use]
    pub fn writer(count: usize, bytes: usize) -> Writer {
        Writer { len: 0, encoded: Vec::with_capacity(count * Self::FRAME_BYTES + bytes) }
    }

    /// How many there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them as bulk strings.
    #[inline]
    pub(crate) fn encoded(&self) -> Bytes {
        self.encoded.clone()
    }

    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.encoded[..];
        std::iter::from_fn(move || {
            let end = rest.iter().position(|&byte| byte == b'\r')?;
            let len =
                rest[1..end].iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
            let string = &rest[end + 2..][..len];
            rest = &rest[end + len + 4..];
            Some(string)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_were() {
        let long = vec![b'\r'; 70_000];
        let all: [&[u8]; 6] = [b"", b"x", b"$3\r\n", &long[..10], &long[..999], &long];
        let none = Strings::writer(0, 0).finish();
        assert!(none.is_empty() && none.iter().next().is_none());
        let mut strings = Strings::writer(2, 2);
        all.iter().for_each(|string| strings.push(string));
        let strings = strings.finish();
        assert_eq!((strings.len(), strings.is_empty()), (all.len(), false));
        assert!(strings.iter().eq(all));
    }
}
