//! The format of dump files and of the payloads that DUMP and FUNCTION DUMP give.
//!
//! A payload is what a file would hold of it, then the version of the format in two bytes and a CRC64
//! of all before it, lowest byte first. What is written loads in Redis 7.0; what is read may come
//! from any release of Redis up to 8 and of Valkey up to 9.
//!
//! Lengths are only trusted as far as there are bytes: no memory is taken for what a length claims,
//! and whatever is wrong is told with its place.

pub mod crc64;
pub mod listpack;
pub mod lzf;
pub mod opcode;
pub mod ziplist;

mod error;
mod reader;
mod writer;

pub use crc64::crc64;
pub use error::{Error, Reason};
pub use reader::{Reader, Text};
pub use writer::Writer;

/// The version of the format that is written: that of Redis 7.0.
pub const VERSION: u16 = 10;
/// The newest version of Redis's format that is read.
const REDIS_VERSION_MAX: u16 = 14;
/// The versions of Valkey's own format that are read.
const VALKEY_VERSIONS: std::ops::RangeInclusive<u16> = 80..=81;

/// Bytes at a payload's end: version and checksum.
const FOOTER_BYTES: usize = 10;

/// Whose format it is: from some version on, the same number means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Redis's, and that of Valkey before 9.0.
    Redis,
    /// Valkey's since 9.0.
    Valkey,
}

impl Dialect {
    /// The one of a version, if that is known.
    #[must_use]
    pub fn of_version(version: u16) -> Option<Self> {
        match version {
            1..=REDIS_VERSION_MAX => Some(Self::Redis),
            version if VALKEY_VERSIONS.contains(&version) => Some(Self::Valkey),
            _ => None,
        }
    }
}
