//! The frames of a link: what one carries, its seal, and how it is taken out of a stream of bytes.
//!
//! ```text
//! length (4)   kind (1)   id (8)   payload (up to 1 MiB)   seal (16)
//! ```
//!
//! The seal is an HMAC-SHA256, cut to 16 bytes, over the frame's number in its direction and all
//! before it, with a key that only this connection and this direction have. So a frame that was
//! changed, left out, repeated, moved or sent back is found out, and nothing behind it is read.
//! The length is checked before anything else; memory grows by what arrived, never by what a length
//! claims.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes that a payload may have.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = 1 + 8;
const SEAL_BYTES: usize = 16;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks something.
    Request = 1,
    /// Answers the request, or the sign of life, of the same id.
    Answer = 2,
    /// The request of the same id will not be answered.
    Refusal = 3,
    /// Asks for a sign of life.
    Ping = 4,
}

/// One frame, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub kind: Kind,
    /// Which request it belongs to.
    pub id: u64,
    /// What it carries.
    pub payload: Bytes,
}

/// Why a frame, and with it the connection, is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is shorter or longer than a frame can be.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// Its seal is not that of the next frame.
    #[error("a frame whose seal is wrong")]
    Forged,
    /// It is for something unknown.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
}

/// The key of one direction of one connection.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Self {
        // HMAC takes keys of any length.
        Self(Hmac::new_from_slice(bytes).unwrap_or_else(|_| unreachable!("any length will do")))
    }

    fn seal(&self, number: u64, frame: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&number.to_be_bytes());
        mac.update(frame);
        mac
    }
}

/// Makes the frames of one direction.
pub struct Sealer {
    key: Key,
    sent: u64,
}

impl Sealer {
    pub(super) fn new(key: Key) -> Self {
        Self { key, sent: 0 }
    }

    /// Appends the next frame.
    ///
    /// # Errors
    /// [`FrameError::Length`] where the payload is too long; then nothing is appended.
    pub fn seal(
        &mut self,
        kind: Kind,
        id: u64,
        payload: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let length = HEAD_BYTES + payload.len();
        let Some(claimed) = u32::try_from(length).ok().filter(|_| is_possible(length)) else {
            return Err(FrameError::Length(length));
        };
        let start = out.len();
        out.reserve(LENGTH_BYTES + length + SEAL_BYTES);
        out.put_u32(claimed);
        out.put_u8(kind as u8);
        out.put_u64(id);
        out.put_slice(payload);
        let seal = self.key.seal(self.sent, &out[start..]).finalize().into_bytes();
        out.put_slice(&seal[..SEAL_BYTES]);
        self.sent += 1;
        Ok(())
    }
}

/// Opens the frames of one direction.
pub struct Opener {
    key: Key,
    opened: u64,
    broken: Option<FrameError>,
}

impl Opener {
    pub(super) fn new(key: Key) -> Self {
        Self { key, opened: 0, broken: None }
    }

    /// Takes the next frame out of what arrived, or nothing while it is not whole.
    ///
    /// # Errors
    /// A frame that cannot be the next one; it is an error for ever then.
    pub fn open(&mut self, arrived: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        self.next(arrived).inspect_err(|error| self.broken = Some(*error))
    }

    fn next(&mut self, arrived: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(claimed) = arrived.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*claimed) as usize;
        if !is_possible(length) {
            return Err(FrameError::Length(length));
        }
        let sealed = LENGTH_BYTES + length;
        if arrived.len() < sealed + SEAL_BYTES {
            return Ok(None);
        }
        let seal = &arrived[sealed..sealed + SEAL_BYTES];
        // Compares in constant time.
        self.key
            .seal(self.opened, &arrived[..sealed])
            .verify_truncated_left(seal)
            .map_err(|_| FrameError::Forged)?;
        self.opened += 1;
        let mut frame = arrived.split_to(sealed + SEAL_BYTES);
        frame.advance(LENGTH_BYTES);
        let kind = match frame.get_u8() {
            1 => Kind::Request,
            2 => Kind::Answer,
            3 => Kind::Refusal,
            4 => Kind::Ping,
            other => return Err(FrameError::Kind(other)),
        };
        let id = frame.get_u64();
        frame.truncate(length - HEAD_BYTES);
        Ok(Some(Frame { kind, id, payload: frame.freeze() }))
    }
}

fn is_possible(length: usize) -> bool {
    (HEAD_BYTES..=HEAD_BYTES + MAX_PAYLOAD_BYTES).contains(&length)
}
