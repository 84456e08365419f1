//! The rows of the hash commands.

use crate::commands::row::{Row, check};

/// The hash commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
