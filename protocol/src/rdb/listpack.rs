//! Listpacks: small collections as one run of bytes, since Redis 5.
//!
//! In front stand the length of the whole and the number of elements, at the end a byte of ones. An
//! element is an integer in as few bytes as it needs or a string with its length, then its own
//! length, so that it is found from its end.

/// Bytes of the two numbers in front.
pub const HEADER_BYTES: usize = 6;
/// What stands at the end.
pub const END: u8 = 0xff;
/// The number of elements from which on it is not stated.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// A listpack all of whose bytes were looked at.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'b> {
    /// How many elements it has.
    pub count: usize,
    /// The elements, without what stands around them.
    pub elements: &'b [u8],
    /// Whether every element is written in its shortest form, and no string is the text of an
    /// integer.
    pub is_canonical: bool,
}

/// An element that was looked at.
struct Element {
    bytes: usize,
    is_canonical: bool,
}

/// Looks at every byte of a listpack.
///
/// # Errors
/// What is wrong with it.
pub fn check(bytes: &[u8]) -> Result<Checked<'_>, &'static str> {
    const SHORT: &str = "a listpack without room for its frame";
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(SHORT)?;
    let total = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if total as usize != bytes.len() {
        return Err("a listpack of another length than it says");
    }
    let Some((&END, elements)) = rest.split_last() else {
        return Err("a listpack without an end");
    };
    let (mut count, mut rest, mut is_canonical) = (0, elements, true);
    while !rest.is_empty() {
        let element = look_at(rest)?;
        rest = &rest[element.bytes..];
        is_canonical &= element.is_canonical;
        count += 1;
    }
    let stated = u16::from_le_bytes([header[4], header[5]]);
    if stated != COUNT_UNKNOWN && usize::from(stated) != count {
        return Err("a listpack of another number of elements than it says");
    }
    Ok(Checked { count, elements, is_canonical })
}

/// What stands in front of so many elements in so many bytes.
#[must_use]
pub fn header(count: usize, elements_bytes: usize) -> [u8; HEADER_BYTES] {
    // A listpack has less than 4 GB: its types bound what goes into one.
    let total = (HEADER_BYTES + elements_bytes + 1) as u32;
    let count = u16::try_from(count).unwrap_or(COUNT_UNKNOWN);
    let (total, count) = (total.to_le_bytes(), count.to_le_bytes());
    [total[0], total[1], total[2], total[3], count[0], count[1]]
}

/// The element at the beginning of `bytes`, with its length behind it.
fn look_at(bytes: &[u8]) -> Result<Element, &'static str> {
    const CUT: &str = "a listpack's element that does not end within it";
    let at = |place: usize| bytes.get(place).copied().ok_or(CUT);
    let (header, body, is_shortest) = match bytes[0] {
        0..0x80 => (1, 0, true),
        first @ 0x80..0xc0 => (1, usize::from(first & 0x3f), true),
        first @ 0xc0..0xe0 => {
            let number = i16::from_be_bytes([first & 0x1f, at(1)?]) << 3 >> 3;
            (2, 0, !(0..0x80).contains(&number))
        }
        first @ 0xe0..=0xef => {
            let len = usize::from(first & 0x0f) << 8 | usize::from(at(1)?);
            (2, len, len >= 0x40)
        }
        0xf0 => {
            let len = u32::from_le_bytes([at(1)?, at(2)?, at(3)?, at(4)?]) as usize;
            (5, len, len >= 0x1000)
        }
        first @ 0xf1..=0xf4 => {
            let width = [2, 3, 4, 8][usize::from(first - 0xf1)];
            let digits = bytes.get(1..=width).ok_or(CUT)?;
            (1 + width, 0, needs(digits))
        }
        _ => return Err("a listpack's element of an unknown kind"),
    };
    let content = header + body;
    let string = bytes.get(header..content).ok_or(CUT)?;
    let (back, groups) = back_length(content);
    if bytes.get(content..content + groups).ok_or(CUT)? != &back[..groups] {
        return Err("a listpack's element of another length than stands behind it");
    }
    let is_text = bytes[0] & 0xc0 == 0x80 || bytes[0] & 0xf0 == 0xe0 || bytes[0] == 0xf0;
    let is_canonical = is_shortest && !(is_text && is_int(string));
    Ok(Element { bytes: content + groups, is_canonical })
}

/// Whether an integer needs all of these bytes, the lowest first.
fn needs(digits: &[u8]) -> bool {
    let unsigned = digits.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let unused = u64::BITS - 8 * digits.len() as u32;
    let number = (unsigned << unused) as i64 >> unused;
    match digits.len() {
        2 => !(-4096..=4095).contains(&number),
        3 => i16::try_from(number).is_err(),
        4 => !(-0x80_0000..=0x7f_ffff).contains(&number),
        _ => i32::try_from(number).is_err(),
    }
}

/// Whether a string is the text of an integer.
fn is_int(string: &[u8]) -> bool {
    string.len() <= 20
        && string.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
        && crate::number::parse_i64(string).is_some()
}

/// The length that stands behind an element of so many bytes, and in how many.
fn back_length(bytes: usize) -> ([u8; 5], usize) {
    let groups = match bytes {
        0..128 => 1,
        128..16383 => 2,
        16383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let mut back = [0; 5];
    for (at, group) in (0..groups).rev().enumerate() {
        let more = if at == 0 { 0 } else { 0x80 };
        back[at] = (bytes >> (7 * group)) as u8 & 0x7f | more;
    }
    (back, groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listpack(elements: &[u8], count: usize) -> Vec<u8> {
        [&header(count, elements.len()), elements, &[END]].concat()
    }

    #[test]
    fn elements_are_counted() {
        let bytes = listpack(b"\x01\x01\x82ab\x03\xc1\x00\x02\xf1\x00\x20\x03", 4);
        let checked = check(&bytes).expect("right");
        assert_eq!((checked.count, checked.elements.len(), checked.is_canonical), (4, 13, true));
        assert_eq!(check(&listpack(b"", 0)).expect("right").count, 0);
    }

    #[test]
    fn a_text_that_is_an_integer_is_told() {
        for odd in [&b"\x8212\x03"[..], b"\xc0\x05\x02", b"\xf1\x05\x00\x03", b"\xe0\x01x\x03"] {
            let bytes = listpack(odd, 1);
            assert!(!check(&bytes).expect("right").is_canonical, "{odd:?}");
        }
        assert!(check(&listpack(b"\x8201\x03", 1)).expect("right").is_canonical);
    }

    #[test]
    fn lies_are_found() {
        for (elements, count) in [
            (&b"\x01\x02"[..], 1),         // a wrong length behind
            (b"\x01\x01", 2),              // a wrong count
            (b"\x85ab\x03", 1),            // a string beyond the end
            (b"\xf0\xff\xff\xff\xffx", 1), // 4 GB
            (b"\xf4\x01\x01", 1),          // half an integer
            (b"\xf5\x01", 1),              // an unknown kind
            (b"\xff", 1),                  // an end before the end
        ] {
            assert!(check(&listpack(elements, count)).is_err(), "{elements:?}");
        }
        let mut bytes = listpack(b"\x01\x01", 1);
        bytes[0] += 1;
        assert!(check(&bytes).is_err());
        for len in 0..8 {
            assert!(check(&listpack(b"\x01\x01", 1)[..len]).is_err());
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(elements: Vec<u8>, count in 0..6_usize) {
            if let Ok(checked) = check(&listpack(&elements, count)) {
                prop_assert_eq!(checked.count, count);
            }
            let _ = check(&elements);
        }
    }
}
