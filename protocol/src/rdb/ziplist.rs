//! Ziplists and zipmaps: what listpacks were before Redis 7.0, and before 2.6.
//!
//! A ziplist's elements are found from their ends by the length of the one before that each begins
//! with; a zipmap is fields, each followed by its value and some unused bytes.

/// Bytes of the three numbers in front of a ziplist.
const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
/// What announces a length of four bytes.
const LONG: u8 = 0xfe;
/// The count from which on it is not stated.
const COUNT_UNKNOWN: u16 = u16::MAX;

const CUT: &str = "an old list's element that does not end within it";

/// An element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'b> {
    /// An integer.
    Int(i64),
    /// A string.
    Bytes(&'b [u8]),
}

/// Shows `visit` the elements of a ziplist; gives their number.
///
/// # Errors
/// What is wrong with it, or what `visit` says.
pub fn each<'b>(
    bytes: &'b [u8],
    mut visit: impl FnMut(Element<'b>) -> Result<(), &'static str>,
) -> Result<usize, &'static str> {
    let header = bytes.get(..HEADER_BYTES).ok_or("a ziplist without room for its frame")?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if word(0) as usize != bytes.len() {
        return Err("a ziplist of another length than it says");
    }
    let Some((&END, elements)) = bytes[HEADER_BYTES..].split_last() else {
        return Err("a ziplist without an end");
    };
    let (mut rest, mut before, mut count, mut last) = (elements, 0, 0, 0);
    while !rest.is_empty() {
        last = elements.len() - rest.len();
        let (element, len) = look_at(rest, before)?;
        visit(element)?;
        rest = &rest[len..];
        before = len;
        count += 1;
    }
    if word(4) as usize != HEADER_BYTES + last {
        return Err("a ziplist whose last element is elsewhere than it says");
    }
    let stated = u16::from_le_bytes([header[8], header[9]]);
    if stated != COUNT_UNKNOWN && usize::from(stated) != count {
        return Err("a ziplist of another number of elements than it says");
    }
    Ok(count)
}

/// The element at the beginning of `bytes`, and the bytes that it takes.
fn look_at(bytes: &[u8], before: usize) -> Result<(Element<'_>, usize), &'static str> {
    let (stated, mut at) = match bytes[0] {
        LONG => {
            let long = bytes.get(1..5).ok_or(CUT)?;
            (u32::from_le_bytes([long[0], long[1], long[2], long[3]]) as usize, 5)
        }
        short => (usize::from(short), 1),
    };
    if stated != before {
        return Err("a ziplist's element after one of another length than it says");
    }
    let rest = bytes.get(at..).ok_or(CUT)?;
    let byte = |place: usize| rest.get(place).copied().ok_or(CUT);
    let first = byte(0)?;
    let (header, len) = match first >> 6 {
        0 => (1, usize::from(first)),
        1 => (2, usize::from(first & 0x3f) << 8 | usize::from(byte(1)?)),
        2 if first == 0x80 => {
            (5, u32::from_be_bytes([byte(1)?, byte(2)?, byte(3)?, byte(4)?]) as usize)
        }
        2 => return Err("a ziplist's element of an unknown kind"),
        _ => {
            let (number, width) = int(first, rest)?;
            return Ok((Element::Int(number), at + 1 + width));
        }
    };
    let string = rest.get(header..).and_then(|rest| rest.get(..len)).ok_or(CUT)?;
    at += header + len;
    Ok((Element::Bytes(string), at))
}

/// The integer whose kind is `first`, and the bytes that follow that.
fn int(first: u8, rest: &[u8]) -> Result<(i64, usize), &'static str> {
    let width = match first {
        0xc0 => 2,
        0xd0 => 4,
        0xe0 => 8,
        0xf0 => 3,
        0xfe => 1,
        0xf1..=0xfd => return Ok((i64::from(first & 0x0f) - 1, 0)),
        _ => return Err("a ziplist's element of an unknown kind"),
    };
    let digits = rest.get(1..=width).ok_or(CUT)?;
    let unsigned = digits.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let unused = u64::BITS - 8 * width as u32;
    Ok(((unsigned << unused) as i64 >> unused, width))
}

