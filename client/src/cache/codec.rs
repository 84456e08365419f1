//! Values to bytes and back.

use crate::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How values of a cache are written down. Bytes that it cannot read count as missing, so a cache may
/// change its codec, or the shape of its values, under way.
pub trait Codec<V>: Send + Sync + 'static {
    /// A number that tells this codec from others. Values written by another one count as missing.
    fn id(&self) -> u8;

    /// Appends the bytes of a value.
    ///
    /// # Errors
    /// [`Error::Encode`].
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), Error>;

    /// The value of bytes.
    ///
    /// # Errors
    /// [`Error::Decode`].
    fn decode(&self, bytes: &[u8]) -> Result<V, Error>;
}

/// MessagePack with the names of fields, so that fields may come and go.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;

impl<V: Serialize + DeserializeOwned> Codec<V> for MessagePack {
    fn id(&self) -> u8 {
        1
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), Error> {
        rmp_serde::encode::write_named(out, value).map_err(|error| Error::Encode(error.to_string()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, Error> {
        rmp_serde::from_slice(bytes).map_err(|error| Error::Decode(error.to_string()))
    }
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec<Vec<u8>> for Raw {
    fn id(&self) -> u8 {
        0
    }

    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        name: String,
        #[serde(default)]
        age: u8,
    }

    #[test]
    fn fields_may_come() {
        let mut bytes = Vec::new();
        MessagePack.encode(&Before { name: "Ada".to_owned() }, &mut bytes).unwrap();
        let after: After = MessagePack.decode(&bytes).unwrap();
        assert_eq!(after, After { name: "Ada".to_owned(), age: 0 });
        let broken: Result<After, Error> = MessagePack.decode(&bytes[1..]);
        assert!(matches!(broken, Err(Error::Decode(_))));
    }
}
