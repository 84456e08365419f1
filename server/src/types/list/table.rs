//! The rows of the list commands.

use crate::commands::row::{Row, check};

/// The list commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
