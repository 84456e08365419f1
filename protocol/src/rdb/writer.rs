//! Writes the format.

use super::VERSION;
use super::crc64::crc64;
use super::lzf::Compressor;
use crate::number::parse_i64;

/// Longest text of an integer that is written as one.
const INT_TEXT_BYTES: usize = 11;
/// Longest string that is never packed.
const PLAIN_BYTES: usize = 20;
/// What packing must save.
const SAVED_BYTES: usize = 4;

/// Bytes of the format, growing.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    compresses: bool,
    /// Made for the first string that is long enough.
    compressor: Option<Compressor>,
    /// Strings that are put together, and packed ones, before their length is known.
    joined: Vec<u8>,
    packed: Vec<u8>,
}

impl Writer {
    /// Writes nothing yet; packs long strings if `compresses` says so.
    #[must_use]
    pub fn new(compresses: bool) -> Self {
        Self { compresses, ..Self::default() }
    }

    /// What was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes what was written and begins anew.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Forgets what was written and keeps the room.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Appends an opcode, or the type of a value.
    #[inline]
    pub fn opcode(&mut self, opcode: u8) {
        self.out.push(opcode);
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends a length.
    #[inline]
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

    /// Appends a time in milliseconds.
    pub fn millis(&mut self, time_ms: i64) {
        self.raw(&time_ms.to_le_bytes());
    }

    /// Appends a score.
    pub fn double(&mut self, number: f64) {
        self.raw(&number.to_le_bytes());
    }

    /// Appends a string, in the shortest form there is.
    #[inline]
    pub fn string(&mut self, bytes: &[u8]) {
        if bytes.len() <= INT_TEXT_BYTES
            && bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
            && let Some(number) = parse_i64(bytes).and_then(|number| i32::try_from(number).ok())
        {
            self.small_int(number);
        } else if bytes.len() <= PLAIN_BYTES || !self.compressed(bytes) {
            self.length(bytes.len() as u64);
            self.raw(bytes);
        }
    }

    /// Appends a string that is the text of an integer.
    pub fn int_string(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(number) => self.small_int(number),
            Err(_) => {
                let mut text = itoa::Buffer::new();
                let text = text.format(number).as_bytes();
                self.length(text.len() as u64);
                self.raw(text);
            }
        }
    }

    fn small_int(&mut self, number: i32) {
        match number {
            -0x80..=0x7f => self.raw(&[0xc0, number as u8]),
            -0x8000..=0x7fff => {
                self.out.push(0xc1);
                self.raw(&(number as i16).to_le_bytes());
            }
            _ => {
                self.out.push(0xc2);
                self.raw(&number.to_le_bytes());
            }
        }
    }

    /// Appends a string that is put together from parts, and is no text of an integer.
    pub fn joined(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > PLAIN_BYTES && self.compresses {
            let mut joined = std::mem::take(&mut self.joined);
            joined.clear();
            parts.iter().for_each(|part| joined.extend_from_slice(part));
            let is_written = self.compressed(&joined);
            self.joined = joined;
            if is_written {
                return;
            }
        }
        self.length(len as u64);
        parts.iter().for_each(|part| self.raw(part));
    }

    /// Appends a string in packed form if that is shorter; tells whether it did.
    fn compressed(&mut self, bytes: &[u8]) -> bool {
        if !self.compresses {
            return false;
        }
        self.packed.clear();
        let compressor = self.compressor.get_or_insert_default();
        if !compressor.compress(bytes, bytes.len() - SAVED_BYTES, &mut self.packed) {
            return false;
        }
        let packed = std::mem::take(&mut self.packed);
        self.out.push(0xc3);
        self.length(packed.len() as u64);
        self.length(bytes.len() as u64);
        self.raw(&packed);
        self.packed = packed;
        true
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
