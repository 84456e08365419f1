//! The rows of the bitmap commands.

use crate::commands::row::{Row, check};

/// The bitmap commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
