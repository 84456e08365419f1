//! The rows of the hyperloglog commands.

use crate::commands::row::{Row, check};

/// The hyperloglog commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
