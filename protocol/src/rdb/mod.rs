//! The format of dump files and of the payloads that DUMP and FUNCTION DUMP give.
//!
//! A payload is what a file would hold of it, then the version of the format in two bytes and a CRC64
//! of all before it, lowest byte first. Lengths that a payload declares are only trusted as far as
//! there are bytes.

pub mod crc64;
pub mod lzf;
pub mod opcode;

mod reader;
mod writer;

pub use reader::{Corrupt, Reader};
pub use writer::Writer;

/// The version of the format that is written: that of Redis 7.2. Payloads of later ones are refused.
pub const VERSION: u16 = 11;

/// Bytes at a payload's end: version and checksum.
const FOOTER_BYTES: usize = 10;
