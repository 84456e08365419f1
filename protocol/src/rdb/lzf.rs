//! LZF, by which long strings are packed: runs of bytes, and copies of what came before.

use super::Corrupt;

/// Unpacks to exactly `len` bytes, which is only a claim until they are there.
///
/// # Errors
/// The bytes make something else.
pub fn decompress(packed: &[u8], len: usize) -> Result<Vec<u8>, Corrupt> {
    let mut out = Vec::new();
    let mut rest = packed;
    let mut next = || {
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(*first)
    };
    while let Some(control) = next() {
        if control < 32 {
            for _ in 0..=control {
                out.push(next().ok_or(Corrupt)?);
            }
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                count += usize::from(next().ok_or(Corrupt)?);
            }
            let low = next().ok_or(Corrupt)?;
            let back = usize::from(control & 0x1f) << 8 | usize::from(low);
            let start = out.len().checked_sub(back + 1).ok_or(Corrupt)?;
            // Byte by byte, since a copy may reach into itself.
            for at in start..start + count + 2 {
                out.push(out[at]);
            }
        }
        if out.len() > len {
            return Err(Corrupt);
        }
    }
    if out.len() == len { Ok(out) } else { Err(Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn runs_and_copies() {
        // "ab", then eight bytes from two before.
        let packed = [1, b'a', b'b', 6 << 5, 1];
        assert_eq!(decompress(&packed, 10), Ok(b"ababababab".to_vec()));
        for wrong in [&packed[..4], &[32, 0][..], &[5, b'x'][..]] {
            assert!(decompress(wrong, 10).is_err());
        }
        assert!(decompress(&packed, 9).is_err());
    }
}
