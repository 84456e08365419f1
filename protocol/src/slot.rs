//! Cluster hash slots.
//!
//! A key belongs to one of 16384 slots: CRC16 (the XMODEM variant: polynomial 0x1021, start value
//! 0, no reflection) modulo the slot count. When the key holds a non-empty `{tag}`, only the tag is
//! hashed, so that a client can place related keys together. Who serves a slot is not known here.

/// Number of slots a cluster divides its keys into.
pub const SLOT_COUNT: u16 = 16384;

/// The slot `key` belongs to, below [`SLOT_COUNT`].
#[must_use]
pub fn key_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOT_COUNT
}

/// The part between the first `{` and the first `}` after it, when it is not empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&b| b == b'{')?;
    let after = &key[open + 1..];
    let close = after.iter().position(|&b| b == b'}')?;
    (close > 0).then(|| &after[..close])
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, &byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

/// The remainder of every byte value, so that hashing takes one step a byte.
static TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_check_value_of_the_xmodem_variant() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn known_slots() {
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("hello", 866), ("", 0)] {
            assert_eq!(key_slot(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn only_the_first_non_empty_tag_counts() {
        let same = |a: &str, b: &str| key_slot(a.as_bytes()) == key_slot(b.as_bytes());
        assert!(same("{user1000}.following", "{user1000}.followers"));
        assert!(same("{user1000}.following", "user1000"));
        assert!(same("foo{{bar}}zap", "{bar"));
        assert!(same("foo{bar}{zap}", "bar"));
        // An empty or unclosed tag hashes the whole key.
        assert_eq!(key_slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOT_COUNT);
        assert_eq!(key_slot(b"foo{bar"), crc16(b"foo{bar") % SLOT_COUNT);
        assert_eq!(key_slot(b"}foo{"), crc16(b"}foo{") % SLOT_COUNT);
    }
}
