//! Why a change of the configuration is refused.

use std::borrow::Cow;
use std::fmt;

/// A refusal of CONFIG SET or of a builder's option.
///
/// Its text is the reply of Redis 7.2 as it goes over the wire, code first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// No directive has that name.
    UnknownOption {
        /// The name as given.
        name: String,
        /// A known name that is almost the same.
        nearest: Option<&'static str>,
    },
    /// The value, or the change as such, is refused.
    Refused {
        /// The directive.
        name: String,
        /// What is wrong.
        reason: Cow<'static, str>,
    },
    /// The directive cannot change while a data set is loaded.
    Loading,
}

impl ConfigError {
    /// The directive cannot change on a running node.
    pub(crate) fn immutable(name: &str) -> Self {
        Self::refused(name, "can't set immutable config")
    }

    /// The directive can change only where `enable-protected-configs` allows.
    pub(crate) fn protected(name: &str) -> Self {
        Self::refused(name, "can't set protected config")
    }

    /// One CONFIG SET names the directive twice.
    pub(crate) fn duplicate(name: &str) -> Self {
        Self::refused(name, "duplicate parameter")
    }

    /// A value that could be read but not applied, such as a port that is taken.
    #[must_use]
    pub fn refused(name: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused { name: name.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption { name, .. } => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Refused { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            ),
            Self::Loading => f.write_str("LOADING Redis is loading the dataset in memory"),
        }
    }
}

impl std::error::Error for ConfigError {}
