//! What a command answers.
//!
//! One shape for both protocol versions: a handler says what it means (a map, a double, null), and
//! [`encode`](crate::encode()) finds the form the client understands. A reply may borrow from the
//! handler's data; in-process callers take [`Reply::into_owned`] and never see wire bytes.
//!
//! A `Reply` is kept at 32 bytes, since arrays of them are moved around; rare or large payloads are
//! boxed.

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::CommandError;
use crate::number::MAX_I64_BYTES;
use crate::strings::Strings;

/// Keys and values, in the order they are sent.
pub type Pairs<'a> = Vec<(Reply<'a>, Reply<'a>)>;

/// One reply, or one element of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// `OK`.
    Ok,
    /// A fixed word such as `PONG` or `QUEUED`. One line; the caller answers for that.
    Simple(&'static str),
    /// A line built at run time. Line ends inside it become spaces when it is encoded.
    Status(Cow<'a, [u8]>),
    /// The command failed.
    Error(CommandError),
    /// An integer.
    Int(i64),
    /// Nothing there.
    Null,
    /// Nothing there, where RESP2 clients expect an array.
    NullArray,
    /// Bytes borrowed from the handler's data.
    Bulk(&'a [u8]),
    /// Bytes the handler built.
    Owned(Vec<u8>),
    /// The digits of an integer as a string, such as the value of a counter.
    Digits(Digits),
    /// Bytes shared with the data set, sent without a copy. For large values only: the box costs an
    /// allocation.
    Shared(Box<Bytes>),
    /// A floating point number; RESP2 gets it as text.
    Double(f64),
    /// A coordinate: a number with up to 17 decimals and without an exponent; RESP2 gets it as text.
    Coordinate(f64),
    /// A truth value; RESP2 gets 1 or 0.
    Bool(bool),
    /// An integer beyond 64 bits, in decimal.
    BigNumber(String),
    /// Text for people to read, with its three-letter format: `txt`, `mkd`, or what a script says.
    Verbatim([u8; 3], Cow<'a, str>),
    /// Elements in order.
    Array(Vec<Reply<'a>>),
    /// An array of nothing but strings, of which there may be many; see [`Strings`]. Owned, it is an
    /// [`Reply::Array`].
    Strings(Box<Strings>),
    /// Pairs in order; RESP2 gets a flat array.
    Map(Pairs<'a>),
    /// Elements without duplicates; RESP2 gets an array.
    Set(Vec<Reply<'a>>),
    /// A message nobody asked for; RESP2 gets an array.
    Push(Vec<Reply<'a>>),
    /// Facts about a reply, then the reply; RESP2 gets only the reply.
    Attribute(Box<(Pairs<'a>, Reply<'a>)>),
    /// Several replies, one behind the other: a push and what answers the command itself. Never an
    /// element of another reply.
    Several(Vec<Reply<'a>>),
    /// Nothing is sent: the client asked for silence, or will be answered later.
    None,
}

/// An integer in decimal, or another text as short, kept in place: a reply that needs no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    text: [u8; MAX_I64_BYTES],
    len: u8,
}

impl Digits {
    /// The digits of `value`.
    #[inline]
    #[must_use]
    pub fn new(value: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        let mut text = [0; MAX_I64_BYTES];
        text[..digits.len()].copy_from_slice(digits);
        Digits { text, len: digits.len() as u8 }
    }

    /// A text that is as short as an integer's.
    #[inline]
    #[must_use]
    pub fn of_text(short: &[u8]) -> Option<Self> {
        let mut text = [0; MAX_I64_BYTES];
        text.get_mut(..short.len())?.copy_from_slice(short);
        Some(Digits { text, len: short.len() as u8 })
    }

    /// The text.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }
}

impl<'a> Reply<'a> {
    /// Bytes, borrowed or built, whichever they are.
    #[inline]
    pub fn bulk(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        match bytes.into() {
            Cow::Borrowed(bytes) => Reply::Bulk(bytes),
            Cow::Owned(bytes) => Reply::Owned(bytes),
        }
    }

    /// Whether it is a message that nobody's reply mode silences, or several.
    #[must_use]
    pub fn is_push(&self) -> bool {
        match self {
            Reply::Push(_) => true,
            Reply::Several(replies) => replies.iter().all(Reply::is_push),
            _ => false,
        }
    }

    /// An integer as a string.
    #[inline]
    #[must_use]
    pub fn digits(value: i64) -> Self {
        Reply::Digits(Digits::new(value))
    }

    /// Bytes shared with the data set; see [`Reply::Shared`].
    #[must_use]
    pub fn shared(bytes: Bytes) -> Self {
        Reply::Shared(Box::new(bytes))
    }

    /// A line built at run time.
    pub fn status(text: impl Into<Cow<'a, str>>) -> Self {
        Reply::Status(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// Text for people to read.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Reply::Verbatim(*b"txt", text.into())
    }

    /// An array of anything that is a reply.
    pub fn array<T: Into<Reply<'a>>>(items: impl IntoIterator<Item = T>) -> Self {
        Reply::Array(items.into_iter().map(Into::into).collect())
    }

    /// A map of anything that is a reply.
    pub fn map<K: Into<Reply<'a>>, V: Into<Reply<'a>>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Reply::Map(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// A reply with facts about it; see [`Reply::Attribute`].
    #[must_use]
    pub fn attribute(facts: Pairs<'a>, reply: Reply<'a>) -> Self {
        Reply::Attribute(Box::new((facts, reply)))
    }

    /// The same reply, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Reply<'static> {
        fn list(items: Vec<Reply<'_>>) -> Vec<Reply<'static>> {
            items.into_iter().map(Reply::into_owned).collect()
        }
        fn pairs(items: Pairs<'_>) -> Pairs<'static> {
            items.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
        }
        match self {
            Reply::Ok => Reply::Ok,
            Reply::Simple(text) => Reply::Simple(text),
            Reply::Status(text) => Reply::Status(Cow::Owned(text.into_owned())),
            Reply::Error(error) => Reply::Error(error),
            Reply::Int(value) => Reply::Int(value),
            Reply::Null => Reply::Null,
            Reply::NullArray => Reply::NullArray,
            Reply::Bulk(bytes) => Reply::Owned(bytes.to_vec()),
            Reply::Owned(bytes) => Reply::Owned(bytes),
            Reply::Digits(digits) => Reply::Digits(digits),
            Reply::Shared(bytes) => Reply::Shared(bytes),
            Reply::Double(value) => Reply::Double(value),
            Reply::Coordinate(value) => Reply::Coordinate(value),
            Reply::Bool(value) => Reply::Bool(value),
            Reply::BigNumber(digits) => Reply::BigNumber(digits),
            Reply::Verbatim(format, text) => Reply::Verbatim(format, Cow::Owned(text.into_owned())),
            Reply::Array(items) => Reply::Array(list(items)),
            Reply::Strings(strings) => Reply::array(strings.iter().map(<[u8]>::to_vec)),
            Reply::Map(items) => Reply::Map(pairs(items)),
            Reply::Set(items) => Reply::Set(list(items)),
            Reply::Push(items) => Reply::Push(list(items)),
            Reply::Several(items) => Reply::Several(list(items)),
            Reply::Attribute(both) => Reply::attribute(pairs(both.0), both.1.into_owned()),
            Reply::None => Reply::None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Reply::Int(value) => Some(*value),
            Reply::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The bytes of a string of any kind.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Ok => Some(b"OK"),
            Reply::Simple(text) => Some(text.as_bytes()),
            Reply::Status(text) => Some(text),
            Reply::Verbatim(_, text) => Some(text.as_bytes()),
            Reply::Bulk(bytes) => Some(bytes),
            Reply::Owned(bytes) => Some(bytes),
            Reply::Digits(digits) => Some(digits.as_bytes()),
            Reply::Shared(bytes) => Some(bytes),
            Reply::BigNumber(digits) => Some(digits.as_bytes()),
            _ => None,
        }
    }

    /// As [`Reply::as_bytes`], without a copy where the reply owns them.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Reply::Owned(bytes) | Reply::Status(Cow::Owned(bytes)) => Some(bytes),
            Reply::Shared(bytes) => Some(Vec::from(*bytes)),
            Reply::Verbatim(_, Cow::Owned(text)) | Reply::BigNumber(text) => {
                Some(text.into_bytes())
            }
            other => other.as_bytes().map(<[u8]>::to_vec),
        }
    }

    /// The error, if it is one.
    #[must_use]
    pub fn as_error(&self) -> Option<&CommandError> {
        match self {
            Reply::Error(error) => Some(error),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[Reply<'a>]> {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Whether nothing is there, in either form.
    #[inline]
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Reply::Null | Reply::NullArray)
    }

    /// Whether the command failed.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }
}

impl From<i64> for Reply<'_> {
    #[inline]
    fn from(value: i64) -> Self {
        Reply::Int(value)
    }
}

impl From<usize> for Reply<'_> {
    /// Lengths and counts; none exceeds `i64::MAX`, which is where this saturates.
    #[inline]
    fn from(value: usize) -> Self {
        Reply::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Reply<'_> {
    /// The integer 1 or 0, which is what commands answer to both versions; a RESP3 truth value is
    /// rare and written out as [`Reply::Bool`].
    #[inline]
    fn from(value: bool) -> Self {
        Reply::Int(i64::from(value))
    }
}

impl From<f64> for Reply<'_> {
    #[inline]
    fn from(value: f64) -> Self {
        Reply::Double(value)
    }
}

impl<'a> From<&'a [u8]> for Reply<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Reply::Bulk(bytes)
    }
}

impl<'a> From<&'a str> for Reply<'a> {
    /// A bulk string, not a status.
    #[inline]
    fn from(text: &'a str) -> Self {
        Reply::Bulk(text.as_bytes())
    }
}

impl From<String> for Reply<'_> {
    #[inline]
    fn from(text: String) -> Self {
        Reply::Owned(text.into_bytes())
    }
}

impl From<Vec<u8>> for Reply<'_> {
    #[inline]
    fn from(bytes: Vec<u8>) -> Self {
        Reply::Owned(bytes)
    }
}

impl From<Bytes> for Reply<'_> {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Reply::shared(bytes)
    }
}

