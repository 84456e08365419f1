//! How far a write went into the history, so that a later read can ask for at least that.
//!
//! The first half of the history's name and the position in it: 16 bytes, 22 characters, small
//! enough for a cookie. After a failover the history has another name, and a read with an older
//! token goes to the primary.

use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;

/// The place of a write in the history of the data set.
///
/// Its text is 22 characters of `A-Z a-z 0-9 - _`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    history: u64,
    offset: u64,
}

impl Token {
    /// The place `offset` in the history `replid`; `None` when that is no name.
    pub(crate) fn new(replid: &str, offset: u64) -> Option<Self> {
        Some(Self { history: history(replid)?, offset })
    }

    /// Whether a node that has `offset` of the history `replid` has it.
    pub(crate) fn is_in(&self, replid: &str, offset: u64) -> bool {
        history(replid) == Some(self.history) && offset >= self.offset
    }
}

fn history(replid: &str) -> Option<u64> {
    u64::from_str_radix(replid.get(..16)?, 16).ok()
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.history.to_be_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_be_bytes());
        out.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Decode("this is no token".to_owned());
        // Whatever a cookie holds, no more than a token's length is looked at.
        if text.len() != 22 {
            return Err(refused());
        }
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| refused())?;
        let (history, offset) = bytes.split_at(8);
        match (length, history.try_into(), offset.try_into()) {
            (16, Ok(history), Ok(offset)) => Ok(Self {
                history: u64::from_be_bytes(history),
                offset: u64::from_be_bytes(offset),
            }),
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLID: &str = "8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb";

    #[test]
    fn a_token_survives_a_cookie() {
        let token = Token::new(REPLID, 123_456_789_012).unwrap();
        let text = token.to_string();
        assert_eq!(text.len(), 22);
        assert_eq!(text.parse::<Token>().unwrap(), token);
        for wrong in ["", "x", "!!!!!!!!!!!!!!!!!!!!!!", &text[1..], &format!("{text}A")] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_in_the_history_that_it_is_from() {
        let token = Token::new(REPLID, 100).unwrap();
        assert!(token.is_in(REPLID, 100));
        assert!(!token.is_in(REPLID, 99));
        assert!(!token.is_in("0000000000000000000000000000000000000000", 1000));
        assert!(!token.is_in("", 1000));
        assert_eq!(Token::new("", 1), None);
    }
}
