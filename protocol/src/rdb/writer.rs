//! Writes the format.

use super::VERSION;
use super::crc64::crc64;

/// Bytes of the format, growing.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Appends an opcode.
    pub fn opcode(&mut self, opcode: u8) {
        self.out.push(opcode);
    }

    /// Appends a length.
    pub fn length(&mut self, length: u64) {
        match length {
            0..=0x3f => self.out.push(length as u8),
            0x40..=0x3fff => self.out.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
            0x4000..=0xffff_ffff => {
                self.out.push(0x80);
                self.out.extend_from_slice(&(length as u32).to_be_bytes());
            }
            _ => {
                self.out.push(0x81);
                self.out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }

    /// Appends a string: its length, then its bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Ends a payload: the version and the checksum follow.
    #[must_use]
    pub fn finish_payload(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&VERSION.to_le_bytes());
        let checksum = crc64(0, &self.out);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out
    }
}
