//! What stands before a part of the format that is no key.

/// A library of functions, in the format before Redis 7.0 was released.
pub const FUNCTION_PRE_GA: u8 = 246;
/// A library of functions: its text.
pub const FUNCTION2: u8 = 245;
