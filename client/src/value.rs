//! A reply, in our own words.

use crate::error::Error;

/// A reply.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    #[default]
    Nil,
    /// An integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// A status or another text without structure.
    Text(String),
    /// A list.
    Array(Vec<Value>),
    /// Pairs.
    Map(Vec<(Value, Value)>),
    /// A set.
    Set(Vec<Value>),
    /// An error inside another reply.
    Error {
        /// Its first word.
        code: String,
        /// The rest.
        message: String,
    },
}

impl Value {
    /// The integer that it is, or that its text spells.
    ///
    /// # Errors
    /// It is none.
    pub fn as_int(&self) -> Result<i64, Error> {
        let text = match self {
            Self::Int(number) => return Ok(*number),
            Self::Bool(truth) => return Ok(i64::from(*truth)),
            other => other.as_str(),
        };
        text.and_then(|text| text.parse().ok()).ok_or(Error::Reply("an integer"))
    }

    /// The text that it is.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes that it is.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// Its bytes, `None` for nothing.
    ///
    /// # Errors
    /// It is something else.
    pub fn into_bytes(self) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Nil => Ok(None),
            Self::Bytes(bytes) => Ok(Some(bytes)),
            Self::Text(text) => Ok(Some(text.into_bytes())),
            Self::Int(number) => Ok(Some(number.to_string().into_bytes())),
            _ => Err(Error::Reply("a string")),
        }
    }

    /// Its elements.
    ///
    /// # Errors
    /// It has none.
    pub fn into_array(self) -> Result<Vec<Value>, Error> {
        match self {
            Self::Array(elements) | Self::Set(elements) => Ok(elements),
            _ => Err(Error::Reply("an array")),
        }
    }

    /// Its pairs; a list of even length is one of pairs.
    ///
    /// # Errors
    /// It has none.
    pub fn into_pairs(self) -> Result<Vec<(Value, Value)>, Error> {
        match self {
            Self::Map(pairs) => Ok(pairs),
            Self::Array(elements) if elements.len() % 2 == 0 => {
                let mut elements = elements.into_iter();
                let mut pairs = Vec::with_capacity(elements.len() / 2);
                while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                    pairs.push((key, value));
                }
                Ok(pairs)
            }
            _ => Err(Error::Reply("a map")),
        }
    }

    /// Itself, unless it is an error.
    ///
    /// # Errors
    /// The error that it is.
    pub fn checked(self) -> Result<Value, Error> {
        match self {
            Self::Error { code, message } => Err(Error::Server { code, message }),
            other => Ok(other),
        }
    }

    pub(crate) fn of(value: redis::Value) -> Self {
        use redis::Value as Wire;
        let all = |values: Vec<Wire>| values.into_iter().map(Self::of).collect();
        match value {
            Wire::Nil => Self::Nil,
            Wire::Int(number) => Self::Int(number),
            Wire::BulkString(bytes) => Self::Bytes(bytes),
            Wire::Array(values) => Self::Array(all(values)),
            Wire::SimpleString(text) => Self::Text(text),
            Wire::Okay => Self::Text("OK".to_owned()),
            Wire::Map(pairs) => {
                let pair = |(key, value)| (Self::of(key), Self::of(value));
                Self::Map(pairs.into_iter().map(pair).collect())
            }
            Wire::Attribute { data, .. } => Self::of(*data),
            Wire::Set(values) => Self::Set(all(values)),
            Wire::Double(number) => Self::Double(number),
            Wire::Boolean(truth) => Self::Bool(truth),
            Wire::VerbatimString { text, .. } => Self::Text(text),
            Wire::Push { data, .. } => Self::Array(all(data)),
            Wire::ServerError(error) => Self::Error {
                code: error.code().to_owned(),
                message: error.details().unwrap_or_default().to_owned(),
            },
            // Its type hangs on features that another crate may switch on.
            other => Self::Text(format!("{other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_may_be_spelled() {
        assert_eq!(Value::Int(7).as_int().unwrap(), 7);
        assert_eq!(Value::Bytes(b"-12".to_vec()).as_int().unwrap(), -12);
        assert!(Value::Nil.as_int().is_err());
        assert!(Value::Text("seven".to_owned()).as_int().is_err());
    }

    #[test]
    fn pairs_come_as_map_or_list() {
        let key = || Value::Text("k".to_owned());
        let map = Value::Map(vec![(key(), Value::Int(1))]);
        let list = Value::Array(vec![key(), Value::Int(1)]);
        assert_eq!(map.into_pairs().unwrap(), list.into_pairs().unwrap());
        assert!(Value::Array(vec![key()]).into_pairs().is_err());
    }

    #[test]
    fn errors_inside_are_found() {
        let error = Value::Error { code: "ERR".to_owned(), message: "no".to_owned() };
        assert_eq!(error.checked().unwrap_err().code(), Some("ERR"));
        assert_eq!(Value::Nil.checked().unwrap(), Value::Nil);
    }
}
