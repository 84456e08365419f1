//! What may be wrong with bytes of the format, and where.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// The bytes are not what they should be.
#[derive(Debug)]
pub struct Error(Box<Failure>);

#[derive(Debug)]
struct Failure {
    offset: u64,
    reason: Reason,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// There are fewer bytes than there should be.
    #[error("the data ends too early")]
    Ended,
    /// Bytes contradict the format or each other.
    #[error("{0}")]
    Corrupt(Cow<'static, str>),
    /// The bytes are right, but say something that cannot be done here.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    /// They could not be read.
    #[error("cannot read: {0}")]
    Io(io::Error),
}

impl Error {
    /// Something that is wrong at an offset.
    #[must_use]
    pub fn new(offset: u64, reason: Reason) -> Self {
        Self(Box::new(Failure { offset, reason }))
    }

    /// Where it is: bytes from the beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at offset {})", self.0.reason, self.0.offset)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.reason {
            Reason::Io(error) => Some(error),
            _ => None,
        }
    }
}