impl<'a> From<Vec<Reply<'a>>> for Reply<'a> {
    #[inline]
    fn from(items: Vec<Reply<'a>>) -> Self {
        Reply::Array(items)
    }
}

impl From<Strings> for Reply<'_> {
    #[inline]
    fn from(strings: Strings) -> Self {
        Reply::Strings(Box::new(strings))
    }
}

impl From<CommandError> for Reply<'_> {
    #[inline]
    fn from(error: CommandError) -> Self {
        Reply::Error(error)
    }
}

impl<'a, T: Into<Reply<'a>>> From<Option<T>> for Reply<'a> {
    #[inline]
    fn from(value: Option<T>) -> Self {
        value.map_or(Reply::Null, Into::into)
    }
}

impl<'a, T: Into<Reply<'a>>> From<Result<T, CommandError>> for Reply<'a> {
    #[inline]
    fn from(result: Result<T, CommandError>) -> Self {
        result.map_or_else(Reply::Error, Into::into)
    }
}

const _: () = assert!(size_of::<Reply<'_>>() <= 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions() {
        assert_eq!(Reply::from(7_usize), Reply::Int(7));
        assert_eq!(Reply::from(true), Reply::Int(1));
        assert_eq!(Reply::from("x"), Reply::Bulk(b"x"));
        assert_eq!(Reply::from(None::<i64>), Reply::Null);
        assert_eq!(Reply::from(Some(vec![1])), Reply::Owned(vec![1]));
        assert_eq!(Reply::from(Err::<i64, _>(CommandError::OOM)), Reply::Error(CommandError::OOM));
        assert_eq!(Reply::bulk(&b"x"[..]), Reply::Bulk(b"x"));
        assert_eq!(Reply::bulk(vec![1]), Reply::Owned(vec![1]));
        assert_eq!(Reply::array(["a"]), Reply::Array(vec![Reply::Bulk(b"a")]));
        assert_eq!(
            Reply::map([("a", 1_i64)]),
            Reply::Map(vec![(Reply::Bulk(b"a"), Reply::Int(1))])
        );
    }

    #[test]
    fn accessors() {
        let strings = [
            Reply::Simple("x"),
            Reply::status("x"),
            Reply::status(String::from("x")),
            Reply::Bulk(b"x"),
            Reply::Owned(b"x".to_vec()),
            Reply::shared(Bytes::from_static(b"x")),
            Reply::text("x"),
            Reply::text(String::from("x")),
            Reply::BigNumber("x".into()),
        ];
        for reply in strings {
            assert_eq!(reply.as_bytes(), Some(&b"x"[..]), "{reply:?}");
            assert_eq!(reply.clone().into_owned().as_bytes(), Some(&b"x"[..]), "{reply:?}");
            assert_eq!(reply.into_bytes(), Some(b"x".to_vec()));
        }
        assert_eq!(Reply::Ok.as_bytes(), Some(&b"OK"[..]));
        assert_eq!(Reply::Int(3).as_i64(), Some(3));
        assert_eq!(Reply::digits(i64::MIN).as_bytes(), Some(&b"-9223372036854775808"[..]));
        assert_eq!(Reply::digits(0).into_bytes(), Some(b"0".to_vec()));
        assert_eq!(Reply::Int(3).into_bytes(), None);
        assert!(Reply::Null.is_null() && Reply::NullArray.is_null() && !Reply::Ok.is_null());
        assert!(Reply::Error(CommandError::OOM).is_error());
        assert_eq!(Reply::array([1_i64]).as_slice(), Some(&[Reply::Int(1)][..]));
        let mut strings = Strings::writer(1, 1);
        strings.push(b"x");
        let strings = Reply::from(strings.finish());
        assert_eq!(strings.into_owned(), Reply::Array(vec![Reply::Owned(b"x".to_vec())]));
    }

    #[test]
    fn owning_keeps_the_shape() {
        let nested = Reply::attribute(
            vec![(Reply::Bulk(b"k"), Reply::Double(0.5))],
            Reply::array([
                Reply::Set(vec![Reply::Bool(true)]),
                Reply::Push(vec![Reply::NullArray, Reply::None]),
                Reply::Map(vec![(Reply::Ok, Reply::Null)]),
            ]),
        );
        let text = |reply: &Reply<'_>| format!("{reply:?}").replace("Bulk", "Owned");
        assert_eq!(text(&nested.clone().into_owned()), text(&nested));
    }
}
