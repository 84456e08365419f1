//! The rows of the set commands.

use crate::commands::row::{Row, check};

/// The set commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
