//! The rows of the zset commands.

use crate::commands::row::{Row, check};

/// The zset commands.
pub const ROWS: &[Row] = &[];

const _: () = check(ROWS);