/// Shows `visit` the fields of a zipmap with their values.
///
/// # Errors
/// What is wrong with it, or what `visit` says.
pub fn each_of_zipmap<'b>(
    bytes: &'b [u8],
    mut visit: impl FnMut(&'b [u8], &'b [u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let Some((&stated, mut rest)) = bytes.split_first() else { return Err(CUT) };
    let mut count = 0_usize;
    loop {
        match rest {
            [END] => break,
            [] | [END, ..] => return Err("a zipmap of another length than it says"),
            _ => {}
        }
        let (field, after) = zipmap_string(rest, 0)?;
        let (value, after) = zipmap_string(after, 1)?;
        visit(field, value)?;
        rest = after;
        count += 1;
    }
    if stated < LONG && usize::from(stated) != count {
        return Err("a zipmap of another number of fields than it says");
    }
    Ok(())
}

/// A zipmap's string, and what comes after it and its unused bytes, whose number is in `unused`
/// bytes behind its length.
fn zipmap_string(bytes: &[u8], unused: usize) -> Result<(&[u8], &[u8]), &'static str> {
    let (len, at) = match *bytes.first().ok_or(CUT)? {
        LONG => {
            let long = bytes.get(1..5).ok_or(CUT)?;
            (u32::from_le_bytes([long[0], long[1], long[2], long[3]]) as usize, 5)
        }
        END => return Err(CUT),
        short => (usize::from(short), 1),
    };
    let free = match unused {
        0 => 0,
        _ => usize::from(*bytes.get(at).ok_or(CUT)?),
    };
    let rest = bytes.get(at + unused..).ok_or(CUT)?;
    let string = rest.get(..len).ok_or(CUT)?;
    Ok((string, rest.get(len + free..).ok_or(CUT)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ziplist(elements: &[u8], count: u16, last: usize) -> Vec<u8> {
        let total = (HEADER_BYTES + elements.len() + 1) as u32;
        let tail = (HEADER_BYTES + last) as u32;
        [&total.to_le_bytes()[..], &tail.to_le_bytes(), &count.to_le_bytes(), elements, &[END]]
            .concat()
    }

    fn all(bytes: &[u8]) -> Result<Vec<Element<'_>>, &'static str> {
        let mut found = Vec::new();
        each(bytes, |element| {
            found.push(element);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn elements_of_every_kind() {
        let elements =
            b"\x00\x02ab\x04\xf3\x02\xfe\x80\x03\xc0\x00\x01\x04\xf0\x00\x00\x80\x05\xd0\
            \x00\x00\x00\x01\x06\xe0\x00\x00\x00\x00\x00\x00\x00\x80\x0a\x40\x03xyz";
        let last = elements.len() - 6;
        assert_eq!(
            all(&ziplist(elements, 8, last)),
            Ok(vec![
                Element::Bytes(b"ab"),
                Element::Int(2),
                Element::Int(-128),
                Element::Int(256),
                Element::Int(-0x80_0000),
                Element::Int(0x100_0000),
                Element::Int(i64::MIN),
                Element::Bytes(b"xyz"),
            ])
        );
        assert_eq!(all(&ziplist(b"", 0, 0)), Ok(vec![]));
    }

    #[test]
    fn lies_are_found() {
        let right = b"\x00\x02ab\x04\xf3";
        assert!(all(&ziplist(right, 2, 4)).is_ok());
        for (elements, count, last) in [
            (&right[..], 3, 4),
            (right, 2, 0),
            (b"\x00\x02ab\x05\xf3", 2, 4),
            (b"\x01\x02ab", 1, 0),
            (b"\x00\x80\xff\xff\xff\xffa", 1, 0),
            (b"\x00\xff", 1, 0),
            (b"\x00\x90", 1, 0),
            (b"\xfe\x00", 1, 0),
        ] {
            assert!(all(&ziplist(elements, count, last)).is_err(), "{elements:?}");
        }
        for len in 0..HEADER_BYTES + 1 {
            assert!(all(&ziplist(right, 2, 4)[..len]).is_err());
        }
    }

    #[test]
    fn zipmaps() {
        let map = b"\x02\x03foo\x03\x02bar..\x01k\xfe\x01\x00\x00\x00\x00v\xff";
        let mut found = Vec::new();
        let result = each_of_zipmap(map, |field, value| {
            found.push((field, value));
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert_eq!(found, [(&b"foo"[..], &b"bar"[..]), (b"k", b"v")]);
        for wrong in [&b""[..], b"\x01\xff", b"\x00", b"\x01\x03fo", b"\x01\x01k\x05\x00v\xff"] {
            assert!(each_of_zipmap(wrong, |_, _| Ok(())).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(elements: Vec<u8>, count in 0..6_u16, last in 0..64_usize) {
            let _ = all(&ziplist(&elements, count, last));
            let _ = all(&elements);
            let _ = each_of_zipmap(&elements, |_, _| Ok(()));
        }
    }
}
