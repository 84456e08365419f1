//! The application's data as the fields of a hash.
//!
//! Each field of a struct, or entry of a map, is a field of the session's hash, written as JSON: so two
//! requests can change two fields at once, and a person can read them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Names and values.
pub(super) type Fields = Vec<(String, Vec<u8>)>;

/// What a session carries: a struct with named fields, or a map.
///
/// ```
/// use larder_client::sessions::data::SessionData;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Login {
///     name: String,
///     cart: Vec<u32>,
/// }
///
/// impl SessionData for Login {
///     const SCHEMA: &'static str = "login-1";
/// }
/// ```
pub trait SessionData: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of its shape. Sessions of another one count as gone, so it changes when old fields
    /// cannot be read any more, and only then.
    const SCHEMA: &'static str = "1";

    /// Its fields.
    ///
    /// # Errors
    /// It has no named fields, or one that JSON cannot say.
    fn to_fields(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        match serde_json::to_value(self).map_err(|error| error.to_string())? {
            serde_json::Value::Object(all) => {
                all.into_iter().map(|(name, value)| Ok((name, encode(&value)?))).collect()
            }
            _ => Err("it has no named fields".to_owned()),
        }
    }

    /// The data of fields.
    ///
    /// # Errors
    /// A field is missing or not what it should be.
    fn from_fields(fields: Vec<(String, Vec<u8>)>) -> Result<Self, String> {
        let mut all = serde_json::Map::new();
        for (name, value) in fields {
            let value =
                serde_json::from_slice(&value).map_err(|error| format!("{name}: {error}"))?;
            all.insert(name, value);
        }
        serde_json::from_value(serde_json::Value::Object(all)).map_err(|error| error.to_string())
    }
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> SessionData for BTreeMap<String, V> {}

pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Cart {
        items: Vec<u32>,
        #[serde(default)]
        note: Option<String>,
    }

    impl SessionData for Cart {}

    #[test]
    fn a_field_is_a_field() {
        let cart = Cart { items: vec![1, 2], note: Some("a \"gift\"".to_owned()) };
        let fields = cart.to_fields().unwrap();
        assert!(fields.contains(&("items".to_owned(), b"[1,2]".to_vec())));
        assert_eq!(Cart::from_fields(fields), Ok(cart));
        let without_note = vec![("items".to_owned(), b"[]".to_vec())];
        assert_eq!(Cart::from_fields(without_note), Ok(Cart { items: vec![], note: None }));
        assert!(Cart::from_fields(vec![("items".to_owned(), b"x".to_vec())]).is_err());
        assert!(Cart::from_fields(vec![]).is_err());
    }
}
