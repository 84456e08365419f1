//! The CRC64 of dump files: Jones's polynomial, reflected, beginning with zero.
//!
//! Eight bytes at a time: one table for each of their places tells what that byte leaves behind.

const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
const STEP_BYTES: usize = 8;

static TABLES: [[u64; 256]; STEP_BYTES] = {
    let mut tables = [[0; 256]; STEP_BYTES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut place = 1;
    while place < STEP_BYTES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[place - 1][byte];
            tables[place][byte] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            byte += 1;
        }
        place += 1;
    }
    tables
};

/// The checksum of `bytes` that follow those whose checksum is `crc`.
#[must_use]
pub fn crc64(mut crc: u64, bytes: &[u8]) -> u64 {
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    for step in steps {
        let mixed = (crc ^ u64::from_le_bytes(*step)).to_le_bytes();
        crc = 0;
        for (place, byte) in mixed.into_iter().enumerate() {
            crc ^= TABLES[STEP_BYTES - 1 - place][usize::from(byte)];
        }
    }
    rest.iter().fold(crc, |crc, byte| TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::{TABLES, crc64};

    #[test]
    fn the_check_value() {
        assert_eq!(crc64(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(crc64(0, b"1234"), b"56789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn eight_at_a_time_are_as_one_by_one() {
        let bytes: Vec<u8> = (0..1000_u32).map(|at| (at * at / 7) as u8).collect();
        let slow = bytes
            .iter()
            .fold(0_u64, |crc, byte| TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8);
        assert_eq!(crc64(0, &bytes), slow);
        assert_eq!(crc64(crc64(0, &bytes[..13]), &bytes[13..]), slow);
    }
}
