//! Why a rule, or a set of users, is refused. The texts are Redis's.

use larder_protocol::CommandError;

/// Why one rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `+` or `-` something that is neither a command nor a category.
    #[error("Unknown command or category name in ACL")]
    Unknown,
    /// Not a rule at all, or a pattern with a blank or a NUL in it.
    #[error("Syntax error")]
    Syntax,
    /// A key pattern where all keys are allowed already.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not \
         have any effect. Try 'resetkeys' to start with an empty list of patterns"
    )]
    AfterAllKeys,
    /// A channel pattern where all channels are allowed already.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does \
         not have any effect. Try 'resetchannels' to start with an empty list of channels"
    )]
    AfterAllChannels,
    /// A password to remove that the user does not have.
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    /// What follows `#` or `!` is no digest.
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal \
         characters"
    )]
    NotADigest,
    /// `+container|subcommand|argument`.
    #[error("Allowing first-arg of a subcommand is not supported")]
    ArgumentOfSubcommand,
}

/// Why a change of a user is refused: the text of the reply, without its code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// One of the rules is wrong.
    #[error("Error in ACL SETUSER modifier '{}': {reason}", String::from_utf8_lossy(rule))]
    Rule {
        /// The rule as given.
        rule: Vec<u8>,
        /// What is wrong with it.
        reason: RuleError,
    },
    /// A selector that is not closed.
    #[error("Unmatched parenthesis in acl selector starting at '{}'.", String::from_utf8_lossy(.0))]
    Unmatched(Vec<u8>),
}

impl UserError {
    /// The reply, which repeats the rule byte by byte.
    pub fn reply(&self) -> CommandError {
        match self {
            Self::Rule { rule, reason } => CommandError::quoting(
                "ERR Error in ACL SETUSER modifier '",
                rule,
                &format!("': {reason}"),
            ),
            Self::Unmatched(rule) => CommandError::quoting(
                "ERR Unmatched parenthesis in acl selector starting at '",
                rule,
                "'.",
            ),
        }
    }
}
