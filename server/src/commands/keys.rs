//! What a command does with the keys it names, as its key specs and some arguments say.

use super::row::{KeySpec, Row};
use larder_protocol::Args;

/// Whether keys are read and written, as a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess(u8);

impl KeyAccess {
    /// Neither: whether a key is there, and what it is like.
    pub const NONE: Self = Self(0);
    /// What lies under the key is shown or copied.
    pub const READ: Self = Self(1);
    /// It is changed, put there, or removed.
    pub const WRITE: Self = Self(2);
    /// Read and written.
    pub const BOTH: Self = Self(3);

    /// Whether all of `other` are in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What a call does with the keys of one of its specs; `None` where these are no keys.
    pub fn of(row: &Row, spec: &KeySpec, args: Args<'_>) -> Option<Self> {
        let mut access = Self::NONE;
        for flag in flags_of(row, spec, args) {
            access = match *flag {
                "access" => access.and(Self::READ),
                "update" | "insert" | "delete" => access.and(Self::WRITE),
                "not_key" => return None,
                _ => access,
            };
        }
        Some(access)
    }
}

/// What a command does with the keys of a spec, which some commands decide by their arguments.
pub fn flags_of(row: &Row, spec: &KeySpec, args: Args<'_>) -> &'static [&'static str] {
    if !spec.flags.contains(&"variable_flags") {
        return spec.flags;
    }
    let given =
        |word: &str| args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    match row.name {
        "set" if given("get") => &["RW", "access", "update"],
        "set" => &["OW", "update"],
        "bitfield" if only_gets(args) => &["RO", "access"],
        "bitfield" => &["RW", "access", "update"],
        _ => spec.flags,
    }
}

/// Whether a BITFIELD changes nothing; one that Redis does not understand
/// may.
fn only_gets(args: Args<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let left = args.len() - at - 1;
        at += match () {
            () if word.eq_ignore_ascii_case(b"get") && left >= 2 => 3,
            () if word.eq_ignore_ascii_case(b"overflow") && left >= 1 => 2,
            () => return false,
        };
    }
    true
}
