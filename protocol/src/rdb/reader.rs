//! Reads the format.

use super::crc64::crc64;
use super::{FOOTER_BYTES, VERSION};

/// The bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt payload")]
pub struct Corrupt;

/// A walk over bytes of the format.
#[derive(Debug)]
pub struct Reader<'b> {
    bytes: &'b [u8],
}

/// What a length says.
enum Length {
    /// So many bytes or items follow.
    Plain(u64),
    /// A string in another form follows.
    Encoded(u8),
}

impl<'b> Reader<'b> {
    /// A walk over a payload whose version is known and whose checksum is right; a checksum of zero
    /// says that there is none.
    #[must_use]
    pub fn of_payload(payload: &'b [u8]) -> Option<Self> {
        let (bytes, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
        let version = u16::from_le_bytes([footer[0], footer[1]]);
        let checksum = u64::from_le_bytes(footer[2..].try_into().ok()?);
        let is_right =
            checksum == 0 || checksum == crc64(0, &payload[..payload.len() - size_of::<u64>()]);
        (version <= VERSION && is_right).then_some(Self { bytes })
    }

    /// Whether everything is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], Corrupt> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Corrupt)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        self.take(N)?.try_into().map_err(|_| Corrupt)
    }

    /// An opcode, or the type of a value.
    ///
    /// # Errors
    /// There is nothing left.
    pub fn opcode(&mut self) -> Result<u8, Corrupt> {
        Ok(self.take(1)?[0])
    }

    fn length(&mut self) -> Result<Length, Corrupt> {
        let first = self.opcode()?;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(u64::from(first & 0x3f)),
            (1, _) => {
                let low = self.opcode()?;
                Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(low))
            }
            (_, 0x80) => Length::Plain(u64::from(u32::from_be_bytes(self.number()?))),
            (_, 0x81) => Length::Plain(u64::from_be_bytes(self.number()?)),
            (3, _) => Length::Encoded(first & 0x3f),
            _ => return Err(Corrupt),
        })
    }

    /// A string, in whichever form it was written.
    ///
    /// # Errors
    /// It does not end within the bytes, or is in an unknown form.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Corrupt> {
        match self.length()? {
            Length::Plain(len) => {
                Ok(self.take(usize::try_from(len).map_err(|_| Corrupt)?)?.to_vec())
            }
            Length::Encoded(0) => Ok(i8::from_le_bytes(self.number()?).to_string().into_bytes()),
            Length::Encoded(1) => Ok(i16::from_le_bytes(self.number()?).to_string().into_bytes()),
            Length::Encoded(2) => Ok(i32::from_le_bytes(self.number()?).to_string().into_bytes()),
            Length::Encoded(3) => {
                let (Length::Plain(packed), Length::Plain(len)) = (self.length()?, self.length()?)
                else {
                    return Err(Corrupt);
                };
                let packed = self.take(usize::try_from(packed).map_err(|_| Corrupt)?)?;
                super::lzf::decompress(packed, usize::try_from(len).map_err(|_| Corrupt)?)
            }
            Length::Encoded(_) => Err(Corrupt),
        }
    }
}
