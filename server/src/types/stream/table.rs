//! The rows of the stream commands.

use crate::commands::row::{Row, check};

/// The stream commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
