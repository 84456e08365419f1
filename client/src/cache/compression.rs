//! Values made smaller: a block of LZ4 behind the length that it will have, in 4 bytes, the lowest
//! first. Without the feature `compression` nothing is made smaller, and what another process made so
//! cannot be read.

use super::envelope::Envelope;
use std::borrow::Cow;

/// Appends a value to its body, compressed if it has so many bytes and becomes smaller.
#[cfg(feature = "compression")]
pub(super) fn append(body: &mut Vec<u8>, value: &[u8], least_bytes: Option<usize>) {
    if least_bytes.is_some_and(|least| value.len() >= least) {
        let packed = lz4_flex::block::compress_prepend_size(value);
        if packed.len() < value.len() {
            // The flags come first.
            body[0] |= super::envelope::PACKED;
            body.extend_from_slice(&packed);
            return;
        }
    }
    body.extend_from_slice(value);
}

#[cfg(not(feature = "compression"))]
pub(super) fn append(body: &mut Vec<u8>, value: &[u8], _least_bytes: Option<usize>) {
    body.extend_from_slice(value);
}

/// The bytes of a value; `None` for what cannot be read, or would be larger than what is stored.
pub(super) fn value<'b>(envelope: &Envelope<'b>, most_bytes: usize) -> Option<Cow<'b, [u8]>> {
    if envelope.is_packed {
        unpack(envelope.payload, most_bytes).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(envelope.payload))
    }
}

#[cfg(feature = "compression")]
fn unpack(packed: &[u8], most_bytes: usize) -> Option<Vec<u8>> {
    let (length, block) = lz4_flex::block::uncompressed_size(packed).ok()?;
    // So much is reserved, whatever comes of it.
    if length > most_bytes {
        return None;
    }
    let value = lz4_flex::block::decompress(block, length).ok()?;
    (value.len() == length).then_some(value)
}

#[cfg(not(feature = "compression"))]
fn unpack(_packed: &[u8], _most_bytes: usize) -> Option<Vec<u8>> {
    None
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(value: &[u8]) -> Option<Vec<u8>> {
        let mut body = vec![0];
        append(&mut body, value, Some(16));
        (body[0] == super::super::envelope::PACKED).then(|| body.split_off(1))
    }

    #[test]
    fn nothing_is_unpacked_that_is_larger_than_allowed_or_not_whole() {
        let value = vec![7; 10_000];
        let packed = packed(&value).unwrap();
        assert!(packed.len() < 100);
        assert_eq!(unpack(&packed, 10_000), Some(value));
        assert_eq!(unpack(&packed, 9_999), None);
        for length in [0_u32, 9_999, 10_001, u32::MAX] {
            let forged = [&length.to_le_bytes()[..], &packed[4..]].concat();
            assert_eq!(unpack(&forged, 1 << 20), None, "{length}");
        }
        assert_eq!(unpack(&packed[..packed.len() - 1], 10_000), None);
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(parts in prop::collection::vec(0..4_u8, 0..300)) {
            if let Some(smaller) = packed(&parts) {
                prop_assert!(smaller.len() < parts.len() && parts.len() >= 16);
                prop_assert_eq!(unpack(&smaller, 300), Some(parts));
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>) {
            let value = unpack(&bytes, 1 << 16);
            prop_assert!(value.is_none_or(|value| value.len() <= 1 << 16));
        }
    }
}
