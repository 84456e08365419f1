//! What stands in the data set for a value.
//!
//! The script that stores it writes the head: `L\1`, fresh until, stored at, version (8 bytes each,
//! the highest first), the number of tags and the generation of each. The body is ours: flags, codec,
//! what the load cost in milliseconds (4 bytes), the tags (length in 2 bytes, text), the value.
//! Whatever does not look like this counts as missing.

/// Bytes before the generations.
const HEAD: usize = 27;
/// Tags that a value may have.
pub(super) const MOST_TAGS: usize = 32;
/// Bytes of a tag.
pub(super) const LONGEST_TAG: usize = 1024;

/// It says that there is no value.
pub(super) const NOTHING: u8 = 1;
/// The value is compressed.
pub(super) const PACKED: u8 = 2;

/// A value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope<'b> {
    /// By the primary's clock.
    pub(super) fresh_until_ms: i64,
    /// By the primary's clock.
    pub(super) stored_at_ms: i64,
    pub(super) version: u64,
    generations: &'b [u8],
    /// Whether it says that there is no value.
    pub(super) is_nothing: bool,
    /// Whether the value is compressed.
    pub(super) is_packed: bool,
    pub(super) codec: u8,
    pub(super) cost_ms: u32,
    tags: &'b [u8],
    pub(super) payload: &'b [u8],
}

/// The body of a value to be stored, but for the value.
pub(super) fn body(flags: u8, codec: u8, cost_ms: u32, tags: &[String]) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    body.push(flags);
    body.push(codec);
    body.extend_from_slice(&cost_ms.to_be_bytes());
    for tag in tags {
        let length = u16::try_from(tag.len()).unwrap_or(u16::MAX);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&tag.as_bytes()[..length.into()]);
    }
    body
}

impl<'b> Envelope<'b> {
    /// Reads one; `None` for what is none.
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        if !head.starts_with(b"L\x01") {
            return None;
        }
        let number = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        let count = usize::from(head[26]);
        if count > MOST_TAGS {
            return None;
        }
        let (generations, body) = rest.split_at_checked(count * 8)?;
        let (fixed, rest) = body.split_at_checked(6)?;
        let mut tags_bytes = 0;
        for _ in 0..count {
            let length = rest.get(tags_bytes..tags_bytes + 2)?.try_into().ok()?;
            tags_bytes += 2 + usize::from(u16::from_be_bytes(length));
        }
        let (tags, payload) = rest.split_at_checked(tags_bytes)?;
        Some(Self {
            fresh_until_ms: number(2)?.try_into().ok()?,
            stored_at_ms: number(10)?.try_into().ok()?,
            version: number(18)?,
            generations,
            is_nothing: fixed[0] & NOTHING != 0,
            is_packed: fixed[0] & PACKED != 0,
            codec: fixed[1],
            cost_ms: u32::from_be_bytes(fixed[2..6].try_into().ok()?),
            tags,
            payload,
        })
    }

    /// Its tags, each with the generation it was stored under.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&'b str, u64)> + use<'b> {
        let mut rest = self.tags;
        let mut generations = self.generations.chunks_exact(8);
        std::iter::from_fn(move || {
            let generation = u64::from_be_bytes(generations.next()?.try_into().ok()?);
            let (length, after) = rest.split_at_checked(2)?;
            let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
            let (tag, after) = after.split_at_checked(length)?;
            rest = after;
            // What is no text was no tag, and no generation fits it.
            Some((std::str::from_utf8(tag).unwrap_or_default(), generation))
        })
    }

    pub(super) fn has_tags(&self) -> bool {
        !self.generations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(body: &[u8], tags: u8, generations: &[u64]) -> Vec<u8> {
        let mut bytes = b"L\x01".to_vec();
        for number in [2000_u64, 1000, 7] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.push(tags);
        for generation in generations {
            bytes.extend_from_slice(&generation.to_be_bytes());
        }
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let tags = ["a".to_owned(), "tenant:7".to_owned()];
        let mut body = body(0, 1, 50, &tags);
        body.extend_from_slice(b"value");
        let bytes = stored(&body, 2, &[11, 12]);
        let read = Envelope::read(&bytes).unwrap();
        assert_eq!((read.fresh_until_ms, read.stored_at_ms, read.version), (2000, 1000, 7));
        assert_eq!((read.codec, read.cost_ms, read.payload), (1, 50, &b"value"[..]));
        assert!(!read.is_nothing);
        assert_eq!(read.tags().collect::<Vec<_>>(), [("a", 11), ("tenant:7", 12)]);
        for cut in 0..bytes.len() - 5 {
            assert_eq!(Envelope::read(&bytes[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>, tags: u8, rest: Vec<u8>) {
            let _ = Envelope::read(&bytes);
            if let Some(read) = Envelope::read(&stored(&rest, tags, &[])) {
                prop_assert!(read.tags().count() <= MOST_TAGS);
            }
        }
    }
}
