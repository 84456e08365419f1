//! The rows of the geo commands.

use crate::commands::row::{Row, check};

/// The geo commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
